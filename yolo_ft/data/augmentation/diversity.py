"""How many different images a data set really holds.

Two hundred frames of one camera can be worth two photographs. The measure is the diversity of order 2 of Leinster and
Cobbold (2012, doi:10.1890/10-2402.1): one over the mean likeness of two images drawn at random. Lesson 09.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.seeding import generator
from yolo_ft.data.dataset import Dataset

GRID = 8  # an image is compared as GRID x GRID mean colours
MEANS = GRID * GRID * 3  # numbers that stand for an image
LIKE = 0.1  # root mean square difference (levels from 0 to 1) at which two images are alike by 1/e
SAMPLE = 200  # images compared at most, drawn at random
STREAM = 4  # last word of the key of that draw


@dataclass(frozen=True)
class Diversity:
    """`images`: in the set; `compared`: looked at; `effective`: how many clearly different ones these are worth."""

    images: int
    compared: int
    effective: float

    def __str__(self) -> str:
        return f"{self.compared} of {self.images} images compared: worth {self.effective:.1f} different ones."


def diversity(dataset: Dataset, imgsz: int = 320) -> Diversity:
    """The diversity of a set's images; labels play no part, and two images differ in layout and colour alone.

    `imgsz`: the size at which images are read, the training's to read them only once.
    """
    picked = sample(len(dataset))
    return Diversity(len(dataset), len(picked), effective_number(thumbnails(dataset, picked, imgsz)))


def sample(images: int) -> np.ndarray:
    """The positions of the images that are compared: all, or `SAMPLE` drawn at random, the same ones each time."""
    return generator(0, 0, 0, STREAM).permutation(images)[:SAMPLE]


def effective_number(points: np.ndarray) -> float:
    """How many different rows `points`, (n, d) in levels from 0 to 1, is worth: from 1 (all equal) to n; 0 for none.

    n² / sum over all pairs (i, j) of exp(−d²(i, j) / LIKE²), where d² is the mean squared difference of rows i and j.
    """
    if not len(points):
        return 0.0
    likeness = [np.exp(-((points - row) ** 2).mean(1) / LIKE**2).mean() for row in points]
    return float(1 / np.mean(likeness))


def thumbnails(dataset: Dataset, indices: np.ndarray, imgsz: int = 320) -> np.ndarray:
    """Mean colours on a grid, whatever the shape of the images: (n, MEANS) float64 in levels from 0 to 1."""
    with ThreadPoolExecutor(reading_threads()) as pool:
        rows = pool.map(lambda index: mean_colours(Image.fromarray(dataset.resized(int(index), imgsz))), indices)
        return np.array(list(rows)).reshape(-1, MEANS) / 255


def mean_colours(image: Image.Image) -> np.ndarray:
    """(MEANS,) uint8: the mean colours of GRID x GRID parts of an RGB image."""
    return np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX)).reshape(-1)
