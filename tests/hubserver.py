"""A server that answers as the Hugging Face Hub does what is asked of it for a data set, from files on disk."""

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote, urlsplit

import pytest

from resnetkit.data.listing import look_up


@dataclass
class Hub:
    """Data sets under ``root``, as OWNER/NAME/BRANCH/FILE, where a branch with strokes in it is spelt with %2F."""

    root: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)  # every request: method, path and range
    private: set[str] = field(default_factory=set)  # data sets that take the token hf_good
    gated: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)  # old names of data sets
    cut: int = 0  # bytes after which the next answer with a file breaks off
    wait: float = 0  # seconds before an answer
    status: int = 0  # of every answer, if any
    lies: dict[str, Any] = field(default_factory=dict)  # header or key of the listing: what is said there instead
    listed: dict[str, int] = field(default_factory=dict)  # files that are listed beside those there are

    def branch(self, repo: str, revision: str) -> Path | None:
        """The folder of a branch, by its name or the commit it stands for."""
        for folder in (self.root / repo).iterdir():
            if revision in (unquote(folder.name), commit(folder)):
                return folder
        return None


def commit(branch: Path) -> str:
    files = sorted(path for path in branch.rglob("*") if path.is_file())
    text = "".join(f"{path.relative_to(branch)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files)
    return hashlib.sha1(text.encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, path = self.hub, urlsplit(self.path).path
        hub.asked.append(f"{self.command} {unquote(path)} {self.headers.get('Range', '')}".strip())
        time.sleep(hub.wait)
        if hub.status:
            return self.send(hub.status, b"no")
        match = re.fullmatch(r"(?:/api)?/datasets/(.+?)(?:/(revision|resolve)/([^/]+)(?:/(.+))?)?", path)
        if not match:
            return self.send(404, b"no such page")
        repo, what, revision, file = match[1], match[2], unquote(match[3] or "main"), unquote(match[4] or "")
        if repo in hub.moved:
            return self.send(
                307, b"", {"Location": self.path.replace(f"/datasets/{repo}", f"/datasets/{hub.moved[repo]}")}
            )
        known = (hub.root / repo).is_dir() and "/" in repo
        if not known or (repo in hub.private and self.headers.get("Authorization") != "Bearer hf_good"):
            return self.send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        branch = hub.branch(repo, revision)
        if branch is None:
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if what != "resolve":
            return self.send(200, json.dumps(self.about(repo, branch)).encode(), {"Content-Type": "application/json"})
        if repo in hub.gated:
            return self.send(403, b"", {"X-Error-Code": "GatedRepo"})
        if not (branch / file).is_file():
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = (branch / file).read_bytes()
        said = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit(branch)}
        said |= {name: value for name, value in hub.lies.items() if name in said}
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(match[1])
            said |= {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return self.send(206, data[start:], said)
        return self.send(200, data, {**said, "Accept-Ranges": "bytes"})

    def about(self, repo: str, branch: Path) -> dict[str, Any]:
        files = {str(path.relative_to(branch)): path for path in sorted(branch.rglob("*")) if path.is_file()}
        rows = [{"rfilename": name, "size": path.stat().st_size} for name, path in files.items()]
        rows += [{"rfilename": name, "size": size} for name, size in self.hub.listed.items()]
        return {"id": repo, "sha": commit(branch), "siblings": rows, **self.hub.lies}

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.cut and "Accept-Ranges" in (headers or {}):
            body, self.hub.cut = body[: self.hub.cut], 0
            self.close_connection = True
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """A server that says nothing of those who leave before the end."""

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """A hub over the data sets in a folder, at ``url``."""
    hub = Hub(root)
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def use(hub: Hub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process ask this hub, and keep its files in ``home``; another process is told by its environment."""
    constants = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
    }
    constants |= {"HF_HUB_CACHE": str(home / "hub"), "HF_ASSETS_CACHE": str(home / "assets")}
    for name, value in constants.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    look_up.cache_clear()


def branch_folder(root: Path, repo: str, branch: str = "main") -> Path:
    """Where the files of a branch are put."""
    return root / repo / quote(branch, "")
