"""YOLOv5 n/s/m/l/x (P5, release 6.0 and later), written from published facts: names, sizes and outputs agree with it.

Image (b, 3, h, w) -> three raw maps (b, 3, h/s, w/s, 5 + nc) at strides s = 8, 16, 32. Lesson 01 walks through it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from yolo_ft.models.detector import Detector
from yolo_ft.models.layers import C3, SPPF, Concat, Conv

# size: (depth multiple, width multiple)
SIZES = {"n": (0.33, 0.25), "s": (0.33, 0.50), "m": (0.67, 0.75), "l": (1.00, 1.00), "x": (1.33, 1.25)}
STRIDES = (8, 16, 32)
# (width, height) in pixels, three per level
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


def depth(repeats: int, multiple: float) -> int:
    """How often a block of nominally `repeats` bottlenecks repeats at this size."""
    return max(round(repeats * multiple), 1)


def width(channels: int, multiple: float) -> int:
    """Nominal channels scaled and rounded up to a multiple of 8."""
    return math.ceil(channels * multiple / 8) * 8


class Detect(nn.Module):
    """One 1x1 convolution per level: (b, c, ny, nx) -> raw map (b, 3 anchors, ny, nx, 5 + nc).

    The last axis is x, y, w, h, objectness, classes before the sigmoid. `anchors` (3, 3, 2) is in grid units.
    """

    def __init__(self, channels: list[int], num_classes: int):
        super().__init__()
        self.num_outputs = 5 + num_classes
        anchors = torch.tensor(ANCHORS, dtype=torch.float32)  # (level, anchor, 2)
        self.register_buffer("anchors", anchors / torch.tensor(STRIDES).view(3, 1, 1))
        self.m = nn.ModuleList(nn.Conv2d(c, 3 * self.num_outputs, 1) for c in channels)
        self.reset_priors()

    def reset_priors(self) -> None:
        """Shift the biases to what is rare at the start: 8 objects in a 640 px image, 0.6 split among the classes."""
        num_classes = self.num_outputs - 5
        with torch.no_grad():
            for conv, stride in zip(self.m, STRIDES, strict=True):
                bias = conv.bias.view(3, -1)  # (anchor, 5 + nc), a view
                bias[:, 4] += math.log(8 / (640 / stride) ** 2)
                bias[:, 5:] += math.log(0.6 / (num_classes - 0.99999))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Feature maps of the three levels -> their raw maps."""
        raw = []
        for conv, x in zip(self.m, maps, strict=True):
            b, _, ny, nx = x.shape
            x = conv(x).view(b, 3, self.num_outputs, ny, nx)
            raw.append(x.permute(0, 1, 3, 4, 2).contiguous())  # (b, 3, ny, nx, 5 + nc)
        return raw


class YOLOv5(Detector):
    """YOLOv5 of one size. `model.model` is indexed as in the official configuration and checkpoints.

    `stages`: backbone 0-9 (`--freeze 10`), neck 10-23, head 24 (`--freeze 24` leaves only it).
    """

    family = "yolov5"
    sizes = tuple(SIZES)
    strides = STRIDES
    val_iou, predict_iou = 0.6, 0.45

    def __init__(self, size: str, names: dict[int, str]):
        d, w = SIZES[size]
        c64, c128, c256, c512, c1024 = (width(c, w) for c in (64, 128, 256, 512, 1024))
        n3, n6, n9 = (depth(n, d) for n in (3, 6, 9))
        rows = [
            ("stem, P1/2", -1, Conv(3, c64, 6, 2, 2)),
            ("P2/4 down", -1, Conv(c64, c128, 3, 2)),
            ("P2/4", -1, C3(c128, c128, n3, True)),
            ("P3/8 down", -1, Conv(c128, c256, 3, 2)),
            ("P3/8", -1, C3(c256, c256, n6, True)),
            ("P4/16 down", -1, Conv(c256, c512, 3, 2)),
            ("P4/16", -1, C3(c512, c512, n9, True)),
            ("P5/32 down", -1, Conv(c512, c1024, 3, 2)),
            ("P5/32", -1, C3(c1024, c1024, n3, True)),
            ("P5/32 pool", -1, SPPF(c1024, c1024)),
            ("N5 reduce", -1, Conv(c1024, c512)),
            ("N4 up", -1, nn.Upsample(scale_factor=2, mode="nearest")),
            ("N4 join P4", [-1, 6], Concat()),
            ("N4", -1, C3(2 * c512, c512, n3, False)),
            ("N4 reduce", -1, Conv(c512, c256)),
            ("N3 up", -1, nn.Upsample(scale_factor=2, mode="nearest")),
            ("N3 join P3", [-1, 4], Concat()),
            ("N3 out", -1, C3(2 * c256, c256, n3, False)),
            ("N3 down", -1, Conv(c256, c256, 3, 2)),
            ("N4 join N4", [-1, 14], Concat()),
            ("N4 out", -1, C3(2 * c256, c512, n3, False)),
            ("N4 down", -1, Conv(c512, c512, 3, 2)),
            ("N5 join N5", [-1, 10], Concat()),
            ("N5 out", -1, C3(2 * c512, c1024, n3, False)),
            ("detect", [17, 20, 23], Detect([c256, c512, c1024], len(names))),
        ]
        super().__init__(rows, names)
        self.size = size
        self.stages = {"backbone": range(0, 10), "neck": range(10, 24), "head": range(24, 25)}

    @staticmethod
    def head_options(shapes: Mapping[str, Sequence[int]]) -> dict[str, int] | None:
        """See `Detector.head_options`."""
        bias = shapes.get("model.24.m.0.bias", ())  # (3 anchors x (5 + nc),)
        return {"num_classes": bias[0] // 3 - 5} if len(bias) == 1 and bias[0] >= 18 else None

    def class_rows(self, key: str) -> tuple[int, int] | None:
        """See `Detector.class_rows`: per anchor x, y, w, h and objectness come first."""
        return (3, 5) if key.startswith("model.24.m.") else None

    def decode(self, raw: list[torch.Tensor]) -> torch.Tensor:
        """Raw maps -> (b, N, 5 + nc): cx, cy, w, h in input pixels, objectness, class probabilities.

        N counts levels, then anchors, rows, columns. The sigmoid is stretched so that a cell can reach half a cell
        beyond its borders and a box up to four times its anchor (YOLOv5 v6.0). Lesson 03 decodes one cell by hand.
        """
        decoded = []
        for level, x in enumerate(raw):
            b, _, ny, nx, outputs = x.shape
            x = x.float().sigmoid()
            rows, cols = torch.meshgrid(torch.arange(ny), torch.arange(nx), indexing="ij")
            cell = torch.stack([cols, rows], -1).to(x)  # (ny, nx, 2)
            anchors = (self.head.anchors[level].float() * self.strides[level]).view(3, 1, 1, 2)
            xy = (2 * x[..., :2] - 0.5 + cell) * self.strides[level]
            wh = (2 * x[..., 2:4]) ** 2 * anchors
            decoded.append(torch.cat([xy, wh, x[..., 4:]], -1).view(b, -1, outputs))  # (b, 3 ny nx, 5 + nc)
        return torch.cat(decoded, 1)
