"""Pasting by hand: which objects, how often each class, where, with which edge, and what stays in sight."""

from __future__ import annotations

import numpy as np
import pytest
from picture_sets import COLOURS, coloured, in_memory, photograph, rectangles

from yolo_ft.core.config import TrainConfig
from yolo_ft.core.seeding import generator
from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation import paste
from yolo_ft.data.augmentation.augment import augment
from yolo_ft.data.augmentation.paste import (
    FEATHER,
    HIDDEN,
    LOOKS,
    OPAQUE,
    Paster,
    class_shares,
    cut,
    find_donors,
    free_corners,
    soft_edge,
)
from yolo_ft.data.dataset import load_dataset

STILL = dict.fromkeys(("hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr", "mosaic"), 0.0) | {"imgsz": 96}


def one_object(size=(40, 60), box=(20, 10, 40, 30), label=2):
    """A set of one image with one filled rectangle."""
    return in_memory([rectangles(*size, [box], [label])], [Target([box], [label])])


def test_a_set_without_objects_stays_as_it_is():
    dataset = in_memory([photograph(40, 64)], [Target()])
    assert find_donors(dataset, 64).objects == {}
    image, target = Paster(dataset, 64, 1.0, generator(0))(dataset.image(0), Target())
    assert (image == dataset.image(0)).all() and len(target) == 0
    with_it, without = (augment(dataset, 0, TrainConfig(**STILL, copy_paste=c), 0, 0)[0] for c in (1.0, 0.0))
    assert (with_it == without).all()


def test_class_shares_by_hand():
    shares = class_shares({0: 100, 1: 0, 2: 25, 3: 20})  # 1/100 + 1/25 + 1/20 = 0.1
    assert shares == pytest.approx({0: 0.1, 2: 0.4, 3: 0.5})
    assert class_shares({}) == {}


def test_only_whole_visible_objects_that_are_large_enough_are_copied():
    boxes = np.array(
        [
            [20, 10, 40, 30],  # 0: its soft edge reaches 2 further on each side
            [1, 40, 21, 60],  # 1: its soft edge leaves the image on the left
            [60, 10, 80, 30],  # 2: box 3 covers half of it
            [70, 10, 90, 30],
            [60, 50, 80, 70],  # 4: box 5 covers exactly a quarter
            [75, 50, 95, 70],  # 5: and is itself covered by a quarter
            [30, 40, 33, 60],  # 6: 3 pixels wide
            [79, 2, 99, 9],  # 7: its soft edge leaves the image on the right
        ]
    )
    dataset = in_memory([np.zeros((80, 100, 3), np.uint8)], [Target(boxes, [0, 0, 1, 1, 2, 2, 3, 2])])
    donors = find_donors(dataset, 100)
    assert {label: rows.tolist() for label, rows in donors.objects.items()} == {0: [[0, 0]], 2: [[0, 4], [0, 5]]}
    assert donors.shares == pytest.approx({0: 0.6, 2: 0.4})  # two objects and three, whether or not they can be copied
    assert 3 in find_donors(dataset, 200).objects  # at twice the size it is 6 pixels wide


def test_soft_edge_by_hand():
    alpha = soft_edge(12, 120)  # 0.1 half sides per row, 0.02 per column... of a box 10 rows high and 100 columns wide
    assert alpha.shape == (12, 120) and alpha.dtype == np.uint16
    assert alpha[6, 60] == OPAQUE and alpha[1, 60] == OPAQUE  # |y| = 0.9
    # row 0 has |y| = 1.1: half of the way from 1 to 1.2; column 60 has x = 0.01, which changes nothing
    assert alpha[0, 60] == alpha[11, 60] == OPAQUE // 2
    assert alpha[0, 0] == 0 and alpha[6, 0] == 13  # |x| = 1.19: 0.01 / 0.2 of 256 = 12.8
    assert (alpha == alpha[::-1, ::-1]).all()


def test_a_patch_is_the_object_and_its_surroundings():
    image = rectangles(40, 60, [(20, 10, 40, 30)], [2])
    patch = cut(image, np.array([20, 10, 40, 30], np.float32), 2, 1.0)
    assert patch.pixels.shape == (24, 24, 3) and patch.label == 2
    np.testing.assert_allclose(patch.box, [2, 2, 22, 22])
    assert (patch.pixels[2:22, 2:22] == COLOURS[2]).all() and (patch.pixels[:2] == 0).all()
    half = cut(image, np.array([20, 10, 40, 30], np.float32), 2, 0.5)
    assert half.pixels.shape == (12, 12, 3)
    np.testing.assert_allclose(half.box, [1, 1, 11, 11])


def test_blending_by_hand():
    patch = paste.Patch(np.full((1, 3, 3), 203, np.uint8), np.array([[0, 64, 256]], np.uint16), np.zeros(4), 0)
    pixels = np.full((3, 5, 3), 100, np.uint8)
    paste.blend(pixels, patch, 1, 1)  # a quarter of 203 and three of 100 are 125.75
    assert pixels[1, :, 0].tolist() == [100, 100, 126, 203, 100] and (pixels[[0, 2]] == 100).all()
    assert paste.seam(np.full((3, 5, 3), 100, np.uint8), patch, 1, 1) == 3 * 103  # of the one pixel that shows both
    white = paste.Patch(np.full((1, 1, 3), 255, np.uint8), np.array([[128]], np.uint16), np.zeros(4), 0)
    pixels = np.full((1, 1, 3), 255, np.uint8)
    paste.blend(pixels, white, 0, 0)
    assert pixels[0, 0, 0] == 255  # no level overflows


def test_places_leave_every_object_in_sight():
    patch = cut(np.zeros((40, 60, 3), np.uint8), np.array([20, 10, 40, 30], np.float32), 2, 1.0)
    boxes = np.array([[30, 20, 50, 40], [60, 10, 80, 60]], np.float32)
    found, hidden = [], np.array([0.0, HIDDEN])  # nothing more of the second may be covered
    for k in range(300):
        found += free_corners(generator(k), (80, 120), patch, boxes, hidden).tolist()
    left, top = np.array(found).T
    assert (left.min(), left.max(), top.min(), top.max()) == (0, 120 - 24, 0, 80 - 24)
    for x, y in found:
        x1, y1, x2, y2 = patch.box + [x, y, x, y]
        first = max(0, min(x2, 50) - max(x1, 30)) * max(0, min(y2, 40) - max(y1, 20)) / 400
        second = max(0, min(x2, 80) - max(x1, 60)) * max(0, min(y2, 60) - max(y1, 10))
        assert first <= HIDDEN and second == 0
    assert len(free_corners(generator(0), (80, 120), patch, np.zeros((0, 4)), np.zeros(0))) == LOOKS  # all are free
    assert not len(free_corners(generator(0), (20, 120), patch, boxes, hidden))  # higher than the image
    full = np.array([[0, 0, 120, 80]], np.float32)
    assert not len(free_corners(generator(0), (80, 120), patch, full, np.array([HIDDEN])))


def test_many_pasted_objects_together_hide_no_more_than_one_may(monkeypatch):
    dataset = one_object(size=(40, 60), box=(20, 10, 36, 26))
    monkeypatch.setattr(paste, "MOST", 40)
    for seed in range(5):
        start = Target([[5, 5, 75, 45]], [0])
        _, target = Paster(dataset, 60, 1.0, generator(seed))(np.zeros((50, 80, 3), np.uint8), start)
        assert (paste._shares_inside(target.boxes[:1], target.boxes[1:]).sum() <= HIDDEN + 1e-9) and len(target) > 1


def test_the_seam_that_shows_least_is_taken(monkeypatch):
    dataset = one_object(size=(40, 120), box=(10, 10, 30, 30))
    image = np.zeros((40, 120, 3), np.uint8)
    image[:, 24:] = 90  # black, like the surroundings of the object, only at its left end
    monkeypatch.setattr(paste, "SIZES", (1.0, 1.0))
    monkeypatch.setattr(paste, "free_corners", lambda *_: np.array([[60, 3], [0, 7], [30, 0]]))
    _, target = Paster(dataset, 120, 1.0, generator(0))(image, Target())
    assert target.boxes.tolist() == [[2, 9, 22, 29]] * len(target) and len(target) >= 1


def test_what_is_pasted_is_labelled_and_nothing_else_moves():
    dataset = coloured(6)
    for index in range(6):
        before, old = augment(dataset, index, TrainConfig(**STILL), 0, 0)
        after, new = augment(dataset, index, TrainConfig(**STILL, copy_paste=1.0), 0, 0)
        np.testing.assert_array_equal(new.boxes[: len(old)], old.boxes)
        changed = (before != after).any(2)
        for box, label in zip(new.boxes[len(old) :], new.labels[len(old) :], strict=True):
            x1, y1, x2, y2 = np.round(box).astype(int)
            edge = np.ceil((box[2:] - box[:2]) * FEATHER / 2).astype(int) + 1
            changed[max(0, y1 - edge[1]) : y2 + edge[1], max(0, x1 - edge[0]) : x2 + edge[0]] = False
            if len(new) == len(old) + 1:  # else a later one may lie on its middle
                assert np.abs(after[(y1 + y2) // 2, (x1 + x2) // 2].astype(int) - COLOURS[label]).max() < 40
        assert not changed.any()
        assert (dataset.image(index) == coloured(6).image(index)).all()


def test_draws_depend_on_seed_epoch_and_image_alone_and_leave_the_others_alone():
    dataset = coloured(5)
    pasting, plain = (TrainConfig(imgsz=64, mixup=0.5, copy_paste=c) for c in (0.7, 0.0))
    reference, target = augment(dataset, 2, pasting, 1, 4)
    augment(dataset, 0, pasting, 1, 4)
    again, same = augment(coloured(5), 2, pasting, 1, 4)
    assert (again == reference).all() and (same.boxes == target.boxes).all() and (same.labels == target.labels).all()
    assert (augment(dataset, 2, pasting, 2, 4)[0] != reference).any()
    rare = augment(dataset, 2, TrainConfig(imgsz=64, mixup=0.5, copy_paste=1e-12), 1, 4)[0]
    assert (rare == augment(dataset, 2, plain, 1, 4)[0]).all()  # the draws of all other settings are the same


def test_the_closing_epochs_paste_nothing():
    dataset = coloured(4)
    shown = [augment(dataset, 1, TrainConfig(imgsz=64, copy_paste=c), 0, 0, mosaic=False)[0] for c in (1.0, 0.0)]
    assert (shown[0] == shown[1]).all()


def test_the_chance_is_that_of_an_image():
    dataset, settings = one_object(), TrainConfig(**STILL, copy_paste=0.25)
    pasted = sum(len(augment(dataset, 0, settings, 0, epoch)[1]) > 1 for epoch in range(400))
    assert 70 <= pasted <= 130  # 100 expected


def test_rare_classes_are_pasted_first():
    dataset = load_dataset("cells")
    paster = Paster(dataset, 160, 1.0, generator(3))
    drawn = np.bincount([paster.draw().label for _ in range(300)], minlength=3) / 300
    expected = [paster.donors.shares[label] for label in range(3)]
    np.testing.assert_allclose(drawn, expected, atol=0.08)
    counts = np.bincount(np.concatenate([dataset.target(i).labels for i in range(len(dataset))]))
    assert expected == pytest.approx((1 / counts / (1 / counts).sum()).tolist())


@pytest.mark.filterwarnings("ignore")
def test_real_images_get_rare_objects_and_lose_none(real_data):
    dataset = load_dataset(real_data / "mask")
    settings = [TrainConfig(**(STILL | {"imgsz": 160}), copy_paste=c) for c in (1.0, 0.0)]
    added = []
    for index in range(20):
        new, old = (augment(dataset, index, config, 0, 0)[1] for config in settings)
        np.testing.assert_array_equal(new.boxes[: len(old)], old.boxes)
        added += new.labels[len(old) :].tolist()
    rare = [index for index, name in dataset.names.items() if name == "mask_weared_incorrect"][0]
    assert len(added) >= 20 and added.count(rare) > len(added) / 2
