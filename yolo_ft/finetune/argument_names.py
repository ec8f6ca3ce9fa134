"""The arguments of Ultralytics 8.4's `train()` in the words of `TrainConfig`, so that a known call works unchanged.

What means the same keeps its name. Some are renamed or written differently; some ask for what happens anyway; the
others are errors that name the nearest thing that exists here.
"""

from __future__ import annotations

from yolo_ft.core.errors import UserError

RENAMED = {"nbs": "nominal_batch"}
CONVERTED = {
    "amp": lambda on: {"precision": "auto" if on else "fp32"},
    "cache": lambda kind: {"cache": {True: "ram", False: "none", "disk": "ram"}.get(kind, kind)},
    "cls_pw": lambda weight: {"cls_pw": weight} if weight else {},  # off is 0 there and 1 here
    "device": lambda device: {} if device is None else {"device": str(device)},
}
# what Ultralytics' value is where this package does just that -> what to use instead of another value
ALWAYS = {
    "bgr": (0.0, "hsv_h, hsv_s and hsv_v vary the colours"),
    "classes": (None, "the names in the data.yaml decide which classes there are"),
    "compile": (False, "precision='auto' finds what is fast on this machine"),
    "cutmix": (0.0, "mixup and mosaic mix images"),
    "deterministic": (True, "equal seeds always give equal bytes on a processor"),
    "dfl": (1.5, "the distances' gain is a fifth of box"),
    "dropout": (0.0, "weight_decay regularises"),
    "exist_ok": (False, "a run whose name is taken gets a number, nothing is overwritten"),
    "fraction": (1.0, "list fewer images in a text file and name it in the data.yaml"),
    "mode": ("train", "val() and predict() are methods of their own"),
    "multi_scale": (0.0, "scale varies the sizes of objects"),
    "pretrained": (True, "YOLO('yolo26n.yaml') starts from random weights"),
    "profile": (False, "the run's summary has seconds, images/s and memory"),
    "rect": (False, "training images are square; validation pads as little as it can"),
    "resume": (False, "yolo_ft.resume('runs/train') finishes an interrupted run"),
    "save": (True, "weights/best.pt and weights/last.pt are always written"),
    "save_period": (-1, "weights/best.pt and weights/last.pt are always written"),
    "single_cls": (False, "give the data.yaml a single class"),
    "split": ("val", "val(split=...) measures on another split"),
    "task": ("detect", "this package detects"),
    "time": (None, "epochs limits a run"),
    "val": (True, "val_every=N validates every N epochs"),
}
SILENT = ("plots", "verbose", "auto_augment", "erasing")  # they change nothing that is trained here


def translate(arguments: dict[str, object]) -> dict[str, object]:
    """`arguments` of either package as settings of `TrainConfig`; unknown names are left for it to judge.

    Raises `UserError` for a value that has no counterpart here, naming the argument and what comes nearest.
    """
    settings: dict[str, object] = {}
    for name, value in arguments.items():
        if name in CONVERTED:
            settings |= CONVERTED[name](value)
        elif name in ALWAYS:
            usual, instead = ALWAYS[name]
            if value != usual:
                raise UserError(f"{name}={value!r} has no counterpart here: {instead}.")
        elif name not in SILENT:
            settings[RENAMED.get(name, name)] = value
    return settings
