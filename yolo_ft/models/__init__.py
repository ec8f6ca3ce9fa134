"""The network families. `build_model("yolov5n", num_classes=3)` makes one with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from yolo_ft.core.errors import UserError
from yolo_ft.models.detector import Detector, class_names
from yolo_ft.models.yolo26 import YOLO26
from yolo_ft.models.yolov5 import YOLOv5

FAMILIES = (YOLOv5, YOLO26)
MODELS = {f"{family.family}{size}": (family, size) for family in FAMILIES for size in family.sizes}
MODEL_NAMES = tuple(MODELS)


def build_model(name: str, num_classes: int = 80, names: list[str] | dict[int, str] | None = None) -> Detector:
    """The architecture `name` (`yolov5n` ... `yolo26x`) with random weights from torch's generator.

    `names` gives the classes (list or {index: name}) and overrides `num_classes`. Raises `UserError` for a name
    that is not known. Lesson 01.
    """
    if name not in MODELS:
        raise UserError(f"There is no model '{name}': choose one of {', '.join(MODEL_NAMES)}.")
    if names is None and num_classes < 1:
        raise UserError(f"A detector needs at least one class, not {num_classes}.")
    family, size = MODELS[name]
    return family(size, class_names(names, num_classes))


def model_for(shapes: Mapping[str, Sequence[int]]) -> Detector | None:
    """The architecture whose state dict has exactly these names and shapes, None when there is none.

    Its tensors are on the `meta` device: shapes without numbers.
    """
    shapes = {key: tuple(shape) for key, shape in shapes.items()}
    for family in FAMILIES:
        if (head := family.head_options(shapes)) is None:
            continue
        classes = class_names(None, head.pop("num_classes"))
        for size in family.sizes:
            with torch.device("meta"):
                model = family(size, classes, **head)
            if {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()} == shapes:
                return model
    return None
