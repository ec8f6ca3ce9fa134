"""Records as files: one YOLO, Pascal VOC or COCO folder, boxes kept to a hundredth of a pixel.

Every writer gets {split: records} whose images lie already in place, and writes what the format wants besides them.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from yolo_ft.core.boxes import xyxy_to_cxcywh
from yolo_ft.core.targets import Detections, Target
from yolo_ft.data.formats.records import CROWD, DIFFICULT, SPLITS, TRUNCATED, Record

Splits = Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Format:
    """A format to write: the folder of a split's images, the marks that it can hold, and what writes the rest."""

    images: str
    holds: frozenset[str]
    write: Callable[[Path, dict[int, str], Splits], None]


def write_yolo(folder: Path, names: dict[int, str], splits: Splits) -> None:
    """`data.yaml` and, for each image, `labels/SPLIT/STEM.txt` with rows `class cx cy w h` as shares of the image."""
    for split, records in splits.items():
        labels = folder / "labels" / split
        labels.mkdir(parents=True)
        for record in records:
            _write(labels / f"{record.image.stem}.txt", yolo_rows(record))
    write_data_yaml(folder, names, {split: f"images/{split}" for split in SPLITS if split in splits})


def write_data_yaml(folder: Path, names: dict[int, str], places: Mapping[str, str], remark: str = "") -> None:
    """`data.yaml` with the place of every split, as seen from `folder`; `remark`: its first line.

    No `path` is written: other tools would look for it from where they run.
    """
    text = yaml.safe_dump({**places, "names": dict(names)}, sort_keys=False, allow_unicode=True)
    _write(folder / "data.yaml", f"# {remark}\n{text}" if remark else text)


def yolo_rows(record: Record) -> str:
    """The label file of a record: `class cx cy w h` per box, six decimals, shares of the image's width and height."""
    height, width = record.size
    boxes = xyxy_to_cxcywh(record.target.boxes.astype(float)) / [width, height, width, height]
    rows = zip(record.target.labels.tolist(), boxes.tolist(), strict=True)
    return "".join(f"{label} {' '.join(f'{value:.6f}' for value in box)}\n" for label, box in rows)


def write_predictions(
    folder: Path, image: Path, size: tuple[int, int], found: Detections, names: dict[int, str]
) -> None:
    """What was found in one image as a label file in `folder`/labels, and `classes.txt`: Label Studio's layout.

    `image`: the image's path below its own folder, which the label file takes over; `size`: its (height, width).
    Scores are left out, so that the files are labels like any other.
    """
    label = (folder / "labels" / image).with_suffix(".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    target = Target(found.boxes, found.labels)
    marks = (frozenset(),) * len(target)
    _write(label, yolo_rows(Record(image.as_posix(), image, size, target, marks)))
    _write(folder / "classes.txt", "".join(f"{name}\n" for name in names.values()))


def write_voc(folder: Path, names: dict[int, str], splits: Splits) -> None:
    """`Annotations`, `ImageSets/Main` and `labelmap.txt`, which keeps the order of the classes; pixels from 1 on."""
    lists, annotations = folder / "ImageSets" / "Main", folder / "Annotations"
    lists.mkdir(parents=True)
    annotations.mkdir()
    for split, records in splits.items():
        _write(lists / f"{split}.txt", "".join(f"{record.image.stem}\n" for record in records))
        for record in records:
            _write(annotations / f"{record.image.stem}.xml", _voc_xml(record, names))
    rows = "".join(f"{name}:::\n" for name in names.values())
    _write(folder / "labelmap.txt", f"# label:color_rgb:parts:actions\n{rows}")


def write_coco(folder: Path, names: dict[int, str], splits: Splits) -> None:
    """`annotations/instances_SPLIT.json` for each split; category ids begin at 1."""
    (folder / "annotations").mkdir()
    categories = [{"id": number + 1, "name": name, "supercategory": name} for number, name in names.items()]
    image_id = box_id = 0
    for split, records in splits.items():
        images, annotations = [], []
        for record in records:
            image_id += 1
            height, width = record.size
            images.append({"id": image_id, "file_name": record.image.name, "width": width, "height": height})
            rows = zip(record.target.boxes.tolist(), record.target.labels.tolist(), record.marks, strict=True)
            for (x1, y1, x2, y2), label, marks in rows:
                box_id += 1
                w, h = x2 - x1, y2 - y1
                entry = {"id": box_id, "image_id": image_id, "category_id": label + 1}
                entry |= {"bbox": [round(value, 2) for value in (x1, y1, w, h)], "area": round(w * h, 2)}
                annotations.append(entry | {"segmentation": [], "iscrowd": int(CROWD in marks)})
        content = {"images": images, "annotations": annotations, "categories": categories}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
        _write(folder / "annotations" / f"instances_{split}.json", text + "\n")


def _voc_xml(record: Record, names: dict[int, str]) -> str:
    height, width = record.size
    root = ElementTree.Element("annotation")
    _add(root, folder="JPEGImages", filename=record.image.name)
    _add(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    _add(root, segmented=0)
    rows = zip(record.target.boxes.tolist(), record.target.labels.tolist(), record.marks, strict=True)
    for (x1, y1, x2, y2), label, marks in rows:
        element = ElementTree.SubElement(root, "object")
        _add(element, name=names[label], pose="Unspecified")
        _add(element, truncated=int(TRUNCATED in marks), difficult=int(DIFFICULT in marks))
        corners = dict(xmin=_pixel(x1 + 1), ymin=_pixel(y1 + 1), xmax=_pixel(x2), ymax=_pixel(y2))
        _add(ElementTree.SubElement(element, "bndbox"), **corners)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(parent: ElementTree.Element, **children: object) -> None:
    for name, value in children.items():
        ElementTree.SubElement(parent, name).text = str(value)


def _pixel(value: float) -> str:
    """Two decimals where there are any: rounding to whole pixels would leave nothing of a box that is half a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


FORMATS = {
    "yolo": Format("images/{split}", frozenset(), write_yolo),
    "voc": Format("JPEGImages", frozenset({DIFFICULT, TRUNCATED}), write_voc),
    "coco": Format("images/{split}", frozenset({CROWD}), write_coco),
}
