"""Drawing with the same bytes on every machine: hashed draws, tables, and a canvas of transmitted light.

Only integers, + - * / and square roots are used, one element at a time: IEEE 754 rounds these alike everywhere,
while sin, exp or the sum of many floats depend on the library and the processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, count

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import hash_uint32
from yolo_ft.core.targets import Target

VISIBLE = 0.5  # an object is labelled when at least this share of its pixels can be seen
SMALLEST = 32  # pixels of a drawn image's side
_BLOCK = 512  # draws hashed at once


class Dice:
    """A stream of draws that depends on its key alone: `Dice(seed, index, purpose)`.

    Streams with separate purposes let one property (say, the stain) change without moving any cell.
    """

    def __init__(self, *key: int) -> None:
        stream = 0
        for part in key:
            stream = int(hash_uint32(part, stream))
        self._next = chain.from_iterable(_blocks(stream)).__next__  # an image takes thousands of draws, one by one

    def integer(self, low: int, high: int) -> int:
        """A whole number, `low` and `high` included."""
        return low + (self._next() * (high - low + 1) >> 32)

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * (self._next() / 4294967296.0)

    def middling(self, low: float, high: float) -> float:
        """A number in [low, high), the middle more likely than the ends (mean of three draws)."""
        return low + (high - low) * ((self._next() + self._next() + self._next()) / 12884901888.0)

    def chance(self, share: float) -> bool:
        """True in `share` of all draws."""
        return self._next() < share * 4294967296.0

    def count(self, mean: float) -> int:
        """A whole number with that mean: the fraction is decided by a draw."""
        return math.floor(mean + self.uniform(0, 1))

    def direction(self) -> tuple[float, float]:
        """A unit vector (x, y)."""
        table = directions()
        return table[self.integer(0, len(table) - 1)]


def _blocks(stream: int) -> Iterator[list[int]]:
    """The draws of a stream, hashed when they are needed."""
    for start in count(0, _BLOCK):
        yield hash_uint32(np.arange(start, start + _BLOCK), stream).tolist()


@cache
def directions() -> tuple[tuple[float, float], ...]:
    """128 unit vectors (x, y), evenly spaced and in order; from square roots, because sin differs between machines."""
    quarter = [(1.0, 0.0), (0.0, 1.0)]
    for _ in range(5):
        halved = []
        for (ax, ay), (bx, by) in zip(quarter, quarter[1:], strict=False):
            length = math.sqrt((ax + bx) * (ax + bx) + (ay + by) * (ay + by))
            halved += [(ax, ay), ((ax + bx) / length, (ay + by) / length)]
        quarter = [*halved, quarter[-1]]
    points = quarter[:-1]
    for _ in range(3):
        points = points + [(-y, x) for x, y in points[-32:]]
    return tuple(points)


@cache
def _tiles(cell: int, repeats: int) -> np.ndarray:
    """float32 in [-1, 1): a periodic 512 x 512 tile of blotches `cell` pixels wide (a divisor of 512), side by side."""
    size = 512 // cell
    lattice = hash_uint32(np.arange(size * size).reshape(size, size), 7000 + cell).astype(np.float64) / 2147483648.0 - 1
    at, share = np.divmod(np.arange(512), cell)
    share = share / cell
    share = share * share * (3 - 2 * share)
    after = (at + 1) % size
    rows = lattice[at] * (1 - share)[:, None] + lattice[after] * share[:, None]
    tile = (rows[:, at] * (1 - share) + rows[:, after] * share).astype(np.float32)
    return np.tile(tile, (repeats, repeats))


def texture(cell: int, dice: Dice, shape: tuple[int, ...]) -> np.ndarray:
    """`shape` (rows, columns) float32 in [-1, 1): a random piece of the endless pattern of `cell`-pixel blotches."""
    top, left = dice.integer(0, 511), dice.integer(0, 511)
    return _tiles(cell, max(shape) // 512 + 2)[top : top + shape[0], left : left + shape[1]]


def check_size(height: int, width: int) -> None:
    """Raise UserError for an image that is too small to draw on."""
    if min(height, width) < SMALLEST:
        raise UserError(
            f"A drawn image of {height} x {width} pixels is too small; use sides of at least {SMALLEST} pixels."
        )


def _extent(found: np.ndarray) -> tuple[int, int]:
    """From the first true entry of (n,) bool to behind the last one."""
    return int(found.argmax()), len(found) - int(found[::-1].argmax())


class Scene:
    """A picture in the making: its size, and which labelled object is topmost at each pixel.

    Objects are recorded with their mask, from which `target` derives boxes.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._owner = np.full((height, width), -1, np.int32)  # topmost labelled object of each pixel
        self._boxes: list[tuple[int, int, int, int]] = []
        self._areas: list[int] = []
        self._labels: list[int] = []

    def crop(self, left: int, top: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a patch lies on the canvas, and which part of the patch that is (rows, columns; maybe empty)."""
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = max(min(top + shape[0], self.height), y0), max(min(left + shape[1], self.width), x0)
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))

    def label(self, left: int, top: int, mask: np.ndarray, label: int, area: int | None = None) -> None:
        """Record an object whose pixels are `mask` (rows, columns) bool, above everything recorded before.

        `area`: its pixels, where the mask holds only a part of them.
        """
        (x0, x1), (y0, y1) = (_extent(mask.any(axis=axis)) for axis in (0, 1))
        canvas, patch = self.crop(left, top, mask.shape)
        np.putmask(self._owner[canvas], mask[patch], len(self._labels))
        self._boxes.append((left + x0, top + y0, left + x1, top + y1))
        self._areas.append(int(np.count_nonzero(mask)) if area is None else area)
        self._labels.append(label)

    def target(self, visible: float) -> Target:
        """Boxes (extent of the mask, clipped to the image) of the objects of which at least `visible` can be seen.

        Seen: inside the image and under no other labelled object; as a share of the whole mask's pixels.
        """
        if not self._labels:
            return Target()
        seen = np.bincount(self._owner.ravel() + 1, minlength=len(self._labels) + 1)[1:]
        boxes = np.array(self._boxes)
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, self.width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, self.height)
        return Target(boxes, np.array(self._labels)).keep(seen >= visible * np.array(self._areas))


class Canvas(Scene):
    """Glass with light from below. What is drawn absorbs some of it, so overlaps darken as in a real smear.

    `light`: (3, h, w) float32, the share of each colour that comes through. `zoom`: pixels of the picture per unit of
    the smear, around the middle; what is drawn is given in units of the smear.
    """

    def __init__(self, height: int, width: int, zoom: float = 1.0) -> None:
        super().__init__(height, width)
        self.zoom = zoom
        self.light = np.ones((3, height, width), np.float32)

    def stain(self, left: int, top: int, density: np.ndarray, colour: Sequence[float], hiding: float = 0.0) -> None:
        """Absorb light: `density` (rows, columns) float32 times `colour` (what is absorbed of red, green, blue at 1).

        `hiding` in [0, 1] first takes away that much of what lies below (an opaque body hides it).
        """
        self.stains([(left, top, *density.shape)], density[None], colour, hiding)

    def stains(
        self,
        patches: Sequence[tuple[int, int, int, int]],
        densities: np.ndarray,
        colour: Sequence[float],
        hiding: float = 0.0,
    ) -> None:
        """Stain several patches (left, top, rows, columns), one after the other, alike.

        `densities`: (n, rows, columns) float32 of the largest; each begins in the upper left corner.
        """
        hidden = np.clip(densities * (2.0 * hiding), 0, hiding) if hiding else densities
        passing = 1 - densities[:, None] * np.array(colour, np.float32)[:, None, None]
        np.clip(passing, 0.02, np.inf, out=passing)  # vectorised, as `maximum` with one number is not
        for below, through, (left, top, *shape) in zip(hidden, passing, patches, strict=True):
            canvas, patch = self.crop(left, top, shape)
            view = self.light[(slice(None), *canvas)]
            light = view.copy()  # in one piece, all colours at once: much faster than in place
            if hiding:
                light += below[patch] * (1 - light)
            light *= through[(slice(None), *patch)]
            view[...] = light
