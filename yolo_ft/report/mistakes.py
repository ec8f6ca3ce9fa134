"""What a detector got wrong in each image: objects missed, boxes without an object. Lesson 04 browses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from yolo_ft.core.boxes import box_iou
from yolo_ft.core.targets import Detections, Target


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
