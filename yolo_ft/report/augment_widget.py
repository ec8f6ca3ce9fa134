"""One setting of the augmentation at a time, on an image and its boxes: pure views, and sliders over them.

As in `report/widgets.py`: a view is settings -> (picture, sentence), the widget calls it when a control moves.
Lesson 09.
"""

from __future__ import annotations

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from yolo_ft.core.config import DEFAULTS, TrainConfig, require_known
from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.augment import augment
from yolo_ft.data.dataset import Dataset
from yolo_ft.finetune.hyp import PRESETS
from yolo_ft.report.pictures import draw_panels
from yolo_ft.report.widgets import explorer, wide

# each setting and its value at full strength, which for most is more than anyone should train with
FULL = {
    "fliplr": 1.0,
    "flipud": 1.0,
    "translate": 0.5,
    "scale": 0.9,
    "degrees": 90.0,
    "shear": 30.0,
    "perspective": 0.001,
    "hsv_h": 0.5,
    "hsv_s": 1.0,
    "hsv_v": 1.0,
    "mosaic": 1.0,
    "mixup": 1.0,
    "copy_paste": 1.0,
}


def alone(setting: str, value: float, imgsz: int = 320) -> TrainConfig:
    """A configuration that augments with one setting only; mixup, which mixes mosaics, brings mosaic along."""
    require_known(setting, FULL)
    also = {"mosaic": 1.0} if setting == "mixup" else {}
    return TrainConfig(**{**PRESETS["none"], **also, setting: value, "imgsz": imgsz})


def augment_view(
    dataset: Dataset, index: int, setting: str, strength: float, draw: int = 0, imgsz: int = 320
) -> tuple[Figure, str]:
    """Image `index` without augmentation and with `setting` alone, boxes drawn, and what became of the boxes.

    `strength`: share of the setting's value in `FULL`; for fliplr, flipud, mosaic, mixup and copy_paste a probability.
    `draw` counts the random draws.
    """
    config = alone(setting, strength * FULL[setting], imgsz)
    before, old = augment(dataset, index, alone(setting, 0.0, imgsz), 0, 0, mosaic=False)
    after, new = augment(dataset, index, config, 0, draw)
    now = f"{setting} = {getattr(config, setting):g}"
    told = f"{now} (default {DEFAULTS[setting]:g}), draw {draw}: {len(old)} boxes without, {len(new)} with it"
    if len(old) and len(new):
        told += f"; the median box covers {median_area(new) / median_area(old):.2f} times the area"
    return draw_panels([("without", before, old, None), (now, after, new, None)]), f"{told}."


def median_area(target: Target) -> float:
    """The median area of the boxes, in square pixels."""
    return float(np.median((target.boxes[:, 2:] - target.boxes[:, :2]).prod(1)))


def augment_explorer(dataset: Dataset, index: int = 0, setting: str = "degrees", imgsz: int = 320) -> ipywidgets.VBox:
    """A menu of settings, a slider over the strength and one over random draws. Lesson 09."""
    share = {"min": 0.0, "max": 1.0, "step": 0.05, "value": 0.5, "continuous_update": False}
    draws = {"min": 0, "max": 20, "value": 0, "continuous_update": False}
    controls = {
        "setting": wide(ipywidgets.Dropdown, options=list(FULL), value=setting, description="setting"),
        "strength": wide(ipywidgets.FloatSlider, description="strength (share of the full range)", **share),
        "draw": wide(ipywidgets.IntSlider, description="random draw", **draws),
    }
    return explorer(
        controls, lambda setting, strength, draw: augment_view(dataset, index, setting, strength, draw, imgsz)
    )
