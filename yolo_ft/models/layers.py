"""The blocks that YOLO networks are made of, and the detector that strings them together.

Attribute names (`conv`, `bn`, `cv1`, `m`, ...) are those of the official checkpoints, so that a state dict loads by
name. Every tensor is (b, c, h, w). Lesson 01 reads these names aloud.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from yolo_ft.core.boxes import nms
from yolo_ft.core.errors import UserError

BN_EPS, BN_MOMENTUM = 1e-3, 0.03


class SiLU(nn.Module):
    """x * sigmoid(x), in place where no gradient is needed.

    Where one is, autograd would first copy what is overwritten: a new tensor takes the same memory and less time.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.silu(x, inplace=not x.requires_grad)


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, SiLU: (b, c_in, h, w) -> (b, c_out, h/stride, w/stride).

    `groups` = c_in makes it depthwise (every channel for itself); `activation=False` leaves the SiLU out.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activation: bool = True,
    ):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.act = SiLU() if activation else nn.Identity()
        self.folded: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.folded is None:
            return self.act(self.bn(self.conv(x)))
        conv = self.conv
        return self.act(F.conv2d(x, *self.folded, conv.stride, conv.padding, conv.dilation, conv.groups))

    @torch.no_grad()
    def fold(self, dtype: torch.dtype = torch.float32) -> None:
        """From now on compute with the fixed normalisation merged into the convolution, in `dtype`: one pass, not two.

        gamma (w*x - mean) / std + beta = (w gamma/std) * x + (beta - mean gamma/std). The module's own tensors stay
        as they are; after a change of them fold again. `folded = None` undoes it. Lesson 02.
        """
        scale = self.bn.weight / (self.bn.running_var + self.bn.eps).sqrt()  # (c_out,)
        weight = (self.conv.weight * scale.view(-1, 1, 1, 1)).to(dtype)
        layout = torch.channels_last if self.conv.weight.is_contiguous(memory_format=torch.channels_last) else None
        weight = weight.contiguous(memory_format=layout or torch.contiguous_format)
        self.folded = weight, (self.bn.bias - self.bn.running_mean * scale).to(dtype)


class Bottleneck(nn.Module):
    """Two convolutions, `kernel` (1x1 unless given) and 3x3, added to the input when `shortcut`.

    The channel count stays; between the two there are `hidden` channels, as many unless given.
    """

    def __init__(self, channels: int, shortcut: bool, kernel: int = 1, hidden: int | None = None):
        super().__init__()
        hidden = hidden or channels
        self.cv1 = Conv(channels, hidden, kernel)
        self.cv2 = Conv(hidden, channels, 3)
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cv2(self.cv1(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """Cross-stage block: half of the channels through `repeats` bottlenecks, half past them, then merged."""

    def __init__(self, c_in: int, c_out: int, repeats: int, shortcut: bool, kernel: int = 1):
        super().__init__()
        hidden = c_out // 2
        self.cv1 = Conv(c_in, hidden)
        self.cv2 = Conv(c_in, hidden)
        self.cv3 = Conv(2 * hidden, c_out)
        self.m = nn.Sequential(*(Bottleneck(hidden, shortcut, kernel) for _ in range(repeats)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cv3(torch.cat([self.m(self.cv1(x)), self.cv2(x)], 1))


class SPPF(nn.Module):
    """Spatial pyramid pooling, fast: three chained 5x5 max-pools see 5, 9 and 13 cells around each cell.

    With `residual` (YOLO26) the result is added to the input, and the first convolution has no activation.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 5, residual: bool = False):
        super().__init__()
        hidden = c_in // 2
        self.cv1 = Conv(c_in, hidden, activation=not residual)
        self.cv2 = Conv(4 * hidden, c_out)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.cv1(x)
        y1 = self.m(y)
        y2 = self.m(y1)
        out = self.cv2(torch.cat([y, y1, y2, self.m(y2)], 1))
        return x + out if self.residual else out


class Concat(nn.Module):
    """Concatenate feature maps of one height and width along the channels."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(maps, 1)


@dataclass(frozen=True)
class LayerSpec:
    """One row of an architecture: where it stands, what it is called, whose outputs it reads (absolute indices)."""

    index: int
    name: str
    source: tuple[int, ...]
    module: nn.Module


class Detector(nn.Module):
    """A list of layers, each reading earlier outputs; the last one is the detection head.

    `rows`: (name, source, module) per layer; source is -1 (the layer before), an index, or a list of both.
    What a family adds: `family`, `size` (one of `sizes`), `strides`, `stages` (name -> range of layer indices),
    `objectness` (whether `decode` gives such a column before the classes), `decode` and `head_options`.

    `fixed_batchnorm` holds the dotted names of BatchNorm modules that stay in eval mode whatever `train()` says:
    that is how a freeze survives every later `model.train()` (Lesson 02).
    """

    family: str
    size: str
    sizes: tuple[str, ...]
    strides: tuple[int, ...]
    stages: dict[str, range]
    objectness = True

    def __init__(self, rows: list[tuple[str, int | list[int], nn.Module]], names: dict[int, str]):
        super().__init__()
        self.layers = tuple(
            LayerSpec(i, name, _absolute(source, i), module) for i, (name, source, module) in enumerate(rows)
        )
        self.model = nn.Sequential(*(layer.module for layer in self.layers))
        self.saved = tuple(sorted({s for layer in self.layers for s in layer.source if s not in (-1, layer.index - 1)}))
        self.names = dict(names)
        self.pretrained = False
        self.fixed_batchnorm: frozenset[str] = frozenset()

    @property
    def num_classes(self) -> int:
        """Number of classes that the head predicts."""
        return len(self.names)

    @property
    def head(self) -> nn.Module:
        """The last layer: raw maps from feature maps."""
        return self.model[-1]

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(b, 3, h, w) floats in 0..1, h and w multiples of the largest stride -> the head's raw maps."""
        return self.run_layers({-1: images})

    def run_layers(self, outputs: dict[int, torch.Tensor], start: int = 0, stop: int | None = None):
        """Run layers start..stop-1 on the `outputs` of earlier layers (index -> tensor, -1 = the image).

        Returns the last layer's output and adds to `outputs` every map that a later layer reads.
        """
        stop = len(self.layers) if stop is None else stop
        x = outputs[start - 1] if start - 1 in outputs else None
        for layer in self.layers[start:stop]:
            inputs = [x if s == layer.index - 1 else outputs[s] for s in layer.source]
            x = layer.module(inputs if isinstance(layer.module, Concat) or layer.module is self.head else inputs[0])
            if layer.index in self.saved:
                outputs[layer.index] = x
        return x

    def decode(self, raw: list[torch.Tensor]) -> torch.Tensor:
        """Raw maps -> (b, N, columns) predictions in input pixels; each family documents its columns."""
        raise NotImplementedError

    def decode_once(self, raw: list[torch.Tensor], max_det: int = 300) -> torch.Tensor:
        """Raw maps -> (b, k, 6) rows x1, y1, x2, y2, score, class, best first, each object once without suppression.

        Raises `UserError` where no head was trained to do that.
        """
        raise UserError(
            f"{self.family.replace('yolo', 'YOLO')} answers an object several times and needs suppression: "
            "YOLO26 can do without."
        )

    def detections(
        self,
        raw: list[torch.Tensor],
        confidence: float = 0.25,
        iou: float = 0.45,
        multi_label: bool = False,
        max_det: int = 300,
        candidates: int = 30_000,
        end_to_end: bool = False,
    ) -> list[torch.Tensor]:
        """Raw maps -> per image (n, 6) rows x1, y1, x2, y2, score, class in input pixels, best first.

        `end_to_end` takes the answers of `decode_once` as they are; else those of `decode` go through `nms`, which
        documents the other arguments. Lesson 04.
        """
        if end_to_end:
            return [rows[rows[:, 4] > confidence] for rows in self.decode_once(raw, max_det)]
        decoded = self.decode(raw)
        return nms(decoded, confidence, iou, multi_label, max_det, candidates=candidates, objectness=self.objectness)

    @staticmethod
    def head_options(shapes: Mapping[str, Sequence[int]]) -> dict[str, int] | None:
        """What the tensors of a state dict (name -> shape) tell of this family's head, None without such a head.

        "num_classes", and what else the constructor takes beside the size and the names.
        """
        raise NotImplementedError

    def train(self, mode: bool = True) -> Detector:
        """`nn.Module.train`, after which the BatchNorms of `fixed_batchnorm` go back to eval mode."""
        super().train(mode)
        for name in self.fixed_batchnorm:
            self.get_submodule(name).eval()
        return self


def unfold(model: nn.Module) -> None:
    """Let every `Conv` of `model` compute with its own tensors again."""
    for module in model.modules():
        if isinstance(module, Conv):
            module.folded = None


@contextmanager
def folded_batchnorm(model: nn.Module, dtype: torch.dtype = torch.float32) -> Iterator[nn.Module]:
    """Inside the block every `Conv` of `model`, in eval mode, computes with its normalisation merged in."""
    try:
        for module in model.modules():
            if isinstance(module, Conv):
                module.fold(dtype)
        yield model
    finally:
        unfold(model)


def set_batchnorm_momentum(model: nn.Module, momentum: float) -> None:
    """How much of each batch's statistics enters the running ones.

    YOLOv5's 0.03 remembers some 30 batches: too long for a run of a few hundred steps, whose averaged weights would
    be measured with the statistics of much older ones.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum


def _absolute(source: int | list[int], index: int) -> tuple[int, ...]:
    """Layer indices counted from the start: -1 is the layer before `index`."""
    sources = [source] if isinstance(source, int) else source
    return tuple(s if s >= 0 else index + s for s in sources)


def class_names(names: Iterable[str] | dict[int, str] | None, num_classes: int) -> dict[int, str]:
    """{index: name} from a list, a dict or nothing (then `class0`, `class1`, ...)."""
    if names is None:
        return {i: f"class{i}" for i in range(num_classes)}
    table = dict(names) if isinstance(names, dict) else dict(enumerate(names))
    return {int(i): str(name) for i, name in table.items()}
