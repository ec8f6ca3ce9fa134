"""Lessons as a batch: every combination of their parameters in a process and a folder of its own.

`yolo-ft notebooks run 03 --grid freeze=none,10 --grid seed=0,1` from a shell is `run_notebooks` here. It fills one
machine; a cluster's scheduler starts one such command per machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from yolo_ft.core.cores import usable_cores
from yolo_ft.core.errors import UserError
from yolo_ft.report.combinations import Combination, plan_combinations
from yolo_ft.report.notebook_process import LOG, PARTIAL, START_TIMEOUT, own_kernel

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GRACE = START_TIMEOUT + 60  # seconds beyond its timeout that a process may take to start, and to store what it has


def run_notebooks(
    lessons: Sequence[Path],
    parameters: Mapping[str, Any] | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path = "runs/notebooks",
    jobs: int = 1,
    timeout: float | None = None,
    retry_failed: bool = False,
) -> list[Combination]:
    """Run every combination (see `plan_combinations`), `jobs` at once with cores/jobs threads each, and return them.

    A combination that finished before is not run again, one that failed only with `retry_failed`. A failure does not
    stop the others. `timeout` is in seconds per combination. An interruption ends all processes and leaves no
    half-written file. `notebook_results.collect` reads what came of it. Lesson 05 is made for such grids.
    """
    own_kernel()  # says what to install before any time is spent
    if jobs < 1 or (timeout is not None and timeout <= 0):
        raise UserError("Give at least 1 for --jobs, and a --timeout above 0 seconds.")
    combinations = plan_combinations(lessons, parameters or {}, grid or {}, out)
    for combination in combinations:
        combination.recall()
    queue = [c for c in combinations if c.state == "waiting" or (c.state == "failed" and retry_failed)]
    for combination in queue:
        combination.refuse_foreign_files()
    done = len(combinations) - len(queue)
    print(f"{len(queue)} of {len(combinations)} combinations to run, {jobs} at once", flush=True)
    if failed := sum(c.state == "failed" and not retry_failed for c in combinations):
        print(f"{failed} failed before and will only run again with --retry-failed", flush=True)
    running: list[_Process] = []
    with tqdm(total=len(combinations), initial=done, unit="lesson", disable=None, leave=False) as bar:
        try:
            while queue or running:
                while queue and len(running) < jobs:
                    running.append(_Process(queue.pop(0), jobs, timeout))
                time.sleep(0.1)
                bar.set_postfix_str("; ".join(f"{p.combination} {p.elapsed:.0f} s" for p in running))
                for process in [process for process in running if process.has_ended()]:
                    running.remove(process)
                    done += 1
                    bar.update()
                    ended = process.combination
                    bar.write(f"[{done}/{len(combinations)}] {ended}: {ended.state} after {ended.seconds:.0f} s")
        finally:
            for process in running:
                process.kill()
    return combinations


class _Process:
    """The process of one combination, in a session of its own so that Ctrl-C reaches it only through `kill`."""

    def __init__(self, combination: Combination, jobs: int, timeout: float | None) -> None:
        self.combination, self.timeout = combination, timeout
        combination.prepare(timeout)
        environment = {**os.environ, "PYTHONUTF8": "1"}
        environment.pop("MPLBACKEND", None)  # a backend chosen for scripts would make the figures vanish
        if jobs > 1:
            environment |= dict.fromkeys(THREAD_VARIABLES, str(max(1, usable_cores() // jobs)))
        windows = sys.platform == "win32"
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if windows else {"start_new_session": True}
        with (combination.folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "yolo_ft.report.notebook_process", str(combination.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                **group,
            )
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def has_ended(self) -> bool:
        """Whether it is over; the combination then knows how. A process far beyond its timeout is killed here."""
        late = self.timeout is not None and self.elapsed > self.timeout + GRACE
        if self._process.poll() is None and not late:
            return False
        self.kill()
        self.combination.recall()
        if self.combination.state == "running":  # it left no record of an end
            reason = "did not answer its timeout" if late else f"ended with exit code {self._process.returncode}"
            self.combination.record("failed", f"the process {reason}; its last words are in {LOG}", self.elapsed)
        return True

    def kill(self) -> None:
        """End the process and everything that it started, and drop the unfinished copy."""
        try:
            family = [*psutil.Process(self._process.pid).children(recursive=True), psutil.Process(self._process.pid)]
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=10)
        self._process.wait()
        (self.combination.folder / PARTIAL).unlink(missing_ok=True)
