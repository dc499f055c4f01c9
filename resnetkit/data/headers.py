"""What a picture file says of itself before anything is decoded: its size, which way is up, and its bare pixels.

Each reader also copies out the encoded pixels and what describes them, and leaves behind texts, profiles, thumbnails
and later frames. The decoder is given that bare file only. So no parser of metadata ever runs on a hostile file, a
text of gigabytes is never inflated, and Pillow finds nothing to warn of: warnings belong to the whole process, and to
silence them for one thread is not possible.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

MOST_SCANS = 500  # of a progressive JPEG, as in libjpeg-turbo's own fuzzers; encoders write about ten


class UnreadableError(Exception):
    """What is wrong with a picture, to be said after its name, and one thing to do."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


@dataclass(frozen=True)
class Header:
    """Sizes are as stored, before the picture is turned."""

    width: int
    height: int
    bare: bytes  # a file of the same format with one picture and nothing else
    orientation: int = 1  # EXIF's; a number that means nothing there means upright
    more: str = ""  # what else the file holds, as a note
    bits: int = 8  # of one sample
    grey: bool = False  # where the decoded mode does not say so
    inverted: bool = False  # 16-bit samples with white at zero
    clear: tuple[int, ...] = ()  # the one grey or colour that stands for "transparent"


def read_jpeg(data: bytes) -> Header:
    """ITU-T T.81 annex B: segments up to the first scan, and all that follows it."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:2]]
    at, size, orientation = 2, None, 1
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            raise EOFError
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # these stand alone
            at += 2
            continue
        if marker == 0xD9:
            raise ValueError("it ends before the picture")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise EOFError
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if size is not None:
                raise ValueError("it has two headers")
            bits, height, width = struct.unpack_from(">BHH", data, at + 4)
            if bits != 8:
                raise UnreadableError(f"is a JPEG of {bits} bits a channel", "convert it to JPEG or PNG of 8 bits")
            size = width, height
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = read_orientation(data[at + 4 : end])
        # What applications wrote stays behind, but for 0xE0, JFIF, and 0xEE, which says how Adobe means the colours.
        if not 0xE1 <= marker <= 0xED and marker not in (0xEF, 0xFE):
            kept.append(view[at:end])
        at = end
    if size is None:
        raise ValueError("it has no header")
    if data.count(b"\xff\xda", at) > MOST_SCANS:
        raise UnreadableError("is a JPEG of more than 500 scans", "save it again as an ordinary JPEG")
    kept.append(view[at:])
    return Header(*size, b"".join(kept), orientation)


def read_png(data: bytes) -> Header:
    """PNG (W3C, third edition): the critical chunks, their checksums verified, and the transparency of a palette."""
    view = memoryview(data)
    kept: list[bytes | memoryview] = [data[:8]]
    clear, more, orientation = b"", "", 1
    head: tuple[int, int, int, int] | None = None
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        body, end = at + 8, at + 12 + length
        if end > len(data):
            raise EOFError
        if (kind == b"IHDR") is not (head is None):
            raise ValueError("its chunks are out of order")
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"IEND"):
            if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
                raise ValueError(f"wrong checksum in {kind.decode()}")
            if kind == b"IHDR":
                head = struct.unpack_from(">IIBB", data, body)
            if kind == b"tRNS" and head and head[3] != 3:
                clear = data[body : end - 4]
            else:
                kept.append(view[at:end])
        elif kind == b"eXIf":
            orientation = read_orientation(data[body : end - 4])
        elif kind == b"acTL" and int.from_bytes(data[body : body + 4], "big") > 1:
            more = "animated: only the first picture is used"
        at = end
    assert head is not None
    width, height, bits, colours = head
    return Header(
        width, height, b"".join(kept), orientation, more, bits, colours in (0, 4), clear=clear_of(clear, bits, colours)
    )


def clear_of(stored: bytes, bits: int, colours: int) -> tuple[int, ...]:
    """The transparent grey or colour as it is once decoded: 16-bit grey stays so, all else becomes 8-bit."""
    if not stored:
        return ()
    samples = struct.unpack_from(">3H" if colours == 2 else ">H", stored)
    if bits < 8:
        return tuple(sample * 255 // (2**bits - 1) for sample in samples)
    return tuple(sample >> 8 for sample in samples) if bits == 16 and colours == 2 else samples


def read_gif(data: bytes) -> Header:
    """GIF89a: the screen, and the first picture with the control block before it."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    kept = [data[:at]]
    while data[at] != 0x2C:
        if data[at] == 0x3B:
            raise ValueError("it holds no picture")
        if data[at] != 0x21:
            at += 1
            continue
        end = after_blocks(data, at + 2)
        if data[at + 1 : at + 3] == b"\xf9\x04":
            kept.append(data[at:end])
        at = end
    left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
    end = after_blocks(data, at + 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0))
    kept += data[at:end], b";"
    more = "animated: only the first picture is used" if another_gif(data, end) else ""
    return Header(max(width, left + across), max(height, top + down), b"".join(kept), more=more)


def after_blocks(data: bytes, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1


def another_gif(data: bytes, at: int) -> bool:
    try:
        while data[at] == 0x21:
            at = after_blocks(data, at + 2)
        return data[at] == 0x2C
    except IndexError:
        return False


def read_webp(data: bytes) -> Header:
    """RFC 9649: the chunks with pixels in them, up to the first frame."""
    size: tuple[int, int] | None = None
    kept: list[bytes] = []
    frames, orientation = 0, 1
    at, whole = 12, 8 + little(data, 4, 4)
    if whole > len(data):
        raise EOFError
    while at + 8 <= whole:
        kind, length = struct.unpack_from("<4sI", data, at)
        body, end = at + 8, at + 8 + length
        if end > whole:
            raise EOFError
        chunk = data[at:end] + b"\0" * (length % 2)
        frames += kind == b"ANMF"
        if kind == b"VP8X":
            size = size or (1 + little(data, body + 4, 3), 1 + little(data, body + 7, 3))
        elif kind == b"VP8 ":
            size = size or (little(data, body + 6, 2) & 0x3FFF, little(data, body + 8, 2) & 0x3FFF)
        elif kind == b"VP8L":
            packed = little(data, body + 1, 4)
            size = size or ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
        elif kind == b"EXIF":
            orientation = read_orientation(data[body:end])
        if kind in (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM") or (kind == b"ANMF" and frames == 1):
            kept.append(chunk)
        at = end + length % 2
    if size is None:
        raise ValueError("it holds no picture")
    bare = b"WEBP" + b"".join(kept)
    more = "animated: only the first picture is used" if frames > 1 else ""
    return Header(*size, b"RIFF" + struct.pack("<I", len(bare)) + bare, orientation, more)


def little(data: bytes, at: int, count: int) -> int:
    if at + count > len(data):
        raise EOFError
    return int.from_bytes(data[at : at + count], "little")


def read_bmp(data: bytes) -> Header:
    """The width and height as Pillow understands them: a height is negative if its top byte is 255."""
    if little(data, 14, 4) == 12:
        return Header(little(data, 18, 2), little(data, 20, 2), data)
    height = little(data, 22, 4)
    return Header(little(data, 18, 4), height if height < 0xFF000000 else 2**32 - height, data)


# TIFF 6.0 and its supplements: the tags that describe pixels and have one value, and those that may have many.
ORIENTATION = 274
SINGLE = frozenset({256, 257, 259, 262, 266, 277, 278, 284, 292, 293, 317, 322, 323, 512, 513, 514, 515, 531})
MANY = frozenset({258, 273, 279, 320, 324, 325, 338, 339, 347, 517, 518, 519, 520, 521, 529, 530, 532})
BYTES_OF = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
FREE = frozenset({347, 529, 532})  # tables and fractions; all others are whole numbers without a sign
LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # the types of those, as struct spells them
MOST_STRIPS = 1_000_000
LARGEST_TILE = 4096 * 4096  # pixels


@dataclass(frozen=True)
class Tag:
    """One entry of a TIFF directory."""

    entry: bytes  # as it stands there
    outside: int  # bytes of its values, where they stand elsewhere
    values: tuple[int, ...]  # the first few


def read_tiff(data: bytes) -> Header:
    """The first directory, rewritten without its other tags at the end of the file; the pixels stay where they are."""
    order, big = "<" if data[:2] == b"II" else ">", 43 in data[2:4]
    (first,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    tags, following = directory(data, first, order, big, SINGLE | MANY | {ORIENTATION})

    def value(number: int, default: int) -> int:
        return next(iter(tags[number].values), default) if number in tags else default

    bits = max(tags[258].values, default=1) if 258 in tags else 1
    refuse_tiff(tags, bits, value)
    orientation = value(ORIENTATION, 1)
    tags.pop(ORIENTATION, None)
    if sum(tag.outside for tag in tags.values()) > len(data):
        raise EOFError
    count, link = (order + "Q", order + "Q") if big else (order + "H", order + "I")
    table = struct.pack(count, len(tags)) + b"".join(tags[tag].entry for tag in sorted(tags)) + struct.pack(link, 0)
    start = data[:8] if big else data[:4]
    body, gap = data[len(start) + struct.calcsize(link) :], b"\0" * (len(data) % 2)
    bare = b"".join((start, struct.pack(link, len(data) + len(gap)), body, gap, table))
    more = "several pages: only the first is used" if following else ""
    return Header(
        value(256, 0), value(257, 0), bare, orientation, more, bits, inverted=bits == 16 and not value(262, 0)
    )


def refuse_tiff(tags: dict[int, Tag], bits: int, value: Callable[[int, int], int]) -> None:
    """What Pillow would read as something else, print about, or take much memory for."""
    kinds = set(tags[339].values) if 339 in tags else {1}
    fix = "save it with 8 or 16 bits a channel"
    if 3 in kinds:
        raise UnreadableError("stores floating-point numbers, which do not say what is black and what is white", fix)
    if kinds & {2, 5, 6}:
        raise UnreadableError("stores signed numbers, which do not say what is black and what is white", fix)
    if bits > 16:
        raise UnreadableError(f"stores {bits} bits a channel", fix)
    if value(277, 1) > 6:
        raise UnreadableError(f"has {value(277, 1)} channels", "save it as a grey or colour picture")
    if any(tags[number].values[1:] for number in SINGLE & tags.keys()):
        raise ValueError("a tag with one value has several")
    if value(322, 1) * value(323, 1) > LARGEST_TILE:
        raise ValueError("its tiles are too large")
    if any(tags[number].outside > 8 * MOST_STRIPS for number in (273, 279, 324, 325) if number in tags):
        raise ValueError("it has too many strips")


def directory(data: bytes, at: int, order: str, big: bool, wanted: frozenset[int]) -> tuple[dict[int, Tag], int]:
    """The wanted tags of a directory, and where the next directory stands."""
    layout = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    at += 8 if big else 2
    tags: dict[int, Tag] = {}
    for _ in range(count):  # a count too large ends with the data
        number, kind, many, inside = layout.unpack_from(data, at)
        letter = LETTERS.get(kind, "")
        if number in wanted and number not in tags and (letter or number in FREE):
            place, outside = at + layout.size - len(inside), 0
            length = many * BYTES_OF.get(kind, 0)
            if length > len(inside):
                (place,) = struct.unpack(order + ("Q" if big else "I"), inside)
                outside = length
                if place + length > len(data):
                    raise EOFError
            values = struct.unpack_from(f"{order}{min(many, 8)}{letter}", data, place) if letter else ()
            tags[number] = Tag(data[at : at + layout.size], outside, values)
        at += layout.size
    return tags, struct.unpack_from(order + ("Q" if big else "I"), data, at)[0]


def read_orientation(exif: bytes) -> int:
    """What EXIF says, or 1 where that cannot be read: a broken label is no broken picture."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(order + "I", exif, 4)
        tags, _ = directory(exif, first, order, False, frozenset({ORIENTATION}))
    except (struct.error, EOFError):
        return 1
    return next(iter(tags[ORIENTATION].values), 1) if ORIENTATION in tags else 1


READERS: dict[str, Callable[[bytes], Header]] = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WEBP": read_webp,
    "BMP": read_bmp,
    "GIF": read_gif,
    "TIFF": read_tiff,
}
