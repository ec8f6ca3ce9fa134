"""Where the cells of a drawn blood smear lie: fields of view, and how many of what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from yolo_ft.data.drawn.canvas import Canvas, Dice
from yolo_ft.data.drawn.shapes import Outline
from yolo_ft.data.drawn.smear import RedCell, Stain, draw_platelet, draw_red_cells, draw_speck, red_cell

_FIELD = 320 * 240  # pixels for which the counts below are meant


def _apart(x: float, y: float, others: list[Outline], gap: float, own: int) -> bool:
    """Whether (x, y) is farther than `gap` plus `own` times their shorter half axis from the middle of all others."""
    for o in others:
        dx, dy, reach = x - o.x, y - o.y, gap + own * o.b
        if dx * dx + dy * dy < reach * reach:
            return False
    return True


@dataclass
class Field:
    """A rectangle of smear (x0, y0, x1, y1) to draw in, but for the inner one `hole`, which is drawn already."""

    room: tuple[float, float, float, float]
    hole: Field | None = None

    @property
    def area(self) -> float:
        """In fields of the size that the counts are meant for."""
        x0, y0, x1, y1 = self.room
        return (y1 - y0) * (x1 - x0) / _FIELD

    def point(self, dice: Dice, margin: float) -> tuple[float, float]:
        """Anywhere in the field and up to `margin` beyond."""
        x0, y0, x1, y1 = self.room
        return dice.uniform(x0 - margin, x1 + margin), dice.uniform(y0 - margin, y1 + margin)

    def holds(self, x: float, y: float, margin: float) -> bool:
        """Whether (x, y) lies in the field or less than `margin` beyond."""
        x0, y0, x1, y1 = self.room
        return x0 - margin < x < x1 + margin and y0 - margin < y < y1 + margin

    def drawn(self, x: float, y: float, margin: float) -> bool:
        """Whether (x, y) lies in the hole or less than `margin` beyond."""
        return self.hole is not None and self.hole.holds(x, y, margin)


@dataclass
class Habits:
    """What the red cells of one smear have in common: how many in a field, how large, in piles, drawn out, faded."""

    mean: float
    size: float
    piling: float
    stretch: float
    smear: tuple[float, float]
    ghosts: float


def red_habits(dice: Dice) -> Habits:
    """Few, usual or crowded; every second cell is drawn out along the smear."""
    pick = dice.uniform(0, 1)
    mean = dice.uniform(3, 10) if pick < 0.12 else dice.uniform(16, 30) if pick < 0.72 else dice.uniform(30, 50)
    size, piling, stretch = dice.middling(21, 27), dice.uniform(0.15, 0.75), dice.uniform(0.02, 0.3)
    return Habits(mean, size, piling, stretch, dice.direction(), dice.uniform(0, 0.4))


def red_cells(
    canvas: Canvas,
    dice: Dice,
    stain: Stain,
    habits: Habits,
    field: Field,
    others: list[Outline],
    density: float = 1.0,
    show: Callable[[], bool] = lambda: True,
) -> list[Outline]:
    """Draw `density` times the usual number: alone, in contact, or in piles; off the middles of `others`.

    A cell for which `show()` is false keeps its place and its draws but is not seen: the others stay as they are.
    """
    size = habits.size
    placed: list[Outline] = []
    seen: list[RedCell] = []
    for _ in range(dice.count(habits.mean * density * field.area)):
        for _ in range(6):
            if placed and dice.chance(habits.piling):
                friend, (dx, dy) = placed[dice.integer(0, len(placed) - 1)], dice.direction()
                gap = size * dice.uniform(0.6, 1.9)
                x, y = friend.x + gap * dx, friend.y + gap * dy
            else:
                x, y = field.point(dice, 18)
            inside = field.holds(x, y, 22) and not field.drawn(x, y, 18)
            if inside and _apart(x, y, others, 0.7 * size, 1) and _apart(x, y, placed, 0.5 * size, 0):
                break
        else:
            continue
        radius, flat = size * dice.middling(0.75, 1.25), 1 + habits.stretch * dice.uniform(0, 2.5)
        root = math.sqrt(flat)
        along = habits.smear if dice.chance(0.5) else dice.direction()
        shape = dice.uniform(-0.1, 0.1), dice.uniform(-0.035, 0.035), dice.uniform(-0.3, 0.3)
        outline = Outline(x, y, radius * root, radius / root, along, *shape)
        placed.append(outline)
        cell = red_cell(dice, stain, outline, ghost=dice.chance(habits.ghosts))
        if show():
            seen.append(cell)
    draw_red_cells(canvas, stain, seen)
    return placed


def white_places(dice: Dice, field: Field) -> list[Outline]:
    """Where the white cells lie: one in most fields, rarely none or two; some cut by the border."""
    pick = dice.uniform(0, 1)
    places: list[Outline] = []
    for _ in range(dice.count((0 if pick < 0.04 else 1 if pick < 0.86 else 2) * field.area)):
        radius, flat = dice.middling(30, 60), dice.uniform(0.85, 1.0)
        x, y = field.point(dice, 5)
        if field.drawn(x, y, 5) or not _apart(x, y, places, radius, 1):
            continue
        shape = dice.uniform(-0.08, 0.08), dice.uniform(-0.05, 0.05), dice.uniform(-0.12, 0.12)
        places.append(Outline(x, y, radius, radius * flat, dice.direction(), *shape))
    return places


def platelets(canvas: Canvas, dice: Dice, stain: Stain, field: Field) -> None:
    """Draw the platelets: none in half of the fields, else a few, sometimes as a clump; also on top of red cells."""
    mean = 0 if dice.chance(0.45) else dice.uniform(0.6, 3.2)
    number = dice.count(mean * field.area)
    clump = dice.chance(0.2)
    x = y = 0.0
    for k in range(number):
        if k and clump:
            dx, dy = dice.direction()
            x, y = x + dice.uniform(10, 20) * dx, y + dice.uniform(10, 20) * dy
        else:
            x, y = field.point(dice, -2)
        a = dice.middling(6.5, 13)
        outline = Outline(x, y, a, a * dice.uniform(0.65, 1.0), dice.direction(), corners=dice.uniform(-0.1, 0.1))
        if not field.drawn(x, y, -2):
            draw_platelet(canvas, dice, stain, outline)


def specks(canvas: Canvas, dice: Dice, stain: Stain, field: Field, cells: list[Outline]) -> None:
    """Draw what must not be detected: dye, dirt and bubbles, half of it on red cells."""
    dirty = dice.uniform(0, 10)
    for _ in range(dice.count(dirty * field.area)):
        x, y = field.point(dice, 0)
        if cells and dice.chance(0.5):
            under, (dx, dy) = cells[dice.integer(0, len(cells) - 1)], dice.direction()
            far = under.b * dice.uniform(0, 0.8)
            x, y = under.x + far * dx, under.y + far * dy
        if not field.drawn(x, y, 0):
            draw_speck(canvas, dice, stain, x, y)
