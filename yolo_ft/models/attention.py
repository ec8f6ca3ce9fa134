"""The blocks that YOLO26 adds: attention between all places of a feature map, and what it is wrapped in.

Attribute names are those of the official checkpoints. Every tensor is (b, c, h, w). Lesson 13 says where they stand.
"""

from __future__ import annotations

import torch
from torch import nn

from yolo_ft.models.layers import C3, Bottleneck, Conv

HEAD_CHANNELS = 64  # channels per attention head


class Attention(nn.Module):
    """Every place gathers from every other, weighted by how well their queries and keys agree.

    A head has c / heads value channels and half as many query and key channels. A depthwise convolution of the
    values adds what attention alone cannot see: where things are.
    """

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.value_channels = channels // heads
        self.key_channels = self.value_channels // 2
        self.qkv = Conv(channels, channels + 2 * self.key_channels * heads, activation=False)
        self.proj = Conv(channels, channels, activation=False)
        self.pe = Conv(channels, channels, 3, groups=channels, activation=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> the same shape: every place a weighted mean of all places."""
        b, c, h, w = x.shape
        parts = [self.key_channels, self.key_channels, self.value_channels]
        q, k, v = self.qkv(x).reshape(b, self.heads, sum(parts), h * w).split(parts, 2)  # (b, heads, channels, places)
        weights = (q.transpose(2, 3) @ k * self.key_channels**-0.5).softmax(3)  # (b, heads, places, places)
        gathered = (v @ weights.transpose(2, 3)).reshape(b, c, h, w)
        return self.proj(gathered + self.pe(v.reshape(b, c, h, w)))


class PSABlock(nn.Module):
    """Attention, then two 1x1 convolutions at each place; both are added to their input."""

    def __init__(self, channels: int):
        super().__init__()
        self.attn = Attention(channels, max(channels // HEAD_CHANNELS, 1))
        self.ffn = nn.Sequential(Conv(channels, 2 * channels), Conv(2 * channels, channels, activation=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(x)
        return x + self.ffn(x)


class C2PSA(nn.Module):
    """Half of the channels through `repeats` attention blocks, half past them, then merged."""

    def __init__(self, channels: int, repeats: int):
        super().__init__()
        hidden = channels // 2
        self.cv1 = Conv(channels, 2 * hidden)
        self.cv2 = Conv(2 * hidden, channels)
        self.m = nn.Sequential(*(PSABlock(hidden) for _ in range(repeats)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        past, through = self.cv1(x).chunk(2, 1)
        return self.cv2(torch.cat([past, self.m(through)], 1))


class C3k(C3):
    """A `C3` of two bottlenecks that convolve 3x3 twice; the channel count stays."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 2, True, kernel=3)


class C3k2(nn.Module):
    """Half of the channels past, half through a chain of `repeats` blocks of which every output is kept, then merged.

    `block` is what the chain is made of: "plain" bottlenecks, "c3k" (a `C3k` each) or "attention" (a bottleneck and a
    `PSABlock`). Inside it there are `expansion` times as many channels as outside.
    """

    def __init__(self, c_in: int, c_out: int, repeats: int, block: str = "c3k", expansion: float = 0.5):
        super().__init__()
        hidden = int(c_out * expansion)
        make = {
            "plain": lambda: Bottleneck(hidden, True, 3, hidden // 2),
            "c3k": lambda: C3k(hidden),
            "attention": lambda: nn.Sequential(Bottleneck(hidden, True, 3, hidden // 2), PSABlock(hidden)),
        }[block]
        self.cv1 = Conv(c_in, 2 * hidden)
        self.cv2 = Conv((2 + repeats) * hidden, c_out)
        self.m = nn.ModuleList(make() for _ in range(repeats))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            kept.append(block(kept[-1]))
        return self.cv2(torch.cat(kept, 1))
