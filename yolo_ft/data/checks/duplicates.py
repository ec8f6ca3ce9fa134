"""Pictures that are copies of each other: the same file, the same pixels, a near copy, or a look-alike. Lesson 06.

Two measurements on grey pictures, both on detail alone (the picture minus its local mean), so that brightness, contrast
and slow shading do not count; the picture is squeezed to a square, so that a stretched export does not count either:

- *look-alike*: at 32 x 32 pixels the detail of two pictures correlates at 0.90 or more. All pairs are compared, as one
  product of matrices. Different photographs stay below (0.75 at most in coco_mini, two frames of one jump).
- *near copy*: a look-alike whose detail at 192 x 192 pixels correlates at 0.91 or more too. Printed boards of one
  design look alike at 32 pixels but differ in their edges and defects (0.87 at most).

The thresholds were chosen on bccd, mask, deeppcb and coco_mini. Copies of 100 pictures of each, changed to half size,
JPEG quality 30, 15 % brighter, 20 % darker, square, grey, or smaller and darker and JPEG quality 50 at once: all 2,800
were told as near copies, and none of another picture. The limits: a crop by 1 % on each side is still a look-alike, by
2 % in 17 % (boards) to 75 % (faces) of the cases; mirrored and turned copies are not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.cores import reading_threads
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.images import ImageError, read_image
from yolo_ft.data.progress import progress

SAME_FILE, SAME_PIXELS, NEAR_COPY, LOOK_ALIKE = "same file", "same pixels", "near copy", "look-alike"
COARSE_SIDE, COARSE_WINDOW, COARSE_ALIKE = 32, 7, 0.90
FINE_SIDE, FINE_WINDOW, FINE_ALIKE = 192, 9, 0.91
FLAT = 1.0  # grey levels: a picture with less detail than this is empty, and empty pictures are not compared
NEIGHBOURS = 5  # pairs kept for each picture: a long still video would otherwise give millions, and says no more
ROWS = 512  # of the matrix of all correlations, held at a time: 200 MB for 100,000 pictures
SAME = 0.995  # fine correlation from which two pictures of one size are compared pixel by pixel


@dataclass(frozen=True)
class Pair:
    """Two pictures (positions in the list, `first` < `second`), how they are alike, and their correlation in 0..1."""

    first: int
    second: int
    kind: str
    similarity: float


def near_duplicates(dataset: Dataset) -> list[list[int]]:
    """Clusters of two or more images of a data set that are copies or look alike, as sorted lists of indices.

    Made for grouped splits: a cluster that stays in one split cannot leak into another. An image that cannot be decoded
    is like nothing. Lesson 06.
    """
    return clusters(find_pairs([picture(dataset, i) for i in range(len(dataset))], broken={}))


def picture(dataset: Dataset, index: int) -> Path | np.ndarray:
    """The file of an image, or its pixels where it was drawn."""
    path = dataset.path(index)
    return dataset.image(index) if path is None else path


def clusters(pairs: Sequence[Pair]) -> list[list[int]]:
    """Pictures that a chain of pairs connects, as sorted lists; pictures without a pair do not appear."""
    root: dict[int, int] = {}

    def find(i: int) -> int:
        while root.setdefault(i, i) != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for pair in pairs:
        a, b = sorted((find(pair.first), find(pair.second)))
        root[b] = a
    found: dict[int, list[int]] = {}
    for i in sorted(root):
        found.setdefault(find(i), []).append(i)
    return list(found.values())


def find_pairs(images: Sequence[Path | np.ndarray], broken: dict[int, str] | None = None) -> list[Pair]:
    """Every pair of pictures (files, or uint8 (h, w, 3) arrays) that are copies or look alike, the surest first.

    Of more than `NEIGHBOURS` look-alikes of one picture the nearest are kept; further copies of one file are paired
    with the first one only. A file that cannot be decoded is put into `broken` as {position: reason}; without it,
    `ImageError` is raised.
    """
    pairs = _same_files(images)
    copies = {pair.second for pair in pairs}
    kept = [i for i in range(len(images)) if i not in copies]
    with ThreadPoolExecutor(reading_threads()) as pool:
        coarse = pool.map(lambda i: _coarse(images, i, broken), kept)
        coarse = np.array(list(progress(coarse, len(kept), "comparing")))
        found = [(kept[a], kept[b]) for a, b in _alike(coarse)]
        wanted = sorted({i for pair in found for i in pair})
        fine = dict(zip(wanted, pool.map(lambda i: _thumbnail(images[i], FINE_SIDE), wanted), strict=True))
    pairs += [_judge(images, fine, a, b) for a, b in found]
    order = (SAME_FILE, SAME_PIXELS, NEAR_COPY, LOOK_ALIKE)
    return sorted(pairs, key=lambda pair: (order.index(pair.kind), -pair.similarity, pair.first, pair.second))


def _same_files(images: Sequence[Path | np.ndarray]) -> list[Pair]:
    """Pairs of a file and its first copy, byte for byte. Only files of equal length are read."""
    lengths: dict[int, list[int]] = {}
    for i, image in enumerate(images):
        if isinstance(image, Path):
            lengths.setdefault(image.stat().st_size, []).append(i)
    first: dict[bytes, int] = {}
    pairs = []
    for indices in lengths.values():
        for i in indices if len(indices) > 1 else ():
            original = first.setdefault(hashlib.sha256(images[i].read_bytes()).digest(), i)
            if original != i:
                pairs.append(Pair(original, i, SAME_FILE, 1.0))
    return pairs


def _coarse(images: Sequence[Path | np.ndarray], index: int, broken: dict[int, str] | None) -> np.ndarray:
    """The thumbnail by which all pictures are compared; an empty one, which is like nothing, for a broken file."""
    try:
        return _thumbnail(images[index], COARSE_SIDE)
    except ImageError as error:
        if broken is None:
            raise
        broken[index] = error.reason
        return np.zeros((COARSE_SIDE, COARSE_SIDE), np.uint8)


def _thumbnail(image: Path | np.ndarray, side: int) -> np.ndarray:
    """The picture in grey, squeezed to uint8 (side, side), or smaller where the picture itself is."""
    pixels = read_image(image, at_least=4 * side) if isinstance(image, Path) else image
    grey = Image.fromarray(pixels).convert("L")
    side = side if side == COARSE_SIDE else min(side, *grey.size)
    return np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))


def detail(pictures: np.ndarray, window: int) -> np.ndarray:
    """Grey pictures (n, s, s) as float32 (n, s * s): minus the mean of a window around each pixel, at unit length.

    The dot product of two rows is their correlation. A picture without detail becomes zeros: it is like nothing.
    """
    pictures = pictures.astype(np.float32)
    flat = (pictures - local_mean(pictures, window)).reshape(len(pictures), -1)
    flat -= flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length < FLAT * np.sqrt(flat.shape[1]), 0, flat / np.maximum(length, 1e-6))


def local_mean(pictures: np.ndarray, window: int) -> np.ndarray:
    """The mean of `window` x `window` pixels around each pixel of (n, h, w); the edges are repeated outwards."""
    for axis in (1, 2):
        size = pictures.shape[axis]
        padding = [(0, 0)] * 3
        padding[axis] = (window // 2 + 1, window // 2)
        sums = np.cumsum(np.pad(pictures, padding, mode="edge"), axis, dtype=np.float64)
        pictures = (sums.take(range(window, window + size), axis) - sums.take(range(size), axis)) / window
    return pictures.astype(np.float32)


def _alike(pictures: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of uint8 (n, s, s) whose detail correlates; for each i the nearest."""
    rows = [detail(pictures[start : start + ROWS], COARSE_WINDOW) for start in range(0, len(pictures), ROWS)]
    found = []
    for number, block in enumerate(rows):
        start = number * ROWS
        alike = np.concatenate([block @ other.T for other in rows[number:]], 1)  # (rows, pictures from `start` on)
        alike[np.tril_indices(len(block), 0, alike.shape[1])] = 0  # each pair once, none with itself
        for i in np.flatnonzero(alike.max(1) >= COARSE_ALIKE):
            nearest = np.argsort(-alike[i], kind="stable")[:NEIGHBOURS]
            found += [(start + int(i), start + int(j)) for j in nearest if alike[i, j] >= COARSE_ALIKE]
    return found


def _judge(images: Sequence[Path | np.ndarray], fine: dict[int, np.ndarray], first: int, second: int) -> Pair:
    """What two look-alikes are, by their detail at the size that both have."""
    side = min(len(fine[first]), len(fine[second]))
    squeezed = [
        np.asarray(Image.fromarray(fine[i]).resize((side, side), Image.Resampling.BICUBIC)) for i in (first, second)
    ]
    one, other = detail(np.stack(squeezed), FINE_WINDOW)
    similarity = float(np.clip(one @ other, 0, 1))
    kind = NEAR_COPY if similarity >= FINE_ALIKE else LOOK_ALIKE
    if similarity >= SAME:
        pixels = [read_image(image) if isinstance(image, Path) else image for image in (images[first], images[second])]
        kind = SAME_PIXELS if np.array_equal(*pixels) else NEAR_COPY
    return Pair(first, second, kind, similarity)
