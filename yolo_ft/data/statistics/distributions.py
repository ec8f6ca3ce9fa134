"""How far apart two data sets are: histograms, a distance between them, and the distance that chance alone makes.

The distance is Jensen and Shannon's: the square root of their divergence in bits (Lin 1991; a metric, Endres and
Schindelin 2003, doi:10.1109/TIT.2003.813506). It has no unit and lies in 0..1: 0 is the same histogram, 1 shares
nothing. It says how little two sets overlap, not how far apart their values lie; that is read off the medians.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from yolo_ft.core.seeding import generator
from yolo_ft.data.statistics.stats import GRID, LEVELS, Statistics, cell_of

OBJECTS, SIZE, ASPECT, POSITION = "objects per image", "object size", "aspect ratio", "position"
BRIGHTNESS, SATURATION, CONTRAST, COLOURS = "brightness", "saturation", "contrast", "colour"
LAYOUT = (OBJECTS, SIZE, ASPECT, POSITION)  # what the boxes say
LOOK = (BRIGHTNESS, SATURATION, CONTRAST, COLOURS)  # what the pixels say
EDGES = {  # of the bins; a value beyond the ends counts in the last bin there
    OBJECTS: np.array([0, 1, 2, 3, 5, 9, 17, 33, 65, 129.0]),
    SIZE: 2.0 ** np.arange(-8, 0.5, 0.5),  # half octaves, as shares of the long side
    ASPECT: 2.0 ** np.arange(-3.25, 3.5, 0.5),  # half octaves with 1 in the middle of a bin
    BRIGHTNESS: np.linspace(0, 1, 11),
    SATURATION: np.linspace(0, 1, 11),
    CONTRAST: np.linspace(0, 0.5, 11),
}
BINS = {**{name: len(edges) - 1 for name, edges in EDGES.items()}, POSITION: GRID**2, COLOURS: LEVELS**3}
FLOOR_SIZES = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


@dataclass(frozen=True)
class Profile:
    """The histograms of a data set, small enough to be kept in a file; what `distances` compares.

    `shares`: {distribution: shares of 1 per bin, all zero where there is nothing to count}. `medians`: of those that
    have one. Objects count alike in size, aspect ratio and position, images alike in the others.
    """

    name: str
    images: int
    objects: int
    shares: dict[str, list[float]]
    medians: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON; `Profile(**…)` reads them."""
        return asdict(self)


def profile(statistics: Statistics) -> Profile:
    """The histograms and medians of a data set. Lesson 06."""
    shares = {name: _normalised(table.sum(0)).tolist() for name, table in histograms(statistics).items()}
    medians = {name: float(np.nanmedian(v)) for name, v in _values(statistics).items() if np.isfinite(v).any()}
    return Profile(statistics.name, len(statistics.images), len(statistics.objects), shares, medians)


def histograms(statistics: Statistics) -> dict[str, np.ndarray]:
    """{distribution: (images, bins)}: what each image adds, so that any set of images is a sum of rows.

    Every object adds 1 to size, aspect ratio and position, every image that could be read 1 to the others.
    """
    images, owner = len(statistics.images), statistics.objects["image"].to_numpy()
    tables = {}
    for name, values in _values(statistics).items():
        known = np.isfinite(values)
        bins = np.clip(np.digitize(values[known], EDGES[name]) - 1, 0, BINS[name] - 1)
        rows = (owner if name in (SIZE, ASPECT) else np.arange(images))[known]
        tables[name] = _count(rows, bins, images, BINS[name])
    tables[POSITION] = _count(owner, cell_of(statistics.objects), images, BINS[POSITION])
    tables[COLOURS] = statistics.colours
    return {name: tables[name] for name in (*LAYOUT, *LOOK)}


def js_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance, 0..1, of histograms (..., bins), counts or shares; NaN where one of them is empty."""
    p, q = _normalised(p), _normalised(q)
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    empty = (p.sum(-1) == 0) | (q.sum(-1) == 0)
    return np.where(empty, np.nan, np.sqrt(np.clip(divergence, 0, 1)))


def distances(a: Profile, b: Profile) -> pd.DataFrame:
    """One row per distribution: its `distance` (0..1), the `median` of `a` and the `other_median`, of `b`. Lesson 06.

    Units of the medians: objects; shares of the long side; width / height; 0..1. Position and colour have none.
    """
    rows = {name: {"distance": float(js_distance(a.shares[name], b.shares[name]))} for name in (*LAYOUT, *LOOK)}
    for name, row in rows.items():
        row |= {"median": a.medians.get(name, np.nan), "other_median": b.medians.get(name, np.nan)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("distribution")


def noise_floor(
    statistics: Statistics, sizes: Sequence[int] | None = None, repeats: int = 200, seed: int = 0
) -> pd.DataFrame:
    """The distance between two random parts of the same set, each of `images` images: what chance alone makes.

    One row per distribution and size of the parts, `sizes` (default: 5, 10, 20, 50, ... and the half of the set): the
    `median` of `repeats` random pairs and `high`, the value that 95 % of them do not exceed. Whole images are drawn,
    because objects of one image are alike. A part of n images lies closer to a much larger set than to another
    part of n, so the floor is on the safe side. Empty for fewer than two images. Lesson 06.
    """
    half = len(statistics.images) // 2
    wanted = sorted({*(size for size in FLOOR_SIZES if size < half), half}) if sizes is None else sizes
    tables = histograms(statistics)
    stacked = np.concatenate(list(tables.values()), 1)  # (images, all bins)
    ends = np.cumsum([table.shape[1] for table in tables.values()])[:-1]
    orders = [generator(seed, repeat).permutation(len(stacked)) for repeat in range(repeats)]
    rows = []
    for size in (size for size in wanted if 0 < size <= half):
        parts = [(stacked[order[:size]].sum(0), stacked[order[size : 2 * size]].sum(0)) for order in orders]
        first, second = (np.split(side, ends, 1) for side in np.array(parts).transpose(1, 0, 2))
        for name, one, other in zip(tables, first, second, strict=True):  # (repeats, bins) each
            found = js_distance(one, other)
            found = found[np.isfinite(found)]
            median, high = np.quantile(found, [0.5, 0.95]) if len(found) else (np.nan, np.nan)
            rows.append({"distribution": name, "images": size, "median": median, "high": high})
    return pd.DataFrame(rows, columns=["distribution", "images", "median", "high"])


def _values(statistics: Statistics) -> dict[str, np.ndarray]:
    """The numbers behind every distribution that has a scale: per image or per object."""
    images, objects = statistics.images, statistics.objects
    return {
        OBJECTS: images["objects"].to_numpy(np.float64),
        SIZE: objects["size"].to_numpy(),
        ASPECT: objects["aspect"].to_numpy(),
        **{name: images[name].to_numpy() for name in (BRIGHTNESS, SATURATION, CONTRAST)},
    }


def _count(rows: np.ndarray, bins: np.ndarray, images: int, width: int) -> np.ndarray:
    return np.bincount(rows * width + bins, minlength=images * width).reshape(images, width).astype(np.float64)


def _normalised(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    total = counts.sum(-1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in bits; bins without p add nothing."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    return (p * np.log2(ratio)).sum(-1)
