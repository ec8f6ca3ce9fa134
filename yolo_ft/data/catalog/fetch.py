"""How a file gets here from the network: checked, all of it or nothing, or one sentence that says what to do."""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog.locks import locked
from yolo_ft.data.catalog.remote import Part, Remote, receive
from yolo_ft.data.files import write_text_atomic


def _is_whole_zip(path: Path) -> bool:
    """Whether a file is a zip whose members have their checksums; weights are small enough to look each time."""
    try:
        with zipfile.ZipFile(path) as opened:
            return opened.testzip() is None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return False


KINDS = {".pt file": _is_whole_zip, "zip archive": zipfile.is_zipfile, "tar archive": tarfile.is_tarfile}
ALGORITHMS = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits


def cache_folder() -> Path:
    """Where downloads are kept: the variable YOLO_FT_CACHE, else `.cache/yolo_ft` in the home folder."""
    return Path(os.environ.get("YOLO_FT_CACHE") or Path.home() / ".cache" / "yolo_ft").expanduser()


def fetch(remote: Remote, timeout: float = 30.0) -> Path:
    """The local file as `obtain` gives it; the hash of a first copy is recorded where none is published."""
    file = obtain(remote, timeout)
    if remote.digest is None:
        record(file)
    return file


def obtain(remote: Remote, timeout: float = 30.0) -> Path:
    """The local file, downloaded if it is not there yet, compared with the published or the recorded hash every time.

    A connection that breaks off is taken up again where it broke (RFC 9110, 14.2 and 13.1.5: Range, If-Range), three
    times in one call and again in the next one; a file that changed on the server meanwhile starts from its first
    byte. Nothing but the whole file ever lies at `target`. `timeout` in seconds without an answer. Raises `UserError`
    with the step by hand. Lesson 06.
    """
    if not remote.target.is_file():
        with _writing_to(remote.target.parent), locked(remote.target):
            if not remote.target.is_file():  # another process was faster
                _download(remote, timeout)
    if not KINDS[remote.kind](remote.target):
        raise UserError(f"{remote.target} is no {remote.kind}: delete it to download it again, or {remote.manual}.")
    _compare(remote.target, remote.digest)
    return remote.target


def record(path: Path) -> None:
    """Record the file's SHA-256 as `NAME.sha256` beside it, and say so; a record that is there stays as it is.

    For a first copy that is known to be good: every later one must be equal. Raises `UserError` where the folder
    cannot be written.
    """
    note = _record_of(path)
    if not note.is_file():
        digest = file_digest(path)
        with _writing_to(path.parent):
            write_text_atomic(note, f"{digest}  {path.name}\n")
        sentence = f"{path.name}: no hash is published; recorded the SHA-256 of this first copy, {digest}."
        tqdm.write(sentence, sys.stderr)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file, read in pieces; `algorithm`: "sha256" or "md5" (against accidents only)."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Make the folder, and tell in a sentence that it cannot be written, for a block that writes there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"The cache folder {folder} cannot be written ({error.strerror}): set YOLO_FT_CACHE to another one."
        ) from None


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _compare(path: Path, published: str | None) -> None:
    """Raise `UserError` for a file whose hash is not the published one or, where none is published, the recorded."""
    note, mend = _record_of(path), "delete it to download it again"
    if published is not None:
        expected, known = published, "published"
    elif note.is_file():
        expected, known = note.read_text(encoding="utf-8").partition(" ")[0].strip(), "recorded"
        mend += f" (and {note.name} if there is a new version)"
    else:
        return
    if file_digest(path, ALGORITHMS.get(len(expected), "sha256")) != expected:
        raise UserError(f"{path} has changed (its {_hash_name(expected)} is not the {known} one): {mend}.")


def _hash_name(digest: str) -> str:
    return {"md5": "MD5", "sha256": "SHA-256"}[ALGORITHMS.get(len(digest), "sha256")]


def _download(remote: Remote, timeout: float) -> None:
    """Bring the whole file to its place; on failure keep only what a later call can continue."""
    part = Part(remote)
    try:
        receive(part, timeout)
        if not KINDS[remote.kind](part.path):
            part.drop()
            raise UserError(
                f"What came from {remote.url} is no {remote.kind} (a login page of your network?): {remote.manual}."
            )
        if remote.digest and file_digest(part.path, ALGORITHMS[len(remote.digest)]) != remote.digest:
            part.drop()
            name = _hash_name(remote.digest)
            raise UserError(
                f"What came from {remote.url} is not the published file (its {name} differs): {remote.manual}."
            )
        part.mark = None
        os.replace(part.path, remote.target)
    finally:
        if part.mark is None or not part.size:
            part.drop()
