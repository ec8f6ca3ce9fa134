"""`check`: everything that may be wrong with a data set, found without changing a byte of it. Lesson 06."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from yolo_ft.core.boxes import box_iou
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Target
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.boxes import Predictor, box_findings, unlabelled_findings
from yolo_ft.data.checks.duplicates import LOOK_ALIKE, SAME_FILE, Pair, find_pairs, picture
from yolo_ft.data.checks.findings import CheckReport, Finding
from yolo_ft.data.checks.groups import name_group
from yolo_ft.data.checks.orphans import orphans
from yolo_ft.data.dataset import Dataset, load_splits
from yolo_ft.data.health import BACKGROUND, DROPPED, IGNORED, ROW_REMOVED
from yolo_ft.data.images import opened, read_image

RARE_OBJECTS = 10  # in train
SIZE_RATIO = 2  # between the long sides of the largest and the smallest image
SAME_OBJECT = 0.5  # IoU at which two copies of an image agree about a box
COLOUR = "colour"
GREY_LEVELS = 8  # between the channels of a pixel that is still grey

Splits = dict[str, Dataset]


def check(
    data: str | Path | Dataset,
    imgsz: int = 640,
    model: Predictor | None = None,
    images: str | Path | None = None,
    origin: int = 1,
) -> CheckReport:
    """Look at every split of a data set and rank what is wrong, worst first. Nothing is ever changed.

    `data`, `images`, `origin`: as for `load_dataset`. `imgsz`: the training size, at which boxes are called tiny.
    `model` (such as `YOLO("best.pt")`): also list its confident detections that no label touches, which takes as long
    as predicting every image. What is looked for, in which order and why: `yolo_ft.data.checks.findings`. Lesson 06.
    """
    if imgsz < 1:
        raise UserError(f"imgsz is {imgsz}: give the training size in pixels, for example 640.")
    splits = load_splits(data, images, origin)
    found = [*_scan_findings(splits), *_pair_findings(splits), *_group_findings(splits), *_class_findings(splits)]
    found += [*_split_findings(splits), *_orphans(splits), *_colour_modes(splits), *_mixed_sizes(splits)]
    if not isinstance(data, Dataset) and "train" in splits and "val" not in splits:
        found.append(Finding(kinds.NO_VALIDATION, "val", "split", f"there is none, only {', '.join(splits)}"))
    for split, dataset in splits.items():
        found += box_findings(split, dataset, imgsz)
        if model is not None:
            found += unlabelled_findings(split, dataset, model, imgsz)
    return CheckReport(splits, imgsz, found)


def _scan_findings(splits: Splits) -> Iterator[Finding]:
    """What the scan that every loading makes has found."""
    by_action = {DROPPED: kinds.DROPPED_IMAGE, ROW_REMOVED: kinds.REMOVED_ROW, IGNORED: kinds.PASSED_OVER}
    for split, dataset in splits.items():
        for issue in dataset.health.issues:
            background = kinds.NO_LABELS if issue.reason.startswith("no label file") else kinds.BACKGROUND_IMAGES
            kind = background if issue.action == BACKGROUND else by_action[issue.action]
            yield Finding(kind, split, issue.file, issue.reason, issue.line)


def _split_findings(splits: Splits) -> Iterator[Finding]:
    """Splits with nothing in them."""
    for split, dataset in splits.items():
        if any(issue.action == DROPPED for issue in dataset.health.issues) and not len(dataset):
            yield Finding(kinds.EMPTY_SPLIT, split, "all images", "none of them can be used")
        elif not len(dataset):
            kind = kinds.NO_TEST if split == "test" else kinds.EMPTY_SPLIT  # training goes on without a test
            yield Finding(kind, split, "folder or list", "it holds no image")
        elif not dataset.class_counts().any():
            yield Finding(kinds.EMPTY_SPLIT, split, "all images", f"none of {len(dataset)} images has an object")


def _pair_findings(splits: Splits) -> Iterator[Finding]:
    """Copies and look-alikes, between the splits and within each, and copies whose labels disagree."""
    places = [(split, i) for split, dataset in splits.items() for i in range(len(dataset))]
    broken: dict[int, str] = {}
    pairs = find_pairs([picture(splits[split], i) for split, i in places], broken)
    for place, reason in broken.items():  # the scan looks at the ends of a file only; this one fails in the middle
        split, i = places[place]
        yield Finding(kinds.DROPPED_IMAGE, split, splits[split].keys[i], reason)
    for pair in pairs:
        one, other = places[pair.first], places[pair.second]
        (split, i), (twin, j) = one, other
        alike = f"{pair.kind} of {f'{twin} ' if twin != split else ''}{splits[twin].keys[j]}"
        alike += "" if pair.kind == SAME_FILE else f" (fine detail correlates at {pair.similarity:.2f})"
        kind = _pair_kind(pair, split != twin)
        if kind is not None:
            yield Finding(kind, split, splits[split].keys[i], alike, None, one, other)
        if pair.kind != LOOK_ALIKE:
            yield from _labels_of_copies(splits, one, other)


def _pair_kind(pair: Pair, across: bool) -> kinds.Kind | None:
    if pair.kind == LOOK_ALIKE:
        return kinds.LOOK_ALIKE if across else None  # within a split a look-alike does no harm
    return kinds.LEAKED if across else kinds.REPEATED


def _labels_of_copies(splits: Splits, one: kinds.Place, other: kinds.Place) -> Iterator[Finding]:
    """Where two copies of one image say different things."""
    objects = [_relative(splits[split], i) for split, i in (one, other)]
    counts = [len(target) for target in objects]
    if not any(counts):
        return
    if not all(counts):
        (split, i), (twin, j) = (one, other) if counts[1] else (other, one)
        reason = f"no object, but its copy {twin} {splits[twin].keys[j]} has {max(counts)}"
        yield Finding(kinds.UNLABELLED_COPY, split, splits[split].keys[i], reason, None, (split, i), (twin, j))
        return
    alone = [~_matched(*objects), ~_matched(*objects[::-1])]
    if lonely := int(sum(mask.sum() for mask in alone)):
        (split, i), (twin, j) = one, other
        reason = f"{lonely} of {sum(counts)} boxes are not on its copy {twin} {splits[twin].keys[j]}"
        height, width = splits[split].size(i)
        boxes = objects[0].boxes[alone[0]] * np.array([width, height, width, height])
        shown = tuple(tuple(round(float(x), 1) for x in box) for box in boxes)
        yield Finding(kinds.CONTRADICTION, split, splits[split].keys[i], reason, None, one, other, shown)


def _relative(dataset: Dataset, index: int) -> Target:
    """The objects with boxes as shares of the image, so that copies of two sizes can be compared."""
    (height, width), target = dataset.size(index), dataset.target(index)
    return Target(target.boxes / np.array([width, height, width, height]), target.labels)


def _matched(mine: Target, theirs: Target) -> np.ndarray:
    """(n,) booleans: which of my boxes has one of theirs, of the same class, on it."""
    overlap = box_iou(torch.from_numpy(mine.boxes), torch.from_numpy(theirs.boxes)).numpy()
    return ((overlap >= SAME_OBJECT) & (mine.labels[:, None] == theirs.labels[None])).any(1)


def _group_findings(splits: Splits) -> Iterator[Finding]:
    """Videos and originals, told by file names, whose images are in more than one split."""
    groups: dict[str, list[kinds.Place]] = {}
    for split, dataset in splits.items():
        for i, key in enumerate(dataset.keys):
            if (group := name_group(key)) != key:
                groups.setdefault(group, []).append((split, i))
    for group, places in groups.items():
        counts = Counter(split for split, _ in places)
        if len(counts) > 1:
            first = places[0]
            twin = next(place for place in places if place[0] != first[0])
            shares = ", ".join(f"{split} {count}" for split, count in counts.items())
            reason = f"the images of '{group}' are in several splits ({shares})"
            yield Finding(
                kinds.SAME_GROUP, "-".join(counts), splits[first[0]].keys[first[1]], reason, None, first, twin
            )


def _class_findings(splits: Splits) -> Iterator[Finding]:
    """Classes that are absent, rare, unmeasured, unused, or named twice."""
    names = next(iter(splits.values())).names
    counts = {split: dataset.class_counts().sum(0) for split, dataset in splits.items() if len(dataset)}
    train, total = counts.get("train"), sum(counts.values(), np.zeros(len(names), np.int64))
    held_out = total - train if train is not None and len(counts) > 1 else None
    for index, name in names.items():
        if not total[index]:
            yield Finding(kinds.UNUSED_CLASS, "all", name, "no object in any split")
        elif train is not None and not train[index]:
            where = ", ".join(f"{split} {count[index]}" for split, count in counts.items() if count[index])
            yield Finding(kinds.ABSENT_CLASS, "train", name, f"no object in train, but in {where}")
        elif train is not None:
            if train[index] < RARE_OBJECTS:
                yield Finding(kinds.RARE, "train", name, f"{train[index]} objects in train")
            if held_out is not None and not held_out[index]:
                yield Finding(
                    kinds.ONLY_TRAIN, "train", name, f"{train[index]} objects in train, none in another split"
                )
    for first, second in _twin_names(names):
        yield Finding(
            kinds.TWIN_NAMES, "all", names[first], f"classes {first} '{names[first]}' and {second} '{names[second]}'"
        )


def _twin_names(names: dict[int, str]) -> Iterator[tuple[int, int]]:
    """Pairs of classes whose names differ in case, spaces, hyphens or a plural only."""
    seen: dict[str, int] = {}
    for index, name in names.items():
        word = re.sub(r"[\s_-]+", "", name.casefold())
        singular = {re.sub(ending, to, word) for ending, to in (("ies$", "y"), ("es$", ""), ("s$", ""))} | {word}
        plural = {f"{word}s", f"{word}es", re.sub("y$", "ies", word)}
        for form in sorted(singular | plural):
            if form in seen:
                yield seen[form], index
                break
        seen.setdefault(word, index)


def _orphans(splits: Splits) -> Iterator[Finding]:
    """Label files without an image."""
    images = {split: filter(None, map(dataset.path, range(len(dataset)))) for split, dataset in splits.items()}
    for split, file in orphans(images):
        yield Finding(kinds.ORPHAN, split, f"{file.parent.name}/{file.name}", "there is no image of this name")


def _colour_modes(splits: Splits) -> Iterator[Finding]:
    """Files of a colour mode that most files do not have: grey among colour or the reverse, 16 bits among 8."""
    modes: dict[kinds.Place, str] = {}
    for split, dataset in splits.items():
        for i in range(len(dataset)):
            if (path := dataset.path(i)) is not None:
                modes[split, i] = _mode(path)
    counts = Counter(modes.values())
    usual = max(counts, key=counts.__getitem__, default="")
    for (split, i), mode in modes.items():
        if mode != usual and not (mode == COLOUR and _is_grey(splits[split].path(i))):
            reason = f"{mode}, while {counts[usual]} of {len(modes)} files are {usual}"
            yield Finding(kinds.COLOUR_MODES, split, splits[split].keys[i], reason, None, (split, i))


def _mode(path: Path) -> str:
    """What the header of a file says."""
    with opened(path) as image:
        mode = image.mode
    return "16-bit" if mode.startswith("I") else "greyscale" if mode in ("1", "L", "LA") else COLOUR


def _is_grey(path: Path) -> bool:
    """Whether a file in a colour mode holds grey pixels only, but for the noise of compression."""
    pixels = read_image(path, at_least=64).astype(np.int16)
    return int((pixels.max(2) - pixels.min(2)).max()) <= GREY_LEVELS


def _mixed_sizes(splits: Splits) -> Iterator[Finding]:
    """Images of very different sizes."""
    sizes = [dataset.size(i) for dataset in splits.values() for i in range(len(dataset))]
    if sizes and max(map(max, sizes)) > SIZE_RATIO * min(map(max, sizes)):
        (small_h, small_w), (large_h, large_w) = min(sizes, key=max), max(sizes, key=max)
        reason = f"{len(set(sizes))} sizes, from {small_w} x {small_h} to {large_w} x {large_h} pixels"
        yield Finding(kinds.SIZES, "all", "all images", reason)
