"""Tiles: cuts worked out by hand, and detections put together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolo_ft.core.errors import UserError
from yolo_ft.core.targets import Detections
from yolo_ft.data.formats.tiles import Tile, merge_tiles, tile_grid


def corners(tiles):
    return [(each.left, each.top, each.right, each.bottom) for each in tiles]


def test_an_image_smaller_than_a_tile_is_one_tile():
    assert corners(tile_grid(30, 50, 64)) == [(0, 0, 50, 30)]
    assert corners(tile_grid(64, 64, 64)) == [(0, 0, 64, 64)]


def test_a_grid_by_hand():
    # 180 px wide with tiles of 100 that share at least 20: two, from 0 and 80; 65 px high: one
    assert corners(tile_grid(65, 180, 100, 0.2)) == [(0, 0, 100, 65), (80, 0, 180, 65)]
    # one more pixel makes three, spread evenly: 0, 40.5 -> 40, 81
    assert corners(tile_grid(65, 181, 100, 0.2)) == [(0, 0, 100, 65), (40, 0, 140, 65), (81, 0, 181, 65)]
    assert corners(tile_grid(200, 100, 100, 0)) == [(0, 0, 100, 100), (0, 100, 100, 200)]


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(32, 300), st.floats(0, 0.9))
def test_tiles_cover_the_image_and_share_what_was_asked(height, width, size, overlap):
    tiles = tile_grid(height, width, size, overlap)
    lefts, tops = sorted({t.left for t in tiles}), sorted({t.top for t in tiles})
    assert len(tiles) == len(lefts) * len(tops)
    for starts, length in ((lefts, width), (tops, height)):
        assert starts[0] == 0 and starts[-1] == max(0, length - size)
        assert all(b - a <= size * (1 - overlap) + 1 for a, b in zip(starts, starts[1:], strict=False))
    assert all(t.right - t.left == min(size, width) and t.bottom - t.top == min(size, height) for t in tiles)


@pytest.mark.parametrize(
    ("size", "overlap", "sentence"), [(31, 0.2, "at least 32"), (640, 1, "below 1"), (64, -1, "0 or more")]
)
def test_grids_that_make_no_sense(size, overlap, sentence):
    with pytest.raises(UserError, match=sentence):
        tile_grid(100, 100, size, overlap)


def test_nothing_found_merges_to_nothing():
    assert len(merge_tiles([], [])) == 0
    assert len(merge_tiles(tile_grid(64, 100, 64), [Detections(), Detections()])) == 0


def found(*rows):
    """Detections from rows (x1, y1, x2, y2, score, class)."""
    values = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(values[:, :4], values[:, 4], values[:, 5])


def test_an_object_at_a_seam_is_found_once_as_a_whole():
    left, right = tile_grid(64, 100, 64)  # from 0 and from 36
    # an object from 50 to 70: the left tile sees 50-64, surer than the right tile, which sees all of it, at 14-34
    one = found((50, 10, 64, 20, 0.9, 1), (5, 5, 15, 15, 0.3, 0))
    other = found((14, 10, 34, 20, 0.6, 1), (14, 10, 34, 20, 0.5, 2))
    merged = merge_tiles([left, right], [one, other])
    np.testing.assert_array_equal(merged.boxes, [[50, 10, 70, 20], [50, 10, 70, 20], [5, 5, 15, 15]])
    np.testing.assert_allclose(merged.scores, [0.6, 0.5, 0.3])
    assert merged.labels.tolist() == [1, 2, 0]  # another class in the same place stays


def test_an_object_that_two_tiles_see_whole_keeps_the_better_score():
    tiles = tile_grid(64, 100, 64)
    merged = merge_tiles(tiles, [found((40, 10, 60, 30, 0.5, 0)), found((4, 10, 25, 30, 0.8, 0))])
    np.testing.assert_array_equal(merged.boxes, [[40, 10, 61, 30]])
    np.testing.assert_allclose(merged.scores, [0.8])


def test_a_small_object_inside_a_large_one_stays_unless_a_seam_cut_it():
    tiles = tile_grid(64, 100, 64)  # from 0 and from 36
    large = found((10, 5, 62, 60, 0.9, 0))
    assert len(merge_tiles(tiles, [large, found((4, 10, 20, 20, 0.5, 0))])) == 2  # whole in its tile
    assert len(merge_tiles(tiles, [large, found((0, 10, 20, 20, 0.5, 0))])) == 1  # the image goes on to the left
    assert len(merge_tiles(tiles, [large, found((4, 0, 20, 20, 0.5, 0))])) == 2  # the image itself ends above
    assert len(merge_tiles(tiles, [large, found((0, 10, 60, 20, 0.5, 0))])) == 2  # more than half is elsewhere


def test_what_one_tile_found_is_not_suppressed_again():
    whole = Tile(0, 0, 64, 64, 128, 128)
    twice = found((5, 5, 64, 60, 0.9, 0), (6, 5, 64, 60, 0.5, 0))
    np.testing.assert_array_equal(merge_tiles([whole], [twice]).boxes, twice.boxes)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 180), st.integers(0, 80)), min_size=1, max_size=8, unique=True))
def test_cutting_and_merging_gives_the_objects_back(places):
    """Objects of 18 px on a grid of 20, tiles that share at least 25: each is whole in some tile."""
    spots = np.unique(np.array(places) // 20, axis=0) * 20
    boxes = np.concatenate([spots, spots + 18], 1).astype(np.float32)
    tiles = tile_grid(98, 198, 64, 0.4)
    seen = []
    for each in tiles:
        parts, share = each.visible(boxes)
        kept = parts[share > 0.05]
        seen.append(Detections(kept, np.full(len(kept), 0.9), np.zeros(len(kept))))
    merged = merge_tiles(tiles, seen)
    assert {tuple(box) for box in merged.boxes.tolist()} == {tuple(box) for box in boxes.tolist()}
