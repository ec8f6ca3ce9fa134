"""YOLO folders without a `data.yaml`: what CVAT ("YOLO 1.1") and Label Studio ("YOLO") export.

CVAT writes `obj.data`, `obj.names`, one list per subset and `obj_train_data/` with labels (and images, if they were
asked for); the format is Darknet's. Label Studio writes `classes.txt`, `notes.json`, `labels/` and, if asked for,
`images/`. Formats: docs.cvat.ai, format-yolo; labelstud.io/guide/export. Lesson 06.
"""

from __future__ import annotations

from pathlib import Path

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.image_index import ImageIndex
from yolo_ft.data.formats.records import SPLIT_NAMES
from yolo_ft.data.formats.yolo import CVAT_FOLDER, DataSpec


def read_obj_data(path: Path, images: ImageIndex | None = None) -> DataSpec:
    """The data set that an `obj.data` describes (CVAT's "YOLO 1.1")."""
    pairs = (line.partition("=") for line in _lines(path))
    content = {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}
    if "names" not in content:
        raise UserError(f"{path} names no file of classes: add a line 'names = obj.names'.")
    names = read_classes(path.parent / _here(content["names"]))
    splits: dict[str, list[str]] = {}
    for name, value in content.items():
        if name in SPLIT_NAMES:
            splits.setdefault(SPLIT_NAMES[name], []).append(_here(value))
    if not splits:
        raise UserError(f"{path} names no list of images: add a line 'train = train.txt'.")
    return DataSpec(path, path.parent, names, splits, images)


def read_classes_txt(path: Path, images: ImageIndex | None = None) -> DataSpec:
    """The data set beside a `classes.txt` (Label Studio's "YOLO"): everything in `images/` and `labels/` is `train`."""
    return DataSpec(path, path.parent, read_classes(path), {"train": ["images"]}, images)


def read_classes(path: Path) -> dict[int, str]:
    """Class names, one per line, in the order of their numbers."""
    names = _lines(path)
    if not names:
        raise UserError(f"{path} holds no class: write one name per line, in the order of their numbers.")
    return dict(enumerate(names))


def _lines(path: Path) -> list[str]:
    try:
        return list(filter(None, map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: export the data set again, or put the file back.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8.") from None


def _here(text: str) -> str:
    return text.replace("\\", "/").removeprefix(CVAT_FOLDER)
