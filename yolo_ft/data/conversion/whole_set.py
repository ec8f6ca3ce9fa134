"""A whole data set as records, for what makes another one of it: every split, file names, and what is only read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path, PurePath

import numpy as np

from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset, load_splits
from yolo_ft.data.drawn.sets import drawn_set
from yolo_ft.data.formats.records import CROWD, DIFFICULT, POLYGON, TRUNCATED, Record
from yolo_ft.data.formats.scan import open_source, scan
from yolo_ft.data.formats.writers import Format
from yolo_ft.data.formats.yolo import ELSEWHERE
from yolo_ft.data.health import CUT, DROPPED, ROW_REMOVED, HealthReport

LOSSES = {
    CROWD: "crowd regions are left out: {format} would make single objects of them",
    DIFFICULT: "boxes lose the mark 'difficult'",
    TRUNCATED: "boxes lose the mark 'truncated'",
    POLYGON: "outlines (polygons or masks) become the boxes around them",
}


def read_records(
    data: str | Path | Dataset, images: str | Path | None = None, origin: int = 1
) -> tuple[dict[int, str], dict[str, list[Record]], dict[str, HealthReport]]:
    """({class index: name}, {split: records}, {split: findings}) of a data set, without splits that have no image left.

    Raises `UserError` when there is no image at all.
    """
    if isinstance(data, Dataset) or drawn_set(data):
        found = load_splits(data, images, origin)
        splits = {split: _of_dataset(dataset) for split, dataset in found.items()}
    else:
        source = open_source(data, images, origin)
        found = {split: scan(source, split) for split in source.splits}
        splits = {split: each.records for split, each in found.items()}
    health = {split: each.health for split, each in found.items()}
    if not any(splits.values()):
        summaries = " ".join(report.summary(2) for report in health.values())
        raise UserError(f"There is no image to work on: {ELSEWHERE}. {summaries}")
    return next(iter(found.values())).names, {split: rows for split, rows in splits.items() if rows}, health


def _of_dataset(dataset: Dataset) -> list[Record]:
    """The images of a `Dataset`, which holds no marks."""
    records = []
    for i in range(len(dataset)):
        target, image = dataset.target(i), dataset.path(i)
        marks = (frozenset(),) * len(target)
        records.append(Record(dataset.keys[i], image or dataset.image(i), dataset.size(i), target, marks))
    return records


def lost_marks(records: Iterable[Record], target: Format) -> dict[str, int]:
    """{mark: how often} of what the annotations say and the format `target` cannot hold, in order of the marks."""
    lost = Counter(mark for record in records for marks in record.marks for mark in marks - target.holds)
    return dict(sorted(lost.items()))


def losses(lost: dict[str, int], format: str) -> list[str]:
    """One line per kind of mark in `lost` (see `lost_marks`), for a report."""
    return [f"  {number} {LOSSES[mark].format(format=format)}" for mark, number in lost.items()]


def left_out(health: dict[str, HealthReport]) -> list[str]:
    """One line per image, box or part of a box that the health rules took away, with its split, for a report."""
    issues = [(split, issue) for split, report in health.items() for issue in report.issues]
    return [f"  left out, {split}: {issue}" for split, issue in issues if issue.action in (DROPPED, ROW_REMOVED, CUT)]


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


def source_folders(data: str | Path | Dataset, images: str | Path | None = None) -> list[Path]:
    """The folders that `data` is read from, into which nothing may be written; none for drawn images.

    What lies in them would be part of the data set when it is read the next time. Raises `UserError` as `open_source`.
    """
    if isinstance(data, Dataset):
        paths = filter(None, map(data.path, range(len(data))))
        return list(dict.fromkeys(path.parent for path in paths))
    return [] if drawn_set(data) else list(dict.fromkeys(open_source(data, images).folders))
