"""One data set in another format: `convert(data, out, format)`."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.data.conversion.whole_set import (
    file_names,
    left_out,
    losses,
    lost_marks,
    read_records,
    source_folders,
)
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.folders import free_place, new_folder
from yolo_ft.data.formats.records import CROWD, Record
from yolo_ft.data.formats.writers import FORMATS, Format
from yolo_ft.data.health import DROPPED, HealthReport, Issue
from yolo_ft.data.images import decode_fault
from yolo_ft.data.progress import progress


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
        lines += losses(self.lost, self.format)
        lines += [f"  {len(self.renamed)} images got another name, as two had the same"] if self.renamed else []
        return "\n".join([*lines, *left_out(self.health)])


def convert(
    data: str | Path | Dataset,
    out: str | Path,
    format: str,
    images: str | Path | None = None,
    origin: int = 1,
) -> Conversion:
    """Write `data` (as for `load_dataset`) into the new folder `out` as "yolo", "voc" or "coco".

    Boxes keep their place to 0.5 px (in fact a hundredth, or a millionth of the image in YOLO), images their bytes,
    splits and classes their names and order. What the target cannot hold, and what was left out by the health rules or
    because it cannot be decoded, is in the returned report. Images are copied, not linked: a tool that later rewrites
    one in place would change your original through a hard link, and symbolic links need special rights on Windows.
    Drawn images become PNG. The source is only read. Raises `UserError` when `out` exists, when classes that the format
    tells by their names have the same one, and when no image can be decoded. Lesson 06.
    """
    if format not in FORMATS:
        raise UserError(f"There is no format '{format}' to write: choose one of {', '.join(FORMATS)}.")
    kept = source_folders(data, images)
    free_place(out, kept)  # complains before any image is read
    target, names, splits, health = FORMATS[format], *read_records(data, images, origin)
    if format != "yolo":  # whose labels hold numbers
        _check_names(names, format)
    report = Conversion(Path(out).expanduser(), format, health=health)
    with new_folder(out, kept) as folder:
        written = _copied(folder, target, splits, report)
        target.write(folder, names, written)
    report.images = {split: len(records) for split, records in written.items()}
    report.objects = {split: sum(len(r.target) for r in records) for split, records in written.items()}
    return report


def _check_names(names: dict[int, str], format: str) -> None:
    """Refuse classes of one name, which formats without class numbers would make one class."""
    numbers: dict[str, int] = {}
    for number, name in names.items():
        if (first := numbers.setdefault(name.strip(), number)) != number:
            raise UserError(
                f"Classes {first} and {number} are both called '{name.strip()}', and {format} tells classes by their "
                "names: rename one in data.yaml."
            )


def _copied(
    folder: Path, target: Format, splits: dict[str, list[Record]], report: Conversion
) -> dict[str, list[Record]]:
    """Copy every image and return records of the copies, reduced to what the target holds; the rest is told."""
    names = file_names(record for records in splits.values() for record in records)
    written: dict[str, list[Record]] = {}
    read: list[Record] = []
    for split, records in splits.items():
        place = folder / target.images.format(split=split)
        place.mkdir(parents=True, exist_ok=True)
        places = [place / names[id(record)] for record in records]
        with ThreadPoolExecutor(reading_threads()) as pool:  # map: what waits is cancelled when one fails
            issues = list(progress(pool.map(_copy, records, places), len(records), f"copying {split}"))
        health = report.health[split]
        report.health[split] = replace(health, issues=[*health.issues, *filter(None, issues)])
        copies = [(record, path) for record, path, issue in zip(records, places, issues, strict=True) if not issue]
        read += [record for record, _ in copies]
        written[split] = [_held(replace(record, image=path), target) for record, path in copies]
        renamed = {r.key: path.name for r, path in copies if isinstance(r.image, Path) and r.image.name != path.name}
        report.renamed |= renamed
    if not read:
        raise UserError("No image can be decoded: " + " ".join(left_out(report.health)).strip())
    report.lost = lost_marks(read, target)
    return written


def _held(record: Record, target: Format) -> Record:
    """The record without crowd regions, unless the target can mark them."""
    if CROWD in target.holds:
        return record
    kept = [i for i, marks in enumerate(record.marks) if CROWD not in marks]
    return replace(record, target=record.target.keep(np.array(kept, int)), marks=tuple(record.marks[i] for i in kept))


def _copy(record: Record, place: Path) -> Issue | None:
    """Copy one image; why it cannot be decoded, where it is not copied. The scan does not find that always."""
    if isinstance(record.image, np.ndarray):
        Image.fromarray(record.image).save(place)
        return None
    if fault := decode_fault(record.image):
        return Issue(record.key, None, fault, DROPPED)
    shutil.copyfile(record.image, place)
    return None
