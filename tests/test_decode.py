"""The decoder gives the right pixels for every kind of picture, and one calm error for everything else."""

import io
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, TiffImagePlugin

from resnetkit.data import decode as room
from resnetkit.data.decode import FORMATS, MAX_BYTES, decode, read_file
from resnetkit.data.headers import MANY, READERS, SINGLE
from resnetkit.errors import DataError, UsageError, plain

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 24, 36
COLOUR = np.stack(np.broadcast_arrays(*np.ogrid[0:230:24j, 0:250:36j], 90.0), axis=-1).round().astype(np.uint8)
GREY = COLOUR[..., 1]
WIDE = np.linspace(0, 65535, HEIGHT * WIDTH).round().reshape(HEIGHT, WIDTH).astype(np.uint16)
ALPHA = np.repeat(np.array([0, 64, 128, 255], np.uint8), WIDTH // 4)[None].repeat(HEIGHT, 0)


def encoded(pixels: NDArray[Any] | Image.Image, kind: str, **settings: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def with_alpha(pixels: Pixels, alpha: Pixels = ALPHA) -> Image.Image:
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    return image


def on_white(pixels: Pixels) -> NDArray[np.float64]:
    alpha = (ALPHA / 255).reshape(HEIGHT, WIDTH, *[1] * (pixels.ndim - 2))
    return pixels * alpha + 255 * (1 - alpha)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows: NDArray[Any], bits: int, colours: int, *more: bytes, size: tuple[int, int] | None = None) -> bytes:
    """A PNG of packed rows (height, bytes)."""
    height, width = size or (HEIGHT, WIDTH)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def tiff(pixels: bytes, order: str = "<", **tags: int | tuple[int, ...]) -> bytes:
    """An uncompressed grey TIFF of one strip, after the 8 bytes of its head; the tags are named t258 and so on."""
    numbers: dict[int, int | tuple[int, ...]] = {
        256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT, 279: len(pixels),
        **{int(name[1:]): value for name, value in tags.items()},
    }  # fmt: skip
    start = 8 + len(pixels) + len(pixels) % 2
    table, beyond = struct.pack(order + "H", len(numbers)), b""
    for tag, value in sorted(numbers.items()):
        values = value if isinstance(value, tuple) else (value,)
        body = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            place = start + 2 + 12 * len(numbers) + 4 + len(beyond)
            beyond += body
            body = struct.pack(order + "I", place)
        table += struct.pack(order + "HHI", tag, 4, len(values)) + body
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + pixels + b"\0" * (len(pixels) % 2) + table + b"\0" * 4 + beyond


def ycck() -> bytes:
    """A JPEG as Photoshop writes them: CMYK stored inverted, its first three channels as YCbCr."""
    inks = 255 - COLOUR  # no black, so that the colours are the inks' complements
    turned = np.asarray(Image.fromarray(inks).convert("YCbCr"))
    stored = np.concatenate([255 - turned, np.zeros((HEIGHT, WIDTH, 1), np.uint8)], axis=2)
    data = encoded(Image.frombytes("CMYK", (WIDTH, HEIGHT), stored.tobytes()), "JPEG", quality=95)
    at = data.index(b"Adobe")
    return data[: at + 11] + b"\2" + data[at + 12 :]


def top_down() -> bytes:
    data = encoded(COLOUR[::-1], "BMP")
    return data[:22] + struct.pack("<i", -HEIGHT) + data[26:]


def lab() -> Image.Image:
    srgb, target = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.fromarray(COLOUR), srgb, target, outputMode="LAB")
    assert image is not None
    return image


def twelve_bits() -> bytes:
    samples = (WIDE >> 4).astype(np.uint32).reshape(-1, 2)
    pairs = samples[:, 0] << 12 | samples[:, 1]
    return b"".join(int(pair).to_bytes(3, "big") for pair in pairs)


PALETTE = Image.fromarray(COLOUR).quantize(64)
INDEXED = np.asarray(PALETTE.convert("RGB"))
ALPHAS = bytes(range(0, 256, 4))  # of the palette's 64 entries
SEEN = np.frombuffer(ALPHAS, np.uint8)[np.asarray(PALETTE)][..., None] / 255
SEEN_THROUGH = INDEXED * SEEN + 255 * (1 - SEEN)
TWO_BITS = np.asarray(GREY >> 6)
PACKED = TWO_BITS[:, 0::4] << 6 | TWO_BITS[:, 1::4] << 4 | TWO_BITS[:, 2::4] << 2 | TWO_BITS[:, 3::4]
DEEP = (COLOUR.astype(np.uint16) * 257 + 100).clip(0, 65535)
WIDE_ALPHA = np.stack([WIDE, np.full_like(WIDE, 65535)], axis=-1)
WHITE = np.full((HEIGHT, WIDTH), 255, np.uint8)
HALF = np.where(GREY >= 128, 255, 0).astype(np.uint8)
ONE_BIT = Image.fromarray(HALF).convert("1")
CMYK = Image.fromarray(COLOUR).convert("CMYK")
MOVING = {"save_all": True, "append_images": [Image.new("RGB", (WIDTH, HEIGHT), "red")]}
REDUCED, CLEAR, INKS = "16 bits a channel reduced to 8", "transparent parts shown on white", "CMYK shown as RGB"
MOVES, PAGES = "animated: only the first picture is used", "several pages: only the first is used"


def without(pixels: NDArray[Any], key: NDArray[Any], shown: NDArray[Any] | None = None) -> NDArray[Any]:
    """White where the stored grey, colour or index is the key."""
    hidden = (pixels == key).reshape(HEIGHT, WIDTH, -1).all(-1)
    shown = pixels if shown is None else shown
    return np.where(hidden.reshape(HEIGHT, WIDTH, *[1] * (shown.ndim - 2)), 255, shown)


def key(*samples: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(samples)}H", *samples))


def big_end(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return samples.byteswap().reshape(HEIGHT, -1)


SEVEN, THIRD, FIFTH = np.array(7), np.array(2), np.array(5)
FIRST_CLEAR = without(COLOUR, COLOUR[0, 0])
FIFTH_CLEAR = without(np.asarray(PALETTE), FIFTH, INDEXED)
WIDE_CLEAR = without(WIDE, WIDE[3, 3], WIDE / 257)
DEEP_CLEAR = without(DEEP, DEEP[5, 5], DEEP / 257)
# Name, file, the pixels it shows, how far each may be off, notes.
GOLDEN: list[tuple[str, Callable[[], bytes], NDArray[Any], float, tuple[str, ...]]] = [
    ("colour.jpg", lambda: encoded(COLOUR, "JPEG", quality=95, subsampling=0), COLOUR, 6, ()),
    ("progressive.jpg", lambda: encoded(COLOUR, "JPEG", quality=95, subsampling=0, progressive=True), COLOUR, 6, ()),
    ("grey.jpg", lambda: encoded(GREY, "JPEG", quality=95), GREY, 4, ()),
    ("cmyk.jpg", lambda: encoded(CMYK, "JPEG", quality=95), COLOUR, 8, (INKS,)),
    ("ycck.jpg", ycck, COLOUR, 8, (INKS,)),
    ("really_a_jpeg.png", lambda: encoded(GREY, "JPEG", quality=95), GREY, 4, ("JPEG data in a .png file",)),
    ("colour.png", lambda: encoded(COLOUR, "PNG"), COLOUR, 0, ()),
    ("grey.png", lambda: encoded(GREY, "PNG"), GREY, 0, ()),
    ("one_bit.png", lambda: encoded(ONE_BIT, "PNG"), HALF, 0, ()),
    ("one_bit_clear.png", lambda: png(np.packbits(HALF > 0, axis=1), 1, 0, key(0)), WHITE, 0, (CLEAR,)),
    ("two_bits_clear.png", lambda: png(PACKED, 2, 0, key(2)), without(TWO_BITS, THIRD, TWO_BITS * 85), 0, (CLEAR,)),
    ("grey_clear.png", lambda: encoded(GREY, "PNG", transparency=7), without(GREY, SEVEN), 0, (CLEAR,)),
    ("colour_clear.png", lambda: encoded(COLOUR, "PNG", transparency=(0, 0, 90)), FIRST_CLEAR, 0, (CLEAR,)),
    ("palette.png", lambda: encoded(PALETTE, "PNG"), INDEXED, 0, ()),
    ("palette_clear.png", lambda: encoded(PALETTE, "PNG", transparency=ALPHAS), SEEN_THROUGH, 1, (CLEAR,)),
    ("alpha.png", lambda: encoded(with_alpha(COLOUR), "PNG"), on_white(COLOUR), 1, (CLEAR,)),
    ("all_clear.png", lambda: encoded(with_alpha(COLOUR, ALPHA * 0), "PNG"), COLOUR * 0 + 255, 0, (CLEAR,)),
    ("opaque.png", lambda: encoded(with_alpha(COLOUR, WHITE), "PNG"), COLOUR, 0, ()),
    ("grey_alpha.png", lambda: encoded(with_alpha(GREY), "PNG"), on_white(GREY), 1, (CLEAR,)),
    ("grey_16.png", lambda: encoded(WIDE, "PNG"), WIDE / 257, 0.5, (REDUCED,)),
    ("grey_16_clear.png", lambda: png(big_end(WIDE), 16, 0, key(WIDE[3, 3])), WIDE_CLEAR, 0.5, (REDUCED, CLEAR)),
    ("grey_alpha_16.png", lambda: png(big_end(WIDE_ALPHA), 16, 4), WIDE / 257, 1, (REDUCED,)),
    ("colour_16.png", lambda: png(big_end(DEEP), 16, 2), DEEP / 257, 1, (REDUCED,)),
    ("colour_16_clear.png", lambda: png(big_end(DEEP), 16, 2, key(*DEEP[5, 5])), DEEP_CLEAR, 1, (REDUCED, CLEAR)),
    ("colour.webp", lambda: encoded(COLOUR, "WEBP", lossless=True), COLOUR, 0, ()),
    ("lossy.webp", lambda: encoded(COLOUR, "WEBP", quality=95), COLOUR, 12, ()),
    ("alpha.webp", lambda: encoded(with_alpha(COLOUR), "WEBP", lossless=True), on_white(COLOUR), 1, (CLEAR,)),
    ("moving.webp", lambda: encoded(COLOUR, "WEBP", lossless=True, **MOVING), COLOUR, 0, (MOVES,)),
    ("moving.png", lambda: encoded(COLOUR, "PNG", **MOVING), COLOUR, 0, (MOVES,)),
    ("moving.gif", lambda: encoded(PALETTE, "GIF", **MOVING), INDEXED, 0, (MOVES,)),
    ("palette.gif", lambda: encoded(PALETTE, "GIF"), INDEXED, 0, ()),
    ("palette_clear.gif", lambda: encoded(PALETTE, "GIF", transparency=5), FIFTH_CLEAR, 0, (CLEAR,)),
    ("colour.bmp", lambda: encoded(COLOUR, "BMP"), COLOUR, 0, ()),
    ("top_down.bmp", top_down, COLOUR, 0, ()),
    ("grey.bmp", lambda: encoded(GREY, "BMP"), GREY, 0, ()),
    ("palette.bmp", lambda: encoded(PALETTE, "BMP"), INDEXED, 0, ()),
    ("one_bit.bmp", lambda: encoded(ONE_BIT, "BMP"), HALF, 0, ()),
    ("colour.tif", lambda: encoded(COLOUR, "TIFF"), COLOUR, 0, ()),
    ("colour_lzw.tif", lambda: encoded(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR, 0, ()),
    ("colour_big.tif", lambda: encoded(COLOUR, "TIFF", big_tiff=True), COLOUR, 0, ()),
    ("alpha.tif", lambda: encoded(with_alpha(COLOUR), "TIFF", compression="packbits"), on_white(COLOUR), 1, (CLEAR,)),
    ("grey_alpha.tif", lambda: encoded(with_alpha(GREY), "TIFF"), on_white(GREY), 1, (CLEAR,)),
    ("palette.tif", lambda: encoded(PALETTE, "TIFF", compression="tiff_lzw"), INDEXED, 0, ()),
    ("jpeg_inside.tif", lambda: encoded(COLOUR, "TIFF", compression="jpeg", quality=95), COLOUR, 40, ()),
    ("fax.tif", lambda: encoded(ONE_BIT, "TIFF", compression="group4"), HALF, 0, ()),
    ("cmyk.tif", lambda: encoded(CMYK, "TIFF"), COLOUR, 1, (INKS,)),
    ("lab.tif", lambda: encoded(lab(), "TIFF"), COLOUR, 40, ()),
    ("grey_16.tif", lambda: encoded(WIDE, "TIFF", compression="tiff_lzw"), WIDE / 257, 0.5, (REDUCED,)),
    ("grey_16_big_end.tif", lambda: tiff(big_end(WIDE).tobytes(), ">", t258=16), WIDE / 257, 0.5, (REDUCED,)),
    ("grey_16_white_at_0.tif", lambda: tiff(WIDE.tobytes(), t258=16, t262=0), 255 - WIDE / 257, 0.5, (REDUCED,)),
    (
        "grey_12.tif",
        lambda: tiff(twelve_bits(), t258=12),
        (WIDE >> 4) / 4095 * 255,
        0.5,
        (REDUCED.replace("16", "12"),),
    ),
    ("grey_white_at_0.tif", lambda: tiff(GREY.tobytes(), t262=0), 255 - GREY, 0, ()),
    ("colour_16.tif", lambda: tiff(DEEP.tobytes(), t258=(16, 16, 16), t262=2, t277=3), DEEP / 257, 1, (REDUCED,)),
    ("pages.tif", lambda: encoded(COLOUR, "TIFF", **MOVING), COLOUR, 0, (PAGES,)),
]


@pytest.mark.parametrize(("name", "make", "shown", "off", "notes"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden(
    name: str, make: Callable[[], bytes], shown: NDArray[Any], off: float, notes: tuple[str, ...], tmp_path: Path
) -> None:
    wanted = shown.reshape(HEIGHT, WIDTH, -1).astype(np.float64)
    picture = decode(make(), name)
    assert picture.pixels.shape == wanted.shape
    assert picture.pixels.dtype == np.uint8
    assert not picture.pixels.flags.writeable
    assert picture.notes == notes
    difference = picture.pixels - wanted
    assert np.abs(difference).max() <= off + 1e-9
    assert abs(difference.mean()) <= min(off, 1)
    (tmp_path / name).write_bytes(make())
    assert np.array_equal(decode(tmp_path / name, name).pixels, picture.pixels)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = decode(encoded(ramp, "PNG"), "ramp.png").pixels[..., 0]
    assert np.array_equal(pixels, np.rint(ramp / 257))
    assert abs(pixels.mean() / 255 - 0.5) < 0.5 / 255


def test_hidden_colours_do_not_leak() -> None:
    for kind in ("PNG", "WEBP", "TIFF"):
        settings = {"lossless": True, "exact": True} if kind == "WEBP" else {}
        hidden = encoded(with_alpha(COLOUR, ALPHA * 0), kind, **settings)
        assert (decode(hidden, "hidden").pixels == 255).all(), kind


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_asked_for(channels: int) -> None:
    for image in (COLOUR, GREY):
        data = encoded(image, "PNG")
        mode = "L" if channels == 1 else "RGB"
        wanted = np.asarray(Image.fromarray(image).convert(mode)).reshape(HEIGHT, WIDTH, channels)
        assert np.array_equal(decode(data, "a.png", channels=channels).pixels, wanted)
    with pytest.raises(UsageError, match="channels is 4"):
        decode(data, "a.png", channels=4)


# What each EXIF orientation does to an upright picture when it is stored.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda up: up,
    2: lambda up: up[:, ::-1],
    3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1],
    5: lambda up: up.swapaxes(0, 1),
    6: lambda up: np.rot90(up, 1),
    7: lambda up: np.rot90(up, 2).swapaxes(0, 1),
    8: lambda up: np.rot90(up, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_upright(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](COLOUR))
    exif = Image.Exif()
    exif[0x010F] = "Camera of some maker"
    exif[0x0112] = orientation
    ways: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {"exif": exif}),
        ("WEBP", {"exif": exif, "lossless": True}),
        ("TIFF", {"tiffinfo": {274: orientation}}),
        ("TIFF", {"tiffinfo": {274: orientation}, "compression": "tiff_lzw"}),
        ("JPEG", {"exif": exif, "quality": 100, "subsampling": 0}),
    ]
    for kind, settings in ways:
        data = encoded(stored, kind, **settings)
        pixels = decode(data, "a").pixels
        off = 3 if kind == "JPEG" else 0
        assert pixels.shape == COLOUR.shape, kind
        assert np.abs(pixels.astype(int) - COLOUR).max() <= off, kind
        with Image.open(io.BytesIO(data)) as theirs:
            assert np.array_equal(pixels, np.asarray(ImageOps.exif_transpose(theirs).convert("RGB"))), kind


LABELS = [
    b"",
    b"II",
    b"junk" * 9,
    b"II*\0\xff\xff\xff\xff",
    b"MM\0*\0\0\0\x08\xff\xff",
    b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0",  # the orientation 9
    b"II*\0\x08\0\0\0\1\0\x12\1\2\0\xff\xff\xff\xff\xff\xff\xff\xff",  # a text beyond the end
]


@pytest.mark.parametrize("exif", LABELS)
def test_a_broken_label_is_no_broken_picture(exif: bytes) -> None:
    segment = b"\xff\xe1" + struct.pack(">H", 8 + len(exif)) + b"Exif\0\0" + exif
    data = encoded(COLOUR, "JPEG")
    labelled = data[:2] + segment + data[2:]
    assert np.array_equal(decode(labelled, "a.jpg").pixels, decode(data, "a.jpg").pixels)


def refused(source: Path | bytes, name: str, **settings: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        decode(source, name, **settings)
    error = caught.value
    assert error.what.startswith(f"{plain(name)} ")
    assert "fix:" not in error.what
    assert error.fix
    assert (error.what + error.fix).isprintable()
    assert len(error.what) < 400
    return error


HUGE = png(np.zeros((1, 1), np.uint8), 8, 2, size=(60000, 60000))
STRANGERS: list[tuple[bytes, str, str]] = [
    (b"", "is empty (0 bytes)", "replace"),
    (b"not a picture at all\n", "is a text file, not a picture (it begins with 'not a picture at all')", "replace"),
    ("一张照片".encode(), "is a text file", "replace"),
    ("一张照片".encode("gbk"), "is a text file", "replace"),
    (b"<!DOCTYPE html><html><body>404</body></html>", "looks like a web page", "download it again"),
    (b"\n <HTML>\n", "looks like a web page", "download it again"),
    (b'<!DOCTYPE svg PUBLIC "">\n<svg>', "is an SVG drawing", "convert it to JPEG or PNG"),
    (b'<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="">', "is an SVG drawing", "convert it to JPEG or PNG"),
    (b"%PDF-1.7\n", "is a PDF document", "convert it to JPEG or PNG"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript drawing", "convert it to JPEG or PNG"),
    (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC picture", "convert it to JPEG or PNG"),
    (b"\0\0\0\x18ftypavif\0\0\0\0", "is an AVIF picture", "convert it to JPEG or PNG"),
    (b"\0\0\0\x18ftypisom\0\0\0\0", "is a video", "save the frames"),
    (encoded(COLOUR, "JPEG2000"), "is a JPEG 2000 picture", "convert it to JPEG or PNG"),
    (b"8BPS\0\1", "is a Photoshop document", "convert it to JPEG or PNG"),
    (b"PK\x03\x04\x14\0", "is an archive", "unpack"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer", "git lfs pull"),
    (bytes(5000), "holds zero bytes", "replace"),
    (encoded(COLOUR, "ICO"), "first bytes are 00 00 01 00", "use one of JPEG, PNG, WEBP, BMP, GIF, TIFF"),
    (b"BMW is a maker of cars, not a picture", "is a text file", "replace"),
    (HUGE, "3,600,000,000 pixels (60000 x 60000), more than the limit of 50,000,000", "--max-pixels 3600000000"),
    (encoded(Image.new("L", (20000, 1)), "PNG"), "is 20000 x 1: its sides differ by more than 100 to 1", "crop it"),
    (encoded(Image.new("F", (8, 8)), "TIFF"), "floating-point", "8 or 16 bits"),
    (encoded(Image.new("I", (8, 8)), "TIFF"), "signed", "8 or 16 bits"),
    (tiff(bytes(HEIGHT * WIDTH * 4), t258=32), "32 bits a channel", "8 or 16 bits"),
    (tiff(GREY.tobytes(), t277=99, t258=(8,) * 99), "99 channels", "grey or colour"),
    (tiff(GREY.tobytes(), t322=60000, t323=60000, t324=8), "tiles are too large", "replace"),
    (tiff(GREY.tobytes(), t257=(HEIGHT, HEIGHT)), "a tag with one value has several", "replace"),
    (tiff(GREY.tobytes(), t273=10**9), "is damaged", "replace"),
    (tiff(GREY.tobytes(), t256=0), "no pixels", "replace"),
    (b"II*\0\xff\xff\xff\xff", "ends too early", "replace"),
    (b"\xff\xd8\xff\xd9", "ends before the picture", "replace"),
    (b"GIF89a\1\0\1\0\0\0\0;", "holds no picture", "replace"),
]


@pytest.mark.parametrize(("data", "what", "fix"), STRANGERS, ids=range(len(STRANGERS)))
def test_what_is_no_picture_says_what_it_is(data: bytes, what: str, fix: str, tmp_path: Path) -> None:
    error = refused(data, "ants/a.jpg")
    assert what in error.what
    assert fix in error.fix
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    assert refused(path, "ants/a.jpg").what == error.what


def test_limits_are_met_exactly() -> None:
    data = encoded(Image.new("L", (200, 100)), "PNG")
    assert decode(data, "a.png", max_pixels=20_000).pixels.shape == (100, 200, 1)
    assert "20,000 pixels (200 x 100), more than the limit of 19,999" in refused(data, "a.png", max_pixels=19_999).what
    assert decode(encoded(Image.new("L", (100, 1)), "PNG"), "a.png").pixels.shape == (1, 100, 1)
    refused(encoded(Image.new("L", (1, 101)), "PNG"), "a.png")
    assert decode(encoded(Image.new("RGB", (1, 1)), "PNG"), "a.png").pixels.shape == (1, 1, 3)


SMALL: dict[str, bytes] = {
    "a.jpg": encoded(COLOUR, "JPEG"),
    "p.jpg": encoded(COLOUR, "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
    "a.png": encoded(with_alpha(COLOUR), "PNG"),
    "p.png": encoded(PALETTE, "PNG", transparency=bytes(range(0, 256, 4))),
    "a.webp": encoded(COLOUR, "WEBP"),
    "l.webp": encoded(with_alpha(COLOUR), "WEBP", lossless=True),
    "a.bmp": encoded(PALETTE, "BMP"),
    "a.gif": encoded(PALETTE, "GIF", **MOVING),
    "a.tif": encoded(COLOUR, "TIFF", tiffinfo={270: "a description", 274: 6}),
    "l.tif": encoded(WIDE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("lenient", [False, True], ids=["", "LOAD_TRUNCATED_IMAGES"])
def test_truncated_anywhere(name: str, lenient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own leniency does not let half a picture pass here."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    data = SMALL[name]
    whole = decode(data, name).pixels
    for share in (0.05, 0.3, 0.5, 0.9):
        cut = data[: int(len(data) * share)]
        if name == "a.gif" and share == 0.9:  # the cut is in its second picture
            assert np.array_equal(decode(cut, name).pixels, whole)
        else:
            refused(cut, name)


def test_half_a_jpeg_passes_verify_but_not_us() -> None:
    half = SMALL["a.jpg"][: len(SMALL["a.jpg"]) * 9 // 10]
    with Image.open(io.BytesIO(half)) as image:
        image.verify()
    assert "truncated" in refused(half, "a.jpg").what or "too early" in refused(half, "a.jpg").what


def test_every_byte_of_a_png_is_checked() -> None:
    data = SMALL["a.png"]
    start = data.index(b"IDAT")
    for at in (17, start + 8, (start + len(data)) // 2, len(data) - 14):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert "checksum" in refused(changed, "a.png").what
    refused(data[:-12], "a.png")  # all pixels are there, the end is not


def mutated(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        at = int(len(data) * chance.random() ** 2)  # headers are near the start
        match chance.randrange(6):
            case 0:
                data = (
                    data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
                    if at < len(data)
                    else data
                )
            case 1:
                data = data[:at] + bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF))]) + data[at + 1 :]
            case 2:
                data = data[:at] + chance.randbytes(chance.choice((1, 2, 4, 30))) + data[at:]
            case 3:
                data = data[:at] + data[at + chance.choice((1, 2, 4, 30)) :]
            case 4:
                data = (
                    data[:at]
                    + chance.choice((b"\xff" * 4, b"\0" * 4, b"\0\0\0\x80", b"\xff\xff\xff\x7f"))
                    + data[at + 4 :]
                )
            case 5:
                data = data[: max(1, len(data) - int(len(data) * chance.random()))] if chance.random() < 0.3 else data
    return data


def mended(data: bytes) -> bytes:
    """The same chunks of a PNG with true checksums, so that the change reaches what is behind them."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        out += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        at += 12 + length
    return out


@pytest.mark.parametrize("name", SMALL)
def test_mutated_files_give_a_picture_or_an_error(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(name)
    good, errors = 0, []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for i in range(160):
            data = mutated(SMALL[name], chance)
            if name.endswith("png") and i % 4:
                data = mended(data)
            started = time.perf_counter()
            try:
                picture = decode(data, name, max_pixels=1_000_000)
                assert picture.pixels.dtype == np.uint8
                assert picture.pixels.size <= 3_000_000
                good += 1
            except DataError as error:
                errors.append(error.what)
            assert time.perf_counter() - started < 2
    assert good > 5
    assert len(errors) > 20
    assert all(what.startswith(name) and what.isprintable() for what in errors)
    assert not warned, str(warned[0].message)
    # libtiff says one line of its own about a damaged strip, and Pillow has no way to stop it.
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) <= len(errors) * name.endswith("tif")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, 2 + len(body)) + body


def hostile() -> Iterator[tuple[str, bytes]]:
    """Good pictures whose other contents make Pillow warn, fail, or take long."""
    jpeg = SMALL["a.jpg"]
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0\x0f\1\2\0\xff\xff\0\0\xff\xff\xff\x0f\x1a\1\5\0\1\0\0\0\xff\xff\xff\x0f"
    yield "exif.jpg", jpeg[:2] + segment(0xFFE1, exif) + jpeg[2:]
    yield "mpo.jpg", jpeg[:2] + segment(0xFFE2, b"MPF\0II*\0\xff\xff\xff\xff") + jpeg[2:]
    head, rest = (whole := encoded(COLOUR, "PNG"))[:33], whole[33:]
    yield "apng.png", head + chunk(b"acTL", struct.pack(">II", 0, 0)) + rest
    bomb = zlib.compress(bytes(100_000_000), 9)
    yield "text.png", head + chunk(b"zTXt", b"a\0\0" + bomb) * 3 + rest
    yield "profile.png", head + chunk(b"iCCP", b"a\0\0" + bomb) + rest
    grey = GREY.tobytes()
    yield (
        "far.tif",
        tiff(grey, t270=0)[:-4].replace(struct.pack("<HHI", 270, 4, 1), struct.pack("<HHI", 270, 2, 2**31)) + b"\0" * 4,
    )
    yield "exif.tif", tiff(grey, t34665=2**31, t282=(1, 2, 3))
    yield "palette.png", SMALL["p.png"]


HOSTILE = list(hostile())


@pytest.mark.parametrize(("name", "data"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_metadata_is_never_looked_at(name: str, data: bytes) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        started = time.perf_counter()
        picture = decode(data, name)
        assert time.perf_counter() - started < 1
        assert picture.pixels.shape[:2] == (HEIGHT, WIDTH)
        assert not warned
        raised = False
        try:
            with Image.open(io.BytesIO(data)) as theirs:
                theirs.convert("L")
        except (ValueError, OSError):
            raised = True
    assert warned or raised, "this file is not as hostile as it should be: Pillow reads it without a word"


SECRET = b"not for a decoder"


def talkative() -> Iterator[tuple[str, bytes]]:
    """The same picture in every format, and much else beside."""
    moving = {
        "save_all": True,
        "append_images": [Image.frombytes("L", (WIDTH, HEIGHT), (SECRET * 60)[: WIDTH * HEIGHT])],
    }
    jpeg = encoded(COLOUR, "JPEG", comment=SECRET, icc_profile=SECRET, exif=b"Exif\0\0" + SECRET, xmp=SECRET)
    yield "JPEG", jpeg[:2] + segment(0xFFED, b"Photoshop 3.0\0" + SECRET) + segment(0xFFEF, SECRET) + jpeg[2:]
    text = chunk(b"tEXt", b"a\0" + SECRET)
    first, rest = (whole := encoded(COLOUR, "PNG", exif=SECRET, icc_profile=SECRET, **moving))[:33], whole[33:]
    yield "PNG", first + text + rest[:-12] + text + chunk(b"fdAT", b"\0\0\0\2" + SECRET) + rest[-12:]
    yield "GIF", encoded(PALETTE, "GIF", comment=SECRET, **moving) + SECRET
    yield "WEBP", encoded(COLOUR, "WEBP", exif=SECRET, icc_profile=SECRET, xmp=SECRET)


@pytest.mark.parametrize(("kind", "data"), list(talkative()), ids=lambda value: value if isinstance(value, str) else "")
def test_the_decoder_is_given_pixels_only(kind: str, data: bytes) -> None:
    header = READERS[kind](data)
    assert SECRET in data
    assert SECRET not in header.bare
    with Image.open(io.BytesIO(header.bare)) as image:
        assert getattr(image, "n_frames", 1) == 1
        assert not {"exif", "xmp", "icc_profile", "comment", "photoshop", "a"} & image.info.keys()
    assert decode(data, "a").pixels.shape == (HEIGHT, WIDTH, 3)


def test_the_decoder_is_given_one_frame() -> None:
    for name, data in many_frames(5):
        header = READERS[{"a.gif": "GIF", "a.webp": "WEBP", "a.tif": "TIFF"}[name]](data)
        assert header.more
        with Image.open(io.BytesIO(header.bare)) as image:
            assert getattr(image, "n_frames", 1) == 1, name


def test_the_decoder_is_given_pixel_tags_only() -> None:
    for settings in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}):
        data = encoded(
            COLOUR, "TIFF", tiffinfo={270: SECRET, 274: 3, 305: SECRET, 700: SECRET}, exif=Image.Exif(), **settings
        )
        with Image.open(io.BytesIO(READERS["TIFF"](data).bare)) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            assert set(image.tag_v2) <= SINGLE | MANY


def test_numbers_with_a_sign_do_not_pass_by_the_checks(caplog: pytest.LogCaptureFixture) -> None:
    data = tiff(GREY.tobytes(), t277=99).replace(struct.pack("<HHI", 277, 4, 1), struct.pack("<HHI", 277, 9, 1))
    assert np.array_equal(decode(data, "a.tif").pixels[..., 0], GREY)
    assert not caplog.records


def test_tags_that_lie_about_their_length_are_refused_without_a_word() -> None:
    """Pillow would warn of both, and go on without them."""
    grey = GREY.tobytes()
    several = (8,) * 150
    overlapping = tiff(grey, t273=several, t279=several, t324=several, t325=several)
    at = overlapping.index(struct.pack("<HHI", 325, 4, 150))  # its values are the last in the file
    beyond = overlapping[: at + 4] + struct.pack("<I", 200) + overlapping[at + 8 :]
    first = overlapping[overlapping.index(struct.pack("<HHI", 273, 4, 150)) + 8 :][:4]
    for tag in (279, 324, 325):
        at = overlapping.index(struct.pack("<HHI", tag, 4, 150)) + 8
        overlapping = overlapping[:at] + first + overlapping[at + 4 :]
    overlapping = overlapping[: int.from_bytes(first, "little") + 600]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for data in (overlapping, beyond):
            assert "too early" in refused(data, "a.tif").what
    assert not warned


def many_frames(count: int) -> Iterator[tuple[str, bytes]]:
    moving = SMALL["a.gif"]
    first = moving.index(b"\x21\xf9\x04")
    last = moving.rindex(b"\x21\xf9\x04")
    yield "a.gif", moving[:first] + moving[last:-1] * count + b";"
    webp = encoded(COLOUR, "WEBP", lossless=True, **MOVING)
    last = webp.rindex(b"ANMF")
    body = webp[12:last] + webp[last:] * count
    yield "a.webp", b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    page = b"\1\0" + struct.pack("<HHII", 256, 4, 1, 1)
    good = tiff(GREY.tobytes())
    links = b"".join(page + struct.pack("<I", len(good) + 18 * (i + 1)) for i in range(count))
    yield "a.tif", good[:-4] + struct.pack("<I", len(good)) + links + page + struct.pack("<I", 8)


@pytest.mark.parametrize("which", range(3), ids=["gif", "webp", "tiff"])
def test_a_hundred_thousand_frames(which: int) -> None:
    name, data = list(many_frames(100_000))[which]
    started = time.perf_counter()
    picture = decode(data, name)
    assert time.perf_counter() - started < 2
    assert picture.notes[0] in (MOVES, "several pages: only the first is used")


def test_a_directory_that_names_itself() -> None:
    data = tiff(GREY.tobytes())
    start = int.from_bytes(data[4:8], "little")
    assert np.array_equal(decode(data[:-4] + struct.pack("<I", start), "a.tif").pixels[..., 0], GREY)


def test_a_second_header_is_refused() -> None:
    """Else the size that is checked might not be the size that is decoded."""
    jpeg = SMALL["a.jpg"]
    at = jpeg.index(b"\xff\xc0")
    head = jpeg[at : at + 19]
    assert "two headers" in refused(jpeg[:at] + head + jpeg[at:], "a.jpg").what
    whole = SMALL["a.png"]
    assert "out of order" in refused(whole[:33] + whole[8:], "a.png").what
    assert "out of order" in refused(whole[:8] + whole[33:], "a.png").what


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    data = encoded(COLOUR, "JPEG", progressive=True)
    scan = data[data.index(b"\xff\xda") : data.index(b"\xff\xda") + 40]
    assert "scans" in refused(data[:-2] + scan * 1000 + data[-2:], "a.jpg").what


def test_the_users_own_pillow_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our limit does not depend on Pillow's, nor Pillow's on ours."""
    assert Image.MAX_IMAGE_PIXELS == 89478485
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", HEIGHT * WIDTH - 1)
    for name, data in SMALL.items():
        assert decode(data, name).pixels.shape[0] in (HEIGHT, WIDTH)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for name, data in SMALL.items():
        try:
            decode(data, name)
        except DataError as error:  # Pillow 13 looks at its own limit inside its reader of WebP
            said = error.what
        else:
            continue
        assert name.endswith("webp")
        assert "MAX_IMAGE_PIXELS" in said


RSS = """
import resource, sys
from resnetkit.data.decode import decode
from resnetkit.errors import DataError
from pathlib import Path
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(decode(Path(sys.argv[1]), "bomb.png").pixels.shape)
except DataError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def growth(path: Path) -> tuple[str, float]:
    """What came of decoding a file in a process of its own, and by how many MB its memory grew."""
    done = subprocess.run([sys.executable, "-c", RSS, path], capture_output=True, text=True, check=True)
    answer, peak = done.stdout.splitlines()
    return answer, int(peak) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_bombs_take_no_memory(tmp_path: Path) -> None:
    side = 9400
    row = np.zeros((1, side), np.uint8)
    bomb = png(np.broadcast_to(row, (side, side)), 8, 0, size=(side, side))
    assert len(bomb) < 100_000
    (tmp_path / "a").write_bytes(bomb)
    answer, grown = growth(tmp_path / "a")
    assert answer.startswith("bomb.png has 88,360,000 pixels (9400 x 9400), more than the limit of 50,000,000")
    assert "--max-pixels 88360000" in answer
    assert grown < 20
    (tmp_path / "b").write_bytes(dict(HOSTILE)["text.png"])
    answer, grown = growth(tmp_path / "b")
    assert answer == str((HEIGHT, WIDTH, 3))
    assert grown < 20
    for start in (b"\xff\xd8\xff", b""):
        with open(tmp_path / "c", "wb") as file:
            file.write(start)
            file.truncate(MAX_BYTES + 1)
        answer, grown = growth(tmp_path / "c")
        assert ("536,870,913 bytes" if start else "zero bytes") in answer
        assert grown < 20


def outcome(data: bytes, name: str) -> bytes | str:
    try:
        picture = decode(data, name)
        return picture.pixels.tobytes() + repr((picture.pixels.shape, picture.notes)).encode()
    except DataError as error:
        return str(error)


def test_threads_agree_with_one_thread() -> None:
    chance = random.Random(0)
    files = [(name, make()) for name, make, *_ in GOLDEN] + HOSTILE + [("x", data) for data, *_ in STRANGERS]
    files += [(name, mutated(data, chance)) for name, data in SMALL.items() for _ in range(5)]
    serial = [outcome(data, name) for name, data in files]
    order = list(range(len(files))) * 8
    chance.shuffle(order)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda i: outcome(files[i][1], files[i][0]), order))
    finally:
        sys.setswitchinterval(interval)
    assert all(found == serial[i] for i, found in zip(order, together, strict=True))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_special_files_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fifo, folder, sock = tmp_path / "fifo.jpg", tmp_path / "folder.jpg", tmp_path / "s.jpg"
    os.mkfifo(fifo)
    folder.mkdir()
    link = tmp_path / "link.jpg"
    link.symlink_to(fifo)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server, monkeypatch.context() as patch:
        server.bind(sock.name)
        patch.setattr(os, "open", lambda *_: pytest.fail("opened"))
        for path, what in [
            (fifo, "a pipe"),
            (link, "a pipe"),
            (folder, "a folder"),
            (sock, "a socket"),
            (Path("/dev/zero"), "a device"),
        ]:
            assert f"is {what}, not a picture" in refused(path, path.name).what
    regular = os.stat(__file__)
    monkeypatch.setattr(os, "lstat", lambda _: regular)  # it became a pipe after the look
    found: list[DataError] = []
    thread = threading.Thread(target=lambda: found.append(refused(fifo, "fifo.jpg")), daemon=True)
    thread.start()
    thread.join(5)
    assert found
    assert "is a pipe" in found[0].what


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not exist" in refused(tmp_path / "none.jpg", "none.jpg").what
    (tmp_path / "broken.jpg").symlink_to("nowhere.jpg")
    assert "is a link that leads nowhere" in refused(tmp_path / "broken.jpg", "broken.jpg").what
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    refused(tmp_path / "loop.jpg", "loop.jpg")
    refused(tmp_path / ("a" * 300), "long.jpg")
    refused(Path("a\0b.jpg"), "a\0b.jpg")
    refused(tmp_path / "none.jpg" / "a.jpg", "a.jpg")
    (tmp_path / "good.jpg").write_bytes(SMALL["a.jpg"])
    (tmp_path / "link.jpg").symlink_to("good.jpg")
    assert decode(tmp_path / "link.jpg", "link.jpg").pixels.shape == (HEIGHT, WIDTH, 3)
    assert read_file(tmp_path / "link.jpg", "link.jpg") == SMALL["a.jpg"]

    def forbid(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)  # the mode 000 does not stop root
    error = refused(tmp_path / "good.jpg", "good.jpg")
    assert "may not be read" in error.what
    assert "right to read" in error.fix


def test_names_are_spelt_out() -> None:
    for name in ("a\nb.jpg", "a\x1b[31m.jpg", os.fsdecode(b"caf\xe9.jpg"), "a\u202eb.jpg"):
        error = refused(b"junk", name)
        assert "\\" in error.what
        str(error).encode()
    assert "图片/蚂蚁.jpg is" in refused(b"junk", "图片/蚂蚁.jpg").what


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg"))
    path.write_bytes(SMALL["a.jpg"])
    assert decode(path, path.name).pixels.shape == (HEIGHT, WIDTH, 3)


PILLOWS = [
    struct.error("x"), SyntaxError("x"), IndexError(), AssertionError("a\nb"), OSError(5, "I/O"), KeyError(7),
    MemoryError(), RecursionError("x"), Image.DecompressionBombError("x"), UserWarning("x"),
]  # fmt: skip


@pytest.mark.parametrize("error", PILLOWS, ids=lambda error: type(error).__name__)
def test_nothing_of_pillow_escapes(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(room, "load", fail)
    caught = refused(SMALL["a.jpg"], "a.jpg")
    assert caught.__cause__ is error


def test_real_photographs_are_as_pillow_reads_them(data_dir: Path) -> None:
    found = (
        sorted((data_dir / "hymenoptera" / "val").rglob("*.jpg"))[:40]
        + sorted((data_dir / "imagenet-samples").rglob("*.JPEG"))[:40]
    )
    assert len(found) == 80
    for path in found:
        with Image.open(path) as image:
            theirs = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        assert np.array_equal(decode(path, path.name, channels=3).pixels, theirs), path.name


def test_formats_are_the_six() -> None:
    assert FORMATS == ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
    assert set(room.PLUGINS) == set(READERS) == set(room.SUFFIXES) == set(FORMATS) == set(room.MAGIC.groupindex)
