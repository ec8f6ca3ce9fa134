"""Public data sets by name: found where they were put before, or downloaded, checked and unpacked. Lesson 06."""

from __future__ import annotations

import difflib
import shutil
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog.extract import extract
from yolo_ft.data.catalog.fetch import cache_folder, file_digest, obtain, record
from yolo_ft.data.catalog.locks import locked
from yolo_ft.data.catalog.public_sets import SETS, Archive, Entry
from yolo_ft.data.catalog.remote import Remote
from yolo_ft.data.files import write_json_atomic, write_text_atomic, write_yaml_atomic

RECORD = "catalog.json"  # in the folder of a set: where it is from, under which licence, with which hashes
TERMS = ("LICENSE", "LICENCE", "README")  # files that are kept with the set
SLACK = 64 * 2**20  # bytes by which an archive may be larger than twice the size that its page gives
BY_HAND = ", then start again (offline you can use data='cells')"


def sets_folder() -> Path:
    """Where sets are kept: `datasets` in the cache folder."""
    return cache_folder() / "datasets"


def find(data: str | Path) -> Path | None:
    """The folder of the set that `data` names ("coco8", "coco8.yaml"), downloaded if it is not here yet.

    None if it names none of the catalogue. Raises `UserError` with the step by hand where there is no network.
    """
    name = str(data).lower().removesuffix(".yaml").removesuffix(".yml")
    return get(name) if name in SETS else None


def get(name: str, to: str | Path | None = None, timeout: float = 30.0) -> Path:
    """The folder of a set of the catalogue, ready for `load_dataset`: `to`/NAME, or NAME in `sets_folder()`.

    What is there already is used as it is. Otherwise what it is and its licence are told first, then its archives are
    downloaded (see `obtain`) into `sets_folder()`, compared with their hashes, unpacked (see `extract`) beside the
    folder, and moved there when all is right. An archive that was put there by hand is used and kept; a downloaded one
    goes when the set is there, so a process that waited to put the same set elsewhere downloads it again. `timeout` in
    seconds without an answer. Raises `UserError`.
    """
    entry = SETS.get(name.lower())
    if entry is None:
        close = difflib.get_close_matches(name.lower(), SETS, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(SETS)}."
        raise UserError(f"There is no set '{name}' in the catalogue: {hint}")
    folder = (sets_folder() if to is None else Path(to).expanduser()) / entry.name
    if not _is_here(folder):
        tqdm.write(str(entry), sys.stderr)
        try:
            for place in (folder.parent, sets_folder()):
                place.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                if not _is_here(folder):  # another process was faster
                    _install(entry, folder, timeout)
        except OSError as error:
            place = Path(error.filename).parent if error.filename else folder.parent
            raise UserError(
                f"{place} cannot be written ({error.strerror}): set YOLO_FT_CACHE to another folder, or choose "
                "one with `yolo-ft data get NAME --to DIR`."
            ) from None
    return folder


def table() -> pd.DataFrame:
    """One row per set: name, whether it is `here`, images of all splits, classes, download in MB, licence, about."""
    rows = [
        {
            "name": entry.name,
            "here": "yes" if (sets_folder() / entry.name / RECORD).is_file() else "",
            "images": sum(entry.images.values()),
            "classes": len(entry.classes),
            "MB": round(entry.megabytes),
            "licence": entry.licence,
            "about": entry.about,
        }
        for entry in SETS.values()
    ]
    return pd.DataFrame(rows)


def _is_here(folder: Path) -> bool:
    """The folder is a set that was put there as a whole. Raises `UserError` for anything else with content."""
    if (folder / RECORD).is_file():
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists already and is no set of the catalogue: pass its path, or move it away.")
    return False


def _install(entry: Entry, folder: Path, timeout: float) -> None:
    """Fetch the archives, unpack them to `folder`, and remove those that were downloaded."""
    with locked(sets_folder() / f"{entry.name}.archives"):  # another process may want them for another folder
        files = {archive: _obtain(archive, timeout) for archive in entry.archives}
        _unpack(entry, folder, files)
        for file in files.values():
            _remove_download(file)


def _obtain(archive: Archive, timeout: float) -> Path:
    """The archive in `sets_folder()`. A download is marked with its time, which outlives a process that is killed."""
    file = sets_folder() / archive.name
    kind = "zip archive" if archive.name.endswith(".zip") else "tar archive"
    new = not file.is_file()
    try:
        return obtain(Remote(archive.url, file, kind, archive.digest, 2 * archive.size + SLACK, BY_HAND), timeout)
    finally:
        if new and file.is_file():
            write_text_atomic(_mark(file), str(file.stat().st_mtime_ns))


def _mark(file: Path) -> Path:
    return file.with_name(f".{file.name}.downloaded")


def _remove_download(file: Path) -> None:
    """Remove an archive that bears its mark; one that was put there by hand has none, or that of an earlier file."""
    mark = _mark(file)
    if mark.is_file() and mark.read_text(encoding="utf-8") == str(file.stat().st_mtime_ns):
        file.unlink()
    mark.unlink(missing_ok=True)


def _unpack(entry: Entry, folder: Path, files: dict[Archive, Path]) -> None:
    """Unpack the archives beside `folder`, record their hashes, and move the set there when it is whole."""
    content = folder.with_name(f".{entry.name}.unpacking")
    shutil.rmtree(content, ignore_errors=True)  # of a process that was killed: the lock of the folder is ours
    content.mkdir()
    try:
        for archive, file in files.items():
            extract(file, content, archive.only)
        root = _root(entry, content)
        _complete(entry, root, content, files)
        for archive, file in files.items():
            if archive.digest is None:
                record(file)  # not before: the hash of a damaged copy would refuse every good one
        if folder.exists():
            folder.rmdir()  # empty, see _is_here
        root.rename(folder)
    finally:
        shutil.rmtree(content, ignore_errors=True)


def _root(entry: Entry, content: Path) -> Path:
    """The folder that holds the set's own folders: `content`, or one at most three levels below it."""
    wanted = entry.needs or tuple(entry.folders.values())
    for pattern in (".", "*", "*/*", "*/*/*"):
        for candidate in sorted(content.glob(pattern) if pattern != "." else [content]):
            if all((candidate / folder).is_dir() for folder in wanted):
                return candidate
    raise UserError(
        f"The archive of {entry.name} no longer holds {' and '.join(wanted)}: its publisher has changed it; see "
        f"{entry.pages[0]}, and pass the path of the data.yaml that you make."
    )


def _complete(entry: Entry, root: Path, content: Path, files: dict[Archive, Path]) -> None:
    """Add what the set needs in its folder: `data.yaml` for YOLO labels, licence and read-me files, the record."""
    if entry.folders:
        write_yaml_atomic(root / "data.yaml", {**entry.folders, "names": dict(enumerate(entry.classes))})
    for above in root.parents:
        if not above.is_relative_to(content):
            break
        for file in above.iterdir():
            if file.is_file() and file.stem.upper() in TERMS and not (root / file.name).exists():
                shutil.copyfile(file, root / file.name)
    archives = [
        {"url": archive.url, "bytes": file.stat().st_size, "sha256": file_digest(file), "published": archive.digest}
        for archive, file in files.items()
    ]
    about = {"name": entry.name, "about": entry.about, "licence": entry.licence, "pages": entry.pages}
    write_json_atomic(root / RECORD, {**about, "archives": archives})
