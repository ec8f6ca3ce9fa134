"""One process at a time: two trainings that start together must not download the same file twice."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tqdm import tqdm

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

WAIT = 0.1  # seconds between two looks at a lock that another process holds
HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a hidden file beside it, for the block; wait while another process or thread holds it.

    The system frees the lock of a process that dies. On a disk that knows no locks the block runs without one. Raises
    `OSError` where the folder cannot be written.
    """
    file = path.with_name(f".{path.name}.lock")
    handle = _acquire(file)
    try:
        yield
    finally:
        if os.name == "nt":  # an open file cannot be removed there
            os.close(handle)
            with suppress(OSError):  # another process waits for it, and removes it in its turn
                file.unlink()
        else:  # removed while it is held: who waits for it sees that the name is gone and makes a new file
            file.unlink(missing_ok=True)
            os.close(handle)


def _acquire(file: Path) -> int:
    """The open handle of the lock file, held."""
    said = False
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        if _try(handle) and _same(handle, file):
            return handle
        os.close(handle)
        if not said and file.exists():
            tqdm.write(f"{file.name[1:-5]} is being fetched by another process: waiting for it.", sys.stderr)
            said = True
        time.sleep(WAIT)


def _try(handle: int) -> bool:
    """Take the lock if it is free; False if another process holds it."""
    try:
        if os.name == "nt":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


def _same(handle: int, file: Path) -> bool:
    """The name still leads to the file that was locked; not so when its last holder has just removed it."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False
