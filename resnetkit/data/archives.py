"""Archives of strangers, unpacked whole or not at all: plain files and folders, all inside, counted as they come.

Python's ``extractall`` follows links out of its folder on versions in use, and lets the last of two equal names win.
No size that an archive tells of is believed.
"""

import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from resnetkit import files
from resnetkit.data.parts import folded
from resnetkit.data.regular import open_regular
from resnetkit.data.tar import AGAIN, BROKEN, CHUNK, Member, damaged, refuse_bomb, tar_members
from resnetkit.errors import DataError, ResourceError, UsageError, plain

MEMBERS = 2_000_000
TOTAL = 64 << 30  # bytes that an archive may unpack to
DEPTH = 64  # folders inside one another
DEVICES = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)([.].*)?", re.IGNORECASE
)  # files of these names are none on Windows


def unpack(archive: Path, target: Path, *, members: int = MEMBERS, total: int = TOTAL) -> None:
    """Make the folder ``target`` of a zip or a tar (bare, or packed by gzip, bzip2 or xz), told by its first bytes.

    Raises DataError where a member is not a file or folder inside, comes twice or in two spellings, where there are
    more than ``members`` or more than ``total`` bytes, and where the archive is damaged; then there is no ``target``.
    """
    if os.path.lexists(target):
        raise UsageError(f"{plain(target)} is there already", "remove it, or name another folder")
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        beside.mkdir()
        with open_regular(archive) as file:
            where = plain(archive)
            read = zip_members if file.read(4) in (b"PK\3\4", b"PK\5\6") else tar_members
            file.seek(0)
            write(beside, read(file, where), where, members, total)
        os.rename(beside, target)
        files.sync_folder(target.parent)
    except OSError as error:
        raise ResourceError(
            f"{plain(archive)} could not be unpacked to {plain(target)}: {error.strerror or error}", files.hint(error)
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write(root: Path, members: Iterator[Member], where: str, most: int, total: int) -> None:
    seen: dict[str, tuple[str, bool]] = {}
    done = 0
    for count, (name, chunks) in enumerate(members, 1):
        if count > most:
            raise DataError(f"{where} has more than {most:,} members", AGAIN)
        parts = checked(name, where)
        if not parts and chunks is not None:
            raise DataError(f"{where} has a file without a name", AGAIN)
        claim(seen, parts, chunks is None, where)
        path = root.joinpath(*parts)
        (path if chunks is None else path.parent).mkdir(parents=True, exist_ok=True)
        if chunks is None:
            continue
        with open(path, "xb") as file:
            for chunk in chunks:
                done += len(chunk)
                if done > total:
                    raise DataError(f"{where} unpacks to more than {total:,} bytes", AGAIN)
                file.write(chunk)


def checked(name: str, where: str) -> list[str]:
    """The folders and the file that a name says; DataError for a name that another system would read otherwise."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        why = "is an absolute path"
    elif ".." in parts:
        why = "leads out of the folder"
    elif any(c in '\\:*?"<>|\x7f' or c < " " for c in name):
        why = "has a letter that not every system takes"
    elif any(DEVICES.fullmatch(part) for part in parts):
        why = "is a device on Windows"
    elif len(parts) > DEPTH or any(len(part.encode()) > 255 for part in parts):
        why = "is too long or too deep"
    else:
        return parts
    raise DataError(f"{where}: the name {plain(name[:200])!a} {why}", AGAIN)


def claim(seen: dict[str, tuple[str, bool]], parts: list[str], folder: bool, where: str) -> None:
    """Each place in an archive is one thing with one spelling, also where case and Unicode form do not count."""
    key, name = "", ""
    for depth, part in enumerate(parts, 1):
        key, name = f"{key}/{folded(part).rstrip('. ')}", f"{name}/{part}" if name else part
        this = name, folder or depth < len(parts)
        before = seen.setdefault(key, this)
        if before[0] != name:
            raise DataError(f"{where} has both {plain(before[0])} and {plain(name)}, one file on some systems", AGAIN)
        if before is not this and not (before[1] and this[1]):
            raise DataError(f"{where} has {plain(name)} twice", AGAIN)


def zip_members(file: IO[bytes], where: str) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(file)
    except BROKEN as error:
        raise damaged(where, error) from error
    size, packed = os.fstat(file.fileno()).st_size, 0
    for info in archive.infolist():
        packed += info.compress_size
        if packed > size:
            raise DataError(f"{where}: its members lie over one another", AGAIN)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise DataError(
                f"{where}: {plain(info.filename)} is {'a link' if stat.S_ISLNK(kind) else 'a device'}", AGAIN
            )
        if info.flag_bits & 1:
            raise DataError(f"{where}: {plain(info.filename)} is encrypted", "unpack it yourself, and name the folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{where}: {plain(info.filename)} is packed in a rare way", "pack it again as usual")
        yield info.orig_filename, None if info.is_dir() else inflated(archive, info, where)


def inflated(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Iterator[bytes]:
    """The bytes of a member, whose CRC is checked at its end."""
    done = 0
    try:
        with archive.open(info) as stream:
            while chunk := stream.read(CHUNK):
                done += len(chunk)
                refuse_bomb(done, info.compress_size, where)
                yield chunk
    except DataError:
        raise
    except BROKEN as error:
        raise damaged(f"{where}: {plain(info.filename)}", error) from error
