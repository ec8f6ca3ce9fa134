"""What lies on a stained blood smear: red and white cells, platelets, and what only looks like them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from yolo_ft.data.drawn.canvas import Canvas, Dice, directions, texture
from yolo_ft.data.drawn.shapes import LEVELS, Outline, bump, edge, fields, look_up

RBC, WBC, PLATELET = 0, 1, 2
_RIM, _HALO = bump(LEVELS, 0.82, 0.3), bump(LEVELS, 1.24, 0.28)  # of a red cell
_AT_ONCE = 8  # red cells of the usual size


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


# what the dyes become at the ends of `CellsDomain.stain`: (red cell, nucleus, cytoplasm, platelet)
_ACID = ((0.04, 0.27, 0.36), (0.30, 0.46, 0.20), (0.03, 0.12, 0.12), (0.22, 0.33, 0.20))
_ALKALINE = ((0.30, 0.26, 0.13), (0.74, 0.66, 0.22), (0.34, 0.28, 0.05), (0.56, 0.44, 0.10))


def draw_stain(dice: Dice, buffer: float = 0.0) -> Stain:
    """The stain of one slide: between orange and greyish pink, nuclei between violet and dark blue.

    `buffer` from -1 (acid) to 1 (alkaline) moves the colours; a little of what differs between slides is left.
    """
    warm, blue, strength = dice.uniform(-1, 1), dice.uniform(-1, 1), dice.middling(0.75, 1.2)
    stain = Stain(
        red_cell=(0.105 - 0.025 * warm, 0.235 + 0.015 * warm, 0.205 + 0.055 * warm),
        nucleus=((0.51 + 0.09 * blue) * strength, (0.67 + 0.03 * blue) * strength, (0.13 - 0.05 * blue) * strength),
        cytoplasm=((0.10 + 0.04 * blue) * strength, 0.26 * strength, (0.08 - 0.04 * blue) * strength),
        platelet=((0.40 + 0.06 * blue) * strength, 0.44 * strength, (0.12 - 0.03 * blue) * strength),
        thickness=dice.middling(0.6, 1.15),
        pallor=dice.uniform(0.25, 1.1),
        merging=dice.uniform(0.35, 0.9),
    )
    return _shift(stain, buffer) if buffer else stain


def _shift(stain: Stain, buffer: float) -> Stain:
    """Move the colours most of the way to those of a wrong buffer."""
    far, ends = 0.85 * abs(buffer), _ACID if buffer < 0 else _ALKALINE
    colours = (stain.red_cell, stain.nucleus, stain.cytoplasm, stain.platelet)
    moved = [
        tuple(old + far * (new - old) for old, new in zip(colour, end, strict=True))
        for colour, end in zip(colours, ends, strict=True)
    ]
    return replace(stain, red_cell=moved[0], nucleus=moved[1], cytoplasm=moved[2], platelet=moved[3])


def _in_view(canvas: Canvas, outline: Outline) -> Outline:
    """The outline in pixels of the picture."""
    if canvas.zoom == 1:  # not even rounded
        return outline
    return outline.magnified(canvas.zoom, canvas.width / 2, canvas.height / 2)


@dataclass
class RedCell:
    """A biconcave disc with a lighter centre and a thin bright halo. A `ghost` (no label) is paler, some hardly."""

    outline: Outline
    ghost: bool
    blur: float  # pixels
    thick: float
    rim: float  # how much thicker it is there; halo and pallor: how much thinner
    halo: float
    pallor: float
    middle: tuple[float, float]  # of the pale centre, in the cell's own axes
    width: float  # of the pale centre


def red_cell(dice: Dice, stain: Stain, outline: Outline, ghost: bool = False) -> RedCell:
    """One red cell of a slide."""
    blur = dice.uniform(1.2, 2.6) * (1.5 if ghost else 1.0)
    thick = stain.thickness * (dice.uniform(0.2, 1.0) if ghost else dice.middling(0.6, 1.35))
    rim, halo = dice.uniform(0.0, 0.35) * thick, dice.uniform(0.0, 0.18) * thick
    pallor = min(stain.pallor * dice.uniform(0.2, 1.5), 1.0) * thick
    middle = dice.uniform(-0.22, 0.22), dice.uniform(-0.22, 0.22)
    return RedCell(outline, ghost, blur, thick, rim, halo, pallor, middle, dice.uniform(0.3, 1.0))


def draw_red_cells(canvas: Canvas, stain: Stain, cells: Sequence[RedCell]) -> None:
    """Draw red cells, the last on top. Some at once, because a pixel costs less than a step for each cell.

    As many as the processor's cache holds.
    """
    some = max(1, int(_AT_ONCE / (canvas.zoom * canvas.zoom)))
    for start in range(0, len(cells), some):
        _draw_some(canvas, stain, cells[start : start + some])


def _draw_some(canvas: Canvas, stain: Stain, cells: Sequence[RedCell]) -> None:
    """Draw a few red cells: their patches in arrays (cells, rows, columns), their tables in (cells, entries)."""
    outlines = [_in_view(canvas, cell.outline) for cell in cells]
    patches, level, u, v = fields(outlines)
    steep = [outline.steepness(cell.blur) for outline, cell in zip(outlines, cells, strict=True)]
    numbers = [(cell.thick, cell.rim, cell.halo, cell.pallor, cell.width, *cell.middle) for cell in cells]
    thick, rim, halo, pallor, width, left, down = np.array(numbers, np.float32).T[:, :, None]
    body = edge(np.array(steep, np.float32)[:, None]) * (thick + rim * _RIM) - halo * _HALO
    density = look_up(body, level)
    u -= left[:, None]
    v -= down[:, None]
    u *= u
    v *= v
    u += v
    density -= look_up(pallor * bump(LEVELS, 0.0, width), u)
    np.clip(density, -0.2, np.inf, out=density)
    canvas.stains(patches, density, stain.red_cell, hiding=stain.merging)
    inside = level <= 1
    for cell, mask, (left, top, rows, columns) in zip(cells, inside, patches, strict=True):
        if not cell.ghost:
            canvas.label(left, top, mask[:rows, :columns], RBC)


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
    outline = _in_view(canvas, outline)
    left, top, level, u, v = outline.field()
    pick = dice.uniform(0, 1)
    kind = "lobed" if pick < 0.62 else "kidney" if pick < 0.8 else "round"
    fine, coarse = texture(4, dice, level.shape), texture(8, dice, level.shape)
    ragged = level + fine * dice.uniform(0.03, 0.1) + coarse * dice.uniform(0.02, 0.14)
    body = look_up(edge(outline.steepness(dice.uniform(1.5, 4.0))), ragged)
    grain, pale = dice.uniform(0.1, 0.5), dice.uniform(0.5, 1.25)
    canvas.stain(left, top, body * (pale + pale * grain * fine), stain.cytoplasm, hiding=0.85)
    pull = np.zeros_like(level)
    for lu, lv, radius in _nucleus(dice, kind):
        du, dv = u - lu, v - lv
        near = np.clip(1 - (du * du + dv * dv) * (1 / (4 * radius * radius)), 0, 1)
        pull += near * near
    size = math.sqrt(outline.a * outline.b)
    pull = (pull - 0.5625 + coarse * 0.08) * (size * dice.uniform(0.12, 0.28))
    dark = dice.uniform(0.7, 1.0)
    nucleus = np.clip(pull + 0.5, 0, 1) * np.clip(dark + 0.22 * coarse + 0.12 * fine, 0.3, 1.2)
    canvas.stain(left, top, nucleus * body, stain.nucleus)
    canvas.label(left, top, ragged <= 1, WBC)


def draw_platelet(canvas: Canvas, dice: Dice, stain: Stain, outline: Outline) -> None:
    """A platelet: small, ragged, violet, darker grains in a pale rim."""
    outline = _in_view(canvas, outline)
    left, top, level, _, _ = outline.field()
    fine = texture(4, dice, level.shape)
    ragged = level + fine * dice.uniform(0.1, 0.35)
    strength = dice.middling(0.38, 1.22)
    profile = edge(outline.steepness(dice.uniform(1.9, 4.2))) * (0.45 + 0.55 * bump(LEVELS, 0.0, 0.9))
    density = look_up(profile, ragged) * (strength + 0.3 * fine)
    canvas.stain(left, top, np.maximum(density, 0), stain.platelet)
    canvas.label(left, top, ragged <= 1, PLATELET)


def draw_speck(canvas: Canvas, dice: Dice, stain: Stain, x: float, y: float) -> None:
    """Something without a label: dye grains, dirt out of focus, or a bright bubble with a dark rim on a cell."""
    pick, along = dice.uniform(0, 1), dice.direction()
    if pick < 0.4:  # dye grain: platelet-coloured but smaller
        radius = dice.uniform(1.0, 6.0)
        outline = _in_view(canvas, Outline(x, y, radius, radius * dice.uniform(0.7, 1.0), along))
        left, top, level, _, _ = outline.field()
        canvas.stain(left, top, look_up(edge(outline.steepness(2.0)), level) * dice.uniform(0.4, 1.1), stain.platelet)
    elif pick < 0.7:  # dirt out of focus: grey, soft
        radius = dice.uniform(3.0, 8.0)
        outline = _in_view(
            canvas, Outline(x, y, radius, radius * dice.uniform(0.5, 1.0), along, corners=dice.uniform(-0.1, 0.1))
        )
        left, top, level, _, _ = outline.field()
        shade = dice.uniform(0.05, 0.3)
        canvas.stain(left, top, look_up(bump(LEVELS, 0.0, 1.4), level) * shade, (0.85, 0.9, 1.0))
    else:  # bubble
        radius = dice.uniform(2.5, 6.0)
        outline = _in_view(canvas, Outline(x, y, radius, radius * dice.uniform(0.7, 1.0), along))
        left, top, level, _, _ = outline.field()
        ring = dice.uniform(0.05, 0.7) * bump(LEVELS, 0.9, 0.6) - dice.uniform(0.05, 0.2) * bump(LEVELS, 0.0, 0.6)
        canvas.stain(left, top, look_up(ring, level), (0.8, 1.0, 0.9))
