"""Work on several batches at once, one core for each: a processor does more that way than all cores on one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from yolo_ft.core.heap import share_heap

AT_ONCE = 4  # batches in memory at the same time, however many cores there are
Item, Result = TypeVar("Item"), TypeVar("Result")


@contextmanager
def worker_pool(workers: int, share: int) -> Iterator[ThreadPoolExecutor]:
    """`workers` threads whose torch operations use `share` threads each; the caller's keep their own number."""
    share_heap()
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "yolo_ft-worker", torch.set_num_threads, (share,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)  # also what threads that come later begin with


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work(item)` of every item, in order, computed by all of torch's threads but never while the caller computes.

    A wave of items is worked on, each with an equal share of the threads, then handed out one by one. A thread that
    worked ahead instead would take the time from the caller's own computation, on two cores more than it gains. What
    `work` returns must not depend on who runs it. An exception reaches the caller in its wave.
    """
    threads = torch.get_num_threads()
    workers = min(threads, AT_ONCE)
    if workers == 1:
        yield from map(work, items)
        return
    with worker_pool(workers, threads // workers) as pool:
        for start in range(0, len(items), workers):
            yield from list(pool.map(work, items[start : start + workers]))
