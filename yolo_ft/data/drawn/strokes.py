"""Thin lines on a drawn picture: paths of points half a pixel apart, and what a profile across them leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yolo_ft.data.drawn.canvas import Dice, directions, texture

_STEP = 0.5  # pixels between neighbouring samples, along and across


@dataclass
class Path:
    """A line: its points and unit normals, (n, 2) float64 x and y each, and `along`, the share of the way, (n,)."""

    points: np.ndarray
    normals: np.ndarray
    along: np.ndarray


def curve(dice: Dice, x: float, y: float, along: tuple[float, float], length: float, bow: float, tremor: float) -> Path:
    """An arc around (x, y) in the direction `along`, off the straight line by `bow` in its middle; a hand trembles."""
    n = max(int(length / _STEP), 4)
    t = (np.arange(n) + 0.5) / n
    tangent, normal = np.array(along), np.array([-along[1], along[0]])
    aside = bow * 4 * t * (1 - t) + tremor * texture(16, dice, (1, n))[0].astype(np.float64)
    points = np.array([x, y]) + tangent * (length * (t - 0.5))[:, None] + normal * aside[:, None]
    steps = tangent * length + normal * (bow * 4 * (1 - 2 * t))[:, None]
    steps /= np.sqrt(steps[:, :1] * steps[:, :1] + steps[:, 1:] * steps[:, 1:])
    return Path(points, np.stack([-steps[:, 1], steps[:, 0]], axis=1), t)


def walk(dice: Dice, x: float, y: float, heading: int, length: float, jitter: int) -> Path:
    """A jagged way from (x, y): short straight steps around `heading` (an index of the 128 directions)."""
    table, points, normals = directions(), [], []
    left, turn = length, 0
    while left > 0:
        step = min(dice.uniform(1.5, 5.0), left + _STEP)
        turn = (turn >> 2) + dice.integer(-jitter, jitter)
        dx, dy = table[(heading + turn) % 128]
        samples = max(int(step / _STEP), 1)
        points += [(x + dx * _STEP * k, y + dy * _STEP * k) for k in range(samples)]
        normals += [(-dy, dx)] * samples
        x, y, left = x + dx * _STEP * samples, y + dy * _STEP * samples, left - _STEP * samples
    return Path(np.array(points), np.array(normals), (np.arange(len(points)) + 0.5) / len(points))


def across(reach: float) -> np.ndarray:
    """Offsets from a path (m,) float64, half a pixel apart, to `reach` on both sides."""
    n = math.ceil(reach / _STEP)
    return np.arange(-n, n + 1) * _STEP


def stroke(path: Path, offsets: np.ndarray, value: np.ndarray) -> tuple[int, int, np.ndarray]:
    """(left, top, patch): the patch (rows, columns) float32 that `value` (n, m), given beside the path, adds up to.

    Each sample is shared by the four nearest pixels, so that lines have no steps.
    """
    x, y = (path.points[:, k, None] + path.normals[:, k, None] * offsets - 0.5 for k in range(2))
    left, top = math.floor(x.min()), math.floor(y.min())
    x, y = x - left, y - top
    column, row = x.astype(np.int64), y.astype(np.int64)
    width, height = int(column.max()) + 2, int(row.max()) + 2
    right, below, value = x - column, y - row, value * (_STEP * _STEP)
    place = row * width + column
    shares = value * (1 - right) * (1 - below), value * right * (1 - below), value * (1 - right) * below
    shares = np.stack([*shares, value * right * below])
    places = np.stack([place, place + 1, place + width, place + width + 1])
    patch = np.bincount(places.ravel(), shares.ravel(), width * height)
    return left, top, patch.astype(np.float32).reshape(height, width)
