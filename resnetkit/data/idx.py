"""MNIST's own file format, IDX: a magic number, the sizes, then bare bytes; gzipped or not."""

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.arrays import array_source, named
from resnetkit.data.parts import ORDER, PartName, Source
from resnetkit.data.regular import open_regular
from resnetkit.errors import DataError, plain

FILE = re.compile(r"(train|t10k|test|val|valid|validation)-(images|labels)[-.]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
PARTS: dict[str, PartName] = {
    "train": "train", "t10k": "test", "test": "test", "val": "val", "valid": "val", "validation": "val"
}  # fmt: skip
LIMIT = 4 << 30  # bytes that one file may unpack to


def idx_files(root: Path) -> dict[tuple[PartName, str], Path]:
    """The files of each part, by (part, images or labels); an unpacked file stands before its gzip."""
    files: dict[tuple[PartName, str], Path] = {}
    for path in sorted(root.iterdir(), key=lambda path: (len(path.name), path.name)):
        match = FILE.fullmatch(path.name)
        if not match:
            continue
        key = PARTS[match[1].lower()], match[2].lower()
        other = files.setdefault(key, path)
        if other != path and path.name != other.name + ".gz":
            raise DataError(f"{plain(root)} has both {other.name} and {path.name}", "remove one of them")
    return files


def open_idx(root: Path, classes: Sequence[str] | None, known: Sequence[str] = ()) -> Source:
    """Read every file into memory; ``known`` names the classes, which are else called by their numbers."""
    location = plain(root)
    files = idx_files(root)
    images: dict[PartName, NDArray[np.uint8]] = {}
    found: dict[PartName, list[str]] = {}
    for part in (part for part in ORDER if any(part == of for of, _ in files)):
        for what in ("images", "labels"):
            if (part, what) not in files:
                have = next(path for (p, _), path in files.items() if p == part)
                raise DataError(f"{location} has {have.name} but no {what} for it", f"add the {part} {what} file")
        images[part] = read_idx(files[part, "images"], 3)[..., None]
        found[part] = named(location, read_idx(files[part, "labels"], 1).tolist(), known)
        if len(images[part]) != len(found[part]):
            raise DataError(
                f"{location}: {part} has {len(images[part])} pictures but {len(found[part])} labels",
                "download both files again",
            )
    return array_source(location, "idx", images, found, known, classes)


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """The array of one file; nothing larger than the header allows is ever held."""
    again = "download it again"
    name = plain(path)
    try:
        packed = path.name.lower().endswith(".gz")
        with open_regular(path) as bare, gzip.open(bare) if packed else bare as file:
            header = file.read(4 + 4 * ndim)
            if len(header) < 4 + 4 * ndim:
                raise DataError(f"{name} is truncated: {len(header)} bytes", again)
            if header[:4] != bytes([0, 0, 8, ndim]):
                raise DataError(
                    f"{name} is not an IDX file of {ndim} dimensions: it starts {header[:4].hex(' ')}", again
                )
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
            count = int(np.prod(shape, dtype=object))
            if 0 in shape:
                raise DataError(f"{name} is empty: it says {shape}", again)
            if count > LIMIT:
                raise DataError(f"{name} says it holds {count:,} bytes; {LIMIT:,} are allowed", again)
            data = bytearray()
            while len(data) < count and (chunk := file.read(min(count - len(data), 1 << 22))):
                data += chunk
            if len(data) < count:
                raise DataError(f"{name} is truncated: {len(data):,} of {count:,} bytes", again)
            if file.read(1):
                raise DataError(f"{name} goes on after the {count:,} bytes that its header tells of", again)
    except EOFError as error:
        raise DataError(f"{name} is truncated", again) from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}", again) from error
    return np.frombuffer(data, np.uint8).reshape(shape)
