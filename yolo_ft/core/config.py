"""Every setting of a training run, with the names of the YOLOv5 hyper-parameter files and defaults for small data.

The defaults are chosen for fine-tuning a few hundred images; `finetune/hyp.py` holds YOLOv5's own recipes by name.
"""

from __future__ import annotations

import difflib
import types
import typing
from dataclasses import MISSING, asdict, dataclass, fields

from yolo_ft.core.errors import UserError


@dataclass
class TrainConfig:
    """Settings of one run. Rates are per optimiser step, gains multiply loss terms, angles are in degrees."""

    # what
    data: str = "cells"
    weights: str = ""
    epochs: int = 25
    batch: int = 16
    imgsz: int = 320
    freeze: typing.Any = None
    freeze_bn: str = "fixed"
    seed: int = 0
    transfer_mode: str = "names"
    # optimiser and schedule
    optimizer: str = "AdamW"
    lr0: float = 0.002
    lrf: float = 0.01
    cos_lr: bool = True
    momentum: float = 0.9
    weight_decay: float = 0.05
    warmup_epochs: float = 1.0
    warmup_momentum: float = 0.8
    warmup_bias_lr: float = 0.0
    warmup_min_steps: int = 0
    nominal_batch: int = 16
    clip_norm: float = 10.0
    ema_decay: float = 0.99
    ema_ramp: float = 100.0
    bn_momentum: float = 0.1
    # loss
    box: float | None = None  # what the family's loss has: YOLOv5 0.05, YOLO26 7.5
    cls: float = 0.5
    dfl: float | None = None  # the distances of YOLO26, 1.5
    cls_pw: float = 1.0
    obj: float = 1.0
    obj_pw: float = 1.0
    iou_t: float = 0.2
    anchor_t: float = 4.0
    anchors: float = 0.0
    fl_gamma: float = 0.0
    label_smoothing: float = 0.0
    # augmentation
    hsv_h: float = 0.015
    hsv_s: float = 0.7
    hsv_v: float = 0.4
    degrees: float = 0.0
    translate: float = 0.1
    scale: float = 0.5
    shear: float = 0.0
    perspective: float = 0.0
    flipud: float = 0.0
    fliplr: float = 0.5
    mosaic: float = 1.0
    mixup: float = 0.0
    copy_paste: float = 0.0
    close_mosaic: int = 5
    views: int | None = None
    # run
    autoanchor: bool = True
    patience: int = 0
    val_every: int = 1
    precision: str = "auto"
    device: str = "auto"
    workers: int = 1
    cache: str = "ram"
    prefix_cache: bool = True
    project: str = "runs"
    name: str = "train"

    def __post_init__(self) -> None:
        for field in fields(self):
            setattr(self, field.name, _checked(field.name, getattr(self, field.name), _TYPES[field.name]))
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name}={getattr(self, name)!r} is not known: choose one of {', '.join(allowed)}.")
        for name, (low, high) in RANGES.items():
            if getattr(self, name) is not None and not low <= getattr(self, name) <= high:
                raise UserError(
                    f"{name}={getattr(self, name):g} is out of range: give a number from {low:g} to {high:g}."
                )

        if self.views is not None and self.views >= self.epochs:
            raise UserError(f"views={self.views} would each be seen once in {self.epochs} epochs: give fewer, or 0.")

    @classmethod
    def from_dict(cls, values: dict) -> TrainConfig:
        """A configuration from {name: value}. An unknown name or a wrong type is a `UserError` that names the mend."""
        for name in values:
            require_known(name, _TYPES)
        return cls(**values)

    def to_dict(self) -> dict:
        """Plain values, one per setting, as `config.yaml` keeps them."""
        return asdict(self)


CHOICES = {
    "freeze_bn": ("fixed", "running"),
    "optimizer": ("AdamW", "SGD", "MuSGD", "auto"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "transfer_mode": ("names", "reference"),
    "cache": ("ram", "none"),
}
INF = float("inf")
RANGES = {
    "epochs": (1, INF),
    "batch": (1, INF),
    "imgsz": (32, INF),
    "seed": (0, 2**32 - 1),
    "lr0": (0, INF),
    "lrf": (0, INF),
    "momentum": (0, 1),
    "weight_decay": (0, INF),
    "warmup_epochs": (0, INF),
    "warmup_min_steps": (0, INF),
    "warmup_momentum": (0, 1),
    "warmup_bias_lr": (0, INF),
    "nominal_batch": (1, INF),
    "clip_norm": (0, INF),
    "ema_decay": (0, 1),
    "ema_ramp": (0, INF),
    "bn_momentum": (0, 1),
    "anchor_t": (1, INF),
    "hsv_h": (0, 1),
    "hsv_s": (0, 1),
    "hsv_v": (0, 1),
    "translate": (0, 0.9),
    "scale": (0, 0.99),
    "perspective": (0, 0.001),
    "label_smoothing": (0, 1),
    "iou_t": (0, 1),
    "patience": (0, INF),
    "val_every": (1, INF),
    "close_mosaic": (0, INF),
    "views": (0, INF),
    "workers": (0, INF),
    **{name: (0, INF) for name in ("box", "cls", "dfl", "obj", "cls_pw", "obj_pw", "fl_gamma")},
    **{name: (0, 1) for name in ("flipud", "fliplr", "mosaic", "mixup", "copy_paste")},
}
_TYPES = typing.get_type_hints(TrainConfig)
DEFAULTS = {field.name: field.default for field in fields(TrainConfig) if field.default is not MISSING}


def require_known(name: str, known: typing.Iterable[str], kind: str = "setting") -> None:
    """Raise `UserError` naming the nearest of `known` unless `name` is one of them."""
    known = list(known)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        there = (
            "see TrainConfig for the settings that exist." if kind == "setting" else f"there are {', '.join(known)}."
        )
        raise UserError(f"There is no {kind} '{name}': " + (f"did you mean '{near[0]}'?" if near else there))


def _checked(name: str, value: typing.Any, kind: typing.Any) -> typing.Any:
    """`value` as `kind`; whole floats pass for int and ints for float, nothing else is converted."""
    if kind is typing.Any:
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number and value == value:
        return float(value)
    if kind is int and is_number and value == value and value not in (INF, -INF) and value == int(value):
        return int(value)
    if kind in (bool, str) and isinstance(value, kind):
        return value
    if isinstance(kind, types.UnionType):  # such as int | None
        return value if value is None else _checked(name, value, typing.get_args(kind)[0])
    raise UserError(f"{name}={value!r} has the wrong type: give {'an' if kind is int else 'a'} {kind.__name__}.")
