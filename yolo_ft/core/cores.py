"""How many processor cores there are to work with."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Logical cores that this process may use (a container or a cluster often grants fewer than there are)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reading_threads() -> int:
    """How many files are read and decoded at once: more would only wait for each other."""
    return min(8, usable_cores())
