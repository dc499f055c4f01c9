"""The one decoder: a file that nobody has looked at becomes an array of bytes, or an error that names it.

Pillow's plugin classes are called by name. Image.open would try formats that are refused here, and would warn of large
pictures, or not, as the user has set Image.MAX_IMAGE_PIXELS. This is called from many threads and no thread can silence
a warning for itself, so none may arise: the size is checked first, and headers.py takes away what Pillow warns of.
"""

import io
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from resnetkit.data.headers import READERS, Header, UnreadableError
from resnetkit.errors import DataError, UsageError, plain

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 50_000_000
MAX_ASPECT = 100  # long side to short side
MAX_BYTES = 512 * 2**20  # of one file; 50 megapixels of 16-bit colour with alpha take 400 million

PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
# The first bytes of each; those of BMP alone, "BM", would be too little.
MAGIC = re.compile(
    rb"(?P<JPEG>\xff\xd8\xff)|(?P<PNG>\x89PNG\r\n\x1a\n)|(?P<WEBP>RIFF.{4}WEBP)|(?P<GIF>GIF8[79]a)"
    rb"|(?P<TIFF>II[*+]\0|MM\0[*+])|(?P<BMP>BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0)",
    re.DOTALL,
)
SUFFIXES = {
    "JPEG": ".jpg .jpeg .jpe .jfif .mpo",
    "PNG": ".png .apng",
    "WEBP": ".webp",
    "BMP": ".bmp .dib",
    "GIF": ".gif",
    "TIFF": ".tif .tiff",
}
FORMAT_OF = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes.split()}
TURNS = {  # EXIF 2.32, tag 274
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
CONVERT = "convert it to JPEG or PNG"
REPLACE = "replace it by a good copy, or remove it"
# Files that often bear the name of a picture, by their first bytes.
STRANGERS = [
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.*|<!--.*|<!doctype svg.*)?<svg\b", "is an SVG drawing, not a picture", CONVERT),
    (
        rb"(\xef\xbb\xbf)?\s*(<\?xml.*|<!--.*)?<(!doctype html|html|head|body)\b",
        "looks like a web page",
        "download it again",
    ),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the picture itself", "run git lfs pull"),
    (rb"%PDF", "is a PDF document, not a picture", CONVERT),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "is a PostScript drawing, not a picture", CONVERT),
    (rb".{4}ftyp(avif|avis)", "is an AVIF picture, which is not read", CONVERT),
    (rb".{4}ftyp(hei|hev|mif1|msf1)", "is a HEIC picture, which is not read", CONVERT),
    (rb".{4}ftyp", "is a video, not a picture", "save the frames you want as JPEG or PNG"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "is a JPEG 2000 picture, which is not read", CONVERT),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "is a JPEG XL picture, which is not read", CONVERT),
    (rb"8BPS", "is a Photoshop document, which is not read", CONVERT),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "is an archive, not a picture", "unpack it first"),
    (rb"\0{64}", "holds zero bytes where a picture should be", REPLACE),
]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, and what had to be done that the picture's owner may not expect."""

    pixels: NDArray[np.uint8]  # (height, width, 1 or 3), read-only
    notes: tuple[str, ...] = ()


def decode(source: Path | bytes, name: str, *, channels: int | None = None, max_pixels: int = MAX_PIXELS) -> Picture:
    """The first picture of a file or of its bytes, upright, on white, with 8 bits a channel.

    ``channels`` is 1 or 3; without it a picture stored in grey has 1 and any other 3. Raises DataError naming ``name``
    for everything that is not a readable picture. Colour profiles are not applied, as everywhere in this field.
    """
    if channels not in (None, 1, 3):
        raise UsageError(f"channels is {channels}", "use 1 or 3")
    shown = plain(name)
    data = source if isinstance(source, bytes) else read_file(source, name)
    try:
        kind = kind_of(data)
        header = READERS[kind](data)
        check_size(header, max_pixels)
        image, notes = flatten(load(kind, header), header)
        if header.orientation in TURNS:
            image = image.transpose(TURNS[header.orientation])
        mode = {1: "L", 3: "RGB"}.get(channels or 0, image.mode)
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    except UnreadableError as error:
        raise DataError(f"{shown} {error.what}", error.fix) from None
    except MemoryError as error:
        raise DataError(f"{shown} needs more memory than there is", "make it smaller, or free some memory") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{shown} is larger than PIL.Image.MAX_IMAGE_PIXELS allows", "raise that limit") from error
    except Exception as error:  # on damaged files Pillow raises whatever its parsers stumble over
        raise DataError(f"{shown} is damaged: {reason(error)}", REPLACE) from error
    suffix = os.path.splitext(name)[1].lower()
    if FORMAT_OF.get(suffix, kind) != kind:
        notes.append(f"{kind} data in a {suffix} file")
    return Picture(pixels if pixels.ndim == 3 else pixels[..., None], tuple(notes))


def read_file(path: Path, name: str) -> bytes:
    """The bytes of a regular file, or of one a link leads to; nothing else is ever opened. Raises DataError."""
    try:
        with opened(path, name, "picture") as (file, size):
            start = file.read(4096)
            kind_of(start)  # before a large file that is no picture is read whole
            if size > MAX_BYTES:
                raise UnreadableError(f"has {size:,} bytes, more than the limit of {MAX_BYTES:,}", "make it smaller")
            return start + file.readall()
    except UnreadableError as error:
        raise DataError(f"{plain(name)} {error.what}", error.fix) from None


@contextmanager
def opened(path: Path, name: str, wanted: str) -> Iterator[tuple[io.FileIO, int]]:
    """A regular file, open, and its size; raises DataError where it is not to be had or reading it fails."""
    shown = plain(name)
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            mode = os.stat(path).st_mode
        refuse_irregular(mode, shown, wanted)
        # Should it become a pipe between the look and the opening, not to block is what saves us.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            refuse_irregular(found.st_mode, shown, wanted)
            yield file, found.st_size
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{shown} may not be read: permission denied", "give yourself the right to read it") from error
    except FileNotFoundError as error:
        what = "is a link that leads nowhere" if os.path.islink(path) else "does not exist"
        raise DataError(f"{shown} {what}", "give a file that exists") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DataError(f"{shown} could not be read: {reason(error)}", REPLACE) from error


def refuse_irregular(mode: int, shown: str, wanted: str) -> None:
    if not stat.S_ISREG(mode):
        raise DataError(f"{shown} is {kind_of_file(mode)}, not a {wanted}", f"name {wanted}s only")


def kind_of_file(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def kind_of(start: bytes) -> str:
    """One of FORMATS by the first bytes of a file; raises UnreadableError where it is none of them."""
    found = MAGIC.match(start)
    if found and found.lastgroup:
        return found.lastgroup
    if not start:
        raise UnreadableError("is empty (0 bytes)", REPLACE)
    for pattern, what, fix in STRANGERS:
        if re.match(pattern, start[:4096], re.DOTALL | re.IGNORECASE):
            raise UnreadableError(what, fix)
    if not re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", start[:512]):
        words = plain(" ".join(start[:40].decode("utf-8", "replace").split()))
        raise UnreadableError(f"is a text file, not a picture (it begins with {words!r})", REPLACE)
    raise UnreadableError(
        f"is not a picture of a known format (its first bytes are {start[:8].hex(' ')})",
        "use one of " + ", ".join(FORMATS),
    )


def check_size(header: Header, max_pixels: int) -> None:
    width, height = header.width, header.height
    pixels = width * height
    if not pixels:
        raise ValueError("it says that it has no pixels")
    if pixels > max_pixels:
        raise UnreadableError(
            f"has {pixels:,} pixels ({width} x {height}), more than the limit of {max_pixels:,}",
            f"make it smaller, or raise the limit with --max-pixels {pixels}",
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnreadableError(
            f"is {width} x {height}: its sides differ by more than {MAX_ASPECT} to 1", "crop it, or remove it"
        )


class Whole(io.BytesIO):
    """Bytes whose end is an error to a decoder that wants more, where Pillow is told to be content with less."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data and size:
            raise OSError("it ends too early")
        return data


def load(kind: str, header: Header) -> Image.Image:
    file = Whole if ImageFile.LOAD_TRUNCATED_IMAGES else io.BytesIO  # the user's setting; Whole is slower
    image = PLUGINS[kind](file(header.bare))
    if image.size != (header.width, header.height):
        raise ValueError("its headers disagree about its size")
    if kind == "TIFF":
        image.im = Image.new(
            image.mode, image.size
        ).im  # else Pillow makes one, and compares its size with its own limit
    image.load()
    return image


def flatten(image: Image.Image, header: Header) -> tuple[Image.Image, list[str]]:
    """The picture in L or RGB, and notes of what that took."""
    notes = [header.more] if header.more else []
    if header.bits > 8:
        notes.append(f"{header.bits} bits a channel reduced to 8")
    mode, clear = image.mode, header.clear
    if mode in ("LA", "La", "PA", "RGBA") or (mode == "P" and "transparency" in image.info):
        image, seen_through = on_white(image)
        notes += ["transparent parts shown on white"] * seen_through
        return image.convert("L") if header.grey else image, notes
    if mode == "L" and isinstance(image.info.get("transparency"), int):  # GIF
        clear = (image.info["transparency"],)
    if mode == "CMYK":
        notes.append("CMYK shown as RGB")
    if mode in ("P", "CMYK", "YCbCr", "LAB"):
        image = image.convert("RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in ("L", "RGB", "I;16", "I;16B"):
        raise UnreadableError(f"stores pixels of the kind {mode}, which is not read", CONVERT)
    samples = np.asarray(image) if clear or image.mode.startswith("I") else None
    if samples is not None:
        pixels = in_8_bits(samples, header) if samples.dtype != np.uint8 else samples.copy()
        if clear:
            hidden = (samples == clear).all(-1) if samples.ndim == 3 else samples == clear[0]
            pixels[hidden] = 255
            notes += ["transparent parts shown on white"] * bool(hidden.any())
        image = Image.fromarray(pixels)
    return image, notes


def on_white(image: Image.Image) -> tuple[Image.Image, bool]:
    """The picture without alpha, and whether anything could be seen through; the colour of what is clear is not."""
    base = "L" if image.mode in ("LA", "La") else "RGB"
    image = image.convert("LA" if base == "L" else "RGBA")
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert(base), False
    white = Image.new(base, image.size, "white")
    white.paste(image.convert(base), mask=alpha)
    return white, True


def in_8_bits(samples: NDArray[np.uint16], header: Header) -> NDArray[np.uint8]:
    """Scaled and rounded, not clipped as Image.convert does: for 16 bits, 65535 becomes 255 and 257 becomes 1."""
    most = 2**header.bits - 1
    pixels = np.empty(samples.shape, np.uint8)
    rows = max(1, 2**20 // samples.shape[1])  # a band at a time: the numbers in between take four times the memory
    for top in range(0, len(samples), rows):
        band = samples[top : top + rows].astype(np.uint32)
        band = most - band if header.inverted else band
        pixels[top : top + rows] = (510 * band + most) // (2 * most)
    return pixels


def reason(error: Exception) -> str:
    """What a parser stumbled over, in one line."""
    if isinstance(error.__cause__ or error, IndexError | struct.error | EOFError):
        return "it ends too early"
    if isinstance(error, OSError) and error.strerror:
        return plain(error.strerror)
    return plain(error)[:200] or type(error).__name__
