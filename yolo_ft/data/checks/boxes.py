"""Single boxes that look wrong: tiny, over the whole image or the edge, thin, drawn twice, or missing. Lesson 06."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from yolo_ft.core.boxes import box_iou, cxcywh_to_xyxy
from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.findings import Finding
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.formats.labels import label_path, parse_labels
from yolo_ft.data.formats.records import ROUNDING
from yolo_ft.data.progress import progress

TINY_PIXELS = 3  # shorter side after letterboxing to the training size
WHOLE = 0.95  # share of the image's area
THIN_RATIO = 20  # long side to short side; in COCO 4 boxes of 22,724 are thinner
SAME_BOX = 0.9  # IoU
TOUCHING = 0.5  # pixels
CONFIDENT = 0.5  # score of a detection that should have a label
UNTOUCHED = 0.3  # IoU with every label below which it has none
NAMED = 60  # letters of a list of classes in a message


class Predictor(Protocol):
    """What a model must do to look for missing labels; `yolo_ft.YOLO` does."""

    names: dict[int, str]

    def predict(self, image: np.ndarray, *, conf: float, imgsz: int) -> list[Detections]:
        """The detections of one image."""


def box_findings(split: str, dataset: Dataset, imgsz: int) -> list[Finding]:
    """Every suspicious box of a split, for training at `imgsz`, and how many boxes touch an edge."""
    found: list[Finding] = []
    at_edge = total = 0
    for i in range(len(dataset)):
        boxes, labels, lines = _rows(dataset, i)
        height, width = dataset.size(i)
        limits = np.array([width, height, width, height])
        if len(boxes):
            inside = np.clip(boxes, 0, limits)
            cases = (
                _sizes(inside, height, width, imgsz) + _over_edge(boxes, limits) + _twice(inside, labels, dataset.names)
            )
            for kind, rows, reason in cases:
                row = rows[-1]
                name = dataset.names[int(labels[row])]
                shown = tuple(tuple(round(float(x), 1) for x in boxes[r]) for r in rows)
                found.append(
                    Finding(kind, split, dataset.keys[i], f"{name} {reason}", lines[row], (split, i), boxes=shown)
                )
            at_edge += int(((inside <= TOUCHING) | (inside >= limits - TOUCHING)).any(1).sum())
            total += len(boxes)
    if at_edge:
        found.append(
            Finding(kinds.AT_EDGE, split, "all images", f"{at_edge} of {total} boxes touch an edge of their image")
        )
    return found


def _rows(dataset: Dataset, index: int) -> tuple[np.ndarray, np.ndarray, list[int | None]]:
    """(boxes xyxy pixels as the label file has them, not cut; labels; lines in the file, None without such a file)."""
    target, path = dataset.target(index), dataset.path(index)
    plain = target.boxes.astype(np.float64), target.labels, [None] * len(target)
    label = None if path is None else label_path(path)
    if label is None or not label.is_file() or not len(target):
        return plain
    text = label.read_text(encoding="utf-8-sig")
    rows, issues = parse_labels(text, dataset.num_classes)
    height, width = dataset.size(index)
    limits = np.array([width, height, width, height])
    boxes = cxcywh_to_xyxy(rows[:, 1:]) * limits
    if boxes.shape != target.boxes.shape or not np.allclose(np.clip(boxes, 0, limits), target.boxes, atol=0.01):
        return plain  # the boxes came from elsewhere, and this file is a leftover
    skipped = {number for number, *_ in issues}
    lines = [n for n, line in enumerate(text.splitlines(), 1) if line.split() and n not in skipped]
    return boxes, target.labels, lines


Case = tuple[kinds.Kind, list[int], str]  # what, the rows (the last one in question), the sentence behind the class


def _sizes(boxes: np.ndarray, height: int, width: int, imgsz: int) -> list[Case]:
    """Tiny, thin and image-filling boxes of one image."""
    sides = boxes[:, 2:] - boxes[:, :2]
    short, long = sides.min(1), sides.max(1)
    trained = short * imgsz / max(height, width)
    cases: list[Case] = []
    for row in np.flatnonzero(trained < TINY_PIXELS):
        w, h = sides[row] * imgsz / max(height, width)
        cases.append((kinds.TINY, [row], f"is {w:.1f} x {h:.1f} pixels when trained at {imgsz}"))
    for row in np.flatnonzero((trained >= TINY_PIXELS) & (long > THIN_RATIO * short)):
        cases.append((kinds.THIN, [row], f"is {long[row] / short[row]:.0f} times as long as it is wide"))
    share = sides.prod(1) / (height * width)
    for row in np.flatnonzero(share > WHOLE):
        cases.append((kinds.HUGE, [row], f"covers {share[row]:.0%} of the image"))
    return cases


def _over_edge(boxes: np.ndarray, limits: np.ndarray) -> list[Case]:
    """Boxes that reach over the image."""
    beyond = np.maximum(-boxes, boxes - limits).max(1)
    return [
        (kinds.OVER_EDGE, [row], f"reaches {beyond[row]:.0f} pixels over the edge")
        for row in np.flatnonzero(beyond > ROUNDING)
    ]


def _twice(boxes: np.ndarray, labels: np.ndarray, names: dict[int, str]) -> list[Case]:
    """Pairs of boxes that are nearly the same, of one class or of two."""
    overlap = np.triu(box_iou(*[torch.from_numpy(boxes)] * 2).numpy(), 1)
    cases: list[Case] = []
    for a, b in np.argwhere(overlap > SAME_BOX):
        if labels[a] == labels[b]:
            cases.append((kinds.TWICE, [a, b], f"is drawn twice (IoU {overlap[a, b]:.2f})"))
        else:
            cases.append(
                (kinds.TWO_CLASSES, [a, b], f"is also labelled {names[int(labels[a])]} (IoU {overlap[a, b]:.2f})")
            )
    return cases


def common_classes(data: Mapping[int, str], model: Mapping[int, str]) -> set[str]:
    """The class names that a data set and a model share. Raises `UserError` where there is none."""
    shared = set(data.values()) & set(model.values())
    if not shared:
        theirs, yours = (
            textwrap.shorten(", ".join(names.values()), NAMED, placeholder=" …") for names in (model, data)
        )
        raise UserError(
            f"The model knows none of the classes of the data set ({yours}), only {theirs}: it can find no object that "
            "was forgotten. Take a model that was trained on these classes, or none."
        )
    return shared


def unlabelled_findings(split: str, dataset: Dataset, model: Predictor, imgsz: int) -> list[Finding]:
    """Confident detections that no label touches, surest first: objects that were forgotten, or mistakes of the model.

    Only classes that model and data set share by name count. A model that was trained on these very labels has learned
    to leave out what they leave out, so it finds less than there is. Raises `UserError` where they share no class.
    """
    shared = common_classes(dataset.names, model.names)
    found = []
    for i in progress(range(len(dataset)), len(dataset), f"predicting {split}"):
        detections = model.predict(dataset.image(i), conf=CONFIDENT, imgsz=imgsz)[0].above(CONFIDENT)
        truth = torch.from_numpy(dataset.target(i).boxes)
        overlap = (
            box_iou(torch.from_numpy(detections.boxes), truth).numpy() if len(truth) else np.zeros((len(detections), 1))
        )
        for row in np.flatnonzero(overlap.max(1) < UNTOUCHED):
            name, score = model.names[int(detections.labels[row])], float(detections.scores[row])
            if name in shared:
                box = tuple(round(float(x), 1) for x in detections.boxes[row])
                reason = f"the model sees {name} (score {score:.2f}) where no box is"
                found.append(
                    (score, Finding(kinds.UNLABELLED, split, dataset.keys[i], reason, None, (split, i), boxes=(box,)))
                )
    return [finding for _, finding in sorted(found, key=lambda item: -item[0])]
