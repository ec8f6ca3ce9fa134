"""Which places of a YOLO26 head answer for which object: those that already answer best (task alignment).

YOLOv5 decides by anchor shape (`assign`); here the predictions themselves decide, so the assignment changes while
the network learns. Task-aligned learning: Feng et al. 2021, arXiv:2108.07755; the small-target rule as in
Ultralytics 8.4. A *pair* below is an object and a place that may answer for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from yolo_ft.core.boxes import EPSILON, paired_ciou, xyxy_to_cxcywh

SMALL = 16.0  # pixels: a smaller side counts as this long when the places near an object are looked for
SCORE_POWER, OVERLAP_POWER = 0.5, 6.0
MARGIN, TINY = 1e-9, 1e-9


@dataclass(frozen=True)
class Answers:
    """One row per place that answers: `places` (m,) = image * N + place, `objects` (m,) rows of the targets.

    `scores` (m,): the class probability that the place should give, 0..1.
    """

    places: torch.Tensor
    objects: torch.Tensor
    scores: torch.Tensor


def candidates(points: torch.Tensor, targets: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """The pairs (2, p) of an object (row of `targets`) and a place whose centre lies in its box. Lesson 13.

    `points` (N, 2): the cell centres in pixels; `targets` (t, 6) rows [image, class, cx, cy, w, h] normalised by
    `size` = (width, height) in pixels. A side counts as `SMALL` at least.
    """
    truth = targets[:, 2:] * size.repeat(2)  # (t, 4) cxcywh in pixels
    inside = [  # axis by axis, (t, N) each: (t, N, 2) would be slow to reduce
        truth[:, 2 + axis, None].clamp(min=SMALL) / 2 - (points[:, axis] - truth[:, axis, None]).abs() > MARGIN
        for axis in (0, 1)
    ]
    return (inside[0] & inside[1]).nonzero().T


@torch.no_grad()
def align(
    probabilities: torch.Tensor,
    boxes: torch.Tensor,
    pairs: torch.Tensor,
    targets: torch.Tensor,
    size: torch.Tensor,
    claims: int,
    once: bool,
) -> Answers:
    """Match objects with places. Lesson 13 follows one object through it.

    `probabilities` (b, N, nc) and `boxes` (b, N, 4) xyxy in pixels are predicted; `pairs`, `targets` and `size`: see
    `candidates`.

    Alignment = probability of the right class ^ 0.5 * CIoU ^ 6. Each object claims its `claims` best aligned places; a
    place that several claim goes to the object that it overlaps most, whoever claimed it. With `once` every object
    keeps its best place alone.
    """
    b, n, _ = probabilities.shape
    images, labels = targets[:, 0].long(), targets[:, 1].long()
    truth = targets[:, 2:] * size.repeat(2)  # (t, 4) cxcywh in pixels
    objects, place = pairs
    where = images[objects] * n + place
    overlap = corner_ciou(boxes.reshape(-1, 4)[where], truth[objects]).clamp(min=0)
    score = probabilities.reshape(b * n, -1)[where, labels[objects]]
    alignment = score**SCORE_POWER * overlap**OVERLAP_POWER

    table = alignment.new_zeros(len(targets), n)
    table[objects, place] = alignment
    best = table.topk(min(claims, n), 1).indices
    kept = torch.zeros_like(table, dtype=torch.bool).scatter_(1, best, True)[objects, place]  # (p,) claimed pairs

    counts = overlap.new_zeros(b * n).index_add_(0, where, kept.to(overlap))
    contested = counts[where] > 1
    kept = torch.where(contested, _winners(overlap, where, objects, b * n), kept)
    objects, place, where = objects[kept], place[kept], where[kept]
    overlap, alignment = overlap[kept], alignment[kept]
    if once:
        kept = _winners(alignment, objects, place, len(targets))
        objects, where, overlap, alignment = objects[kept], where[kept], overlap[kept], alignment[kept]
    peak = _best(overlap, objects, len(targets)) / (_best(alignment, objects, len(targets)) + TINY)
    return Answers(where, objects, alignment * peak[objects])


def corner_ciou(corners: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """CIoU of boxes (n, 4) xyxy with targets (n, 4) cxcywh, row by row -> (n,)."""
    height = corners.new_tensor([0, 0, 0, EPSILON])  # a height of 0 has no aspect ratio
    return paired_ciou(xyxy_to_cxcywh(corners) + height, target + height)


def _best(values: torch.Tensor, groups: torch.Tensor, count: int) -> torch.Tensor:
    """The largest of the `values` (all >= 0) in each of `count` groups, 0 where there is none."""
    return values.new_zeros(count).scatter_reduce(0, groups, values, "amax")


def _winners(values: torch.Tensor, groups: torch.Tensor, order: torch.Tensor, count: int) -> torch.Tensor:
    """Which row has its group's largest value; of several equal ones, the one that is first in `order`."""
    tied = values == _best(values, groups, count)[groups]
    last = torch.iinfo(order.dtype).max
    first = order.new_full((count,), last).scatter_reduce(0, groups[tied], order[tied], "amin")
    return tied & (order == first[groups])
