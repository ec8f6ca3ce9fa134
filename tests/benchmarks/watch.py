"""Run a command and measure it from outside: its seconds from start to exit, or the memory of all its processes.

`speed.py` starts every training with `timed`, and those whose memory counts with `watched`: looking costs time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from yolo_ft.core.errors import UserError

MEGABYTE = 1e6
INTERVAL = 0.05  # seconds between two looks


@dataclass
class Memory:
    """Peaks of the sums over the processes of a command, in megabytes, and how many processes there were at most.

    `anonymous_mb`: memory that no file backs (tensors, Python objects), pages that a forked worker still shares with
    its parent counted once; only Linux tells, elsewhere it is `summed_mb`. `summed_mb`: resident minus shared, which
    counts such pages in every process. `resident_mb`: libraries and mapped files too, once per process.
    """

    anonymous_mb: float = 0.0
    summed_mb: float = 0.0
    resident_mb: float = 0.0
    processes: int = 0

    def look(self, pid: int) -> None:
        """Add up the memory of the process and of those below it as it is now; keep what is higher than before."""
        try:
            root = psutil.Process(pid)
            looks = [look for look in map(_look, [root, *root.children(recursive=True)]) if look is not None]
        except psutil.Error:  # it has just ended
            return
        anonymous, summed, resident = (
            (sum(column) / MEGABYTE for column in zip(*looks, strict=True)) if looks else [0] * 3
        )
        self.anonymous_mb = max(self.anonymous_mb, anonymous)
        self.summed_mb = max(self.summed_mb, summed)
        self.resident_mb = max(self.resident_mb, resident)
        self.processes = max(self.processes, len(looks))


def _look(process: psutil.Process) -> tuple[int, int, int] | None:
    """Anonymous, resident minus shared, and resident bytes of one process; None when it has ended."""
    try:
        memory = process.memory_info()
        summed = memory.rss - getattr(memory, "shared", 0)
        return _proportional(process.pid, summed), summed, memory.rss
    except psutil.Error:
        return None


def _proportional(pid: int, otherwise: int) -> int:
    """Anonymous bytes, every page divided by the number of processes that share it."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return otherwise
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")]
    return kilobytes[0] * 1024 if kilobytes else otherwise


def timed(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> dict:
    """Run `command` to its end and return its `seconds` and when it `started`, in seconds since 1970.

    `environment` is added to this process's own. What it prints goes to `log`. Raises UserError, with the last lines
    of the log, when it fails.
    """
    return _run(command, log, environment, lambda process: process.wait())


def watched(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> dict:
    """The same, and the fields of `Memory`. The seconds are not to be used: looking slows the command down."""
    memory = Memory()

    def wait(process: subprocess.Popen) -> None:
        while process.poll() is None:
            memory.look(process.pid)
            time.sleep(INTERVAL)

    return {**_run(command, log, environment, wait), **vars(memory)}


def _run(
    command: Sequence[str], log: Path, environment: Mapping[str, str], wait: Callable[[subprocess.Popen], object]
) -> dict:
    with log.open("wb") as output:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait(process)
            seconds = time.perf_counter() - clock
        finally:  # an interrupted benchmark leaves no training behind
            process.kill()
            process.wait()
    if process.returncode != 0:
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
        raise UserError(f"{' '.join(command[:4])} … failed:\n{last}")
    return {"started": started, "seconds": seconds}
