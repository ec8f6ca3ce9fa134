"""One file over HTTP: where the connection breaks off it is taken up again, and what is too large is refused."""

from __future__ import annotations

import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError

from tqdm import tqdm

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import write_text_atomic

CHUNK = 1 << 16
ATTEMPTS = 3  # of one call; the next call goes on where this one stopped
PAUSE = 1.0  # seconds before the second attempt, twice as many before the third
PASSING = (408, 429, 500, 502, 503, 504)  # answers of a server that may know better in a moment
LARGEST = 32 * 2**30  # bytes of one file, unless the caller knows better
SPARE = 64 * 2**20  # bytes that stay free on the disk


class _Again(Exception):
    """What went wrong may go right at the next attempt."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its address, the place it is meant for, what it must be (`fetch.KINDS`), and the published hash.

    `digest`: MD5 or SHA-256 in hexadecimal digits, None where none is published. `limit`: the largest size in bytes
    that is accepted. `otherwise`: what else the user can do, as the end of a sentence.
    """

    url: str
    target: Path
    kind: str
    digest: str | None = None
    limit: int = LARGEST
    otherwise: str = ""

    @property
    def manual(self) -> str:
        """The step by hand, as the end of a sentence."""
        return f"download {self.url} in a browser and put it at {self.target}{self.otherwise}"


class Part:
    """What has come so far, in a hidden file beside the target, and the server's mark of the file it belongs to."""

    def __init__(self, remote: Remote):
        self.remote = remote
        self.path = remote.target.with_name(f".{remote.target.name}.part")
        self._note = remote.target.with_name(f".{remote.target.name}.part.mark")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def mark(self) -> str | None:
        """The ETag or the date under which the bytes came; None if they cannot be continued."""
        lines = self._note.read_text(encoding="utf-8").splitlines() if self._note.is_file() else []
        return lines[1] if len(lines) == 2 and lines[0] == self.remote.url else None

    @mark.setter
    def mark(self, value: str | None) -> None:
        if value:
            write_text_atomic(self._note, f"{self.remote.url}\n{value}\n")
        else:
            self._note.unlink(missing_ok=True)

    def drop(self) -> None:
        """Forget what has come."""
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def receive(part: Part, timeout: float) -> None:
    """Receive into `part`, again after a passing fault, each time from where it broke off."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _attempt(part, timeout)
        except _Again as fault:
            if attempt == ATTEMPTS:
                raise UserError(f"{fault}: try again, or {part.remote.manual}.") from None
            tqdm.write(f"{fault}: attempt {attempt + 1} of {ATTEMPTS} follows.", sys.stderr)
            time.sleep(PAUSE * attempt)


def _attempt(part: Part, timeout: float) -> None:
    """One request. Raises `_Again` for a passing fault, `UserError` for one that stays."""
    remote = part.remote
    if part.mark is None:
        part.drop()
    answer = _open(part, timeout)
    if answer is None:
        return
    with answer:
        start = _continued_at(part, answer)
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        _check_room(remote, start, total)
        if not start:
            part.drop()
            part.mark = _mark(answer)
        _write(part, answer, start, total)
    received = part.size
    if received == 0 or (total is not None and received < total):
        raise _Again(f"The download of {remote.url} broke off after {received:,} bytes")


def _open(part: Part, timeout: float) -> HTTPResponse | None:
    """The server's answer to the request for what is missing; None if nothing is."""
    remote, start = part.remote, part.size
    headers = {"User-Agent": "yolo-ft", "Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": part.mark}
    request = urllib.request.Request(remote.url, headers=headers)
    try:
        return urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing follows what is here
            if error.headers.get("Content-Range", "").strip() == f"bytes */{start}":
                return None
            part.drop()
            raise _Again(f"{remote.url} is another file than before") from None
        sentence = f"{remote.url} answered {error.code} {error.reason}"
        if error.code in PASSING:
            raise _Again(sentence) from None
        raise UserError(f"{sentence}: {remote.manual}.") from None
    except (OSError, HTTPException) as error:
        reason, name = getattr(error, "reason", None) or error, remote.target.name
        raise UserError(f"{name} is not on this machine and cannot be fetched ({reason}): {remote.manual}.") from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to an address that anybody on the way can change."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        schemes = [url.partition(":")[0].lower() for url in (req.full_url, newurl)]
        if schemes[1] != "https" and (schemes[0] == "https" or schemes[1] != "http"):
            raise UserError(f"{req.full_url} leads to {newurl}, which is not protected: it was not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _mark(answer: HTTPResponse) -> str | None:
    """What names this very state of the file on the server: a strong ETag, else the date of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified")


def _continued_at(part: Part, answer: HTTPResponse) -> int:
    """The byte from which the answer goes on: the size of `part`, or 0 for the whole file."""
    if answer.status != 206:
        return 0
    start, mark = part.size, _mark(answer)
    if answer.headers.get("Content-Range", "").startswith(f"bytes {start}-") and mark in (None, part.mark):
        return start
    part.drop()
    raise _Again(f"{part.remote.url} is another file than before")


def _check_room(remote: Remote, start: int, total: int | None) -> None:
    """Refuse a file that is larger than it may be, or than the disk has room for."""
    if total is None:
        return
    if total > remote.limit:
        raise UserError(f"{remote.url} holds {total:,} bytes, more than the {remote.limit:,} that fit: it was refused.")
    free, folder = shutil.disk_usage(remote.target.parent).free, remote.target.parent
    if total - start + SPARE > free:
        raise UserError(
            f"{remote.target.name} needs {(total - start) / 1e6:,.0f} MB more and {folder} has {free / 1e6:,.0f} MB "
            "free: make room, or set YOLO_FT_CACHE to a folder on another disk."
        )


def _write(part: Part, answer: HTTPResponse, start: int, total: int | None) -> None:
    """Append the answer's bytes to the part, with a progress bar."""
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.remote.target.name)
    try:
        with bar, part.path.open("ab") as file:
            for chunk in _chunks(answer, part.remote.url, start):
                bar.update(file.write(chunk))
                if bar.n > part.remote.limit:
                    part.mark = None
                    raise UserError(f"{part.remote.url} sends more than {part.remote.limit:,} bytes: it was refused.")
    except OSError as error:
        raise UserError(
            f"{part.remote.target.parent} cannot be written ({error.strerror or error}): make room, or set "
            "YOLO_FT_CACHE to another folder, and start again."
        ) from None


def _chunks(answer: HTTPResponse, url: str, start: int) -> Iterator[bytes]:
    received = start
    while True:
        try:
            chunk = answer.read1(CHUNK)
        except (OSError, HTTPException):
            raise _Again(f"The download of {url} broke off after {received:,} bytes") from None
        if not chunk:
            return
        received += len(chunk)
        yield chunk
