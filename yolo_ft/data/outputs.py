"""Where something about a data set may be written: a new folder, never inside the data set. Lesson 06."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset


def new_folder(out: str | Path, roots: Iterable[Path]) -> Path:
    """`out` as a path to write to. Raises `UserError` when it holds something, or lies inside one of `roots`."""
    path = Path(out).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is not empty: name a new folder, so that nothing is overwritten.")
    for root in roots:
        if path.resolve().is_relative_to(root.resolve()):
            raise UserError(f"{path} is inside the data set ({root}), which is never changed: name a folder elsewhere.")
    return path


def image_roots(splits: Mapping[str, Dataset]) -> set[Path]:
    """The folders that hold the images of a data set: what its keys are relative to, or an image's own folder."""
    roots = set()
    for dataset in splits.values():
        for path, key in zip(map(dataset.path, range(len(dataset))), dataset.keys, strict=True):
            if path is not None:
                below = path.as_posix().endswith(f"/{key}")
                roots.add(path.parents[key.count("/")] if below else path.parent)
    return roots
