"""A web server of one file, with ranges (RFC 9110, section 14), that can misbehave on purpose."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves ``content`` at every path but /moved, which leads to it.

    Attributes:
        cuts: for each coming answer, after how many bytes of the body the connection is closed; none left: never.
        statuses: for each coming answer, a status to give instead of the file.
        ranges: whether it knows ranges.
        tag: the entity tag; None for none.
        declared: a false length to promise.
        pause: seconds before the body.
        requests: for each request its Range header or None.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.tag: str | None = '"one"'
        self.media_type = "application/octet-stream"
        self.declared: int | None = None
        self.pause = 0.0
        self.requests: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        self.close_connection = True
        if self.path == "/moved":
            self._answer(302, b"", {"Location": "/file"})
            return
        if server.statuses:
            self._answer(server.statuses.pop(0), b"", {})
            return
        content, status, headers = server.content, 200, {"Content-Type": server.media_type}
        if server.tag:
            headers["ETag"] = server.tag
        if wanted and server.ranges and self.headers.get("If-Range", server.tag) == server.tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            if start >= len(content):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content, status = content[start:], 206
        self._answer(status, content, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        server = self.server
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(server.declared or len(body)))
        self.end_headers()
        time.sleep(server.pause)
        if status < 300 and server.cuts:
            body = body[: server.cuts.pop(0)]
        # A client may have seen enough.
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(content: bytes) -> Iterator[FileServer]:
    with FileServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
