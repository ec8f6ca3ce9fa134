"""What lies on a metal plate: scratches, pits and cracks, and what only looks like them."""

from __future__ import annotations

import math

import numpy as np

from yolo_ft.data.drawn.canvas import Dice, texture
from yolo_ft.data.drawn.metal import Plate
from yolo_ft.data.drawn.shapes import Outline, bump
from yolo_ft.data.drawn.strokes import Path, across, curve, stroke, walk

SCRATCH, PIT, CRACK = 0, 1, 2
_DEPTH, _FADED = 0.05, 0.2  # a defect ends where it changes the light less than so, or than so of its strongest pixel
_CLEAR, _FEWEST = 0.12, 6  # nobody would label a defect without that many pixels which it changes by at least so


def _record(plate: Plate, left: int, top: int, change: np.ndarray, label: int) -> None:
    """Draw a defect and, if it is clear enough, label what of it can be seen.

    The area to compare that with is what lies in the picture, or half of the whole where the border cuts off more.
    """
    _, inside = plate.crop(left, top, change.shape)
    depth = np.abs(change)
    mask = depth >= max(_DEPTH, _FADED * float(depth.max()))
    seen = plate.shade(left, top, change) & mask
    if np.count_nonzero(seen & (depth >= _CLEAR)) >= _FEWEST:
        area = max(np.count_nonzero(mask[inside]), np.count_nonzero(mask) // 2)
        plate.label(left, top, seen, label, area=int(area))


def _ends(path: Path, share: float) -> np.ndarray:
    """(n,) strength along a path: fades in and out over `share` of the way."""
    return np.minimum(1, np.minimum(path.along, 1 - path.along) * (1 / share))


def draw_scratch(
    plate: Plate, dice: Dice, x: float, y: float, along: tuple[float, float], length: float, bow: float
) -> None:
    """A scratch: a dark or gleaming groove with raised edges of which the lit one shines; often broken."""
    path = curve(dice, x, y, along, length, bow, dice.uniform(0.0, 0.5))
    n = len(path.points)
    width = dice.uniform(0.45, 0.95) + (dice.uniform(0, 1.0) if dice.chance(0.15) else 0)
    offsets = across(2.2 * width + 1)
    wide = width * (1 + 0.4 * texture(32, dice, (1, n))[0].astype(np.float64))
    rough = texture(8, dice, (1, n))[0] * 0.5 + texture(32, dice, (1, n))[0]
    broken = dice.uniform(0.2, 1.6)  # above 1 it never is
    strength = _ends(path, dice.uniform(0.04, 0.5)) * np.clip((rough + broken) * 4, 0.0, 1).astype(np.float64)
    scaled = offsets / wide[:, None]
    lit = path.normals[:, 0] * plate.lamp[0] + path.normals[:, 1] * plate.lamp[1]
    core, flank = bump(scaled, 0, 1.2), bump(scaled, 1.4, 1.0) - bump(scaled, -1.4, 1.0)
    burr = bump(scaled, 1.5, 0.9) + bump(scaled, -1.5, 0.9)
    depth = dice.uniform(0.15, 0.75) + 3 * plate.roughness
    bright = dice.chance(0.6)
    value = core * depth * (1.3 if bright else -1.0) + flank * (lit * 0.5 * depth)[:, None]
    value += burr * depth * (-0.15 if bright else dice.uniform(0.1, 0.5))
    _record(plate, *stroke(path, offsets, value * strength[:, None]), SCRATCH)


def draw_pit(plate: Plate, dice: Dice, x: float, y: float, radius: float) -> None:
    """A pit: a dark hole, its far wall and rim gleaming towards the lamp."""
    corners = dice.uniform(-0.15, 0.15)
    outline = Outline(x, y, radius, radius * dice.uniform(0.7, 1.0), dice.direction(), corners=corners)
    left, top, level, _, _ = outline.field()
    rows, columns = level.shape
    dx = (np.arange(left, left + columns) + (0.5 - x)).astype(np.float32) * (1 / radius)
    dy = (np.arange(top, top + rows) + (0.5 - y)).astype(np.float32)[:, None] * (1 / radius)
    away = -(dx * plate.lamp[0] + dy * plate.lamp[1])  # how far from the lamp's side of the pit
    level = level + texture(4, dice, level.shape) * 0.25
    depth, relief = dice.uniform(0.3, 0.85) + plate.roughness, dice.uniform(0, 0.9)
    inside = np.clip((1 - level) * (0.5 * radius) + 0.5, 0, 1)
    rim = bump(level, 1.25, 1.0) * np.clip(away * 0.8 + dice.uniform(0, 0.3), 0, 1)
    change = rim * (depth * dice.uniform(0.5, 1.4)) + inside * (away * relief - 1) * depth
    _record(plate, left, top, change, PIT)


def draw_crack(plate: Plate, dice: Dice, x: float, y: float, length: float) -> None:
    """A crack: thin, dark and jagged, with finer branches, and no raised edge."""
    heading, jitter = dice.integer(0, 127), dice.integer(5, 12)
    ways = [walk(dice, x, y, heading, length, jitter)]
    thick = [np.maximum(1 - ways[0].along, 0.25)]
    turn = 1 if dice.chance(0.5) else -1
    for _ in range(dice.integer(0, int(length) // 16)):
        trunk, turn = ways[dice.integer(0, len(ways) - 1)], -turn
        at = dice.integer(len(trunk.points) // 6, max(5 * len(trunk.points) // 6 - 1, 1))
        side = heading + turn * dice.integer(9, 22)
        px, py = trunk.points[at].tolist()
        ways.append(walk(dice, px, py, side, length * dice.uniform(0.12, 0.4), jitter))
        thick.append(np.maximum(0.7 * (1 - ways[-1].along), 0.25))
    path = Path(*(np.concatenate(parts) for parts in zip(*((w.points, w.normals, w.along) for w in ways), strict=True)))
    width, depth = dice.uniform(0.55, 1.05), dice.uniform(0.55, 1.0) + plate.roughness
    wide = width * (0.55 + 0.45 * np.concatenate(thick))
    offsets = across(width + 0.5)
    uneven = 1 + 0.3 * texture(4, dice, (1, len(wide)))[0].astype(np.float64)
    value = -depth * bump(offsets / wide[:, None], 0, 1.3) * uneven[:, None]
    left, top, change = stroke(path, offsets, value)
    _record(plate, left, top, np.maximum(change, -0.92), CRACK)


def draw_brush_line(plate: Plate, dice: Dice, x: float, y: float) -> None:
    """No defect: a line of the brushing that went deeper than the others, straight and along them."""
    root = math.sqrt(16 * 16 + plate.slope * plate.slope)
    path = curve(dice, x, y, (16 / root, plate.slope / root), dice.uniform(30, 220), bow=0, tremor=0)
    offsets = across(1.5)
    strength = _ends(path, 0.45) * (dice.uniform(0.1, 0.3) + 2 * plate.roughness)
    strength *= 1 + 0.5 * texture(32, dice, (1, len(path.points)))[0]
    value = bump(offsets / dice.uniform(0.6, 1.1), 0, 1.3) * (1 if dice.chance(0.5) else -1)
    plate.shade(*stroke(path, offsets, value * strength[:, None]))


def draw_dust(plate: Plate, dice: Dice, x: float, y: float) -> None:
    """No defect: a crumb of dust, bright and lying on the plate, or a soft dark one."""
    radius = dice.uniform(0.7, 1.9)
    outline = Outline(x, y, radius * dice.uniform(1.0, 1.7), radius, dice.direction(), dice.uniform(-0.2, 0.2))
    left, top, level, _, _ = outline.field()
    level = level + texture(4, dice, level.shape) * 0.4
    bright = dice.chance(0.6)
    change = bump(level, 0, dice.uniform(1.2, 1.8)) * (dice.uniform(0.1, 0.7) if bright else -dice.uniform(0.08, 0.25))
    plate.shade(left, top, change)


def draw_fibre(plate: Plate, dice: Dice, x: float, y: float) -> None:
    """No defect: a fibre of cloth, evenly curved, soft and even along its way."""
    length = dice.uniform(14, 60)
    path = curve(dice, x, y, dice.direction(), length, length * dice.uniform(0.2, 0.5), dice.uniform(0.5, 2.5))
    width = dice.uniform(0.9, 1.4)
    offsets = across(2 * width)
    shadow = bump(offsets / width, 1.0, 1.2) * dice.uniform(0, 0.15)
    body = bump(offsets / width, 0, 1.2) * dice.uniform(0.2, 0.45) * (1 if dice.chance(0.6) else -1)
    plate.shade(*stroke(path, offsets, (body - shadow) * _ends(path, 0.06)[:, None]))


def draw_spot(plate: Plate, dice: Dice, x: float, y: float) -> None:
    """No defect: what a drop left when it dried, a faint irregular ring, or a smear of oil."""
    radius = dice.uniform(8, 34)
    shape = dice.uniform(-0.1, 0.1), dice.uniform(-0.03, 0.03), dice.uniform(-0.3, 0.3)
    outline = Outline(x, y, radius, radius * dice.uniform(0.5, 1.0), dice.direction(), *shape)
    left, top, level, _, _ = outline.field()
    level = level + texture(16, dice, level.shape) * 0.2 + texture(8, dice, level.shape) * 0.06
    ring, inside = bump(level, 0.95, dice.uniform(0.12, 0.4)), np.clip((1 - level) * (0.15 * radius) + 0.5, 0, 1)
    plate.shade(left, top, -ring * dice.uniform(0, 0.13) + inside * dice.uniform(-0.12, 0.06))


def draw_glint(plate: Plate, dice: Dice, x: float, y: float) -> None:
    """No defect: the reflection of a lamp, a soft bright blot drawn out across the brushing."""
    long, wide = dice.uniform(20, 90), dice.uniform(5, 25)
    dx, dy = np.arange(plate.width, dtype=np.float32) - x, np.arange(plate.height, dtype=np.float32)[:, None] - y
    u, v = (dx + dy * (plate.slope / 16)) * (1 / wide), dy * (1 / long)
    glow = 1 / (1 + u * u + v * v)
    plate.shade(0, 0, glow * glow * dice.uniform(0.15, 0.7))
