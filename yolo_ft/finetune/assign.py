"""Which predictions are responsible for which object: YOLOv5's assignment, a file of its own because it is a rule.

Contract: every row of an `Assignment` is one (object, anchor, cell) match of one level; all its tensors have the
same length and order, and `columns`/`rows` lie inside the level's map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# own cell, then the neighbours left, up, right, down that the centre leans towards, as offsets in cells
OFFSETS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))


@dataclass(frozen=True)
class Assignment:
    """The matches of one level: index tensors (m,), `boxes` (m, 4) as offset in the cell and size in cells."""

    images: torch.Tensor
    anchors: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    anchor_sizes: torch.Tensor


@torch.no_grad()
def assign(targets: torch.Tensor, anchors: torch.Tensor, ny: int, nx: int, threshold: float) -> Assignment:
    """Match objects with the anchors and cells of one level (YOLOv5 v7.0). Lesson 03 follows one object through it.

    `targets`: (t, 6) rows [image, class, cx, cy, w, h] normalised; `anchors`: (a, 2) sizes in cells. An anchor
    matches when neither side differs from the object's by a factor of `threshold` or more; the object's own cell
    answers for it, and so do the horizontal and vertical neighbours nearest to its centre.
    """
    t, a = len(targets), len(anchors)
    scale = targets.new_tensor([1, 1, nx, ny, nx, ny])
    rows = (targets * scale).repeat(a, 1)  # (a t, 6), anchor-major
    anchor_index = torch.arange(a, device=targets.device).repeat_interleave(t)  # (a t,)
    ratio = rows[:, 4:6] / anchors[anchor_index]
    fits = torch.maximum(ratio, 1 / ratio).amax(1) < threshold
    rows, anchor_index = rows[fits], anchor_index[fits]

    centre = rows[:, 2:4]
    mirrored = targets.new_tensor([nx, ny]) - centre
    leans_low = ((centre % 1 < 0.5) & (centre > 1)).T  # (2, m): left, up
    leans_high = ((mirrored % 1 < 0.5) & (mirrored > 1)).T  # (2, m): right, down
    own = torch.ones_like(leans_low[:1])
    chosen = torch.cat([own, leans_low, leans_high])  # (5, m)
    offset_index, match = chosen.nonzero(as_tuple=True)
    rows, anchor_index = rows[match], anchor_index[match]

    cell = (rows[:, 2:4] - targets.new_tensor(OFFSETS)[offset_index]).long()  # truncates towards zero
    columns, lines = cell[:, 0].clamp(0, nx - 1), cell[:, 1].clamp(0, ny - 1)
    inside = rows[:, 2:4] - torch.stack([columns, lines], 1)
    return Assignment(
        images=rows[:, 0].long(),
        anchors=anchor_index,
        rows=lines,
        columns=columns,
        labels=rows[:, 1].long(),
        boxes=torch.cat([inside, rows[:, 4:6]], 1),
        anchor_sizes=anchors[anchor_index],
    )
