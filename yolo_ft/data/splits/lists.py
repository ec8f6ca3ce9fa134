"""What a list of images can say: where each one lies, and by that where its labels have to be. Lesson 06."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.formats.labels import label_path, parse_labels


def check_labels(dataset: Dataset) -> None:
    """Refuse a data set whose objects are not in the files where a list of its images will look for them."""
    for index, key in enumerate(dataset.keys):
        path = dataset.path(index)
        if path is None:
            raise UserError(f"{dataset.name} is drawn and has no files to list: use .train and .val in Python.")
        try:
            text = label_path(path).read_text(encoding="utf-8-sig")
        except OSError:
            text = ""
        rows, _ = parse_labels(text, dataset.num_classes)
        if not np.array_equal(rows[:, 0], dataset.target(index).labels):
            raise UserError(
                f"{key}: its objects are not those of {label_path(path)}, where a list of images would look for them. "
                "Convert the data set to YOLO format first."
            )


def line(path: Path, out: Path) -> str:
    """An image as a list in `out` names it."""
    source = os.path.abspath(path)  # not resolved: labels lie beside a link, not beside what it points to
    try:
        text = "./" + Path(os.path.relpath(source, os.path.realpath(out))).as_posix()
    except ValueError:  # on another drive
        text = Path(source).as_posix()
    if text.splitlines() != [text.rstrip()]:
        raise UserError(f"{path.name!r}: a list cannot hold a line break or a space at the end of a name: rename it.")
    return text
