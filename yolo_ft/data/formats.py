"""YOLO folders: `data.yaml`, lists of images, and label files. Lesson 06 brings your own.

Nothing found in a folder is executed: a `download:` script is not run, a `.cache` pickle is not opened.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from yolo_ft.core.errors import UserError
from yolo_ft.data.health import DROPPED, IGNORED, ROW_REMOVED, Issue
from yolo_ft.data.images import SUFFIXES

SPLITS = ("train", "val", "test")
UNREAD_SUFFIXES = frozenset(".avif .gif .heic .heif .jp2 .jxl .svg".split())  # never passed over silently
BOX_COLUMNS = 5


@dataclass(frozen=True)
class DataSpec:
    """What a `data.yaml` says: its place, the root folder, class names and the entries of every split."""

    path: Path
    root: Path
    names: dict[int, str]
    splits: dict[str, list[str]]

    @property
    def name(self) -> str:
        """A short name for messages: the folder, unless the file itself has a telling name."""
        return self.path.resolve().parent.name if self.path.stem == "data" else self.path.stem


def read_spec(path: Path) -> DataSpec:
    """Read a `data.yaml` (UTF-8, with or without BOM). Raises `UserError` with the mend."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it as UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise UserError(f"{path} is not valid YAML{line}: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold 'train:', 'val:' and 'names:', but holds no such keys.")
    names = _names(path, content)
    splits = {}
    for split in SPLITS:
        entries = content.get(split)
        if entries:
            entries = entries if isinstance(entries, list) else [entries]
            splits[split] = [_native(str(entry)) for entry in entries]
    if not splits:
        raise UserError(f"{path} names no images: add 'train:' and 'val:' with a folder, a .txt list, or several.")
    return DataSpec(path, _root(path, content.get("path")), names, splits)


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
    if nc is not None and nc != len(names):
        raise UserError(f"{path}: nc is {nc}, but 'names:' lists {len(names)} classes: correct one of them.")
    return dict(sorted(names.items()))


def _root(path: Path, value: object) -> Path:
    """The folder that splits are relative to: `path:` seen from the file or the working folder, else the file's own."""
    if not value:
        return path.parent
    text = _native(str(value))
    candidates = [path.parent / text, Path(text), path.parent / _without_parents(text), Path(_without_parents(text))]
    return next((candidate for candidate in candidates if candidate.is_dir()), path.parent)


def _native(text: str) -> str:
    """A path written on Windows, made readable elsewhere."""
    return text if os.sep == "\\" else text.replace("\\", "/")


def _without_parents(text: str) -> str:
    """`../train/images` without its leading `../`: the exports of some tools mean the file's own folder."""
    while text.startswith(("../", "..\\")):
        text = text[3:]
    return text or "."


def split_images(spec: DataSpec, split: str) -> tuple[list[Path], list[Issue]]:
    """The image paths of a split in a fixed order (folders sorted, lists as written), and what was passed over."""
    if split not in spec.splits:
        have = ", ".join(spec.splits)
        raise UserError(f"{spec.path} has no '{split}:' entry (it has {have}): add it, or ask for one of these.")
    images: list[Path] = []
    issues: list[Issue] = []
    for entry in spec.splits[split]:
        place = _find(spec, split, entry)
        if place.is_dir():
            found = sorted((p for p in place.rglob("*") if p.is_file()), key=lambda p: p.as_posix())
            images += [p for p in found if p.suffix.lower() in SUFFIXES]
            unread = [p for p in found if p.suffix.lower() in UNREAD_SUFFIXES]
            reason = "pictures of this format are not read: save it as PNG"
            issues += [Issue(key(p, spec.root), None, reason, IGNORED) for p in unread]
        elif place.suffix.lower() in SUFFIXES:
            images.append(place)
        else:
            images += _read_list(place, spec.root)
    if not images:
        raise UserError(f"{spec.path}: '{split}: {', '.join(spec.splits[split])}' holds no image: check the path.")
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
        if candidate.exists():
            return candidate
    raise UserError(
        f"{spec.path}: '{split}: {entry}' does not exist (looked for {spec.root / entry}): correct 'path:' or "
        f"'{split}:'. A 'download:' script in the file is never run here."
    )


def _read_list(path: Path, root: Path) -> list[Path]:
    """The images of a .txt list: absolute, or relative to the list's folder (else to the root)."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a UTF-8 list of images: save it as UTF-8, one path per line.") from None
    images = []
    for line in filter(None, map(str.strip, lines)):
        beside, below = path.parent / _native(line), root / _native(line)
        images.append(beside if beside.exists() or not below.exists() else below)
    return images


def key(path: Path, root: Path) -> str:
    """A name for the file that stays the same when the data set moves: its path below the root."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def label_path(image: Path) -> Path:
    """Where the labels of an image are: the last folder `images` becomes `labels`, the suffix .txt.

    Without a file there, one beside the image is taken, so that no folder called `images` further up can hide it.
    """
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    usual, beside = Path(*parts).with_suffix(".txt"), image.with_suffix(".txt")
    return beside if beside != usual and beside.is_file() and not usual.is_file() else usual


def parse_labels(text: str, num_classes: int) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
    """Rows `class cx cy w h` (normalised) as (n, 5) float64, and the findings as (line, reason, action).

    Polygon rows `class x1 y1 x2 y2 x3 y3 ...` become the box around them; YOLOv5 reads a file with any polygon as
    polygons only, here every row speaks for itself, so that mixed files keep their boxes. Blank lines are skipped.
    When a finding says "image dropped", the rows must not be used (see `health`).
    """
    rows: list[tuple[float, ...]] = []
    findings: list[tuple[int, str, str]] = []
    seen: set[tuple[float, ...]] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        row = _parse_row(words, num_classes)
        if isinstance(row, str):
            findings.append((number, row, DROPPED))
        elif row in seen:
            findings.append((number, "the same row again", ROW_REMOVED))
        elif row[3] <= 0 or row[4] <= 0:
            findings.append((number, "the box has no width or height", ROW_REMOVED))
        else:
            seen.add(row)
            rows.append(row)
    return np.array(rows, np.float64).reshape(-1, BOX_COLUMNS), findings


def _parse_row(words: list[str], num_classes: int) -> tuple[float, ...] | str:
    """(class, cx, cy, w, h), or the reason why the row cannot be used."""
    if len(words) != BOX_COLUMNS and (len(words) < 7 or len(words) % 2 == 0):
        return f"{len(words)} columns instead of 5 (class cx cy w h) or a polygon (class x1 y1 x2 y2 x3 y3 ...)"
    try:
        values = [float(word) for word in words]
    except ValueError:
        return "not a number: " + next(word for word in words if not _is_number(word))
    if not all(math.isfinite(value) for value in values):
        return "NaN or infinity"
    label, coordinates = values[0], values[1:]
    if label != int(label) or not 0 <= label < num_classes:
        return f"class {words[0]} is not in 0..{num_classes - 1}"
    if min(coordinates) < 0 or max(coordinates) > 1:
        worst = min(coordinates) if min(coordinates) < 0 else max(coordinates)
        return f"{worst:g} is outside 0..1 (coordinates are shares of the image's width and height)"
    if len(words) == BOX_COLUMNS:
        return tuple(values)
    xs, ys = coordinates[0::2], coordinates[1::2]
    return (label, (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
