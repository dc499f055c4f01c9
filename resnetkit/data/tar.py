"""Tar files read from the first byte to the last, bare or packed by gzip, bzip2 or xz; of what they hold, files alone.

The format is POSIX 1003.1 (ustar and pax) with GNU's long names. Python's tarfile takes a damaged header in the middle
for the end, and follows sizes into loops on versions in use; here a size is only ever how much to read on.
"""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from resnetkit.errors import DataError, plain

RATIO = 100  # unpacked bytes for each packed one; pictures have about 1
FREE = 1 << 20  # bytes below which no ratio is looked at
CHUNK = 1 << 20
TEXT = 1 << 20  # bytes of a long name, or of what pax says of one member
AGAIN = "download it again from where you trust"
PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
KINDS = {b"1": "a link", b"2": "a link", b"K": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
BROKEN = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
Member = tuple[str, Iterator[bytes] | None]  # its name and its bytes; None for a folder


def tar_members(file: IO[bytes], where: str) -> Iterator[Member]:
    stream = Stream(file, where)
    name, size = None, None  # where records before a member say them
    while any(header := stream.exactly(512)):
        if number(header[148:156]) != sum(header[:148]) + 256 + sum(header[156:]):
            first = stream.done == 512
            raise DataError(f"{where} is no zip or tar archive", AGAIN) if first else damaged(where, "a bad header")
        kind, length = header[156:157], number(header[124:136])
        if kind in (b"L", b"x", b"g"):
            if not 0 <= length <= TEXT:
                raise DataError(f"{where} has a name of {length:,} bytes", AGAIN)
            data = stream.exactly(length + -length % 512)[:length]
            if kind == b"L":
                name = data.rstrip(b"\0")
            elif kind == b"x":
                said = pax(data, where)
                name, size = said.get(b"path", name), said.get(b"size", size)
            continue
        if name is None:
            name = header[:100].split(b"\0")[0]
            if header[257:263] == b"ustar\0" and header[345]:
                name = header[345:500].split(b"\0")[0] + b"/" + name
        length = length if size is None else int(size) if re.fullmatch(rb"\d{1,18}", size) else -1
        text = utf8(name, where)
        if kind not in (b"0", b"\0", b"7", b"5"):
            raise DataError(f"{where}: {plain(text)} is {KINDS.get(kind, 'no plain file')}", AGAIN)
        if length < 0:
            raise damaged(where, f"{plain(text)} has no size")
        folder = kind == b"5" or text.endswith("/")  # before 1988 folders had no letter of their own
        yield text, None if folder else stream.chunks(length)
        name, size = None, None
    while stream.read(CHUNK):  # to the end, where gzip has its CRC
        pass


class Stream:
    """The bytes of a tar, from the first to the last, and how many they are."""

    def __init__(self, file: IO[bytes], where: str) -> None:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in PACKED.items() if start.startswith(magic)), None)
        self.raw, self.where, self.done = file, where, 0
        self.file = file if opener is None else opener(file)

    def read(self, size: int) -> bytes:
        try:
            data = self.file.read(size)
        except BROKEN as error:
            raise damaged(self.where, error) from error
        self.done += len(data)
        refuse_bomb(self.done, self.raw.tell(), self.where)
        return data

    def exactly(self, size: int) -> bytes:
        data = self.read(size)
        if len(data) < size:
            raise DataError(f"{self.where} is truncated: it ends after {self.done:,} bytes", AGAIN)
        return data

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes of a member; what fills its last block up is passed by."""
        for start in range(0, size, CHUNK):
            yield self.exactly(min(CHUNK, size - start))
        self.exactly(-size % 512)


def number(field: bytes) -> int:
    """Octal digits, or, for what is greater, bytes behind one with the highest bit; -1 for neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    return int(digits or b"0", 8) if re.fullmatch(rb"[0-7]*", digits) else -1


def pax(data: bytes, where: str) -> dict[bytes, bytes]:
    """What is said of the next member, in records such as ``27 path=a/long/name.jpg``."""
    said, at = {}, 0
    while at < len(data):
        length = re.compile(rb"([1-9]\d{0,6}) ").match(data, at)
        record = data[length.end() : at + int(length[1])] if length else b""
        key, equals, value = record[:-1].partition(b"=")
        if length is None or not equals or record[-1:] != b"\n":
            raise damaged(where, "a bad pax record")
        if key.startswith(b"GNU.sparse"):
            raise DataError(f"{where} has a sparse file", "pack it again without --sparse")
        said[key] = value
        at += int(length[1])
    return said


def utf8(name: bytes, where: str) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: the name {name[:200]!r} is not UTF-8", "pack it again with UTF-8 names") from error


def refuse_bomb(unpacked: int, packed: int, where: str) -> None:
    if unpacked > max(FREE, RATIO * packed):
        raise DataError(f"{where}: {packed:,} bytes unpack to more than {RATIO} times as many", AGAIN)


def damaged(where: str, why: object) -> DataError:
    return DataError(f"{where} is truncated or damaged: {plain(why) or type(why).__name__}", AGAIN)
