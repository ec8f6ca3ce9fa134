"""One heap for all threads: what one of them freed, another can use."""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8  # glibc's number for how many heaps a process may have


def share_heap() -> None:
    """Let all threads of this process allocate from one heap; the earlier the better.

    The C library of Linux gives every thread a heap of its own, and what one of them frees no other can use: a training
    of YOLOv5n at 320 pixels took a third more memory for it. Other C libraries do not know the setting.
    """
    try:
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    except (AttributeError, OSError, TypeError):
        pass
