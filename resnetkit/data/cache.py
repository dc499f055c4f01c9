"""Where data sets with a name lie, and how they come there: fetched once, checked, unpacked, and known again."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from resnetkit import files
from resnetkit.caching import cache_folder, locked, mirror
from resnetkit.data.archives import unpack
from resnetkit.data.folders import SYSTEM
from resnetkit.data.known import File, Known
from resnetkit.download import Watch, digest, download
from resnetkit.errors import DataError, ResourceError, plain

SEAL = "checked.json"  # what was checked, by hash, and what it looked like then
UNPACKED = "unpacked"


def addresses(known: Known, file: File) -> tuple[str, ...]:
    """Where a file is fetched from: the mirror alone, where there is one."""
    there = mirror()
    return (f"{there}/{known.name}/{file.name}",) if there else file.urls


def bring(known: Known, watch: Watch | None = None) -> Path:
    """The folder of a data set, its files whole and its archive unpacked in ``unpacked``.

    What was checked before is known by size and time of change; what has changed since is checked again, and fetched
    again where it is not what it was. Raises DataError, which says what to put where, if something cannot be had.
    """
    folder = cache_folder() / "data" / known.name
    if sealed(folder, known):
        return folder
    with locked(folder):
        if not sealed(folder, known):  # by another process, in the meantime
            try:
                fetch(known, folder, watch)
                for file in known.files:
                    if file.archive:
                        unpack_anew(folder, file)
                files.write_json(folder / SEAL, {"sha256": hashes(known), "files": state(folder, known)})
            except OSError as error:
                raise ResourceError(
                    f"{plain(error.filename or folder)}: {error.strerror or error}", files.hint(error)
                ) from error
    return folder


def fetch(known: Known, folder: Path, watch: Watch | None) -> None:
    wanting = [file for file in known.files if not is_whole(folder / file.name, file)]
    for i, file in enumerate(wanting):
        try:
            download(addresses(known, file), folder / file.name, file.size, file.sha256, watch)
        except DataError as error:
            raise DataError(*by_hand(known, wanting[i:], folder, error.what)) from error


def by_hand(known: Known, wanting: list[File], folder: Path, why: str) -> tuple[str, str]:
    """What is wrong, and which files to put where."""
    wrong = [file.name for file in wanting if (folder / file.name).exists()]
    there = ""
    if wrong:
        there = f"what is in {plain(folder)} by that name is another file: {', '.join(wrong)}; "
    lines = [
        f"  {file.name}, {file.size:,} bytes, SHA-256 {file.sha256}, from {' or '.join(file.urls)}" for file in wanting
    ]
    what = "this file" if len(lines) == 1 else f"these {len(lines)} files"
    fix = f"put {what} into {plain(folder)}, or name a mirror: RESNETKIT_MIRROR=https://HOST/DIR"
    return f"{known.name} is not at hand: {there}{why}", "\n".join([fix, *lines])


def is_whole(path: Path, file: File) -> bool:
    return path.is_file() and path.stat().st_size == file.size and digest(path) == file.sha256


def unpack_anew(folder: Path, file: File) -> None:
    for left in folder.glob(f".{UNPACKED}.*.tmp"):  # by a process that was killed
        shutil.rmtree(left)
    target = folder / UNPACKED
    if target.is_dir():
        shutil.rmtree(target)
    unpack(folder / file.name, target)


def hashes(known: Known) -> dict[str, str]:
    return {file.name: file.sha256 for file in known.files}


def sealed(folder: Path, known: Known) -> bool:
    """Whether all is as it was when it was checked, by size and time of change."""
    try:
        seal: Any = json.loads((folder / SEAL).read_bytes())
        return bool(seal == {"sha256": hashes(known), "files": state(folder, known)})
    except (OSError, ValueError, RecursionError):
        return False


def state(folder: Path, known: Known) -> dict[str, list[int]]:
    """Size and time of change (ns) of the files of a data set, and of all that was unpacked.

    What systems put beside pictures, such as .DS_Store, is no picture and no damage.
    """
    paths = [folder / file.name for file in known.files]
    for root, _, names in os.walk(folder / UNPACKED):
        paths += [Path(root, name) for name in names if name[0] != "." and name.lower() not in SYSTEM]
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in paths}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items())}
