"""Where and how a run computes: device, precision, memory layout. Resolved once, written into `config.yaml`.

Every switch trades the last digits for speed. How far one forward pass of YOLOv5n (or 20 optimiser steps) may move
from `precision="fp32"`, relative to its largest value, as tests/test_compute.py holds it:

| switch | what it does | deviation |
|---|---|---|
| `channels_last` | the layout in which oneDNN and cuDNN convolve | 1e-5 |
| `fold_batchnorm` | fixed BatchNorms merged into their convolutions during the run | 1e-5 |
| `fused_optimizer` | one kernel steps all parameters | 1e-6 |
| `precision="bf16"` | 8 bits of mantissa in convolutions, weights stay fp32 | 5e-2 |
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import cache

import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError
from yolo_ft.core.parallel import worker_pool
from yolo_ft.data.catalog.fetch import cache_folder
from yolo_ft.data.files import write_json_atomic
from yolo_ft.finetune.machine import processor_name
from yolo_ft.models import Detector, build_model
from yolo_ft.models.layers import Conv, folded_batchnorm, unfold

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """What was chosen for this machine. `precision` is fp32, bf16 or fp16 (autocast: weights stay fp32)."""

    device: str
    precision: str
    channels_last: bool
    threads: int
    fold_batchnorm: bool = False
    fused_optimizer: bool = False

    def autocast(self) -> AbstractContextManager:
        """The context in which the network runs forward."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, AUTOCAST[self.precision])

    def images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 (b, 3, h, w) -> float 0..1 on the device, in the chosen memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.device, non_blocking=True).float().div_(255).contiguous(memory_format=layout)

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model on the device, its weights in the chosen memory layout."""
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return model.to(self.device, memory_format=layout)

    def fold_frozen(self, model: Detector) -> None:
        """Merge the BatchNorms that are fixed into convolutions that are frozen, and unfold all others."""
        unfold(model)
        for name, module in model.named_modules():
            if isinstance(module, Conv):
                fixed = f"{name}.bn" in model.fixed_batchnorm and not module.conv.weight.requires_grad
                if self.fold_batchnorm and fixed:
                    module.fold(self.dtype)

    def folded(self, model: Detector) -> AbstractContextManager:
        """The context in which all of `model`, in eval mode, is folded."""
        return folded_batchnorm(model, self.dtype) if self.fold_batchnorm else nullcontext()

    @property
    def dtype(self) -> torch.dtype:
        """The type in which convolutions compute."""
        return AUTOCAST.get(self.precision, torch.float32)

    def to_dict(self) -> dict:
        """Plain values for `config.yaml`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> Compute:
        """What `to_dict` wrote, other names beside it; a switch that it does not know yet is off."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


def resolve_compute(config: TrainConfig) -> Compute:
    """Turn `device="auto"` and `precision="auto"` into what this machine does best.

    CUDA, then MPS, then the processor; bf16 where the GPU has it or the processor gains from it (see
    `cpu_precision`), fp16 on older GPUs, else fp32. A `precision="fp32"` that was asked for is the reference: no
    autocast, no folding, contiguous memory, unfused. Raises `UserError` for a device that is not there.
    """
    device = resolve_device(config.device)
    precision = _best_precision(device) if config.precision == "auto" else config.precision
    if precision == "fp16" and not device.startswith("cuda"):
        raise UserError("precision='fp16' needs a CUDA device: use 'bf16' or 'fp32' here.")
    fast = config.precision != "fp32"
    fused = fast and not device.startswith("mps")
    return Compute(device, precision, fast, torch.get_num_threads(), fold_batchnorm=fast, fused_optimizer=fused)


def resolve_device(name: str) -> str:
    """`auto`, `cpu`, `mps`, `cuda`, `cuda:1` or, as YOLOv5 users write it, `0` -> a torch device that exists."""
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    name = f"cuda:{name}" if name.isdigit() else name
    kind, _, index = name.partition(":")
    there = {
        "cpu": True,
        "mps": torch.backends.mps.is_available(),
        "cuda": torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count(),
    }
    if not there.get(kind, False):
        raise UserError(f"There is no device '{name}' on this machine: use device='auto' or 'cpu'.")
    return name


def _best_precision(device: str) -> str:
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return cpu_precision() if device == "cpu" else "fp32"


def cpu_precision() -> str:
    """bf16 where this processor trains faster with it, else fp32; a tie goes to fp32.

    Measured in a second, once per processor, torch and thread count, and kept in `precision.json` of the cache
    folder: instruction sets do not tell, because emulated bf16 costs more than it saves.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return _measured(f"{processor_name()}, {capability}, torch {torch.__version__}, threads: {torch.get_num_threads()}")


@cache
def _measured(machine: str) -> str:
    file = cache_folder() / "precision.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if machine not in known:
        known[machine] = {precision: 1000 * seconds for precision, seconds in _seconds().items()}  # milliseconds
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(file, known)
        except OSError:
            pass  # a cache folder that cannot be written: measured again by the next process
    return "bf16" if known[machine]["bf16"] < 0.9 * known[machine]["fp32"] else "fp32"


def _seconds(repeats: int = 4) -> dict[str, float]:
    """The fastest of `repeats` forward and backward passes of YOLOv5n on four images, in each precision.

    In turns and on one core, so that what else the machine does disturbs neither more than the other.
    """
    images = torch.ones(4, 3, 320, 320).contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):  # its initial weights cost the user's run no draw
        model = build_model("yolov5n").to(memory_format=torch.channels_last)
    fastest = {"fp32": float("inf"), "bf16": float("inf")}

    def measure(precision: str) -> float:
        """Seconds of one forward and backward pass."""
        start = time.perf_counter()
        with Compute("cpu", precision, True, 1).autocast():
            raw = model(images)
        sum(x.float().sum() for x in raw).backward()
        return time.perf_counter() - start

    with worker_pool(1, 1) as pool:
        for precision in repeats * list(fastest):
            fastest[precision] = min(fastest[precision], pool.submit(measure, precision).result())
    return fastest
