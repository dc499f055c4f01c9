"""Published weights at hand: found in the cache or fetched into it, checked, and read with what they were shown."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from resnetkit import files, published
from resnetkit.caching import cache_folder, locked, mirror
from resnetkit.data.preprocess import Preprocess
from resnetkit.download import Unfetched, Watch, answering, digest, download, is_offline, put_away
from resnetkit.errors import ResourceError, WeightsError, plain
from resnetkit.foreign import read_foreign
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.published import Row, Wanted
from resnetkit.zoo import find

HUB = "https://huggingface.co"
PATIENCE = 20.0  # seconds for an answer, where somebody asked for these very weights
AUTO = 3.0  # seconds, where nobody did


@dataclass(frozen=True)
class Got:
    """A file of published weights on this machine."""

    wanted: Wanted
    path: Path
    sha256: str  # of the file as it is

    @property
    def name(self) -> str:
        """The name of the row, and the SHA-256 that pins this very file."""
        return self.wanted.pinned(self.sha256)

    @property
    def said(self) -> str:
        """What the weights are, and how sure that is."""
        row, pin = self.wanted.row, self.wanted.sha256
        how = {64: "checked by its SHA-256", 8: "checked by the first 8 digits of its SHA-256"}.get(len(pin))
        how = how or f"unchecked: it has the SHA-256 {self.sha256}"
        scored = f"{row.top1:.4g}% on {row.data}, " if row.top1 else ""
        return f"{row.name} ({scored}licence {row.licence or 'not said'}; {how})"


def folder(row: Row) -> Path:
    return cache_folder() / "weights" / row.name


def place(wanted: Wanted) -> Path:
    """Where the file is kept. A file on the hub lies under its commit, else its SHA-256."""
    inside = "" if wanted.file.url else wanted.revision or wanted.sha256 or "main"
    return folder(wanted.row) / inside / wanted.file.name


def address(wanted: Wanted) -> str:
    """Where the file is fetched from: of the hub HF_ENDPOINT, of fixed addresses RESNETKIT_MIRROR may stand in."""
    if wanted.file.url:
        there = mirror()
        return f"{there}/weights/{wanted.row.name}/{wanted.file.name}" if there else wanted.file.url
    return f"{mirror('HF_ENDPOINT') or HUB}/{wanted.file.hub}/resolve/{wanted.revision or 'main'}/{wanted.file.name}"


def obtain(wanted: Wanted, watch: Watch | None = None, *, patience: float = PATIENCE) -> Got:
    """The file, from the cache or fetched into it, as sure as it can be checked.

    ``patience`` is how long its server may take to answer at all (seconds). Raises WeightsError for a file with
    another SHA-256, which is put away, and ResourceError where the file is not at hand and cannot be had, or where
    the cache cannot be used.
    """
    path = place(wanted)
    if wanted.moving or not is_there(path):
        url = address(wanted)
        if why := answering([url], patience)[url]:
            raise not_at_hand(wanted, f"{url}: {why}")
        with locked(path.parent):
            if wanted.moving or not is_there(path):  # fetched by another process, in the meantime
                fetch(wanted, path, watch)
    found = checked(wanted, path)
    if wanted.moving:  # under its hash it stays what it is
        lasting = folder(wanted.row) / found / path.name
        try:
            lasting.parent.mkdir(exist_ok=True)
            os.replace(path, lasting)
        except OSError as error:
            raise ResourceError(f"{plain(lasting)}: {error.strerror}", files.hint(error)) from error
        path = lasting
    return Got(wanted, path, found)


def is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise unusable(path, error) from error


def fetch(wanted: Wanted, path: Path, watch: Watch | None) -> None:
    away = folder(wanted.row) / "quarantine"
    size = wanted.file.bytes if wanted.sha256 in (wanted.file.sha256, wanted.file.digits) else None
    if wanted.moving:
        path.with_name(path.name + ".part").unlink(missing_ok=True)  # which may be a part of another file
    try:
        download([address(wanted)], path, size, wanted.sha256, watch, quarantine=away)
    except Unfetched as error:
        if error.found:
            raise another(wanted, address(wanted), error.found, away / path.name) from error
        raise not_at_hand(wanted, error.what) from error


def checked(wanted: Wanted, path: Path) -> str:
    """The SHA-256 of a file in the cache; a wrong one is moved out of the way."""
    try:
        found = digest(path)
    except OSError as error:
        raise unusable(path, error) from error
    if not found.startswith(wanted.sha256):
        raise another(wanted, str(path), found, put_away(path, folder(wanted.row) / "quarantine"))
    return found


def unusable(path: Path, error: OSError) -> ResourceError:
    why = error.strerror or error
    return ResourceError(f"{plain(path)} cannot be read: {why}", "name a cache of your own: RESNETKIT_CACHE=DIR")


def another(wanted: Wanted, where: str, found: str, away: Path) -> WeightsError:
    first = "" if len(wanted.sha256) == 64 else " at its beginning"
    return WeightsError(
        f"{wanted.row.name} is another file: {plain(where)} has the SHA-256 {found}, and {wanted.sha256}{first} is "
        f"expected; it was moved to {plain(away)}",
        "the next run that needs it fetches it anew",
    )


def not_at_hand(wanted: Wanted, why: str) -> ResourceError:
    """What is wrong, and which file to put where."""
    row, file = wanted.row, wanted.file
    size = f"{file.bytes:,} bytes, " if file.bytes else f"{file.mib} MiB, " if file.mib else ""
    digits = f"SHA-256 {wanted.sha256}{'' if len(wanted.sha256) == 64 else '...'}, " if wanted.sha256 else ""
    instead = "RESNETKIT_MIRROR" if file.url else "HF_ENDPOINT"
    ask = "take RESNETKIT_OFFLINE out of the environment" if is_offline() else f"name a mirror: {instead}=https://HOST"
    fix = f"put this file there as {plain(place(wanted))}, or {ask}"
    if wanted.moving:
        fix = f"{ask}, or fetch the file yourself and give its path in place of the name"
    line = f"  {file.name}, {size}{digits}from {address(wanted)}"
    return ResourceError(f"{row.name} is not at hand: {plain(why)}", f"{fix}\n{line}")


def automatic(network: str, watch: Watch | None = None) -> tuple[Got | None, str]:
    """The best published weights of a network that are at hand or can be had; or none, and why.

    Where there is no network that is known within seconds. Raises WeightsError for a file that is not what it says.
    """
    wanted = [published.usual(row) for row in published.candidates(network)]
    if not wanted:
        return None, f"no published weights of {network} can be checked here"
    try:
        if is_there(place(wanted[0])):
            return obtain(wanted[0]), ""
        why = answering([address(one) for one in wanted], AUTO)
        for one in wanted:
            if is_there(place(one)) or not why[address(one)]:
                return obtain(one, watch), ""
    except ResourceError as error:
        return None, error.what
    return None, f"{wanted[0].row.name} is not at hand: {why[address(wanted[0])]}"


def read(got: Got) -> tuple[Card, dict[str, Tensor]]:
    """The weights, and a card with the preprocessing of their row. Nobody names the classes: they are numbers."""
    row = got.wanted.row
    published.refuse_clips(row)
    shown: dict[str, Any] = {"resize": "crop", "crop": row.crop, "interpolation": row.interpolation, "channels": 3}
    shown |= {"size": [row.size, row.size], "mean": list(row.mean), "std": list(row.std)}
    plan = with_io(lay_out(find(row.network)), channels=3, classes=row.classes)
    names = tuple(map(str, range(row.classes)))
    return Card(model=row.network, plan=plan, classes=names, preprocess=Preprocess.from_json(shown)), read_foreign(
        got.path
    )
