"""How many different images a set holds: by hand, one image repeated, and real sets beside each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from picture_sets import in_memory, photograph

from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.diversity import GRID, LIKE, SAMPLE, Diversity, diversity, effective_number, thumbnails
from yolo_ft.data.dataset import load_dataset


def flat(levels):
    """One image of a single grey per level."""
    return in_memory([np.full((20, 40, 3), level, np.uint8) for level in levels], [Target()] * len(levels))


def test_no_image_is_worth_nothing_and_one_is_worth_one():
    assert diversity(flat([])) == Diversity(0, 0, 0.0)
    assert diversity(flat([7])) == Diversity(1, 1, 1.0)


def test_one_image_repeated_is_one_image():
    image = photograph(30, 50)
    found = diversity(in_memory([image] * 30, [Target()] * 30))
    assert found == Diversity(30, 30, 1.0)


def test_effective_number_by_hand():
    # two equal images and one far away: likenesses 1 within {a, a} and {b}, 0 across: 9 / (4 + 1)
    assert effective_number(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])) == pytest.approx(1.8)
    # two images LIKE apart are alike by 1/e: 4 / (2 + 2/e)
    assert effective_number(np.array([[0.0] * 3, [LIKE] * 3])) == pytest.approx(2 / (1 + 1 / math.e))
    assert effective_number(np.arange(5.0)[:, None]) == pytest.approx(5)


def test_thumbnails_are_mean_colours_of_any_shape():
    image = np.zeros((16, 32, 3), np.uint8)
    image[:, 16:] = (255, 51, 0)
    small = thumbnails(in_memory([image], [Target()]), np.array([0])).reshape(GRID, GRID, 3)
    assert (small[:, :3] == 0).all()  # away from the middle, where the enlarged picture is blurred
    np.testing.assert_allclose(small[:, 5:], np.broadcast_to([1, 0.2, 0], (GRID, 3, 3)), atol=1e-9)


def test_a_large_set_is_sampled_and_always_alike():
    found = diversity(flat(range(250)), imgsz=32)
    assert (found.images, found.compared) == (250, SAMPLE) and found == diversity(flat(range(250)), imgsz=32)
    assert str(found).startswith("200 of 250 images compared: worth ")


@pytest.mark.filterwarnings("ignore")
def test_photographs_of_everything_are_worth_more_than_smears(real_data):
    smears, photographs = (diversity(load_dataset(real_data / name), 64) for name in ("bccd", "coco_mini"))
    assert smears.effective < 5 and photographs.effective > 20 * smears.effective
