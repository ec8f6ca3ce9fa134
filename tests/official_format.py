"""Writes files in the official formats (YOLOv5 v6 and v7, Ultralytics 8.4) without the reference packages, for tests.

For the moment of saving, empty classes with the official names stand in `sys.modules`; their instances carry our
tensors under the official attribute names, and PyTorch pickles them whole, as the reference packages do.
"""

from __future__ import annotations

import copy
import pathlib
import pickletools
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from torch import nn

from yolo_ft.models.detector import Detector

OFFICIAL_CLASSES = {
    "yolov5": {
        "models": (),
        "models.yolo": ("DetectionModel", "Model", "Detect"),
        "models.common": ("Conv", "Bottleneck", "C3", "SPPF", "Concat"),
    },
    "yolo26": {
        "ultralytics": (),
        "ultralytics.nn": (),
        "ultralytics.nn.tasks": ("DetectionModel",),
        "ultralytics.nn.modules": (),
        "ultralytics.nn.modules.conv": ("Conv", "DWConv", "Concat"),
        "ultralytics.nn.modules.block": ("C3k2", "C3k", "Bottleneck", "SPPF", "C2PSA", "PSABlock", "Attention"),
        "ultralytics.nn.modules.head": ("Detect",),
        "ultralytics.utils": ("IterableSimpleNamespace",),
    },
}
PLAIN = {"IterableSimpleNamespace": SimpleNamespace}  # the classes that are no modules


@contextmanager
def official_modules(family: str) -> Iterator[dict[str, type]]:
    """The official class names of a family, importable only inside the block."""
    tree = OFFICIAL_CLASSES[family]
    before = {name: sys.modules.pop(name, None) for name in tree}
    classes = {}
    for module_name, names in tree.items():
        module = sys.modules[module_name] = ModuleType(module_name)
        for name in names:
            classes[name] = type(name, (PLAIN.get(name, nn.Module),), {"__module__": module_name})
            setattr(module, name, classes[name])
    try:
        yield classes
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def official_module(module: nn.Module, classes: dict[str, type], path: str = "") -> nn.Module:
    """`module` as an instance of the official class of the same name, children included."""
    name = type(module).__name__
    if name == "Conv" and module.conv.groups > 1 and "cv3" in path:
        name = "DWConv"
    if name == "SiLU":
        twin = nn.SiLU(inplace=True)
    elif name in classes:
        twin = classes[name]()
        twin._parameters.update(copy.deepcopy(module._parameters))
        twin._buffers.update(copy.deepcopy(module._buffers))
    else:
        twin = copy.deepcopy(module)  # PyTorch's own
    for child, inner in module._modules.items():
        twin._modules[child] = official_module(inner, classes, f"{path}.{child}")
    return twin


def official_model(model: Detector, classes: dict[str, type], version: str, half: bool = True) -> nn.Module:
    """The whole pickled object: modules, and the attributes that YOLOv5 or Ultralytics 8.4 put on them."""
    whole = classes["Model" if version == "v6" else "DetectionModel"]()
    whole._modules["model"] = official_module(model.model, classes)
    names = [model.names[i] for i in range(model.num_classes)]
    whole.names = names if version == "v6" else dict(enumerate(names))
    whole.yaml = {"nc": model.num_classes, "backbone": [[-1, 1, "Conv", [64, 6, 2, 2]]], "ch": 3}
    whole.nc, whole.inplace, whole.save = model.num_classes, True, list(model.saved)
    whole.stride = torch.tensor([8.0, 16.0, 32.0])
    for i, (layer, spec) in enumerate(zip(whole.model, model.layers, strict=True)):
        layer.i, layer.f, layer.type = i, list(spec.source), f"models.common.{type(layer).__name__}"
        layer.np = sum(p.numel() for p in layer.parameters())
    detect = whole.model[-1]
    detect.nc, detect.nl, detect.stride = model.num_classes, 3, whole.stride
    if version == "8.4":
        whole.args, whole.criterion = {"model": "yolo26n.yaml", "box": 7.5, "nms": None}, None
        detect.no, detect.reg_max, detect.max_det, detect._end2end = model.num_classes + 4, 1, 300, True
        detect.anchors, detect.strides = torch.zeros(2, 336), torch.zeros(1, 336)  # a stale cache
        detect.shape = torch.Size([1, 64, 16, 16])
    else:
        whole.hyp, whole.class_weights = {"lr0": 0.01, "anchor_t": 4.0, "box": 0.05}, torch.ones(model.num_classes)
        detect.no, detect.na, detect.grid = model.num_classes + 5, 3, [torch.empty(0)] * 3
        detect.anchor_grid = [torch.zeros(1, 3, 2, 2, 2) for _ in range(3)]  # a stale cache: not part of the state dict
    for parameter in whole.parameters():
        parameter.requires_grad = False
    return whole.half() if half else whole


class _SavedPath:
    """Pickles as the `pathlib` class of the system that the file comes from; Linux cannot build a WindowsPath."""

    def __init__(self, cls: type, *parts: str):
        self.call = cls, parts

    def __reduce__(self) -> tuple:
        return self.call


def write_official(
    path: Path,
    model: Detector,
    version: str = "v7",
    ema: Detector | None = None,
    windows: bool = False,
    change: Callable[[dict], None] | None = None,
) -> Path:
    """Save `model` as YOLOv5 of `version` ("v6" or "v7") does: stripped, or mid-training when `ema` is given.

    `change` edits the content before it is saved.
    """
    with official_modules("yolov5") as classes:
        place = _SavedPath(pathlib.PosixPath, "runs", "train", "exp")
        if windows:
            place = _SavedPath(pathlib.WindowsPath, "C:\\", "Users", "Zoë", "yolov5")
        content = {
            "epoch": -1,
            "best_fitness": None,
            "model": official_model(model, classes, version),
            "ema": None,
            "updates": None,
            "optimizer": None,
            "date": "2022-11-22T10:00:00.000000",
        }
        if version == "v7":
            content |= {"opt": {"weights": "yolov5n.pt", "save_dir": place, "freeze": [0]}, "git": {"branch": "master"}}
        else:
            content |= {"wandb_id": None, "save_dir": place}
        if ema is not None:
            optimizer = torch.optim.SGD([nn.Parameter(torch.ones(7))], lr=0.01, momentum=0.9)
            optimizer.param_groups[0]["params"][0].grad = torch.ones(7)
            optimizer.step()
            content |= {"epoch": 7, "updates": 1234, "optimizer": optimizer.state_dict()}
            content |= {"best_fitness": np.array([0.25]), "fitness": np.float64(0.25)}
            content["ema"] = official_model(ema, classes, version)
        if change is not None:
            change(content)
        torch.save(content, path)
    return path


def write_ultralytics(
    path: Path, model: Detector, ema: Detector | None = None, change: Callable[[dict], None] | None = None
) -> Path:
    """Save `model` as Ultralytics 8.4 does: stripped, or mid-training when `ema` is given (it alone is saved then)."""
    with official_modules("yolo26") as classes:
        content = {
            **{"epoch": -1, "best_fitness": None, "stopper": None, "model": None, "ema": None, "updates": None},
            **{
                "modelopt": None,
                "optimizer": None,
                "scaler": None,
                "train_args": {"data": "coco8.yaml", "freeze": None},
            },
            **{"train_metrics": {"fitness": 0.25}, "train_results": {"epoch": [1, 2]}, "date": "2026-02-03T10:00:00"},
            **{
                "version": "8.4.190",
                "git": {"branch": None},
                "license": "AGPL-3.0",
                "docs": "https://docs.ultralytics.com",
            },
        }
        if ema is None:
            content["model"] = official_model(model, classes, "8.4")
        else:
            optimizer = torch.optim.SGD([nn.Parameter(torch.ones(7))], lr=0.01, momentum=0.9)
            optimizer.param_groups[0]["params"][0].grad = torch.ones(7)
            optimizer.step()
            content |= {"epoch": 7, "best_fitness": 0.25, "updates": 1234, "optimizer": optimizer.state_dict()}
            content["ema"] = official_model(ema, classes, "8.4")
            content["ema"].args = classes["IterableSimpleNamespace"](**content["ema"].args)
        if change is not None:
            change(content)
        torch.save(content, path)
    return path


def rewrite(
    path: Path,
    pickle: Callable[[bytes], bytes] = bytes,
    names: Callable[[str], str] = str,
    compression: int = zipfile.ZIP_STORED,
    extra: dict[str, bytes] | None = None,
) -> Path:
    """Rewrite a `.pt` in place: its pickle through `pickle`, member names through `names`, members added."""
    with zipfile.ZipFile(path) as old:
        members = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in members:
            new.writestr(names(name), pickle(data) if name.endswith("data.pkl") else data)
        for name, data in (extra or {}).items():
            new.writestr(name, data)
    return path


def archive_of(path: Path, pickle: bytes) -> Path:
    """A `.pt` file that consists of this pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle)
        file.writestr("archive/version", "3\n")
    return path


def globals_of(path: Path) -> set[str]:
    """The names in a file's pickle, for comparison with what official files were found to hold (protocol 2)."""
    with zipfile.ZipFile(path) as file:
        data = file.read(next(name for name in file.namelist() if name.endswith("data.pkl")))
    return {arg.replace(" ", ".") for opcode, arg, _ in pickletools.genops(data) if opcode.name == "GLOBAL"}
