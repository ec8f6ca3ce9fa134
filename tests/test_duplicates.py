"""Copies and look-alikes: hand-made pairs, and rates on real photographs that look alike by nature."""

from __future__ import annotations

import io
import re
import shutil

import numpy as np
import pytest
from picture_sets import in_memory, photograph, write_set
from PIL import Image

from yolo_ft.core.targets import Target
from yolo_ft.data.checks import duplicates
from yolo_ft.data.checks.duplicates import (
    LOOK_ALIKE,
    NEAR_COPY,
    SAME_FILE,
    SAME_PIXELS,
    Pair,
    clusters,
    detail,
    find_pairs,
    local_mean,
    near_duplicates,
)
from yolo_ft.data.dataset import load_splits
from yolo_ft.data.images import read_image


def scene(seed: int = 0, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Soft blobs with some grain: detail of every size, as in a photograph."""
    rng = np.random.default_rng(seed)
    layers = [rng.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (6, 24, 96)]
    grown = [np.asarray(Image.fromarray(x).resize(size[::-1], Image.Resampling.BICUBIC), np.float32) for x in layers]
    return np.clip(0.5 * grown[0] + 0.3 * grown[1] + 0.2 * grown[2], 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(io.BytesIO(buffer.getvalue())).convert("RGB"))


def resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


CHANGES = {
    "half size": lambda image: jpeg(resized(image, image.shape[1] // 2, image.shape[0] // 2), 90),
    "JPEG quality 30": lambda image: jpeg(image, 30),
    "brighter": lambda image: np.clip(image * 1.15 + 10, 0, 255).astype(np.uint8),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "stretched": lambda image: jpeg(resized(image, 320, 320), 75),
    "grey": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
}


def kinds(images) -> list[tuple[int, int, str]]:
    return [(pair.first, pair.second, pair.kind) for pair in find_pairs(images)]


def test_nothing_and_one_picture_have_no_pairs():
    assert find_pairs([]) == [] == find_pairs([scene()]) == clusters([])
    assert near_duplicates(in_memory([], [])) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_near_copy(change):
    images = [scene(0), scene(1), CHANGES[change](scene(0)), scene(2)]
    assert kinds(images) == [(0, 2, NEAR_COPY)]


def test_the_same_file_the_same_pixels_and_the_order_of_certainty(tmp_path):
    a, b, c = (tmp_path / name for name in ("a.png", "b.png", "c.bmp"))
    Image.fromarray(scene(0)).save(a)
    shutil.copy(a, b)
    Image.fromarray(scene(0)).save(c)
    near = tmp_path / "d.jpg"
    Image.fromarray(scene(0)).save(near, quality=40)
    assert kinds([near, c, b, a]) == [(2, 3, SAME_FILE), (1, 2, SAME_PIXELS), (0, 1, NEAR_COPY), (0, 2, NEAR_COPY)]
    assert clusters(find_pairs([near, c, b, a])) == [[0, 1, 2, 3]]


def test_the_same_layout_with_other_detail_is_only_a_look_alike():
    grain = [np.random.default_rng(seed).normal(0, 40, (240, 320, 1)) for seed in (1, 2)]
    base = resized(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8), 320, 240)
    images = [np.clip(base + noise, 0, 255).astype(np.uint8) for noise in grain]
    assert kinds(images) == [(0, 1, LOOK_ALIKE)]


def test_empty_pictures_are_like_nothing():
    shade = np.repeat(np.linspace(90, 110, 64).astype(np.uint8)[None, :, None], 48, 0).repeat(3, 2)
    assert find_pairs([np.full((48, 64, 3), 200, np.uint8), np.full((48, 64, 3), 90, np.uint8), shade, shade + 1]) == []


def test_small_pictures_are_compared_at_the_size_that_they_have():
    small = resized(scene(0), 80, 60)
    assert kinds([scene(0), small, scene(1)]) == [(0, 1, NEAR_COPY)]


def test_every_pair_of_a_larger_set_is_found_across_the_blocks_of_the_matrix(monkeypatch):
    monkeypatch.setattr(duplicates, "ROWS", 4)
    images = [photograph(40, 60, seed) for seed in range(11)]
    images += [images[3], images[10]]
    assert [(a, b) for a, b, _ in kinds(images)] == [(3, 11), (10, 12)]
    assert near_duplicates(in_memory(images, [Target()] * 13)) == [[3, 11], [10, 12]]


def test_a_still_video_gives_few_pairs_and_one_cluster():
    rng = np.random.default_rng(0)
    images = [np.clip(scene(0) + rng.normal(0, 2, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(12)]
    pairs = find_pairs(images)
    assert len(pairs) <= 12 * duplicates.NEIGHBOURS and clusters(pairs) == [list(range(12))]


def test_a_broken_file_is_like_nothing(tmp_path):
    file = write_set(tmp_path, dict.fromkeys(["1.png", "2.png", "3.png"], ""))
    dataset = load_splits(file)["train"]
    first, second, third = (tmp_path / "images" / f"{n}.png" for n in (1, 2, 3))
    shutil.copy(first, third)
    second.write_bytes(second.read_bytes()[:200])  # after the scan, as a file that the scan does not see through
    assert near_duplicates(dataset) == [[0, 2]]


def test_clusters_follow_chains():
    pairs = [
        Pair(4, 9, NEAR_COPY, 1.0),
        Pair(0, 2, NEAR_COPY, 1.0),
        Pair(2, 9, NEAR_COPY, 1.0),
        Pair(5, 6, NEAR_COPY, 1),
    ]
    assert clusters(pairs) == [[0, 2, 4, 9], [5, 6]]


def test_local_mean_by_hand_and_detail_as_correlation():
    row = np.array([[[0, 3, 6, 9]]], np.float32)
    assert local_mean(row, 3).tolist() == [[[1, 3, 6, 8]]]  # edges repeated: (0 + 0 + 3) / 3, ...
    pictures = np.stack([photograph(16, 16, s)[..., 0] for s in range(2)])
    one, other = detail(pictures, 5)
    raw = [(x - local_mean(x[None], 5)[0]).ravel() for x in pictures.astype(np.float32)]
    assert one @ other == pytest.approx(np.corrcoef(*raw)[0, 1], abs=1e-5)


def rate(files, change) -> float:
    """The share of pictures whose changed copy is told as a near copy, looked for among all the others."""
    originals = [read_image(file, at_least=640) for file in files]
    copies = [change(image) for image in originals]
    found = {(a, b) for a, b, kind in kinds(originals + copies) if kind in (NEAR_COPY, SAME_PIXELS)}
    return np.mean([(i, i + len(files)) in found for i in range(len(files))])


@pytest.mark.parametrize("name", ["bccd", "mask", "deeppcb", "coco_mini"])
def test_changed_photographs_are_found(real_data, name):
    """Measured on 100 images of each set: every one of the six changes is found in every set."""
    files = sorted((real_data / name / "images").iterdir())[::37][:8]
    assert {change: rate(files, CHANGES[change]) for change in ("half size", "stretched", "brighter")} == {
        "half size": 1,
        "stretched": 1,
        "brighter": 1,
    }


def test_what_looks_alike_by_nature_is_no_copy(real_data):
    """Blood smears and printed boards: no pair is a copy; one field photographed twice looks alike, as it should."""
    smears = sorted((real_data / "bccd" / "images").iterdir())
    pairs = find_pairs(smears)
    assert [(pair.kind, smears[pair.first].stem, smears[pair.second].stem) for pair in pairs] == [
        (LOOK_ALIKE, "BloodImage_00037", "BloodImage_00038")
    ]
    boards = find_pairs(sorted((real_data / "deeppcb" / "images").iterdir()))
    assert {pair.kind for pair in boards} == {LOOK_ALIKE} and len(boards) == 3


def test_the_faces_hold_copies_under_other_names(real_data):
    faces = sorted((real_data / "mask" / "images").iterdir())
    numbers = {
        frozenset(re.search(r"ksss(\d+)_", faces[i].name)[1] for i in (pair.first, pair.second)): pair.kind
        for pair in find_pairs(faces)
    }
    near = ["156 545", "514 680", "451 61", "662 839", "665 704", "435 554", "354 74", "327 699"]
    assert {pair for pair, kind in numbers.items() if kind == NEAR_COPY} == {frozenset(p.split()) for p in near}
    assert len(numbers) == 10  # and two look-alikes: the same people once more
