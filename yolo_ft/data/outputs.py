"""Where something about a data set may be written: a new folder, never inside the data set. Lesson 06."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset


def new_folder(out: str | Path, splits: dict[str, Dataset]) -> Path:
    """`out` as a path to write to. Raises `UserError` when it holds something, or lies inside the data set."""
    path = Path(out).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path} is not empty: name a new folder, so that nothing is overwritten.")
    for root in {root for dataset in splits.values() for root in _roots(dataset)}:
        if path.resolve().is_relative_to(root):
            raise UserError(f"{path} is inside the data set ({root}), which is never changed: name a folder elsewhere.")
    return path


def _roots(dataset: Dataset) -> set[Path]:
    """The folders that hold the images: the root that keys are relative to, or an image's own folder."""
    roots = set()
    for i in range(len(dataset)):
        if (path := dataset.path(i)) is not None:
            key = PurePosixPath(dataset.keys[i])
            whole = path.resolve()
            below = whole.as_posix().endswith(f"/{key}")
            roots.add(whole.parents[len(key.parts) - 1] if below else whole.parent)
    return roots
