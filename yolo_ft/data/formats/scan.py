"""From what the user names to checked records: which format a data set has, and every image of a split looked at."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import catalog
from yolo_ft.data.catalog.public_sets import SETS
from yolo_ft.data.formats.coco import coco_files, read_coco, split_files
from yolo_ft.data.formats.image_index import ImageIndex
from yolo_ft.data.formats.records import Record, Scan, Source
from yolo_ft.data.formats.voc import read_voc
from yolo_ft.data.formats.yolo import read_spec
from yolo_ft.data.formats.yolo_exports import read_classes_txt, read_obj_data
from yolo_ft.data.health import HealthReport
from yolo_ft.data.progress import progress

YAMLS = (".yaml", ".yml")
KNOWN = (
    "a data.yaml (YOLO), Annotations with XML files (Pascal VOC), annotations/instances_*.json, train.json, "
    "_annotations.coco.json or result.json (COCO), obj.data (CVAT) or classes.txt with labels (Label Studio)"
)


def open_source(data: str | Path, images: str | Path | None = None, origin: int = 1) -> Source:
    """The data set at `data`: a YOLO, VOC or COCO folder, or the file that describes it. Annotations alone are read.

    `images`: the folder of the images where they do not lie with the annotations. `origin`: see `read_voc`.
    """
    path = Path(data).expanduser()
    folder = None if images is None else Path(images).expanduser()
    if folder is not None and not folder.is_dir():
        raise UserError(f"images: {folder} is no folder (from {Path.cwd()}): pass the folder that holds the images.")
    index = None if folder is None else ImageIndex([folder])
    if path.is_dir():
        return _open_folder(path, folder, index, origin)
    if path.is_file():
        if path.suffix.lower() in YAMLS:
            return read_spec(path, index)
        if path.suffix.lower() == ".json":
            return read_coco(path, [path], folder)
        if path.name == "obj.data":
            return read_obj_data(path, index)
        raise UserError(f"{path} is no data.yaml and no COCO file (.json): pass one, or the unpacked folder.")
    if known := catalog.find(data):
        return _open_folder(known, folder, index, origin)
    text = str(data)
    if path.parent == Path() and path.suffix in ("", *YAMLS):
        close = difflib.get_close_matches(path.stem.lower(), [*SETS, "cells", "defects"], 1)
        hint = f"did you mean '{close[0]}'? Or " if close else ""
        raise UserError(
            f"{path.stem or text} is not on this machine and none of the sets of `yolo-ft data list`: {hint}pass the "
            "path of its data.yaml; offline you can use data='cells'."
        )
    raise UserError(f"{text} does not exist (from {Path.cwd()}): pass the path of a data.yaml, or data='cells'.")


def scan(source: Source, split: str) -> Scan:
    """Check every image of a split and its annotations."""
    if split not in source.splits:
        have = ", ".join(source.splits)
        raise UserError(f"{source.path} has no '{split}:' entry (it has {have}): add it, or ask for one of these.")
    readers, issues = source.readers(split)
    records: list[Record] = []
    with ThreadPoolExecutor(reading_threads()) as pool:
        for record, findings in progress(pool.map(lambda read: read(), readers), len(readers), f"reading {split}"):
            issues += findings
            if record is not None:
                records.append(record)
    counts = [len(record.objects()) for record in records]
    return Scan(source.name, split, source.names, records, HealthReport.of(source.name, split, counts, issues))


def _open_folder(path: Path, folder: Path | None, index: ImageIndex | None, origin: int) -> Source:
    """The data set in a folder, whose format its files tell."""
    yamls = sorted(file for file in path.iterdir() if file.suffix in YAMLS and file.is_file())
    named = [file for file in yamls if file.stem == "data"] or yamls
    if len(named) > 1:
        names = ", ".join(file.name for file in named)
        raise UserError(f"{path} should hold one data.yaml but holds several ({names}): pass the path of the file.")
    if named:
        return read_spec(named[0], index)
    if (path / "obj.data").is_file():
        return read_obj_data(path / "obj.data", index)
    if files := coco_files(path):
        return read_coco(path, files, folder)
    if (path / "classes.txt").is_file() and (path / "labels").is_dir():
        return read_classes_txt(path / "classes.txt", index)
    if any(next(path.glob(pattern), None) for pattern in ("Annotations/*", "*.xml", "train/*.xml")):
        return read_voc(path, folder, origin)
    if files := split_files(path):
        return read_coco(path, files, folder)
    inner = [child.name for child in sorted(path.iterdir()) if child.is_dir() and (child / "Annotations").is_dir()]
    also = f"; below it are the VOC folders {', '.join(inner)}: pass one of these" if inner else ""
    raise UserError(f"{path} should hold {KNOWN}, but holds none of them: pass the folder or file that does{also}.")
