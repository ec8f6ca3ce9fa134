"""Archives that lie, escape, explode or break: what is refused, what is told, and that nothing lands elsewhere."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import extract as module
from yolo_ft.data.catalog.extract import extract

NOISE = np.random.default_rng(0).bytes(3000)
FORMATS = ("zip", "tar", "tar.gz", "tar.xz")


def pack(path, members):
    """An archive of `members`: (name, bytes), or a ZipInfo or TarInfo with them, in the format of its suffix."""
    kind = path.name.partition(".")[2]
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in members:
                info = name
                if isinstance(name, str):
                    info = zipfile.ZipInfo(name)
                    info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
                opened.writestr(info, content)
        return path
    mode = {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind]
    with tarfile.open(path, mode) as opened:
        for name, content in members:
            info = name
            if isinstance(name, str):
                info = tarfile.TarInfo(name)
                info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def folder(tmp_path):
    """Where to unpack, with a neighbour that must stay as it is."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "neighbour.txt").write_text("mine", encoding="utf-8")
    return tmp_path / "inner"


def refused(path, folder, sentence):
    """The archive is refused with the sentence, and nothing landed outside of the folder."""
    with pytest.raises(UserError, match=sentence) as caught:
        extract(path, folder)
    assert "\n" not in str(caught.value)
    assert {each.name for each in folder.parent.iterdir()} == {path.name, "inner", "neighbour.txt"}
    assert (folder.parent / "neighbour.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("kind", FORMATS)
def test_an_empty_archive_holds_no_file(tmp_path, folder, kind):
    assert extract(pack(tmp_path / f"a.{kind}", []), folder) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("kind", FORMATS)
def test_what_went_in_comes_out(tmp_path, folder, kind):
    members = [("set/", b""), ("set/a b.txt", b"1 0.5 0.5 1 1\n"), ("./set/images/ä.jpg", NOISE), ("set/e.txt", b"")]
    assert extract(pack(tmp_path / f"a.{kind}", members), folder) == 3
    assert (folder / "set" / "images" / "ä.jpg").read_bytes() == NOISE
    assert (folder / "set" / "a b.txt").read_bytes() == b"1 0.5 0.5 1 1\n"
    assert (folder / "set" / "e.txt").read_bytes() == b""


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name",
    [
        *("../neighbour.txt", "a/../../neighbour.txt", "..", "/etc/a.txt", "//server/a.txt"),
        *("C:/a.txt", "C:a.txt", "a/b:stream", "..\\neighbour.txt", "a\\b.txt", "\\a.txt"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, folder, kind, name):
    path = pack(tmp_path / f"a.{kind}", [("good.txt", b"1"), (name, b"evil")])
    refused(path, folder, "which leads out of its folder: it was refused")


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "name",
    [
        *(
            "con",
            "a/NUL.txt",
            "com1 .txt",
            "COM¹",
            "lpt9",
            "CONIN$",
            "conout$.txt",
            "a./b",
            "a /b",
            "a\x07b",
            "ü" * 128,
        ),
        *("x*.jpg", "x?.jpg", "<x.jpg", "x>.jpg", "x|y.jpg", '"x"'),
    ],
)
def test_names_that_some_system_cannot_hold_are_refused(tmp_path, folder, kind, name):
    refused(pack(tmp_path / f"a.{kind}", [(name, b"")]), folder, "a name that some systems cannot hold")
    names = ["console.txt", "ü" * 100, "com10", "conin.txt", "x$.txt"]
    assert extract(pack(tmp_path / f"b.{kind}", [(name, b"") for name in names]), folder) == 5


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["", ".", "./."])
def test_a_file_without_a_name_is_refused(tmp_path, folder, kind, name):
    refused(pack(tmp_path / f"a.{kind}", [(name, b"x")]), folder, "a file without a name: it was refused; delete it")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_that_is_too_long_for_some_system_is_refused(tmp_path, folder, kind):
    assert len(module._safe_parts("a/" * (module.LONGEST_PATH // 2 - 1) + "xy")) == module.LONGEST_PATH // 2
    path = pack(tmp_path / f"a.{kind}", [("a/" * 3000 + "x", b"")])
    refused(path, folder, "longer than some systems can hold: it was refused; delete it")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, folder, kind):
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    path = pack(tmp_path / "a.zip", [(info, b"../neighbour.txt"), ("link/a.txt", b"evil")])
    refused(path, folder, "holds 'link', a link or a device")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, folder, kind):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, ".."
    path = pack(tmp_path / "a.tar", [(info, b""), ("link/neighbour.txt", b"evil")])
    refused(path, folder, "holds 'link', a link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(
    "names",
    [
        *(["a.txt", "a.txt"], ["a.txt", "A.TXT"], ["x/a.txt", "X/a.txt"], ["\u00e9.txt", "e\u0301.txt"]),
        *(["a", "a/b.txt"], ["A", "a/b.txt"], ["a/b.txt", "a"], ["a/", "A"], ["./a.txt", "a.txt"]),
    ],
)
def test_two_members_for_one_place_are_refused(tmp_path, folder, kind, names):
    refused(pack(tmp_path / f"a.{kind}", [(name, b"") for name in names]), folder, "twice|below a file")


def test_a_folder_may_be_named_often_and_in_any_capitals(tmp_path, folder):
    names = ["a/", "a/", "a/1.txt", "A/2.txt", "./", "a/b/"]
    assert extract(pack(tmp_path / "a.tar", [(name, b"") for name in names]), folder) == 2


def test_an_encrypted_member_is_refused(tmp_path, folder):
    path = pack(tmp_path / "a.zip", [("a.txt", b"abc")])
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the general purpose flag in the central directory
    path.write_bytes(data)
    refused(path, folder, "is encrypted: it was refused")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_bomb_is_refused_but_text_may_shrink(tmp_path, folder, kind, monkeypatch):
    monkeypatch.setattr(module, "SMALL", 100_000)
    path = pack(tmp_path / f"a.{kind}", [("a", b"0" * 90_000)])
    assert extract(path, folder) == 1, "small things harm nobody"
    path = pack(path, [("a", b"0" * 90_000), ("b", b"1" * 90_000)])
    if kind == "tar":
        assert extract(path, folder) == 2, "nothing is compressed"
    else:
        refused(path, folder, "claims 180,000 bytes of content in|holds more than 100,000 bytes in")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_numbers_of_bytes_and_of_files_have_limits(tmp_path, folder, kind, monkeypatch):
    path = pack(tmp_path / f"a.{kind}", [(f"{i}.txt", NOISE) for i in range(4)])
    monkeypatch.setattr(module, "MOST_MEMBERS", 3)
    refused(path, folder, "holds more than 3 files")
    monkeypatch.setattr(module, "MOST_MEMBERS", 4)
    monkeypatch.setattr(module, "MOST_BYTES", 4 * len(NOISE) - 1)
    refused(path, folder, "claims 12,000 bytes|holds more than 11,999 bytes")
    monkeypatch.setattr(module, "MOST_BYTES", 4 * len(NOISE))
    assert extract(path, folder) == 4


def test_a_member_larger_than_it_says_is_refused(folder):
    member = module._Member("a", 2, lambda: io.BytesIO(b"abc"))
    with pytest.raises(module._Refused, match="larger than it says"):
        module._write(member, folder / "a")


@pytest.mark.parametrize("size", [10, len(NOISE) + 10])
def test_a_zip_with_a_wrong_size_is_told(tmp_path, folder, size):
    path = pack(tmp_path / "a.zip", [("a.txt", NOISE)])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # the size in the central directory
    data[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, folder, "truncated or damaged")


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_member_of_less_than_no_bytes_is_refused(tmp_path, folder, form):
    """It would make room for others below the limit."""
    info = tarfile.TarInfo("a.txt")
    if form == tarfile.GNU_FORMAT:
        info.size = -5
    else:
        info.pax_headers = {"size": "-5"}
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(form) + bytes(10240))
    refused(path, folder, "or less than none|truncated or damaged")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_a_truncated_archive_is_told(tmp_path, folder, kind, share):
    path = pack(tmp_path / f"a.{kind}", [("a.txt", NOISE), ("b.txt", NOISE[::-1])])
    data = path.read_bytes()
    end = 6 * 512 + 512 + 7 * 512 if kind == "tar" else len(data)  # without the zeros that fill a tar up
    path.write_bytes(data[: int(end * share)])
    refused(path, folder, "is truncated or damaged .*: delete it to download it again")


@pytest.mark.parametrize("blocks", [1, 7, 8, 14])
def test_a_tar_that_ends_between_two_members_is_told(tmp_path, folder, blocks):
    """Python's tarfile takes this for the end of a good archive."""
    path = pack(tmp_path / "a.tar", [("a.txt", NOISE), ("b.txt", NOISE)])
    path.write_bytes(path.read_bytes()[: blocks * 512])
    refused(path, folder, "truncated or damaged")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_flipped_bit_is_told_where_the_format_can_know(tmp_path, folder, kind):
    path = pack(tmp_path / f"a.{kind}", [("a.txt", NOISE), ("b.txt", NOISE)])
    data = bytearray(path.read_bytes())
    data[7 * 512 + 150 if kind == "tar" else len(data) // 3] ^= 4  # a tar protects its headers only
    path.write_bytes(data)
    refused(path, folder, "truncated or damaged")


def test_a_name_as_long_as_a_book_is_not_read(tmp_path, folder):
    info = tarfile.TarInfo("a")
    info.type = tarfile.XHDTYPE
    path = pack(tmp_path / "a.tar", [("first.txt", b""), (info, b"x" * (module.LARGEST_HEADER + 1))])
    refused(path, folder, "a name of 1,048,577 bytes")


def test_pickles_of_other_tools_and_marks_of_file_managers_stay_out(tmp_path, folder):
    names = [
        "set/labels/train.cache",
        "__MACOSX/set/._a.jpg",
        "set/.DS_Store",
        "set/Thumbs.db",
        "set/._a.jpg",
        "set/a.jpg",
    ]
    assert extract(pack(tmp_path / "a.zip", [(name, b"x") for name in names]), folder) == 1
    assert [file.name for file in folder.rglob("*") if file.is_file()] == ["a.jpg"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_file_may_be_wanted_and_all_are_checked(tmp_path, folder, kind):
    path = pack(tmp_path / f"a.{kind}", [("a/1.json", b"1"), ("./a/2.json", b"2"), ("a/2.json.old", b"3")])
    assert extract(path, folder, "a/2.json") == 1 and extract(path, folder, "a") == 0
    assert [file.name for file in folder.rglob("*.*")] == ["2.json"]
    path = pack(path, [("a/2.json", b"2"), ("../neighbour.txt", b"evil")])
    refused(path, folder, "leads out of its folder")


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of Unix")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_nothing_comes_out_executable(tmp_path, folder, kind):
    info = zipfile.ZipInfo("run.sh") if kind == "zip" else tarfile.TarInfo("run.sh")
    if kind == "zip":
        info.external_attr = 0o104755 << 16
    else:
        info.mode = 0o4755
    extract(pack(tmp_path / f"a.{kind}", [(info, b"#!/bin/sh")]), folder)
    assert not (folder / "run.sh").stat().st_mode & 0o7111


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_full_disk_is_told_before(tmp_path, folder, kind, monkeypatch):
    path = pack(tmp_path / f"a.{kind}", [("a.txt", NOISE)])
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=2999))
    refused(path, folder, "unpacks to 0 MB and .* has 0 MB free: make room")


def test_a_folder_that_cannot_be_written_is_told(tmp_path, folder):
    (folder / "a").write_text("in the way", encoding="utf-8")
    refused(pack(tmp_path / "a.zip", [("a/b.txt", b"")]), folder, "cannot be written")
