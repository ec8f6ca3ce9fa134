"""A file is its hash: published or recorded, compared every time; and two processes fetch it once."""

from __future__ import annotations

import errno
import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import faulty_server
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import fetch as module
from yolo_ft.data.catalog import remote
from yolo_ft.data.catalog.fetch import cache_folder, fetch, file_digest, obtain, record
from yolo_ft.data.catalog.remote import Remote


@pytest.fixture(scope="module")
def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("a.txt", "a")
    return stream.getvalue()


@pytest.fixture
def server(monkeypatch, zipped):
    monkeypatch.setattr(remote, "PAUSE", 0)
    with faulty_server.running() as running:
        running.files["/set.zip"] = zipped
        yield running


def wanted(server, folder: Path, digest: str | None = None) -> Remote:
    return Remote(f"{server.address}/set.zip", folder / "set.zip", "zip archive", digest)


def test_digests_of_nothing_and_of_something(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert file_digest(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a", "md5") == "900150983cd24fb0d6963f7d28e17f72"


def test_the_cache_folder_is_the_variable_or_below_home(monkeypatch, tmp_path):
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "a cache"))
    assert cache_folder() == tmp_path / "a cache"
    monkeypatch.delenv("YOLO_FT_CACHE")
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert cache_folder() == tmp_path / ".cache" / "yolo_ft"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_published_hash_of_either_kind_is_compared(server, zipped, tmp_path, algorithm):
    digest = hashlib.new(algorithm, zipped).hexdigest()
    assert fetch(wanted(server, tmp_path, digest)).read_bytes() == zipped
    assert [file.name for file in tmp_path.iterdir()] == ["set.zip"], "no record is needed"
    (tmp_path / "set.zip").write_bytes(zipped + b"x")
    name = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
    with pytest.raises(UserError, match=f"has changed .its {name} is not the published one.: delete it"):
        fetch(wanted(server, tmp_path, digest))


def test_a_wrong_hash_is_told_before_the_file_is_kept(server, tmp_path):
    with pytest.raises(UserError, match="is not the published file .its MD5 differs.: download"):
        fetch(wanted(server, tmp_path, "0" * 32))
    assert list(tmp_path.iterdir()) == []


def test_the_first_copy_is_recorded_and_a_second_one_must_be_equal(server, zipped, tmp_path, capsys):
    digest = hashlib.sha256(zipped).hexdigest()
    fetch(wanted(server, tmp_path))
    assert f"no hash is published; recorded the SHA-256 of this first copy, {digest}" in capsys.readouterr().err
    (tmp_path / "set.zip").unlink()
    fetch(wanted(server, tmp_path))
    assert "recorded" not in capsys.readouterr().err
    (tmp_path / "set.zip").write_bytes(zipped + b"x")
    with pytest.raises(UserError, match=r"not the recorded one\): delete .*set.zip.sha256 if there is a new version"):
        fetch(wanted(server, tmp_path))


def test_a_copy_that_is_not_yet_known_to_be_good_is_compared_but_not_recorded(server, zipped, tmp_path):
    server.files["/set.zip"] = zipped + b"x"
    obtain(wanted(server, tmp_path)).unlink()
    server.files["/set.zip"] = zipped
    record(obtain(wanted(server, tmp_path)))
    (tmp_path / "set.zip").write_bytes(zipped + b"x")
    with pytest.raises(UserError, match="not the recorded one"):
        obtain(wanted(server, tmp_path))


def test_a_file_put_there_by_hand_is_used_if_it_is_what_it_should_be(server, zipped, tmp_path):
    (tmp_path / "set.zip").write_bytes(b"<html>a saved page</html>")
    with pytest.raises(UserError, match="set.zip is no zip archive: delete it to download it again, or download"):
        fetch(wanted(server, tmp_path))
    assert not (tmp_path / "set.zip.sha256").exists(), "the hash of rubbish would refuse the right file later"
    (tmp_path / "set.zip").write_bytes(zipped)
    assert fetch(wanted(server, tmp_path)) == tmp_path / "set.zip" and not server.asked


def test_damaged_weights_are_neither_kept_nor_recorded(server, zipped, tmp_path):
    """The hash of a damaged first copy would refuse every good one."""
    weights = Remote(f"{server.address}/set.zip", tmp_path / "w.pt", ".pt file")
    server.files["/set.zip"] = zipped.replace(b"a.txta", b"a.txtb", 1)
    with pytest.raises(UserError, match="is no .pt file"):
        fetch(weights)
    assert list(tmp_path.iterdir()) == []
    server.files["/set.zip"] = zipped
    assert fetch(weights).read_bytes() == zipped


def test_a_tar_is_told_from_a_page(server, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as opened:
        opened.addfile(tarfile.TarInfo("a"), io.BytesIO())
    server.files = {"/set.tar.gz": stream.getvalue(), "/page.tar.gz": b"<html></html>"}
    good = Remote(f"{server.address}/set.tar.gz", tmp_path / "a", "tar archive")
    assert fetch(good).read_bytes() == stream.getvalue()
    with pytest.raises(UserError, match="is no tar archive"):
        fetch(Remote(f"{server.address}/page.tar.gz", tmp_path / "b", "tar archive"))


def test_a_folder_that_cannot_be_made_is_a_sentence(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written .*set YOLO_FT_CACHE"):
        fetch(wanted(server, tmp_path / "file" / "cache"))


def test_a_record_that_cannot_be_written_is_a_sentence(server, zipped, tmp_path, monkeypatch):
    def refuse(path, text):
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "set.zip").write_bytes(zipped)
    monkeypatch.setattr(module, "write_text_atomic", refuse)
    with pytest.raises(UserError, match="The cache folder .* cannot be written .Read-only file system.: set YOLO_FT"):
        fetch(wanted(server, tmp_path))


def test_two_processes_fetch_a_file_once(server, tmp_path, zipped):
    code = (
        "import sys; from pathlib import Path; from yolo_ft.data.catalog.fetch import Remote, fetch;"
        "print(len(fetch(Remote(sys.argv[1], Path(sys.argv[2]), 'zip archive')).read_bytes()))"
    )
    command = [sys.executable, "-c", code, f"{server.address}/set.zip", str(tmp_path / "set.zip")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [f"{len(zipped)}\n"] * 2
    assert len(server.asked) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["set.zip", "set.zip.sha256"]
