"""Which container a video is, by its first bytes, and whether all the bytes are there that it speaks of."""

import re
import struct
from typing import BinaryIO

from resnetkit.data.decode import MAGIC, REPLACE
from resnetkit.data.headers import UnreadableError
from resnetkit.errors import plain

# The first bytes of each container, by the name of FFmpeg's reader for it.
CONTAINERS = re.compile(
    rb"(?P<mov>.{4}(ftyp|moov|mdat|wide|free|skip|pnot))|(?P<matroska>\x1aE\xdf\xa3)|(?P<avi>RIFF.{4}AVI[ \x19])",
    re.DOTALL,
)
MOST_BOXES = 100_000  # of a file; a day of fragments of two seconds each has fewer
# Of an MP4 file, at its top. Others end the look: what comes after the last may be anything.
BOXES = frozenset(b"ftyp styp moov moof mdat sidx ssix mfra emsg prft pdin meta udta uuid free skip wide".split())


def kind_of(start: bytes) -> str:
    """FFmpeg's name of the container; raises UnreadableError where it is none that is read."""
    found = CONTAINERS.match(start)
    if found and found.lastgroup:
        return found.lastgroup
    if not start:
        raise UnreadableError("is empty (0 bytes)", REPLACE)
    if (picture := MAGIC.match(start)) and picture.lastgroup:
        raise UnreadableError(f"is a {picture.lastgroup} picture, not a video", "give a video")
    if not re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", start[:512]):
        words = plain(" ".join(start[:40].decode("utf-8", "replace").split()))
        raise UnreadableError(f"is a text file, not a video (it begins with {words!r})", "name the video itself")
    raise UnreadableError(
        f"is not a video of a known kind (its first bytes are {start[:8].hex(' ')})", "convert it to mp4, mkv or webm"
    )


def missing(kind: str, file: BinaryIO, size: int) -> int:
    """How many bytes a file lacks that its container says it has; 0 where it is whole or does not say.

    FFmpeg takes the end of a file for the end of the film.
    """
    end = {"mov": end_of_boxes, "matroska": end_of_segment, "avi": end_of_riff}[kind](file, size)
    return max(0, end - size)


def end_of_boxes(file: BinaryIO, size: int) -> int:
    """ISO/IEC 14496-12, 4.2: boxes one after the other, each with its length; 0 is all the rest."""
    at = 0
    for _ in range(MOST_BOXES):
        if at >= size:
            break
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            break
        length, kind = struct.unpack_from(">I4s", head)
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack_from(">Q", head, 8)
        if length < 8 or kind not in BOXES:
            break
        at += length
    return at


def end_of_segment(file: BinaryIO, size: int) -> int:
    """RFC 8794 and 9559: the EBML header, then one segment, whose size may be unknown."""
    file.seek(0)
    start = file.read(4096)
    length, used = ebml_size(start, 4)
    at = 4 + used + length
    if start[at : at + 4] != b"\x18\x53\x80\x67":
        return size
    length, used = ebml_size(start, at + 4)
    return at + 4 + used + length if length else size


def ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """A size and how many bytes it takes; 0 where it is unknown, that is all ones."""
    if at >= len(data) or not data[at]:
        return 0, 0
    used = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + used], "big") & ((1 << 7 * used) - 1)
    return (0 if value == (1 << 7 * used) - 1 else value), used


def end_of_riff(file: BinaryIO, size: int) -> int:
    """One RIFF list after the other (OpenDML); a length of 0 or all ones was never filled in."""
    at = 0
    for _ in range(MOST_BOXES):
        if at >= size:
            break
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            break
        (length,) = struct.unpack_from("<I", head, 4)
        if length in (0, 0xFFFFFFFF):
            return size
        at += 8 + length + length % 2
    return at - 1 if at == size + 1 else at  # the last may come without its padding


def ends_early(size: int, lacks: int) -> str:
    return f"it ends too early, at {size:,} of {size + lacks:,} bytes"
