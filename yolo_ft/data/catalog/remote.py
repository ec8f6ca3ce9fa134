"""One file over HTTP: where the connection breaks off it is taken up again, and what is too large is refused."""

from __future__ import annotations

import re
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
NUMBER = re.compile("[0-9]{1,18}")
RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
LONGEST = 150  # characters of a server's or the system's own words in a sentence


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
            while not _request(part, timeout):  # a server may send less than was asked (RFC 9110, 15.3.7)
                pass
            return
        except _Again as fault:
            if attempt == ATTEMPTS:
                raise UserError(f"{fault}: try again, or {part.remote.manual}.") from None
            tqdm.write(f"{fault}: attempt {attempt + 1} of {ATTEMPTS} follows.", sys.stderr)
            time.sleep(PAUSE * attempt)


def _request(part: Part, timeout: float) -> bool:
    """One request, which brings something; True if nothing is missing now.

    Raises `_Again` for a passing fault, `UserError` for one that stays.
    """
    remote = part.remote
    if part.mark is None:
        part.drop()
    answer = _open(part, timeout)
    if answer is None:
        return True
    with answer:
        coding = answer.headers.get("Content-Encoding", "")
        if coding.lower() not in ("", "identity"):
            raise UserError(f"{remote.url} sends the file compressed ({_one_line(coding)}), unasked: {remote.manual}.")
        start, end, total = _extent(part, answer)
        _check_room(remote, start, total)
        if not start:
            part.drop()
            part.mark = _mark(answer)
        _write(part, answer, start, total)
    received = part.size
    missing = total is not None and received < total
    if received == start or (end is not None and received < end) or (missing and part.mark is None):
        raise _Again(f"The download of {remote.url} broke off after {received:,} bytes")
    return not missing


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
        sentence = f"{remote.url} answered {error.code} {_one_line(error.reason)}"
        if error.code in PASSING:
            raise _Again(sentence) from None
        raise UserError(f"{sentence}: {remote.manual}.") from None
    except UserError:
        raise
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a redirect to what is no address
        reason, name = _one_line(getattr(error, "reason", None) or error), remote.target.name
        raise UserError(f"{name} is not on this machine and cannot be fetched ({reason}): {remote.manual}.") from None


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to an address that anybody on the way can change."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        """The request that follows a redirect. Raises `UserError` where it would leave protection."""
        schemes = [url.partition(":")[0].lower() for url in (req.full_url, newurl)]
        if schemes[1] != "https" and (schemes[0] == "https" or schemes[1] != "http"):
            address = _one_line(newurl)
            raise UserError(f"{req.full_url} leads to {address}, which is not protected: it was not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _mark(answer: HTTPResponse) -> str | None:
    """What names this very state of the file on the server: a strong ETag, else the date of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified")


def _extent(part: Part, answer: HTTPResponse) -> tuple[int, int | None, int | None]:
    """The answer's first byte in the file, the one after its last, and the size of the file; None if it is not told.

    Raises `_Again` for an answer that does not go on from the end of `part`.
    """
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if NUMBER.fullmatch(length) else None
        return 0, total, total
    start, mark = part.size, _mark(answer)
    told = RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if told and int(told[1]) == start and (not start or mark in (None, part.mark)):
        end = int(told[2]) + 1
        return start, end, end if told[3] == "*" else int(told[3])
    part.drop()
    raise _Again(f"{part.remote.url} is another file than before")


def _one_line(text: object) -> str:
    """The words of a stranger, fit for a sentence: short, and without line breaks and other control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:LONGEST]


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
