"""YOLO label files: where they lie, what their rows say, and one image with its rows as a record."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from yolo_ft.core.boxes import cxcywh_to_xyxy
from yolo_ft.core.targets import Target
from yolo_ft.data.formats.records import POLYGON, Record, inspect_image
from yolo_ft.data.health import BACKGROUND, DROPPED, ROW_REMOVED, Issue

BOX_COLUMNS = 5


def read_labels(key: str, image: Path, label: Path, place: str, num_classes: int) -> tuple[Record | None, list[Issue]]:
    """The record of one image and its label file, and the findings; no record where the image cannot be used.

    `key` and `place` name the image and the label file in messages.
    """
    size, issues = inspect_image(key, image)
    if size is None:
        return None, issues
    try:
        text = label.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        missing = Issue(key, None, f"no label file {label.name}", BACKGROUND)
        return Record(key, image, size, Target(), ()), [*issues, missing]
    except (UnicodeDecodeError, OSError) as error:
        return None, [*issues, Issue(place, None, f"cannot be read as UTF-8 text ({error})", DROPPED)]
    rows, findings = parse_labels(text, num_classes)
    issues += [Issue(place, *finding) for finding in findings]
    if any(issue.action == DROPPED for issue in issues):
        return None, issues
    if not len(rows):
        issues.append(Issue(place, None, "the label file is empty", BACKGROUND))
    limits = np.array([*size[::-1], *size[::-1]], np.float64)
    boxes = np.clip(cxcywh_to_xyxy(rows[:, 1:]) * limits, 0, limits)
    outlines = {_parse_row(words, num_classes) for words in map(str.split, text.splitlines()) if len(words) > 5}
    marks = tuple(frozenset({POLYGON} if tuple(row) in outlines else ()) for row in rows.tolist())
    return Record(key, image, size, Target(boxes, rows[:, 0]), marks), issues


def label_path(image: Path) -> Path:
    """Where the labels of an image are: the last folder `images` becomes `labels`, the suffix .txt.

    Without a file there, one beside the image is taken, so that no folder called `images` further up can hide it.
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    usual, beside = Path(*parts).with_suffix(".txt"), image.with_suffix(".txt")
    return beside if beside != usual and os.path.isfile(beside) and not os.path.isfile(usual) else usual


def parse_labels(text: str, num_classes: int) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
    """Rows `class cx cy w h` (normalised) as (n, 5) float64, and the findings as (line, reason, action).

    Polygon rows `class x1 y1 x2 y2 x3 y3 ...` become the box around them; YOLOv5 reads a file with any polygon as
    polygons only, here every row speaks for itself, so that mixed files keep their boxes. Blank lines are skipped.
    When a finding says "image dropped", the rows must not be used (see `health`).
    """
    rows: list[tuple[float, ...]] = []
    findings: list[tuple[int, str, str]] = []
    seen: set[tuple[float, ...]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        row = _parse_row(words, num_classes)
        if isinstance(row, str):
            findings.append((number, row, DROPPED))
        elif row in seen:
            findings.append((number, "the same row again", ROW_REMOVED))
        elif row[3] <= 0 or row[4] <= 0:
            findings.append((number, "the box has no width or height", ROW_REMOVED))
        else:
            seen.add(row)
            rows.append(row)
    return np.array(rows, np.float64).reshape(-1, BOX_COLUMNS), findings


def _parse_row(words: list[str], num_classes: int) -> tuple[float, ...] | str:
    """(class, cx, cy, w, h), or the reason why the row cannot be used."""
    if len(words) != BOX_COLUMNS and (len(words) < 7 or len(words) % 2 == 0):
        return f"{len(words)} columns instead of 5 (class cx cy w h) or a polygon (class x1 y1 x2 y2 x3 y3 ...)"
    try:
        values = [float(word) for word in words]
    except ValueError:
        return "not a number: " + next(word for word in words if not _is_number(word))
    if not all(math.isfinite(value) for value in values):
        return "NaN or infinity"
    label, coordinates = values[0], values[1:]
    if label != int(label) or not 0 <= label < num_classes:
        return f"class {words[0]} is not in 0..{num_classes - 1}"
    if min(coordinates) < 0 or max(coordinates) > 1:
        worst = min(coordinates) if min(coordinates) < 0 else max(coordinates)
        return f"{worst:g} is outside 0..1 (coordinates are shares of the image's width and height)"
    if len(words) == BOX_COLUMNS:
        return tuple(values)
    xs, ys = coordinates[0::2], coordinates[1::2]
    return (label, (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
