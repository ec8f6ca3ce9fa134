"""Round shapes and their profiles, in patches of a picture: what smears and metal plates are drawn with."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

_STEPS = 128  # table entries per unit of an outline's level
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
        return replace(self, x=middle[0], y=middle[1], a=zoom * self.a, b=zoom * self.b)

    def field(self) -> tuple[int, int, np.ndarray, np.ndarray, np.ndarray]:
        """(left, top, level, u, v) of its patch: level 0 at the centre, 1 on the outline; u, v its own axes."""
        c, s = self.along
        half_x = 1.32 * math.sqrt(self.a * c * self.a * c + self.b * s * self.b * s) + 2
        half_y = 1.32 * math.sqrt(self.a * s * self.a * s + self.b * c * self.b * c) + 2
        left, top = math.floor(self.x - half_x), math.floor(self.y - half_y)
        dx = (np.arange(left, math.ceil(self.x + half_x) + 1) + (0.5 - self.x)).astype(np.float32)
        dy = (np.arange(top, math.ceil(self.y + half_y) + 1) + (0.5 - self.y)).astype(np.float32)[:, None]
        u = dx * (c / self.a) + dy * (s / self.a)
        v = dy * (c / self.b) - dx * (s / self.b)
        uu = u * u
        if self.bend:
            v += (uu - 0.5) * self.bend
        vv = v * v
        level = uu + vv
        if self.corners:
            level += u * (uu - 3 * vv) * self.corners
        if self.squareness:
            cross = uu - vv
            cross *= cross
            uu *= 4
            uu *= vv
            cross -= uu
            cross *= self.squareness
            level += cross
        return left, top, level, u, v

    def edge(self, pixels: float) -> np.ndarray:
        """Table over the level: 1 inside, 0 outside, the step `pixels` wide."""
        slope = (1 - LEVELS) * (math.sqrt(self.a * self.b) / (2 * pixels)) + 0.5
        return np.minimum(np.maximum(slope, 0), 1)


def look_up(table: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The table's entry at each level."""
    return table.take((level * _STEPS).astype(np.intp), mode="clip")


def bump(x: np.ndarray, middle: float, reach: float) -> np.ndarray:
    """A smooth hill of height 1 at `middle`, 0 from `reach` away on."""
    slope = np.maximum(1 - np.abs(x - middle) / reach, 0)
    return slope * slope * (3 - 2 * slope)
