"""The arguments of Ultralytics 8.4's methods in the words of this package, so that a known call works unchanged.

What means the same keeps its name. Some are renamed or written differently; some ask for what happens anyway; the
others are errors that name the nearest thing that exists here.
"""

from __future__ import annotations

from collections.abc import Mapping

from yolo_ft.core.config import require_known
from yolo_ft.core.errors import UserError

RENAMED = {"nbs": "nominal_batch"}
CACHES = {"True": "ram", "False": "none", "None": "none", "disk": "ram"}
SHARES = ("mosaic", "mixup", "copy_paste", "fliplr", "flipud")  # of the images; True is all of them
CONVERTED = {
    "amp": lambda on: {"precision": "auto" if on else "fp32"},
    "cache": lambda kind: {"cache": CACHES.get(str(kind), kind)},
    "cls_pw": lambda weight: {"cls_pw": weight} if weight else {},  # 0 is their "off"; other values are YOLOv5's weight
    "device": lambda device: _device(device),
    "imgsz": lambda size: {"imgsz": _imgsz(size)},
    "batch": lambda size: {"batch": _batch(size)},
    "name": lambda name: {} if name is None else {"name": name},
    "project": lambda folder: {} if folder is None else {"project": folder},
    **{name: lambda share, name=name: {name: float(share) if isinstance(share, bool) else share} for name in SHARES},
}
# what Ultralytics' value is where this package does just that -> what to use instead of another value
ALWAYS = {
    "augment": (False, "hyp='strong' augments training images more; validation sees images as they are"),
    "agnostic_nms": (False, "boxes of different classes never suppress each other"),
    "bgr": (0.0, "hsv_h, hsv_s and hsv_v vary the colours"),
    "cfg": (None, "hyp= reads a YOLOv5 hyper-parameter file, and settings are given by name"),
    "channels_last": (None, "the memory layout that suits the machine is taken; precision='fp32' does without"),
    "classes": (None, "the names in the data.yaml decide which classes there are"),
    "cls_remap": (True, "rows of classes with the same name are carried over, others start fresh"),
    "compile": (False, "precision='auto' finds what is fast on this machine"),
    "conf": (None, "a run is measured at all scores; predict(conf=...) shows fewer boxes"),
    "copy_paste_mode": ("flip", "copy_paste pastes objects of other images"),
    "cutmix": (0.0, "mixup and mosaic mix images"),
    "deterministic": (True, "equal seeds always give equal bytes on a processor"),
    "distill_model": (None, "weights are what a model learns from"),
    "dropout": (0.0, "weight_decay regularises"),
    "exist_ok": (False, "a run whose name is taken gets a number, nothing is overwritten"),
    "fraction": (1.0, "list fewer images in a text file and name it in the data.yaml"),
    "half": (False, "precision='auto' finds what is fast on this machine"),
    "iou": (0.7, "a run is measured at its family's own overlap; predict(iou=...) takes another"),
    "max_det": (300, "a run is measured with the 300 best boxes of an image"),
    "mode": ("train", "val() and predict() are methods of their own"),
    "model": (None, "YOLO(...) names the weights"),
    "multi_scale": (0.0, "scale varies the sizes of objects"),
    "nms": (None, "val(nms=False) measures YOLO26 without suppression"),
    "pretrained": (True, "YOLO('yolo26n.yaml') starts from random weights"),
    "profile": (False, "the run's summary has seconds, images/s and memory"),
    "quantize": (None, "save(path, half=True) stores 16-bit numbers"),
    "rect": (False, "images are padded to squares, in training and in validation"),
    "resume": (False, "yolo_ft.resume('runs/train') finishes an interrupted run"),
    "save": (True, "weights/best.pt and weights/last.pt are always written"),
    "save_json": (False, "summary.json and results.csv hold what was measured"),
    "save_period": (-1, "weights/best.pt and weights/last.pt are always written"),
    "single_cls": (False, "give the data.yaml a single class"),
    "split": ("val", "val(split=...) measures on another split"),
    "task": ("detect", "this package detects"),
    "time": (None, "epochs limits a run"),
    "trainer": (None, "listeners=[...] hear of every batch and epoch"),
    "val": (True, "val_every=N validates every N epochs"),
}
# they change nothing in the training of a detector: pictures and talk, other tasks, and other modes
SILENT = frozenset(
    "plots verbose auto_augment erasing overlap_mask mask_ratio retina_masks pose kobj rle angle dis dlog dgrad dlam "
    "source vid_stride stream_buffer visualize embed show save_frames save_txt save_conf save_crop show_labels "
    "show_conf show_boxes line_width format optimize dynamic simplify opset workspace dnn tracker int8 keras".split()
)
# the further arguments of `val()` and `predict()`
ASKING = {
    "agnostic_nms": (False, "boxes of different classes never suppress each other"),
    "augment": (False, "images are seen as they are"),
    "classes": (None, "found.keep(found.labels == 0) keeps a class"),
    "conf": (None, "average precision wants all scores; predict(conf=...) shows fewer boxes"),
    "half": (False, "weights keep their precision"),
    "iou": (None, "the overlap is the family's own; predict(iou=...) takes another"),
    "max_det": (300, "an image gives its 300 best boxes"),
    "rect": (False, "images are padded to squares"),
    "save": (False, "yolo-ft predict draws images into a folder"),
    "save_json": (False, "to_dict() gives the metrics as plain numbers"),
    "save_txt": (False, "yolo-ft predict --save-labels writes labels"),
    "show": (False, "yolo_ft.report.pictures.draw_boxes(image, detections=...) draws them"),
    "stream": (False, "call predict for one image after another"),
    "task": ("detect", "this package detects"),
}
QUIET = frozenset("plots verbose workers project name exist_ok".split())
MODES = {"end2end": "nms=False does without suppression, which YOLO26 can"}


def translate(arguments: dict[str, object]) -> dict[str, object]:
    """`arguments` of either package as settings of `TrainConfig`; unknown names are left for it to judge.

    Raises `UserError` for a value that has no counterpart here, naming the argument and what comes nearest.
    """
    settings: dict[str, object] = {}
    for name, value in arguments.items():
        _refuse_mode(name, value)
        if name in CONVERTED:
            settings |= CONVERTED[name](value)
        elif name in ALWAYS:
            _require_usual(name, value, ALWAYS)
        elif name not in SILENT:
            settings[RENAMED.get(name, name)] = value
    return settings


def refuse_others(arguments: dict[str, object], known: list[str]) -> None:
    """Raise `UserError` for further `arguments` of `val()` or `predict()`, which has those in `known`, that matter."""
    for name, value in arguments.items():
        _refuse_mode(name, value)
        if name in ASKING:
            _require_usual(name, value, ASKING)
        elif name not in QUIET:
            require_known(name, known, "argument")


def _refuse_mode(name: str, value: object) -> None:
    if name in MODES:
        raise UserError(f"{name}={value!r} has no counterpart here: {MODES[name]}.")


def _require_usual(name: str, value: object, table: Mapping[str, tuple[object, str]]) -> None:
    usual, instead = table[name]
    if value != usual:
        raise UserError(f"{name}={value!r} has no counterpart here: {instead}.")


def _device(device: object) -> dict[str, str]:
    """One device, as a number, a name or a list of one; none is `auto`."""
    if isinstance(device, list | tuple):
        if len(device) > 1:
            raise UserError(
                f"device={device!r}: one device trains a run; name one, and start other runs on the others."
            )
        device = device[0] if device else None
    return {} if device in (None, "") else {"device": str(device)}


def _imgsz(size: object) -> object:
    if isinstance(size, list | tuple):
        raise UserError(f"imgsz={size!r}: training images are square, give one number.")
    return size


def _batch(size: object) -> object:
    if isinstance(size, int | float) and size < 1:
        raise UserError(f"batch={size:g}: no batch size is found by itself; give a number of images, such as 16.")
    return size
