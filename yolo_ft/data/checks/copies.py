"""Findings about two images: copies, look-alikes, what their labels say, and labels that two share. Lesson 06."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from yolo_ft.core.boxes import box_iou
from yolo_ft.core.targets import Target
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.duplicates import LOOK_ALIKE, SAME_FILE, Pair, find_pairs, picture
from yolo_ft.data.checks.findings import Finding, Kind, Place
from yolo_ft.data.checks.orphans import shared
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.formats.labels import label_path

SAME_OBJECT = 0.5  # IoU at which two copies of an image agree about a box

Splits = Mapping[str, Dataset]


def pair_findings(splits: Splits) -> Iterator[Finding]:
    """Copies and look-alikes, between the splits and within each, and labels that fit one of two images only."""
    places = [(split, i) for split, dataset in splits.items() for i in range(len(dataset))]
    pictures = [picture(splits[split], i) for split, i in places]
    broken: dict[int, str] = {}
    pairs = find_pairs(pictures, broken)
    for place, reason in broken.items():  # the scan looks at the ends of a file only; this one fails in the middle
        split, i = places[place]
        yield Finding(kinds.DROPPED_IMAGE, split, splits[split].keys[i], reason)
    for pair in pairs:
        one, other = places[pair.first], places[pair.second]
        yield from _alike(splits, one, other, pair)
        yield from _labels_of_copies(splits, one, other, pair)
    for first, second in shared(pictures, pairs):
        (split, i), other = places[first], places[second]
        label = label_path(pictures[first])
        if len(splits[split].target(i)) and label.is_file():
            reason = f"{label.name} is also the label file of {_named(splits, other)}, another picture"
            yield _finding(kinds.SHARED_LABELS, splits, (split, i), other, reason)


def _alike(splits: Splits, one: Place, other: Place, pair: Pair) -> Iterator[Finding]:
    """Two images that are alike; look-alikes do no harm within a split."""
    across = one[0] != other[0]
    if pair.kind != LOOK_ALIKE or across:
        kind = kinds.LOOK_ALIKE if pair.kind == LOOK_ALIKE else kinds.LEAKED if across else kinds.REPEATED
        name = _named(splits, other) if across else splits[other[0]].keys[other[1]]
        yield _finding(kind, splits, one, other, f"{pair.kind} of {name}{_measured(pair)}")


def _labels_of_copies(splits: Splits, one: Place, other: Place, pair: Pair) -> Iterator[Finding]:
    """Where two images that are alike say different things; look-alikes may differ in single boxes."""
    mine, theirs = (_relative(splits[split], i) for split, i in (one, other))
    if bool(mine) != bool(theirs):
        (bare, labelled), count = ((one, other), len(theirs)) if theirs else ((other, one), len(mine))
        alike, kind = "copy", kinds.UNLABELLED_COPY
        if pair.kind == LOOK_ALIKE:
            alike, kind = LOOK_ALIKE, kinds.UNLABELLED_LOOK_ALIKE
        reason = f"no object, but its {alike} {_named(splits, labelled)} has {count}{_measured(pair)}"
        yield _finding(kind, splits, bare, labelled, reason)
    elif pair.kind != LOOK_ALIKE:
        alone = [~_matched(mine, theirs), ~_matched(theirs, mine)]
        if lonely := int(sum(mask.sum() for mask in alone)):
            total = len(mine) + len(theirs)
            reason = f"{lonely} of {total} boxes are only here or only on its copy {_named(splits, other)}"
            boxes = (_shown(splits, place, mask) for place, mask in zip((one, other), alone, strict=True))
            yield _finding(kinds.CONTRADICTION, splits, one, other, reason, *boxes)


def _finding(kind: Kind, splits: Splits, one: Place, other: Place, reason: str, *boxes: tuple) -> Finding:
    split, i = one
    return Finding(kind, split, splits[split].keys[i], reason, None, one, other, *boxes)


def _named(splits: Splits, place: Place) -> str:
    split, i = place
    return f"{split} {splits[split].keys[i]}"


def _measured(pair: Pair) -> str:
    return "" if pair.kind == SAME_FILE else f" (fine detail correlates at {pair.similarity:.2f})"


def _shown(splits: Splits, place: Place, mask: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Some boxes of an image, xyxy pixels."""
    split, i = place
    return tuple(tuple(round(float(x), 1) for x in box) for box in splits[split].target(i).boxes[mask])


def _relative(dataset: Dataset, index: int) -> Target:
    """The objects with boxes as shares of the image, so that copies of two sizes can be compared."""
    (height, width), target = dataset.size(index), dataset.target(index)
    return Target(target.boxes / np.array([width, height, width, height]), target.labels)


def _matched(mine: Target, theirs: Target) -> np.ndarray:
    """(n,) booleans: which of my boxes has one of theirs, of the same class, on it."""
    overlap = box_iou(torch.from_numpy(mine.boxes), torch.from_numpy(theirs.boxes)).numpy()
    return ((overlap >= SAME_OBJECT) & (mine.labels[:, None] == theirs.labels[None])).any(1)
