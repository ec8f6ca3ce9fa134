"""Where and how a run computes: device, precision, memory layout. Resolved once, written into `config.yaml`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass

import torch

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.errors import UserError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """What was chosen for this machine. `precision` is fp32, bf16 or fp16 (autocast: weights stay fp32)."""

    device: str
    precision: str
    channels_last: bool
    threads: int

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

    def to_dict(self) -> dict:
        """Plain values for `config.yaml`."""
        return asdict(self)


def resolve_compute(config: TrainConfig) -> Compute:
    """Turn `device="auto"` and `precision="auto"` into what this machine does best.

    CUDA, then MPS, then the processor; bf16 where the processor or GPU has instructions for it, fp16 on older
    GPUs, else fp32. `precision="fp32"` means no autocast and contiguous memory. Raises `UserError` for a device
    that is not there.
    """
    device = resolve_device(config.device)
    precision = _best_precision(device) if config.precision == "auto" else config.precision
    if precision == "fp16" and not device.startswith("cuda"):
        raise UserError("precision='fp16' needs a CUDA device: use 'bf16' or 'fp32' here.")
    return Compute(device, precision, precision != "fp32", torch.get_num_threads())


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
    return "bf16" if device == "cpu" and processor_has_bf16() else "fp32"


def processor_has_bf16() -> bool:
    """Whether bf16 is multiplied natively here (AVX512-bf16 or AMX); emulation costs more than it saves.

    Not where PyTorch is held back to narrower instructions (`ATEN_CPU_CAPABILITY=avx2`).
    """
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2"):
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())
