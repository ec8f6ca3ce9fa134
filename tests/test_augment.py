"""Augmentation: boxes by hand, boxes that follow pixels, colours against the standard library, draws by key only."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
from picture_sets import COLOURS, coloured, in_memory, photograph, rectangles

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.augment import augment, corner_tile, letterboxed, mix, mosaic4
from yolo_ft.data.augmentation.colour import hsv_gains, jitter_hsv
from yolo_ft.data.augmentation.warp import BORDER, Tile, random_matrix, warp, warp_boxes, worth_keeping

STILL = {
    "hsv_h": 0.0,
    "hsv_s": 0.0,
    "hsv_v": 0.0,
    "translate": 0.0,
    "scale": 0.0,
    "fliplr": 0.0,
    "mosaic": 0.0,
    "imgsz": 64,
}


def config(**changes) -> TrainConfig:
    """A configuration in which nothing is random but what `changes` says."""
    return TrainConfig(**{**STILL, **changes})


def test_images_without_objects_pass_through_every_branch():
    dataset = in_memory([photograph(40, 64, i) for i in range(2)], [Target(), Target()])
    for changes in ({}, {"mosaic": 1.0, "mixup": 1.0}, {"degrees": 20.0}, {"perspective": 0.001, "fliplr": 1.0}):
        image, target = augment(dataset, 0, config(**changes), 0, 0)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert target.boxes.shape == (0, 4) and target.labels.shape == (0,)
    assert warp_boxes(np.zeros((0, 4), np.float32), np.eye(3)).shape == (0, 4)
    image, target = warp([], 8, np.eye(3), 1.0, 8)
    assert (image == BORDER).all() and len(target) == 0


def test_letterbox_by_hand():
    # 20 high, 40 wide, to 64: gain 1.6, 32 rows of picture between 16 grey rows above and below
    boxes, labels = [(5, 5, 15, 20), (20, 0, 40, 10)], [0, 1]
    dataset = in_memory([rectangles(20, 40, boxes, labels)], [Target(boxes, labels)])
    tile = letterboxed(dataset, 0, 64)
    assert (tile.left, tile.top, tile.pixels.shape) == (0, 16, (32, 64, 3))
    image, target = augment(dataset, 0, config(), seed=0, epoch=0)
    np.testing.assert_allclose(target.boxes, [[8, 24, 24, 48], [32, 16, 64, 32]], atol=1e-4)
    assert target.labels.tolist() == labels
    assert (image[:16] == BORDER).all() and (image[48:] == BORDER).all()
    assert (image[26:46, 10:22] == COLOURS[0]).all() and (image[18:30, 34:62] == COLOURS[1]).all()
    assert (image[20:46, 1:6] == 0).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"fliplr": 1.0}, [[40, 24, 56, 48], [0, 16, 32, 32]]),
        ({"flipud": 1.0}, [[8, 16, 24, 40], [32, 32, 64, 48]]),
        ({"flipud": 1.0, "fliplr": 1.0}, [[40, 16, 56, 40], [0, 32, 32, 48]]),
    ],
)
def test_flips_by_hand(changes, expected):
    boxes, labels = [(5, 5, 15, 20), (20, 0, 40, 10)], [0, 1]
    dataset = in_memory([rectangles(20, 40, boxes, labels)], [Target(boxes, labels)])
    still, _ = augment(dataset, 0, config(), 0, 0)
    image, target = augment(dataset, 0, config(**changes), 0, 0)
    np.testing.assert_allclose(target.boxes, expected, atol=1e-4)
    step = {"fliplr": (1, -1), "flipud": (-1, 1)}
    rows, columns = np.prod([step[name] for name in changes], axis=0)
    assert (image == still[::rows, ::columns]).all()


def test_mosaic_of_one_image_by_hand():
    # long side 40 as it is; centre (30, 50) of an 80 x 80 canvas; the middle 40 x 40 becomes the output
    boxes, labels = [(2, 4, 10, 18), (24, 6, 40, 20)], [0, 1]
    dataset = in_memory([rectangles(20, 40, boxes, labels)], [Target(boxes, labels)])
    tiles = [corner_tile(dataset, 0, 40, corner, 30, 50) for corner in range(4)]
    assert [(tile.left, tile.top) for tile in tiles] == [(-10, 30), (30, 30), (-10, 50), (30, 50)]
    middle = np.array([[1, 0, -20], [0, 1, -20], [0, 0, 1.0]])
    image, target = warp(tiles, 80, middle, 1.0, 40)
    # on the canvas object 0 of the left tiles spans x -8..0 (gone), object 1 spans 14..30; the output shows 20..60
    expected = [
        [0, 16, 10, 30],  # top left, object 1: 14..30 - 20, cut at 0
        [12, 14, 20, 28],  # top right, object 0: 32..40 - 20
        [34, 16, 40, 30],  # top right, object 1: 54..70 - 20, cut at 40
        [0, 36, 10, 40],  # bottom left, object 1: y 56..70 - 20, cut at 40
        [12, 34, 20, 40],  # bottom right, object 0: y 54..68 - 20
        [34, 36, 40, 40],  # bottom right, object 1
    ]
    np.testing.assert_allclose(target.boxes, expected, atol=1e-5)
    assert target.labels.tolist() == [1, 0, 1, 1, 0, 1]
    assert (image[:10] == BORDER).all()  # above the tiles
    for (x1, y1, x2, y2), label in zip(expected, target.labels, strict=True):
        assert (image[y1:y2, x1:x2] == COLOURS[label]).all()
    assert (image[10:14] == 0).all() and (image[30:34] == 0).all()


def test_mosaic_centre_and_tiles_come_from_the_generator():
    dataset = coloured(3)

    class Draws:
        """Fixed numbers in place of random ones."""

        def uniform(self, low, high, size=None):
            return np.full(size, (low + high) / 2) if size else (low + high) / 2

        def integers(self, count, size):
            return np.array([2, 2, 1])

        def permutation(self, values):
            return np.array(values)[::-1]

    image, target = mosaic4(dataset, 0, config(imgsz=80), Draws())
    # centre of the canvas: every tile shows 40 x 40 of its corner nearest the centre
    assert image.shape == (80, 80, 3) and set(target.labels.tolist()) <= {0, 1, 2, 3, 4, 5}
    source = dataset.image(1)
    np.testing.assert_array_equal(image[:40, :40], source[-40:, -40:])  # order 1, 2, 2, 0
    np.testing.assert_array_equal(image[40:, 40:], dataset.image(0)[:40, :40])


def test_which_boxes_are_worth_keeping():
    before = np.array([[0, 0, 10, 10]] * 6, np.float32)
    after = np.array(
        [
            [0, 0, 10, 10],
            [0, 0, 2, 10],  # not wider than 2
            [0, 0, 2.1, 10],
            [0, 0, 3, 3],  # 9 % of the area
            [0, 0, 3.2, 3.2],  # 10.24 %
            [0, 0, 0, 0],
        ],
        np.float32,
    )
    assert worth_keeping(before, after).tolist() == [True, False, True, False, True, False]
    thin = np.array([[0, 0, 300, 3.1], [0, 0, 320, 3.1]], np.float32)  # aspect 96.8 and 103.2
    assert worth_keeping(thin, thin).tolist() == [True, False]


def test_corners_by_hand():
    quarter = np.array([[0, -1, 100], [1, 0, 0], [0, 0, 1.0]])  # (x, y) -> (100 - y, x)
    np.testing.assert_allclose(warp_boxes(np.array([[10, 20, 30, 80]], np.float32), quarter), [[20, 10, 80, 30]])
    tilt = np.array([[1, 0, 0], [0, 1, 0], [0.01, 0, 1.0]])  # divides by 1 + x/100
    np.testing.assert_allclose(warp_boxes(np.array([[0, 10, 100, 30]], np.float32), tilt), [[0, 5, 50, 30]])


def test_random_matrix_limits_and_centre():
    matrix, scale = random_matrix(generator(0), 128, 64, config())
    np.testing.assert_allclose(matrix, [[1, 0, -32], [0, 1, -32], [0, 0, 1]])
    assert scale == 1
    scales, centres, angles = [], [], []
    settings = config(scale=0.5, translate=0.1, degrees=30.0)
    for i in range(300):
        matrix, scale = random_matrix(generator(1, i), 128, 64, settings)
        scales.append(scale)
        centres.append((matrix @ [64, 64, 1])[:2])
        angles.append(math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])))
        assert math.isclose(np.linalg.det(matrix[:2, :2]), scale**2)
    for values, low, high in ((scales, 0.5, 1.5), (centres, 25.6, 38.4), (angles, -30, 30)):
        assert low <= np.min(values) < low + 0.05 * (high - low) and high - 0.05 * (high - low) < np.max(values) <= high


@pytest.mark.parametrize(
    "changes",
    [
        {"scale": 0.5, "translate": 0.1},
        {"scale": 0.5, "translate": 0.1, "fliplr": 0.5, "flipud": 0.5},
        {"degrees": 25.0, "scale": 0.2},
        {"shear": 15.0, "translate": 0.1},
        {"perspective": 0.001, "degrees": 10.0},
        {"mosaic": 1.0, "scale": 0.3, "translate": 0.1, "fliplr": 0.5},
        {"mosaic": 1.0, "degrees": 10.0},
    ],
)
def test_boxes_follow_pixels(changes):
    dataset, settings, checked = coloured(12), config(imgsz=96, **changes), 0
    straight = not {"degrees", "shear", "perspective"} & set(changes)
    for index in range(12):
        image, target = augment(dataset, index, settings, seed=3, epoch=0)
        reach = np.stack([np.abs(image.astype(int) - colour).max(2) < 100 for colour in COLOURS])
        for box, label in zip(target.boxes, target.labels, strict=True):
            inside = (box > 0.5).all() and (box < 95.5).all()
            if not (inside or straight):
                continue  # a turned rectangle that the border cuts has extents that its visible part need not reach
            x1, y1, x2, y2 = np.clip(np.round(box).astype(int) + [-3, -3, 3, 3], 0, 96)
            rows, columns = np.nonzero(reach[label, y1:y2, x1:x2])
            seen = [columns.min() + x1, rows.min() + y1, columns.max() + x1 + 1, rows.max() + y1 + 1]
            np.testing.assert_allclose(seen, box, atol=1.6)
            checked += 1
    assert checked >= 8


def test_both_ways_of_warping_agree():
    tiles = [Tile(photograph(30, 40), 5, 10, Target()), Tile(photograph(20, 20, 1), 45, 40, Target())]
    smooth = [Tile(np.repeat(np.repeat(t.pixels[::5, ::5], 5, 0), 5, 1), t.left, t.top, t.target) for t in tiles]
    straight = np.array([[1.3, 0, -10], [0, 1.3, -7], [0, 0, 1.0]])
    almost = straight + np.array([[0, 1e-9, 0], [0, 0, 0], [0, 0, 0]])
    one, other = (warp(smooth, 64, matrix, 1.3, 64)[0].astype(int) for matrix in (straight, almost))
    assert np.abs(one - other).mean() < 1.5  # they differ along the edges of tiles alone
    assert np.abs(one[:, 1:] - other[:, :-1]).mean() > 3 and np.abs(one[1:] - other[:-1]).mean() > 3


def test_hsv_against_the_standard_library():
    image = photograph(12, 9)
    for gains in ((1.01, 1.2, 0.8), (0.5, 0.5, 1.3), (1.9, 1.6, 1.4), (0.0, 0.0, 1.0)):
        changed = jitter_hsv(image, *gains)
        for old, new in zip(image.reshape(-1, 3) / 255, changed.reshape(-1, 3), strict=True):
            h, s, v = colorsys.rgb_to_hsv(*old)
            expected = colorsys.hsv_to_rgb(h * gains[0] % 1, min(1, s * gains[1]), min(1, v * gains[2]))
            assert np.abs(np.array(expected) * 255 - new).max() <= 0.501
    assert (jitter_hsv(image, 1, 1, 1) == image).all()
    assert (jitter_hsv(np.full((3, 5, 3), 90, np.uint8), 0.3, 1.9, 1) == 90).all()  # grey has no hue
    wide = photograph(300, 200)  # more than one block
    assert (jitter_hsv(wide, 1.1, 0.7, 1.2)[290:] == jitter_hsv(wide[290:], 1.1, 0.7, 1.2)).all()


def test_hsv_gains_stay_in_their_range():
    gains = np.array([hsv_gains(generator(5, i), 0.015, 0.7, 0.4) for i in range(300)])
    for values, strength in zip(gains.T, (0.015, 0.7, 0.4), strict=True):
        assert 1 - strength <= values.min() < 1 - 0.9 * strength and 1 + 0.9 * strength < values.max() <= 1 + strength


def test_mixup_by_hand():
    one, two = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 100, np.uint8)
    image, target = mix(one, Target([[0, 0, 1, 1]], [3]), two, Target([[0, 0, 2, 2], [1, 1, 2, 2]], [0, 1]), 0.25)
    assert (image == 125).all() and target.labels.tolist() == [3, 0, 1] and target.boxes.shape == (3, 4)


def test_draws_depend_on_seed_epoch_and_image_alone():
    dataset, settings = coloured(5), TrainConfig(imgsz=64, mixup=0.5, degrees=5.0)
    reference, target = augment(dataset, 2, settings, seed=1, epoch=4)
    augment(dataset, 0, settings, 1, 4)
    dataset.cache.allow(False)
    again, same = augment(dataset, 2, settings, seed=1, epoch=4)
    assert (again == reference).all() and (same.boxes == target.boxes).all()
    for seed, epoch, index in ((0, 4, 2), (1, 5, 2), (1, 4, 3)):
        assert (augment(dataset, index, settings, seed, epoch)[0] != reference).any()


def test_the_closing_epochs_show_one_image_at_a_time():
    dataset = in_memory([np.full((40, 64, 3), 50 * i, np.uint8) for i in range(4)], [Target()] * 4)
    settings = config(mosaic=1.0, mixup=1.0)
    for index in range(4):
        image, _ = augment(dataset, index, settings, 0, 0, mosaic=False)
        assert set(np.unique(image)) == {50 * index, BORDER}
