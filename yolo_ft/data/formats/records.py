"""One description per image, between every format that is read and every format that is written."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from yolo_ft.core.targets import Target
from yolo_ft.data.health import BACKGROUND, CUT, DROPPED, IGNORED, ROW_REMOVED, HealthReport, Issue
from yolo_ft.data.images import ImageError, check_image, page_count

CROWD, DIFFICULT, TRUNCATED, POLYGON = "crowd", "difficult", "truncated", "polygon"
ROUNDING = 1.0  # pixels that a box may reach over the edge of its image without a word
SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trainval", "default"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Record:
    """One image of a data set as its annotations describe it.

    `image`: the file, or uint8 RGB pixels (h, w, 3). `size`: (height, width), EXIF orientation applied. `target`: every
    annotated box, xyxy in pixels. `marks`: for each box what its format says besides the class, out of `crowd`,
    `difficult`, `truncated` and `polygon` (the box was an outline).
    """

    key: str
    image: Path | np.ndarray
    size: tuple[int, int]
    target: Target
    marks: tuple[frozenset[str], ...]

    def objects(self) -> Target:
        """The boxes of single objects: all but crowd regions, which hold many objects at once."""
        return self.target.keep(np.array([CROWD not in marks for marks in self.marks], bool))


Reader = Callable[[], tuple[Record | None, list[Issue]]]  # checks one image; None: it cannot be used


class Source(Protocol):
    """A data set on disk, whatever its format: what `yolo_ft.data.formats.scan` needs of it.

    `path`: the file or folder that messages name. `names`: {class index: name}. `splits`: by name. `hint`: where the
    annotations are expected, for the message that there are none. `folders`: all that it is read from.
    """

    path: Path
    name: str
    names: dict[int, str]
    splits: Mapping[str, object]
    hint: str
    folders: Sequence[Path]

    def readers(self, split: str) -> tuple[list[Reader], list[Issue]]:
        """One reader per image of the split, in a fixed order, and what was passed over."""


@dataclass(frozen=True)
class Scan:
    """One split after every image and annotation was checked: what can be used, and what was found."""

    name: str
    split: str
    names: dict[int, str]
    records: list[Record]
    health: HealthReport


@dataclass(frozen=True)
class Annotation:
    """One box as a file in pixels states it: its name in messages, class index, xyxy corners, marks."""

    place: str
    label: int
    box: tuple[float, float, float, float]
    marks: frozenset[str] = frozenset()


def key(path: Path, *roots: Path) -> str:
    """A name for the file that stays the same when the data set moves: its path below the first root that holds it."""
    place = Path(os.path.abspath(path))
    root = next((root for root in map(os.path.abspath, roots) if place.is_relative_to(root)), None)
    return (path if root is None else place.relative_to(root)).as_posix()


def inspect_image(key: str, image: Path) -> tuple[tuple[int, int] | None, list[Issue]]:
    """((height, width), or None if the image cannot be used; findings)."""
    try:
        size = check_image(image)
        pages = page_count(image)
    except ImageError as error:
        return None, [Issue(key, None, error.reason, DROPPED)]
    more = f"it has {pages} pages, of which only the first is read"
    return size, [Issue(key, None, more, IGNORED)] if pages > 1 else []


def check_annotations(
    key: str, file: str, image: Path, stated: tuple[int, int] | None, annotations: Sequence[Annotation]
) -> tuple[Record | None, list[Issue]]:
    """The record of one image from boxes in pixels, by the rules of `yolo_ft.data.health`, and the findings.

    `file` names the place of the annotations in messages. `stated`: the (height, width) given there, or None. An image
    of another size is dropped, for its boxes were drawn on other pixels. Boxes are cut at the image's edge, which is a
    finding from `ROUNDING` on.
    """
    size, issues = inspect_image(key, image)
    if size is None:
        return None, issues
    if stated and stated != size:
        return None, [*issues, Issue(file, None, _other_size(stated, size), DROPPED)]
    kept: list[Annotation] = []
    seen = set()
    for each in annotations:
        box, problem = _cut(each.box, *size)
        if not problem and (each.label, box) in seen:
            problem = "the same object again"
        if problem:
            issues.append(Issue(file, None, f"{each.place}: {problem}", ROW_REMOVED if box else DROPPED))
            continue
        seen.add((each.label, box))
        if (beyond := max(abs(a - b) for a, b in zip(each.box, box, strict=True))) > ROUNDING:
            reason = f"{each.place}: {beyond:.0f} pixels of the box lie over the edge of the image"
            issues.append(Issue(file, None, reason, CUT))
        kept.append(Annotation(each.place, each.label, box, each.marks))
        if CROWD in each.marks:
            reason = f"{each.place}: a crowd region (iscrowd) holds many objects and is no box to learn"
            issues.append(Issue(file, None, reason, IGNORED))
    if any(issue.action == DROPPED for issue in issues):
        return None, issues
    if not annotations:
        issues.append(Issue(file, None, "no object is annotated", BACKGROUND))
    target = Target(np.array([each.box for each in kept], np.float32), [each.label for each in kept])
    return Record(key, image, size, target, tuple(each.marks for each in kept)), issues


def _other_size(stated: tuple[int, int], size: tuple[int, int]) -> str:
    reason = f"annotated at {stated[1]} x {stated[0]} pixels, but the image has {size[1]} x {size[0]}"
    turned = "; if its EXIF orientation turns it, save it upright and label it again"
    return reason + turned * (stated == size[::-1])


def _cut(box: Sequence[float], height: int, width: int) -> tuple[tuple[float, ...], str]:
    """(the box inside the image, what is wrong with it); no box where the image cannot be trusted any more."""
    if not all(math.isfinite(value) for value in box):
        return (), "NaN or infinity"
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return (), f"the box ends before it begins (x {x1:g} to {x2:g}, y {y1:g} to {y2:g})"
    if x1 == x2 or y1 == y2:
        return (x1, y1, x2, y2), f"the box at {x1:g}, {y1:g} has no width or height"
    inside = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        return inside, f"the box at {x1:g}, {y1:g} lies outside the image of {width} x {height} pixels"
    return inside, ""
