"""The drawn `cells` set: blood smears with red cells, white cells and platelets, no file and no network needed."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterable

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import hash_uint32
from yolo_ft.core.targets import Target
from yolo_ft.data.canvas import Canvas, Dice, texture
from yolo_ft.data.smear import (
    Outline,
    Stain,
    draw_platelet,
    draw_red_cell,
    draw_speck,
    draw_stain,
    draw_white_cell,
)

CELLS_NAMES = {0: "RBC", 1: "WBC", 2: "Platelets"}
CELLS_SPLITS = {"train": range(0, 200), "val": range(1000, 1080), "test": range(2000, 2060)}
CELLS_SHA256 = {  # of all images, boxes and labels; the recorded studies were made with these bytes
    "train": "12ce5d8abd77c4b56482409e60f3b2b8419d2f249db425f811b13f5a168f98c5",
    "val": "5bfb2ed734bdbca883bb7311759d22354d438e7e77afa3e284e8453f87f6703f",
    "test": "fa74ab5e069aac267705bf1cd512b2ba15223027c3f9f79e68493adc919122d4",
}
VISIBLE = 0.5  # an object is labelled when at least this share of its pixels can be seen
_FIELD = 320 * 240  # pixels for which the counts below are meant


def _count(dice: Dice, mean_per_field: float, area: float) -> int:
    """A whole number with the mean `mean_per_field` * area, the fraction decided by a draw."""
    return math.floor(mean_per_field * area + dice.uniform(0, 1))


def _apart(x: float, y: float, others: list[Outline], gap: float, own: int) -> bool:
    """Whether (x, y) is farther than `gap` plus `own` times their shorter half axis from the middle of all others."""
    for o in others:
        dx, dy, reach = x - o.x, y - o.y, gap + own * o.b
        if dx * dx + dy * dy < reach * reach:
            return False
    return True


def _red_cells(canvas: Canvas, dice: Dice, stain: Stain, away: list[Outline]) -> list[Outline]:
    """Draw the red cells: alone, in contact, or in piles; few, usual or crowded; off the white cells' middles."""
    area = canvas.height * canvas.width / _FIELD
    pick = dice.uniform(0, 1)
    mean = dice.uniform(3, 10) if pick < 0.12 else dice.uniform(16, 30) if pick < 0.72 else dice.uniform(30, 50)
    size, piling, stretch = dice.middling(21, 27), dice.uniform(0.15, 0.75), dice.uniform(0.02, 0.3)
    smear, ghosts = dice.direction(), dice.uniform(0, 0.4)
    placed: list[Outline] = []
    for _ in range(_count(dice, mean, area)):
        for _ in range(6):
            if placed and dice.chance(piling):
                friend, (dx, dy) = placed[dice.integer(0, len(placed) - 1)], dice.direction()
                gap = size * dice.uniform(0.6, 1.9)
                x, y = friend.x + gap * dx, friend.y + gap * dy
            else:
                x, y = dice.uniform(-18, canvas.width + 18), dice.uniform(-18, canvas.height + 18)
            inside = -22 < x < canvas.width + 22 and -22 < y < canvas.height + 22
            if inside and _apart(x, y, away, 0.7 * size, 1) and _apart(x, y, placed, 0.5 * size, 0):
                break
        else:
            continue
        radius, flat = size * dice.middling(0.75, 1.25), 1 + stretch * dice.uniform(0, 2.5)
        root = math.sqrt(flat)
        along = smear if dice.chance(0.5) else dice.direction()
        shape = dice.uniform(-0.1, 0.1), dice.uniform(-0.035, 0.035), dice.uniform(-0.3, 0.3)
        outline = Outline(x, y, radius * root, radius / root, along, *shape)
        placed.append(outline)
        draw_red_cell(canvas, dice, stain, outline, ghost=dice.chance(ghosts))
    return placed


def _white_places(canvas: Canvas, dice: Dice) -> list[Outline]:
    """Where the white cells lie: one in most fields, rarely none or two; some cut by the border."""
    pick, area = dice.uniform(0, 1), canvas.height * canvas.width / _FIELD
    places: list[Outline] = []
    for _ in range(_count(dice, 0 if pick < 0.04 else 1 if pick < 0.86 else 2, area)):
        radius, flat = dice.middling(30, 60), dice.uniform(0.85, 1.0)
        x, y = dice.uniform(-5, canvas.width + 5), dice.uniform(-5, canvas.height + 5)
        if not _apart(x, y, places, radius, 1):
            continue
        shape = dice.uniform(-0.08, 0.08), dice.uniform(-0.05, 0.05), dice.uniform(-0.12, 0.12)
        places.append(Outline(x, y, radius, radius * flat, dice.direction(), *shape))
    return places


def _platelets(canvas: Canvas, dice: Dice, stain: Stain) -> None:
    """Draw the platelets: none in half of the fields, else a few, sometimes as a clump; also on top of red cells."""
    area = canvas.height * canvas.width / _FIELD
    mean = 0 if dice.chance(0.45) else dice.uniform(0.6, 3.2)
    number = _count(dice, mean, area)
    clump = dice.chance(0.2)
    x = y = 0.0
    for k in range(number):
        if k and clump:
            dx, dy = dice.direction()
            x, y = x + dice.uniform(10, 20) * dx, y + dice.uniform(10, 20) * dy
        else:
            x, y = dice.uniform(2, canvas.width - 2), dice.uniform(2, canvas.height - 2)
        a = dice.middling(6.5, 13)
        outline = Outline(x, y, a, a * dice.uniform(0.65, 1.0), dice.direction(), corners=dice.uniform(-0.1, 0.1))
        draw_platelet(canvas, dice, stain, outline)


def _specks(canvas: Canvas, dice: Dice, stain: Stain, cells: list[Outline]) -> None:
    """Draw what must not be detected: dye, dirt and bubbles, half of it on red cells."""
    dirty = dice.uniform(0, 10)
    for _ in range(_count(dice, dirty, canvas.height * canvas.width / _FIELD)):
        x, y = dice.uniform(0, canvas.width), dice.uniform(0, canvas.height)
        if cells and dice.chance(0.5):
            under, (dx, dy) = cells[dice.integer(0, len(cells) - 1)], dice.direction()
            far = under.b * dice.uniform(0, 0.8)
            x, y = under.x + far * dx, under.y + far * dy
        draw_speck(canvas, dice, stain, x, y)


def _soften(image: np.ndarray, step: int) -> np.ndarray:
    """Blur (h, w) int16 in 0..4080 by 1-2-1 over neighbours `step` away, both ways; borders repeat. Integers only."""
    for _ in range(2):  # rows, then columns: each pass blurs along the first axis and transposes
        n = len(image)
        wide = np.concatenate([image[:1]] * step + [image] + [image[-1:]] * step)
        image = ((wide[:n] + wide[2 * step :] + image + image + 2) >> 2).T
    return image


def _lamp(dice: Dice, height: int, width: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The light before it meets the glass: (h, w) shares around 1, brightest somewhere inside, and red, green, blue."""
    tint, level = dice.middling(-1, 1), dice.middling(198, 226)
    colour = (level + 5 * tint, level + dice.middling(-3, 5), level - 5 * tint + dice.middling(-8, 8))
    cx, cy, fall = dice.uniform(0.2, 0.8), dice.uniform(0.2, 0.8), dice.uniform(0.02, 0.22)
    dx, dy = np.arange(width) / width - cx, np.arange(height) / height - cy
    even = (1 - fall * (dx * dx)).astype(np.float32) - (fall * (dy * dy)).astype(np.float32)[:, None]
    return even * (1 + texture(64, dice, (height, width)) * dice.uniform(0, 0.02)), colour


def _focus(dice: Dice, height: int, width: int) -> tuple[list[int], np.ndarray]:
    """Blur steps of the out-of-focus picture, and its share of the final one in eighths: (h, w), a tilted plane."""
    sharpness, middle = dice.uniform(0, 1), dice.integer(100, 256)
    steps = [1] if sharpness > 0.7 else [1, 1] if sharpness > 0.4 else [1, 1, 2]
    slope_x, slope_y = dice.integer(-200, 200), dice.integer(-200, 200)
    columns = np.arange(width) * slope_x // width - slope_x // 2
    rows = np.arange(height) * slope_y // height - slope_y // 2
    return steps, (np.clip(rows[:, None] + columns + middle, 0, 256) >> 5).astype(np.int16)


def _photograph(canvas: Canvas, dice: Dice) -> np.ndarray:
    """The camera's picture of the canvas, (h, w, 3) uint8: lamp, focus (uneven over the field), sensor noise."""
    height, width = canvas.height, canvas.width
    lamp, colour = _lamp(dice, height, width)
    steps, blend = _focus(dice, height, width)
    bits = hash_uint32(np.arange(height * width).reshape(height, width), dice.integer(0, 2**31))
    a, b, c, d = ((bits >> np.uint32(shift) & np.uint32(255)).astype(np.int16) for shift in (0, 8, 16, 24))
    gain, image = dice.integer(1, 7), np.empty((height, width, 3), np.uint8)
    for k, noise in enumerate((a + b - c - d, a + c - b - d, a + b + c + d - 510)):
        sharp = np.minimum(canvas.light[k] * lamp * (colour[k] * 16), 4080).astype(np.int16)
        soft = sharp
        for step in steps:
            soft = _soften(soft, step)
        sharp += (soft - sharp) * blend >> 3
        sharp += noise * gain >> 4
        image[:, :, k] = np.clip(sharp, 0, 4080) >> 4
    return image


def draw_cells(index: int, seed: int = 0, height: int = 240, width: int = 320) -> tuple[np.ndarray, Target]:
    """Draw blood smear number `index`: image (height, width, 3) uint8 RGB, and its Target (xyxy pixels).

    The same (index, seed, height, width) gives the same bytes on every machine. A pixel always covers the same piece
    of the smear: a larger image shows more cells, not larger ones. Labels: 0 RBC, 1 WBC, 2 Platelets. A box is the
    extent of the drawn mask clipped to the image; objects of which less than half can be seen (outside the image or
    below other cells) have none, nor have ghosts, dye grains, dirt and bubbles. An image may be without objects.
    Raises UserError for sides under 32 pixels. Lesson 00 uses it, lesson 09 explains it.
    """
    if min(height, width) < 32:
        raise UserError(f"A drawn image of {height} x {width} pixels is too small; use sides of at least 32 pixels.")
    canvas = Canvas(height, width)
    layout, colour, camera = (Dice(seed, index, purpose) for purpose in range(3))
    stain = draw_stain(colour)
    white = _white_places(canvas, layout)
    red = _red_cells(canvas, layout, stain, white)
    for outline in white:
        draw_white_cell(canvas, layout, stain, outline)
    _platelets(canvas, layout, stain)
    _specks(canvas, layout, stain, red)
    return _photograph(canvas, camera), canvas.target(VISIBLE)


def cells(split: str) -> dict:
    """The `cells` set's split "train" (200 images), "val" (80) or "test" (60), 320 x 240 pixels each.

    Returns {"images": list of (240, 320, 3) uint8, "targets": list of Target, "names": {0: "RBC", ...}}. Warns when
    this machine draws other bytes than the committed ones. Raises UserError for another split.
    """
    if split not in CELLS_SPLITS:
        raise UserError(f"The drawn set 'cells' has no split {split!r}; use one of {', '.join(CELLS_SPLITS)}.")
    drawn = [draw_cells(index) for index in CELLS_SPLITS[split]]
    images, targets = [image for image, _ in drawn], [target for _, target in drawn]
    if fingerprint(images, targets) != CELLS_SHA256[split]:
        warnings.warn(
            f"This machine draws other bytes than the committed ones for cells/{split}: results cannot be compared "
            "digit by digit with recorded runs. Please report it with the processor and the numpy version.",
            stacklevel=2,
        )
    return {"images": images, "targets": targets, "names": dict(CELLS_NAMES)}


def fingerprint(images: Iterable[np.ndarray], targets: Iterable[Target]) -> str:
    """SHA-256 (hex) over the bytes of every image followed by its boxes and labels, little-endian."""
    digest = hashlib.sha256()
    for image, target in zip(images, targets, strict=True):
        digest.update(image.tobytes() + target.boxes.astype("<f4").tobytes() + target.labels.astype("<i8").tobytes())
    return digest.hexdigest()
