"""Splits of a data set into training, validation and test images, and the files that say so. Lesson 06.

Images are never moved or copied: a split is written as lists of paths in a folder of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolo_ft.core.cores import reading_threads
from yolo_ft.core.errors import UserError
from yolo_ft.data.dataset import Dataset, load_splits
from yolo_ft.data.folders import free_place, new_folder
from yolo_ft.data.formats.records import SPLITS
from yolo_ft.data.formats.writers import write_data_yaml
from yolo_ft.data.health import DROPPED, HealthReport
from yolo_ft.data.images import decode_fault
from yolo_ft.data.progress import progress
from yolo_ft.data.splits.lists import check_labels, line
from yolo_ft.data.splits.metadata import group_labels, image_times
from yolo_ft.data.splits.partition import consecutive, partition
from yolo_ft.data.splits.report import GIVEN, SplitReport, split_report

SMALL = 1000  # images; below it a fifth is for validation, from it on a tenth


@dataclass(frozen=True)
class Split:
    """Which images of `dataset` are for what: `indices` is {"train": (n,) int64, "val": ..., "test": ...}, each sorted.

    `groups`: the label of every image's group, where images were kept together; `by`: what they are. `how`: how the
    split was made.
    """

    dataset: Dataset
    indices: dict[str, np.ndarray]
    groups: Sequence[str] | None = None
    how: str = "as given"
    by: str = GIVEN

    def part(self, split: str) -> Dataset:
        """The images of one split, ready for `fit` or `evaluate`. Raises UserError where there is no such split."""
        if split not in self.indices:
            raise UserError(f"This split has no '{split}', only {', '.join(self.indices)}.")
        picked = self.dataset.subset(self.indices[split])
        picked.split, picked.health = split, _counted(picked, split, [])
        return picked

    @property
    def train(self) -> Dataset:
        """The training images."""
        return self.part("train")

    @property
    def val(self) -> Dataset:
        """The validation images."""
        return self.part("val")

    @property
    def test(self) -> Dataset:
        """The test images; UserError where there are none."""
        return self.part("test")

    def report(self, groups: str | Sequence | None = None, table: str | Path | None = None) -> SplitReport:
        """Shares of every class in every split, and the groups that splits share: its own, or `groups` as in `split`.

        Lesson 06.
        """
        if groups is None:
            return split_report(self.dataset, self.indices, self.groups, self.by, self.how)
        labels = group_labels(self.dataset, groups, table)
        return split_report(self.dataset, self.indices, labels, _told(groups), self.how)

    def write(self, out: str | Path) -> Path:
        """Write train.txt, val.txt, test.txt and data.yaml into the new folder `out`; returns the path of data.yaml.

        Paths are relative to `out` where they can be, so that images and lists may move together, and begin with `./`,
        which other trainers read as seen from the list, too. Raises UserError when `out` holds something, when an image
        has no file, and when the labels are not in YOLO files beside the images.
        """
        out = free_place(out)
        check_labels(self.dataset)
        with new_folder(out) as folder:
            self._write(folder, out)
        return out / "data.yaml"

    def _write(self, folder: Path, out: Path) -> None:
        """The files into `folder`, with paths as seen from `out`, where the folder will be."""
        folder.mkdir(exist_ok=True)
        for split, part in self.indices.items():
            text = "".join(f"{line(self.dataset.path(int(i)), out)}\n" for i in part)
            (folder / f"{split}.txt").write_text(text, encoding="utf-8", newline="\n")
        remark = " ".join(f"{self.dataset.name}, {self.how}".splitlines())
        write_data_yaml(folder, self.dataset.names, {split: f"{split}.txt" for split in self.indices}, remark)


def split(
    data: str | Path | Dataset,
    val: float | None = None,
    test: float = 0.0,
    groups: str | Sequence | None = None,
    times: str | Sequence | None = None,
    table: str | Path | None = None,
    stratify: bool = True,
    seed: int = 0,
) -> Split:
    """Share all images of `data` out anew.

    `val`, `test`: shares of the images; `val` is 0.2 below 1,000 images and 0.1 from there on. A test split that the
    data has stays as it is while `test` is 0. Every class gets its shares (`partition`), unless `stratify` is off.
    `groups` keeps images together: a label per image, "names", "near-duplicates", a column of the CSV file `table`, or
    a regular expression (`group_labels`). `times` puts the newest images into test and val: a value per image, "exif",
    a column, or a regular expression (`image_times`). Every image is decoded once: what cannot be is in no split, with
    a warning. Raises UserError with the mend. Lesson 06.
    """
    pool = _pool(data, test, groups, times, table)
    val = (0.2 if len(pool.free) < SMALL else 0.1) if val is None else val
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise UserError(f"val {val:g} and test {test:g} must be shares between 0 and 1 that leave some for training.")
    part = pool.assign([1 - val - test, val, *([test] if test else [])], stratify, seed)
    return pool.split({name: part == i for i, name in enumerate(SPLITS[: part.max() + 1])}, pool.how(stratify, seed))


def folds(
    data: str | Path | Dataset,
    k: int = 5,
    test: float = 0.0,
    groups: str | Sequence | None = None,
    times: str | Sequence | None = None,
    table: str | Path | None = None,
    stratify: bool = True,
    seed: int = 0,
) -> list[Split]:
    """`k` splits for cross-validation; every image is validated once. The arguments are those of `split`.

    The test images are the same in all. With `times` nothing is trained on the future: the images are cut into k + 1
    periods, and fold i trains on the periods 0..i and validates on the next one, so the first is never validated.
    """
    if k < 2:
        raise UserError(f"folds is {k}, which is too few: take 2 at least, usually 5.")
    if not 0 <= test < 1:
        raise UserError(f"test {test:g} must be a share between 0 and 1.")
    pool = _pool(data, test, groups, times, table)
    count = k if pool.when is None else k + 1
    part = pool.assign([(1 - test) / count] * count + ([test] if test else []), stratify, seed)
    result = []
    for i in range(k):
        held = i if pool.when is None else i + 1
        train = (part != held) & (part < count) if pool.when is None else part < held
        masks = {"train": train, "val": part == held} | ({"test": part == count} if test else {})
        result.append(pool.split(masks, f"fold {i} of {k}, {pool.how(stratify, seed)}"))
    return result


def write_folds(splits: Sequence[Split], out: str | Path) -> list[Path]:
    """Write every fold into `out`/fold0, fold1, ...; returns the paths of the data.yaml files. See `Split.write`."""
    out = free_place(out)
    for dataset in {id(fold.dataset): fold.dataset for fold in splits}.values():
        check_labels(dataset)
    with new_folder(out) as folder:
        for i, fold in enumerate(splits):
            fold._write(folder / f"fold{i}", out / f"fold{i}")
    return [out / f"fold{i}" / "data.yaml" for i in range(len(splits))]


@dataclass(frozen=True)
class _Pool:
    """All images of a data set, those that are free to be shared out, and what is known about them."""

    dataset: Dataset
    free: np.ndarray
    kept: np.ndarray
    groups: list[str] | None
    by: str
    when: np.ndarray | None
    known: str

    def assign(self, shares: list[float], stratify: bool, seed: int) -> np.ndarray:
        """The part (free,) of every free image."""
        units = None
        if self.groups is not None:
            units = np.unique(np.array(self.groups)[self.free], return_inverse=True)[1]
        count, what = (len(self.free), "image") if units is None else (int(units.max()) + 1, "group")
        if count < len(shares):
            have = f"{count} {what}{'s' * (count > 1)}"
            raise UserError(f"{have} cannot fill {len(shares)} parts: each needs one {what} at least.")
        if self.when is not None:
            return consecutive(self.when[self.free], shares, units)
        counts = self.dataset.class_counts()[self.free]
        return partition(counts if stratify else counts[:, :0], shares, seed, units)

    def split(self, masks: dict[str, np.ndarray], how: str) -> Split:
        """The split with these images in each part, and the kept test images."""
        indices = {split: self.free[mask] for split, mask in masks.items()}
        return Split(self.dataset, indices | ({"test": self.kept} if len(self.kept) else {}), self.groups, how, self.by)

    def how(self, stratify: bool, seed: int) -> str:
        """How the split was made, in words."""
        made = "in order of time" if self.when is not None else f"{'stratified' if stratify else 'random'}, seed {seed}"
        return made + self.known


def _pool(
    data: str | Path | Dataset,
    test: float,
    groups: str | Sequence | None,
    times: str | Sequence | None,
    table: str | Path | None,
) -> _Pool:
    """Everything that `data` has, each image once; a test split that is to stay claims its images first."""
    splits = load_splits(data)
    keep = len(splits.get("test", ())) > 0 and not test and len(splits) > 1
    seen: dict[object, tuple[Dataset, int]] = {}
    for name in sorted(splits, key=lambda name: keep and name != "test"):
        for i in range(len(splits[name])):
            seen.setdefault(splits[name].path(i) or (name, i), (splits[name], i))
    dataset = _joined(splits, list(seen.values()))
    if not len(dataset):
        raise UserError(f"{dataset.name} has no image to split: check where its images are looked for.")
    from_test = np.array([keep and part is splits["test"] for part, _ in seen.values()])
    if from_test.all():
        raise UserError(f"Every image of {dataset.name} is in its test split: give a test share to share all out anew.")
    whole = _decodable(dataset)
    if not whole[~from_test].any():
        raise UserError(f"None of {len(dataset)} images can be decoded: see `yolo-ft data check`.")
    dropped = len({issue.file for issue in dataset.health.issues if issue.action == DROPPED}) + int((~whole).sum())
    if dropped:
        warnings.warn(f"{dropped} images cannot be used and are in no split: see `yolo-ft data check`.", stacklevel=3)
    known = [f", groups by {_told(groups)}"] * (groups is not None) + [f" by {_told(times)}"] * (times is not None)
    return _Pool(
        dataset,
        np.flatnonzero(~from_test & whole),
        np.flatnonzero(from_test & whole),
        None if groups is None else group_labels(dataset, groups, table),
        _told(groups),
        None if times is None else image_times(dataset, times, table),
        "".join(reversed(known)) + (", test as it was" if keep else ""),
    )


def _decodable(dataset: Dataset) -> np.ndarray:
    """Which images can be decoded, (n,) booleans; drawn ones can."""
    whole, files = np.ones(len(dataset), bool), {i: dataset.path(i) for i in range(len(dataset)) if dataset.path(i)}
    with ThreadPoolExecutor(reading_threads()) as pool:
        faults = list(progress(pool.map(decode_fault, files.values()), len(files), "reading"))
    whole[[i for i, fault in zip(files, faults, strict=True) if fault]] = False
    return whole


def _joined(splits: dict[str, Dataset], rows: list[tuple[Dataset, int]]) -> Dataset:
    """One data set of the images `rows`, with the findings of all splits."""
    joined = next(iter(splits.values())).joined(rows)
    joined.health = _counted(joined, "all", [issue for part in splits.values() for issue in part.health.issues])
    return joined


def _counted(dataset: Dataset, split: str, issues: list) -> HealthReport:
    return HealthReport.of(dataset.name, split, [len(dataset.target(i)) for i in range(len(dataset))], issues)


def _told(what: str | Sequence | None) -> str:
    return what if isinstance(what, str) else GIVEN
