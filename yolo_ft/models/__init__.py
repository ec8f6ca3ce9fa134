"""The network families. `build_model("yolov5n", num_classes=3)` makes one with random weights."""

from __future__ import annotations

from yolo_ft.core.errors import UserError
from yolo_ft.models.layers import Detector, class_names
from yolo_ft.models.yolov5 import SIZES, YOLOv5

MODEL_NAMES = tuple(f"yolov5{size}" for size in SIZES)


def build_model(name: str, num_classes: int = 80, names: list[str] | dict[int, str] | None = None) -> Detector:
    """The architecture `name` (`yolov5n` ... `yolov5x`) with random weights from torch's generator.

    `names` gives the classes (list or {index: name}) and overrides `num_classes`. Raises `UserError` for a name
    that is not known. Lesson 01.
    """
    if name not in MODEL_NAMES:
        raise UserError(f"There is no model '{name}': choose one of {', '.join(MODEL_NAMES)}.")
    if names is None and num_classes < 1:
        raise UserError(f"A detector needs at least one class, not {num_classes}.")
    return YOLOv5(name.removeprefix("yolov5"), class_names(names, num_classes))
