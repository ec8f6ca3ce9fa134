"""How good a detector is: average precision by the COCO definition, computed by faster-coco-eval.

Lesson 04 builds IoU, the precision-recall curve and AP by hand and finds these numbers again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from faster_coco_eval import COCO, COCOeval_faster

from yolo_ft.core.errors import UserError
from yolo_ft.core.signposts import Signposts
from yolo_ft.core.targets import Detections, Target

MAX_DETECTIONS = 300  # best-scored detections per image and class that count, as in YOLOv5; COCO's own tables use 100
ANY_AREA = [0.0, 1e20]  # square pixels: no object is too large to count


@dataclass(frozen=True)
class Curve:
    """Precision over recall of one class at IoU 0.5, at the 101 recall points 0, 0.01, … 1 of the COCO definition.

    `precision` (101,) is the best precision at this recall or a higher one, 0 where the recall is never reached;
    `confidence` (101,) is the threshold at which the recall is reached. AP50 is the mean of `precision`. Lesson 04.
    """

    recall: np.ndarray
    precision: np.ndarray
    confidence: np.ndarray


@dataclass(frozen=True, repr=False)
class Metrics(Signposts):
    """What `evaluate` returns. Means are taken over the classes that have at least one labelled object.

    `map50`, `map50_95`: mean AP at IoU 0.5, and averaged over IoU 0.50, 0.55, … 0.95. `precision`, `recall`: class
    means at `confidence`, the threshold that maximises the mean F1. `per_class`: DataFrame indexed by class name with
    columns images, instances, ap50, ap50_95, precision, recall (the last four NaN for a class without objects).
    `curves`: {class name: Curve}, classes with objects only. All means are NaN when no image has a labelled object.
    """

    elsewhere = {
        "box": "map50, map50_95, precision, recall and per_class are attributes of the metrics themselves",
        "maps": "per_class has a row for each class",
        "results_dict": "to_dict() gives plain numbers",
        "confusion_matrix": "per_class and curves say what each class reaches",
    }

    map50: float
    map50_95: float
    precision: float
    recall: float
    confidence: float
    per_class: pd.DataFrame
    curves: dict[str, Curve]

    def __repr__(self) -> str:
        return (
            f"Metrics(map50={self.map50:.3f}, map50_95={self.map50_95:.3f}, precision={self.precision:.3f}, "
            f"recall={self.recall:.3f} at confidence {self.confidence:.3f})"
        )

    def to_dict(self) -> dict:
        """The form in which `summary.json` keeps it: plain numbers, classes without objects left out."""
        present = self.per_class[self.per_class["instances"] > 0]
        return {
            "map50": self.map50,
            "map50_95": self.map50_95,
            "precision": self.precision,
            "recall": self.recall,
            "confidence": self.confidence,
            "per_class": {
                str(name): {"ap50": float(row["ap50"]), "ap50_95": float(row["ap50_95"])}
                for name, row in present.iterrows()
            },
        }


def evaluate_detections(
    truths: Sequence[Target], detections: Sequence[Detections], names: Mapping[int, str]
) -> Metrics:
    """Compare detections with the labelled objects of the same images, `detections[i]` with `truths[i]`.

    Boxes are xyxy in pixels of the original images; `names` maps every class index to its name. An image without
    objects counts: whatever is found there is a false positive. Per image and class the `MAX_DETECTIONS` best
    detections count. Precision and recall are read from the interpolated curves of COCO (101 recall points, IoU 0.5),
    so recall is rounded down to hundredths and precision is that of the curve's upper envelope.

    Raises UserError without images, when the lists differ in length, and when a label has no name; warns when no
    image has an object. Source: COCO evaluation (Lin et al. 2014, arXiv:1405.0312). Lesson 04.
    """
    if len(truths) != len(detections):
        raise UserError(
            f"{len(truths)} labelled images but detections for {len(detections)}; give one entry per image."
        )
    if not truths:
        raise UserError("There is no image to evaluate on; choose a split that has images.")
    classes = sorted(names)
    _check_labels(truths, classes, "label")
    _check_labels(detections, classes, "detection")
    images, instances = _count(truths, classes)
    if not instances.any():
        warnings.warn("No image has a labelled object, so average precision is undefined (NaN).", stacklevel=2)
    precision, scores = _coco_curves(truths, detections, classes)  # (iou, recall, class) each
    absent = instances == 0
    ap = precision.mean(axis=1)  # (iou, class)
    ap[:, absent] = np.nan
    confidence, class_precision, class_recall = _best_f1(precision[0][:, ~absent], scores[0][:, ~absent])
    table = pd.DataFrame(
        {"images": images, "instances": instances, "ap50": ap[0], "ap50_95": ap.mean(axis=0)},
        index=pd.Index([names[c] for c in classes], name="class"),
    )
    table["precision"], table["recall"] = np.nan, np.nan
    table.loc[~absent, "precision"] = class_precision
    table.loc[~absent, "recall"] = class_recall
    recall_points = np.linspace(0, 1, precision.shape[1])
    curves = {
        names[c]: Curve(recall_points, precision[0, :, k].copy(), scores[0, :, k].copy())
        for k, c in enumerate(classes)
        if instances[k]
    }
    means = [_mean(table[column].to_numpy()) for column in ("ap50", "ap50_95", "precision", "recall")]
    return Metrics(*means, confidence, table, curves)


def _check_labels(items: Sequence[Target | Detections], classes: list[int], what: str) -> None:
    found = np.unique(np.concatenate([item.labels for item in items]))
    unknown = np.setdiff1d(found, classes)
    if len(unknown):
        raise UserError(
            f"A {what} has class {unknown[0]}, but the names cover only {len(classes)} classes "
            f"({', '.join(map(str, classes[:10]))}{', …' if len(classes) > 10 else ''})."
        )


def _count(truths: Sequence[Target], classes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Per class: the images that show it, and its objects; (class,) integers each."""
    images, instances = np.zeros(len(classes), np.int64), np.zeros(len(classes), np.int64)
    for truth in truths:
        positions, counts = np.unique(np.searchsorted(classes, truth.labels), return_counts=True)
        images[positions] += 1
        instances[positions] += counts
    return images, instances


def _coco_curves(
    truths: Sequence[Target], detections: Sequence[Detections], classes: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """faster-coco-eval's precision and scores: two (10 IoU, 101 recall, class) arrays, -1 for absent classes."""
    if not classes:
        return np.zeros((10, 101, 0)), np.zeros((10, 101, 0))
    scores = np.concatenate([found.scores for found in detections]).tolist()
    truth = _coco_set(truths, classes, None)
    found = _coco_set(detections, classes, scores)
    evaluation = COCOeval_faster(truth, found, "bbox", print_function=_silent)
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [ANY_AREA], ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    result = evaluation.eval  # both arrays: (iou, recall, class, area, max detections)
    return np.array(result["precision"])[..., 0, 0], np.array(result["scores"])[..., 0, 0]


def _coco_set(items: Sequence[Target | Detections], classes: list[int], scores: list[float] | None) -> COCO:
    """Boxes of all images as a COCO object. Ids start at 1: faster-coco-eval reads match id 0 as "not matched"."""
    image = np.repeat(np.arange(len(items)), [len(item) for item in items])
    boxes = np.concatenate([item.boxes for item in items]).astype(np.float64)  # (n, 4)
    boxes[:, 2:] -= boxes[:, :2]  # xyxy -> left, top, width, height
    labels = np.concatenate([item.labels for item in items])
    columns = zip(image.tolist(), labels.tolist(), boxes.tolist(), boxes[:, 2:].prod(1).tolist(), strict=True)
    annotations = [
        {"id": i, "image_id": image_id, "category_id": label, "bbox": box, "area": area, "iscrowd": 0}
        for i, (image_id, label, box, area) in enumerate(columns, start=1)
    ]
    if scores is not None:
        for annotation, score in zip(annotations, scores, strict=True):
            annotation["score"] = score
    return COCO(
        {
            "images": [{"id": i} for i in range(len(items))],
            "categories": [{"id": c, "name": str(c)} for c in classes],
            "annotations": annotations,
        }
    )


def _silent(*_: object) -> None:
    """faster-coco-eval reports its progress to this function."""


def _best_f1(precision: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """The confidence with the best class-mean F1, and every class's precision and recall there.

    `precision`, `scores`: (101 recall points, class) at IoU 0.5. At a threshold, a class stands at the highest recall
    point whose score is not below it; a class without a detection above the threshold has precision and recall 0.
    Among equally good thresholds the lowest is taken, which keeps the most detections.
    """
    points, classes = precision.shape
    best = (math.nan if classes == 0 else 0.0, np.zeros(classes), np.zeros(classes))
    best_f1 = 0.0
    reached = precision > 0
    columns = np.arange(classes)
    for threshold in np.unique(scores[reached]):  # ascending, at most 101 per class
        counts = (reached & (scores >= threshold)).sum(axis=0)  # (class,) recall points reached
        last = np.maximum(counts - 1, 0)
        p = np.where(counts > 0, precision[last, columns], 0.0)
        r = np.where(counts > 0, last / (points - 1), 0.0)
        f1 = float((2 * p * r / np.maximum(p + r, 1e-16)).mean())
        if f1 > best_f1:
            best_f1, best = f1, (float(threshold), p, r)
    return best


def _mean(values: np.ndarray) -> float:
    """Mean over the classes that have a value; NaN when none has."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else math.nan


def fitness(metrics: dict) -> float:
    """The number that decides which epoch is best: 0.1 mAP50 + 0.9 mAP50-95, as YOLOv5 weighs them; NaN is worst."""
    value = 0.1 * metrics["map50"] + 0.9 * metrics["map50_95"]
    return value if value == value else -1.0
