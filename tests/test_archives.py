"""The zip around a checkpoint: whole, uncompressed, no larger than it is, or refused with a sentence."""

from __future__ import annotations

import random
import zipfile

import numpy as np
import pytest
from official_format import archive_of, rewrite, write_official

from yolo_ft.core.errors import UserError
from yolo_ft.finetune.archives import Archive
from yolo_ft.finetune.checkpoints import load_checkpoint, save_checkpoint
from yolo_ft.models import build_model


@pytest.fixture(scope="module")
def nano():
    return build_model("yolov5n", 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "an empty file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "an image"),
        (b"<!DOCTYPE html><html>", "a text"),
        ("version https://git-lfs.github.com/spec/v1 ü".encode(), "a text"),
        ((9).to_bytes(8, "little") + b'{"a":{}} ', "safetensors"),
        (b"\x80\x02}q\x00.", "bare pickle"),
        (bytes(range(256)), "unknown kind"),
        (b"PK\x03\x04" + bytes(100), "truncated or damaged"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, content, sentence):
    path = tmp_path / "wheels.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^wheels.pt is .*{sentence}"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed zip members"),
        ({"extra": {"archive/code/x.py": b"", "archive/constants.pkl": b""}, "names": lambda n: n}, "TorchScript"),
        ({"names": lambda name: name.replace("data.pkl", "other")}, "not a PyTorch checkpoint"),
        ({"names": lambda name: name.replace("archive/version", "elsewhere/version")}, "foreign zip members"),
    ],
)
def test_zips_that_pytorch_does_not_write(tmp_path, nano, how, sentence):
    path = save_checkpoint(tmp_path / "x.pt", nano)
    with pytest.raises(UserError, match=sentence):
        load_checkpoint(rewrite(path, **how))


def test_truncated_and_flipped_files_are_refused(tmp_path, nano):
    whole = save_checkpoint(tmp_path / "x.pt", nano, half=True).read_bytes()
    path = tmp_path / "cut.pt"
    for share in (0.0001, 0.1, 0.5, 0.9, 0.9999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match="truncated or damaged"):
            load_checkpoint(path)
    middle = len(whole) // 2  # one bit inside a weight: the zip's checksum notices
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(UserError, match="truncated or damaged"):
        load_checkpoint(path)


def _sized(shape: bytes, stride: bytes, numel: int = 4) -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + bytes([numel])
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"tQK\x00" + shape + stride + b"\x89}tR."


@pytest.mark.parametrize(
    "data",
    [
        _sized(b"K\x05\x85", b"K\x01\x85"),  # longer than the storage
        _sized(b"J\xff\xff\xff\x7f\x85", b"K\x00\x85"),  # one number repeated two thousand million times
        _sized(b"K\x04\x85", b"K\x02\x85"),  # steps out of the storage
        _sized(b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),  # negative
        _sized(b"K\x04\x85", b")"),
        _sized(b"K\x04\x85", b"K\x01\x85", numel=200),  # a storage that claims more than its member holds
    ],
)
def test_tensor_sizes_are_checked_against_the_file(tmp_path, data):
    path = rewrite(archive_of(tmp_path / "x.pt", data), extra={"archive/data/0": np.arange(4, dtype="<f4").tobytes()})
    with Archive(path) as archive, pytest.raises(UserError, match="truncated or damaged"):
        archive.tensor(archive.load())
    good = rewrite(path, lambda _: _sized(b"K\x02K\x02\x86", b"K\x01K\x02\x86"))
    with Archive(good) as archive:
        assert archive.tensor(archive.load()).tolist() == [[0.0, 2.0], [1.0, 3.0]]


def test_zip_bombs_are_refused(tmp_path, nano):
    path = save_checkpoint(tmp_path / "x.pt", nano)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")  # the directory's last entry: bytes 20-27 are its two sizes
    for start, sentence in ((24, "compressed zip members"), (20, "oversized")):
        data[entry + start : entry + 28] = (2**31 - 1).to_bytes(4, "little") * ((28 - start) // 4)
        path.write_bytes(data)
        with pytest.raises(UserError, match=sentence):
            load_checkpoint(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        doubled = rewrite(save_checkpoint(path, nano), extra={"archive/data.pkl": b"}."})
    with pytest.raises(UserError, match="doubled|not a PyTorch"):
        load_checkpoint(doubled)


def test_any_flipped_byte_gives_a_checkpoint_or_a_sentence(tmp_path, nano):
    path = write_official(tmp_path / "x.pt", nano, ema=nano)
    with Archive(path) as archive:
        whole = archive.data
    draw = random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            with Archive(archive_of(tmp_path / "y.pt", bytes(data))) as archive:
                archive.load()
        except UserError as error:
            assert str(error).startswith("y.pt ")
