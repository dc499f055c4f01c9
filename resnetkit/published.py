"""Weights that others have published for our networks: where they lie, what they were shown, how they can be checked.

The rows stand in published.json. Names, places and preprocessing are what torchvision and timm say of their own
weights, accuracies torchvision's and those of timm's results/results-imagenet.csv. No file could be fetched where the
table was made: a whole SHA-256 or a commit stands in it only where others who had the file agree on it, and is null
elsewhere. tests/rows.py makes the table.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from resnetkit.errors import UsageError, WeightsError, nearest, plain, some
from resnetkit.zoo import ZOO

SOURCES = ("timm/", "torchvision/")
PIN = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
VERSION = re.compile(r"DEFAULT|[A-Z0-9]+(_[A-Z0-9]+)*_V[0-9]+")  # as torchvision names the weights of a network
ENUM = re.compile(r"(\w+)_Weights\.(\w+)")  # and as its enums name them, with their network
LIST = "resnet weights lists them"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of weights: on the hub, where a commit makes it lasting, or at a fixed address."""

    hub: str | None  # id on the Hugging Face hub, such as timm/resnet50.a1_in1k
    revision: str | None  # commit there
    url: str | None  # fixed address
    digits: str | None  # the first 8 hexadecimal digits of its SHA-256, as its name says
    sha256: str | None  # of all of it
    bytes: int | None
    mib: float | None  # length as torchvision gives it

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2] if self.url else "model.safetensors"

    @property
    def check(self) -> str:
        """What the file can be checked by, or nothing."""
        if self.sha256 and (self.url or self.revision):
            return "its SHA-256"
        return "the first 8 digits" if self.digits else ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Published weights of one network."""

    name: str  # SOURCE/NETWORK.TAG
    network: str  # as the zoo calls it
    data: str | None  # what they were trained to tell apart
    classes: int
    size: int  # side of the pictures
    crop: float  # share of the short side that the centre crop keeps
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str | None  # as the source says; torchvision says none
    top1: float | None  # published accuracy, percent
    top5: float | None
    measured_at: int | None  # side of the pictures that the accuracy is of
    files: tuple[File, ...]

    @property
    def best_file(self) -> File:
        """The first that can be checked, else the first."""
        return next((file for file in self.files if file.check), self.files[0])

    @property
    def check(self) -> str:
        return self.best_file.check

    @property
    def checked(self) -> bool:
        """Whether the whole SHA-256 of its file is known."""
        return self.check == "its SHA-256"


@dataclass(frozen=True)
class Wanted:
    """One file of one row, as exactly as somebody asked for it."""

    row: Row
    file: File
    revision: str | None  # of a file on the hub
    sha256: str  # what its SHA-256 begins with: all 64 digits, 8 or none

    @property
    def moving(self) -> bool:
        """Whether the name may stand for another file tomorrow."""
        return self.file.url is None and not self.revision and not self.sha256

    def pinned(self, sha256: str) -> str:
        """The name of this very file from now on."""
        return "@".join(filter(None, (self.row.name, self.revision, sha256)))


@cache
def rows() -> tuple[Row, ...]:
    """Every row, of networks that the zoo does not know too."""
    found = json.loads((files("resnetkit") / "published.json").read_text(encoding="utf-8"))
    return tuple(
        Row(**{**row, "mean": tuple(row["mean"]), "std": tuple(row["std"])}
            | {"files": tuple(File(**file) for file in row["files"])})
        for row in found
    )  # fmt: skip


def of(networks: Iterable[str] = ZOO) -> list[Row]:
    """The rows of these networks."""
    wanted = set(networks) & ZOO.keys()
    return [row for row in rows() if row.network in wanted]


def candidates(network: str) -> list[Row]:
    """What may be taken unasked, the most accurate first: for pictures, checkable, not barred from any use."""
    free = [
        row
        for row in of([network])
        if row.check and row.data == "ImageNet-1k" and row.top1 and "-nc" not in (row.licence or "")
    ]
    return sorted(free, key=lambda row: (-(row.top1 or 0), row.name))


def is_name(text: str) -> bool:
    """Whether a text is meant as the name of a row."""
    return text.startswith(SOURCES)


def is_meant(text: str) -> bool:
    """Whether a text that may be a file or a name of a row is the name: a file that is there wins."""
    return is_name(text) and not os.path.lexists(text)


def find(name: str) -> Row:
    """The row of that name; without a tag the most accurate of its source. UsageError where there is none."""
    known = {row.name: row for row in of()}
    if name in known:
        return known[name]
    tagged = [row for row in known.values() if row.name.partition(".")[0] == name]
    free = [row for network in {row.network for row in tagged} for row in candidates(network) if row in tagged]
    if free:
        return free[0]
    if tagged:
        raise UsageError(f"{plain(name)} may be {some(sorted(row.name for row in tagged))}", "write one of them whole")
    raise UsageError(f"there are no published weights called {plain(name)}{nearest(name, known)}", LIST)


def want(text: str) -> Wanted:
    """What ``NAME``, ``NAME@COMMIT`` or ``NAME@SHA256`` asks for. UsageError where no file can be meant."""
    name, *pins = text.split("@")
    revision, sha256 = "", ""
    for pin in pins:
        if not PIN.fullmatch(pin):
            raise UsageError(
                f"{plain(text)}: {plain(pin) or 'nothing'} is no pin",
                "write @ and a commit of 40 hexadecimal digits, or a SHA-256 of 64",
            )
        revision, sha256 = (pin, sha256) if len(pin) == 40 else (revision, pin)
    row = find(name)
    return pinned(row, revision, sha256) if pins else usual(row)


def usual(row: Row) -> Wanted:
    """The file of a row that can be checked best."""
    file = row.best_file
    if not file.check:
        return Wanted(row, file, None, "")
    return Wanted(row, file, file.revision, file.sha256 or file.digits or "")


def pinned(row: Row, revision: str, sha256: str) -> Wanted:
    hub = next((file for file in row.files if file.hub), None)
    if not revision:
        for file in row.files:
            if sha256 == file.sha256 or (file.digits and sha256.startswith(file.digits)):
                return Wanted(row, file, file.revision, sha256)
    if hub is None:
        what = "has a fixed address, and no commits" if revision else "is a file with another SHA-256"
        raise UsageError(f"{row.name} {what}", f"leave the pin out: --weights {row.name}")
    known = hub.sha256 if revision and revision == hub.revision else None
    return Wanted(row, hub, revision or None, sha256 or known or "")


def named(network: str, word: str) -> str | None:
    """The row that torchvision's word for weights means: IMAGENET1K_V2, DEFAULT or ResNet50_Weights.DEFAULT.

    None for what is no such word; WeightsError for one that the network has not, with those it has.
    """
    if enum := ENUM.fullmatch(word):
        theirs = [row for row in of() if row.name.startswith(f"torchvision/{enum[1].lower()}.")]
        tag = enum[2].lower()
        if theirs and (tag == "default" or any(row.name.endswith(f".{tag}") for row in theirs)):
            return named(theirs[0].network, enum[2])
        raise WeightsError(f"there are no weights {word} of networks that are known here", LIST)
    theirs = [row for row in of([network]) if row.name.startswith("torchvision/")]
    if word == "DEFAULT" and theirs:
        return max(theirs, key=lambda row: row.top1 or 0).name
    found = next((row.name for row in theirs if row.name.rpartition(".")[2] == word.lower()), None)
    if found is None and VERSION.fullmatch(word):
        known = some(row.name.rpartition(".")[2].upper() for row in theirs)
        raise WeightsError(f"there are no weights {word} of {network}; {known or 'none'} of torchvision's", LIST)
    return found


def refuse_clips(row: Row) -> None:
    """UsageError for weights that no run and no model file can take, known before they are fetched."""
    if row.data == "Kinetics-400":
        raise UsageError(f"{row.name} is not for pictures", f"create_model({row.network!r}, weights={row.name!r})")


def refuse_idle_unpinned(weights: str, allowed: bool) -> None:
    """UsageError for a name that may move, unless that is ``allowed``; and for an allowance that nothing needs."""
    moving = is_name(weights) and "@" not in weights and want(weights).moving
    if allowed and not moving:
        raise UsageError("--allow-unpinned would have no effect: the weights cannot change", "leave it out")
    if moving and not allowed:
        raise UsageError(
            f"{weights} may be another file tomorrow: neither its commit nor its SHA-256 is known here",
            f"pin a commit: {weights}@COMMIT, as its page on the hub shows it; or take what is there: --allow-unpinned",
        )
