"""Thin lines: paths have unit normals, and a stroke adds up to what was given, where it was given."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolo_ft.data.drawn.canvas import Dice, directions
from yolo_ft.data.drawn.strokes import Path, across, curve, stroke, walk


def straight(x0: float, y: float, samples: int) -> Path:
    points = np.stack([x0 + 0.5 * np.arange(samples), np.full(samples, y)], axis=1)
    return Path(points, np.tile([0.0, 1.0], (samples, 1)), (np.arange(samples) + 0.5) / samples)


def test_offsets_are_half_a_pixel_apart_and_symmetric():
    assert across(1.2).tolist() == [-1.5, -1, -0.5, 0, 0.5, 1, 1.5]
    assert across(0).tolist() == [0]


def test_one_sample_is_shared_by_the_four_nearest_pixels():
    """At (10.75, 20.5): a quarter of the way from the middle of column 10 to that of column 11, on row 20."""
    left, top, patch = stroke(straight(10.75, 20.5, 1), np.zeros(1), np.full((1, 1), 4.0))
    assert (left, top) == (10, 20) and patch.dtype == np.float32
    assert patch.tolist() == [[0.75, 0.25], [0, 0]]


def test_a_stroke_keeps_the_sum_of_its_values_and_its_place():
    rng = np.random.default_rng(0)
    path = curve(Dice(2), -7.3, 40.2, (0.6, 0.8), 33, 5, 0.5)
    offsets = across(2)
    value = rng.uniform(-1, 1, (len(path.points), len(offsets)))
    left, top, patch = stroke(path, offsets, value)
    assert patch.sum() == pytest.approx(value.sum() / 4, abs=1e-4)
    value = np.ones_like(value)
    left, top, patch = stroke(path, offsets, value)
    rows, columns = np.mgrid[: patch.shape[0], : patch.shape[1]]
    places = path.points[:, None] + path.normals[:, None] * offsets[:, None]
    middle = (patch * (columns + left + 0.5)).sum() / patch.sum(), (patch * (rows + top + 0.5)).sum() / patch.sum()
    assert middle == pytest.approx(tuple(places.mean((0, 1))), abs=1e-4)
    assert patch[[0], :].any() and patch[:, [0]].any()


def test_a_long_line_of_ones_has_the_height_one():
    """Two pixels wide with 5 of 4 samples across: the inner rows hold full samples."""
    _, top, patch = stroke(straight(5.0, 10.0, 80), across(3), np.ones((80, 13)))
    assert patch[10 - top, 5:-5] == pytest.approx(np.ones(patch.shape[1] - 10))


@pytest.mark.parametrize("key", range(5))
def test_an_arc_is_where_it_was_asked_for(key):
    along = Dice(key).direction()
    path = curve(Dice(key), 50, 60, along, 40, 6, 0)
    middle = path.points[len(path.points) // 2]
    normal = np.array([-along[1], along[0]])
    assert middle == pytest.approx(np.array([50, 60]) + 6 * normal, abs=0.3)
    ends = (path.points[-1] - path.points[0]) @ np.array(along)
    assert ends == pytest.approx(39.5) and ((path.points[0] - [50, 60]) @ normal) == pytest.approx(0.15, abs=0.15)
    assert np.hypot(*path.normals.T) == pytest.approx(np.ones(len(path.points)))
    steps = np.diff(path.points, axis=0)
    assert np.abs((steps * path.normals[1:]).sum(1)).max() < 0.02  # normals stand across the way
    assert (path.along > 0).all() and (np.diff(path.along) > 0).all() and path.along[-1] < 1


@pytest.mark.parametrize("heading", [0, 17, 100, 131, -4])
def test_a_walk_is_as_long_as_asked_and_keeps_its_heading(heading):
    path = walk(Dice(heading), 30, 40, heading, 50, 12)
    assert path.points[0].tolist() == [30, 40]
    steps = np.hypot(*np.diff(path.points, axis=0).T)
    assert steps == pytest.approx(np.full(len(steps), 0.5)) and 49 < steps.sum() < 51.5
    way = path.points[-1] - path.points[0]
    x, y = directions()[heading % 128]
    assert math.hypot(*way) > 35 and (way @ np.array([x, y])) / math.hypot(*way) > 0.9
    straight_walk = walk(Dice(1), 0, 0, 0, 20, 0)
    assert (straight_walk.points[:, 1] == 0).all() and (straight_walk.normals == [0, 1]).all()


def test_a_walk_of_no_length_still_has_a_point():
    assert len(curve(Dice(1), 0, 0, (1.0, 0.0), 0.1, 0, 0).points) == 4
    assert len(walk(Dice(1), 0, 0, 5, 0.2, 3).points) == 1
