"""YOLO folders: `data.yaml`, lists of images, and label files. Lesson 06 brings your own.

Nothing found in a folder is executed: a `download:` script is not run, a `.cache` pickle is not opened.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.image_index import ImageIndex, tails
from yolo_ft.data.formats.labels import label_path, read_labels
from yolo_ft.data.formats.records import SPLITS, Reader, Record, key
from yolo_ft.data.formats.spec_file import read_yaml
from yolo_ft.data.health import IGNORED, Issue
from yolo_ft.data.images import SUFFIXES, files_below

UNREAD_SUFFIXES = frozenset(".avif .gif .heic .heif .jp2 .jxl .svg".split())  # never passed over silently
ELSEWHERE = "if the images lie elsewhere, pass images=FOLDER, or join both: yolo-ft data convert --images FOLDER"
CVAT_FOLDER = "data/"  # what the lists in CVAT's exports put before every path, though no such folder is exported
UNTELLING = ("data", "obj", "classes")  # names of files that say nothing about the data set


@dataclass(frozen=True)
class DataSpec:
    """What a `data.yaml` says: its place, the root folder, class names and the entries of every split.

    `images`: where the images lie if not where the file says; labels are then still looked for where it says.
    """

    path: Path
    root: Path
    names: dict[int, str]
    splits: dict[str, list[str]]
    images: ImageIndex | None = None

    @property
    def name(self) -> str:
        """A short name for messages: the folder, unless the file itself has a telling name."""
        return self.path.resolve().parent.name if self.path.stem in UNTELLING else self.path.stem

    @property
    def hint(self) -> str:
        """Where labels are expected."""
        folders = [self.root / entry for entries in self.splits.values() for entry in entries]
        folder = next((folder for folder in folders if os.path.isdir(folder)), self.root / "images")
        return f"Labels are expected beside the images, for example {label_path(folder / 'a.jpg')}."

    @property
    def folders(self) -> list[Path]:
        """Every folder that the file names or an image lies in. Raises `UserError` where an entry does not exist."""
        places = [_find(self, split, entry) for split, entries in self.splits.items() for entry in entries]
        images = [image.parent for split in self.splits for image in split_images(self, split)[0]]
        elsewhere = self.images.folders if self.images else []
        named = [self.path.parent, self.root, *(place for place in places if not place.is_file())]
        return list(dict.fromkeys([*named, *images, *elsewhere]))

    def readers(self, split: str) -> tuple[list[Reader], list[Issue]]:
        """One reader per image of the split, and what was passed over."""
        paths, issues = split_images(self, split)
        return [functools.partial(_read, path, self) for path in paths], issues


def read_spec(path: Path, images: ImageIndex | None = None) -> DataSpec:
    """Read a `data.yaml` (UTF-8, with or without BOM). Raises `UserError` with the mend."""
    content = read_yaml(path)
    names = _names(path, content)
    splits = {}
    for split in SPLITS:
        entries = content.get(split)
        if entries:
            entries = entries if isinstance(entries, list) else [entries]
            splits[split] = [_native(str(entry)) for entry in entries]
    if not splits:
        raise UserError(f"{path} names no images: add 'train:' and 'val:' with a folder, a .txt list, or several.")
    return DataSpec(path, _root(path, content.get("path")), names, splits, images)


def _names(path: Path, content: dict) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UserError(f"{path} has no class names: add 'names:' with a list such as [cat, dog].")
    for value in names.values():
        if isinstance(value, bool) or value is None or isinstance(value, list | dict):
            raise UserError(f"{path}: YAML reads the class name {value!r} as no text: put class names in quotes.")
    try:
        names = {int(key): str(value) for key, value in names.items()}
    except (TypeError, ValueError):
        raise UserError(f"{path}: the keys of 'names:' must be class numbers 0, 1, 2, ...") from None
    if sorted(names) != list(range(len(names))):
        raise UserError(f"{path}: 'names:' must number its {len(names)} classes 0 to {len(names) - 1} without a gap.")
    nc = content.get("nc")
    if nc not in (None, len(names), str(len(names))):
        raise UserError(f"{path}: nc is {nc}, but 'names:' lists {len(names)} classes: correct one of them.")
    return dict(sorted(names.items()))


def _root(path: Path, value: object) -> Path:
    """The folder that splits are relative to: `path:` seen from the file or the working folder, else the file's own."""
    if not value:
        return path.parent
    text = _native(str(value))
    candidates = [path.parent / text, Path(text), path.parent / _without_parents(text), Path(_without_parents(text))]
    return next((candidate for candidate in candidates if os.path.isdir(candidate)), path.parent)


def _native(text: str) -> str:
    """A path written on Windows, made readable elsewhere."""
    return text if os.sep == "\\" else text.replace("\\", "/")


def _without_parents(text: str) -> str:
    """`../train/images` without its leading `../`: the exports of some tools mean the file's own folder."""
    while text.startswith(("../", "..\\")):
        text = text[3:]
    return text or "."


def split_images(spec: DataSpec, split: str) -> tuple[list[Path], list[Issue]]:
    """The image paths of a split in a fixed order (folders sorted, lists as written), and what was passed over.

    Paths are absolute and spelled in one way, so that a file is one image however often it is named. There are none
    where the folder or list is empty, as exports leave it for a split that they do not use.
    """
    if split not in spec.splits:
        have = ", ".join(spec.splits)
        raise UserError(f"{spec.path} has no '{split}:' entry (it has {have}): add it, or ask for one of these.")
    images: list[Path] = []
    issues: list[Issue] = []
    for entry in spec.splits[split]:
        place = _plain(_find(spec, split, entry))
        if not place.is_file():
            found = files_below(place)
            images += [p for p in found if p.suffix.lower() in SUFFIXES] or _labelled(place, spec)
            unread = [p for p in found if p.suffix.lower() in UNREAD_SUFFIXES]
            reason = "pictures of this format are not read: save it as PNG"
            issues += [Issue(key(p, spec.root), None, reason, IGNORED) for p in unread]
        elif place.suffix.lower() in SUFFIXES:
            images.append(place)
        else:
            images += _read_list(place, spec.root)
    seen: set[Path] = set()
    unique = []
    for image in images:
        if image in seen:
            issues.append(Issue(key(image, spec.root), None, "the same image is listed twice", IGNORED))
        else:
            seen.add(image)
            unique.append(image)
    return unique, issues


def _find(spec: DataSpec, split: str, entry: str) -> Path:
    bare = _without_parents(entry)
    for candidate in (spec.root / entry, spec.path.parent / entry, spec.root / bare, spec.path.parent / bare):
        if os.path.exists(candidate):  # unlike Path.exists it takes names that are too long
            return candidate
    if spec.images and _labelled(spec.root / bare, spec):
        return spec.root / bare
    raise UserError(
        f"{spec.path}: '{split}: {entry}' does not exist (looked for {spec.root / entry}): correct 'path:' or "
        f"'{split}:', or {ELSEWHERE}. A 'download:' script in the file is never run here."
    )


def _read_list(path: Path, root: Path) -> list[Path]:
    """The images of a .txt list, as `_listed` finds them."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a UTF-8 list of images: save it as UTF-8, one path per line.") from None
    return [_plain(_listed(_native(line), path.parent, root)) for line in map(str.strip, lines) if line]


def _listed(text: str, folder: Path, root: Path) -> Path:
    """The image that a line of a list in `folder` means: an absolute path, or one relative to `folder`, else to `root`.

    The end of an absolute path is looked for below `root`, too, as the list may come from another computer. Where there
    is no such image: the place at which it should be.
    """
    places = [folder / text, root / text, folder / text.removeprefix(CVAT_FOLDER)]
    elsewhere = [root / tail for tail in tails(text)] if PureWindowsPath(text).root else []
    return next((place for place in (*places, *elsewhere) if os.path.exists(place)), places[-1])


def _plain(path: Path) -> Path:
    """The absolute path without `..`. Links stay, as labels lie beside the link, and so does a `..` behind a link."""
    plain = Path(os.path.abspath(path))
    detour = ".." in path.parts and os.path.realpath(path.parent) != os.path.realpath(plain.parent)
    return path.absolute() if detour else plain


def _labelled(folder: Path, spec: DataSpec) -> list[Path]:
    """Where images without which labels were exported would lie in `folder`: one for each label file."""
    labels = label_path(folder / "a.jpg").parent
    if spec.images is None or not labels.is_dir():
        return []
    found = (file for file in files_below(labels) if file.suffix == ".txt")
    return [folder / label.relative_to(labels).with_suffix(".jpg") for label in found]


def _read(listed: Path, spec: DataSpec) -> tuple[Record | None, list[Issue]]:
    """The record of the image that was listed as lying at `listed`."""
    found = spec.images.find(key(listed, spec.root)) if spec.images else None
    image, label = found or listed, label_path(listed)
    if found and not os.path.isfile(label):  # a list of another computer, whose folders say nothing here
        label = label_path(found)
    roots = (spec.root, *(spec.images.folders if spec.images else ()))
    return read_labels(key(image, *roots), image, label, key(label, spec.root), len(spec.names))
