"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations

from typing import Any

from yolo_ft.core.errors import UserError


def check(data: str) -> int:
    """Print what is wrong with every split of a data set; exit code 1 when something is."""
    from yolo_ft.data.dataset import load_splits

    reports = [dataset.health for dataset in load_splits(data).values()]
    print(*reports, sep="\n")
    return int(any(report.issues for report in reports))


def split(data: str, out: str, folds: int | None, leaks: str, **settings: Any) -> None:
    """Write new splits as lists of images and print how alike they are; `settings` are those of `split` and `folds`."""
    from yolo_ft.data import split as splitting
    from yolo_ft.data.metadata import group_labels
    from yolo_ft.data.split_report import split_report

    if folds is None:
        made = [splitting.split(data, **settings)]
    elif settings.pop("val") is not None:
        raise UserError("With --folds every image is validated once: leave --val out.")
    else:
        made = splitting.folds(data, folds, **settings)
    labels, by = made[0].groups, settings["groups"]
    if leaks not in ("none", by):
        labels, by = group_labels(made[0].dataset, leaks, settings["table"]), leaks
    files = [made[0].write(out)] if folds is None else splitting.write_folds(made, out)
    for fold in made:
        report = split_report(fold.dataset, fold.indices, labels, by, fold.how)
        print(*([report.table.to_string(float_format="{:.1%}".format)] if folds is None else []), report, sep="\n")
    print(*files, sep="\n")
