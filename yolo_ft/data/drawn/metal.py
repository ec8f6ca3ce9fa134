"""A brushed metal plate under a lamp, ready to be drawn on."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from yolo_ft.core.seeding import hash_uint32
from yolo_ft.data.drawn.canvas import Dice, Scene, texture

_TILE = 512
SLOPES = (-2, -1, 0, 0, 1, 2)  # sixteenths of a pixel that brushing lines fall per pixel to the right
_SEEN = np.float32(0.04)  # a pixel belongs to a defect when it is at least this much lighter or darker for it


@cache
def _streaks(number: int, shortest: int, longest: int, width: int, slope: int) -> np.ndarray:
    """A periodic tile of `number` fine lines, (512, 512) float32, standard deviation around 1.

    Each line has its length, strength and place between two rows, fades at both ends, and falls `slope` / 16.
    """
    draws = hash_uint32(np.arange(4 * number).reshape(4, number), 9000 + width)
    x, y = (draws[:2] >> np.uint32(12)).astype(np.float64) / 2**11  # 0 to 512
    length = shortest + (draws[2] % np.uint32(longest - shortest)).astype(np.int64)
    strength = (draws[3] >> np.uint32(8)).astype(np.float64) / 2**23 - 1
    strength *= np.abs(strength)  # few strong ones
    line = np.repeat(np.arange(number), length)
    along = np.arange(len(line)) - np.repeat(np.cumsum(length) - length, length)
    share = (along + 0.5) / length[line]
    value = strength[line] * np.minimum(1, 6 * np.minimum(share, 1 - share))
    columns = (np.floor(x[line]).astype(np.int64) + along) % _TILE
    heights = y[line] + along * (slope / 16)
    tile = np.zeros(_TILE * _TILE)
    for k in range(-width, width + 1):
        rows = np.floor(heights).astype(np.int64) + k
        weight = np.maximum(1 - np.abs(rows + 0.5 - heights) / width, 0)
        tile += np.bincount(rows % _TILE * _TILE + columns, value * weight, _TILE * _TILE)
    tile /= math.sqrt(number * (shortest + longest) / 2 * width * 0.13) / _TILE
    return tile.astype(np.float32).reshape(_TILE, _TILE)


def _piece(tile: np.ndarray, dice: Dice, shape: tuple[int, int]) -> np.ndarray:
    """A random piece of a periodic tile."""
    top, left = dice.integer(0, _TILE - 1), dice.integer(0, _TILE - 1)
    rows = tile.take(np.arange(top, top + shape[0]), axis=0, mode="wrap")
    return rows.take(np.arange(left, left + shape[1]), axis=1, mode="wrap")


def _lamp_light(dice: Dice, height: int, width: int, slope: int) -> np.ndarray:
    """(h, w) float32: a bright band across the brushing, as brushed metal shows it, a slope and darker corners."""
    x, y = np.arange(width) / width - 0.5, np.arange(height) / height - 0.5
    level, band, fall = dice.middling(0.3, 0.6), dice.uniform(0.05, 0.7), dice.uniform(0.05, 0.55)
    tilt_x, tilt_y = dice.uniform(-0.25, 0.25), dice.uniform(-0.2, 0.2)
    across, down = 1 + tilt_x * x - fall * (x * x), tilt_y * y - fall * (y * y)
    even = across.astype(np.float32) + down.astype(np.float32)[:, None]
    middle, reach = dice.uniform(-0.7, 0.7), dice.uniform(0.12, 0.5)
    lean = (dice.uniform(-0.15, 0.15) - slope / 16) * height / width
    far = (x - middle).astype(np.float32) - (lean * y).astype(np.float32)[:, None]
    far *= 1 / reach
    glow = 1 / (1 + far * far)
    return even * (1 + glow * glow * band) * level


class Plate(Scene):
    """A metal plate: `light`, (h, w) float32, is what it sends to the camera; 0 is black and 1 as bright as can be.

    `lamp`: the direction (x, y) in the picture that the light comes from. `slope`: of the brushing lines, in 1/16.
    `roughness`: how strong they are.
    """

    def __init__(self, dice: Dice, height: int, width: int) -> None:
        super().__init__(height, width)
        self.lamp, self.slope = dice.direction(), SLOPES[dice.integer(0, len(SLOPES) - 1)]
        shape = height, width
        self.roughness, coarse = dice.uniform(0.02, 0.07), dice.uniform(0.1, 1.0)
        grain = _piece(_streaks(9000, 12, 120, 1, self.slope), dice, shape) * dice.uniform(0.5, 1.0)
        grain = grain + _piece(_streaks(1500, 60, 300, 2, self.slope), dice, shape) * (0.9 * coarse)
        grain += _piece(_streaks(120, 200, 500, 12, self.slope), dice, shape) * (0.6 * coarse)
        cloud = texture(128, dice, shape) * dice.uniform(0, 0.07) + texture(32, dice, shape) * dice.uniform(0, 0.02)
        self.light = _lamp_light(dice, height, width, self.slope) * (1 + grain * self.roughness) * (1 + cloud)

    def shade(self, left: int, top: int, change: np.ndarray) -> np.ndarray:
        """Lighten or darken: `change` (rows, columns) float32 is added as a share of the light.

        Returns where that is seen, (rows, columns) bool: inside the picture and not lost in black or glare.
        """
        here, patch = self.crop(left, top, change.shape)
        view = self.light[here]
        before = np.minimum(view, 1)
        view *= np.maximum(1 + change[patch], 0.03)
        seen = np.zeros(change.shape, bool)
        seen[patch] = np.abs(np.minimum(view, 1) - before) >= _SEEN * np.maximum(before, np.float32(0.25))
        return seen
