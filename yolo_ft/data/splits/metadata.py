"""What is known about an image besides its pixels: the group that it belongs to, and when it was taken. Lesson 06."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.data.checks.duplicates import near_duplicates
from yolo_ft.data.checks.groups import name_group
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.images import opened
from yolo_ft.data.splits.table import Table

NAMES, NEAR_DUPLICATES, EXIF = "names", "near-duplicates", "exif"
EXIF_BLOCK, DATE_TIME_ORIGINAL = 0x8769, 0x9003  # tags of the EXIF 2.3 specification


def group_labels(dataset: Dataset, what: str | Sequence, table: str | Path | None = None) -> list[str]:
    """The group of every image as text.

    `what`: one label per image; or "names" (what file names tell, see `name_group`); or "near-duplicates"; or a column
    of the CSV file `table`, whose first column names the images; or a regular expression that is searched in the name
    of the image (its path below the data set): its parentheses are the group, without any the whole match. Raises
    UserError when an image has no group. Lesson 06.
    """
    known = {NAMES: lambda: [name_group(key) for key in dataset.keys], NEAR_DUPLICATES: lambda: _clusters(dataset)}
    return [str(value) for value in _values(dataset, what, table, "group", known)]


def image_times(dataset: Dataset, what: str | Sequence, table: str | Path | None = None) -> np.ndarray:
    """When every image was taken, (n,) float64: seconds since 1970, or the numbers as they are.

    `what` is as in `group_labels`, or "exif" for the DateTimeOriginal that cameras write. Values are numbers (frames,
    20260131) or ISO 8601 dates (2026-01-31T12:00). Raises UserError when an image has no time. Lesson 06.
    """
    values = _values(dataset, what, table, "time", {EXIF: lambda: _exif_times(dataset)})
    numbers, moments = [_number(value) for value in values], [_timestamp(value) for value in values]
    for found in (numbers, moments):
        if None not in found:
            return np.array(found, np.float64)
    readable = [number is not None or moment is not None for number, moment in zip(numbers, moments, strict=True)]
    wrong = readable.index(False) if False in readable else moments.index(None)
    raise UserError(
        f"The time '{values[wrong]}' of {dataset.keys[wrong]} is no number and no date such as 2026-01-31 or "
        "2026-01-31T12:00, as all have to be."
    )


def _clusters(dataset: Dataset) -> list[str]:
    """A label per image: the first key of its cluster of near duplicates, or its own."""
    labels = list(dataset.keys)
    for cluster in near_duplicates(dataset):
        for index in cluster:
            labels[index] = dataset.keys[cluster[0]]
    return labels


def _values(
    dataset: Dataset, what: str | Sequence, table: str | Path | None, kind: str, known: dict[str, Callable]
) -> list:
    if not isinstance(what, str):
        values = list(what)
        if len(values) != len(dataset):
            raise UserError(f"{len(values)} {kind}s for {len(dataset)} images: give one per image.")
        return values
    read = None if table is None else Table.read(table)
    if what in known:
        values, mend = known[what](), "give a pattern or a table instead"
    elif read and what in read.columns:
        values = read.values(what, dataset.keys)
        mend = f"fill the column '{what}' of {table} for every image"
    else:
        values = _matched(dataset, what)
        mend = "correct the expression; '|$' at its end makes every other image a group of its own"
        if read:
            mend += f" (the columns of {table} are {', '.join(read.columns)})"
    missing = [key for key, value in zip(dataset.keys, values, strict=True) if value in (None, "")]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(dataset)} images have no {kind} by '{what}', the first is {missing[0]}: {mend}."
        )
    return values


def _matched(dataset: Dataset, pattern: str) -> list[str | None]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"'{pattern}' is no regular expression ({error}): correct it.") from None
    found = [(key, expression.search(key)) for key in dataset.keys]
    return [match and ("-".join(filter(None, match.groups())) or match[0] or key) for key, match in found]


def _exif_times(dataset: Dataset) -> list[float | None]:
    paths = [dataset.path(i) for i in range(len(dataset))]
    with ThreadPoolExecutor(reading_threads()) as pool:
        return list(pool.map(_exif_time, paths))


def _exif_time(path: Path | None) -> float | None:
    """DateTimeOriginal of a photograph, in seconds; None where there is none."""
    if path is None:
        return None
    try:
        with opened(path) as image:
            text = image.getexif().get_ifd(EXIF_BLOCK).get(DATE_TIME_ORIGINAL, "")
        taken = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except Exception:  # a damaged block is as good as none
        return None
    return taken.replace(tzinfo=timezone.utc).timestamp()


def _number(value: object) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _timestamp(value: object) -> float | None:
    """Seconds since 1970; without a zone UTC, so that the order is that of the clock that was read."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
