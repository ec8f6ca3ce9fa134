"""One geometric map for pixels and boxes: the random affine or perspective map of training.

Coordinates are continuous, so that pixel (row i, column j) covers [j, j + 1] x [i, i + 1]: pixels and boxes follow
exactly the same map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.targets import Target
from yolo_ft.data.dataset import Dataset

BORDER = 114  # the grey of YOLOv5's borders
MIN_SIDE, MAX_ASPECT, MIN_AREA_SHARE = 2.0, 100.0, 0.10  # which warped boxes are still worth learning (YOLOv5 v7.0)


@dataclass
class Tile:
    """An image placed on a virtual canvas: `pixels` uint8 (h, w, 3), its top left corner at (left, top)."""

    pixels: np.ndarray
    left: float
    top: float
    target: Target  # boxes in pixels of the tile

    @property
    def boxes(self) -> np.ndarray:
        """(n, 4) xyxy boxes in pixels of the canvas."""
        return self.target.boxes + np.array([self.left, self.top] * 2, np.float32)


def scaled(dataset: Dataset, index: int, size: int) -> tuple[np.ndarray, Target]:
    """Image `index` with its long side at `size`, and its boxes in those pixels."""
    pixels, target, (height, width) = dataset.resized(index, size), dataset.target(index), dataset.size(index)
    ratio = np.array([pixels.shape[1] / width, pixels.shape[0] / height] * 2, np.float32)
    return pixels, Target(target.boxes * ratio, target.labels)


def random_matrix(rng: np.random.Generator, canvas: int, size: int, config: TrainConfig) -> tuple[np.ndarray, float]:
    """A random 3x3 map from canvas pixels to output pixels, and its scale factor.

    T·S·R·P·C as in YOLOv5: centre the canvas, perspective, rotate and scale, shear, move to U(0.5 ± translate) of the
    output `size`.
    """
    perspective = rng.uniform(-config.perspective, config.perspective, 2)
    angle = math.radians(rng.uniform(-config.degrees, config.degrees))
    scale = rng.uniform(1 - config.scale, 1 + config.scale)
    shear = np.tan(np.radians(rng.uniform(-config.shear, config.shear, 2)))
    move = rng.uniform(0.5 - config.translate, 0.5 + config.translate, 2) * size
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    centre = np.array([[1, 0, -canvas / 2], [0, 1, -canvas / 2], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [perspective[0], perspective[1], 1]])
    rotate = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    slant = np.array([[1, shear[0], 0], [shear[1], 1, 0], [0, 0, 1]])
    place = np.array([[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1]])
    return place @ slant @ rotate @ tilt @ centre, scale


def warp(tiles: list[Tile], canvas: int, matrix: np.ndarray, scale: float, size: int) -> tuple[np.ndarray, Target]:
    """Map the tiles of a (canvas, canvas) square to a uint8 (size, size, 3) image with its boxes.

    Tiles are cut at the canvas; what no tile covers is grey.
    """
    straight = not (matrix[0, 1] or matrix[1, 0] or matrix[2, 0] or matrix[2, 1])
    image = _warp_straight(tiles, canvas, matrix, size) if straight else _warp_any(tiles, canvas, matrix, size)
    boxes = np.concatenate([tile.boxes for tile in tiles]) if tiles else np.zeros((0, 4), np.float32)
    labels = np.concatenate([tile.target.labels for tile in tiles]) if tiles else np.zeros(0, np.int64)
    boxes = np.clip(boxes, 0, canvas)
    warped = np.clip(warp_boxes(boxes, matrix), 0, size)
    keep = worth_keeping(boxes * scale, warped)
    return image, Target(warped[keep], labels[keep])


def warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(n, 4) xyxy -> the extents of the four mapped corners, (n, 4) xyxy float32."""
    corners = boxes[:, [0, 1, 2, 3, 0, 3, 2, 1]].reshape(-1, 4, 2).astype(np.float64)  # (n, 4 corners, xy)
    mapped = corners @ matrix[:2, :2].T + matrix[:2, 2]
    mapped /= np.maximum(corners @ matrix[2, :2, None] + matrix[2, 2], 1e-6)  # a strong tilt may pass the horizon
    return np.concatenate([mapped.min(1), mapped.max(1)], 1).astype(np.float32).reshape(-1, 4)


def worth_keeping(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Which boxes survive: (n,) booleans from (n, 4) xyxy before (scaled) and after the map and its clipping."""
    w1, h1 = before[:, 2] - before[:, 0], before[:, 3] - before[:, 1]
    w2, h2 = after[:, 2] - after[:, 0], after[:, 3] - after[:, 1]
    aspect = np.maximum(w2 / (h2 + 1e-16), h2 / (w2 + 1e-16))
    share = w2 * h2 / (w1 * h1 + 1e-16)
    return (w2 > MIN_SIDE) & (h2 > MIN_SIDE) & (aspect < MAX_ASPECT) & (share > MIN_AREA_SHARE)


def _warp_straight(tiles: list[Tile], canvas: int, matrix: np.ndarray, size: int) -> np.ndarray:
    """Without rotation, shear and perspective every tile stays a rectangle: cut and resize it, no canvas needed."""
    out = np.full((size, size, 3), BORDER, np.uint8)
    (gain_x, _, move_x), (_, gain_y, move_y), _ = matrix.tolist()
    for tile in tiles:
        height, width = tile.pixels.shape[:2]
        x1, x2, left, right = _visible(tile.left, width, canvas, gain_x, move_x, size)
        y1, y2, top, bottom = _visible(tile.top, height, canvas, gain_y, move_y, size)
        if x1 < x2 and y1 < y2 and left < right and top < bottom:
            box = (left, top, right, bottom)
            piece = Image.fromarray(tile.pixels).resize((x2 - x1, y2 - y1), Image.Resampling.BILINEAR, box)
            out[y1:y2, x1:x2] = np.asarray(piece)
    return out


def _visible(
    start: float, length: int, canvas: int, gain: float, move: float, size: int
) -> tuple[int, int, float, float]:
    """Along one axis: the output pixels low..high that a tile fills, and which part of the tile (in its pixels)."""
    edges = (min(max(edge, 0), canvas) * gain + move for edge in (start, start + length))
    low, high = (round(min(max(edge, 0), size)) for edge in edges)
    first, last = ((edge - move) / gain - start for edge in (low, high))
    return low, high, max(first, 0.0), min(last, float(length))


def _warp_any(tiles: list[Tile], canvas: int, matrix: np.ndarray, size: int) -> np.ndarray:
    """The general case: paste the tiles on the canvas, then look every output pixel up, bilinearly."""
    sheet = Image.new("RGB", (canvas, canvas), (BORDER,) * 3)
    for tile in tiles:
        sheet.paste(Image.fromarray(tile.pixels), (round(tile.left), round(tile.top)))
    back = np.linalg.inv(matrix)
    back = (back / back[2, 2]).reshape(-1)[:8]
    flat = not (back[6] or back[7])
    method = Image.Transform.AFFINE if flat else Image.Transform.PERSPECTIVE
    coefficients = tuple(float(value) for value in (back[:6] if flat else back))
    warped = sheet.transform((size, size), method, coefficients, Image.Resampling.BILINEAR, fillcolor=(BORDER,) * 3)
    return np.asarray(warped)
