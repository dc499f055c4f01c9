"""Where data sets with a name lie, and how they come there: fetched once, checked, unpacked, and known again."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnetkit import files
from resnetkit.data.archives import unpack
from resnetkit.data.download import Watch, digest, download
from resnetkit.data.folders import SYSTEM
from resnetkit.data.known import File, Known
from resnetkit.errors import DataError, ResourceError, UsageError, plain

SEAL = "checked.json"  # what was checked, by hash, and what it looked like then
UNPACKED = "unpacked"
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


def addresses(known: Known, file: File) -> tuple[str, ...]:
    """Where a file is fetched from: the mirror alone, where ``RESNETKIT_MIRROR`` names one."""
    mirror = os.environ.get("RESNETKIT_MIRROR", "").rstrip("/")
    if not mirror:
        return file.urls
    if not mirror.startswith(("http://", "https://")):
        raise UsageError(
            f"RESNETKIT_MIRROR is {plain(mirror)}, which is no address",
            "name one such as https://HOST/DIR, or put the files into the cache yourself",
        )
    return (f"{mirror}/{known.name}/{file.name}",)


def bring(known: Known, watch: Watch | None = None) -> Path:
    """The folder of a data set, its files whole and its archive unpacked in ``unpacked``.

    What was checked before is known by size and time of change; what has changed since is checked again, and fetched
    again where it is not what it was. Raises DataError, which says what to put where, if something cannot be had.
    """
    folder = cache_folder() / "data" / known.name
    if sealed(folder, known):
        return folder
    with locked(folder):
        if not sealed(folder, known):  # by another process, in the meantime
            try:
                fetch(known, folder, watch)
                for file in known.files:
                    if file.archive:
                        unpack_anew(folder, file)
                files.write_json(folder / SEAL, {"sha256": hashes(known), "files": state(folder, known)})
            except OSError as error:
                raise ResourceError(
                    f"{plain(error.filename or folder)}: {error.strerror or error}", files.hint(error)
                ) from error
    return folder


def fetch(known: Known, folder: Path, watch: Watch | None) -> None:
    wanting = [file for file in known.files if not is_whole(folder / file.name, file)]
    for i, file in enumerate(wanting):
        try:
            download(addresses(known, file), folder / file.name, file.size, file.sha256, watch)
        except DataError as error:
            raise DataError(*by_hand(known, wanting[i:], folder, error.what)) from error


def by_hand(known: Known, wanting: list[File], folder: Path, why: str) -> tuple[str, str]:
    """What is wrong, and which files to put where."""
    wrong = [file.name for file in wanting if (folder / file.name).exists()]
    there = ""
    if wrong:
        there = f"what is in {plain(folder)} by that name is another file: {', '.join(wrong)}; "
    lines = [
        f"  {file.name}, {file.size:,} bytes, SHA-256 {file.sha256}, from {' or '.join(file.urls)}" for file in wanting
    ]
    what = "this file" if len(lines) == 1 else f"these {len(lines)} files"
    fix = f"put {what} into {plain(folder)}, or name a mirror: RESNETKIT_MIRROR=https://HOST/DIR"
    return f"{known.name} is not at hand: {there}{why}", "\n".join([fix, *lines])


def is_whole(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size and digest(path) == file.sha256


def unpack_anew(folder: Path, file: File) -> None:
    for left in folder.glob(f".{UNPACKED}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left)
    target = folder / UNPACKED
    if target.is_dir():
        shutil.rmtree(target)
    unpack(folder / file.name, target)


def hashes(known: Known) -> dict[str, str]:
    return {file.name: file.sha256 for file in known.files}


def sealed(folder: Path, known: Known) -> bool:
    """Whether all is as it was when it was checked, by size and time of change."""
    try:
        seal: Any = json.loads((folder / SEAL).read_bytes())
        return bool(seal == {"sha256": hashes(known), "files": state(folder, known)})
    except (OSError, ValueError, RecursionError):
        return False


def state(folder: Path, known: Known) -> dict[str, list[int]]:
    """Size and time of change (ns) of the files of a data set, and of all that was unpacked.

    What systems put beside pictures, such as .DS_Store, is no picture and no damage.
    """
    paths = [folder / file.name for file in known.files]
    for root, _, names in os.walk(folder / UNPACKED):
        paths += [Path(root, name) for name in names if name[0] != "." and name.lower() not in SYSTEM]
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in paths}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items())}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time fetches a data set; the others wait for it."""
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
