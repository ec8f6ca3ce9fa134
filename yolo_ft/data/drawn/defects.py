"""The drawn `defects` set: brushed metal with scratches, pits and, rarely, cracks; no file and no network needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from yolo_ft.core.targets import Target
from yolo_ft.data.drawn.camera import focus, noise, soften
from yolo_ft.data.drawn.canvas import VISIBLE, Dice, check_size, directions
from yolo_ft.data.drawn.flaws import (
    draw_brush_line,
    draw_crack,
    draw_dust,
    draw_fibre,
    draw_glint,
    draw_pit,
    draw_scratch,
    draw_spot,
)
from yolo_ft.data.drawn.metal import Plate

DEFECTS_NAMES = {0: "scratch", 1: "pit", 2: "crack"}
DEFECTS_SPLITS = {"train": range(0, 240), "val": range(1000, 1120), "test": range(2000, 2120)}
DEFECTS_SHA256 = {  # of all images, boxes and labels
    "train": "2fd5e34b3eaa3ebdc8ff83d6ad904eb7d7042c524cad54c2a20518c9c044fae9",
    "val": "b4fde854a7b67a04d90b65332b7da9c02730e69acaf41b901760f5c390881788",
    "test": "b8382e0c64300a3fb416f0715076ca3f72bc5a0057ca4ae24663c984a72846d1",
}
_PLATE = 320 * 240  # pixels for which the counts below are meant
BELOW = ((draw_spot, 0.5, 2.4), (draw_glint, 0.25, 1.8), (draw_brush_line, 0.75, 6.0))
ABOVE = ((draw_dust, 0.8, 14.0), (draw_fibre, 0.35, 2.0))


def _point(plate: Plate, dice: Dice) -> tuple[float, float]:
    return dice.uniform(0, plate.width), dice.uniform(0, plate.height)


def _scatter(plate: Plate, dice: Dice, area: float, kinds: tuple[tuple[Callable, float, float], ...]) -> None:
    """Draw what must not be detected. Of each kind: how to draw it, the share of plates with it, and how many most."""
    for draw, share, most in kinds:
        mean = dice.uniform(0, most) if dice.chance(share) else 0.0
        for _ in range(dice.count(mean * area)):
            draw(plate, dice, *_point(plate, dice))


def _scratches(plate: Plate, dice: Dice) -> None:
    """One scratch, or some side by side; never quite along the brushing."""
    along = directions()[(plate.slope + dice.integer(6, 58) + 64 * dice.integer(0, 1)) % 128]
    x, y = _point(plate, dice)
    length = dice.uniform(14, 40) if dice.chance(0.55) else dice.uniform(40, 130)
    bow = length * dice.middling(-0.1, 0.1)
    for _ in range(dice.integer(2, 4) if dice.chance(0.13) else 1):
        draw_scratch(plate, dice, x, y, along, length * dice.uniform(0.75, 1.0), bow)
        gap, shift = dice.uniform(5, 14), dice.uniform(-0.2, 0.2) * length
        x, y = x - along[1] * gap + along[0] * shift, y + along[0] * gap + along[1] * shift


def _pits(plate: Plate, dice: Dice) -> None:
    """One pit, or some close together where the metal corroded."""
    x, y = _point(plate, dice)
    for _ in range(dice.integer(2, 5) if dice.chance(0.18) else 1):
        draw_pit(plate, dice, x, y, dice.uniform(1.5, 3.0) if dice.chance(0.7) else dice.uniform(3.0, 5.5))
        (dx, dy), gap = dice.direction(), dice.uniform(9, 24)
        x, y = x + gap * dx, y + gap * dy


def _defects(plate: Plate, dice: Dice, area: float) -> None:
    """Draw the defects: none on three plates of ten, on most a few, on some many."""
    pick = dice.uniform(0, 1)
    mean = 0 if pick < 0.28 else dice.uniform(0.6, 2.5) if pick < 0.65 else dice.uniform(2.5, 7)
    for _ in range(dice.count(mean * area)):
        kind = dice.uniform(0, 1)
        if kind < 0.68:
            _scratches(plate, dice)
        elif kind < 0.94:
            _pits(plate, dice)
        else:
            draw_crack(plate, dice, *_point(plate, dice), dice.uniform(18, 65))


def _photograph(plate: Plate, dice: Dice) -> np.ndarray:
    """The camera's picture of the plate, (h, w, 3) uint8: focus (uneven over the field), white balance, noise."""
    height, width = plate.height, plate.width
    steps, blend = focus(dice, height, width)
    image, gain = np.empty((height, width, 3), np.uint8), dice.integer(1, 6)
    warm, green = dice.middling(-0.07, 0.07), dice.uniform(-0.012, 0.012)
    sharp = (np.clip(plate.light, -np.inf, 1) * 4000).astype(np.int16)
    soft = sharp
    for step in steps[:2]:
        soft = soften(soft, step)
    sharp += (soft - sharp) * blend >> 3
    wide, balance = sharp.astype(np.int32), (1 + warm, 1 + green, 1 - warm)
    for k, grain in enumerate(noise(dice, height, width)):
        colour = wide * int(4096 * balance[k]) >> 12
        image[:, :, k] = np.clip(colour + (grain * gain >> 4), 0, 4080) >> 4
    return image


def draw_defects(index: int, seed: int = 0, height: int = 240, width: int = 320) -> tuple[np.ndarray, Target]:
    """Draw metal plate number `index`: image (height, width, 3) uint8 RGB, and its Target (xyxy pixels).

    The same arguments give the same bytes on every machine. A pixel always covers the same piece of metal: a larger
    image shows more plate. Labels: 0 scratch, 1 pit, 2 crack. A box is the extent of what can be seen of the drawn
    mask; defects that are too faint, mostly hidden (in glare, below another) or three quarters outside have none, nor
    have lines of the brushing, dust, fibres, dried drops and reflections. Every third image is without objects.
    Raises UserError for sides under 32 pixels. Lesson 10 uses it.
    """
    check_size(height, width)
    surface, clutter, layout, camera = (Dice(seed, index, 100 + purpose) for purpose in range(4))
    plate, area = Plate(surface, height, width), height * width / _PLATE
    _scatter(plate, clutter, area, BELOW)
    _defects(plate, layout, area)
    _scatter(plate, clutter, area, ABOVE)
    return _photograph(plate, camera), plate.target(VISIBLE)
