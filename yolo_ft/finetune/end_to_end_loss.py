"""The YOLO26 detection loss: boxes (CIoU), classes and distances (L1), of two heads whose weights change places.

Early epochs listen to the one-to-many head, which teaches fast; late ones to the one-to-one head, which needs no
suppression afterwards. As in Ultralytics 8.4. Lesson 13.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.alignment import align, candidates, corner_ciou
from yolo_ft.models.detector import Detector
from yolo_ft.models.yolo26 import STRIDES, anchor_points, corners, flatten_maps

L1_GAIN = 1.5  # of the distances, where `TrainConfig.dfl` is not given
CLAIMS = {"many": 10, "once": 7}  # places that an object claims in either head
FIRST_SHARE, LAST_SHARE = 0.8, 0.1


def many_share(epoch: int, epochs: int) -> float:
    """Weight of the one-to-many head in `epoch` (from 0): from 0.8 in a straight line to 0.1 in the last epoch."""
    left = max(1 - epoch / max(epochs - 1, 1), 0.0)
    return left * (FIRST_SHARE - LAST_SHARE) + LAST_SHARE


class EndToEndLoss:
    """Called with raw maps and targets it returns (total, parts), as `DetectionLoss` does.

    `share` is the weight of the one-to-many head, 1 - `share` that of the one-to-one head. `total` is the weighted sum
    of both heads' terms times the batch size; `parts` holds the one-to-one head's gained terms without those factors.
    """

    parts = ("box", "cls", "l1")
    box_gain = 7.5
    unused = ("obj", "obj_pw", "cls_pw", "iou_t", "anchor_t", "anchors", "fl_gamma", "label_smoothing")

    def __init__(self, config: TrainConfig, share: float):
        box = self.box_gain if config.box is None else config.box
        self.gains = (box, config.cls, L1_GAIN if config.dfl is None else config.dfl)
        self.share = share

    @classmethod
    def for_epoch(cls, model: Detector, config: TrainConfig, epoch: int) -> EndToEndLoss:
        """The loss of one epoch of a training."""
        return cls(config, many_share(epoch, config.epochs))

    def __call__(self, raw: list[torch.Tensor], targets: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`raw`: six maps (b, 4 + nc, h, w); `targets`: (t, 6) rows [image, class, cx, cy, w, h] normalised."""
        pairs = self.pairs(raw[:3], targets)
        many = self.head(raw[:3], targets, pairs, once=False)
        once = self.head(raw[3:], targets, pairs, once=True)
        total = (self.share * many + (1 - self.share) * once).sum() * raw[0].shape[0]
        return total, dict(zip(self.parts, once.detach(), strict=True))

    @staticmethod
    def pairs(maps: list[torch.Tensor], targets: torch.Tensor) -> torch.Tensor:
        """Which places may answer for which objects, the same in both heads: see `candidates`."""
        points, strides = anchor_points(maps)
        return candidates(points * strides, targets, _size(maps))

    def head(self, maps: list[torch.Tensor], targets: torch.Tensor, pairs: torch.Tensor, once: bool) -> torch.Tensor:
        """The gained terms (3,) of one head: box, class, L1, each over the sum of the scores that it should give."""
        distances, logits = flatten_maps(maps)  # (b, N, 4) in cells, (b, N, nc)
        points, strides = anchor_points(maps)
        size = _size(maps)
        boxes = corners(points, distances)  # (b, N, 4) in cells
        claims = CLAIMS["once" if once else "many"]
        found = align(logits.sigmoid(), boxes * strides, pairs, targets, size, claims, once)
        total_score = found.scores.sum().clamp(min=1)

        wanted = torch.zeros_like(logits).flatten(0, 1)  # (b N, nc)
        wanted[found.places, targets[found.objects, 1].long()] = found.scores
        cls = F.binary_cross_entropy_with_logits(logits.flatten(0, 1), wanted, reduction="sum")

        place = found.places % len(points)
        point, stride = points[place], strides[place]
        truth = targets[found.objects, 2:] * size.repeat(2) / stride  # (m, 4) cxcywh in cells
        # index_select, not indexing: its backward adds in a fixed order, so runs repeat bit by bit
        overlap = corner_ciou(boxes.flatten(0, 1).index_select(0, found.places), truth)
        box = ((1 - overlap) * found.scores).sum()

        centre, half = truth[:, :2], truth[:, 2:] / 2
        sides = torch.cat([point - (centre - half), centre + half - point], 1)  # (m, 4) left, top, right, bottom
        error = (distances.flatten(0, 1).index_select(0, found.places) - sides) * stride / size.repeat(2)
        l1 = (error.abs().mean(1) * found.scores).sum()
        return torch.stack([box, cls, l1]) / total_score * logits.new_tensor(self.gains)


def _size(maps: list[torch.Tensor]) -> torch.Tensor:
    """(2,) float32: width and height of the image in pixels, from the finest of the maps."""
    return torch.tensor([maps[0].shape[3], maps[0].shape[2]], device=maps[0].device) * float(STRIDES[0])
