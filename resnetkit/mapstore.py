"""What the frozen part of a network made of pictures, kept on disk: made once, used by every run that needs it.

A folder for each frozen part, in it blocks of some hundred maps, each with the keys of its maps and a hash. Nothing
here is needed: what was deleted or damaged is made again.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from resnetkit import files
from resnetkit.caching import cache_folder
from resnetkit.errors import ResourceError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 8.0  # GiB of all folders together, unless RESNETKIT_MAPS says otherwise
SUFFIX = ".maps"
USED = "used"  # a file whose time says when a folder was of use


@dataclass
class Store:
    """The maps of one frozen part. ``notes`` says what could not be kept or read."""

    folder: Path
    notes: list[str] = field(default_factory=list)
    writes: bool = True

    def read(self, wanted: set[bytes]) -> "Iterator[tuple[list[bytes], Tensor]]":
        """Blocks that hold some of ``wanted``: their keys, and a map for each."""
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                block = opened(path.read_bytes())
            except (OSError, ValueError):
                self.notes.append(f"{path} was damaged and is made again")
                path.unlink(missing_ok=True)
                continue
            if wanted.intersection(block[0]):
                yield block

    def write(self, keys: Sequence[bytes], maps: "Tensor") -> None:
        """Keep ``maps`` (n, ...); a disk that takes no more is said once, and nothing else is kept."""
        if not self.writes:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = blake2b(b"".join(keys), digest_size=16).hexdigest()
            files.write_bytes(self.folder / f"{name}{SUFFIX}", closed(keys, maps))
            (self.folder / USED).touch()
        except (OSError, ResourceError) as error:
            self.writes = False
            self.notes.append(f"maps are not kept in {self.folder}: {getattr(error, 'what', error)}")


def closed(keys: Sequence[bytes], maps: "Tensor") -> bytes:
    """A block as bytes; all keys are of 16 bytes."""
    import torch
    from safetensors.torch import save

    names = torch.frombuffer(bytearray(b"".join(keys)), dtype=torch.uint8).view(len(keys), 16)
    data = save({"keys": names, "maps": maps.contiguous()})
    return blake2b(data, digest_size=16).digest() + data


def opened(data: bytes) -> "tuple[list[bytes], Tensor]":
    """The keys and maps of a block. ValueError where it is none."""
    from safetensors.torch import load

    if blake2b(data[16:], digest_size=16).digest() != data[:16]:
        raise ValueError("not what was written")
    block = load(data[16:])
    return [bytes(key) for key in block["keys"].tolist()], block["maps"]


def root() -> Path:
    return cache_folder() / "maps"


def store(body: str) -> Store:
    """The store of one frozen part, named by a hash of it."""
    return Store(root() / body)


def most() -> int:
    """Bytes that all stores together may take."""
    given = os.environ.get("RESNETKIT_MAPS") or str(LIMIT)
    try:
        room = int(float(given) * 2**30)
    except (ValueError, OverflowError):
        room = -1
    if room < 0:
        raise UsageError(f"RESNETKIT_MAPS is {given!r}, which is no number of GB", "RESNETKIT_MAPS=8")
    return room


def size(folder: Path) -> int:
    """Bytes of the blocks below a folder."""
    return sum(path.stat().st_size for path in folder.rglob(f"*{SUFFIX}"))


def bound(keep: Path) -> list[str]:
    """Take away what was of no use for longest until all stores fit; ``keep`` goes last. Says what went."""
    room, said = most(), []
    folders = [folder for folder in root().iterdir() if folder.is_dir()] if root().is_dir() else []
    taken = {folder: size(folder) for folder in folders}
    for folder in sorted(folders, key=lambda folder: (folder == keep, last_used(folder))):
        if sum(taken.values()) <= room:
            break
        if gone := taken.pop(folder):
            said.append(f"{gone / 2**20:,.1f} MB of older maps were deleted: {room / 2**30:.3g} GB are kept")
        shutil.rmtree(folder, ignore_errors=True)
    return said


def last_used(folder: Path) -> float:
    try:
        return (folder / USED).stat().st_mtime
    except OSError:
        return 0.0


def touched(folder: Path) -> None:
    """Remember that a folder is of use."""
    if folder.is_dir():
        os.utime(folder, (time.time(), time.time()))
        (folder / USED).touch()
