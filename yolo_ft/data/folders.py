"""New folders for what is made from a data set: complete or absent, never over something that is there. Lesson 06."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from yolo_ft.core.errors import UserError


def free_place(path: str | Path, kept: Iterable[Path] = ()) -> Path:
    """`path` as a folder to write into: absent or empty, and in none of the folders `kept`, which are only read.

    Raises `UserError` otherwise.
    """
    path = Path(path).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is not empty: name a new folder, so that nothing is overwritten.")
    for folder in kept:
        if path.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{path} lies inside {folder}, which stays as it is: name a folder elsewhere.")
    return path


@contextmanager
def new_folder(path: str | Path, kept: Iterable[Path] = ()) -> Iterator[Path]:
    """A folder to write into; it gets the name `path` (see `free_place`) when the block ends well, and is gone else."""
    path = free_place(path, kept)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}): name a folder elsewhere.") from None
    try:
        yield temporary
        if path.is_dir():
            path.rmdir()  # empty, and Windows moves nothing onto a folder
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
