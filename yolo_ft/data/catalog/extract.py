"""Archives from strangers: plain files only, below the folder only, no larger than they say. Nothing in them is run."""

from __future__ import annotations

import functools
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from yolo_ft.core.errors import UserError

CHUNK = 1 << 20
BLOCK = 512  # bytes of a tar's header
MOST_MEMBERS = 1_000_000
MOST_BYTES = 64 * 2**30
MOST_GROWTH = 50  # photographs hardly shrink in an archive, text does by ten: what grows more is a bomb
SMALL = 64 * 2**20  # bytes below which growth harms nobody
LONG_NAMES = (b"L", b"K", b"x", b"g", b"X")  # a tar's headers for what 100 characters cannot hold
LARGEST_HEADER = 1 << 20  # bytes; they are read into memory
LEFT_OUT = re.compile(r"(^|/)(__MACOSX|\.git)(/|$)|\.cache$|(^|/)(\.DS_Store|Thumbs\.db|\._[^/]*)$")
LONGEST_PATH = 1000  # bytes; macOS holds 1024 with the folder
DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE
)  # Windows' own names
UNFIT = re.compile(r'[\x00-\x1f\x7f<>"|?*]')  # control characters, and what Windows keeps for itself
DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, KeyError, OSError),
)


class _Refused(Exception):
    """What is wrong with an archive, as the end of a sentence that begins with its name."""


class _Member(NamedTuple):
    """One entry: its name, its declared size in bytes, and how to open its content (None for a folder)."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def extract(archive: Path, folder: Path, only: str = "") -> int:
    """Unpack a zip or a tar (plain, gzip, bzip2, xz) below `folder`, which exists; returns the number of files.

    `only`: the name of the one file that is wanted; everything else is checked, but not written.

    Refused, with `UserError`: names that lead elsewhere, that some system cannot hold or that are none, links and
    devices, a name that comes twice (capitals do not tell two names apart everywhere), encryption, more than
    `MOST_MEMBERS` entries or `MOST_BYTES` bytes, content more than `MOST_GROWTH` times as large as the archive, and
    damage. The files so far stay then: give a temporary folder. Left out are `.cache` files (pickles of YOLO tools)
    and the marks that file managers leave. Lesson 06.
    """
    size, written, count, names = archive.stat().st_size, 0, 0, _Names()
    allowed = min(MOST_BYTES, max(SMALL, MOST_GROWTH * size))
    with archive.open("rb") as file:
        members = _zip_members if file.read(2) == b"PK" else _tar_members
    try:
        for member in tqdm(members(archive, folder, allowed), desc=f"unpack {archive.name}", unit=" files"):
            name = "/".join(names.accept(member))
            written += member.size
            if written > allowed or member.size < 0:
                raise _Refused(f"holds more than {allowed:,} bytes in {size:,}, or less than none")
            if member.open is not None and name == (only or name) and not LEFT_OUT.search(name):
                _write(member, folder / name)
                count += 1
    except UserError:
        raise
    except _Refused as fault:
        raise UserError(
            f"{archive} {fault}: it was refused; delete it, and take the data from a source that you trust."
        ) from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno:
            raise UserError(
                f"{folder} cannot be written ({error.strerror}): make room, or choose another one."
            ) from None
        reason = str(error).partition("\n")[0].rstrip(":")
        raise UserError(f"{archive} is truncated or damaged ({reason}): delete it to download it again.") from None
    return count


def _zip_members(archive: Path, folder: Path, allowed: int) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        total = sum(info.file_size for info in infos)
        if total > allowed:
            raise _Refused(f"claims {total:,} bytes of content in {archive.stat().st_size:,}")
        _check_room(archive, folder, total)
        for info in infos:
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _Refused(f"holds {info.filename!r}, a link or a device")
            if info.flag_bits & 1:
                raise _Refused("is encrypted")
            is_folder = info.orig_filename.endswith("/")
            yield _Member(
                info.orig_filename, info.file_size, None if is_folder else functools.partial(opened.open, info)
            )


def _tar_members(archive: Path, folder: Path, allowed: int) -> Iterator[_Member]:
    _check_room(archive, folder, archive.stat().st_size)
    with tarfile.open(archive, tarinfo=_StrictHeader) as opened:
        for info in opened:
            if not info.isdir() and not info.isreg():
                raise _Refused(f"holds {info.name!r}, a link or a device")
            yield _Member(info.name, info.size, None if info.isdir() else functools.partial(opened.extractfile, info))
        while allowed > 0 and (rest := opened.fileobj.read(CHUNK)):  # the checksum of gzip and xz stands at the end
            allowed -= len(rest)


class _StrictHeader(tarfile.TarInfo):
    """A tar's header that complains where `tarfile` would take damage for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        """The header in one block; tarfile.ReadError where it is damaged or absurdly long."""
        if len(buf) == BLOCK and not any(buf):
            return super().frombuf(buf, encoding, errors)  # the mark of the end
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from None
        if info.type in LONG_NAMES and info.size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a name of {info.size:,} bytes")
        return info


def _check_room(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{archive.name} unpacks to {needed / 1e6:,.0f} MB and {folder.parent} has {free / 1e6:,.0f} MB free: make "
            "room, or choose a folder on another disk."
        )


class _Names:
    """The names of an archive so far, folded as disks do that tell neither capitals nor accents' spellings apart."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        self.count = 0

    def accept(self, member: _Member) -> tuple[str, ...]:
        """The safe components of the member's name. Raises `_Refused`."""
        self.count += 1
        if self.count > MOST_MEMBERS:
            raise _Refused(f"holds more than {MOST_MEMBERS:,} files")
        parts = _safe_parts(member.name)
        if member.open is not None and not parts:
            raise _Refused(f"holds {member.name!r}, a file without a name")
        folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        places = ["/".join(folded[: i + 1]) for i in range(len(folded))]
        file = places.pop() if member.open is not None else None
        if file in self.files or file in self.folders:
            raise _Refused(f"holds {member.name!r} twice, or twice but for capitals")
        if any(place in self.files for place in places):
            raise _Refused(f"holds {member.name!r} below a file")
        self.folders.update(places)
        if file:
            self.files.add(file)
        return parts


def _safe_parts(name: str) -> tuple[str, ...]:
    """`images/a.jpg` as its components. Raises `_Refused` for a name that leads out of the folder, or nowhere."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
        raise _Refused(f"holds {name!r}, which leads out of its folder")
    if len(name.encode("utf-8")) > LONGEST_PATH:
        raise _Refused(f"holds {name[:50]!r}..., a name that is longer than some systems can hold")
    for part in parts:
        if part[-1] in ". " or DEVICE.match(part) or UNFIT.search(part) or len(part.encode("utf-8")) > 255:
            raise _Refused(f"holds {name!r}, a name that some systems cannot hold")
    return parts


def _write(member: _Member, path: Path) -> None:
    """Copy the content, and no byte more than was declared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, path.open("wb") as file:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > member.size:
                raise _Refused(f"holds {member.name!r}, which is larger than it says")
            file.write(chunk)
    if written < member.size:
        raise EOFError(f"{member.name} ends after {written:,} of {member.size:,} bytes")
