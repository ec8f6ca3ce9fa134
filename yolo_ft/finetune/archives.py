"""A `.pt` file as PyTorch writes it since 1.6: an uncompressed zip with one pickle and one member per storage."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.unpickling import Reader, StoredTensor, UnknownName, list_globals, refuse_unknown

LARGEST_FILE = 4 * 2**30  # bytes: six times a YOLOv5x checkpoint with its optimiser
LARGEST_PICKLE = 8 * 2**20
DAMAGE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, OSError, RecursionError, OverflowError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError, RuntimeError),
)


class Archive:
    """An opened `.pt` file: `globals` lists the names in its pickle, `load()` follows it. A context manager.

    Raises `UserError` with one sentence for every file that is no whole, uncompressed PyTorch zip, and for names in
    its pickle that no checkpoint needs. Nothing in the file is run.
    """

    def __init__(self, path: Path):
        self.path = path
        _sniff(path)
        try:
            self.zip = zipfile.ZipFile(path)
        except DAMAGE as error:
            raise self._sentence(error) from None
        try:
            self.prefix = self._check_members()
            self.data = self.zip.read(self.prefix + "data.pkl")
            self.globals = list_globals(self.data)
            refuse_unknown(self.globals)
        except (UnknownName, *DAMAGE) as error:
            self.zip.close()
            raise self._sentence(error) from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.zip.close()

    def load(self) -> Any:
        """Follow the pickle: plain values, `Record`s, and `StoredTensor`s that are read on demand."""
        try:
            return Reader(self.data, self._storage).load()
        except (UnknownName, *DAMAGE) as error:
            raise self._sentence(error) from None

    def tensor(self, stored: StoredTensor) -> torch.Tensor:
        """Read one tensor of this file: a copy in the stored dtype."""
        try:
            return stored.load()
        except DAMAGE as error:
            raise self._sentence(error) from None

    def _storage(self, key: str, dtype: torch.dtype, numel: int) -> torch.Tensor:
        data = self.zip.read(f"{self.prefix}data/{key}")
        if len(data) != numel * dtype.itemsize:
            raise ValueError(f"storage {key} has {len(data)} bytes, not {numel} x {dtype.itemsize}")
        return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)

    def _sentence(self, error: BaseException) -> UserError:
        name = self.path.name
        if isinstance(error, UserError):
            return error
        if isinstance(error, UnknownName):
            listed = ", ".join(repr(unknown) for unknown in error.args[:3]) + ", ..." * (len(error.args) > 3)
            return UserError(
                f"{name} refers to {listed}, which no detector's checkpoint needs: it is refused and nothing in it "
                "was run; take the weights from a source that you trust."
            )
        reason = str(error).strip().rstrip(".") or type(error).__name__
        return UserError(f"{name} is truncated or damaged ({reason}): download or copy it again.")

    def _check_members(self) -> str:
        """The folder inside the zip that holds `data.pkl`."""
        infos, size, name = self.zip.infolist(), self.path.stat().st_size, self.path.name
        names = {info.filename for info in infos}
        pickles = [info for info in infos if info.filename.endswith("/data.pkl") and info.filename.count("/") == 1]
        if len(pickles) != 1:
            raise UserError(f"{name} is a zip file but not a PyTorch checkpoint: it does not hold one data.pkl.")
        prefix = pickles[0].filename.removesuffix("data.pkl")
        if prefix + "constants.pkl" in names or any(member.startswith(prefix + "code/") for member in names):
            raise UserError(f"{name} is a TorchScript export: pass the .pt checkpoint that it was made from.")
        if len(names) != len(infos) or not all(member.startswith(prefix) for member in names):
            raise UserError(f"{name} has doubled or foreign zip members, which PyTorch never writes: it is refused.")
        if any(info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size for info in infos):
            raise UserError(f"{name} has compressed zip members, which PyTorch never writes: it is refused.")
        total, program = sum(info.file_size for info in infos), pickles[0].file_size
        if total > min(size, LARGEST_FILE) or program > LARGEST_PICKLE:
            raise UserError(f"{name} claims {total:,} bytes of content in {size:,} bytes: oversized, it is refused.")
        if prefix + "byteorder" in names and self.zip.read(prefix + "byteorder") == b"big":
            raise UserError(f"{name} was saved on a big-endian machine: save it again on a little-endian one.")
        return prefix


def _sniff(path: Path) -> None:
    """Raise a sentence that says what the file is, when it does not begin as a zip does."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    if head[:4] == b"PK\x03\x04":
        return
    if not head:
        what = "an empty file"
    elif head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")):
        what = "an image"
    elif head[:1] == b"\x80":
        what = "a bare pickle or a PyTorch file from before version 1.6 (save it again with a current PyTorch)"
    elif head[8:9] == b"{" and b"\0" in head[:8]:
        what = "a safetensors file (only .pt files are read)"
    elif b"\0" not in head:
        what = "a text, perhaps a web page or a Git LFS pointer (download the weights themselves)"
    else:
        what = "a file of an unknown kind (a .pt file of YOLOv5, YOLO26 or this package is needed)"
    raise UserError(f"{path.name} is not a checkpoint but {what}.")
