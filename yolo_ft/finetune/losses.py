"""The YOLOv5 detection loss: box (CIoU), objectness and classes. The model predicts; this judges.

`LOSSES` names the loss of every family.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from yolo_ft.core.boxes import paired_ciou
from yolo_ft.core.config import TrainConfig
from yolo_ft.finetune.assign import Assignment, assign
from yolo_ft.finetune.end_to_end_loss import EndToEndLoss
from yolo_ft.models import Detector

LEVEL_BALANCE = (4.0, 1.0, 0.4)  # P3 has most cells and so the smallest mean


def scaled_gains(config: TrainConfig, num_classes: int) -> dict[str, float]:
    """Loss gains fitted to the class count and image size, once per run, as YOLOv5 v7.0's trainer does."""
    return {
        "box": DetectionLoss.box_gain if config.box is None else config.box,
        "cls": config.cls * num_classes / 80,
        "obj": config.obj * (config.imgsz / 640) ** 2,
    }


class DetectionLoss:
    """YOLOv5 v7.0's loss. Called with raw maps and targets it returns (total, parts). Lesson 03 computes one by hand.

    `total` is (box + obj + cls) times the batch size; `parts` holds the three gained terms without that factor.
    `gains` are the final factors of the terms (`scaled_gains` makes them from a configuration).
    """

    parts = ("box", "obj", "cls")
    box_gain = 0.05
    unused = ("dfl",)

    def __init__(self, model: Detector, config: TrainConfig, gains: dict[str, float]):
        self.anchors = model.head.anchors.float()  # (level, anchor, 2) in cells
        self.num_classes = model.num_classes
        self.config, self.gains = config, gains
        self.positive = 1 - config.label_smoothing / 2
        self.negative = config.label_smoothing / 2

    @classmethod
    def for_epoch(cls, model: Detector, config: TrainConfig, epoch: int) -> DetectionLoss:
        """The loss of one epoch of a training: the same in every epoch."""
        return cls(model, config, scaled_gains(config, model.num_classes))

    def __call__(self, raw: list[torch.Tensor], targets: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`raw`: maps (b, 3, ny, nx, 5 + nc); `targets`: (t, 6) rows [image, class, cx, cy, w, h] normalised."""
        zero = raw[0].new_zeros((), dtype=torch.float32)
        box, obj, cls = zero, zero, zero
        for level, x in enumerate(raw):
            _, _, ny, nx, outputs = x.shape
            match = assign(targets, self.anchors[level], ny, nx, self.config.anchor_t)
            objectness_target = x.new_zeros(x.shape[:4], dtype=torch.float32)
            if len(match.labels):
                index = ((match.images * 3 + match.anchors) * ny + match.rows) * nx + match.columns  # (m,)
                # index_select, not indexing: its backward adds in a fixed order, so runs repeat bit by bit
                picked = x.reshape(-1, outputs).index_select(0, index).float()  # (m, 5 + nc)
                overlap = paired_ciou(predicted_boxes(picked, match), match.boxes)
                box = box + (1 - overlap).mean()
                objectness_target = self._objectness_target(objectness_target, index, overlap)
                cls = cls + self._class_loss(picked, match)
            bce = self._bce(x[..., 4].float(), objectness_target, self.config.obj_pw)
            obj = obj + bce.mean() * LEVEL_BALANCE[level]
        parts = {"box": box * self.gains["box"], "obj": obj * self.gains["obj"], "cls": cls * self.gains["cls"]}
        return sum(parts.values()) * raw[0].shape[0], {name: part.detach() for name, part in parts.items()}

    @staticmethod
    def _objectness_target(target: torch.Tensor, index: torch.Tensor, overlap: torch.Tensor) -> torch.Tensor:
        """Matched cells carry their CIoU; of several matches of one cell the last stands, on every device."""
        values = overlap.detach().clamp(min=0)
        last = torch.full((target.numel(),), -1, dtype=torch.long, device=index.device)
        last.scatter_reduce_(0, index, torch.arange(len(index), device=index.device), "amax")
        hit = last >= 0
        target.view(-1)[hit] = values[last[hit]]
        return target

    def _class_loss(self, picked: torch.Tensor, match: Assignment) -> torch.Tensor:
        """Mean binary cross-entropy over matches and classes; with one class there is nothing to tell apart."""
        if self.num_classes == 1:
            return picked.new_zeros(())
        target = torch.full_like(picked[:, 5:], self.negative)  # (m, nc)
        target[torch.arange(len(target), device=target.device), match.labels] = self.positive
        return self._bce(picked[:, 5:], target, self.config.cls_pw).mean()

    def _bce(self, logits: torch.Tensor, target: torch.Tensor, positive_weight: float) -> torch.Tensor:
        """Elementwise binary cross-entropy, focal (Lin et al. 2017, arXiv:1708.02002) when `fl_gamma` > 0."""
        weight = logits.new_tensor(positive_weight)
        loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none", pos_weight=weight)
        if self.config.fl_gamma > 0:
            p = logits.sigmoid()
            p_true = target * p + (1 - target) * (1 - p)
            loss = loss * (target * 0.25 + (1 - target) * 0.75) * (1 - p_true) ** self.config.fl_gamma
        return loss


def predicted_boxes(picked: torch.Tensor, match: Assignment) -> torch.Tensor:
    """Raw rows (m, 5 + nc) of matched cells -> boxes (m, 4): offset in the cell, size in cells."""
    xy = 2 * picked[:, :2].sigmoid() - 0.5
    wh = (2 * picked[:, 2:4].sigmoid()) ** 2 * match.anchor_sizes
    return torch.cat([xy, wh], 1)


# per family; `parts` are the terms of a loss, `box_gain` what `TrainConfig.box` is unless given, `unused` the settings
# that it cannot act on, and `for_epoch(model, config, epoch)` makes it: the same for the same arguments, to resume
LOSSES = {"yolov5": DetectionLoss, "yolo26": EndToEndLoss}
