"""Distances between data sets: a metric by hand and by property, and the noise that chance makes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_sets import coloured, in_memory

from yolo_ft.core.targets import Target
from yolo_ft.data.statistics.distributions import (
    ASPECT,
    BINS,
    BRIGHTNESS,
    COLOURS,
    LAYOUT,
    LOOK,
    OBJECTS,
    POSITION,
    SIZE,
    Profile,
    distances,
    histograms,
    js_distance,
    noise_floor,
    profile,
)
from yolo_ft.data.statistics.stats import Statistics, statistics


def one_box(box: list[float], count: int = 1, shade: int = 0, side: int = 256) -> Statistics:
    """One square image of one shade with the same box `count` times."""
    image = np.full((side, side, 3), shade, np.uint8)
    return statistics(in_memory([image], [Target(np.tile(box, (count, 1)), np.zeros(count))], 1))


def where(statistics: Statistics, name: str) -> int:
    """The only bin of a distribution that holds anything."""
    (bins,) = np.flatnonzero(histograms(statistics)[name].sum(0)).tolist() or [None]
    return bins


def test_distances_by_hand():
    assert js_distance([1, 0], [0, 1]) == 1
    assert js_distance([1, 3], [2, 6]) == 0
    # divergence of (1, 0) and (1/2, 1/2): [log2(4/3) + (log2(2/3) + log2 2) / 2] / 2
    expected = np.sqrt((np.log2(4 / 3) + (np.log2(2 / 3) + 1) / 2) / 2)
    assert js_distance([5, 0], [1, 1]) == pytest.approx(expected)


def test_an_empty_histogram_has_no_distance():
    assert np.isnan(js_distance([0, 0], [1, 0])) and np.isnan(js_distance([0, 0], [0, 0]))
    found = js_distance(np.array([[0, 0], [1, 0]]), np.array([[1, 0], [1, 0]]))
    assert np.isnan(found[0]) and found[1] == 0


HISTOGRAM = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


@given(HISTOGRAM, HISTOGRAM, HISTOGRAM)
def test_it_is_a_metric_in_0_to_1(p, q, r):
    pq, qr, pr = js_distance(p, q), js_distance(q, r), js_distance(p, r)
    assert 0 <= pq <= 1 and pq == pytest.approx(js_distance(q, p), abs=1e-12)
    assert pr <= pq + qr + 1e-7
    assert js_distance(p, p) == 0
    assert pq == pytest.approx(js_distance(np.array(p) * 3, q), abs=1e-7)  # counts or shares


def test_every_image_and_every_object_counts_once():
    found = histograms(statistics(coloured(7)))
    assert list(found) == [*LAYOUT, *LOOK]
    for name, table in found.items():
        assert table.shape == (7, BINS[name])
        assert table.sum(1).tolist() == pytest.approx([2] * 7 if name in (SIZE, ASPECT, POSITION) else [1] * 7)


@pytest.mark.parametrize(
    ("count", "bins"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (16, 5), (64, 7), (65, 8), (500, 8)]
)
def test_bins_of_objects_per_image(count, bins):
    assert where(one_box([0, 0, 9, 9], count), OBJECTS) == bins


@pytest.mark.parametrize(("side", "bins"), [(0.5, 0), (1, 0), (2, 2), (2.9, 3), (128, 14), (256, 15)])
def test_bins_of_sizes_are_half_octaves_of_the_long_side(side, bins):
    assert where(one_box([0, 0, side, side]), SIZE) == bins


@pytest.mark.parametrize(("box", "bins"), [((40, 40), 6), ((44, 40), 6), ((80, 40), 8), ((5, 250), 0), ((250, 5), 12)])
def test_bins_of_aspects_are_symmetric_about_the_square(box, bins):
    assert where(one_box([0, 0, *box]), ASPECT) == bins


@pytest.mark.parametrize(("shade", "bins", "colour"), [(0, 0, 0), (128, 5, 42), (255, 9, 63)])
def test_bins_of_shades(shade, bins, colour):
    found = one_box([0, 0, 9, 9], shade=shade)
    assert where(found, BRIGHTNESS) == bins and where(found, COLOURS) == colour


def test_a_set_has_no_distance_from_itself_and_no_preferred_order():
    a, b = profile(statistics(coloured(9))), profile(statistics(coloured(5, seed=1, size=(60, 60))))
    assert (distances(a, a)["distance"] == 0).all()
    there, back = distances(a, b), distances(b, a)
    assert there["distance"].tolist() == pytest.approx(back["distance"].tolist())
    assert there.loc[[SIZE], "median"].tolist() == back.loc[[SIZE], "other_median"].tolist()
    assert there["distance"].between(0, 1).all() and there.loc[SIZE, "distance"] > 0


def test_only_what_changed_is_far():
    dark, light = one_box([0, 0, 64, 64]), one_box([0, 0, 64, 64], shade=200)
    found = distances(profile(dark), profile(light))["distance"]
    assert found[[BRIGHTNESS, COLOURS]].tolist() == [1, 1] and (found.drop([BRIGHTNESS, COLOURS]) == 0).all()
    moved = distances(profile(dark), profile(one_box([190, 0, 254, 64])))["distance"]
    assert moved[POSITION] == 1 and (moved.drop(POSITION) == 0).all()


def test_without_objects_the_pixels_still_compare():
    empty = profile(statistics(in_memory([np.zeros((40, 40, 3), np.uint8)], [Target()])))
    found = distances(empty, profile(one_box([0, 0, 64, 64])))["distance"]
    assert found[[SIZE, ASPECT, POSITION]].isna().all() and (found[list(LOOK)] == 0).all() and found[OBJECTS] == 1
    nothing = profile(statistics(in_memory([], [])))
    assert distances(nothing, nothing)["distance"].isna().all() and nothing.medians == {}


def test_a_profile_survives_json():
    kept = profile(statistics(coloured(6)))
    assert Profile(**json.loads(json.dumps(kept.to_dict()))) == kept
    assert (kept.images, kept.objects) == (6, 12) and kept.medians[OBJECTS] == 2


def varied(images: int) -> Statistics:
    """Images that differ: their shade, how many boxes, how large and where."""
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, images)
    targets = []
    for _ in range(images):
        corner, size = rng.uniform(0, 40, (rng.integers(1, 9), 2)), rng.uniform(2, 24, (1, 2))
        targets.append(Target(np.concatenate([corner, corner + size], 1), np.zeros(len(corner))))
    return statistics(in_memory([np.full((64, 64, 3), shade, np.uint8) for shade in shades], targets, 1))


def test_the_noise_shrinks_with_more_images():
    floor = noise_floor(varied(320), sizes=(10, 40, 160), repeats=60)
    assert (floor["high"] >= floor["median"]).all()
    for name in (OBJECTS, SIZE, ASPECT, POSITION, BRIGHTNESS, COLOURS):
        median = floor[floor["distribution"] == name]["median"].tolist()
        assert median[0] > 1.5 * median[1] > 1.5 * 1.5 * median[2] > 0, name


def test_the_noise_is_what_two_random_parts_differ_by():
    whole = varied(200)
    half = noise_floor(whole, sizes=(100,), repeats=100).set_index("distribution")
    tables = histograms(whole)
    found = []
    rng = np.random.default_rng(7)
    for _ in range(100):
        order = rng.permutation(200)
        found.append(js_distance(tables[SIZE][order[:100]].sum(0), tables[SIZE][order[100:]].sum(0)))
    assert half.loc[SIZE, "median"] == pytest.approx(np.median(found), rel=0.15)


def test_noise_of_few_images():
    assert noise_floor(statistics(in_memory([], []))).empty
    assert noise_floor(one_box([0, 0, 9, 9])).empty
    two = noise_floor(statistics(coloured(2)), repeats=3)
    assert two["images"].unique().tolist() == [1] and len(two) == len(BINS)
    bare = in_memory([np.zeros((40, 40, 3), np.uint8)] * 4, [Target()] * 4)
    floor = noise_floor(statistics(bare), repeats=3).set_index("distribution")
    assert np.isnan(floor.loc[SIZE, "high"]) and floor.loc[BRIGHTNESS, "high"] == 0


def test_the_sizes_of_the_parts():
    assert noise_floor(varied(50), repeats=2)["images"].unique().tolist() == [5, 10, 20, 25]
    same = [noise_floor(varied(30), sizes=(15, 16), repeats=5, seed=seed)["high"].tolist() for seed in (0, 0, 1)]
    assert same[0] == same[1] != same[2] and len(same[0]) == len(BINS)  # 16 is more than a half
