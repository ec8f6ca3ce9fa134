"""Random numbers as pure functions of a key, so that no draw depends on workers, order or history."""

from __future__ import annotations

import random

import numpy as np


def generator(*key: int) -> np.random.Generator:
    """A NumPy generator that depends on `key` alone, for example `generator(seed, epoch, image)`.

    Two calls with the same key give the same stream in any process and thread, which is what makes a resumed
    run draw what the uninterrupted one would have drawn. Lesson 03 shows it.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([int(part) & 0xFFFFFFFF for part in key])))


def hash_uint32(i: np.ndarray | int, k: np.ndarray | int) -> np.ndarray:
    """Integer hash of (i, k), elementwise, uint32: the same bits on every machine (xxHash-style avalanche).

    Used where bytes must agree everywhere: the drawn `cells` set and the parity fixtures. `h / 2**32` is uniform
    in [0, 1).
    """
    with np.errstate(over="ignore"):
        i = np.asarray(i, dtype=np.int64).astype(np.uint32)
        k = np.asarray(k, dtype=np.int64).astype(np.uint32)
        h = i * np.uint32(2654435761) + k * np.uint32(2246822519) + np.uint32(374761393)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
        return h ^ (h >> np.uint32(16))


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators (initial weights draw from torch's)."""
    import torch

    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)
