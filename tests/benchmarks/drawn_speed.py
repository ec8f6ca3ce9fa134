"""How fast the drawn sets are drawn: images per second at 320 x 240 pixels, domains of `cells` and `defects`.

    python tests/benchmarks/drawn_speed.py                  # half a minute

One core: seconds of processor time that one thread takes, so that other work on the machine disturbs little. Threads:
seconds of the clock with as many as read files, which tells something only where nothing else runs. Medians over
rounds that take the sets in turns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs from a clone, installed or not
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.tables import markdown, middle  # noqa: E402

from yolo_ft.core.cores import reading_threads  # noqa: E402
from yolo_ft.data.drawn.domains import CELLS_DOMAINS  # noqa: E402
from yolo_ft.data.drawn.sets import drawn_set  # noqa: E402

NAMES = ("cells", *(f"cells:{domain}" for domain in CELLS_DOMAINS), "defects")


def rate(clock: Callable[[], float], work: Callable[[], object], images: int) -> float:
    """Images per second of a clock while `work` draws them."""
    start = clock()
    work()
    return images / (clock() - start)


def measure(names: Sequence[str], images: int, rounds: int) -> list[dict]:
    """One row per set: medians over the rounds."""
    threads = reading_threads()
    one, every = "images/s, one core", f"images/s, {threads} threads"
    found = {name: {one: [], every: []} for name in names}
    with ThreadPoolExecutor(threads) as pool:
        for k in range(-1, rounds):
            for name in names:
                draw, indices = drawn_set(name).draw, range(max(k, 0) * images, (max(k, 0) + 1) * images)
                alone = rate(time.process_time, lambda d=draw, i=indices: [d(index) for index in i], images)
                at_once = rate(time.perf_counter, lambda d=draw, i=indices: list(pool.map(d, i)), images)
                if k >= 0:  # the first time makes tables that stay
                    found[name][one].append(alone)
                    found[name][every].append(at_once)
    return [{"": name, **{what: middle(values) for what, values in found[name].items()}} for name in names]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=NAMES, help="default: all")
    parser.add_argument("--images", type=int, default=40, help="of each set in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    print(markdown(measure(options.sets, options.images, options.rounds)))


if __name__ == "__main__":
    main()
