"""What a detector got wrong: in each image (objects missed, boxes without an object), and in which class. Lesson 04."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from yolo_ft.core.boxes import box_iou
from yolo_ft.core.targets import Detections, Target
from yolo_ft.finetune.metrics import Metrics


@dataclass(frozen=True)
class Mistakes:
    """One image: `missed` (truths,) and `false` (detections,) are masks; `iou` (detections,) is 0 where unmatched."""

    missed: np.ndarray
    false: np.ndarray
    iou: np.ndarray


def find_mistakes(truth: Target, detections: Detections, iou: float = 0.5) -> Mistakes:
    """Match detections to objects of their class, best score first, each object once, as average precision does.

    A detection takes the free object of its class that it overlaps most, if that IoU reaches `iou`.
    """
    missed = np.ones(len(truth.labels), bool)
    overlap = np.zeros(len(detections.labels))
    table = box_iou(torch.as_tensor(detections.boxes), torch.as_tensor(truth.boxes)).numpy()  # (detections, truths)
    for row in np.argsort(-detections.scores, kind="stable"):
        free = np.flatnonzero(missed & (truth.labels == detections.labels[row]))
        if len(free) == 0:
            continue
        best = free[table[row, free].argmax()]
        if table[row, best] >= iou:
            missed[best], overlap[row] = False, table[row, best]
    return Mistakes(missed, overlap == 0, overlap)


def rank_mistakes(
    truths: Sequence[Target], detections: Sequence[Detections], confidence: float = 0.25, iou: float = 0.5
) -> pd.DataFrame:
    """One row per image, worst first: image (its position), objects, missed, false, mean_iou of the matched boxes.

    Worst means most mistakes (missed + false); the looser boxes break ties, then the position.
    """
    rows = []
    for image, (truth, found) in enumerate(zip(truths, detections, strict=True)):
        mistakes = find_mistakes(truth, found.above(confidence), iou)
        matched = mistakes.iou[~mistakes.false]
        rows.append(
            {
                "image": image,
                "objects": len(truth.labels),
                "missed": int(mistakes.missed.sum()),
                "false": int(mistakes.false.sum()),
                "mean_iou": float(matched.mean()) if len(matched) else float("nan"),
            }
        )
    table = pd.DataFrame(rows, columns=["image", "objects", "missed", "false", "mean_iou"])
    order = pd.DataFrame({"mistakes": -(table["missed"] + table["false"]), "iou": table["mean_iou"]})
    return table.loc[order.sort_values(["mistakes", "iou"], kind="stable").index].reset_index(drop=True)


def weakest_class(metrics: Metrics, truths: Sequence[Target], names: Mapping[int, str]) -> str:
    """A sentence on the class with the lowest AP50: how many objects it has and how large, beside the other classes.

    How large: the median over the objects of the root of the box's area, in pixels of the images.
    """
    boxes = {name: np.concatenate([truth.boxes[truth.labels == k] for truth in truths]) for k, name in names.items()}
    corners = {name: np.asarray(rows, float) for name, rows in boxes.items() if len(rows)}
    if not corners:
        return "No object is labelled here, so there is no average precision."
    sides = {name: float(np.median(np.sqrt((c[:, 2:] - c[:, :2]).prod(1)))) for name, c in corners.items()}
    weakest = metrics.per_class["ap50"].idxmin()
    others = [name for name in sides if name != weakest]
    told = f"{len(boxes[weakest])} objects with a median side of {sides[weakest]:.0f} pixels"
    if not others:
        return f"mAP50 {metrics.map50:.2f}, of {weakest} alone: here {told}."
    counts = _span([len(boxes[name]) for name in others])
    pixels = _span([sides[name] for name in others])
    return (
        f"mAP50 {metrics.map50:.2f}, lowest for {weakest} with {metrics.per_class.loc[weakest, 'ap50']:.2f}: here "
        f"{told}, in the other classes {counts} objects of {pixels} pixels."
    )


def _span(values: Sequence[float]) -> str:
    """ "3 to 7", or "3" where both ends are the same."""
    ends = dict.fromkeys(f"{value:.0f}" for value in (min(values), max(values)))
    return " to ".join(ends)
