"""Finding the image that an annotation means, wherever the images lie."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from yolo_ft.data.images import SUFFIXES, files_below


class ImageIndex:
    """The images in and below some folders, in order of preference; folders that do not exist are passed over.

    `without`: folders below them whose images are found only by a path that names the folder.
    """

    def __init__(self, folders: Iterable[Path], without: Collection[Path] = ()) -> None:
        self.folders = list(dict.fromkeys(folder for folder in folders if folder.is_dir()))
        self._without = frozenset(without)
        self._stems: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """The image that `name` means: a path whose end lies below one of the folders, with its suffix or without.

        Steps up, drives and web addresses in front are ignored, as in exports of tools that ran elsewhere. None where
        no image fits, or several do equally well.
        """
        ends = tails(name)
        for tail in [*ends, *(PurePosixPath(unquote(tail.name)) for tail in ends[-1:])]:
            for folder in self.folders:
                if tail.suffix.lower() in SUFFIXES and os.path.isfile(folder / tail):
                    return folder / tail
        for tail in ends:
            stem = tail.with_suffix("") if tail.suffix.lower() in SUFFIXES else tail
            for folder in self.folders:
                found = self._table(folder).get(stem.as_posix(), [])
                if len(found) == 1:
                    return found[0]
        return None

    def stems(self, taken: Collection[Path | None] = ()) -> list[str]:
        """The paths of all images but those `taken`, without suffix, seen from the first folder that holds each."""
        stems: dict[Path, str] = {}
        for folder in self.folders:
            for path in chain(*self._table(folder).values()):
                stems.setdefault(path, path.relative_to(folder).with_suffix("").as_posix())
        return sorted({stem for path, stem in stems.items() if path not in taken})

    def _table(self, folder: Path) -> dict[str, list[Path]]:
        """{path below the folder without suffix, and bare stem: images}."""
        if folder not in self._stems:
            table: dict[str, list[Path]] = defaultdict(list)
            for path in files_below(folder):
                if path.suffix.lower() in SUFFIXES and self._without.isdisjoint(path.parents):
                    for stem in {path.relative_to(folder).with_suffix("").as_posix(), path.stem}:
                        table[stem].append(path)
            self._stems[folder] = dict(table)
        return self._stems[folder]


def tails(name: str) -> list[PurePosixPath]:
    """The path in an annotation, then without its first folder, and so on: `C:\\a\\b.jpg` -> a/b.jpg, b.jpg."""
    text = name.rpartition("?d=")[2].replace("\\", "/")  # Label Studio's addresses of local files end in ?d=PATH
    parts = [part for part in PurePosixPath(text).parts if part not in ("..", "/", "//") and not part.endswith(":")]
    return [PurePosixPath(*parts[i:]) for i in range(len(parts))]
