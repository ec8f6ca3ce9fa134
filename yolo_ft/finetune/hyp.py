"""YOLOv5's hyper-parameter files, shipped by name or read from disk, and presets that set the augmentation alone.

A file that is given stands for YOLOv5's own recipe: SGD, nominal batch 64, slow EMA, linear decay, at least 100
warm-up batches (`RECIPE`). Lesson 07 compares the recipes with the defaults for small data, lesson 09 the presets.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import yaml

from yolo_ft.core.config import DEFAULTS, TrainConfig, require_known
from yolo_ft.core.errors import UserError

RECIPE = {
    "optimizer": "SGD",
    "nominal_batch": 64,
    "cos_lr": False,
    "warmup_min_steps": 100,
    "clip_norm": 10.0,
    "ema_decay": 0.9999,
    "ema_ramp": 2000.0,
    "bn_momentum": 0.03,
    "close_mosaic": 0,
    "patience": 100,
    "transfer_mode": "reference",
}
# hyp.scratch-low.yaml, YOLOv5 v6.1 and later: its default
SCRATCH_LOW = {
    "lr0": 0.01,
    "lrf": 0.01,
    "momentum": 0.937,
    "weight_decay": 0.0005,
    "warmup_epochs": 3.0,
    "warmup_momentum": 0.8,
    "warmup_bias_lr": 0.1,
    "box": 0.05,
    "cls": 0.5,
    "cls_pw": 1.0,
    "obj": 1.0,
    "obj_pw": 1.0,
    "iou_t": 0.2,
    "anchor_t": 4.0,
    "fl_gamma": 0.0,
    "hsv_h": 0.015,
    "hsv_s": 0.7,
    "hsv_v": 0.4,
    "degrees": 0.0,
    "translate": 0.1,
    "scale": 0.5,
    "shear": 0.0,
    "perspective": 0.0,
    "flipud": 0.0,
    "fliplr": 0.5,
    "mosaic": 1.0,
    "mixup": 0.0,
    "copy_paste": 0.0,
}
_MEDIUM = {"lrf": 0.1, "cls": 0.3, "obj": 0.7, "scale": 0.9, "mixup": 0.1}
_VOC = {
    "lr0": 0.00334,
    "lrf": 0.15135,
    "momentum": 0.74832,
    "weight_decay": 0.00025,
    "warmup_epochs": 3.3835,
    "warmup_momentum": 0.59462,
    "warmup_bias_lr": 0.18657,
    "box": 0.02,
    "cls": 0.21638,
    "cls_pw": 0.5,
    "obj": 0.51728,
    "obj_pw": 0.67198,
    "anchor_t": 3.3744,
    "anchors": 3.412,
    "hsv_h": 0.01041,
    "hsv_s": 0.54703,
    "hsv_v": 0.27739,
    "translate": 0.04591,
    "scale": 0.75544,
    "mosaic": 0.85834,
    "mixup": 0.04266,
}
_OBJECTS365 = {
    "lr0": 0.00258,
    "lrf": 0.17,
    "momentum": 0.779,
    "weight_decay": 0.00058,
    "warmup_epochs": 1.33,
    "warmup_momentum": 0.86,
    "warmup_bias_lr": 0.0711,
    "box": 0.0539,
    "cls": 0.299,
    "cls_pw": 0.825,
    "obj": 0.632,
    "anchor_t": 3.44,
    "anchors": 3.2,
    "hsv_h": 0.0188,
    "hsv_s": 0.704,
    "hsv_v": 0.36,
    "translate": 0.0902,
    "scale": 0.491,
}
_NO_AUGMENTATION = {"lrf": 0.1, "cls": 0.3, "obj": 0.7, "fliplr": 0.0, "mosaic": 0.0} | dict.fromkeys(
    ("hsv_h", "hsv_s", "hsv_v", "translate", "scale"), 0.0
)
# evolved on VOC for fine-tuning, YOLOv5 v6.0
_FINETUNE = {
    "lr0": 0.0032,
    "lrf": 0.12,
    "momentum": 0.843,
    "weight_decay": 0.00036,
    "warmup_epochs": 2.0,
    "warmup_momentum": 0.5,
    "warmup_bias_lr": 0.05,
    "box": 0.0296,
    "cls": 0.243,
    "cls_pw": 0.631,
    "obj": 0.301,
    "obj_pw": 0.911,
    "anchor_t": 2.91,
    "hsv_h": 0.0138,
    "hsv_s": 0.664,
    "hsv_v": 0.464,
    "degrees": 0.373,
    "translate": 0.245,
    "scale": 0.898,
    "shear": 0.602,
    "flipud": 0.00856,
    "mixup": 0.243,
}
# each file shows only what differs from scratch-low
SHIPPED = {
    "hyp.scratch-low": {},
    "hyp.scratch-med": _MEDIUM,
    "hyp.scratch-high": _MEDIUM | {"copy_paste": 0.1},
    "hyp.VOC": _VOC,
    "hyp.Objects365": _OBJECTS365,
    "hyp.no-augmentation": _NO_AUGMENTATION,
    "hyp.finetune": _FINETUNE,
}

# {name: augmentation settings, and nothing else}; no preset pastes: that is about rare classes, not about strength
AUGMENTATION = (
    *("hsv_h", "hsv_s", "hsv_v", "degrees", "translate", "scale", "shear", "perspective"),
    *("flipud", "fliplr", "mosaic", "mixup", "copy_paste"),
)
_NONE = dict.fromkeys(AUGMENTATION, 0.0)
_DEFAULT = {key: DEFAULTS[key] for key in AUGMENTATION}
PRESETS = {
    "none": _NONE,
    "light": _NONE | {"hsv_h": 0.01, "hsv_s": 0.3, "hsv_v": 0.2, "translate": 0.05, "scale": 0.2, "fliplr": 0.5},
    "default": _DEFAULT,
    "strong": _DEFAULT
    | {"hsv_h": 0.03, "hsv_s": 0.9, "hsv_v": 0.6, "degrees": 10.0, "translate": 0.2, "scale": 0.8, "shear": 2.0}
    | {"flipud": 0.5, "mixup": 0.15},
}


def load_hyp(name: str | Path) -> dict:
    """Settings of a hyp file, by shipped name (`hyp.finetune`, with or without `.yaml`) or by path, or of a preset.

    A file on disk wins over a shipped one of the same name. Keys that no part of this package can act on warn;
    unknown keys are a `UserError` that names the nearest. Returns settings for `TrainConfig`, `RECIPE` included; a
    preset ("none", "light", "default", "strong") is augmentation alone and changes nothing else.
    """
    path = Path(name)
    shipped = path.name.removesuffix(".yaml")
    if path.is_file():
        values = _read(path)
    elif str(name) in PRESETS:
        return dict(PRESETS[str(name)])
    elif shipped in SHIPPED and path.parent == Path():
        values = SHIPPED[shipped]
    else:
        raise UserError(f"There is no hyp file '{name}': give a path or one of {', '.join([*PRESETS, *SHIPPED])}.")
    for key in values:
        require_known(key, SCRATCH_LOW | {"anchors": 0.0, **TrainConfig().to_dict()})
    _warn_without_effect(values)
    return RECIPE | SCRATCH_LOW | values


def _read(path: Path) -> dict:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a readable YAML file ({str(error).splitlines()[0]}): mend or replace it."
        ) from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no 'key: value' lines: a hyp file looks like 'lr0: 0.01'.")
    return values


def _warn_without_effect(values: dict) -> None:
    """Say which given keys cannot act.

    `iou_t` never did in YOLOv5 v6 and v7, `anchors` asks for another head than the checkpoints have. `copy_paste`
    does act, though otherwise than in YOLOv5, which mirrors outlines in a mosaic (`yolo_ft.data.augmentation.paste`).
    """
    idle = ["anchors"] if values.get("anchors") else []
    if values.get("iou_t", SCRATCH_LOW["iou_t"]) != SCRATCH_LOW["iou_t"]:
        idle.append("iou_t")
    if idle:
        warnings.warn(f"These hyper-parameters have no effect here: {', '.join(idle)}.", stacklevel=3)
