"""Official weights by name, against a small server of our own: no test leaves this machine."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from official_format import write_official

from yolo_ft.core.errors import UserError
from yolo_ft.data.catalog import remote
from yolo_ft.finetune import checkpoints, downloads
from yolo_ft.finetune.downloads import OFFICIAL, fetch_weights, official_name
from yolo_ft.models import build_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> bytes:
    """The bytes of an official-format file."""
    path = tmp_path_factory.mktemp("release") / "yolov5x.pt"
    return write_official(path, build_model("yolov5n", 2)).read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "a cache, später"
    monkeypatch.setenv("YOLO_FT_CACHE", str(folder))
    monkeypatch.setattr(remote, "PAUSE", 0)
    return folder


@pytest.fixture
def server():
    """A server that gives `server.answer` = (status, Content-Length, body) and counts `server.asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, length, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked, running.answer = [], (404, 0, b"")
        running.address = f"http://127.0.0.1:{running.server_address[1]}/v7.0"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_only_bare_official_names_are_official():
    names = ["yolov5n", "yolov5x.pt", "yolo26m.pt"]
    assert [official_name(name) for name in names] == ["yolov5n", "yolov5x", "yolo26m"]
    others = "yolo26 yolo26n-seg.pt yolov5n6.pt yolov5nu.pt yolov5n-seg.pt yolov8n.pt a/yolov5n.pt yolov5n.yaml".split()
    assert [official_name(name) for name in ("", *others)] == [None] * 9
    assert all(digest is None or len(digest) == 64 for digest in OFFICIAL.values())


def test_the_first_download_is_kept_and_its_hash_recorded_and_said(cache, server, weights, capsys):
    server.answer = (200, len(weights), weights)
    path = fetch_weights("yolov5x", release=server.address)
    digest = hashlib.sha256(weights).hexdigest()
    assert path == cache / "yolov5x.pt" and path.read_bytes() == weights
    assert (cache / "yolov5x.pt.sha256").read_text(encoding="utf-8") == f"{digest}  yolov5x.pt\n"
    said = capsys.readouterr()
    assert f"recorded the SHA-256 of this first copy, {digest}" in said.err and "yolov5x.pt" in said.err
    assert fetch_weights("yolov5x", release=server.address) == path
    assert server.asked == ["/v7.0/yolov5x.pt"]
    assert sorted(file.name for file in cache.iterdir()) == ["yolov5x.pt", "yolov5x.pt.sha256"]


def test_a_cached_file_that_changed_later_is_refused(cache, server, weights):
    server.answer = (200, len(weights), weights)
    path = fetch_weights("yolov5x", release=server.address)
    path.write_bytes(weights + b"x")
    with pytest.raises(UserError, match="has changed .*recorded.*delete it"):
        fetch_weights("yolov5x", release=server.address)
    assert len(server.asked) == 1


def test_a_published_hash_is_compared_before_the_file_is_kept(cache, server, weights):
    server.answer = (200, len(weights), weights)
    with pytest.raises(UserError, match="is not the published file .*SHA-256"):
        fetch_weights("yolov5n", release=server.address)
    assert list(cache.iterdir()) == []
    (cache / "yolov5n.pt").write_bytes(weights)  # put there by hand
    with pytest.raises(UserError, match="published"):
        fetch_weights("yolov5n", release=server.address)


def test_the_right_published_hash_is_accepted_and_needs_no_record(cache, server, weights, monkeypatch):
    monkeypatch.setitem(downloads.OFFICIAL, "yolov5n", hashlib.sha256(weights).hexdigest())
    server.answer = (200, len(weights), weights)
    assert fetch_weights("yolov5n", release=server.address).read_bytes() == weights
    assert [file.name for file in cache.iterdir()] == ["yolov5n.pt"]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_cut_connection_leaves_nothing_behind(cache, server, weights, share):
    server.answer = (200, len(weights), weights[: int(len(weights) * share)])
    with pytest.raises(UserError, match=r"broke off after [\d,]+ bytes: try again, or download http.*browser"):
        fetch_weights("yolov5x", release=server.address)
    assert list(cache.iterdir()) == []


def test_a_missing_file_and_a_login_page_are_sentences(cache, server):
    with pytest.raises(UserError, match="answered 404 .*yolov5x.pt"):
        fetch_weights("yolov5x", release=server.address)
    page = b"<html>please log in</html>"
    server.answer = (200, len(page), page)
    with pytest.raises(UserError, match="is no .pt file"):
        fetch_weights("yolov5x", release=server.address)
    assert list(cache.iterdir()) == []


def test_offline_the_manual_step_is_named(cache, server):
    address = server.address
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError) as caught:
        fetch_weights("yolov5s", release=address)
    text = str(caught.value)
    assert f"download {address}/yolov5s.pt in a browser and put it at {cache / 'yolov5s.pt'}" in text
    assert "or pass the path" in text and "\n" not in text
    assert list(cache.iterdir()) == []


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(cache):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match="cannot be fetched .*timed out"):
            fetch_weights("yolov5s", release=address, timeout=0.2)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("YOLO_FT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set YOLO_FT_CACHE"):
        fetch_weights("yolov5s", release="http://127.0.0.1:9")


def test_an_official_name_is_loaded_from_the_cache(cache, server, weights, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    server.answer = (200, len(weights), weights)
    fetch_weights("yolov5x", release=server.address)
    for name in ("yolov5x", "yolov5x.pt"):
        assert checkpoints.load_checkpoint(name).num_classes == 2
    assert len(server.asked) == 1
