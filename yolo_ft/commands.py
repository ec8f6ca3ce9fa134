"""What each command of `yolo-ft` does. Imports stay inside the functions: a command pays only for what it uses."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from yolo_ft.core.errors import UserError


def inspect(weights: str | None, imgsz: int, parameters: bool, freeze: Sequence[str] | None) -> None:
    """Print one row per layer or per parameter and, with `freeze`, what the freeze saves."""
    from yolo_ft.api import YOLO

    model = YOLO(weights)
    report = model.freeze(_freeze_spec(freeze), imgsz=imgsz) if freeze else None
    print((model.parameter_table() if parameters else model.layers(imgsz)).to_string(index=False))
    if report is not None:
        print(f"\n{report}")


def train(
    weights: str | None,
    freeze: Sequence[str] | None,
    phases: str | None,
    set: Sequence[str],
    resume: str | None,
    inexact: bool,
    **settings: Any,
) -> None:
    """Train a model, or finish the run folder `resume`; print the run."""
    given = {"weights": weights, "freeze": freeze, "phases": phases, "set": set, **settings}
    if resume is not None:
        if others := [name for name, value in given.items() if value]:
            raise UserError(f"A resumed run keeps the settings it began with: leave --{others[0]} out.")
        from yolo_ft.api import resume as resume_run

        print(resume_run(resume, inexact=inexact)[1])
        return
    if inexact:
        raise UserError("--inexact only means something with --resume RUN: leave it out.")
    if freeze and phases:
        raise UserError("Give either --freeze (one selection for the whole run) or --phases, not both.")
    settings |= _assignments(set)
    if freeze or phases:
        settings["freeze"] = _freeze_spec(freeze) if freeze else phases
    from yolo_ft.api import YOLO

    print(YOLO(weights, seed=settings.get("seed", 0)).train(**settings))


def val(weights: str | None, data: str, **settings: Any) -> None:
    """Print a model's average precision per class and overall."""
    from yolo_ft.api import YOLO

    metrics = YOLO(weights).val(data, **settings)
    print(metrics.per_class.to_string(float_format="{:.3f}".format))
    means = {"mAP50": metrics.map50, "mAP50-95": metrics.map50_95, "P": metrics.precision, "R": metrics.recall}
    print(
        ", ".join(f"{name} {value:.3f}" for name, value in means.items()), f"(P, R at score {metrics.confidence:.3f})"
    )


def predict(
    weights: str | None, source: Sequence[str], project: str, name: str, save_labels: bool, **settings: Any
) -> None:
    """Print one CSV row per detection and draw every image into a new folder `project/name`.

    `save_labels` also writes what was found as YOLO labels there: a start for labelling by hand (Lesson 06).
    """
    from yolo_ft.api import YOLO
    from yolo_ft.data.formats.writers import write_predictions
    from yolo_ft.data.images import image_files, read_image
    from yolo_ft.finetune.runs import new_run_folder
    from yolo_ft.report.lessons import png
    from yolo_ft.report.pictures import draw_boxes

    files = image_files(source)
    labels = [place.with_suffix("").as_posix().casefold() for place in files.values()]
    if save_labels and (twice := [label for label in labels if labels.count(label) > 1]):
        raise UserError(f"Two images are called {twice[0]}, so their labels would be one file: predict them apart.")
    model = YOLO(weights)
    folder = new_run_folder(project, name)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["image", "class", "score", "x1", "y1", "x2", "y2"])
    drawn = 0
    for path, place in files.items():
        try:
            image = read_image(path)
        except UserError as error:  # one bad file does not stop a folder
            warnings.warn(str(error), stacklevel=2)
            continue
        found = model.predict(image, **settings)[0]
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True):
            writer.writerow([path, model.names[int(label)], f"{score:.3f}", *(f"{value:.1f}" for value in box)])
        drawn += 1
        (folder / f"{drawn:04d}_{path.stem}.png").write_bytes(png(draw_boxes(image, None, found, model.names)))
        if save_labels:
            write_predictions(folder, place, image.shape[:2], found, model.names)
    if not drawn:
        raise UserError("None of the files could be read as an image: give JPEG, PNG or other common image files.")
    print(f"{drawn} images drawn in {folder}", file=sys.stderr)
    if save_labels:
        print(
            f"labels of everything with a score of at least {settings.get('conf', 0.25):g}, without the scores: "
            f"{folder / 'labels'}, classes: {folder / 'classes.txt'}",
            file=sys.stderr,
        )


def compare(runs: Sequence[str], out: str | None) -> None:
    """Print the comparison of finished runs; with `out`, also write its table and figure there."""
    from yolo_ft.report.comparison import compare as compare_runs
    from yolo_ft.report.notebook_results import write_comparison

    comparison = compare_runs(runs)
    print(f"{comparison.arms.to_string()}\n\n{comparison.sentence()}")
    if out is not None:
        print(*write_comparison(comparison, out), sep="\n")


def notebooks_run(
    numbers: Sequence[str],
    dir: str,
    parameters: Sequence[tuple[str, str]],
    grid: Sequence[str],
    jobs: int,
    timeout: float | None,
    retry_failed: bool,
    out: str,
) -> int:
    """Run lessons in all combinations of the grid; exit code 1 when one of them failed."""
    from yolo_ft.report.combinations import find_lessons
    from yolo_ft.report.notebook_results import collect
    from yolo_ft.report.notebooks import run_notebooks
    from yolo_ft.report.parameters import split_list

    axes = {name: split_list(values) for name, values in (_pair(text, "--grid") for text in grid)}
    lessons = find_lessons(dir, numbers)
    combinations = run_notebooks(lessons, dict(parameters), axes, out, jobs, timeout, retry_failed)
    files = collect(combinations, out)
    failed = [c for c in combinations if c.state != "finished"]
    print(f"{len(combinations) - len(failed)} of {len(combinations)} combinations finished")
    for combination in failed:
        print(f"failed: {combination}\n    {combination.error}\n    {combination.folder}")
    for path, meaning in files.items():
        print(f"{path}: {meaning}")
    return 1 if failed else 0


def notebooks_refresh(numbers: Sequence[str], dir: str) -> None:
    """Run lessons in place and store their outputs as a commit wants them."""
    from yolo_ft.report.combinations import find_lessons
    from yolo_ft.report.refresh import refresh

    for path in find_lessons(dir, numbers):
        print(f"{path.name}: {refresh(path):.0f} s", flush=True)


def notebooks_check(numbers: Sequence[str], dir: str, jobs: int) -> int:
    """Run lessons and compare every output with the stored one; returns pytest's exit code."""
    from yolo_ft.report.combinations import find_lessons
    from yolo_ft.report.refresh import check

    return check(find_lessons(dir, numbers), jobs)


def _freeze_spec(items: Sequence[str]) -> str | list[str]:
    """One number is a count of layers, several are exactly those layers, as YOLOv5 users know it."""
    return items[0] if len(items) == 1 else list(items)


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"{flag} {text} is not of the form NAME=VALUE.")
    return name.strip(), value.strip()


def _assignments(texts: Sequence[str]) -> dict[str, Any]:
    """The hyper-parameters of `--set KEY=VALUE`; UserError for a key that no run has."""
    from yolo_ft.core.config import DEFAULTS, require_known
    from yolo_ft.finetune.argument_names import translate
    from yolo_ft.report.parameters import scalar

    settings = translate({key: scalar(value) for key, value in (_pair(text, "--set") for text in texts)})
    for name in settings:
        require_known(name, DEFAULTS)
    return settings
