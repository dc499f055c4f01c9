"""Files that others wrote, opened only where they are regular files, and read only to a size that was looked at."""

import os
import stat
from pathlib import Path
from typing import IO

from resnetkit.errors import DataError, ResourceError, plain

LIST = 64 << 20  # bytes of a list of names: ImageNet's longest takes three million


def open_regular(path: Path) -> IO[bytes]:
    """A pipe or a device is not even opened, because that may wait for ever. Raises DataError naming the file."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return open(path, "rb")
    except OSError as error:
        raise DataError(
            f"{plain(path)} cannot be read: {error.strerror}", "make it readable, or copy it again"
        ) from error
    raise DataError(f"{plain(path)} is not a regular file", "put the file itself there")


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a file; ResourceError where they are more than ``limit``."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ResourceError(
                f"{plain(path)} has {size:,} bytes; {limit:,} are read at most", "check that it is the file you meant"
            )
        try:
            return file.read()
        except OSError as error:
            raise DataError(f"{plain(path)} cannot be read: {error.strerror}", "copy it again") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a short UTF-8 text, without blank ones."""
    try:
        text = read_whole(path, LIST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{plain(path)} is not UTF-8 text: byte {error.start}", "save it as UTF-8") from error
    return [line.strip() for line in text.splitlines() if line.strip()]
