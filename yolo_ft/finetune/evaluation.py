"""From images to detections, and from detections to metrics."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.parallel import spread
from yolo_ft.core.targets import Batch, Detections, Target
from yolo_ft.data.dataset import Dataset, load_dataset
from yolo_ft.data.health import HealthReport
from yolo_ft.data.loader import EvalLoader
from yolo_ft.finetune.compute import Compute, resolve_compute
from yolo_ft.finetune.metrics import MAX_DETECTIONS, Metrics, evaluate_detections
from yolo_ft.models import Detector

LOW_CONFIDENCE = 0.001  # average precision wants the whole curve, down to the unlikely
NARROWEST = 0.1  # pixels: boxes are written to tenths, and one predicted beside the image is cut to a line at its edge
CANDIDATES = 3000  # best-scored boxes of an image that enter NMS: an untrained network has six times as many


def detect(
    model: Detector,
    dataset: Dataset,
    imgsz: int = 320,
    batch: int = 16,
    confidence: float = LOW_CONFIDENCE,
    iou: float | None = None,
    multi_label: bool = True,
    compute: Compute | None = None,
    end_to_end: bool = False,
) -> list[Detections]:
    """Detections of every image of `dataset`, in order, boxes xyxy in pixels of the original image.

    The defaults are those that the families are measured with: every class above 0.001, the family's own IoU
    (`Detector.val_iou`), at most 300 boxes an image. `end_to_end` does without suppression (see `Detector.detections`).
    Without `compute` the network runs in fp32, on a GPU where there is one. The model's mode is put back afterwards.
    Raises `UserError` for an `imgsz` that is no multiple of the largest stride, and for numbers out of range.
    Lesson 04.
    """
    import torchvision.ops  # noqa: F401  for `nms`, before threads of ours could import it at the same time

    compute = compute or resolve_compute(TrainConfig(precision="fp32"))
    iou = model.val_iou if iou is None else iou
    _require_usable(model, imgsz, batch, confidence, iou)
    loader, was_training = EvalLoader(dataset, imgsz, batch), model.training
    compute.place(model).eval()

    def detections(batch: Batch) -> list[Detections]:
        """The detections of one batch, boxes in pixels of the original images."""
        with torch.inference_mode(), compute.autocast():
            raw = model(compute.images(batch.images))
        with torch.inference_mode():
            kept = model.detections(raw, confidence, iou, multi_label, MAX_DETECTIONS, CANDIDATES, end_to_end)
        rows = [found.float().cpu().numpy() for found in kept]  # (n, 6) each
        pairs = zip(rows, batch.letterboxes, strict=True)
        return [Detections(box.to_image(found[:, :4]), found[:, 4], found[:, 5]) for found, box in pairs]

    try:
        with compute.folded(model), model.answering(end_to_end):
            if compute.device == "cpu":
                parts = list(spread(lambda group: detections(loader.make(group)), loader.groups()))
            else:
                parts = [detections(images) for images in loader]
    finally:
        model.train(was_training)
    return [found for part in parts for found in part]


def _require_usable(model: Detector, imgsz: object, batch: int, confidence: float, iou: float) -> None:
    stride = max(model.strides)
    if not isinstance(imgsz, Integral) or imgsz < stride or imgsz % stride:
        raise UserError(f"imgsz={imgsz}: give a multiple of {stride}; images are padded to squares of that size.")
    if batch < 1:
        raise UserError(f"batch={batch}: give at least 1.")
    for name, value in (("conf", confidence), ("iou", iou)):
        if not 0 <= value <= 1:
            raise UserError(f"{name}={value:g} is out of range: give a number from 0 to 1.")


def evaluate(
    model: Detector,
    data: str | Dataset,
    split: str = "val",
    imgsz: int = 320,
    batch: int = 16,
    compute: Compute | None = None,
    end_to_end: bool = False,
) -> Metrics:
    """Average precision, precision and recall of `model` on a dataset (name, path or `Dataset`). Lesson 04.

    `end_to_end` measures the answers of a head that needs no suppression (see `Detector.detections`).
    """
    dataset = load_dataset(data, split)
    found = detect(model, dataset, imgsz, batch, compute=compute, end_to_end=end_to_end)
    return evaluate_detections([dataset.target(i) for i in range(len(dataset))], found, dataset.names)


def detect_images(
    model: Detector,
    images: Sequence[np.ndarray],
    imgsz: int = 320,
    confidence: float = 0.25,
    iou: float | None = None,
    compute: Compute | None = None,
    end_to_end: bool = False,
) -> list[Detections]:
    """Detections in uint8 (h, w, 3) RGB images, one class per box: what a person wants to look at.

    `iou` is the family's own (`Detector.predict_iou`) unless given; `end_to_end` as in `detect`. Boxes of which nothing
    lies in the image are left out; `detect`, which evaluation measures, keeps all.
    """
    iou = model.predict_iou if iou is None else iou
    sizes = [image.shape[:2] for image in images]
    keys, targets = [str(i) for i in range(len(images))], [Target() for _ in images]
    dataset = Dataset("images", "predict", model.names, keys, images, sizes, targets, HealthReport())
    found = detect(model, dataset, imgsz, 16, confidence, iou, False, compute, end_to_end)
    return [each.keep((each.boxes[:, 2:] - each.boxes[:, :2] > NARROWEST).all(1)) for each in found]
