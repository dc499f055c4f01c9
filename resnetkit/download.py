"""One file over HTTP, there whole or not at all: gone on with where it broke off, checked by SHA-256, then renamed."""

import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

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

    def __init__(self, why: str, again: bool, found: str = "") -> None:
        super().__init__(why)
        self.why, self.again, self.found = why, again, found


class Unfetched(DataError):
    """No address has the file. ``found`` is the SHA-256 of what came in its place, if something did."""

    found = ""


def is_offline() -> bool:
    """Whether ``RESNETKIT_OFFLINE`` forbids to ask any server."""
    return os.environ.get("RESNETKIT_OFFLINE", "") not in ("", "0")


def download(
    urls: Sequence[str],
    target: Path,
    size: int | None,
    sha256: str,
    watch: Watch | None = None,
    *,
    quarantine: Path | None = None,
) -> None:
    """Bring the file of ``size`` bytes and that SHA-256 from the first of the ``urls`` that has it.

    Without ``size`` the servers say it; of ``sha256`` the first digits are enough, or none. What came so far lies in
    ``target`` + ``.part``, and is gone on with by any later call; another file goes to the folder ``quarantine``, if
    there is one. One process at a time. Raises Unfetched, a DataError, where no address has the file, ResourceError
    where it cannot be written.
    """
    part = target.with_name(target.name + ".part")
    files.check_target(part)
    if is_offline():
        raise Unfetched(f"{target.name} is not fetched: RESNETKIT_OFFLINE is set", "take it out of the environment")
    left, why, found, idle, pause = list(urls), dict[str, str](), "", 0, 0.0
    while left and idle < TRIES:
        time.sleep(pause)
        url, before = left.pop(0), held(part)
        try:
            bring(url, part, size, watch)
            settle(part, target, sha256, quarantine, whole=before == 0)
            return
        except Lost as lost:
            why[url], found = lost.why, lost.found or found
            idle = 0 if held(part) - before >= CHUNK else idle + 1
            pause = PAUSE * 2**idle if lost.again and idle else 0
            if lost.again:
                left.append(url)  # another one, if there is one, goes on where this one broke off
    said = "; ".join(f"{url}: {text}" for url, text in why.items())
    error = Unfetched(
        f"{target.name} could not be fetched: {plain(said)}", "see that there is a network, and try again"
    )
    error.found = found
    raise error


def answering(urls: Sequence[str], seconds: float) -> dict[str, str]:
    """Of each address what is wrong with it, nothing where its server answers, whatever it says, within the time.

    Each server is asked once, all of them at the same time. Looking up a name cannot be hurried, so it is left.
    """
    hosts: dict[str, str] = {}
    for url in urls:
        hosts.setdefault(urlsplit(url).netloc, url)
    said = dict.fromkeys(hosts, f"no answer within {seconds:g} seconds")

    def ask(host: str) -> None:
        said[host] = refusal(hosts[host], seconds)

    askers = [threading.Thread(target=ask, args=(host,), daemon=True) for host in hosts]
    until = time.monotonic() + seconds
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(max(0.0, until - time.monotonic()))
    final = dict(said)  # what comes later is too late
    return {url: final[urlsplit(url).netloc] for url in urls}


def refusal(url: str, seconds: float) -> str:
    """Why a server cannot be spoken to, or nothing; a server that says no has spoken."""
    if is_offline():
        return "RESNETKIT_OFFLINE is set"
    try:
        opener().open(request_for(url, method="HEAD"), timeout=seconds).close()
    except urllib.error.HTTPError as error:
        error.close()
    except urllib.error.URLError as error:
        return str(error.reason)
    except (http.client.HTTPException, OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def request_for(url: str, *, method: str = "GET", start: int = 0) -> urllib.request.Request:
    headers = {"User-Agent": f"resnetkit/{resnetkit.__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 (opener: http and https alone)


def bring(url: str, part: Path, size: int | None, watch: Watch | None) -> None:
    """Add to ``part`` what it lacks of ``size`` bytes; raises Lost where that was not all."""
    begun = held(part)
    if size is not None and begun > size:
        part.unlink()
        begun = 0
    if begun == size:
        return
    if size is not None:
        check_room(part, size - begun)
    try:
        with opener().open(request_for(url, start=begun), timeout=TIMEOUT) as reply:
            done, whole = first_byte(reply, begun, size)
            if size is None:
                check_room(part, whole - done)
            with writing(part, done) as file:
                for chunk in chunks(reply):
                    done += len(chunk)
                    if done > whole:
                        raise Lost(f"it sends more than the {whole:,} bytes of the file", again=False)
                    put(file, chunk)
                    if watch:
                        watch(part.stem, done, whole)
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
    if done < whole:
        raise Lost(f"it broke off after {done:,} of {whole:,} bytes", again=True)


def check_room(part: Path, wanting: int) -> None:
    room = shutil.disk_usage(part.parent).free
    if room < wanting:
        raise ResourceError(
            f"{part.name} needs {wanting:,} bytes more, and the disk has {room:,}",
            "free some space, or name a folder elsewhere with RESNETKIT_CACHE",
        )


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


def first_byte(reply: http.client.HTTPResponse, begun: int, size: int | None) -> tuple[int, int]:
    """Where the bytes of an answer stand in the file, and the bytes of all of it.

    They stand at 0 where the server sends the whole file, whatever was asked for.
    """
    said = reply.headers.get("Content-Length", "")
    whole = size
    if said.isdecimal():
        whole = int(said) + (begun if reply.status == 206 else 0)
    if reply.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", reply.headers.get("Content-Range", ""))
        if span is None or int(span[1]) != begun:
            raise Lost("it sends another part than the one asked for", again=False)
        whole = size if span[2] == "*" else int(span[2])
    if whole is None:
        raise Lost("it does not say how long the file is", again=False)
    if size is not None and whole != size:
        raise Lost(f"it has a file of {whole:,} bytes, not of {size:,}", again=False)
    return begun if reply.status == 206 else 0, whole


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


def settle(part: Path, target: Path, sha256: str, quarantine: Path | None, *, whole: bool) -> None:
    """Give the file its name, if it is the right one; else put it away."""
    found = digest(part)
    if not found.startswith(sha256):
        wrong = f"what came has the SHA-256 {found}, not {sha256}{'' if len(sha256) == 64 else '...'}, and was"
        if quarantine is None:
            part.unlink()
        else:
            put_away(part, quarantine)
        raise Lost(f"{wrong} {'removed' if quarantine is None else 'put away'}", again=not whole, found=found)
    try:
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise ResourceError(f"{plain(target)} could not be written: {error.strerror}", files.hint(error)) from error


def put_away(path: Path, quarantine: Path) -> Path:
    """Move a file that is not what it should be out of the way, and say where it is."""
    target = quarantine / path.name.removesuffix(".part")
    try:
        quarantine.mkdir(exist_ok=True)
        os.replace(path, target)
    except OSError as error:
        raise ResourceError(f"{plain(path)} could not be put away: {error.strerror}", files.hint(error)) from error
    return target


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
