"""What each action of `yolo-ft data` does. Imports stay inside the functions: an action pays only for what it uses."""

from __future__ import annotations


def check(data: str) -> int:
    """Print what is wrong with every split of a data set; exit code 1 when something is."""
    from yolo_ft.data.dataset import load_splits

    reports = [dataset.health for dataset in load_splits(data).values()]
    print(*reports, sep="\n")
    return int(any(report.issues for report in reports))
