"""A small web server of our own whose connections break, whose files change and whose answers lie: no test leaves
this machine."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer(ThreadingHTTPServer):
    """Serves `files` {path: bytes} under `marks` {header: value}; `faults` are used up, one per request.

    A fault is ("cut", bytes sent before the line goes dead), ("reset", the same but rudely), ("status", code),
    ("length", what is added to Content-Length), ("to", address), ("endless",) for no Content-Length, ("part", most
    bytes of an answer 206), ("headers", {header: value}), ("raw", all bytes of the answer), or ("none",).
    `ranges`: "yes", "no" (always the whole file) or "blind" (If-Range is not looked at). `asked`: (path, Range).
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.marks: dict[str, str] = {"ETag": '"one"'}
        self.faults: list[tuple] = []
        self.ranges = "yes"
        self.asked: list[tuple[str, str | None]] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append((self.path, wanted))
        kind, *more = server.faults.pop(0) if server.faults else ("none",)
        body = server.files.get(self.path)
        if kind == "to":
            return self._answer(302, b"", {"Location": more[0]})
        if kind == "raw":
            return self.wfile.write(more[0])
        if kind == "status" or body is None:
            return self._answer(more[0] if more else 404, b"no")
        start = self._start(wanted)
        if start > len(body) - 1 and start:
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        end = min(len(body), start + more[0]) if kind == "part" else len(body)
        partial = start or kind == "part"
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"} if partial else {}
        length = end - start + (more[0] if kind == "length" else 0)
        headers |= server.marks | ({} if kind == "endless" else {"Content-Length": str(length)})
        headers |= more[0] if kind == "headers" else {}
        sent = body[start : start + more[0]] if kind in ("cut", "reset") else body[start:][:length]
        self._answer(206 if partial else 200, sent, headers)
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _start(self, wanted: str | None) -> int:
        known = self.server.ranges == "blind" or self.headers.get("If-Range") in self.server.marks.values()
        return int(wanted[6:-1]) if wanted and known and self.server.ranges != "no" else 0

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} if headers is None else headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[FaultyServer]:
    """The server, in a thread, for a block."""
    with FaultyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
