"""A file over a bad line: taken up where it broke off, never mixed from two states, never larger than it may be."""

from __future__ import annotations

import errno
import io
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import faulty_server
import numpy as np
import pytest

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import remote as module
from yolo_ft.data.catalog.fetch import fetch
from yolo_ft.data.catalog.remote import Remote, _SafeRedirects


def archive(seed: int, size: int = 5000) -> bytes:
    """A zip of about `size` bytes, other bytes for every seed."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr("a.bin", np.random.default_rng(seed).bytes(size))
    return stream.getvalue()


OLD, NEW = archive(0), archive(1, 7000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "PAUSE", 0)
    with faulty_server.running() as running:
        running.files["/set.zip"] = OLD
        yield running


@pytest.fixture
def remote(server, tmp_path):
    return Remote(f"{server.address}/set.zip", tmp_path / "späte Bilder" / "set.zip", "zip archive")


def here(remote: Remote) -> list[str]:
    """What lies beside the target, without the recorded hash."""
    return sorted(file.name for file in remote.target.parent.iterdir() if file.suffix != ".sha256")


def ranges(server) -> list[str | None]:
    return [wanted for _, wanted in server.asked]


def test_an_empty_file_is_no_download(server, remote):
    server.files["/set.zip"] = b""
    with pytest.raises(UserError, match="broke off after 0 bytes: try again, or download http"):
        fetch(remote)
    assert here(remote) == [] and len(server.asked) == 3
    server.files["/set.zip"] = OLD
    assert fetch(remote).read_bytes() == OLD


def test_a_whole_file_arrives_with_progress_and_leaves_nothing_else(server, remote, capsys):
    assert fetch(remote) == remote.target and remote.target.read_bytes() == OLD
    assert here(remote) == ["set.zip"] and ranges(server) == [None]
    assert "set.zip" in capsys.readouterr().err
    fetch(remote)
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["cut", "reset"])
def test_a_cut_line_is_taken_up_where_it_broke(server, remote, kind, capsys):
    server.faults = [("cut", 1000), (kind, 500)]
    assert fetch(remote).read_bytes() == OLD
    assert ranges(server)[:2] == [None, "bytes=1000-"]
    assert kind == "reset" or ranges(server)[2] == "bytes=1500-"  # a reset may take unread bytes along
    said = capsys.readouterr().err
    assert "broke off after 1,000 bytes: attempt 2 of 3 follows" in said
    assert here(remote) == ["set.zip"]


def test_the_next_call_goes_on_where_the_last_one_gave_up(server, remote):
    server.faults = [("cut", 1000), ("cut", 0), ("cut", 200)]
    with pytest.raises(UserError, match=r"broke off after 1,200 bytes: try again, or download .* put it at"):
        fetch(remote)
    assert here(remote) == [".set.zip.part", ".set.zip.part.mark"]
    assert fetch(remote).read_bytes() == OLD
    assert ranges(server) == [None, "bytes=1000-", "bytes=1000-", "bytes=1200-"]
    assert here(remote) == ["set.zip"]


def test_a_part_of_another_address_is_not_continued(server, remote):
    server.faults = [("cut", 1000)] * 3
    with pytest.raises(UserError, match="broke off"):
        fetch(remote)
    server.files["/other.zip"] = NEW
    other = Remote(f"{server.address}/other.zip", remote.target, "zip archive")
    assert fetch(other).read_bytes() == NEW and ranges(server)[-1] is None


def test_a_server_without_ranges_starts_again(server, remote):
    server.ranges, server.faults = "no", [("cut", 1000)]
    assert fetch(remote).read_bytes() == OLD
    assert ranges(server) == [None, "bytes=1000-"]


def test_without_a_mark_of_the_file_nothing_is_continued_or_kept(server, remote):
    server.marks, server.faults = {"ETag": 'W/"weak"'}, [("cut", 1000)] * 3
    with pytest.raises(UserError, match="broke off after 1,000 bytes"):
        fetch(remote)
    assert here(remote) == [] and ranges(server) == [None] * 3


def test_the_date_serves_where_the_etag_is_weak(server, remote):
    server.marks = {"ETag": 'W/"weak"', "Last-Modified": "Fri, 20 Nov 2026 10:00:00 GMT"}
    server.faults = [("cut", 1000)]
    assert fetch(remote).read_bytes() == OLD and ranges(server) == [None, "bytes=1000-"]


@pytest.mark.parametrize("ranges_kind", ["yes", "blind"])
def test_two_states_of_a_file_are_never_mixed(server, remote, ranges_kind):
    server.faults = [("cut", 1000)] * 3
    with pytest.raises(UserError, match="broke off"):
        fetch(remote)
    server.files["/set.zip"], server.marks, server.ranges = NEW, {"ETag": '"two"'}, ranges_kind
    assert fetch(remote).read_bytes() == NEW


def test_answers_with_a_part_of_what_was_asked_are_put_together(server, remote, capsys):
    server.faults = [("cut", 1000)] + [("part", 900)] * 4
    assert fetch(remote).read_bytes() == OLD
    assert ranges(server)[1:] == [f"bytes={start}-" for start in (1000, 1900, 2800, 3700, 4600)]
    assert capsys.readouterr().err.count("follows") == 1, "a smaller answer is no fault"


def test_a_first_answer_may_be_a_part_or_the_whole_as_one(server, remote):
    server.faults = [("part", len(OLD))]
    assert fetch(remote).read_bytes() == OLD and ranges(server) == [None]
    remote.target.unlink()
    server.faults = [("part", 4000)]
    assert fetch(remote).read_bytes() == OLD and ranges(server)[1:] == [None, "bytes=4000-"]


def test_parts_without_a_mark_of_the_file_are_not_asked_for_for_ever(server, remote):
    server.marks, server.faults = {}, [("part", 1000)] * 9
    with pytest.raises(UserError, match="broke off after 1,000 bytes"):
        fetch(remote)
    assert ranges(server) == [None] * 3


def test_a_length_that_is_too_large_is_settled_by_asking_for_the_rest(server, remote):
    server.faults = [("length", 10)]
    assert fetch(remote).read_bytes() == OLD
    assert ranges(server) == [None, f"bytes={len(OLD)}-"]


def test_a_length_that_is_too_small_gives_no_archive(server, remote):
    server.faults = [("length", -10)]
    with pytest.raises(UserError, match="is no zip archive .a login page"):
        fetch(remote)
    assert here(remote) == []


def test_lasting_answers_end_at_once_and_passing_ones_are_tried_again(server, remote, capsys):
    missing = Remote(f"{server.address}/no.zip", remote.target, "zip archive")
    with pytest.raises(UserError, match="no.zip answered 404 Not Found: download"):
        fetch(missing)
    assert len(server.asked) == 1
    server.faults = [("status", 500), ("status", 429)]
    assert fetch(remote).read_bytes() == OLD and len(server.asked) == 4
    assert "answered 500 Internal Server Error: attempt 2 of 3 follows" in capsys.readouterr().err
    remote.target.unlink()
    server.faults = [("status", 503)] * 3
    with pytest.raises(UserError, match="answered 503 Service Unavailable: try again, or download"):
        fetch(remote)


def test_redirects_are_followed_also_when_continuing(server, remote):
    moved = Remote(f"{server.address}/old.zip", remote.target, "zip archive")
    there = ("to", f"{server.address}/set.zip")
    server.faults = [there, ("cut", 1000), there]
    assert fetch(moved).read_bytes() == OLD
    assert server.asked[2:] == [("/old.zip", "bytes=1000-"), ("/set.zip", "bytes=1000-")]


@pytest.mark.parametrize(
    ("before", "after", "followed"),
    [
        ("https://a/x", "https://b/x", True),
        ("http://a/x", "https://b/x", True),
        ("https://a/x", "http://a/x", False),
        ("http://a/x", "ftp://a/x", False),
    ],
)
def test_no_redirect_leads_off_a_protected_line(before, after, followed):
    arguments = (urllib.request.Request(before), None, 302, "Found", Message(), after)
    if followed:
        assert _SafeRedirects().redirect_request(*arguments).full_url == after
    else:
        with pytest.raises(UserError, match="is not protected: it was not followed"):
            _SafeRedirects().redirect_request(*arguments)


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000, "-5", "ten"])
def test_a_length_that_is_no_number_is_no_length(server, remote, length):
    server.faults = [("headers", {"Content-Length": length})]
    assert fetch(remote).read_bytes() == OLD


@pytest.mark.parametrize("address", ["http://[::1/x", f"http://{'a' * 80}.com/x", "http://127.0.0.1:x/"])
def test_a_redirect_to_what_is_no_address_is_a_sentence(server, remote, address):
    server.faults = [("to", address)]
    with pytest.raises(UserError, match="set.zip is not on this machine and cannot be fetched .*: download"):
        fetch(remote)


@pytest.mark.parametrize("faults", [[("raw", b"HE\x0bL\x1bLO" + b"O" * 900 + b"\r\n\r\n")], [("to", "/set.zip")] * 11])
def test_the_words_of_a_server_stay_one_short_line(server, remote, faults):
    server.faults = faults
    with pytest.raises(UserError) as caught:
        fetch(remote)
    text = str(caught.value).partition(": download")[0]
    assert text.isprintable() and len(text) < 300 and ("HE" in text or "infinite loop" in text)


def test_a_compressed_answer_is_told(server, remote):
    server.faults = [("headers", {"Content-Encoding": "gzip"})]
    with pytest.raises(UserError, match=r"sends the file compressed \(gzip\), unasked: download .* put it at"):
        fetch(remote)
    assert here(remote) == []


def test_a_page_instead_of_the_archive_is_told(server, remote):
    server.files["/set.zip"] = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"is no zip archive \(a login page of your network\?\): download"):
        fetch(remote)
    assert here(remote) == []


@pytest.mark.parametrize("fault", [("none",), ("endless",)])
def test_more_than_the_limit_is_refused(server, remote, fault):
    server.faults = [fault]
    small = Remote(remote.url, remote.target, remote.kind, limit=len(OLD) - 1)
    with pytest.raises(UserError, match="refused"):
        fetch(small)
    assert here(remote) == []
    assert fetch(Remote(remote.url, remote.target, remote.kind, limit=len(OLD))).read_bytes() == OLD


def test_a_full_disk_is_told_before_and_while_writing(server, remote, monkeypatch):
    usage = SimpleNamespace(free=module.SPARE + len(OLD) - 1)
    with monkeypatch.context() as patched:
        patched.setattr(module.shutil, "disk_usage", lambda _: usage)
        with pytest.raises(UserError, match=r"needs 0 MB more and .* has 67 MB free: make room"):
            fetch(remote)
        usage.free += 1
        assert fetch(remote).read_bytes() == OLD
    remote.target.unlink()
    usual = Path.open

    def full(path, mode="r", *rest, **more):
        if mode == "ab":
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match="cannot be written .No space left on device.: make room"):
        fetch(remote)


def test_offline_is_one_sentence_with_the_step_by_hand(tmp_path):
    with faulty_server.running() as gone:
        address = gone.address
    remote = Remote(f"{address}/set.zip", tmp_path / "set.zip", "zip archive", otherwise=", then start again")
    with pytest.raises(UserError) as caught:
        fetch(remote)
    text = str(caught.value)
    assert text.startswith("set.zip is not on this machine and cannot be fetched (") and "\n" not in text
    assert text.endswith(f"download {address}/set.zip in a browser and put it at {remote.target}, then start again.")
    assert list(tmp_path.iterdir()) == []
