"""Flaws of a metal plate: labelled where they can be seen, and what only looks like them never."""

from __future__ import annotations

import numpy as np
import pytest

from yolo_ft.data.drawn import flaws
from yolo_ft.data.drawn.canvas import Dice
from yolo_ft.data.drawn.flaws import CRACK, PIT, SCRATCH, draw_crack, draw_pit, draw_scratch
from yolo_ft.data.drawn.metal import Plate

CLUTTER = [flaws.draw_brush_line, flaws.draw_dust, flaws.draw_fibre, flaws.draw_glint, flaws.draw_spot]


def plate(light: float = 0.4, height: int = 120, width: int = 160) -> Plate:
    """Evenly lit, without brushing."""
    plain = Plate(Dice(1), height, width)
    plain.light[:] = light
    plain.roughness = 0.0
    return plain


def draw(kind: int, on: Plate, key: int, x: float = 80, y: float = 60) -> None:
    dice = Dice(77, key)
    if kind == SCRATCH:
        draw_scratch(on, dice, x, y, (0.8, 0.6), 40, 2)
    elif kind == PIT:
        draw_pit(on, dice, x, y, 4)
    else:
        draw_crack(on, dice, x, y, 30)


def test_a_plate_is_bare_and_lit():
    bare = Plate(Dice(3), 90, 130)
    assert len(bare.target(0.0)) == 0 and bare.light.shape == (90, 130) and bare.light.dtype == np.float32
    assert 0.1 < bare.light.mean() < 1 and bare.light.std() > 0.01


def test_shading_is_a_share_of_the_light_and_says_where_it_is_seen():
    lit = plate(0.5)
    lit.light[:, 3] = 1.2  # glare: the camera sees 1 before and after
    seen = lit.shade(-1, 0, np.full((2, 6), 0.5, np.float32))
    assert seen.tolist() == [[False, True, True, True, False, True]] * 2  # the first column lies outside
    assert lit.light[0, :6].tolist() == pytest.approx([0.75, 0.75, 0.75, 1.8, 0.75, 0.5])
    assert not lit.shade(50, 50, np.full((3, 3), 0.01, np.float32)).any()  # too faint
    assert not lit.shade(400, 50, np.ones((3, 3), np.float32)).any()
    lit.shade(100, 100, np.full((1, 1), -2, np.float32))
    assert 0 < lit.light[100, 100] < 0.02  # never below black


@pytest.mark.parametrize("kind", [SCRATCH, PIT, CRACK])
def test_a_box_encloses_what_a_single_flaw_changes(kind):
    found = 0
    for key in range(30):
        on = plate()
        draw(kind, on, key)
        target = on.target(0.5)
        found += len(target)
        change = np.abs(on.light / np.float32(0.4) - 1)
        if not len(target):
            assert kind == SCRATCH and (change > 0.12).sum() < 12
            continue
        assert target.labels.tolist() == [kind]
        x0, y0, x1, y1 = target.boxes[0].astype(int)
        inside = change[y0:y1, x0:x1] >= max(0.05, 0.199 * change.max())
        assert inside.any(axis=0)[[0, -1]].all() and inside.any(axis=1)[[0, -1]].all()  # it touches all four sides
        change[y0:y1, x0:x1] = 0
        assert change.max() <= max(0.05, 0.201 * np.abs(on.light / np.float32(0.4) - 1).max())
    assert found >= 27


@pytest.mark.parametrize("kind", [SCRATCH, PIT, CRACK])
def test_what_lies_outside_or_in_glare_has_no_box(kind):
    for key in range(5):
        on = plate()
        draw(kind, on, key, x=-200)
        assert len(on.target(0.0)) == 0 and (on.light == np.float32(0.4)).all()
        glare = plate(60.0)
        draw(kind, glare, key)
        assert len(glare.target(0.0)) == 0


def test_a_flaw_that_the_border_cuts_has_a_box_around_the_part_inside():
    dice = Dice(8)
    on = plate()
    on.light[:] = 0.4
    draw_scratch(on, dice, 0, 60, (0.8, 0.6), 80, 0)  # its middle lies on the left border
    target = on.target(0.5)
    assert len(target) == 1
    x0, y0, x1, y1 = target.boxes[0]
    assert x0 == 0 and 15 < x1 <= 36 and 57 <= y0 <= 62 and y1 <= 88  # not up to y = 36, where it is outside


def test_a_flaw_of_which_little_reaches_into_the_picture_has_no_box():
    clear = []
    for key in range(20):
        on = plate()
        draw_scratch(on, Dice(77, key), -28, 60, (1.0, 0.0), 80, 0)  # 12 of 80 pixels
        assert len(on.target(0.5)) == 0
        clear.append((np.abs(on.light / np.float32(0.4) - 1) > 0.13).sum() > 6)
    assert any(clear)  # though some can be seen well


@pytest.mark.parametrize("clutter", CLUTTER)
def test_clutter_is_seen_and_never_labelled(clutter):
    dice, on = Dice(5), plate()
    for _ in range(12):
        clutter(on, dice, dice.uniform(20, 140), dice.uniform(20, 100))
    assert len(on.target(0.0)) == 0 and np.abs(on.light / 0.4 - 1).max() > 0.04
