"""What a run was made on, and the memory that it needed there."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import torch

from yolo_ft.core.cores import usable_cores
from yolo_ft.core.version import VERSION

PACKAGES = ("torch", "torchvision", "numpy", "faster-coco-eval")
MEGABYTE = 1e6


def environment(device: str | torch.device = "cpu", data_digest: str | None = None) -> dict:
    """What `environment.json` keeps: versions, processor, device, git commit of the working folder, data hash.

    `data_digest` is the SHA-256 of images and labels (`Dataset.digest`). Plain values; nothing in it names a user, a
    host or a folder. Lesson 03 reads one.
    """
    device = torch.device(device)
    return {
        "python": platform.python_version(),
        "yolo-ft": VERSION,
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": psutil.cpu_count(logical=False),
        "logical_cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_mb": round(psutil.virtual_memory().total / MEGABYTE),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "git_commit": git_commit(),
        "data": data_digest,
    }


def processor_name() -> str:
    """The processor's name as its maker writes it, else its architecture."""
    name = ""
    try:
        if sys.platform.startswith("linux"):
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
            name = next((line.partition(":")[2] for line in lines if line.startswith("model name")), "")
        elif sys.platform == "darwin":
            name = _output(["sysctl", "-n", "machdep.cpu.brand_string"])
    except OSError:
        pass
    return name.strip() or platform.processor() or platform.machine()


def git_commit() -> str | None:
    """The commit of the working folder, with `-dirty` when a tracked file was changed; None outside a repository."""
    commit = _output(["git", "rev-parse", "HEAD"])
    if not commit:
        return None
    return commit + ("-dirty" if _output(["git", "status", "--porcelain", "--untracked-files=no"]) else "")


def _output(command: list[str]) -> str:
    """What a helper program prints; empty when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=10, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class PeakMemory:
    """Context manager: the most memory in use while its block runs, in megabytes (1e6 bytes).

    On CUDA it is what the allocator handed out at its fullest moment. Elsewhere it is the process's anonymous memory
    (resident minus shared: tensors and Python objects, not the libraries' code), looked at every `interval` seconds
    by a thread, so a shorter spike can be missed. `start_mb` is what was in use before the block, `peak_mb` the
    peak so far. A process that trained before keeps some memory: compare arms that ran in processes of their own.
    """

    def __init__(self, device: str | torch.device = "cpu", interval: float = 0.02) -> None:
        self.device = torch.device(device)
        self.interval = interval
        self.start_mb = 0.0
        self._peak_mb = 0.0
        self._lock = threading.Lock()  # the block and the thread both look: neither may undo the other's peak
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.start_mb = torch.cuda.memory_allocated(self.device) / MEGABYTE
            return self
        self.start_mb = self._peak_mb = anonymous_mb()
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._look()
            self._stop.set()
            self._thread.join()
            self._thread = None

    @property
    def peak_mb(self) -> float:
        """The peak since the block began; it can be read inside the block and after it."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / MEGABYTE
        if self._thread is not None:
            self._look()
        return self._peak_mb

    def _look(self) -> None:
        seen = anonymous_mb()
        with self._lock:
            self._peak_mb = max(self._peak_mb, seen)

    def _watch(self) -> None:
        while not self._stop.wait(self.interval):
            self._look()


def anonymous_mb() -> float:
    """Memory of this process that no file backs, in megabytes; on systems that do not tell, its resident memory."""
    memory = psutil.Process().memory_info()
    return (memory.rss - getattr(memory, "shared", 0)) / MEGABYTE
