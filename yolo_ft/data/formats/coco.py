"""COCO's JSON files (`instances_*.json`): images, boxes and categories of one split in one file.

Format: cocodataset.org, "Data format"; also as CVAT (`annotations/instances_default.json`), Roboflow
(`train/_annotations.coco.json`) and Label Studio (`result.json`) write it. Lesson 06.
"""

from __future__ import annotations

import functools
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.image_index import ImageIndex
from yolo_ft.data.formats.records import (
    CROWD,
    POLYGON,
    SPLIT_NAMES,
    SPLITS,
    Annotation,
    Reader,
    Record,
    check_annotations,
    key,
)
from yolo_ft.data.health import DROPPED, IGNORED, ROW_REMOVED, Issue

REFERENCES = (
    ("images", "id"),
    ("annotations", "image_id"),
    ("annotations", "category_id"),
    ("categories", "supercategory"),
)


@dataclass(frozen=True)
class CocoSet:
    """COCO files, one per split. `contents`: {split: parsed file}; `left_out`: parent categories without a box."""

    path: Path
    root: Path
    splits: dict[str, Path]
    contents: dict[str, dict]
    names: dict[int, str]
    left_out: tuple[str, ...]
    images: dict[str, ImageIndex]

    @property
    def name(self) -> str:
        """A short name for messages."""
        return self.root.resolve().name

    @property
    def hint(self) -> str:
        """Where images were looked for."""
        folders = {str(folder) for index in self.images.values() for folder in index.folders}
        return f"Images were looked for in {', '.join(sorted(folders)) or self.root}."

    @property
    def folders(self) -> list[Path]:
        """The folders of the files and those in which images are looked for."""
        places = [file.parent for file in self.splits.values()]
        return [*places, self.root, *(folder for index in self.images.values() for folder in index.folders)]

    def readers(self, split: str) -> tuple[list[Reader], list[Issue]]:
        """One reader per image of the split, in the order of the file, and what was passed over.

        Raises `UserError` when no annotation belongs to an image of the file.
        """
        content, file = self.contents[split], key(self.splits[split], self.root)
        reason = "the category has no box and only groups others: it is no class here"
        issues = [Issue(file, None, f"'{name}': {reason}", IGNORED) for name in self.left_out]
        by_image: dict[str, list[dict]] = defaultdict(list)
        for annotation in content["annotations"]:
            by_image[str(annotation.get("image_id"))].append(annotation)  # text: some tools quote one of the two ids
        images: dict[str, dict] = {}
        for image in content["images"]:
            if str(image.get("id")) in images:
                issues.append(Issue(str(image.get("file_name")), None, "an image with this id was there", IGNORED))
            images.setdefault(str(image.get("id")), image)
        orphans = [i for i in by_image if i not in images]
        if by_image and len(orphans) == len(by_image):
            raise UserError(
                f"{self.splits[split]}: no 'image_id' of its {len(content['annotations'])} annotations is the 'id' of "
                "one of its images: export it again."
            )
        for orphan in orphans:
            reason = f"{len(by_image[orphan])} boxes belong to image {orphan!r}, which the file does not list"
            issues.append(Issue(file, None, reason, ROW_REMOVED))
        entries, twice = self._entries(split, images, by_image)
        numbers = {name: number for number, name in self.names.items()}
        labels = {c["id"]: numbers[c["name"]] for c in content["categories"] if c["name"] in numbers}
        return [functools.partial(_read, self, split, *entry, labels) for entry in entries], [*issues, *twice]

    def _entries(
        self, split: str, images: dict[str, dict], by_image: Mapping[str, list[dict]]
    ) -> tuple[list[tuple[dict, Path | None, list[dict]]], list[Issue]]:
        """(entry, image file, annotations) once per file: entries of one file are taken together, which is a finding.

        Taken apart, each would teach the objects of the other as background.
        """
        entries: dict[Path | str, tuple[dict, Path | None, list[dict]]] = {}
        issues = []
        for number, image in images.items():
            path = self.images[split].find(str(image.get("file_name", "")))
            if path in entries:
                entries[path][2].extend(by_image[number])
                reason = "the file lists this image twice, with different ids: their annotations are taken together"
                issues.append(Issue(path.name, None, reason, IGNORED))
            else:
                entries[path or number] = image, path, list(by_image[number])
        return list(entries.values()), issues


def read_coco(path: Path, files: Sequence[Path], images: Path | None = None) -> CocoSet:
    """The data set of the COCO files `files` (see `coco_files`), `path` being what the user named.

    `images`: where the images lie if not beside the file, in `images`, or in a folder called like the split. Classes:
    the categories of all files by name, in the order of their ids; ids may have gaps. A category that has no box and is
    another one's `supercategory` (Roboflow's category 0) is left out. Raises `UserError` with the mend.
    """
    splits: dict[str, Path] = {}
    for file in files:
        split = split_of(file)
        if split in splits:
            both = f"{splits[split].name} and {file.name}"
            raise UserError(f"{path}: {both} both look like '{split}': pass the path of one of them.")
        splits[split] = file
    splits = {split: splits[split] for split in SPLITS if split in splits}
    contents = {split: _content(file) for split, file in splits.items()}
    categories = [category for content in contents.values() for category in content["categories"]]
    used: set[str] = set()
    for content in contents.values():
        ids = {annotation.get("category_id") for annotation in content["annotations"]}
        used.update(c["name"] for c in content["categories"] if c["id"] in ids)
    parents = {c.get("supercategory") for c in categories if c.get("supercategory") != c["name"]}
    every = list(dict.fromkeys(category["name"] for category in categories))
    left_out = tuple(name for name in every if name in parents and name not in used)
    names = dict(enumerate(name for name in every if name not in left_out))
    first = next(iter(splits.values()))
    root = first.parent.parent if first.parent.name in ("annotations", *SPLIT_NAMES) else first.parent
    indices = {split: ImageIndex([images]) if images else _index(file, split) for split, file in splits.items()}
    return CocoSet(path, root, splits, contents, names, left_out, indices)


def coco_files(folder: Path) -> list[Path]:
    """The COCO files of a folder as people and tools lay them out; empty where there is none."""
    beside = sorted(folder.glob("*.coco.json")) or sorted(folder.glob("result.json"))
    below = sorted(file for name in SPLIT_NAMES for file in (folder / name).glob("*.coco.json"))
    annotations = sorted((folder / "annotations").glob("*.json"))
    instances = [file for file in annotations if file.name.startswith("instances")]
    return below or instances or annotations or beside or sorted(folder.glob("instances*.json"))


def split_files(folder: Path) -> list[Path]:
    """The JSON files of a folder that are called like splits (`train.json`); only where no other format is found."""
    return sorted(file for file in folder.glob("*.json") if _word(file.stem) in SPLIT_NAMES)


def split_of(file: Path) -> str:
    """The split that the name of a COCO file or of its folder tells: `instances_val2017.json` is val; else train."""
    words = [file.parent.name.lower(), *re.findall("[a-z]+", file.stem.lower())]
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "train")


def _index(file: Path, split: str) -> ImageIndex:
    """Where the images of a file are looked for: folders of its own name (`val2017`) first.

    Those of splits whose files lie beside it are left out: they have images of the same names with other boxes.
    """
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    own = file.stem.removeprefix("instances_")
    names = dict.fromkeys((own, split, *(name for name, meaning in SPLIT_NAMES.items() if meaning == split)))
    parents = [parent for parent in (root / "images", root) if parent.is_dir()]
    below = [parent / name for parent in parents for name in names]
    others = {split_of(other) for other in file.parent.glob("*.json")} - {split}
    without = [f for parent in parents for f in parent.iterdir() if SPLIT_NAMES.get(_word(f.name)) in others]
    return ImageIndex([*below, root / "images", file.parent, root], without)


def _word(name: str) -> str:
    """A name without a year or number behind it: `Val2017` -> val."""
    return name.lower().rstrip("0123456789_-")


def _content(file: Path) -> dict:
    """The parsed file, with its three lists checked."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text: save it as UTF-8.") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{file} is not valid JSON ({error}): export it again.") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        raise UserError(f"{file} is no COCO file of boxes: it must hold the lists images, annotations and categories.")
    if not all(isinstance(each, dict) for part in parts for each in content[part]):
        raise UserError(f"{file}: images, annotations and categories must be lists of objects: export it again.")
    _check_references(file, content)
    names: dict[str, int] = {}
    for category in content["categories"]:
        name = category["name"] = str(category.get("name", ""))
        if not name or not isinstance(category.get("id"), int):
            raise UserError(f"{file}: a category has no name or no whole number as id: export it again.")
        if name in names:
            raise UserError(
                f"{file}: categories {names[name]} and {category['id']} are both called '{name}': rename one."
            )
        if category["id"] in names.values():
            raise UserError(f"{file}: two categories have the id {category['id']}, one is '{name}': give each its own.")
        names[name] = category["id"]
    quoted = {str(number): number for number in names.values()}  # some tools put ids in quotes in one of the two lists
    for annotation in content["annotations"]:
        category = annotation.get("category_id")
        annotation["category_id"] = quoted.get(category, category)
    content["categories"].sort(key=lambda category: category["id"])
    return content


def _check_references(file: Path, content: dict) -> None:
    """Refuse lists and objects where COCO names something by a number or text."""
    for part, field in REFERENCES:
        if any(isinstance(each.get(field), list | dict) for each in content[part]):
            raise UserError(f"{file}: each '{field}' in its {part} must be one number or text: export it again.")


def _read(
    source: CocoSet, split: str, image: dict, path: Path | None, annotations: list[dict], labels: dict[int, int]
) -> tuple[Record | None, list[Issue]]:
    """The record of one entry of `images` with its annotations, and the findings."""
    if path is None:
        return None, [Issue(str(image.get("file_name", "")), None, "there is no image of this name", DROPPED)]
    place, found = key(path, source.root, *source.images[split].folders), []
    for annotation in annotations:
        what = f"annotation {annotation.get('id')}"
        if annotation.get("category_id") not in labels:
            reason = f"{what}: category {annotation.get('category_id')!r} is not in the file's list"
            return None, [Issue(place, None, reason, DROPPED)]
        box = _corners(annotation)
        if box is None:
            return None, [Issue(place, None, f"{what} has no 'bbox' of four numbers", DROPPED)]
        marks = {CROWD} if str(annotation.get("iscrowd") or 0).lower() not in ("0", "false") else set()
        if annotation.get("segmentation"):
            marks.add(POLYGON)
        label = labels[annotation["category_id"]]
        found.append(Annotation(f"{what}, {source.names[label]}", label, box, frozenset(marks)))
    return check_annotations(place, place, path, _stated(image), found)


def _stated(image: dict) -> tuple[int, int] | None:
    """The (height, width) that an entry of `images` gives, as numbers or as text; None where it gives none."""
    try:
        height, width = (int(float(image[side])) for side in ("height", "width"))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None


def _corners(annotation: dict) -> tuple[float, float, float, float] | None:
    """The xyxy corners of `bbox` [left, top, width, height], or of the outline where there is no `bbox`."""
    box, outline = annotation.get("bbox"), annotation.get("segmentation")
    try:
        if box:
            x, y, width, height = map(float, box)
            return x, y, x + width, y + height
        points = [float(value) for polygon in outline for value in polygon]
        return min(points[0::2]), min(points[1::2]), max(points[0::2]), max(points[1::2])
    except (TypeError, ValueError, OverflowError):  # a whole number may be larger than any float
        return None
