"""Finding the image that an annotation means, wherever the images lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from yolo_ft.data.images import SUFFIXES


class ImageIndex:
    """The images in and below some folders, in order of preference; folders that do not exist are passed over."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = list(dict.fromkeys(folder for folder in folders if folder.is_dir()))
        self._stems: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path | None:
        """The image that `name` means: a path whose end lies below one of the folders, with its suffix or without.

        Steps up, drives and web addresses in front are ignored, as in exports of tools that ran elsewhere. None where
        no image fits, or several do equally well.
        """
        tails = _tails(name)
        for tail in [*tails, *(PurePosixPath(unquote(tail.name)) for tail in tails[-1:])]:
            for folder in self.folders:
                if (folder / tail).is_file() and tail.suffix.lower() in SUFFIXES:
                    return folder / tail
        for tail in tails:
            stem = tail.with_suffix("") if tail.suffix.lower() in SUFFIXES else tail
            for folder in self.folders:
                found = self._table(folder).get(stem.as_posix(), [])
                if len(found) == 1:
                    return found[0]
        return None

    def stems(self) -> list[str]:
        """The paths of all images without suffix, seen from the folder that each lies in, sorted."""
        found = {
            path.relative_to(folder).with_suffix("").as_posix()
            for folder in self.folders
            for paths in self._table(folder).values()
            for path in paths
        }
        return sorted(found)

    def _table(self, folder: Path) -> dict[str, list[Path]]:
        """{path below the folder without suffix, and bare stem: images}."""
        if folder not in self._stems:
            table: dict[str, list[Path]] = defaultdict(list)
            for path in sorted(folder.rglob("*")):
                if path.suffix.lower() in SUFFIXES and path.is_file():
                    for stem in {path.relative_to(folder).with_suffix("").as_posix(), path.stem}:
                        table[stem].append(path)
            self._stems[folder] = dict(table)
        return self._stems[folder]


def _tails(name: str) -> list[PurePosixPath]:
    """The path in an annotation, then without its first folder, and so on: `C:\\a\\b.jpg` -> a/b.jpg, b.jpg."""
    text = name.rpartition("?d=")[2].replace("\\", "/")  # Label Studio's addresses of local files end in ?d=PATH
    parts = [part for part in PurePosixPath(text).parts if part not in ("..", "/", "//") and not part.endswith(":")]
    return [PurePosixPath(*parts[i:]) for i in range(len(parts))]
