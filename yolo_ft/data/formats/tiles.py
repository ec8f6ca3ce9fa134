"""Tiles of a large image: where they lie, what of a box they show, and their detections put together. Lesson 06."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections

SEAM = 2.0  # px: a box that ends so close to the inner edge of a tile was probably cut there
PART = 0.5  # share of a cut box that must lie in a box from another tile to be taken for a part of it


@dataclass(frozen=True)
class Tile:
    """A window into an image: its corners in pixels of the image, which is `image_height` x `image_width`."""

    left: int
    top: int
    right: int
    bottom: int
    image_height: int
    image_width: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The tile's pixels of an image (h, w, 3)."""
        return image[self.top : self.bottom, self.left : self.right]

    def visible(self, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 4) xyxy in the image -> their parts in the tile, xyxy in pixels of the tile, and shares of area (n,)."""
        boxes = np.asarray(boxes, np.float64)  # one precision for both areas: what is not cut is 1, not nearly 1
        inside = np.clip(boxes, [self.left, self.top] * 2, [self.right, self.bottom] * 2)
        share = _area(inside) / np.maximum(_area(boxes), np.finfo(np.float32).tiny)
        return inside - np.array([self.left, self.top] * 2, np.float32), share

    def seams(self, boxes: np.ndarray) -> np.ndarray:
        """(n, 4) xyxy in pixels of the tile -> which end at an edge behind which the image goes on, (n,) booleans."""
        width, height = self.right - self.left, self.bottom - self.top
        inner = np.array([self.left, self.top, self.image_width - self.right, self.image_height - self.bottom]) > 0
        gaps = np.abs(boxes - np.array([0, 0, width, height], np.float32))
        return ((gaps < SEAM) & inner).any(1)


def tile_grid(height: int, width: int, size: int, overlap: float = 0.2) -> list[Tile]:
    """Tiles of `size` x `size` px that cover an image, row by row, each inside the image, evenly spaced.

    Neighbours share at least `overlap` of a tile's side. Where the image is smaller than a tile, the tile is as small
    as the image.
    """
    if size < 32:
        raise UserError(f"tiles of {size} px are too small: choose a size of at least 32.")
    if not 0 <= overlap < 1:
        raise UserError(f"overlap is {overlap:g}, but it is a share of the tile: choose 0 or more, below 1.")
    rows, columns = _starts(height, size, overlap), _starts(width, size, overlap)
    return [
        Tile(left, top, min(left + size, width), min(top + size, height), height, width)
        for top in rows
        for left in columns
    ]


def merge_tiles(tiles: Sequence[Tile], found: Sequence[Detections], iou: float = 0.45) -> Detections:
    """Detections in tiles of one image -> detections in the image, each object once, best first.

    `found`: per tile, boxes xyxy in pixels of the tile. What one tile found stays as it is; between tiles, boxes of
    one class that overlap by more than `iou` are the same object, and the better score stays. A box that ends at an
    inner edge of its tile is a part of an object if at least half of it lies in a box that another tile saw better; the
    part goes. An object larger than the overlap of the tiles is whole in none of them and can stay in parts.
    """
    offsets = [np.array([tile.left, tile.top] * 2, np.float32) for tile in tiles]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(f.boxes + o for f, o in zip(found, offsets, strict=True))])
    scores = np.concatenate([np.zeros(0, np.float32), *(each.scores for each in found)])
    labels = np.concatenate([np.zeros(0, np.int64), *(each.labels for each in found)])
    cut = np.concatenate([np.zeros(0, bool), *(t.seams(f.boxes) for t, f in zip(tiles, found, strict=True))])
    owners = np.repeat(np.arange(len(tiles)), [len(each) for each in found])
    area, alive, kept = _area(boxes), np.ones(len(boxes), bool), []
    order = np.lexsort((-scores, -area * cut, cut))  # whole boxes by score, then cut ones by size
    for position, i in enumerate(order):
        if not alive[i]:
            continue
        kept.append(i)
        rest = order[position + 1 :]
        corners = [np.maximum(boxes[rest, :2], boxes[i, :2]), np.minimum(boxes[rest, 2:], boxes[i, 2:])]
        shared = _area(np.concatenate(corners, 1))
        doubled = shared > iou * (area[rest] + area[i] - shared)
        part = cut[rest] & (shared >= PART * area[rest])
        same = (labels[rest] == labels[i]) & (owners[rest] != owners[i])
        alive[rest[same & (doubled | part)]] = False
    merged = Detections(boxes[kept], scores[kept], labels[kept])
    return merged.keep(np.argsort(-merged.scores, kind="stable"))


def _starts(length: int, size: int, overlap: float) -> list[int]:
    """Where the tiles of one direction begin."""
    if length <= size:
        return [0]
    step = max(1.0, size * (1 - overlap))
    count = math.ceil((length - size) / step - 1e-9) + 1
    return [round(i * (length - size) / (count - 1)) for i in range(count)]


def _area(boxes: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> (n,), 0 where the corners are crossed."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
