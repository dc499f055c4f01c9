"""What a tar file holds, by its headers alone: where each member begins and how long it is, so that one can be read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from tarfile import (
    DIRTYPE,
    GNUTYPE_LONGLINK,
    GNUTYPE_LONGNAME,
    LNKTYPE,
    REGULAR_TYPES,
    SYMTYPE,
    XGLTYPE,
    XHDTYPE,
    HeaderError,
    TarInfo,
)
from typing import IO

from resnetkit.errors import DataError, plain

BLOCK = 512  # bytes that a header takes, and that members are filled up to
LONGEST = 1 << 20  # bytes of what a header says beside itself, such as a long name, and of the zeros at the end
RECORD = re.compile(rb"(\d{1,7}) ([^=\n]+)=")  # how a line of POSIX.1-2001's extended header begins
PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x1f\x9d": "compress",
}
AGAIN = "download or write it again"


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a tar."""

    name: str
    start: int  # byte at which it begins
    size: int


def members(file: IO[bytes], where: str) -> Iterator[Member]:
    """The files in a tar, in their order. Nothing but headers is read; folders are passed by.

    Headers are those of POSIX ustar and pax, and GNU's long names. Raises DataError naming ``where`` for a tar that is
    compressed, damaged or cut off, goes on after its end, or holds links, devices or files with holes.
    """
    end = file.seek(0, os.SEEK_END)
    at, said = 0, dict[str, str]()
    while block := read(file, at, BLOCK):
        if not at:
            refuse_packed(block, where)
        if not block.strip(b"\0"):
            if said or end - at > LONGEST or read(file, at, end - at).strip(b"\0"):
                raise DataError(f"{where} goes on after its end at byte {at:,}", "write tars one by one, not joined")
            return
        try:
            header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except HeaderError as error:
            what = f"is damaged at byte {at:,}" if at else "is no tar file"
            raise DataError(f"{where} {what}: {plain(error)}", AGAIN) from error
        start, kind = at + BLOCK, header.type
        size = int(said["size"]) if "size" in said and kind in REGULAR_TYPES else header.size
        size = 0 if kind == DIRTYPE else size  # a folder may say one, and has no bytes
        at = start + -(-size // BLOCK) * BLOCK
        name = said.get("path", header.name)
        if size < 0 or start + size > end:
            raise DataError(f"{where} is cut off within {plain(name)}: it has {end:,} bytes", AGAIN)
        if kind in (XHDTYPE, GNUTYPE_LONGNAME):
            said |= beside(read(file, start, size) if size <= LONGEST else b"", kind, f"{where}, byte {start:,}")
        elif kind in REGULAR_TYPES and not any(key.startswith("GNU.sparse") for key in said) and kind != b"S":
            yield Member(name, start, size)
            said = {}
        elif kind == DIRTYPE:
            said = {}
        elif kind not in (XGLTYPE, GNUTYPE_LONGLINK):  # a link says its long target first
            what = "a link" if kind in (LNKTYPE, SYMTYPE) else "no regular file"
            raise DataError(f"{where}: {plain(name)} is {what}", "write the tar again with the files themselves")
    raise DataError(f"{where} is cut off: it has {end:,} bytes and no end", AGAIN)


def read(file: IO[bytes], at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


def refuse_packed(start: bytes, where: str) -> None:
    for sign, name in PACKED.items():
        if start.startswith(sign):
            raise DataError(
                f"{where} is compressed with {name}, so that no picture can be read without those before it",
                "uncompress it to .tar; if it holds class folders, unpack it and name the folder",
            )


def beside(data: bytes, kind: bytes, where: str) -> dict[str, str]:
    """What stands before a header, about the member that follows: its long name, or lines of ``length key=value``."""
    damaged = DataError(f"{where}: what is said of the next member cannot be read", AGAIN)
    if kind == GNUTYPE_LONGNAME:
        if not (name := data.partition(b"\0")[0]):
            raise damaged
        return {"path": name.decode("utf-8", "surrogateescape")}
    said: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if not match or end <= match.end() or data[end - 1 : end] != b"\n":
            raise damaged
        said[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode("utf-8", "surrogateescape")
        at = end
    if not data or not said.get("path", "-") or not re.fullmatch(r"\d{1,18}", said.get("size", "0"), re.ASCII):
        raise damaged
    return said
