"""Label files that do not go with one image of the data set: work that nobody uses, or labels of two. Lesson 06."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from yolo_ft.data.checks.duplicates import LOOK_ALIKE, Pair, clusters
from yolo_ft.data.formats.labels import label_path
from yolo_ft.data.formats.yolo import UNREAD_SUFFIXES
from yolo_ft.data.images import SUFFIXES

PICTURES = SUFFIXES | UNREAD_SUFFIXES  # a picture that is not read is named elsewhere; its labels are not lost
ROW_BYTES = len("0 0 0 1 1")  # of the shortest row; a smaller file says that there is no object
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


def unlisted(named: Iterable[Path]) -> Iterator[Path]:
    """The images with labels that lie beside `named` images without being one of them.

    `named`: all images of all splits, also those that cannot be used. Labels of a named image count as used, whatever
    other picture they could belong to (`shared`).
    """
    named = list(named)
    used = {os.path.realpath(label_path(image)) for image in named}  # links to one file are one
    for folder in dict.fromkeys(image.parent for image in named):
        for image in sorted(folder.iterdir()) if folder.is_dir() else ():
            label = label_path(image)
            labelled = label.is_file() and label.stat().st_size >= ROW_BYTES
            if labelled and image.suffix.lower() in SUFFIXES and os.path.realpath(label) not in used:
                yield image


def shared(images: Sequence[Path | np.ndarray], pairs: Iterable[Pair]) -> list[tuple[int, int]]:
    """Positions of two different pictures whose labels would be one file, as of `a.jpg` and `a.png` in one folder.

    `pairs`: the copies among the images, for which one file can be right. Arrays have no label file.
    """
    copies = clusters([pair for pair in pairs if pair.kind != LOOK_ALIKE])
    picture = {i: members[0] for members in copies for i in members}
    first: dict[Path, int] = {}
    found = []
    for i, image in enumerate(images):
        if isinstance(image, Path):
            other = first.setdefault(label_path(image), i)
            if picture.get(other, other) != picture.get(i, i):
                found.append((other, i))
    return found
