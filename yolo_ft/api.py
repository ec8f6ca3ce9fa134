"""YOLO: the one object that a notebook needs. It only calls the functions of the rooms below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import seed_everything
from yolo_ft.core.signposts import Signposts
from yolo_ft.core.targets import Detections
from yolo_ft.data.dataset import Dataset, load_dataset
from yolo_ft.data.images import image_files, rgb_pixels
from yolo_ft.finetune import fit as fitting
from yolo_ft.finetune import inspection
from yolo_ft.finetune.argument_names import refuse_others, translate
from yolo_ft.finetune.checkpoints import Checkpoint, load_checkpoint, model_from_checkpoint, save_checkpoint
from yolo_ft.finetune.compute import Compute, resolve_compute
from yolo_ft.finetune.evaluation import LOW_CONFIDENCE, detect_images, evaluate
from yolo_ft.finetune.freezing import FreezeReport, carry_freeze, freeze
from yolo_ft.finetune.hyp import PRESETS, load_hyp
from yolo_ft.finetune.metrics import Metrics
from yolo_ft.finetune.optimizers import with_usual
from yolo_ft.finetune.phases import is_phases, parse_phases, total_epochs
from yolo_ft.finetune.runs import Run
from yolo_ft.finetune.tiled import detect_tiled
from yolo_ft.finetune.trainer import Listener
from yolo_ft.finetune.transfer import transfer
from yolo_ft.models import Detector, build_model
from yolo_ft.report.live import default_listener

DEFAULT_WEIGHTS = Path(__file__).parent / "weights" / "yolov5n.pt"
# how a call, a configuration or a notebook's parameter names the packaged checkpoints; never the official weights
PACKAGED = {"packaged": DEFAULT_WEIGHTS, "packaged-yolo26n": DEFAULT_WEIGHTS.with_name("yolo26n.pt")}
ARCHITECTURE = (".yaml", ".yml")


class YOLO(Signposts):
    """A detector with its weights: look at it, freeze it, train it, measure it, use it.

    `YOLO()` or `YOLO("packaged")` is the packaged YOLOv5n, `YOLO("packaged-yolo26n")` the packaged YOLO26n,
    `YOLO("yolo26n.pt")` the official weights (downloaded once) or a path, `YOLO("yolo26n.yaml")` the architecture with
    random weights (`seed` draws them; no YAML file is read). `weights` may be called `model`, as in Ultralytics.

    `model` is the network (`nn.Module`), `names` its classes {index: name}. Lesson 00.
    """

    elsewhere = {
        "info": "layers() and parameter_table() show the network",
        "export": "save(path) writes the weights, and Ultralytics exports them (tests/back_to_ultralytics.py)",
        "load": "YOLO(path) makes a model with other weights",
        "fuse": "BatchNorm is folded by itself where it is fixed",
        "tune": "a grid of `yolo-ft notebooks run --grid` compares settings",
        "benchmark": "tests/benchmarks/speed.py measures speed",
        "track": "predict() finds objects in one image after another",
        "add_callback": "train(listeners=[...]) hear of every batch and epoch",
        "to": "train, val and predict take device=..., and the best that there is without it",
        "device": "train, val and predict take device=..., and the best that there is without it",
        "overrides": "the run's config.yaml has the settings",
        "task": "this package detects",
    }

    def __init__(self, weights: str | Path | None = None, seed: int = 0, **others: object):
        weights = others.pop("model", weights)
        refuse_others({name: value for name, value in others.items() if value is not None}, ["weights", "seed"])
        self.data: str | Path | Dataset | None = None  # what it was trained on last, here
        self.imgsz = 320  # what it was trained at last
        self.weights = str(weights or "packaged")
        if self.weights.endswith(ARCHITECTURE):
            seed_everything(seed)
            self.model = build_model(Path(self.weights).stem)
        else:
            checkpoint = load_checkpoint(packaged_weights(self.weights) or self.weights)
            self.model, seen = model_from_checkpoint(checkpoint), checkpoint.metadata.get("imgsz")
            self.imgsz = seen if isinstance(seen, int) else self.imgsz
        self.model.eval()

    def __repr__(self) -> str:
        return f"YOLO({self.weights!r}): {self.model.family}{self.model.size}, {self.model.num_classes} classes"

    @property
    def names(self) -> dict[int, str]:
        """The classes, {index: name}."""
        return self.model.names

    def layers(self, imgsz: int = 640) -> pd.DataFrame:
        """One row per layer: index, name, module, stage, shape, parameters, FLOPs, activation bytes. Lesson 01."""
        return inspection.layer_table(self.model, imgsz)

    def parameter_table(self) -> pd.DataFrame:
        """One row per parameter: name, shape, count, stage, layer, trainable. Lesson 01."""
        return inspection.parameter_table(self.model)

    def freeze(self, spec: object, bn: str = "fixed", imgsz: int = 640) -> FreezeReport:
        """Freeze what `spec` means in place of the former plan (None thaws it) and say what it buys. Lesson 02."""
        return freeze(self.model, spec, bn, imgsz)

    def train(
        self,
        data: str | Path = "cells",
        epochs: int | None = None,
        freeze: object = None,
        hyp: str | Path | None = None,
        listeners: Sequence[Listener] | None = None,
        **settings: object,
    ) -> Run:
        """Fine-tune on `data` and return the run; afterwards this object holds the best averaged weights.

        The head is fitted to the data's classes: rows of classes with the same name are kept, others start fresh.
        `freeze` (a selection, or phases such as [(5, "backbone"), (20, None)]) adds to what is frozen already and ends
        with the run.
        `hyp` names a YOLOv5 hyper-parameter file, or an augmentation preset ("none", "light", "default", "strong");
        further `settings` are those of `TrainConfig`, or Ultralytics' names for them, and override it. `listeners` hear
        of every batch and epoch in place of the usual display, which `verbose=False` leaves out. Raises `UserError` for
        what cannot work. Lesson 03.
        """
        train_set, val_set = load_dataset(data, "train"), load_dataset(data, "val")
        if epochs is None and is_phases(freeze):
            epochs = total_epochs(parse_phases(freeze))
        if hyp and str(hyp) not in PRESETS and self.model.family != "yolov5":
            raise UserError("Hyper-parameter files hold YOLOv5's gains, which mislead YOLO26: give settings by name.")
        hyp_settings = load_hyp(hyp) if hyp else {}
        given = {**translate(settings), **({} if epochs is None else {"epochs": epochs})}
        config = TrainConfig.from_dict(
            with_usual({**hyp_settings, "data": str(data), "freeze": freeze, "weights": self.weights, **given})
        )
        if settings.get("cls_pw") and self.model.family == "yolo26":  # there it weighs rare classes, in YOLOv5 answers
            raise UserError("The loss of yolo26 has no use for cls_pw: leave it out.")
        seed_everything(config.seed)
        if listeners is None:
            listeners = [] if settings.get("verbose") is False else [default_listener()]
        before = self.model
        self.model = fit_head(before, train_set.names, reference=config.transfer_mode == "reference")
        try:
            run = fitting.fit(self.model, train_set, val_set, config, listeners)
        except UserError:  # a training that was refused costs no head
            self.model = before
            raise
        self.weights, self.data, self.imgsz = str(run.weights("best")), data, config.imgsz
        return run

    def val(
        self,
        data: str | Path | Dataset | None = None,
        split: str = "val",
        imgsz: int | None = None,
        batch: int = 16,
        nms: bool | None = None,
        device: object = None,
        **others: object,
    ) -> Metrics:
        """mAP50, mAP50-95, per-class AP, precision and recall on `data`, by default what was trained on. Lesson 04.

        Images are seen at `imgsz`, by default what the weights were trained at. `nms=False` measures YOLO26 end to end,
        without suppression. Lesson 13. `device` is the best that there is unless given. Of Ultralytics' further
        arguments those pass that ask for what happens anyway; the others are a `UserError`, as is a size that the
        network cannot take.
        """
        usual = {"iou": self.model.val_iou, "conf": LOW_CONFIDENCE}
        others = {name: value for name, value in others.items() if (name, value) not in usual.items()}
        refuse_others(others, ["data", "split", "imgsz", "batch", "nms", "device"])
        data = self.data if data is None else data
        if data is None:
            raise UserError("Say what to measure on, for example val('data.yaml').")
        imgsz = self.imgsz if imgsz is None else imgsz
        return evaluate(self.model, data, split, imgsz, batch, _place(device), end_to_end=nms is False)

    def predict(
        self,
        image: object = None,
        conf: float = 0.25,
        iou: float | None = None,
        imgsz: int | None = None,
        nms: bool | None = None,
        tile: int | None = None,
        overlap: float = 0.2,
        device: object = None,
        **others: object,
    ) -> list[Detections]:
        """Detections of one image or several, one entry per image. Lesson 00.

        `image` (or `source`) is a path, a folder of images, a PIL image, a uint8 RGB array (h, w, 3), or a list of
        these.

        Boxes of one class that overlap by more than `iou` (0.45 for YOLOv5, 0.7 for YOLO26) suppress each other;
        `nms=False` does without, which YOLO26 alone can. Lesson 13. Images are seen at `imgsz`, by default what the
        weights were trained at. With `tile` they are cut into tiles of so many px, which share `overlap` of their side,
        and what is found is put together: for images much larger than `imgsz` (then: the tile's own size). Lesson 06.
        """
        image = others.pop("source", image)
        refuse_others(others, ["image", "source", "conf", "iou", "imgsz", "nms", "tile", "overlap", "device"])
        many = image if isinstance(image, list | tuple) else [image]
        files = [image_files([each]) if isinstance(each, str | Path) else [each] for each in many]
        pixels = [rgb_pixels(each) for group in files for each in group]
        how = {"confidence": conf, "iou": iou, "compute": _place(device), "end_to_end": nms is False}
        if tile:
            return [detect_tiled(self.model, each, tile, overlap, imgsz, **how) for each in pixels]
        return detect_images(self.model, pixels, self.imgsz if imgsz is None else imgsz, **how)

    __call__ = predict

    def save(self, path: str | Path, half: bool = False) -> None:
        """Write the weights as a checkpoint that `YOLO(path)` reads; `half` stores 16-bit numbers.

        `tests/back_to_yolov5.py` and `tests/back_to_ultralytics.py` turn such a file into one of theirs.
        """
        save_checkpoint(path, self.model, half=half)


def _place(device: object) -> Compute | None:
    """Where and how to compute on `device`; None leaves the choice to the one who computes."""
    wanted = translate({"device": device})
    return resolve_compute(TrainConfig(**wanted, precision="fp32")) if wanted else None


def packaged_weights(name: str) -> Path | None:
    """The file of the packaged checkpoint `name`; None for all other names. Raises `UserError` where it is missing."""
    path = PACKAGED.get(name)
    if path is not None and not path.is_file():
        raise UserError(f"'{name}' is not part of this copy of yolo_ft: take the official weights, '{path.name}'.")
    return path


def fit_head(model: Detector, names: dict[int, str], reference: bool = False) -> Detector:
    """The same network for other classes: same freeze, head rows carried over by class name.

    With equal class names the model itself is returned.
    """
    if model.names == names:
        return model
    fresh = build_model(f"{model.family}{model.size}", names=names)
    source = Checkpoint(model.state_dict(), model.names, model.family, model.size, model.num_classes)
    transfer(fresh, source, reference=reference, take_names=False)
    fresh.pretrained = model.pretrained
    carry_freeze(model, fresh)
    return fresh


def resume(path: str | Path, listeners: Sequence[Listener] | None = None, inexact: bool = False) -> tuple[YOLO, Run]:
    """Finish an interrupted run with the same bytes as if it had never stopped; returns the model and the run.

    The model is that of the run's best weights, with nothing frozen on it.
    """
    run = fitting.resume(path, [default_listener()] if listeners is None else listeners, inexact)
    return YOLO(run.weights("best")), run
