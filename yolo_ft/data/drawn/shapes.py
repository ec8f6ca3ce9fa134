"""Round shapes and their profiles, in patches of a picture: what smears and metal plates are drawn with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_STEPS = 128  # table entries per unit of an outline's level
Number = float | np.ndarray
LEVELS = (np.arange(2 * _STEPS + 1) / _STEPS).astype(np.float32)  # 0 = centre, 1 = outline, 2 = well outside


@dataclass
class Outline:
    """A closed, slightly irregular oval: centre, half axes, direction, and three kinds of irregularity."""

    x: float
    y: float
    a: float
    b: float
    along: tuple[float, float]
    corners: float = 0.0
    squareness: float = 0.0
    bend: float = 0.0

    def magnified(self, zoom: float, x: float, y: float) -> Outline:
        """The outline as it looks `zoom` times larger around the point (x, y)."""
        middle = x + zoom * (self.x - x), y + zoom * (self.y - y)
        axes = zoom * self.a, zoom * self.b
        return Outline(*middle, *axes, self.along, self.corners, self.squareness, self.bend)

    def field(self) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
        """(left, top, level, u, v) of its patch: level 0 at the centre, 1 on the outline; u, v its own axes."""
        left, top, rows, columns = self.patch()
        dx = (np.arange(left, left + columns) + (0.5 - self.x)).astype(np.float32)
        dy = (np.arange(top, top + rows) + (0.5 - self.y)).astype(np.float32)[:, None]
        return left, top, *_level(dx, dy, *self._numbers())

    def patch(self) -> tuple[int, int, int, int]:
        """(left, top, rows, columns) of the pixels that it may reach."""
        c, s = self.along
        half_x = 1.32 * math.sqrt(self.a * c * self.a * c + self.b * s * self.b * s) + 2
        half_y = 1.32 * math.sqrt(self.a * s * self.a * s + self.b * c * self.b * c) + 2
        left, top = math.floor(self.x - half_x), math.floor(self.y - half_y)
        return left, top, math.ceil(self.y + half_y) + 1 - top, math.ceil(self.x + half_x) + 1 - left

    def _numbers(self) -> tuple[float, ...]:
        """What `_level` takes."""
        c, s = self.along
        axes = c / self.a, s / self.a, c / self.b, s / self.b
        return *axes, self.bend, self.corners, self.squareness

    def steepness(self, pixels: float) -> float:
        """Of an `edge` that is `pixels` wide."""
        return math.sqrt(self.a * self.b) / (2 * pixels)


def fields(outlines: Sequence[Outline]) -> tuple[list[tuple[int, int, int, int]], np.ndarray, np.ndarray, np.ndarray]:
    """The patches of several outlines, and level, u and v, (n, rows, columns) of the largest: see `Outline.field`.

    Each has its patch in the upper left corner; what lies beyond is of no use.
    """
    patches = [outline.patch() for outline in outlines]
    rows, columns = max(patch[2] for patch in patches), max(patch[3] for patch in patches)
    left, top = np.array([patch[:2] for patch in patches]).T[:, :, None]
    x, y = np.array([(outline.x, outline.y) for outline in outlines]).T[:, :, None]
    dx = (left + np.arange(columns) + (0.5 - x)).astype(np.float32)[:, None, :]
    dy = (top + np.arange(rows) + (0.5 - y)).astype(np.float32)[:, :, None]
    numbers = np.array([outline._numbers() for outline in outlines], np.float32).T
    return patches, *_level(dx, dy, *numbers[:, :, None, None])


def _level(
    dx: np.ndarray, dy: np.ndarray, x_u: Number, y_u: Number, y_v: Number, x_v: Number, *shape: Number
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(level, u, v) of the points at (dx, dy) from an outline's centre; its numbers, or those of many (n, 1, 1)."""
    bend, corners, squareness = shape
    u = dx * x_u + dy * y_u
    v = dy * y_v - dx * x_v
    uu = u * u
    v += (uu - 0.5) * bend
    vv = v * v
    level = uu + vv
    level += u * (uu - 3 * vv) * corners
    cross = uu - vv
    cross *= cross
    cross -= 4 * uu * vv
    cross *= squareness
    level += cross
    return level, u, v


def edge(steepness: Number) -> np.ndarray:
    """Table over the level: 1 inside, 0 outside; of each steepness."""
    return np.minimum(np.maximum((1 - LEVELS) * steepness + 0.5, 0), 1)


def look_up(table: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The table's entry at each level; or, of tables (n, entries), those of each at its levels (n, rows, columns)."""
    at = (level * _STEPS).astype(np.intp)
    if table.ndim == 1:
        return table.take(at, mode="clip")
    found = np.empty_like(level)
    for each in zip(table, at, found, strict=True):
        each[0].take(each[1], out=each[2], mode="clip")
    return found


def bump(x: np.ndarray, middle: float, reach: Number) -> np.ndarray:
    """A smooth hill of height 1 at `middle`, 0 from `reach` away on."""
    slope = np.maximum(1 - np.abs(x - middle) / reach, 0)
    return slope * slope * (3 - 2 * slope)
