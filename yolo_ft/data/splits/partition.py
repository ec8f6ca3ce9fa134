"""Parts of a data set: alike in every class, or consecutive in time. Lesson 06.

Alike is iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the Stratification of Multi-Label Data",
doi:10.1007/978-3-642-23808-6_10) on the number of boxes per class: the class with the fewest images left is dealt out
first. Two things are ours. The next image, richest first, goes to the part that then has least of its *share*; the
paper asks which part wants most, which is the same for equal parts, but with 80/20 the large part gets all rich images.
And afterwards images swap parts as long as that brings boxes and images per class closer to the shares.

All sums are of whole numbers below 2**53, so that they are exact and a seed gives the same parts on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.core.seeding import generator
from yolo_ft.data.dataset import Dataset

STREAM = 11  # second word of the key, apart from the draws of training
WHOLE = 2**22  # what the whole data set has of each feature, so that rare and common classes weigh the same
SWAP_ROUNDS = 400
SWAP_SAMPLE = 96  # units of either part that one round compares
PATIENCE = 8  # rounds without a gain after which two parts are left alone


def partition(
    counts: np.ndarray, shares: Sequence[float], seed: int = 0, units: np.ndarray | None = None
) -> np.ndarray:
    """The part (n,) of every image, such that part s has the share `shares[s]` of all images and of every class.

    `counts`: (n, classes) boxes; without a column the parts are random. `units`: (n,) numbers 0, 1, ... of what must
    stay together; there must be at least as many units as parts, and no part stays empty. Without `units` every part
    has exactly its share of the images, rounded; with them, as nearly as they allow.
    """
    rng = generator(seed, STREAM)
    shares = np.asarray(shares, np.float64) / np.sum(shares)
    units = np.arange(len(counts)) if units is None else units
    features = _features(counts, units)
    single = len(features) == len(counts)
    room = _rounded(len(counts), shares) if single else np.full(len(shares), len(features))
    part = _deal(features, shares, room, rng)
    _fill(part, len(shares), features[:, -1])
    if counts.shape[1] or not single:
        _swap(part, features, shares, rng, moves=not single)
    return part[units]


def consecutive(when: np.ndarray, shares: Sequence[float], units: np.ndarray | None = None) -> np.ndarray:
    """The part (n,) of every image: all of part s is older than all of part s + 1.

    `when`: (n,) numbers; what has the same number stays together, and so do `units` (numbers 0, 1, ...); the cuts are
    the possible ones that are nearest to the shares. Raises UserError where too few are possible.
    """
    order, position = np.argsort(when, kind="stable"), np.arange(len(when))
    possible = np.ones(max(len(when) - 1, 0), bool)  # a cut after this position
    for codes in (np.unique(when, return_inverse=True)[1], units):
        if codes is not None:
            codes = codes[order]
            last = np.zeros(codes.max() + 1, np.int64)
            last[codes] = position  # the last position wins
            possible &= np.maximum.accumulate(last[codes])[:-1] == position[:-1]
    cuts = np.flatnonzero(possible) + 1
    wanted = np.cumsum(np.asarray(shares, np.float64) / np.sum(shares))[:-1] * len(when)
    if len(cuts) < len(wanted):
        raise UserError(
            f"Time leaves {len(cuts)} places to cut, but {len(wanted) + 1} parts need {len(wanted)}: equal times and "
            "groups that overlap in time stay together. Use finer times, smaller groups, or fewer parts."
        )
    chosen, first = [], 0
    for done, target in enumerate(wanted, 1):
        choice = cuts[first : len(cuts) - len(wanted) + done]  # leave one for each cut that follows
        nearest = int(np.argmin(np.abs(choice - target)))
        chosen.append(choice[nearest])
        first += nearest + 1
    part = np.empty(len(when), np.int64)
    part[order] = np.searchsorted(chosen, position, side="right")
    return part


def stratified_order(dataset: Dataset, seed: int = 0) -> np.ndarray:
    """All indices of `dataset` (n,), ordered such that the first images, however many, look like the whole.

    The set is halved into like halves, these again, and so on. For whatever looks at a few images only: a contact
    sheet, or a quick validation on `dataset.subset(stratified_order(dataset)[:100])`. A complete validation does not
    depend on the order, because average precision is computed once over all images, so `EvalLoader` keeps that of the
    data set. Lesson 06.
    """
    counts = dataset.class_counts()

    def ordered(indices: np.ndarray) -> list[int]:
        if len(indices) < 2:
            return indices.tolist()
        part = partition(counts[indices], (1, 1), seed)
        return ordered(indices[part == 0]) + ordered(indices[part == 1])

    return np.array(ordered(np.arange(len(dataset))), np.int64)


def _features(counts: np.ndarray, units: np.ndarray) -> np.ndarray:
    """What is to be shared out, (units, 2 * classes + 2): boxes and images of every class, background images, images.

    Whole numbers whose sum over the units is about `WHOLE`, and not 0 where there is something.
    """
    background = ~counts.any(1, keepdims=True)
    rows = np.concatenate([counts, counts > 0, background, np.ones_like(background)], 1).astype(np.float64)
    features = np.zeros((int(units.max()) + 1, rows.shape[1]))
    np.add.at(features, units, rows)
    scaled = np.rint(features * (WHOLE / np.maximum(features.sum(0), 1)))
    return np.where(features > 0, np.maximum(scaled, 1), 0)


def _rounded(count: int, shares: np.ndarray) -> np.ndarray:
    """`count` images in whole numbers by `shares`, at least one each; the largest fractions are rounded up."""
    exact = shares * count
    room = np.maximum(np.floor(exact + 1e-9), 1).astype(np.int64)
    while room.sum() < count:
        room[np.argmax(exact - room)] += 1
    while room.sum() > count:
        room[np.argmax(np.where(room > 1, room - exact, -np.inf))] -= 1
    return room


def _deal(features: np.ndarray, shares: np.ndarray, room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Iterative stratification: the part (units,) of every unit. `room`: (parts,) how many units a part can hold."""
    classes = features.shape[1] // 2 - 1
    labels = [*range(classes), 2 * classes]  # boxes of every class, and background
    part = np.full(len(features), -1)
    shuffled = rng.permutation(len(features))
    got, room = np.zeros((len(shares), features.shape[1])), room.copy()
    left = (features[:, labels] > 0).sum(0)  # units that show each label and are not dealt out yet
    while left.any():
        label = labels[np.argmin(np.where(left > 0, left, len(features) + 1))]
        chosen = shuffled[(part[shuffled] < 0) & (features[shuffled, label] > 0)]
        if classes:
            chosen = chosen[np.argsort(-features[chosen, label], kind="stable")]
        for unit in chosen:
            after = np.where(room > 0, (got[:, label] + features[unit, label]) / shares, np.inf)
            equal = np.flatnonzero(after == after.min())
            poorest = equal[np.argmin(got[equal, -1] / shares[equal])]
            part[unit] = poorest
            room[poorest] -= 1
            got[poorest] += features[unit]
        left -= (features[np.ix_(chosen, labels)] > 0).sum(0)
    return part


def _fill(part: np.ndarray, parts: int, sizes: np.ndarray) -> None:
    """Give every empty part the smallest unit of a part that has several."""
    for empty in np.flatnonzero(np.bincount(part, minlength=parts) == 0):
        several = np.bincount(part, minlength=parts)[part] > 1
        part[np.argmin(np.where(several, sizes, np.inf))] = empty


def _swap(part: np.ndarray, features: np.ndarray, shares: np.ndarray, rng: np.random.Generator, moves: bool) -> None:
    """Swap units between two parts, the best of a random sample at a time, while the squared deviations shrink.

    With `moves` a unit may also change its part alone: where units differ in size, their number is no given.
    """
    features = features.copy()
    features[:, -1] *= np.ceil(np.sqrt(features.shape[1]))  # the size of a part counts like all else together
    surplus = np.stack([features[part == s].sum(0) for s in range(len(shares))])
    surplus -= np.rint(shares[:, None] * features.sum(0))
    pairs = [(a, b) for a in range(len(shares)) for b in range(a + 1, len(shares))]
    vain = dict.fromkeys(pairs, 0)
    for _ in range(SWAP_ROUNDS):
        active = [pair for pair in pairs if vain[pair] < PATIENCE]
        if not active:
            return
        a, b = active[int(rng.integers(len(active)))]
        all_a, all_b = np.flatnonzero(part == a), np.flatnonzero(part == b)
        units_a = _sample(all_a, rng, none=moves and len(all_b) > 1)
        units_b = _sample(all_b, rng, none=moves and len(all_a) > 1)
        x, y = (np.where(units[:, None] < 0, 0, features[units]) for units in (units_a, units_b))
        # moving d = x_i - y_j from a to b changes |surplus_a|² + |surplus_b|² by 2 (|d|² - d · gap); half of it:
        gap = surplus[a] - surplus[b]
        change = ((x * x).sum(1) - x @ gap)[:, None] + ((y * y).sum(1) + y @ gap) - 2 * x @ y.T
        i, j = np.unravel_index(np.argmin(change), change.shape)
        if change[i, j] >= 0:
            vain[a, b] += 1
            continue
        vain.update((pair, 0) for pair in pairs if {a, b} & set(pair))
        surplus[a] -= x[i] - y[j]
        surplus[b] += x[i] - y[j]
        for unit, target in ((units_a[i], b), (units_b[j], a)):
            if unit >= 0:
                part[unit] = target


def _sample(units: np.ndarray, rng: np.random.Generator, none: bool) -> np.ndarray:
    """At most `SWAP_SAMPLE` of `units`; with `none` also -1, nothing in exchange."""
    chosen = units if len(units) <= SWAP_SAMPLE else rng.choice(units, SWAP_SAMPLE, replace=False)
    return np.append(chosen, -1) if none else chosen
