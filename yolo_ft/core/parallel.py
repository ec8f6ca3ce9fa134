"""Work on several batches at once, one core for each: a processor does more that way than all cores on one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

AT_ONCE = 4  # batches in memory at the same time, however many cores there are
Item, Result = TypeVar("Item"), TypeVar("Result")


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
    share = (threads // workers,)  # how many threads a worker's own operations may use
    pool = ThreadPoolExecutor(workers, "yolo_ft-spread", torch.set_num_threads, share)
    try:
        for start in range(0, len(items), workers):
            yield from list(pool.map(work, items[start : start + workers]))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)  # also what threads that come later begin with
