"""What lies on a stained blood smear: red and white cells, platelets, and what only looks like them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from yolo_ft.data.canvas import Canvas, Dice, directions, texture

RBC, WBC, PLATELET = 0, 1, 2
_STEPS = 128  # table entries per unit of an outline's level
_LEVELS = (np.arange(2 * _STEPS + 1) / _STEPS).astype(np.float32)  # 0 = centre, 1 = outline, 2 = well outside


@dataclass
class Stain:
    """How one slide was stained: what a dye absorbs of red, green and blue where it is one unit thick."""

    red_cell: tuple[float, float, float]
    nucleus: tuple[float, float, float]
    cytoplasm: tuple[float, float, float]
    platelet: tuple[float, float, float]
    thickness: float  # of the red cells
    pallor: float  # how much lighter their centres are
    merging: float  # how much an upper red cell hides those below


def draw_stain(dice: Dice) -> Stain:
    """The stain of one slide: between orange and greyish pink, nuclei between violet and dark blue."""
    warm, blue, strength = dice.uniform(-1, 1), dice.uniform(-1, 1), dice.middling(0.75, 1.2)
    return Stain(
        red_cell=(0.105 - 0.025 * warm, 0.235 + 0.015 * warm, 0.205 + 0.055 * warm),
        nucleus=((0.51 + 0.09 * blue) * strength, (0.67 + 0.03 * blue) * strength, (0.13 - 0.05 * blue) * strength),
        cytoplasm=((0.10 + 0.04 * blue) * strength, 0.26 * strength, (0.08 - 0.04 * blue) * strength),
        platelet=((0.40 + 0.06 * blue) * strength, 0.44 * strength, (0.12 - 0.03 * blue) * strength),
        thickness=dice.middling(0.6, 1.15),
        pallor=dice.uniform(0.25, 1.1),
        merging=dice.uniform(0.35, 0.9),
    )


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
            level += (cross * cross - 4 * uu * vv) * self.squareness
        return left, top, level, u, v

    def edge(self, pixels: float) -> np.ndarray:
        """Table over the level: 1 inside, 0 outside, the step `pixels` wide."""
        return np.clip((1 - _LEVELS) * (math.sqrt(self.a * self.b) / (2 * pixels)) + 0.5, 0, 1)


def _look_up(table: np.ndarray, level: np.ndarray) -> np.ndarray:
    """The table's entry at each level."""
    return table[np.minimum(np.maximum(level * _STEPS, 0), 2 * _STEPS).astype(np.intp)]


def _bump(x: np.ndarray, middle: float, reach: float) -> np.ndarray:
    """A smooth hill of height 1 at `middle`, 0 from `reach` away on."""
    slope = np.maximum(1 - np.abs(x - middle) / reach, 0)
    return slope * slope * (3 - 2 * slope)


def draw_red_cell(canvas: Canvas, dice: Dice, stain: Stain, outline: Outline, ghost: bool = False) -> None:
    """A biconcave disc with a lighter centre and a thin bright halo. A `ghost` (faded, no label) is much paler."""
    left, top, level, u, v = outline.field()
    edge = outline.edge(dice.uniform(1.2, 2.6) * (1.5 if ghost else 1.0))
    thick = stain.thickness * (dice.uniform(0.15, 0.7) if ghost else dice.middling(0.6, 1.35))
    rim, halo = dice.uniform(0.0, 0.35), dice.uniform(0.0, 0.18) * thick
    body = edge * (thick + rim * thick * _bump(_LEVELS, 0.82, 0.3)) - halo * _bump(_LEVELS, 1.24, 0.28)
    density = _look_up(body, level)
    pallor = min(stain.pallor * dice.uniform(0.2, 1.5), 1.0) * thick
    du, dv = u - dice.uniform(-0.22, 0.22), v - dice.uniform(-0.22, 0.22)
    width = dice.uniform(0.3, 1.0)
    well = pallor * _bump(_LEVELS, 0.0, width)
    density -= _look_up(well, du * du + dv * dv)
    canvas.stain(left, top, np.maximum(density, -0.2), stain.red_cell, hiding=stain.merging)
    if not ghost:
        canvas.label(left, top, level <= 1, RBC)


def _nucleus(dice: Dice, kind: str) -> list[tuple[float, float, float]]:
    """Lobes (u, v, radius) in the cell's own axes, where the outline has radius 1."""
    if kind == "round":
        return [(dice.uniform(-0.08, 0.08), dice.uniform(-0.08, 0.08), dice.uniform(0.74, 0.92))]
    table = directions()
    lobes = dice.integer(3, 5) if kind == "lobed" else 5
    reach, radius = dice.uniform(0.42, 0.54), dice.uniform(0.25, 0.33) if kind == "lobed" else dice.uniform(0.24, 0.3)
    start, step = dice.integer(0, 127), (dice.integer(21, 32) if kind == "lobed" else dice.integer(12, 17))
    found = []
    for k in range(lobes):
        x, y = table[(start + k * step + dice.integer(-3, 3)) % 128]
        far = reach * dice.uniform(0.8, 1.15)
        found.append((far * x, far * y, radius * dice.uniform(0.82, 1.15)))
    return found


def draw_white_cell(canvas: Canvas, dice: Dice, stain: Stain, outline: Outline) -> None:
    """A white cell, hiding what is below: lobed (most), kidney-shaped or round nucleus, granular or pale cytoplasm."""
    left, top, level, u, v = outline.field()
    pick = dice.uniform(0, 1)
    kind = "lobed" if pick < 0.62 else "kidney" if pick < 0.8 else "round"
    fine, coarse = texture(4, dice, level.shape), texture(8, dice, level.shape)
    ragged = level + fine * dice.uniform(0.03, 0.1) + coarse * dice.uniform(0.02, 0.14)
    body = _look_up(outline.edge(dice.uniform(1.5, 4.0)), ragged)
    grain, pale = dice.uniform(0.1, 0.5), dice.uniform(0.5, 1.25)
    canvas.stain(left, top, body * (pale + pale * grain * fine), stain.cytoplasm, hiding=0.85)
    pull = np.zeros_like(level)
    for lu, lv, radius in _nucleus(dice, kind):
        du, dv = u - lu, v - lv
        near = np.maximum(1 - (du * du + dv * dv) * (1 / (4 * radius * radius)), 0)
        pull += near * near
    size = math.sqrt(outline.a * outline.b)
    pull = (pull - 0.5625 + coarse * 0.08) * (size * dice.uniform(0.12, 0.28))
    dark = dice.uniform(0.7, 1.0)
    nucleus = np.clip(pull + 0.5, 0, 1) * np.clip(dark + 0.22 * coarse + 0.12 * fine, 0.3, 1.2)
    canvas.stain(left, top, nucleus * body, stain.nucleus)
    canvas.label(left, top, ragged <= 1, WBC)


def draw_platelet(canvas: Canvas, dice: Dice, stain: Stain, outline: Outline) -> None:
    """A platelet: small, ragged, violet, darker grains in a pale rim."""
    left, top, level, _, _ = outline.field()
    fine = texture(4, dice, level.shape)
    ragged = level + fine * dice.uniform(0.1, 0.35)
    strength = dice.middling(0.38, 1.22)
    profile = outline.edge(dice.uniform(1.9, 4.2)) * (0.45 + 0.55 * _bump(_LEVELS, 0.0, 0.9))
    density = _look_up(profile, np.maximum(ragged, 0)) * (strength + 0.3 * fine)
    canvas.stain(left, top, np.maximum(density, 0), stain.platelet)
    canvas.label(left, top, ragged <= 1, PLATELET)


def draw_speck(canvas: Canvas, dice: Dice, stain: Stain, x: float, y: float) -> None:
    """Something without a label: dye grains, dirt out of focus, or a bright bubble with a dark rim on a cell."""
    pick, along = dice.uniform(0, 1), dice.direction()
    if pick < 0.4:  # dye grain: platelet-coloured but far smaller
        radius = dice.uniform(1.0, 3.4)
        outline = Outline(x, y, radius, radius * dice.uniform(0.7, 1.0), along)
        left, top, level, _, _ = outline.field()
        canvas.stain(left, top, _look_up(outline.edge(1.2), level) * dice.uniform(0.4, 1.1), stain.platelet)
    elif pick < 0.7:  # dirt out of focus: grey, soft
        radius = dice.uniform(3.0, 8.0)
        outline = Outline(x, y, radius, radius * dice.uniform(0.5, 1.0), along, corners=dice.uniform(-0.1, 0.1))
        left, top, level, _, _ = outline.field()
        shade = dice.uniform(0.05, 0.3)
        canvas.stain(left, top, _look_up(_bump(_LEVELS, 0.0, 1.4), level) * shade, (0.85, 0.9, 1.0))
    else:  # bubble
        radius = dice.uniform(2.5, 5.0)
        outline = Outline(x, y, radius, radius * dice.uniform(0.7, 1.0), along)
        left, top, level, _, _ = outline.field()
        ring = dice.uniform(0.05, 0.3) * _bump(_LEVELS, 0.9, 0.6) - dice.uniform(0.05, 0.2) * _bump(_LEVELS, 0.0, 0.6)
        canvas.stain(left, top, _look_up(ring, level), (0.8, 1.0, 0.9))
