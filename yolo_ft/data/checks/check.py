"""`check`: everything that may be wrong with a data set, found without changing a byte of it. Lesson 06."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.boxes import Predictor, box_findings, common_classes, unlabelled_findings
from yolo_ft.data.checks.copies import pair_findings
from yolo_ft.data.checks.findings import CheckReport, Finding
from yolo_ft.data.checks.groups import name_group
from yolo_ft.data.checks.orphans import orphans, unlisted
from yolo_ft.data.dataset import Dataset, load_splits, read_splits
from yolo_ft.data.drawn.sets import drawn_set
from yolo_ft.data.formats.records import Source, key
from yolo_ft.data.formats.scan import open_source
from yolo_ft.data.formats.yolo import ELSEWHERE, DataSpec, split_images
from yolo_ft.data.health import BACKGROUND, CUT, DROPPED, IGNORED, ROW_REMOVED
from yolo_ft.data.images import opened, read_image

RARE_OBJECTS = 10  # in train
SIZE_RATIO = 2  # between the long sides of the largest and the smallest image
COLOUR = "colour"
GREY_LEVELS = 8  # between the channels of a pixel that is still grey

Splits = dict[str, Dataset]
Grouping = Callable[[Dataset], Sequence[str]]  # the group of every image


def check(
    data: str | Path | Dataset,
    imgsz: int = 640,
    model: Predictor | None = None,
    images: str | Path | None = None,
    origin: int = 1,
    groups: Grouping | None = None,
) -> CheckReport:
    """Look at every split of a data set and rank what is wrong, worst first. Nothing is ever changed.

    `data`, `images`, `origin`: as for `load_dataset`. `imgsz`: the training size, at which boxes are called tiny.
    `model` (such as `YOLO("best.pt")`): also list its confident detections that no label touches, which takes as long
    as predicting every image. `groups` (such as `lambda images: group_labels(images, "patient", "table.csv")`): also
    list these groups where several splits share one, as those of file names. What is looked for, in which order and
    why: `yolo_ft.data.checks.findings`. Raises `UserError` when model and data set share no class. Lesson 06.
    """
    if imgsz < 1:
        raise UserError(f"imgsz is {imgsz}: give the training size in pixels, for example 640.")
    source = None if isinstance(data, Dataset) or drawn_set(data) else open_source(data, images, origin)
    splits = load_splits(data) if source is None else read_splits(source)
    if model is not None:
        common_classes(next(iter(splits.values())).names, model.names)  # before the minutes that large sets take
    found = [*_group_findings(splits, groups), *_scan_findings(splits), *pair_findings(splits)]
    found += [*_class_findings(splits), *_split_findings(splits), *_orphans(splits), *_unlisted(source)]
    found += [*_colour_modes(splits), *_mixed_sizes(splits)]
    if not isinstance(data, Dataset) and "train" in splits and "val" not in splits:
        found.append(Finding(kinds.NO_VALIDATION, "val", "split", f"there is none, only {', '.join(splits)}"))
    for split, dataset in splits.items():
        found += box_findings(split, dataset, imgsz)
        if model is not None:
            found += unlabelled_findings(split, dataset, model, imgsz)
    return CheckReport(splits, imgsz, found)


def _scan_findings(splits: Splits) -> Iterator[Finding]:
    """What the scan that every loading makes has found."""
    by_action = {DROPPED: kinds.DROPPED_IMAGE, ROW_REMOVED: kinds.REMOVED_ROW}
    by_action |= {CUT: kinds.OVER_EDGE, IGNORED: kinds.PASSED_OVER}
    for split, dataset in splits.items():
        for issue in dataset.health.issues:
            background = kinds.NO_LABELS if issue.reason.startswith("no label file") else kinds.BACKGROUND_IMAGES
            kind = background if issue.action == BACKGROUND else by_action[issue.action]
            yield Finding(kind, split, issue.file, issue.reason, issue.line)


def _split_findings(splits: Splits) -> Iterator[Finding]:
    """Splits with nothing in them."""
    for split, dataset in splits.items():
        if any(issue.action == DROPPED for issue in dataset.health.issues) and not len(dataset):
            yield Finding(kinds.EMPTY_SPLIT, split, "all images", f"none of them can be used; {ELSEWHERE}")
        elif not len(dataset):
            kind = kinds.NO_TEST if split == "test" else kinds.EMPTY_SPLIT  # training goes on without a test
            yield Finding(kind, split, "folder or list", "it holds no image")
        elif not dataset.class_counts().any():
            yield Finding(kinds.EMPTY_SPLIT, split, "all images", f"none of {len(dataset)} images has an object")


def _group_findings(splits: Splits, grouping: Grouping | None) -> Iterator[Finding]:
    """Groups whose images are in more than one split: videos and originals, told by file names, and those asked for."""
    places = [(split, i) for split, dataset in splits.items() for i in range(len(dataset))]
    names = [splits[split].keys[i] for split, i in places]
    labels = [list(map(name_group, names))]
    if grouping:  # all images at once: a table whose names fit two of them is refused
        labels.append(grouping(next(iter(splits.values())).joined([(splits[split], i) for split, i in places])))
    found: dict[tuple[kinds.Place, ...], str] = {}  # a group that goes by two names is found once
    for groups in labels:
        members: dict[str, list[kinds.Place]] = {}
        for place, name, group in zip(places, names, groups, strict=True):
            if group != name:  # else the image is a group of its own
                members.setdefault(group, []).append(place)
        found |= {tuple(same): group for group, same in members.items()}
    for places, group in found.items():
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


def _unlisted(source: Source | None) -> Iterator[Finding]:
    """Images of a YOLO data set that have labels but are in no split."""
    if isinstance(source, DataSpec):
        for image in unlisted(path for split in source.splits for path in split_images(source, split)[0]):
            yield Finding(kinds.UNLISTED, "all", key(image, source.root), "it has labels, but no split names it")


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
