"""Pascal VOC folders: one XML file per image in `Annotations`, the splits as lists in `ImageSets/Main`.

Format: Everingham and Winn, "The PASCAL VOC 2012 Development Kit", section 3; CVAT, Label Studio and Roboflow write it
with small differences, which are read too. Lesson 06.
"""

from __future__ import annotations

import functools
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from yolo_ft.core.errors import UserError
from yolo_ft.data.formats.image_index import ImageIndex
from yolo_ft.data.formats.records import (
    DIFFICULT,
    SPLIT_NAMES,
    SPLITS,
    TRUNCATED,
    Annotation,
    Reader,
    Record,
    check_annotations,
    key,
)
from yolo_ft.data.health import BACKGROUND, DROPPED, IGNORED, Issue
from yolo_ft.data.images import SUFFIXES, files_below

FOLDERS = ("JPEGImages", "images", "Images")  # where the images lie: the devkit's name, and those of other tools
LISTS = Path("ImageSets", "Main")
FLAG = re.compile(r"\s+(-1|0|1)$")  # behind a name in the lists of a class: whether the image shows one
CORNERS = ("xmin", "ymin", "xmax", "ymax")
UNSAFE = "it declares a document type or is not in an 8-bit encoding, which annotations never need: it is not read"


@dataclass(frozen=True)
class VocFile:
    """One XML file: the image's name and (height, width), and per object the class, the corners and the marks.

    `problem` says why the file cannot be used, and is otherwise empty.
    """

    filename: str = ""
    size: tuple[int, int] | None = None
    objects: tuple[tuple[str, tuple[float, ...], frozenset[str]], ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class VocFolder:
    """A VOC folder, its XML files read. `splits`: {split: {image as the lists name it: XML file}}."""

    path: Path
    splits: dict[str, dict[str, Path]]
    files: dict[Path, VocFile]
    names: dict[int, str]
    images: ImageIndex
    origin: int

    @property
    def name(self) -> str:
        """A short name for messages."""
        return self.path.resolve().name

    @property
    def hint(self) -> str:
        """Where annotations are expected."""
        return f"Annotations are expected in {self.path / 'Annotations'}, the splits in {self.path / LISTS}."

    @property
    def folders(self) -> list[Path]:
        """The folder itself and those of the images."""
        return [self.path, *self.images.folders]

    def readers(self, split: str) -> tuple[list[Reader], list[Issue]]:
        """One reader per image of the split, and remarks on the split."""
        entries = self.splits[split]
        numbers = {name: number for number, name in self.names.items()}
        readers = [functools.partial(_read, self, stem, xml, numbers) for stem, xml in entries.items()]
        objects = [each for xml in entries.values() if xml in self.files for each in self.files[xml].objects]
        issues, where = [], f"{split}: Annotations"
        if difficult := sum(DIFFICULT in marks for *_, marks in objects):
            reason = f"the mark 'difficult' of {difficult} objects: they are taken like any other"
            issues.append(Issue(where, None, reason, IGNORED))
        if self.origin and (zeros := sum(min(box[:2]) < 1 for _, box, _ in objects)):
            reason = (
                f"{zeros} boxes begin at 0, but pixels are counted from 1 here: if your tool counts from 0, pass "
                "origin=0 (--origin 0)"
            )
            issues.append(Issue(where, None, reason, IGNORED))
        listed = {xml for images in self.splits.values() for xml in images.values()}
        unlisted = [xml.stem for xml in self.files if xml not in listed]
        if unlisted and split == next(iter(self.splits)):
            reason = f"{len(unlisted)} annotated images, such as '{unlisted[0]}', are in no list and not used"
            issues.append(Issue(LISTS.as_posix(), None, reason, IGNORED))
        return readers, issues


def read_voc(path: Path, images: Path | None = None, origin: int = 1) -> VocFolder:
    """Read the annotations of a VOC folder.

    `images`: where the images lie if not in the folder. `origin`: the number of the first pixel. 1, as the devkit
    counts: whole pixels, both ends included, so xmin=1, xmax=3 is the box from 0 to 3. 0, as some tools write:
    coordinates are taken as they are. Classes: those of `labelmap.txt` (CVAT) in its order, then others by the
    alphabet. Without lists in `ImageSets/Main`, folders `train`, `valid`, `test` with XML files are splits, else
    everything is `train`. Raises `UserError` when there is no annotation.
    """
    if origin not in (0, 1):
        raise UserError(f"origin is {origin}, but the first pixel of VOC files is number 0 or 1.")
    xmls = {folder: [f for f in files_below(folder) if f.match("*.xml")] for folder in _annotation_folders(path)}
    if not any(xmls.values()):
        raise UserError(f"{path} holds no XML file in 'Annotations': pass the folder above 'Annotations'.")
    index = ImageIndex([images] if images else [path / name for name in FOLDERS] + list(xmls))
    files = {xml: read_xml(xml) for folder in xmls for xml in xmls[folder]}
    found = {name for file in files.values() for name, *_ in file.objects}
    listed = _labelmap(path / "labelmap.txt", found)
    names = dict(enumerate([*listed, *sorted(found - set(listed))]))
    return VocFolder(path, _splits(path, xmls, files, index), files, names, index, origin)


def read_xml(path: Path) -> VocFile:
    """One annotation file. A document type is refused, so neither files nor the network are reached by entities."""
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"\0" in content:
            return VocFile(problem=UNSAFE)
        root = ElementTree.fromstring(content)
        objects = tuple(_object(element) for element in root.iter("object"))
        height, width = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("height", "width"))
    except (ElementTree.ParseError, OSError, LookupError, ValueError, OverflowError) as error:
        return VocFile(problem=f"the XML file cannot be used ({error})")
    size = (height, width) if height > 0 and width > 0 else None
    return VocFile((root.findtext("filename") or "").strip(), size, objects)


def _object(element: ElementTree.Element) -> tuple[str, tuple[float, ...], frozenset[str]]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object has no <name>")
    box = element.find("bndbox")
    texts = [None if box is None else box.findtext(corner) for corner in CORNERS]
    if None in texts:
        raise ValueError(f"an object '{name}' has no <bndbox> with xmin, ymin, xmax and ymax")
    marks = [mark for mark in (DIFFICULT, TRUNCATED) if (element.findtext(mark) or "0").strip() not in ("0", "")]
    return name, tuple(map(float, texts)), frozenset(marks)


def _read(folder: VocFolder, stem: str, xml: Path, numbers: dict[str, int]) -> tuple[Record | None, list[Issue]]:
    """The record of one listed image, and the findings."""
    file, place = folder.files.get(xml), key(xml, folder.path)
    image = _image(folder.images, stem, xml, file.filename if file else "")
    if image is None:
        return None, [Issue(place, None, f"there is no image '{stem}' for it", DROPPED)]
    name = key(image, folder.path, *folder.images.folders)
    if file is None:
        record, issues = check_annotations(name, place, image, None, ())
        reason = f"no annotation file {xml.name}"
        return record, [Issue(name, None, reason, BACKGROUND) if i.action == BACKGROUND else i for i in issues]
    if file.problem:
        return None, [Issue(place, None, file.problem, DROPPED)]
    annotations = [
        Annotation(
            f"object {number}, {label}",
            numbers[label],
            (box[0] - folder.origin, box[1] - folder.origin, box[2], box[3]),
            marks,
        )
        for number, (label, box, marks) in enumerate(file.objects, 1)
    ]
    return check_annotations(name, place, image, file.size, annotations)


def _image(images: ImageIndex, stem: str, xml: Path, filename: str) -> Path | None:
    """The image beside its XML file, or of the name that stands in the list; which suffix it has, the file may say."""
    name = Path(filename.replace("\\", "/")).name
    if Path(name).stem != Path(stem).name:  # a file name that was not kept up with the XML file's
        return images.find(stem)
    beside = xml.parent / name
    return beside if os.path.isfile(beside) else images.find(str(Path(stem).parent / name)) or images.find(stem)


def _annotation_folders(path: Path) -> list[Path]:
    """`Annotations`, or what takes its place: the folders of the splits (Roboflow), or the folder itself."""
    if (path / "Annotations").is_dir():
        return [path / "Annotations"]
    return [folder for name in SPLIT_NAMES if (folder := path / name).is_dir()] or [path]


def _splits(
    path: Path, xmls: dict[Path, list[Path]], files: dict[Path, VocFile], images: ImageIndex
) -> dict[str, dict[str, Path]]:
    """{split: {image: XML file}} from the lists, the folders or, without either, all there is."""
    first = next(iter(xmls))
    lists = sorted((path / LISTS).glob("*.txt"))
    named = {SPLIT_NAMES[file.stem.lower()]: file for file in reversed(lists) if file.stem.lower() in SPLIT_NAMES}
    exact = {split: path / LISTS / f"{split}.txt" for split in SPLITS}
    named |= {split: file for split, file in exact.items() if file.is_file()}  # train.txt rather than trainval.txt
    annotated = {xml.relative_to(first).with_suffix("").as_posix(): xml for xml in xmls[first]}
    if named:
        stems = {split: _stems(named[split], annotated, images) for split in SPLITS if split in named}
        return {split: {stem: first / f"{stem}.xml" for stem in stems[split]} for split in stems}
    if first.name in SPLIT_NAMES:
        splits: dict[str, dict[str, Path]] = {}
        for folder, files in xmls.items():
            splits.setdefault(SPLIT_NAMES[folder.name], {}).update({f"{folder.name}/{x.stem}": x for x in files})
        return splits
    taken = {_image(images, stem, xml, files[xml].filename) for stem, xml in annotated.items()}
    stems = sorted({*annotated, *images.stems(taken)})
    return {"train": {stem: first / f"{stem}.xml" for stem in stems}}


def _stems(path: Path, annotated: Collection[str], images: ImageIndex) -> list[str]:
    """The images that a list names, once each, as their XML files are called."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not a UTF-8 list of images: save it as UTF-8, one name per line.") from None
    stems = (_stem(line, annotated, images) for line in lines if line.strip())
    return list(dict.fromkeys(filter(None, stems)))


def _stem(line: str, annotated: Collection[str], images: ImageIndex) -> str:
    """The image that a line names: as it stands where an XML file is called so, else without what tools put around it.

    CVAT puts names with spaces in quotes, others keep the suffix, and the devkit's lists of a class flag every image of
    the split: which objects it shows, its XML file says.
    """
    bare = line.strip().strip('"')
    suffix = Path(bare).suffix
    names = [line, line.strip(), bare, bare.removesuffix(suffix if suffix.lower() in SUFFIXES else "")]
    stem = next((name for name in names if name in annotated), names[-1])
    if stem in annotated or not FLAG.search(stem) or images.find(stem):
        return stem
    return _stem(FLAG.sub("", line.strip()), annotated, images)


def _labelmap(path: Path, found: Iterable[str]) -> list[str]:
    """The classes of CVAT's `labelmap.txt`, lines `name:colour:parts:actions`; `background` only where it is used."""
    if not path.is_file():
        return []
    lines = (line.strip() for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    names = [line.rsplit(":", 3)[0] for line in lines if line and not line.startswith("#")]
    return list(dict.fromkeys(name for name in names if name != "background" or name in found))
