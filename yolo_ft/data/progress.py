"""A bar for work on many images, which appears only where somebody watches it and it takes long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
PATIENCE = 3  # seconds before a bar appears


def progress(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """`items` as they are, counted on the terminal behind `what`; nothing in files, pipes and notebooks."""
    return iter(tqdm(items, what, total, leave=False, unit="image", delay=PATIENCE, disable=None))
