"""YOLO26 n/s/m/l/x, written from published facts: names, sizes and outputs agree with Ultralytics 8.4.

Image (b, 3, h, w) -> six raw maps (b, 4 + nc, h/s, w/s): the three levels s = 8, 16, 32 of the one-to-many head, then
those of the one-to-one head. There are no anchors and no objectness. Lesson 13 compares it with YOLOv5.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from yolo_ft.core.boxes import xyxy_to_cxcywh
from yolo_ft.models.attention import C2PSA, C3k2
from yolo_ft.models.detector import Detector
from yolo_ft.models.layers import SPPF, Concat, Conv

# size: (depth multiple, width multiple, most nominal channels)
SIZES = {
    "n": (0.50, 0.25, 1024),
    "s": (0.50, 0.50, 1024),
    "m": (0.50, 1.00, 512),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.50, 512),
}
STRIDES = (8, 16, 32)
CLASS_ROWS = re.compile(r"model\.23\.(one2one_)?cv3\.\d\.2\.(weight|bias)")
WIDEST = 100  # classes beyond which the hidden channels of the class branch stop growing


class Detect(nn.Module):
    """Two heads of one shape, each a box branch (`cv2`) and a class branch (`cv3`) per level.

    The one-to-many head (`cv2`, `cv3`) learns to answer an object from several places, which teaches the network most;
    the one-to-one head (`one2one_*`) learns to answer it once, so that nothing has to be suppressed. The latter reads
    detached maps: its loss does not reach the backbone. A raw map's channels are the distances from the cell's centre
    to the left, top, right and bottom side in cells, then the class logits. `answering` says which of the two run.
    """

    def __init__(self, channels: list[int], num_classes: int, class_width: int | None = None):
        super().__init__()
        self.channels, self.num_classes = channels, num_classes
        self.answering: tuple[int, ...] = (0, 1)
        self.box_width = max(16, channels[0] // 4)
        self.class_width = class_width or max(channels[0], min(num_classes, WIDEST))
        self.cv2 = nn.ModuleList(self._box_branch(c) for c in channels)
        self.cv3 = nn.ModuleList(self._class_branch(c) for c in channels)
        self.reset_priors()
        self.one2one_cv2, self.one2one_cv3 = copy.deepcopy(self.cv2), copy.deepcopy(self.cv3)

    def widen(self, class_width: int) -> None:
        """New class branches with `class_width` hidden channels, equal in both heads; where the old ones were."""
        where = self.cv3[0][-1].weight
        self.class_width = class_width
        self.cv3 = nn.ModuleList(self._class_branch(c) for c in self.channels).to(where.device, where.dtype)
        self.reset_priors()
        self.one2one_cv3 = copy.deepcopy(self.cv3)

    def _box_branch(self, c: int) -> nn.Sequential:
        width = self.box_width
        return nn.Sequential(Conv(c, width, 3), Conv(width, width, 3), nn.Conv2d(width, 4, 1))

    def _class_branch(self, c: int) -> nn.Sequential:
        width = self.class_width
        return nn.Sequential(
            nn.Sequential(Conv(c, c, 3, groups=c), Conv(c, width)),
            nn.Sequential(Conv(width, width, 3, groups=width), Conv(width, width)),
            nn.Conv2d(width, self.num_classes, 1),
        )

    @torch.no_grad()
    def reset_priors(self) -> None:
        """What is likely at the start: sides two cells away, and 5 objects in a 640 px image among all classes."""
        for box, classes, stride in zip(self.cv2, self.cv3, STRIDES, strict=True):
            box[-1].bias.fill_(2.0)
            classes[-1].bias.fill_(math.log(5 / self.num_classes / (640 / stride) ** 2))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Feature maps of the three levels -> the raw maps of the heads that are answering."""
        detached = [x.detach() for x in maps]
        heads = ((maps, self.cv2, self.cv3), (detached, self.one2one_cv2, self.one2one_cv3))
        return [
            torch.cat([box(x), classes(x)], 1)
            for inputs, boxes, branches in (heads[i] for i in self.answering)
            for x, box, classes in zip(inputs, boxes, branches, strict=True)
        ]


class YOLO26(Detector):
    """YOLO26 of one size. `model.model` is indexed as in the official configuration and checkpoints.

    `stages`: backbone 0-10 (one layer more than YOLOv5), neck 11-22, head 23. `class_width`: hidden channels of the
    class branches, by default what the official models have for this number of classes.
    """

    family = "yolo26"
    sizes = tuple(SIZES)
    strides = STRIDES
    val_iou, predict_iou = 0.7, 0.7
    objectness = False
    boosted = ("model.23.cv3.", "model.23.one2one_cv3.")

    def __init__(self, size: str, names: dict[int, str], class_width: int | None = None):
        depth, width, most = SIZES[size]
        c64, c128, c256, c512, c1024 = (math.ceil(min(c, most) * width / 8) * 8 for c in (64, 128, 256, 512, 1024))
        n = max(round(2 * depth), 1)
        shallow = "plain" if size in "ns" else "c3k"
        rows = [
            ("stem, P1/2", -1, Conv(3, c64, 3, 2)),
            ("P2/4 down", -1, Conv(c64, c128, 3, 2)),
            ("P2/4", -1, C3k2(c128, c256, n, shallow, 0.25)),
            ("P3/8 down", -1, Conv(c256, c256, 3, 2)),
            ("P3/8", -1, C3k2(c256, c512, n, shallow, 0.25)),
            ("P4/16 down", -1, Conv(c512, c512, 3, 2)),
            ("P4/16", -1, C3k2(c512, c512, n)),
            ("P5/32 down", -1, Conv(c512, c1024, 3, 2)),
            ("P5/32", -1, C3k2(c1024, c1024, n)),
            ("P5/32 pool", -1, SPPF(c1024, c1024, residual=True)),
            ("P5/32 attention", -1, C2PSA(c1024, n)),
            ("N4 up", -1, nn.Upsample(scale_factor=2, mode="nearest")),
            ("N4 join P4", [-1, 6], Concat()),
            ("N4", -1, C3k2(c1024 + c512, c512, n)),
            ("N3 up", -1, nn.Upsample(scale_factor=2, mode="nearest")),
            ("N3 join P3", [-1, 4], Concat()),
            ("N3 out", -1, C3k2(2 * c512, c256, n)),
            ("N3 down", -1, Conv(c256, c256, 3, 2)),
            ("N4 join N4", [-1, 13], Concat()),
            ("N4 out", -1, C3k2(c256 + c512, c512, n)),
            ("N4 down", -1, Conv(c512, c512, 3, 2)),
            ("N5 join P5", [-1, 10], Concat()),
            ("N5 out", -1, C3k2(c512 + c1024, c1024, 1, "attention")),
            ("detect", [16, 19, 22], Detect([c256, c512, c1024], len(names), class_width)),
        ]
        super().__init__(rows, names)
        self.size = size
        self.stages = {"backbone": range(0, 11), "neck": range(11, 23), "head": range(23, 24)}

    @staticmethod
    def head_options(shapes: Mapping[str, Sequence[int]]) -> dict[str, int] | None:
        """See `Detector.head_options`."""
        weight = shapes.get("model.23.cv3.0.2.weight", ())  # (nc, width, 1, 1)
        return {"num_classes": weight[0], "class_width": weight[1]} if len(weight) == 4 else None

    def class_rows(self, key: str) -> tuple[int, int] | None:
        """See `Detector.class_rows`: the last convolutions of the class branches have nothing but classes."""
        return (1, 0) if CLASS_ROWS.fullmatch(key) else None

    def adopt(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Class branches as wide as those of the weights, so that their hidden layers fit whatever the classes.

        A YOLO26n for few classes is narrower than one for 80, which alone would lose them.
        """
        width = (self.head_options(shapes) or {}).get("class_width", self.head.class_width)
        if width != self.head.class_width:
            trains = {name: p.requires_grad for name, p in self.head.named_parameters()}
            self.head.widen(width)
            for name, p in self.head.named_parameters():
                p.requires_grad_(trains[name])
            self.train(self.training)

    @contextmanager
    def answering(self, end_to_end: bool) -> Iterator[None]:
        """See `Detector.answering`: the three maps of one head."""
        before, self.head.answering = self.head.answering, (1,) if end_to_end else (0,)
        try:
            yield
        finally:
            self.head.answering = before

    def decode(self, raw: list[torch.Tensor]) -> torch.Tensor:
        """Raw maps of one head -> (b, N, 4 + nc): cx, cy, w, h in input pixels, class probabilities.

        N counts levels, rows, columns. Of both heads' maps the one-to-many head's are taken; `decode(raw[3:])` decodes
        the one-to-one head.
        """
        boxes, logits = decode_corners(raw[:3])
        return torch.cat([xyxy_to_cxcywh(boxes), logits.sigmoid()], 2)

    def decode_once(self, raw: list[torch.Tensor], max_det: int = 300) -> torch.Tensor:
        """Raw maps -> (b, k, 6) rows x1, y1, x2, y2, score, class of the one-to-one head, best first: no suppression.

        Of both heads' maps the last three are taken.
        The k = min(max_det, N) places with the best class, then the k best (place, class) pairs among them: one place
        may answer with several classes.
        """
        boxes, logits = decode_corners(raw[-3:])
        b, places, classes = logits.shape
        k = min(max_det, places)
        chosen = logits.amax(2).topk(k).indices  # (b, k)
        logits = logits.gather(1, chosen[..., None].expand(-1, -1, classes))  # (b, k, nc)
        best, pairs = logits.flatten(1).topk(k)  # (b, k) each
        place = chosen.gather(1, pairs // classes)
        boxes = boxes.gather(1, place[..., None].expand(-1, -1, 4))
        return torch.cat([boxes, best.sigmoid()[..., None], (pairs % classes)[..., None].to(boxes)], 2)


def anchor_points(maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The cell centres of three levels, (N, 2) x and y in cells, and the stride of each, (N, 1)."""
    points, strides = [], []
    for x, stride in zip(maps, STRIDES, strict=True):
        rows, columns = (torch.arange(n, device=x.device, dtype=torch.float32) + 0.5 for n in x.shape[2:])
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)  # (ny, nx, 2)
        points.append(grid.view(-1, 2))
        strides.append(torch.full((len(points[-1]), 1), stride, device=x.device, dtype=torch.float32))
    return torch.cat(points), torch.cat(strides)


def flatten_maps(maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw maps of one head -> float32 distances (b, N, 4) in cells and class logits (b, N, nc)."""
    # in this order nothing moves where the channels are last in memory
    rows = torch.cat([x.permute(0, 2, 3, 1).flatten(1, 2) for x in maps], 1).float()  # (b, N, 4 + nc)
    return rows[..., :4], rows[..., 4:]


def corners(points: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """Cell centres (N, 2) and distances (b, N, 4) to the sides -> boxes (b, N, 4) xyxy, everything in cells."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def decode_corners(maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw maps of one head -> boxes (b, N, 4) xyxy in input pixels and class logits (b, N, nc). Lesson 13."""
    distances, logits = flatten_maps(maps)
    points, strides = anchor_points(maps)
    return corners(points, distances) * strides, logits
