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

    Returns it as an absolute path without links. Raises `UserError` otherwise.
    """
    path = Path(path).expanduser()
    place = Path(os.path.realpath(path))
    with _possible(path):
        taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
    if taken:
        raise UserError(f"{path} is not empty: name a new folder, so that nothing is overwritten.")
    for folder in kept:
        if place.is_relative_to(os.path.realpath(folder)):
            raise UserError(f"{path} lies inside {folder}, which stays as it is: name a folder elsewhere.")
    return place


@contextmanager
def new_folder(path: str | Path, kept: Iterable[Path] = ()) -> Iterator[Path]:
    """A folder to write into; it gets the name `path` (see `free_place`) when the block ends well, and is gone else.

    An empty folder that is there gets its content instead: it may be a mount, or the folder that somebody works in.
    """
    path = free_place(path, kept)
    there = path.is_dir()
    temporary = (path if there else path.parent) / f".{path.name}.{os.getpid()}.partial"
    with _possible(path):
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with _possible(path):
            if there:
                for child in list(temporary.iterdir()):
                    child.rename(path / child.name)
            else:
                temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _possible(path: Path) -> Iterator[None]:
    """What the system refuses becomes a `UserError` about `path`."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be made ({error.strerror}): name a folder elsewhere.") from None
