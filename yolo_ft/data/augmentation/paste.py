"""Copy-paste for boxes: whole objects of a data set, rare classes first, laid with soft edges into its images.

Published copy-paste needs outlines (Ghiasi et al. 2021, arXiv:2012.07177); pasted boxes with softened edges serve too
(Dwibedi et al. 2017, arXiv:1708.01642). A box does not say where inside it the object ends, so what is pasted is the
rounded middle of the box, and of several free places the one where its seam shows least. Lesson 09.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image

from yolo_ft.core.targets import Target
from yolo_ft.data.augmentation.warp import scaled
from yolo_ft.data.dataset import Dataset

MOST = 3  # objects pasted into one image: 1, 2 or 3
SIZES = (0.7, 1.4)  # a pasted object's side, as a share of the original's
FEATHER = 0.2  # width of the soft edge outside the box, in half sides of the box
HIDDEN = 0.2  # no object loses more than this share of its box to what is pasted, all together
COVERED = 0.25  # an object of which other boxes cover more than this share is not copied
MIN_SIDE = 4.0  # pixels at the training size: below it there is nothing to see
TRIES, LOOKS = 50, 8  # random places tried for each object, and how many free ones of these are compared
SEAM_POINTS = 24  # the seam is compared on a grid of at most about so many rows and columns
OPAQUE = 256  # alpha of a pixel that shows the pasted object alone


@dataclass(frozen=True)
class Donors:
    """The objects of a data set that may be copied.

    `objects`: {class: (k, 2) int rows [image, position in its target]}; `shares`: {class: probability of being drawn}.
    """

    objects: dict[int, np.ndarray]
    shares: dict[int, float]


@dataclass(frozen=True)
class Patch:
    """A cut-out: `pixels` uint8 (h, w, 3), `alpha` uint16 (h, w) from 0 to `OPAQUE`, its `box` (4,) xyxy in it."""

    pixels: np.ndarray
    alpha: np.ndarray
    box: np.ndarray
    label: int


def class_shares(counts: dict[int, int]) -> dict[int, float]:
    """How often each class is pasted: inversely to its frequency, p(c) = (1 / n_c) / sum over k of (1 / n_k).

    `counts`: {class: its labelled objects}; classes without any are left out. Lesson 09.
    """
    inverse = {label: 1 / count for label, count in counts.items() if count}
    return {label: value / sum(inverse.values()) for label, value in inverse.items()}


def find_donors(dataset: Dataset, size: int) -> Donors:
    """Which objects can be copied when images are `size` pixels long: whole, in sight, at least `MIN_SIDE` wide.

    Whole: with the room for its soft edge inside the image. The frequency of a class counts all of its objects.
    """
    rows: dict[int, list[tuple[int, int]]] = {}
    counts: dict[int, int] = {}
    for index in range(len(dataset)):
        target, (height, width) = dataset.target(index), dataset.size(index)
        usable = _whole(target.boxes, height, width) & (_covered(target.boxes) <= COVERED)
        sides = (target.boxes[:, 2:] - target.boxes[:, :2]).min(1, initial=np.inf) * (size / max(height, width))
        for place, label in enumerate(target.labels.tolist()):
            counts[label] = counts.get(label, 0) + 1
            if usable[place] and sides[place] >= MIN_SIDE:
                rows.setdefault(label, []).append((index, place))
    shares = class_shares({label: counts[label] for label in sorted(rows)})
    return Donors({label: np.array(rows[label]) for label in sorted(rows)}, shares)


_FOUND: WeakKeyDictionary[Dataset, dict[int, Donors]] = WeakKeyDictionary()


def donors_of(dataset: Dataset, size: int) -> Donors:
    """`find_donors`, searched once per data set and size."""
    known = _FOUND.setdefault(dataset, {})
    if size not in known:
        known[size] = find_donors(dataset, size)
    return known[size]


class Paster:
    """Pastes objects of `dataset` into its images at training size `size`, with probability `chance` per image.

    All draws come from `rng`, and none is made for what is not pasted.
    """

    def __init__(self, dataset: Dataset, size: int, chance: float, rng: np.random.Generator) -> None:
        self.dataset, self.size, self.chance, self.rng = dataset, size, chance, rng
        self.donors = donors_of(dataset, size)

    def __call__(self, pixels: np.ndarray, target: Target) -> tuple[np.ndarray, Target]:
        """The image, uint8 (h, w, 3), and its objects with what was pasted behind them; a copy where anything was."""
        if not self.donors.objects or self.rng.random() >= self.chance:
            return pixels, target
        pixels, hidden = pixels.copy(), np.zeros(len(target))
        for _ in range(int(self.rng.integers(1, MOST + 1))):
            patch = self.draw()
            corners = free_corners(self.rng, pixels.shape[:2], patch, target.boxes, hidden)
            if not len(corners):
                continue
            left, top = corners[int(np.argmin([seam(pixels, patch, *corner) for corner in corners.tolist()]))]
            blend(pixels, patch, int(left), int(top))
            box = (patch.box + np.array([left, top] * 2)).astype(np.float32)
            hidden = np.append(hidden + _shares_inside(target.boxes, box[None])[0], 0)
            target = Target(np.concatenate([target.boxes, box[None]]), np.append(target.labels, patch.label))
        return pixels, target

    def draw(self) -> Patch:
        """A random object: first its class by `Donors.shares`, then one of the class, then its size."""
        classes, shares = list(self.donors.shares), list(self.donors.shares.values())
        label = classes[int(self.rng.choice(len(classes), p=shares))]
        index, place = self.rng.choice(self.donors.objects[label])
        pixels, target = scaled(self.dataset, int(index), self.size)
        return cut(pixels, target.boxes[place], label, float(self.rng.uniform(*SIZES)))


def cut(pixels: np.ndarray, box: np.ndarray, label: int, factor: float) -> Patch:
    """The object in `box`, (4,) xyxy in `pixels`, with its soft edge, made `factor` times as large."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (1 + FEATHER)
    region = [float(value) for value in np.concatenate([centre - half, centre + half])]
    width, height = (max(1, round(2 * float(side) * factor)) for side in half)
    limits = (pixels.shape[1], pixels.shape[0]) * 2
    region = [min(max(value, 0.0), float(limit)) for value, limit in zip(region, limits, strict=True)]
    piece = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, tuple(region))
    inner = np.array([width, height] * 2) * (np.array([-1, -1, 1, 1]) / (1 + FEATHER) + 1) / 2
    return Patch(np.asarray(piece), soft_edge(height, width), inner, label)


def soft_edge(height: int, width: int) -> np.ndarray:
    """Alpha of a patch, uint16 (h, w): opaque inside |x|⁴ + |y|⁴ ≤ 1, with x and y in half sides of the box.

    From there it falls evenly to 0 at 1 + `FEATHER` half sides. Made from square roots, which every machine rounds
    alike.
    """
    y, x = (((np.arange(n) + 0.5) / n * 2 - 1) * (1 + FEATHER) for n in (height, width))
    radius = np.sqrt(np.sqrt((y * y * y * y)[:, None] + x * x * x * x))
    return (np.clip((1 + FEATHER - radius) / FEATHER, 0, 1) * OPAQUE + 0.5).astype(np.uint16)


def free_corners(
    rng: np.random.Generator, shape: tuple[int, int], patch: Patch, boxes: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """Where the patch may lie in an image of `shape` (h, w): up to `LOOKS` rows (left, top), maybe none.

    The patch lies inside the image, and each object of `boxes` (n, 4), of which the share `hidden` (n,) is covered
    already, loses at most `HIDDEN` in all: it stays in sight and keeps its label.
    """
    room = np.array(shape[::-1]) - patch.alpha.shape[::-1]
    if (room < 0).any():
        return np.zeros((0, 2), np.int64)
    corners = rng.integers(0, room + 1, size=(TRIES, 2))
    lost = hidden + _shares_inside(boxes, patch.box + np.tile(corners, 2))
    return corners[(lost <= HIDDEN).all(1)][:LOOKS]


def seam(pixels: np.ndarray, patch: Patch, left: int, top: int) -> int:
    """How much the patch at (left, top) differs from the image in its soft edge, in summed levels."""
    height, width = patch.alpha.shape
    rows, columns = (slice(None, None, max(1, n // SEAM_POINTS)) for n in (height, width))
    alpha = patch.alpha[rows, columns]
    below = pixels[top : top + height, left : left + width][rows, columns].astype(np.int64)
    return int(np.abs(below - patch.pixels[rows, columns])[(alpha > 0) & (alpha < OPAQUE)].sum())


def blend(pixels: np.ndarray, patch: Patch, left: int, top: int) -> None:
    """Lay the patch over `pixels`, in place, its top left corner at (left, top)."""
    height, width = patch.alpha.shape
    view, alpha = pixels[top : top + height, left : left + width], patch.alpha[:, :, None]
    view[:] = (patch.pixels * alpha + view * (OPAQUE - alpha) + OPAQUE // 2) >> 8


def _shares_inside(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Which share of each box lies inside each window: (n, 4) and (m, 4) xyxy -> (m, n)."""
    low = np.maximum(windows[:, None, :2], boxes[None, :, :2])
    high = np.minimum(windows[:, None, 2:], boxes[None, :, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.clip(high - low, 0, None).prod(2) / np.maximum(areas, 1e-9)


def _covered(boxes: np.ndarray) -> np.ndarray:
    """(n,) share of each box that lies inside the others, summed."""
    return _shares_inside(boxes, boxes).sum(0) - 1


def _whole(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n,) whether a box with its soft edge lies inside the image."""
    edge = (boxes[:, 2:] - boxes[:, :2]) / 2 * FEATHER
    outer = np.concatenate([boxes[:, :2] - edge, boxes[:, 2:] + edge], 1)
    return (outer[:, :2] >= 0).all(1) & (outer[:, 2:] <= np.array([width, height])).all(1)
