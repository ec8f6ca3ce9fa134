"""What one training step keeps and computes, counted rather than guessed. Lesson 02.

Counted at float32, batch 1, in train mode, on the raw forward pass without the loss:

- *bytes kept for backward*: every distinct storage that autograd saves during the forward pass, parameters excluded;
  buffers, batch statistics and the input image count;
- *FLOPs*: 2 x multiply-adds of the convolutions.

The forward pass runs on torch's `meta` device, where tensors have shapes and storages but no numbers, on a copy of
the model without weights: nothing heavy is computed and the model itself is never touched.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral

import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.selectors import layer_parameters
from yolo_ft.models.detector import Detector

MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """One forward pass at (height, width): what each layer outputs, computes and keeps for the backward pass.

    `shapes[i]`: output shape of layer i, or a list of them for the head. `flops[i]`: forward FLOPs of layer i.
    `kept[i]`: bytes kept that layer i made (its input counts for the layer that made it; the image for layer 0).
    `step_flops`: forward + weight gradients that are needed + input gradients that are needed.
    `reach`: (bytes, last layer that saves it) of every storage kept.
    """

    shapes: tuple[tuple[int, ...] | list[tuple[int, ...]], ...]
    flops: tuple[int, ...]
    kept: tuple[int, ...]
    step_flops: int
    reach: tuple[tuple[int, int], ...]

    @property
    def total_kept(self) -> int:
        """Bytes kept for backward, per image."""
        return sum(self.kept)

    def kept_above(self, prefix: int) -> int:
        """Bytes kept for backward when layers 0..prefix-1 are frozen, read off the pass in which nothing is."""
        return sum(size for size, last in self.reach if last >= prefix)


def batchnorms(model: nn.Module) -> list[tuple[str, _BatchNorm]]:
    """(dotted name, module) of every BatchNorm."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def frozen_batchnorms(model: nn.Module, frozen: Collection[str]) -> frozenset[str]:
    """Names of the BatchNorms that have parameters, all of which are among `frozen`."""
    names = {name: {f"{name}.{key}" for key, _ in module.named_parameters()} for name, module in batchnorms(model)}
    return frozenset(name for name, parameters in names.items() if parameters and parameters <= set(frozen))


def image_size(model: Detector, imgsz: int | tuple[int, int]) -> tuple[int, int]:
    """`imgsz` as (height, width); `UserError` unless both suit the strides of the network."""
    size = (imgsz, imgsz) if isinstance(imgsz, Integral) else imgsz
    stride = max(model.strides)
    good = isinstance(size, (tuple, list)) and len(size) == 2 and all(isinstance(side, Integral) for side in size)
    # in train mode BatchNorm needs more than one cell per channel on the coarsest map
    if not good or any(side < stride or side % stride for side in size) or max(size) < 2 * stride:
        raise UserError(f"imgsz={imgsz}: height and width are multiples of {stride}, the smallest {2 * stride}.")
    return int(size[0]), int(size[1])


def measure(
    model: Detector, imgsz: int | tuple[int, int] = 640, frozen: Collection[str] = (), batchnorm: str = "fixed"
) -> Footprint:
    """Count one forward pass with the parameters `frozen` (exact names) frozen and all others trained.

    `imgsz`: pixels, a number or (height, width), multiples of the largest stride. What is frozen on `model` itself
    plays no part. Raises `UserError` for a size that the network cannot take.
    """
    height, width = image_size(model, imgsz)
    with torch.inference_mode(False), torch.enable_grad():  # whatever context the caller is in
        ghost = _ghost(model, frozenset(frozen))
        ghost.fixed_batchnorm = frozen_batchnorms(ghost, frozen) if batchnorm == "fixed" else frozenset()
        ghost.train()
        ledger = _Ledger(ghost)
        image = torch.empty(1, 3, height, width, device="meta")
        with torch.autograd.graph.saved_tensors_hooks(ledger.save, lambda saved: saved):
            ghost(image)
    return ledger.footprint()


def _ghost(model: Detector, frozen: frozenset[str]) -> Detector:
    """A copy of the model whose tensors are float32 on the meta device; no weight is copied, no hook survives."""

    def shadow(tensor: torch.Tensor) -> torch.Tensor:
        dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
        return torch.empty(tensor.shape, dtype=dtype, device="meta")

    # deepcopy takes what it finds in its memo for already copied
    memo = {id(buffer): shadow(buffer) for buffer in model.buffers()}
    for name, p in model.named_parameters():
        memo[id(p)] = nn.Parameter(shadow(p), requires_grad=name not in frozen)
    ghost = copy.deepcopy(model, memo)
    for module in ghost.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
        if isinstance(module, _BatchNorm):
            module.forward = partial(_ghost_batchnorm, module)
    return ghost


class _SaveLikeBatchNorm(torch.autograd.Function):
    """Saves what torch's BatchNorm saves; its own kernel for meta tensors keeps more in eval mode, and takes long."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, bn_weight: torch.Tensor, _: torch.Tensor, bn: _BatchNorm) -> torch.Tensor:
        batch = [torch.empty_like(bn.running_mean) for _ in range(2 * bn.training)]  # the batch's mean and deviation
        ctx.save_for_backward(x, bn_weight, bn.running_mean, bn.running_var, *batch)
        return torch.empty_like(x)


def _ghost_batchnorm(bn: _BatchNorm, x: torch.Tensor) -> torch.Tensor:
    return _SaveLikeBatchNorm.apply(x, bn.weight, bn.bias, bn)


@dataclass
class _Ledger:
    """Books every storage that autograd saves, and every convolution, under the layer in which it happens."""

    ghost: Detector
    current: int = 0
    parameters: set[int] = field(default_factory=set)
    storages: dict[int, int] = field(default_factory=dict)  # storage -> bytes
    maker: dict[int, int] = field(default_factory=dict)  # storage -> layer that made it
    last: dict[int, int] = field(default_factory=dict)  # storage -> last layer that saved it
    alive: list[object] = field(default_factory=list)  # keeps storages alive, so that no address comes twice

    def __post_init__(self) -> None:
        self.parameters = {self._key(p) for p in self.ghost.parameters()}
        self.flops = [0] * len(self.ghost.layers)
        self.shapes: list = [()] * len(self.ghost.layers)
        self.step_flops = 0
        for layer in self.ghost.layers:
            layer.module.register_forward_pre_hook(lambda _, __, i=layer.index: setattr(self, "current", i))
            layer.module.register_forward_hook(self._layer_done)
            for module in layer.module.modules():
                if isinstance(module, nn.Conv2d):
                    module.register_forward_hook(self._convolved)

    @staticmethod
    def _key(tensor: torch.Tensor) -> int:
        return tensor.untyped_storage()._cdata  # data_ptr() is 0 for everything on the meta device

    def save(self, tensor: torch.Tensor) -> torch.Tensor:
        """The pack hook of `saved_tensors_hooks`."""
        key = self._key(tensor)
        if key not in self.parameters:
            self.alive.append(tensor)
            self.storages[key] = tensor.untyped_storage().nbytes()
            self.maker.setdefault(key, self.current)
            self.last[key] = self.current
        return tensor

    def _layer_done(self, _: nn.Module, __: tuple, output: torch.Tensor | list[torch.Tensor]) -> None:
        outputs = [output] if isinstance(output, torch.Tensor) else output
        for tensor in outputs:
            self.alive.append(tensor)
            self.maker.setdefault(self._key(tensor), self.current)
        shapes = [tuple(tensor.shape) for tensor in outputs]
        self.shapes[self.current] = shapes[0] if isinstance(output, torch.Tensor) else shapes

    def _convolved(self, conv: nn.Conv2d, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        flops = 2 * output.numel() * conv.weight[0].numel()
        self.flops[self.current] += flops
        self.step_flops += flops * (1 + conv.weight.requires_grad + inputs[0].requires_grad)

    def footprint(self) -> Footprint:
        """What was counted, one entry per layer."""
        kept = [0] * len(self.flops)
        for key, size in self.storages.items():
            kept[self.maker[key]] += size
        reach = tuple((size, self.last[key]) for key, size in self.storages.items())
        return Footprint(tuple(self.shapes), tuple(self.flops), tuple(kept), self.step_flops, reach)


def ideal_speedup(share: float) -> float:
    """Step speed-up when a prefix with `share` of the forward FLOPs is frozen: 3 / (3 - 2 share).

    Forward, weight gradient and input gradient cost the same; the prefix keeps only its forward pass.
    """
    return 3 / (3 - 2 * share)


def ideal_cached_speedup(share: float) -> float:
    """The same when the outputs of the prefix are read from a cache: 1 / (1 - share)."""
    return 1 / (1 - share)


def depth_table(model: Detector, imgsz: int | tuple[int, int] = 640) -> pd.DataFrame:
    """One row per depth: what freezing layers 0..freeze-1 buys, for every `freeze` that leaves something to train.

    Columns: freeze, layer (name of the last frozen one), frozen_parameters, parameter_share, kept_bytes, kept_share,
    flops_share, speedup, cached_speedup. Shares are 0..1, bytes per image. Lesson 02 turns it into a slider.
    """
    footprint = measure(model, imgsz)
    counts = [sum(p.numel() for p in layer.module.parameters()) for layer in model.layers]
    deepest = max(i for i, names in enumerate(layer_parameters(model)) if names)
    rows = []
    for k in range(deepest + 1):
        kept = footprint.kept_above(k)
        share = sum(footprint.flops[:k]) / sum(footprint.flops)
        rows.append(
            {
                "freeze": k,
                "layer": model.layers[k - 1].name if k else "none",
                "frozen_parameters": sum(counts[:k]),
                "parameter_share": sum(counts[:k]) / sum(counts),
                "kept_bytes": kept,
                "kept_share": kept / footprint.total_kept,
                "flops_share": share,
                "speedup": ideal_speedup(share),
                "cached_speedup": ideal_cached_speedup(share),
            }
        )
    return pd.DataFrame(rows)
