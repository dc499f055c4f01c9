"""Pictures in NumPy's .npz files: arrays of pictures and labels under the names that Keras and MedMNIST use."""

import math
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Literal
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from resnetkit.data.arrays import array_source, check_words, named
from resnetkit.data.parts import ORDER, PART_NAMES, PartName, Source
from resnetkit.data.regular import open_regular
from resnetkit.errors import DataError, KitError, ResourceError, plain, some

LIMIT = 16 << 30  # bytes of arrays that are held in memory
RATIO = 100  # times its packed size that an array may unpack to, ...
SMALL = 16 << 20  # ... unless it is no more bytes than this: sorted labels pack a thousand times
HEADER = 1 << 16  # bytes at the start of an array, among which its header ends
DIRECTORY = 1 << 20  # bytes of an archive's list of members
PICTURES = ("images", "x", "data")
LABELS = ("labels", "y", "targets")
NAMES = ("classes", "class_names")
AGAIN = "download or write it again"
LAYOUT = "name the arrays x_train, y_train, x_test, y_test, or train_images, train_labels, ..., or images, labels"
Role = Literal["pictures", "labels", "names"]
# What each array must hold: kinds of dtype, and what to do where it holds something else.
HOLDS: dict[Role, tuple[str, str]] = {
    "pictures": ("u", "store pictures as uint8 from 0 to 255"),
    "labels": ("iu", "store labels as whole numbers, one a picture"),
    "names": ("US", "store the names as text, or leave that array out"),
}


@dataclass(frozen=True)
class Contents:
    """What one file holds: (pictures, labels) of each part, what the labels mean, and the names of other arrays."""

    parts: dict[PartName, tuple[NDArray[np.uint8], list[int]]]
    words: tuple[str, ...]
    others: list[str]


def npz_files(root: Path) -> dict[PartName, Path]:
    """The files of a folder that are parts: train.npz, val.npz and test.npz."""
    files: dict[PartName, Path] = {}
    for path in sorted(root.iterdir()):
        part = PART_NAMES.get(path.stem.lower()) if path.suffix.lower() == ".npz" else None
        if part and files.setdefault(part, path) != path:
            raise DataError(f"{plain(root)} has both {files[part].name} and {path.name}", "remove one of them")
    return {part: files[part] for part in ORDER if part in files}


def open_npz(root: Path, classes: Sequence[str] | None) -> Source:
    """One file, with or without parts in it, or a folder with a file for each part; all is read into memory."""
    files: dict[PartName, Path] = {"all": root} if root.is_file() else npz_files(root)
    contents = {part: read_npz(path) for part, path in files.items()}
    images: dict[PartName, NDArray[np.uint8]] = {}
    found: dict[PartName, list[str]] = {}
    told = [content.words for content in contents.values() if content.words]
    for file, content in contents.items():
        words = content.words or (told[0] if told else ())
        for part, (pictures, numbers) in content.parts.items():
            if file != "all" and part not in ("all", file):
                raise DataError(f"{plain(files[file])} holds {part} pictures", f"name it {part}.npz, or the file alone")
            here = file if file != "all" else part
            images[here] = pictures
            found[here] = named(f"{plain(files[file])}, {here}", numbers, words)
    notes = [f"{plain(files[file].name)}: not looked at: {some(c.others)}" for file, c in contents.items() if c.others]
    known = [name for words in told for name in words]
    return array_source(plain(root), "npz", images, found, known, classes, notes)


def read_npz(path: Path) -> Contents:
    """The arrays of one file that are pictures, labels and names; whatever is wrong with it is a DataError."""
    where = plain(path)
    parts: dict[PartName, tuple[NDArray[np.uint8], list[int]]] = {}
    try:
        with open_regular(path) as file:
            check_tail(file, where)
            with ZipFile(file) as archive:
                members = members_of(archive, where)
                pairs, names = pairs_of(members, where), [key for key in NAMES if key in members][:1]
                used = [key for pair in pairs.values() for key in pair] + names
                check_room(where, sum(members[key].file_size for key in used))
                for part, (pictures, labels) in pairs.items():
                    numbers = as_numbers(f"{where}: {labels}", read_array(archive, members[labels], where, "labels"))
                    pixels = as_pictures(
                        f"{where}: {pictures}", read_array(archive, members[pictures], where, "pictures")
                    )
                    if len(pixels) != len(numbers):
                        raise DataError(
                            f"{where}: {pictures} has {len(pixels)} pictures but {labels} {len(numbers)} labels", AGAIN
                        )
                    parts[part] = pixels, numbers
                words = [read_array(archive, members[key], where, "names") for key in names]
                return Contents(parts, as_words(where, words), sorted(members.keys() - used))
    except KitError:
        raise
    except (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, LookupError) as error:
        raise DataError(f"{where} is truncated or damaged, or no .npz file: {plain(error)[:200]}", AGAIN) from error


def check_tail(file: IO[bytes], where: str) -> None:
    """The archive's own end must be the file's, as NumPy writes it, and its list of members short."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 98))
    tail = file.read().rjust(98, b"\0")
    if tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise DataError(f"{where} is truncated, or no .npz file: it has {size:,} bytes and no end of an archive", AGAIN)
    lists = [int.from_bytes(tail[-10:-6], "little")]
    if tail[-42:-38] == b"PK\6\7":  # the same numbers once more, in 64 bits
        lists = [int.from_bytes(tail[40:48], "little") if tail[:4] == b"PK\6\6" else size]
    if max(lists) > DIRECTORY:
        raise DataError(f"{where} has too long a list of members for an .npz file", AGAIN)


def check_room(where: str, size: int) -> None:
    if size > LIMIT:
        raise ResourceError(
            f"{where} holds {size:,} bytes; {LIMIT:,} bytes of pictures are kept in memory",
            "unpack them into class folders",
        )


def members_of(archive: ZipFile, where: str) -> dict[str, ZipInfo]:
    """The arrays by their names in small letters, none of which is twice there."""
    members: dict[str, ZipInfo] = {}
    for member in archive.infolist():
        key = member.filename.removesuffix(".npy").lower()
        if members.setdefault(key, member) is not member:
            raise DataError(f"{where} has two arrays called {plain(key)}", "keep one of them")
    return members


def pairs_of(keys: Iterable[str], where: str) -> dict[PartName, tuple[str, str]]:
    """The names of pictures and labels of each part, in the order of the parts; of one part alone, of all."""
    keys = set(keys)
    pairs: dict[PartName, tuple[str, str]] = {}
    for word, part in PART_NAMES.items():
        for pictures, labels in ((f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels")):
            present = [key for key in (pictures, labels) if key in keys]
            if len(present) == 1:
                lacks = labels if present == [pictures] else pictures
                raise DataError(f"{where} has {present[0]} but no {lacks}", f"add {lacks}")
            if present and part in pairs:
                raise DataError(f"{where} has both {pairs[part][0]} and {pictures}", "keep one of them")
            if present:
                pairs[part] = pictures, labels
    if pairs:
        return {part: pairs[part] for part in ORDER if part in pairs}
    found = [[key for key in names if key in keys] for names in (PICTURES, LABELS)]
    if not all(len(names) == 1 for names in found):
        raise DataError(
            f"{where} holds {some(sorted(keys)) or 'nothing'}: it is not clear which are pictures and labels", LAYOUT
        )
    return {"all": (found[0][0], found[1][0])}


def read_array(archive: ZipFile, member: ZipInfo, where: str, role: Role) -> NDArray[Any]:
    """One array, held only once its header, its dtype and its sizes are found to agree."""
    name = f"{where}: {plain(member.filename.removesuffix('.npy'))}"
    if member.flag_bits & 1 or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise DataError(f"{name} is encrypted, or packed as NumPy never packs", "save it with numpy.savez")
    if member.file_size > max(SMALL, RATIO * member.compress_size):
        sizes = f"{member.compress_size:,} bytes that say they are {member.file_size:,}"
        raise DataError(f"{name} is packed too well to be true: {sizes}", "save it with numpy.savez")
    with archive.open(member) as stream:
        data = bytearray(stream.read(HEADER))
        shape, fortran, dtype, start = header_of(bytes(data), name)
        kinds, fix = HOLDS[role]
        if dtype.hasobject or dtype.kind not in kinds or (role == "pictures" and dtype.itemsize != 1):
            what = "Python objects, which are programs" if dtype.hasobject else f"{plain(dtype)} {plain(shape)}"
            raise DataError(f"{name} holds {what}", fix)
        count = math.prod(shape) * dtype.itemsize
        if count <= 0 or min(shape, default=1) < 1:
            raise DataError(f"{name} is empty: it says {shape}", "leave it out, or fill it")
        if count != member.file_size - start:
            says = f"{count:,} bytes" if count < 1 << 63 else "more than any file"
            raise DataError(f"{name} says it holds {says}, and has {member.file_size - start:,}", AGAIN)
        del data[:start]
        while len(data) < count and (chunk := stream.read(min(count - len(data), 1 << 22))):
            data += chunk
        if len(data) != count or stream.read(1):  # the last read compares the checksum
            raise DataError(f"{name} is truncated: {len(data):,} of {count:,} bytes", AGAIN)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def header_of(start: bytes, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether the first axis runs fastest, dtype, and where the numbers begin."""
    stream = BytesIO(start)
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote, which are read all the same
            shape, fortran, dtype = read(stream)
    except Exception as error:  # the header is Python text, and its parser may stumble over anything
        raise DataError(f"{name} is no array: {plain(type(error).__name__)} in its header", AGAIN) from error
    return shape, fortran, dtype, stream.tell()


def as_pictures(name: str, array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (n, h, w, 1 or 3), from (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w)."""
    if array.ndim == 3:
        return np.ascontiguousarray(array)[..., None]
    last, first = (array.ndim == 4 and array.shape[axis] in (1, 3) for axis in (-1, 1))
    if last == first:
        what = "could be read in two ways" if last else "is no stack of pictures"
        raise DataError(
            f"{name} is {array.shape}, which {what}", "store pictures as (n, height, width, 3) or (n, height, width)"
        )
    return np.ascontiguousarray(array if last else array.transpose(0, 2, 3, 1))


def as_numbers(name: str, array: NDArray[Any]) -> list[int]:
    if array.ndim == 2 and array.shape[1] > 1:
        raise DataError(f"{name} is {array.shape}: more than one number a picture", "store one whole number a picture")
    if array.ndim not in (1, 2):
        raise DataError(f"{name} is {array.shape}", "store one whole number a picture")
    return [int(number) for number in array.ravel().tolist()]


def as_words(where: str, arrays: Sequence[NDArray[Any]]) -> tuple[str, ...]:
    """The names of the classes, where there are any; bytes are UTF-8."""
    if not arrays:
        return ()
    array = arrays[0].ravel()
    if array.dtype.kind == "U" and array.view(f"{array.dtype.byteorder}u4").max(initial=0) > sys.maxunicode:
        raise DataError(f"{where}: the names of the classes are no text", AGAIN)  # which NumPy would stumble over
    words = array.tolist()
    return check_words(where, [word.decode("utf-8") if isinstance(word, bytes) else word for word in words])
