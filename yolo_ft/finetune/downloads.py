"""Official weights by name: downloaded once from the projects' releases, checked, and kept."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from yolo_ft.core.errors import UserError
from yolo_ft.data.files import write_text_atomic

RELEASES = {  # family -> where its files are
    "yolov5": "https://github.com/ultralytics/yolov5/releases/download/v7.0",
    "yolo26": "https://github.com/ultralytics/assets/releases/download/v8.4.0",
}
# SHA-256 as the project publishes them: https://huggingface.co/Ultralytics/YOLOv5/commit/553ca28641b8c2129596b0ecc50fc0902f7bd7ac
# None: no publisher's hash was found, so the first download's hash is recorded beside the file.
OFFICIAL: dict[str, str | None] = {
    "yolov5n": "4f180cf23ba0717ada0badd6c685026d73d48f184d00fc159c2641284b2ac0a3",
    "yolov5s": "8b3b748c1e592ddd8868022e8732fde20025197328490623cc16c6f24d0782ee",
    "yolov5m": "61d933360ba5a7733a36764996c800287d973889d875227f5beedd2473a97a56",
    "yolov5l": "2f603b7354c25454d1270663a14d8ddc1eea98e5eebc1d84ce0c6e3150fa155f",
    "yolov5x": None,
    **{f"yolo26{size}": None for size in "nsmlx"},
}
CHUNK = 1 << 16


def official_name(text: str) -> str | None:
    """`yolov5n` for "yolov5n" or "yolov5n.pt"; None for everything else, paths with folders included."""
    name = text.removesuffix(".pt")
    return name if name in OFFICIAL else None


def cache_folder() -> Path:
    """Where downloads are kept: the variable YOLO_FT_CACHE, else `.cache/yolo_ft` in the home folder."""
    return Path(os.environ.get("YOLO_FT_CACHE") or Path.home() / ".cache" / "yolo_ft").expanduser()


def fetch_weights(name: str, release: str | None = None, timeout: float = 30.0) -> Path:
    """The local file of the official weights `name` ("yolov5n" ... "yolo26x"), downloaded if it is not there yet.

    Every use compares the SHA-256 with the published one, or with the one recorded at the first use. `release` is
    another address to load from, `timeout` in seconds without an answer. Raises `UserError` with the manual step when
    there is no network, and never returns other weights. Lesson 01.
    """
    release = release or next(address for family, address in RELEASES.items() if name.startswith(family))
    target = cache_folder() / f"{name}.pt"
    if not target.is_file():
        _download(f"{release}/{name}.pt", target, OFFICIAL[name], timeout)
    _verify(target, OFFICIAL[name])
    return target


def _download(url: str, target: Path, published: str | None, timeout: float) -> None:
    """Stream `url` into a temporary file beside `target` and move it there when it is complete and right."""
    manual = f"download {url} in a browser and put it at {target}, or pass the path of your copy"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    except OSError as error:
        raise UserError(
            f"The cache folder {target.parent} cannot be written ({error.strerror}): set YOLO_FT_CACHE to another one."
        ) from None
    part = Path(temporary)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=timeout) as answer:
            expected = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=expected or None, unit="B", unit_scale=True, desc=target.name) as progress:
                while chunk := answer.read(CHUNK):
                    progress.update(file.write(chunk))
        received = part.stat().st_size
        if received == 0 or received < expected:
            raise UserError(f"The download of {url} broke off after {received:,} bytes: try again, or {manual}.")
        if not zipfile.is_zipfile(part):
            raise UserError(f"What came from {url} is no .pt file (a login page of your network?): {manual}.")
        if published is not None and sha256(part) != published:
            raise UserError(f"What came from {url} is not the published file (its SHA-256 differs): {manual}.")
        os.replace(part, target)
    except urllib.error.HTTPError as error:
        raise UserError(f"{url} answered {error.code} {error.reason}: {manual}.") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{target.name} is not on this machine and cannot be fetched ({reason}): {manual}.") from None
    finally:
        part.unlink(missing_ok=True)


def _verify(path: Path, published: str | None) -> None:
    """Compare the file with its published or recorded hash; record the hash where there is neither, and say so."""
    found, record = sha256(path), path.with_name(path.name + ".sha256")
    expected = published
    if expected is None and record.is_file():
        expected = record.read_text(encoding="utf-8").partition(" ")[0].strip()
    if expected is None:
        write_text_atomic(record, f"{found}  {path.name}\n")
        tqdm.write(f"{path.name}: no hash is published; recorded the SHA-256 of this first copy, {found}.", sys.stderr)
    elif found != expected:
        known = "published" if published else "recorded"
        raise UserError(f"{path} has changed (its SHA-256 is not the {known} one): delete it to download it again.")


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
