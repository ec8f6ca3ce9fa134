"""`fix`: a repaired copy of a YOLO data set, with a log of every change. The source is only read. Lesson 06.

Repaired is what needs no guess:

- An image in two splits (same file, same pixels or near copy) stays in the held-out one, test before val before train:
  numbers measured on a held-out set stay comparable, and training loses one image that it should not have seen.
- Of copies with the same pixels within a split one stays, if their labels are the same or only one has labels; labels
  move to the copy that stays when it has none.
- Rows that say the same again or enclose nothing go. Boxes are cut at the image's edge; a coordinate may overshoot
  0..1 by `rows.OVERSHOOT`, as rounding does. An image that has any other bad row is left out, as in training.
- A label file without an image and a labelled image in no split are not copied, and a split without images is left out
  of `data.yaml`.

Everything else (labels that contradict each other, look-alikes, videos in two splits, ...) is for a person: the copy is
checked again, and `left_for_you.md` lists it, with what only the source can show (`UNSEEN`).
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path, PurePosixPath

from yolo_ft.core.errors import UserError
from yolo_ft.data.checks import findings as kinds
from yolo_ft.data.checks.check import check
from yolo_ft.data.checks.duplicates import LOOK_ALIKE, NEAR_COPY, Pair, clusters, find_pairs
from yolo_ft.data.checks.findings import CheckReport
from yolo_ft.data.checks.groups import PLACE
from yolo_ft.data.checks.orphans import orphans, shared, unlisted
from yolo_ft.data.checks.rows import BadRow, mend
from yolo_ft.data.dataset import Dataset
from yolo_ft.data.drawn.sets import drawn_set
from yolo_ft.data.folders import new_folder
from yolo_ft.data.formats.labels import label_path
from yolo_ft.data.formats.records import SPLITS, key
from yolo_ft.data.formats.scan import open_source
from yolo_ft.data.formats.writers import write_data_yaml
from yolo_ft.data.formats.yolo import DataSpec, split_images
from yolo_ft.data.images import ImageError, check_image
from yolo_ft.data.progress import progress

LOST, UNLISTED, SHARED = "label file left out", "unlisted image left out", "labels in doubt"
UNSEEN = {  # changes behind which is work for a person that a check of the copy cannot find
    LOST: (kinds.ORPHAN, "not copied"),
    UNLISTED: (kinds.UNLISTED, "not copied"),
    SHARED: (kinds.SHARED_LABELS, "each picture copied with it"),
}
NAMED = 3  # files behind such changes that the report names; the log has all


@dataclass(frozen=True)
class Change:
    """One thing that the copy has differently: the image or label file, the line in it or None, what, and why."""

    split: str
    file: str
    line: int | None
    change: str
    reason: str


@dataclass
class Repair:
    """What `fix` did: the folder of the copy, every change, and what the check of the copy still finds."""

    out: Path
    changes: list[Change]
    left: CheckReport

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for change in self.changes:
            counts[change.change] = counts.get(change.change, 0) + 1
        done = ", ".join(f"{count} x {what}" for what, count in counts.items()) or "nothing to repair"
        told = f"{self.out}: {done}; every change is in changes.csv, what is left for you in left_for_you.md."
        return "\n".join([told, *self.unseen(), str(self.left)])

    def unseen(self) -> list[str]:
        """A line for each kind of work for a person that the check of the copy cannot find, with the first files."""
        lines = []
        for what, (kind, done) in UNSEEN.items():
            if files := [change.file for change in self.changes if change.change == what]:
                more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
                lines.append(f"{len(files)} x {kind.name}, {done} ({', '.join(files[:NAMED])}{more}): {kind.mend}.")
        return lines


@dataclass
class _Image:
    """One image of the copy to be: the file, its name in messages, its label rows (None: no label file)."""

    split: str
    path: Path
    key: str
    rows: list[str] | None
    changes: list[Change] = field(default_factory=list)


def fix(data: str | Path, out: str | Path) -> Repair:
    """Write a repaired copy of the data set to the new folder `out` (YOLO layout). Returns what was changed.

    `data`: a `data.yaml` or its folder. The rules are those of this module. Raises `UserError` when `out` is not empty
    or lies inside the data set, or when a split would lose all its images. Lesson 06.
    """
    if isinstance(data, Dataset) or drawn_set(data):
        raise UserError("A drawn set needs no repair: pass the path of a data.yaml.")
    spec = open_source(data)
    if not isinstance(spec, DataSpec):
        raise UserError(
            f"{spec.path} is not in YOLO format: convert it first (yolo-ft data convert), then fix the copy."
        )
    paths = {split: split_images(spec, split)[0] for split in spec.splits}
    if not any(paths.values()):
        raise UserError(f"{spec.path}: no split ({', '.join(paths)}) holds an image: check the paths.")
    with new_folder(out, spec.folders) as part:
        changes = _repaired(spec, paths, part)
    out = Path(out).expanduser()
    repair = Repair(out, changes, check(out))
    text = "".join([repair.left.markdown(), *(f"\n{line}\n" for line in repair.unseen())])
    (out / "left_for_you.md").write_text(text, encoding="utf-8", newline="\n")
    return repair


def _repaired(spec: DataSpec, paths: dict[str, list[Path]], out: Path) -> list[Change]:
    """Write the repaired images, labels and the log into `out`; returns the changes."""
    images, changes = _read(spec, paths)
    images, dropped = _without_copies(images)
    changes += [*(change for image in images for change in image.changes), *dropped]
    for split in filter(paths.get, spec.splits):
        if not any(image.split == split for image in images):
            raise UserError(
                f"No image of '{split}' would be left ({sum(c.split == split for c in changes)} changes): they are "
                "broken or copies of another split. Split the data set first."
            )
    lost = ((split, key(file, spec.root)) for split, file in orphans(paths))
    changes += [Change(split, file, None, LOST, "there is no image of this name") for split, file in lost]
    extra = (key(image, spec.root) for image in unlisted(path for files in paths.values() for path in files))
    changes += [Change("all", image, None, UNLISTED, "it has labels, but no split names it") for image in extra]
    changes += _write(out, spec, images)
    _write_log(out / "changes.csv", changes)
    return changes


def _read(spec: DataSpec, paths: dict[str, list[Path]]) -> tuple[list[_Image], list[Change]]:
    """Every usable image with its mended rows, and what had to be left out."""
    images: list[_Image] = []
    left_out: list[Change] = []
    for split, files in paths.items():
        if not files:
            left_out.append(Change(split, key(spec.path, spec.root), None, "split left out", "it holds no image"))
        for path in progress(files, len(files), f"reading {split}"):
            image = _Image(split, path, key(path, spec.root), None)
            label = label_path(path)
            try:
                check_image(path)
                if label.is_file():
                    image.rows, mended = mend(label.read_text(encoding="utf-8-sig"), len(spec.names))
                    image.changes = [Change(split, key(label, spec.root), *change) for change in mended]
                images.append(image)
            except ImageError as error:
                left_out.append(Change(split, image.key, None, "image left out", error.reason))
            except BadRow as error:
                left_out.append(Change(split, key(label, spec.root), error.line, "image left out", error.reason))
            except (UnicodeDecodeError, OSError) as error:
                left_out.append(Change(split, key(label, spec.root), None, "image left out", f"unreadable: {error}"))
    return images, left_out


def _without_copies(images: list[_Image]) -> tuple[list[_Image], list[Change]]:
    """The images that stay, and those that go because a copy of them stays."""
    broken: dict[int, str] = {}
    pairs = find_pairs([image.path for image in images], broken)
    _doubt_shared_labels(images, pairs)
    gone = {i: Change(images[i].split, images[i].key, None, "image left out", why) for i, why in broken.items()}
    same = clusters([pair for pair in pairs if pair.kind not in (NEAR_COPY, LOOK_ALIKE)])
    for members in same:
        members.sort(key=lambda i: (-SPLITS.index(images[i].split), not images[i].rows, i))  # held out, labelled, first
        for i, stays in _copies_to_drop(images, members):
            gone[i] = _copy_change(images[i], images[stays], "the same picture")
    of = {i: members for members in same for i in members}
    for pair in (pair for pair in pairs if pair.kind == NEAR_COPY):
        for a in of.get(pair.first, [pair.first]):
            for b in of.get(pair.second, [pair.second]):
                low, high = sorted((a, b), key=lambda i: SPLITS.index(images[i].split))
                if images[low].split != images[high].split and not gone.keys() & {a, b}:
                    gone[low] = _copy_change(images[low], images[high], f"near copy ({pair.similarity:.2f})")
    return [image for i, image in enumerate(images) if i not in gone], [gone[i] for i in sorted(gone)]


def _doubt_shared_labels(images: list[_Image], pairs: list[Pair]) -> None:
    """Note for both of two different pictures that they have one label file: the copy gives each a file of its own."""
    for pair in shared([image.path for image in images], pairs):
        for image, other in permutations([images[i] for i in pair]):
            if image.rows:
                why = f"its label file is also that of {other.key}, another picture"
                image.changes.append(Change(image.split, image.key, None, SHARED, why))


def _copies_to_drop(images: list[_Image], members: list[int]) -> Iterator[tuple[int, int]]:
    """(image that goes, image that stays) among pictures with the same pixels, the one to keep first."""
    first = images[members[0]]
    if not first.rows:
        labelled = next((images[i] for i in members if images[i].rows), None)
        if labelled:
            first.rows = labelled.rows
            first.changes.append(
                Change(first.split, first.key, None, "labels added", f"those of its copy {labelled.key}")
            )
    for i in members[1:]:
        contradicts = images[i].rows and set(images[i].rows) != set(first.rows or ())
        if images[i].split != first.split or not contradicts:  # two opinions within a split are for a person
            yield i, members[0]


def _copy_change(image: _Image, stays: _Image, how: str) -> Change:
    across = f" in '{stays.split}'" if stays.split != image.split else ""
    mine, theirs = (len(each.rows or ()) for each in (image, stays))
    counts = f" with {theirs} objects, this one had {mine}" if mine != theirs else ""
    return Change(image.split, image.key, None, "copy left out", f"{how}: {stays.key}{across} stays{counts}")


def _write(out: Path, spec: DataSpec, images: list[_Image]) -> list[Change]:
    """Write images, labels and data.yaml; returns the changes of names."""
    taken: set[tuple[str, str]] = set()
    renamed: list[Change] = []
    for image in progress(images, len(images), "copying"):
        name = _name(image)
        while (image.split, name.with_suffix("").as_posix().casefold()) in taken:  # they cannot share a label file
            name = name.with_name(f"{name.stem}_{name.suffix[1:].lower()}{name.suffix}")
        taken.add((image.split, name.with_suffix("").as_posix().casefold()))
        if name != _name(image):
            renamed.append(
                Change(image.split, image.key, None, "renamed", f"to {name}: another image has its label file")
            )
        picture, label = (out / kind / image.split / name for kind in ("images", "labels"))
        picture.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.path, picture)
        if image.rows is not None:
            label.parent.mkdir(parents=True, exist_ok=True)
            text = "".join(f"{row}\n" for row in image.rows)
            label.with_suffix(".txt").write_text(text, encoding="utf-8", newline="\n")
    filled = {image.split for image in images}
    write_data_yaml(out, spec.names, {split: f"images/{split}" for split in spec.splits if split in filled})
    return renamed


def _name(image: _Image) -> PurePosixPath:
    """The path of an image below its split's folder: its key without the folders that only say the split."""
    name = PurePosixPath(image.key)
    if image.path.is_absolute() and name.as_posix() == image.path.as_posix() or ".." in name.parts:
        return PurePosixPath(image.path.name)
    return PurePosixPath(*(part for part in name.parent.parts if not PLACE.match(part)), name.name)


def _write_log(path: Path, changes: list[Change]) -> None:
    """Every change as a row of a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "file", "line", "change", "reason"])
        writer.writerows([c.split, c.file, c.line, c.change, c.reason] for c in changes)
