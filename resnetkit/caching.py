"""Where what can be had again is kept, one process at a time, and what stands in for the servers it comes from."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from resnetkit.errors import ResourceError, UsageError, plain

WAIT = 4 * 3600  # seconds for another process that fetches the same


def cache_folder() -> Path:
    """``RESNETKIT_CACHE``, or where the system keeps what can be had again."""
    if given := os.environ.get("RESNETKIT_CACHE"):
        return Path(given).expanduser().absolute()
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "resnetkit/Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library/Caches/resnetkit"
        xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (xdg if xdg.is_absolute() else Path.home() / ".cache") / "resnetkit"
    except RuntimeError as error:
        raise ResourceError("there is no home folder to keep data in", "name a folder: RESNETKIT_CACHE=DIR") from error


def mirror(variable: str = "RESNETKIT_MIRROR") -> str:
    """The address of a mirror that the environment names, or nothing."""
    address = os.environ.get(variable, "").rstrip("/")
    if address and not address.startswith(("http://", "https://")):
        raise UsageError(
            f"{variable} is {plain(address)}, which is no address",
            "name one such as https://HOST/DIR, or put the files into the cache yourself",
        )
    return address


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time fetches into a folder; the others wait for it."""
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=WAIT)
    except Timeout as error:
        raise ResourceError(
            f"another process has long been fetching into {plain(folder)}", "end it, or wait"
        ) from error
    except OSError as error:
        hint = "name a folder that you may write to: RESNETKIT_CACHE=DIR"
        raise ResourceError(f"{plain(folder)} cannot be written: {error.strerror}", hint) from error
    try:
        yield
    finally:
        lock.release()
