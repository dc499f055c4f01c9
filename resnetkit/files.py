"""Files that are there whole or not at all: written beside the target, synced, renamed."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from resnetkit.errors import ResourceError, UsageError


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Replace ``path`` by ``data`` in one step; its mode is what the umask says.

    Raises UsageError where the target is a link, a device or a folder, ResourceError where it cannot be written.
    """
    check_target(path)
    beside = path.with_name(f".{path.name[:100]}.{os.urandom(4).hex()}.tmp")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise ResourceError(f"{path} could not be written: {error.strerror or error}", hint(error)) from error


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def check_target(path: Path) -> None:
    """Only a regular file may be replaced: never a link, a device or a folder."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise UsageError(f"{path} is {kind} and is not replaced", "name another file")


def sync_folder(folder: Path) -> None:
    """Make a rename last. Windows cannot open folders and does not need it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def hint(error: OSError) -> str:
    match error.errno:
        case 28 | 122 | None:  # of which nothing is known but that it could not be written
            return "free some space on that disk, or write to another one"
        case 13 | 1 | 30:
            return "choose a folder you may write to"
        case 27:
            return "allow larger files (ulimit -f), or write to another disk"
    return "choose a place that exists and can be written"
