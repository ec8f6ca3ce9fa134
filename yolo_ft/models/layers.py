"""The blocks that YOLO networks are made of. `detector` strings them together.

Attribute names (`conv`, `bn`, `cv1`, `m`, ...) are those of the official checkpoints, so that a state dict loads by
name. Every tensor is (b, c, h, w). Lesson 01 reads these names aloud.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

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
        """(b, c_in, h, w) -> (b, c_out, h, w)."""
        y = self.cv1(x)
        y1 = self.m(y)
        y2 = self.m(y1)
        out = self.cv2(torch.cat([y, y1, y2, self.m(y2)], 1))
        return x + out if self.residual else out


class Concat(nn.Module):
    """Concatenate feature maps of one height and width along the channels."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(maps, 1)


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
