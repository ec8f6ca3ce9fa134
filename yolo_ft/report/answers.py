"""What an exercise is, and when a reader's answer means the right one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Exercise:
    """One question. `stars` 1-3 (difficulty), `minutes` (expected time), `misconceptions`: (wrong answer, why)."""

    id: str
    stars: int
    minutes: int
    question: str
    answer: Any
    because: str
    misconceptions: tuple[tuple[Any, str], ...]
    hints: tuple[str, str, str]
    tolerance: float = 1e-9
    accepted: tuple[Any, ...] = ()  # other ways to give the right answer

    @property
    def heading(self) -> str:
        """How the notebook titles it, for example "02.1 ★ (2 minutes)"."""
        return f"{self.id} {'★' * self.stars} ({self.minutes} minutes)"


def same(given: Any, expected: Any, tolerance: float = 1e-9) -> bool:
    """Whether a reader's answer means `expected`.

    Numbers agree within `tolerance` (NumPy and torch scalars count, truth values do not); text without regard to
    case, surrounding space and a full stop; sequences element by element and in order. Anything else does not agree:
    no answer of a reader raises.
    """
    if isinstance(expected, str):
        return isinstance(given, str) and given.strip().rstrip(".").casefold() == expected.casefold()
    if isinstance(expected, Sequence):
        if isinstance(given, str | Mapping | Set):
            return False
        try:
            items = list(given)
        except TypeError:
            return False
        return len(items) == len(expected) and all(same(a, b, tolerance) for a, b in zip(items, expected, strict=True))
    if isinstance(given, bool | str):
        return False
    try:
        return abs(float(given) - expected) <= tolerance
    except (TypeError, ValueError):
        return False
