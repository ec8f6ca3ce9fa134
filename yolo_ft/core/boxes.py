"""Box geometry: formats, overlaps, letterboxes and non-maximum suppression.

Two formats, always in the name: `xyxy` (left, top, right, bottom) and `cxcywh` (centre, width, height). Lesson 04
derives IoU and NMS by hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

Array = np.ndarray | torch.Tensor
EPSILON = 1e-7


def _stack(parts: list[Array]) -> Array:
    return torch.stack(parts, -1) if isinstance(parts[0], torch.Tensor) else np.stack(parts, -1)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """(..., 4) centre and size -> corners, in the same unit; torch or NumPy."""
    cx, cy, w, h = boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]
    return _stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """(..., 4) corners -> centre and size, in the same unit; torch or NumPy."""
    x1, y1, x2, y2 = boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]
    return _stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1])


def box_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU of every box of `a` (n, 4) with every box of `b` (m, 4), both xyxy -> (n, m). Lesson 04."""
    top_left = torch.maximum(a[:, None, :2], b[None, :, :2])  # (n, m, 2)
    bottom_right = torch.minimum(a[:, None, 2:], b[None, :, 2:])  # (n, m, 2)
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)  # (n, m)
    area_a = (a[:, 2:] - a[:, :2]).prod(-1)
    area_b = (b[:, 2:] - b[:, :2]).prod(-1)
    return intersection / (area_a[:, None] + area_b[None, :] - intersection + EPSILON)


def paired_ciou(predicted: torch.Tensor, target: torch.Tensor, complete: bool = True) -> torch.Tensor:
    """CIoU (Zheng et al. 2020, arXiv:1911.08287) of row i with row i: two (n, 4) cxcywh tensors -> (n,).

    IoU minus a distance term minus an aspect-ratio term whose weight carries no gradient; `complete=False` gives
    the plain IoU.
    """
    px1, py1, px2, py2 = cxcywh_to_xyxy(predicted).unbind(-1)
    tx1, ty1, tx2, ty2 = cxcywh_to_xyxy(target).unbind(-1)
    pw, ph, tw, th = predicted[:, 2], predicted[:, 3], target[:, 2], target[:, 3]
    overlap_w = (torch.minimum(px2, tx2) - torch.maximum(px1, tx1)).clamp(min=0)
    overlap_h = (torch.minimum(py2, ty2) - torch.maximum(py1, ty1)).clamp(min=0)
    intersection = overlap_w * overlap_h
    iou = intersection / (pw * ph + tw * th - intersection + EPSILON)
    if not complete:
        return iou
    enclosing_w = torch.maximum(px2, tx2) - torch.minimum(px1, tx1)
    enclosing_h = torch.maximum(py2, ty2) - torch.minimum(py1, ty1)
    diagonal = enclosing_w**2 + enclosing_h**2 + EPSILON
    distance = (predicted[:, 0] - target[:, 0]) ** 2 + (predicted[:, 1] - target[:, 1]) ** 2
    v = (4 / math.pi**2) * (torch.atan(tw / th) - torch.atan(pw / ph)) ** 2
    with torch.no_grad():
        alpha = v / (v - iou + 1 + EPSILON)
    return iou - (distance / diagonal + alpha * v)


@dataclass(frozen=True)
class Letterbox:
    """How an image of (height, width) sits, scaled by `gain`, at (top, left) of an (out_height, out_width) canvas."""

    height: int
    width: int
    gain: float
    top: int
    left: int
    out_height: int
    out_width: int

    @property
    def resized(self) -> tuple[int, int]:
        """(height, width) of the scaled image inside the canvas."""
        return round(self.height * self.gain), round(self.width * self.gain)

    def to_network(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) xyxy in pixels of the image -> pixels of the canvas."""
        return boxes * np.float32(self.gain) + np.array([self.left, self.top] * 2, np.float32)

    def to_image(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) xyxy in pixels of the canvas -> pixels of the image, clipped to it."""
        boxes = (boxes - np.array([self.left, self.top] * 2, np.float32)) / np.float32(self.gain)
        return np.clip(boxes, 0, np.array([self.width, self.height] * 2, np.float32))


def letterbox(
    height: int,
    width: int,
    new_shape: int | tuple[int, int],
    auto: bool = False,
    scaleup: bool = True,
    stride: int = 32,
) -> Letterbox:
    """Fit (height, width) into `new_shape` keeping the aspect ratio, as YOLOv5 v7.0 does.

    `auto` pads only up to the next multiple of `stride`; `scaleup=False` never enlarges. An odd padding leaves the
    smaller half at the top and left.
    """
    out_h, out_w = (new_shape, new_shape) if isinstance(new_shape, int) else new_shape
    gain = min(out_h / height, out_w / width)
    if not scaleup:
        gain = min(gain, 1.0)
    new_h, new_w = round(height * gain), round(width * gain)
    pad_h, pad_w = out_h - new_h, out_w - new_w
    if auto:
        pad_h, pad_w = pad_h % stride, pad_w % stride
    top, left = round(pad_h / 2 - 0.1), round(pad_w / 2 - 0.1)
    return Letterbox(height, width, gain, top, left, new_h + pad_h, new_w + pad_w)


def nms(
    decoded: torch.Tensor,
    confidence: float = 0.25,
    iou: float = 0.45,
    multi_label: bool = False,
    max_det: int = 300,
    agnostic: bool = False,
    candidates: int = 30_000,
    objectness: bool = True,
) -> list[torch.Tensor]:
    """Non-maximum suppression of decoded predictions. Lesson 04 builds it by hand.

    `decoded`: (b, N, 5 + nc), rows cx, cy, w, h in pixels, objectness, class probabilities, or (b, N, 4 + nc) without
    `objectness`. With `multi_label` every class above `confidence` makes a candidate, otherwise the best class alone;
    boxes of different classes suppress each other only when `agnostic`. Returns per image an (n, 6) tensor, rows
    x1, y1, x2, y2, score, class, best first.
    """
    results = []
    for prediction in decoded:  # (N, 5 + nc)
        if objectness:
            prediction = prediction[prediction[:, 4] > confidence]
            scores = prediction[:, 5:] * prediction[:, 4:5]  # (n, nc)
        else:
            prediction = prediction[(prediction[:, 4:] > confidence).any(1)]
            scores = prediction[:, 4:]
        if multi_label and scores.shape[1] > 1:
            rows, labels = (scores > confidence).nonzero(as_tuple=True)
            scores = scores[rows, labels]
        else:
            scores, labels = scores.max(1) if len(scores) else (scores.new_zeros(0), scores.new_zeros(0).long())
            rows = (scores > confidence).nonzero(as_tuple=True)[0]
            scores, labels = scores[rows], labels[rows]
        order = scores.argsort(descending=True, stable=True)[:candidates]
        boxes, scores, labels = cxcywh_to_xyxy(prediction[rows[order], :4]), scores[order], labels[order]
        kept = _suppress(boxes, scores, torch.zeros_like(labels) if agnostic else labels, iou, max_det)
        results.append(torch.cat([boxes[kept], scores[kept, None], labels[kept, None].to(boxes)], 1))  # (n, 6)
    return results


def _suppress(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, iou: float, max_det: int
) -> torch.Tensor:
    """Indices of the first `max_det` of n boxes, best first, that no better box of their group suppresses.

    Only better boxes decide about a box, so where a few hundred of the best leave enough, the rest need no look: the
    work grows with the square of their number, and a network at the start of training is sure of nothing.
    """
    from torchvision.ops import batched_nms  # here: its import takes as long as torch's, and training begins without

    first = 4 * max_det
    kept = batched_nms(boxes[:first], scores[:first], groups[:first], iou)
    if len(kept) < max_det and len(boxes) > first:
        kept = batched_nms(boxes, scores, groups, iou)
    return kept[:max_det]
