"""The drawn `cells` set: the same bytes everywhere, boxes that enclose what was drawn, blood as in real smears."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import hash_uint32
from yolo_ft.data.drawn.canvas import Canvas, Dice, directions, texture
from yolo_ft.data.drawn.cells import CELLS_NAMES, CELLS_SHA256, CELLS_SPLITS, draw_cells
from yolo_ft.data.drawn.sets import drawn_set, fingerprint
from yolo_ft.data.drawn.shapes import Outline
from yolo_ft.data.drawn.smear import (
    PLATELET,
    RBC,
    WBC,
    draw_platelet,
    draw_red_cells,
    draw_speck,
    draw_stain,
    draw_white_cell,
    red_cell,
)

FIRST_EIGHT = "65620b0eb89d93bf110e0c31d609cd09b2896ad2144ea635a50b00292d769ded"
ODD_SIZE = "3fbce27c0d8f55d9ded2d9736e53eda96e46865ad88a6dd718d9c4e5c028cef2"


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[list, list]]:
    """All splits, drawn once."""
    return {split: drawn_set("cells").content(split) for split in CELLS_SPLITS}


def test_an_empty_canvas_has_no_boxes_and_lets_all_light_through():
    canvas = Canvas(40, 60)
    target = canvas.target(0.5)
    assert target.boxes.shape == (0, 4) and target.labels.shape == (0,)
    assert canvas.light.shape == (3, 40, 60) and (canvas.light == 1).all()


def test_the_first_images_have_the_committed_bytes():
    images, targets = zip(*(draw_cells(index) for index in range(8)), strict=True)
    assert fingerprint(images, targets) == FIRST_EIGHT
    image, target = draw_cells(3, seed=7, height=97, width=211)
    assert fingerprint([image], [target]) == ODD_SIZE


@pytest.mark.parametrize("split", CELLS_SPLITS)
def test_every_split_has_the_committed_bytes(drawn, split):
    assert fingerprint(*drawn[split]) == CELLS_SHA256[split]


def test_images_are_pure_functions_of_their_key():
    image, target = draw_cells(5)
    draw_cells(6)
    again, same = draw_cells(5)
    assert (image == again).all() and (target.boxes == same.boxes).all() and (target.labels == same.labels).all()
    assert image.dtype == np.uint8 and image.shape == (240, 320, 3) and image.flags.c_contiguous
    assert not (image == draw_cells(6)[0]).all() and not (image == draw_cells(5, seed=1)[0]).all()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 200), (640, 96)])
def test_any_size_from_32_pixels_on(height, width):
    image, target = draw_cells(0, height=height, width=width)
    assert image.shape == (height, width, 3)
    assert (target.boxes >= 0).all() and (target.boxes <= [width, height, width, height]).all()


def test_too_small_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="at least 32 pixels"):
        draw_cells(0, height=31)


def test_splits_have_their_sizes_and_share_no_image(drawn):
    assert [len(drawn[split][0]) for split in ("train", "val", "test")] == [200, 80, 60]
    used = [index for split in CELLS_SPLITS.values() for index in split]
    assert len(set(used)) == len(used)
    assert len({image.tobytes() for images, _ in drawn.values() for image in images}) == 340
    assert CELLS_NAMES == {0: "RBC", 1: "WBC", 2: "Platelets"}


@pytest.mark.parametrize("split", CELLS_SPLITS)
def test_classes_are_as_unbalanced_as_in_bccd(drawn, split):
    """BCCD has 11.4 RBC, 1.02 WBC and 0.99 platelets an image."""
    _, targets = drawn[split]
    counts = np.bincount(np.concatenate([t.labels for t in targets]), minlength=3) / len(targets)
    assert 9.5 < counts[RBC] < 13 and 0.8 < counts[WBC] < 1.2 and 0.6 < counts[PLATELET] < 1.5
    numbers = [len(t) for t in targets]
    assert min(numbers) < 6 and max(numbers) > 20  # sparse and crowded fields


def test_boxes_are_valid_and_of_believable_size(drawn):
    boxes = np.concatenate([t.boxes for _, targets in drawn.values() for t in targets])
    labels = np.concatenate([t.labels for _, targets in drawn.values() for t in targets])
    assert boxes.dtype == np.float32 and labels.dtype == np.int64
    assert (boxes == boxes.round()).all() and (boxes >= 0).all() and (boxes <= [320, 240, 320, 240]).all()
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 4
    middle = [np.median(longer[labels == label]) for label in CELLS_NAMES]
    assert 44 < middle[RBC] < 60 and 75 < middle[WBC] < 110 and 14 < middle[PLATELET] < 26


def test_pictures_are_neither_flat_nor_burnt_out(drawn):
    for image in drawn["val"][0]:
        assert image.std() > 4 and 120 < image.mean() < 235
        assert (image == 255).mean() < 0.01 and (image == 0).mean() < 0.01


def draw_red_cell(canvas, dice, stain, outline, ghost=False) -> None:
    draw_red_cells(canvas, stain, [red_cell(dice, stain, outline, ghost)])


DRAWERS = {RBC: draw_red_cell, WBC: draw_white_cell, PLATELET: draw_platelet}
SIZES = {RBC: (26.0, 21.0), WBC: (50.0, 46.0), PLATELET: (11.0, 8.0)}


@pytest.mark.parametrize("label", DRAWERS)
@pytest.mark.parametrize("key", range(12))
def test_a_box_encloses_what_a_single_object_changes(label, key):
    """Light that the object visibly absorbs lies inside its box (a soft edge reaches at most some pixels beyond)."""
    dice = Dice(99, key)
    a, b = SIZES[label]
    canvas = Canvas(200, 240)
    shape = dice.uniform(-0.1, 0.1), dice.uniform(-0.035, 0.035), dice.uniform(-0.3, 0.3)
    outline = Outline(120.0, 100.0, a, b, dice.direction(), *(shape if label != PLATELET else (shape[0],)))
    DRAWERS[label](canvas, dice, draw_stain(dice), outline)
    target = canvas.target(0.5)
    assert target.labels.tolist() == [label]
    x0, y0, x1, y1 = target.boxes[0].astype(int)
    absorbed = (1 - canvas.light).max(axis=0)
    rows, columns = np.nonzero(absorbed > 0.5 * absorbed.max())
    assert rows.min() >= y0 - 1 and rows.max() <= y1 and columns.min() >= x0 - 1 and columns.max() <= x1
    outside = absorbed.copy()
    outside[max(y0 - 6, 0) : y1 + 6, max(x0 - 6, 0) : x1 + 6] = 0
    assert outside.max() < 0.02
    faint = absorbed > 0.03
    inside = faint[y0:y1, x0:x1]
    assert inside.any(axis=0).mean() > 0.85 and inside.any(axis=1).mean() > 0.85  # and it is not too large


def test_a_box_is_the_extent_of_the_mask_clipped_to_the_image():
    canvas = Canvas(50, 80)
    mask = np.zeros((20, 30), bool)
    mask[3:17, 4:26] = True
    canvas.label(10, 5, mask, 0)
    canvas.label(70, 40, mask, 2)  # 6 of 22 columns and 7 of 14 rows inside
    canvas.label(-10, 20, mask, 1)  # 16 of 22 columns inside
    assert canvas.target(0.0).boxes.tolist() == [[14, 8, 36, 22], [74, 43, 80, 50], [0, 23, 16, 37]]
    assert canvas.target(0.5).labels.tolist() == [0, 1]


def test_an_object_that_others_hide_has_no_box():
    canvas = Canvas(50, 80)
    full = np.ones((10, 10), bool)
    canvas.label(0, 0, full, 0)
    canvas.label(5, 0, full, 1)  # leaves exactly half of the first
    assert canvas.target(0.5).labels.tolist() == [0, 1]
    canvas.label(0, 9, full, 2)  # takes five more of its pixels
    assert canvas.target(0.5).labels.tolist() == [1, 2]


def test_an_object_outside_the_image_has_no_box():
    canvas = Canvas(50, 80)
    canvas.label(200, 5, np.ones((4, 4), bool), 0)
    canvas.stain(200, 5, np.ones((4, 4), np.float32), (0.5, 0.5, 0.5))
    assert len(canvas.target(0.5)) == 0 and (canvas.light == 1).all()


def test_a_part_of_a_mask_is_compared_with_the_area_of_the_whole():
    canvas = Canvas(50, 80)
    canvas.label(0, 0, np.ones((4, 5), bool), 0, area=40)
    canvas.label(0, 10, np.ones((4, 5), bool), 1, area=41)
    target = canvas.target(0.5)
    assert target.labels.tolist() == [0] and target.boxes.tolist() == [[0, 0, 5, 4]]


def test_overlapping_stains_absorb_twice():
    canvas = Canvas(4, 4)
    for left in (0, 1):
        canvas.stain(left, 0, np.ones((4, 3), np.float32), (0.5, 0.25, 0.0))
    assert canvas.light[0, 0].tolist() == [0.5, 0.25, 0.25, 0.5]
    assert canvas.light[1, 0].tolist() == [0.75, 0.5625, 0.5625, 0.75] and (canvas.light[2] == 1).all()


def test_red_cells_drawn_at_once_are_those_drawn_one_by_one():
    """More than one batch, of very different sizes, some beyond the border."""
    dice, one_by_one, at_once = Dice(4), Canvas(90, 120, 0.8), Canvas(90, 120, 0.8)
    stain, cells = draw_stain(dice), []
    for k in range(19):
        place = dice.uniform(-20, 140), dice.uniform(-20, 110), dice.uniform(4, 40), dice.uniform(4, 30)
        cells.append(red_cell(dice, stain, Outline(*place, dice.direction(), 0.1, 0.3, 0.03), ghost=k % 5 == 0))
        draw_red_cells(one_by_one, stain, cells[-1:])
    draw_red_cells(at_once, stain, cells)
    assert (one_by_one.light == at_once.light).all() and (at_once.light < 0.9).any()
    assert one_by_one.target(0.0).boxes.tolist() == at_once.target(0.0).boxes.tolist()
    assert len(at_once.target(0.0)) == 15
    draw_red_cells(at_once, stain, [])
    assert (one_by_one.light == at_once.light).all()


def test_specks_and_ghosts_have_no_label():
    canvas, dice = Canvas(100, 100), Dice(1)
    stain = draw_stain(dice)
    for _ in range(20):
        draw_speck(canvas, dice, stain, dice.uniform(0, 100), dice.uniform(0, 100))
    draw_red_cell(canvas, dice, stain, Outline(50, 50, 20, 20, (1.0, 0.0)), ghost=True)
    assert len(canvas.target(0.0)) == 0 and (canvas.light != 1).any()


def test_dice_are_the_documented_hash_and_separate_by_purpose():
    stream = int(hash_uint32(4, int(hash_uint32(3, 0))))
    dice = Dice(3, 4)
    expected = hash_uint32(np.arange(1000), stream).astype(np.float64) / 2**32
    assert [dice.uniform(0, 1) for _ in range(1000)] == expected.tolist()
    assert Dice(3, 4).uniform(0, 1) != Dice(4, 3).uniform(0, 1)


def test_dice_stay_in_range_and_reach_both_ends():
    dice = Dice(0)
    numbers = [dice.integer(-2, 3) for _ in range(2000)]
    assert set(numbers) == {-2, -1, 0, 1, 2, 3}
    assert all(1 <= dice.middling(1, 2) < 2 and 5 <= dice.uniform(5, 6) < 6 for _ in range(500))
    counts = [dice.count(2.3) for _ in range(3000)]
    assert set(counts) == {2, 3} and 2.25 < sum(counts) / 3000 < 2.35 and dice.count(0) == 0
    assert 0.25 < sum(dice.chance(0.3) for _ in range(4000)) / 4000 < 0.35


def test_directions_are_evenly_spaced_unit_vectors():
    table = directions()
    assert len(table) == 128 and table[0] == (1.0, 0.0)
    for k, (x, y) in enumerate(table):
        assert math.isclose(x, math.cos(k * math.pi / 64), abs_tol=1e-12)
        assert math.isclose(y, math.sin(k * math.pi / 64), abs_tol=1e-12)


def test_textures_have_any_shape_and_no_seam():
    piece = texture(64, Dice(1), (700, 40))
    assert piece.shape == (700, 40) and piece.dtype == np.float32 and -1 <= piece.min() < piece.max() < 1
    assert np.abs(np.diff(piece, axis=0)).max() < 2 * 1.5 / 64 + 1e-6  # the steepest slope of the blend
