"""A real HTTP server for tests, which does what servers do: cuts, hangs, ignores Range, sends something else."""

import http.server
import re
import time
from typing import Any


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files`` by path, as ``how`` says; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.how: set[str] = set()
        self.cut = 0  # bytes after which a connection ends, or hangs
        self.status = 0
        self.asked: list[tuple[str, str | None]] = []  # path and Range
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None: ...


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Server

    def do_GET(self) -> None:
        server, how = self.server, self.server.how
        span = self.headers.get("Range")
        server.asked.append((self.path, span))
        path = re.sub(r"^http://[^/]+", "", self.path)  # as a proxy is asked
        if server.status:
            self.send_error(server.status)
            return
        if "redirect" in how and path == "/f":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/f" if "ftp" in how else "/g")
            self.end_headers()
            return
        data = server.files.get("/f" if path == "/g" else path)
        if data is None:
            self.send_error(404)
            return
        start = int(span[6:-1]) if span and "no range" not in how else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start or "always 206" in how else 200)
        if start or "always 206" in how:
            shift = 1 if "wrong part" in how else 0
            self.send_header("Content-Range", f"bytes {start + shift}-{len(data) - 1}/{len(data)}")
        if "no length" not in how:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        body = data[start:]
        if "drip" in how:
            for i in range(2000):
                self.send(body[i : i + 1])
                time.sleep(0.02)
        elif server.cut:
            self.send(body[: server.cut])
            if "hang" in how:
                time.sleep(30)
        else:
            self.send(body)

    def send(self, data: bytes) -> None:
        self.server.sent += len(data)
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None: ...
