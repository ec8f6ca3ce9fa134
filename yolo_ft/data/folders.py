"""New folders for what is made from a data set: complete or absent, never over something that is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yolo_ft.core.errors import UserError


@contextmanager
def new_folder(path: str | Path, source: Path | None = None) -> Iterator[Path]:
    """A folder to write into; it gets the name `path` when the block ends without an error, and is gone otherwise.

    Raises `UserError` when `path` exists, or lies in `source`, the folder that is only read.
    """
    path = Path(path).expanduser()
    if path.exists():
        raise UserError(f"{path} exists: give a folder that does not, so that nothing is written over.")
    if source is not None and path.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{path} lies inside {source}, which stays as it is: give a folder elsewhere.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
