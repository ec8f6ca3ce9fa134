"""Label files that go with no image: work that nobody uses. Lesson 06."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from yolo_ft.data.formats.labels import label_path
from yolo_ft.data.formats.yolo import UNREAD_SUFFIXES
from yolo_ft.data.images import SUFFIXES

PICTURES = SUFFIXES | UNREAD_SUFFIXES  # a picture that is not read is named elsewhere; its labels are not lost
NOT_LABELS = frozenset("classes labels obj train val valid test readme readme.dataset readme.roboflow notes".split())


def orphans(images: Mapping[str, Iterable[Path]]) -> list[tuple[str, Path]]:
    """(split, file) of the label files that no image beside them, or in the matching folder of images, goes with.

    `images`: {split: image files}. Folders of labels that no image leads to are not looked into; a folder that several
    splits share counts to the first.
    """
    folders: dict[Path, set[Path]] = {}
    of_split: dict[Path, str] = {}
    for split, files in images.items():
        for image in files:
            folder = label_path(image).parent
            folders.setdefault(folder, set()).add(image.parent)
            of_split.setdefault(folder, split)
    found = []
    for folder, image_folders in folders.items():
        places = (place for place in image_folders if place.is_dir())
        known = {file.stem for place in places for file in place.iterdir() if file.suffix.lower() in PICTURES}
        labels = sorted(folder.glob("*.txt")) if folder.is_dir() else []
        lost = (file for file in labels if file.stem not in known and file.stem.lower() not in NOT_LABELS)
        found += [(of_split[folder], file) for file in lost]
    return found
