"""One file over HTTP, there whole or not at all: gone on with where it broke off, checked by SHA-256, then renamed."""

import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import resnetkit
from resnetkit import files
from resnetkit.errors import DataError, ResourceError, plain

Watch = Callable[[str, int, int], None]  # hears the name of the file, and how many of how many bytes are there
TRIES = 5  # in a row that bring next to nothing
PAUSE = 0.5  # seconds, doubled before each of them
TIMEOUT = 20.0  # seconds without a byte
SLOW = 60.0, 64 << 10  # seconds in which fewer bytes are as good as none
CHUNK = 1 << 20
AGAIN = frozenset({408, 416, 425, 429, 500, 502, 503, 504})  # answers that may be others a little later


class Lost(Exception):
    """A try that failed, and whether the same address is worth another."""

    def __init__(self, why: str, again: bool) -> None:
        super().__init__(why)
        self.why, self.again = why, again


def download(urls: Sequence[str], target: Path, size: int, sha256: str, watch: Watch | None = None) -> None:
    """Bring the file of ``size`` bytes and that SHA-256 from the first of the ``urls`` that has it.

    What came so far lies in ``target`` + ``.part``, and is gone on with by any later call. One process at a time.
    Raises DataError where no address has the file, ResourceError where it cannot be written.
    """
    part = target.with_name(target.name + ".part")
    files.check_target(part)
    left, why, idle, pause = list(urls), dict[str, str](), 0, 0.0
    while left and idle < TRIES:
        time.sleep(pause)
        url, before = left.pop(0), held(part)
        try:
            bring(url, part, size, watch)
            settle(part, target, sha256, whole=before == 0)
            return
        except Lost as lost:
            why[url] = lost.why
            idle = 0 if held(part) - before >= CHUNK else idle + 1
            pause = PAUSE * 2**idle if lost.again and idle else 0
            if lost.again:
                left.append(url)  # another one, if there is one, goes on where this one broke off
    said = "; ".join(f"{url}: {text}" for url, text in why.items())
    raise DataError(f"{target.name} could not be fetched: {plain(said)}", "see that there is a network, and try again")


def bring(url: str, part: Path, size: int, watch: Watch | None) -> None:
    """Add to ``part`` what it lacks of ``size`` bytes; raises Lost where that was not all."""
    begun = held(part)
    if begun > size:
        part.unlink()
        begun = 0
    if begun == size:
        return
    room = shutil.disk_usage(part.parent).free
    if room < size - begun:
        raise ResourceError(
            f"{part.name} needs {size - begun:,} bytes more, and the disk has {room:,}",
            "free some space, or name a folder elsewhere with RESNETKIT_CACHE",
        )
    headers = {"User-Agent": f"resnetkit/{resnetkit.__version__}", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the opener knows http and https alone)
        with opener().open(request, timeout=TIMEOUT) as reply:
            done = first_byte(reply, begun, size)
            with writing(part, done) as file:
                for chunk in chunks(reply):
                    done += len(chunk)
                    if done > size:
                        raise Lost(f"it sends more than the {size:,} bytes of the file", again=False)
                    put(file, chunk)
                    if watch:
                        watch(part.stem, done, size)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise Lost(f"{error.code} {error.reason}", error.code in AGAIN) from error
    except urllib.error.URLError as error:
        lasting = isinstance(error.reason, socket.gaierror | ssl.SSLCertVerificationError | str)
        raise Lost(str(error.reason), again=not lasting) from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise Lost(str(error) or type(error).__name__, again=True) from error
    if done < size:
        raise Lost(f"it broke off after {done:,} of {size:,} bytes", again=True)


def opener() -> urllib.request.OpenerDirector:
    """What speaks HTTP and HTTPS, through the proxies that the environment names, and nothing else."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def first_byte(reply: http.client.HTTPResponse, begun: int, size: int) -> int:
    """Where the bytes of an answer stand in the file: 0 where the server sends all of it, whatever was asked for."""
    said = reply.headers.get("Content-Length", "")
    whole = begun + int(said) if said.isdecimal() and reply.status == 206 else int(said) if said.isdecimal() else size
    if reply.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != begun:
            raise Lost("it sends another part than the one asked for", again=False)
        whole = size if span[2] == "*" else int(span[2])
    if whole != size:
        raise Lost(f"it has a file of {whole:,} bytes, not of {size:,}", again=False)
    return begun if reply.status == 206 else 0


def chunks(reply: http.client.HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes; a server that all but stops is left."""
    since, got = time.monotonic(), 0
    while chunk := reply.read1(CHUNK):
        yield chunk
        got += len(chunk)
        if time.monotonic() - since > SLOW[0]:
            if got < SLOW[1]:
                raise Lost(f"it sent {got:,} bytes in {SLOW[0]:.0f} seconds", again=True)
            since, got = time.monotonic(), 0


def settle(part: Path, target: Path, sha256: str, *, whole: bool) -> None:
    """Give the file its name, if it is the right one; else remove it."""
    found = digest(part)
    if found != sha256:
        part.unlink()
        raise Lost(f"what came has the SHA-256 {found}, not {sha256}, and was removed", again=not whole)
    try:
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise ResourceError(f"{plain(target)} could not be written: {error.strerror}", files.hint(error)) from error


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def held(part: Path) -> int:
    """Bytes that are there already."""
    return part.stat().st_size if part.exists() else 0


def writing(part: Path, start: int) -> IO[bytes]:
    try:
        return open(part, "ab" if start else "wb", buffering=0)
    except OSError as error:
        raise ResourceError(f"{plain(part)} could not be written: {error.strerror}", files.hint(error)) from error


def put(file: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        raise ResourceError(f"{plain(file.name)} could not be written: {error.strerror}", files.hint(error)) from error
