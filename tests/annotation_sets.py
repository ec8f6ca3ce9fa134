"""Small data sets in the formats of other tools, and what two data sets have in common."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from picture_sets import photograph
from PIL import Image

from yolo_ft.data.dataset import Dataset

VOC_OBJECT = """<object><name>{name}</name><pose>Unspecified</pose>{extra}<bndbox><xmin>{0}</xmin><ymin>{1}</ymin>
<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""


def draw(path: Path, size: tuple[int, int] = (60, 100), seed: int = 0) -> Path:
    """Write an image of (height, width) at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photograph(*size, seed)).save(path)
    return path


def voc_xml(filename: str, objects: Sequence[tuple], size: tuple[int, int] | None = (60, 100), extra: str = "") -> str:
    """A VOC file; `objects`: (name, xmin, ymin, xmax, ymax), `extra`: what stands in each besides."""
    text = "" if size is None else f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>"
    inner = "".join(VOC_OBJECT.format(*box, name=name, extra=extra) for name, *box in objects)
    return f"<annotation><folder>f</folder><filename>{filename}</filename>{text}{inner}</annotation>"


def write_voc_set(folder: Path, files: Mapping[str, str], lists: Mapping[str, str] | None = None) -> Path:
    """Annotations/<stem>.xml and JPEGImages/<stem>.png for each of `files` (stem: XML text), ImageSets/Main/<name>."""
    (folder / "Annotations").mkdir(parents=True)
    for seed, (stem, text) in enumerate(files.items()):
        (folder / "Annotations" / f"{stem}.xml").write_bytes(text.encode("utf-8"))
        draw(folder / "JPEGImages" / f"{stem}.png", seed=seed)
    for name, text in (lists or {}).items():
        path = folder / "ImageSets" / "Main" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def coco_text(
    images: Sequence[tuple], annotations: Sequence[tuple], categories: Mapping[int, str], /, **more: object
) -> str:
    """A COCO file. `images`: (id, file name, height, width); `annotations`: (image id, category id, bbox)."""
    content = {
        "images": [{"id": i, "file_name": name, "height": h, "width": w} for i, name, h, w in images],
        "annotations": [
            {"id": 10 + n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": 0}
            for n, (image, category, box) in enumerate(annotations)
        ],
        "categories": [{"id": i, "name": name} for i, name in categories.items()],
    }
    return json.dumps({**content, **more})


def write(path: Path, text: str) -> Path:
    """Write `text` as UTF-8, making folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def boxes_of(dataset: Dataset, index: int = 0) -> list[tuple]:
    """(class name, x1, y1, x2, y2) of every object of one image, rounded to a thousandth, in order."""
    target = dataset.target(index)
    rows = zip(target.labels.tolist(), target.boxes.tolist(), strict=True)
    return [(dataset.names[label], *(round(value, 3) for value in box)) for label, box in rows]


def differences(one: Mapping[str, Dataset], other: Mapping[str, Dataset]) -> dict[str, tuple[list, list]]:
    """{file name: (boxes only in `one`, boxes only in `other`)} over all splits; boxes within 0.5 px are the same."""
    rows = [
        {Path(d.keys[i]).name: boxes_of(d, i) for d in sets.values() for i in range(len(d))} for sets in (one, other)
    ]
    assert rows[0].keys() == rows[1].keys()
    found = {name: (_without(rows[0][name], rows[1][name]), _without(rows[1][name], rows[0][name])) for name in rows[0]}
    return {name: both for name, both in found.items() if any(both)}


def _without(rows: list[tuple], others: list[tuple]) -> list[tuple]:
    """The rows that have no partner among the others; each partner serves once."""
    free, alone = list(others), []
    for name, *box in rows:
        partner = next((o for o in free if o[0] == name and np.abs(np.subtract(o[1:], box)).max() <= 0.5), None)
        if partner is None:
            alone.append((name, *box))
        else:
            free.remove(partner)
    return alone


def reasons(dataset: Dataset) -> Counter:
    """{action: how often} of the findings."""
    return Counter(issue.action for issue in dataset.health.issues)
