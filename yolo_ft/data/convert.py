"""One data set in another format: `convert(data, out, format)`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import DRAWN, Dataset, load_splits
from yolo_ft.data.folders import new_folder
from yolo_ft.data.health import DROPPED, HealthReport
from yolo_ft.data.records import CROWD, DIFFICULT, POLYGON, TRUNCATED, Record
from yolo_ft.data.scan import open_source, scan, threads
from yolo_ft.data.writers import FORMATS, Format

LOSSES = {
    CROWD: "crowd regions left out, boxes and all: {format} would make single objects of them",
    DIFFICULT: "boxes lose the mark 'difficult'",
    TRUNCATED: "boxes lose the mark 'truncated'",
    POLYGON: "outlines (polygons or masks) become the boxes around them",
}


@dataclass
class Conversion:
    """What `convert` did. `images`, `objects`: per split. `lost`: {what the target cannot hold: how often}.

    `renamed`: {key in the source: new file name} where two images had the same name. `health`: the findings per split.
    """

    out: Path
    format: str
    images: dict[str, int] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    health: dict[str, HealthReport] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f"{name} {number} images, {self.objects[name]} boxes" for name, number in self.images.items()]
        lines = [f"{self.out} ({self.format}): {'; '.join(parts)}"]
        lines += [f"  {number} {LOSSES[mark].format(format=self.format)}" for mark, number in self.lost.items()]
        lines += [f"  {len(self.renamed)} images got another name, as two had the same"] if self.renamed else []
        lines += [f"  left out, {split}: {issue}" for split, issue in self._left_out()]
        return "\n".join(lines)

    def _left_out(self) -> list[tuple[str, object]]:
        return [
            (split, issue)
            for split, report in self.health.items()
            for issue in report.issues
            if issue.action in (DROPPED, "row removed") and "(iscrowd)" not in issue.reason
        ]


def convert(
    data: str | Path | Dataset,
    out: str | Path,
    format: str,
    images: str | Path | None = None,
    origin: int = 1,
) -> Conversion:
    """Write `data` (as for `load_dataset`) into the new folder `out` as "yolo", "voc" or "coco".

    Boxes keep their place to 0.5 px (in fact a hundredth, or a millionth of the image in YOLO), images their bytes,
    splits and classes their names and order. What the target cannot hold, and what the health rules took away, is in
    the returned report. Images are copied, not linked: a tool that later rewrites one in place would change your
    original through a hard link, and symbolic links need special rights on Windows. Drawn images become PNG. The source
    is only read. Raises `UserError` when `out` exists. Lesson 06.
    """
    if format not in FORMATS:
        raise UserError(f"There is no format '{format}' to write: choose one of {', '.join(FORMATS)}.")
    target, names, splits, health = FORMATS[format], *read_records(data, images, origin)
    report = Conversion(Path(out).expanduser(), format, health=health)
    with new_folder(out, source_folder(data)) as folder:
        written = _copied(folder, target, splits, report)
        target.write(folder, names, written)
    report.images = {split: len(records) for split, records in written.items()}
    report.objects = {split: sum(len(r.target) for r in records) for split, records in written.items()}
    return report


def read_records(
    data: str | Path | Dataset, images: str | Path | None = None, origin: int = 1
) -> tuple[dict[int, str], dict[str, list[Record]], dict[str, HealthReport]]:
    """({class index: name}, {split: records}, {split: findings}) of a data set; `UserError` when no image is left."""
    drawn = isinstance(data, Dataset) or str(data) in DRAWN
    if drawn:
        found = load_splits(data, images, origin)
        splits = {split: _of_dataset(dataset) for split, dataset in found.items()}
    else:
        source = open_source(data, images, origin)
        found = {split: scan(source, split) for split in source.splits}
        splits = {split: each.records for split, each in found.items()}
    health = {split: each.health for split, each in found.items()}
    if not any(splits.values()):
        summaries = " ".join(report.summary(2) for report in health.values())
        raise UserError(f"There is no image to work on; if they lie elsewhere, pass images=FOLDER. {summaries}")
    return next(iter(found.values())).names, splits, health


def _of_dataset(dataset: Dataset) -> list[Record]:
    """The images of a `Dataset`, which holds no marks."""
    records = []
    for i in range(len(dataset)):
        target, image = dataset.target(i), dataset.path(i)
        marks = (frozenset(),) * len(target)
        records.append(Record(dataset.keys[i], image or dataset.image(i), dataset.size(i), target, marks))
    return records


def _copied(
    folder: Path, target: Format, splits: dict[str, list[Record]], report: Conversion
) -> dict[str, list[Record]]:
    """Copy every image and return records of the copies, reduced to what the target holds; the rest is counted."""
    names = file_names(record for records in splits.values() for record in records)
    lost: Counter[str] = Counter()
    written: dict[str, list[Record]] = {}
    with ThreadPoolExecutor(threads()) as pool:
        copies = []
        for split, records in splits.items():
            place = folder / target.images.format(split=split)
            place.mkdir(parents=True, exist_ok=True)
            written[split] = []
            for record in records:
                name = names[id(record)]
                if isinstance(record.image, Path) and name != record.image.name:
                    report.renamed[record.key] = name
                copies.append(pool.submit(_copy, record.image, place / name))
                lost.update(mark for marks in record.marks for mark in marks - target.holds)
                written[split].append(_held(replace(record, image=place / name), target))
        for copy in copies:
            copy.result()
    report.lost = dict(sorted(lost.items()))
    return written


def _held(record: Record, target: Format) -> Record:
    """The record without crowd regions, unless the target can mark them."""
    if CROWD in target.holds:
        return record
    kept = [i for i, marks in enumerate(record.marks) if CROWD not in marks]
    return replace(record, target=record.target.keep(np.array(kept, int)), marks=tuple(record.marks[i] for i in kept))


def _copy(image: Path | np.ndarray, place: Path) -> None:
    if isinstance(image, Path):
        shutil.copyfile(image, place)
    else:
        Image.fromarray(image).save(place)


def file_names(records: Iterable[Record]) -> dict[int, str]:
    """A file name for each record whose stem no other has, upper and lower case alike, so that labels find images.

    The second image of a name gets those of its folders in front, as drawn images always do.
    """
    names: dict[int, str] = {}
    taken: set[str] = set()
    for record in records:
        drawn = isinstance(record.image, np.ndarray)
        long = "_".join(PurePath(record.key if drawn else PurePath(record.key).with_suffix("")).parts[-3:])
        stem, suffix = (long, ".png") if drawn else (record.image.stem, record.image.suffix)
        choices = chain([stem, long], (f"{long}_{number}" for number in count(2)))
        unique = next(choice for choice in choices if choice.casefold() not in taken)
        taken.add(unique.casefold())
        names[id(record)] = unique + suffix
    return names


def source_folder(data: str | Path | Dataset) -> Path | None:
    path = None if isinstance(data, Dataset) else Path(data).expanduser()
    return path if path is None or path.is_dir() else path.parent if path.is_file() else None
