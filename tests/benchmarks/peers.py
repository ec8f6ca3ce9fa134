"""Train one of the peers with its own trainer and write down what it took. `speed.py` starts this with their Python.

    path/to/peers/python tests/benchmarks/peers.py yolov5 --data path/to/data.yaml --epochs 2 --folder runs/peer

Only their public interfaces are used: options and callbacks. The result is `peer.json` in the folder; it is described
at `write`. Nothing of yolo_ft is imported, so any environment that holds the peers will do.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import numpy
import torch

MODELS = {"yolov5": "yolov5n.yaml", "ultralytics": "yolo26n.yaml"}  # random weights
RESULT = "peer.json"
THREADS = torch.get_num_threads()  # as started with; the peers change it, and the variables that it came from
ENVIRONMENT = {  # no accounts, no network, no windows; their own checkpoints hold more than tensors
    "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    "WANDB_MODE": "disabled",
    "COMET_MODE": "disabled",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLOv5_AUTOINSTALL": "false",
    "MPLBACKEND": "agg",
    "CUDA_VISIBLE_DEVICES": "",
}


class Clock:
    """Seconds of every training epoch and validation pass, and what the last validation found."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"epoch": [], "val": []}
        self.first_batch: float | None = None  # seconds since 1970: whoever started the process knows when that was
        self.detections: dict[str, torch.Tensor] | None = None
        self._began: dict[str, float] = {}

    def begin(self, what: str) -> None:
        """An epoch or a validation begins."""
        torch.set_num_threads(THREADS)  # Ultralytics would leave a core unused
        self._began[what] = time.perf_counter()

    def end(self, what: str) -> None:
        """It ended; only the first of several events that say so counts."""
        if what in self._began:
            self.seconds[what].append(time.perf_counter() - self._began.pop(what))

    def batch(self) -> None:
        """A training batch is done."""
        self.first_batch = self.first_batch or time.time()

    def actions(self) -> dict[str, Callable[[], None]]:
        """What to do at which event. Both peers name them alike; YOLOv5 has none for the end of a validation."""
        return {
            "on_train_epoch_start": lambda: self.begin("epoch"),
            "on_train_batch_end": self.batch,
            "on_train_epoch_end": lambda: self.end("epoch"),
            "on_val_start": lambda: self.begin("val"),
            "on_val_end": lambda: self.end("val"),
            "on_fit_epoch_end": lambda: self.end("val"),
            "on_train_end": lambda: self.end("val"),
        }


def train_yolov5(options: argparse.Namespace, clock: Clock) -> None:
    """YOLOv5's trainer with its default recipe."""
    if not hasattr(numpy, "trapz"):  # what it integrates curves with; NumPy 2.4 dropped the old name
        numpy.trapz = numpy.trapezoid
    # it would fetch this font from the network, even without plots
    font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    shutil.copy(font, Path(os.environ["YOLOV5_CONFIG_DIR"], "Arial.ttf"))
    from yolov5 import train
    from yolov5.utils.callbacks import Callbacks

    def keep(_prediction, in_pixels, path, *_) -> None:
        """The boxes of one image: xyxy in pixels of the original image, score, class."""
        clock.detections[Path(path).name] = in_pixels

    clock.detections = {}
    callbacks = Callbacks()
    for event, action in clock.actions().items():
        callbacks.register_action(event, "clock", lambda *_, action=action, **__: action())
    callbacks.register_action("on_val_start", "forget", lambda *_, **__: clock.detections.clear())
    callbacks.register_action("on_val_image_end", "keep", keep)
    sys.argv = sys.argv[:1]  # the defaults come from its own command line
    settings = train.parse_opt(True)
    vars(settings).update(common(options), cfg=MODELS["yolov5"], weights="", batch_size=options.batch, noplots=True)
    vars(settings).update(freeze=[options.freeze])
    train.main(settings, callbacks)


def train_ultralytics(options: argparse.Namespace, clock: Clock) -> None:
    """Ultralytics' trainer with its default recipe."""
    from ultralytics import YOLO

    model = YOLO(MODELS["ultralytics"])
    for event, action in clock.actions().items():
        model.add_callback(event, lambda _, action=action: action())
    freeze = min(options.freeze, 23) or None  # "all but the head" is one layer less than in YOLOv5
    same = {"close_mosaic": 0}  # mosaic in every epoch, as in YOLOv5
    model.train(**common(options), **same, batch=options.batch, freeze=freeze, plots=False, amp=False)


def common(options: argparse.Namespace) -> dict:
    """What both trainers call by the same name."""
    return {
        "data": str(options.data.resolve()),
        "epochs": options.epochs,
        "imgsz": options.imgsz,
        "cache": "ram",
        "device": "cpu",
        "seed": 0,
        "project": str(options.folder.resolve()),
        "name": "run",
        "exist_ok": True,
    }


def write(path: Path, peer: str, clock: Clock) -> None:
    """Write what was measured as JSON.

    `epoch_seconds`, `val_seconds`: one number per pass. `first_batch`: seconds since 1970. `detections`: for every
    validation image with any, what the final weights found as rows x1, y1, x2, y2 (pixels of the original), score,
    class; null for Ultralytics, whose callbacks do not give them.
    """
    found = clock.detections
    result = {
        "peer": peer,
        "model": Path(MODELS[peer]).stem,
        "threads": torch.get_num_threads(),
        "epoch_seconds": clock.seconds["epoch"],
        "val_seconds": clock.seconds["val"],
        "first_batch": clock.first_batch,
        "detections": None if found is None else {name: rows.tolist() for name, rows in found.items()},
    }
    path.write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Train the peer that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=list(MODELS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--imgsz", type=int, default=320)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--freeze", type=int, default=0, help="layers below this one")
    options = parser.parse_args()
    if find_spec(options.peer) is None:
        parser.error(f"{options.peer} is not installed here: pip install {options.peer}")
    options.folder.mkdir(parents=True, exist_ok=True)
    settings = str(options.folder.resolve())
    os.environ.update(ENVIRONMENT, YOLOV5_CONFIG_DIR=settings, YOLO_CONFIG_DIR=settings)
    clock = Clock()
    {"yolov5": train_yolov5, "ultralytics": train_ultralytics}[options.peer](options, clock)
    write(options.folder / RESULT, options.peer, clock)


if __name__ == "__main__":
    main()
