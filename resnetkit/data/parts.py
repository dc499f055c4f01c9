"""What a data source is once it is open: parts of named, labelled pictures, and one list of classes for all of them."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture
from resnetkit.errors import DataError, nearest, plain, some
from resnetkit.tasks import TaskName

PartName = Literal["train", "val", "test", "all"]
Kind = Literal["folder", "list", "idx", "parquet", "npz", "cifar", "tars", "digits"]
ORDER: tuple[PartName, ...] = ("train", "val", "test", "all")
PART_NAMES: dict[str, PartName] = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# (n,) int64, places in the list of classes; (n, tags) float32, 1 where a picture has the tag; (n, numbers) float64.
Labels = NDArray[Any]
WNID = re.compile(r"n\d{8}( |$)")


class StrangeClassError(DataError):
    """A part has classes, ``extra``, that are not among the ``known`` ones."""

    def __init__(self, what: str, fix: str, known: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> None:
        super().__init__(what, fix)
        self.known, self.extra = known, extra


class LoneClassError(DataError):
    """All pictures are of one class, ``only``, of which there is nothing to learn."""

    def __init__(self, what: str, fix: str, only: str = "") -> None:
        super().__init__(what, fix)
        self.only = only


@dataclass(frozen=True)
class Part:
    """Pictures that stand together. What reads one raises DataError naming it."""

    name: PartName
    names: tuple[str, ...]  # POSIX paths relative to the part's folder, or row numbers
    labels: Labels
    read: Callable[[int], Picture]
    encoded: Callable[[int], bytes]  # the picture as it is stored, for hashing
    groups: tuple[str, ...] | None = None  # pictures of one group, such as a patient, belong to one side of a split
    weights: NDArray[np.float64] | None = None  # (n,) how much each picture counts while it is learned from
    folder: Path | None = None  # that the names are seen from, where each picture is a file of its own


@dataclass(frozen=True)
class Source:
    """A place that pictures come from, with every label checked against one list of classes."""

    location: str
    kind: Kind
    classes: tuple[str, ...]  # or tags, or what the numbers are called
    parts: dict[PartName, Part]
    arrays: bool  # bare arrays, with no file format around them
    notes: list[str] = field(default_factory=list)
    channels: int = 3  # 1 for arrays of grey pictures
    task: TaskName = "classes"
    columns: tuple[str, ...] = ()  # settings that say which column holds what, where it is no list


def shown(source: Source, part: Part) -> list[str]:
    """What messages call the pictures of a part: by their names, below the part unless a list or a whole has them."""
    if part.name == "all" or source.kind == "list":
        return list(part.names)
    return [f"{part.name}/{name}" for name in part.names]


def subset(part: Part, index: NDArray[np.int64]) -> Part:
    """Some pictures of a part as a part of their own."""
    chosen = [int(i) for i in index]
    return Part(
        part.name,
        tuple(part.names[i] for i in chosen),
        part.labels[index],
        lambda i: part.read(chosen[i]),
        lambda i: part.encoded(chosen[i]),
        None if part.groups is None else tuple(part.groups[i] for i in chosen),
        None if part.weights is None else part.weights[index],
        part.folder,
    )


def agree(
    location: str,
    found: Mapping[PartName, Sequence[str]],
    given: Sequence[str] | None,
    order: Callable[[Iterable[str]], Sequence[str]] = sorted,
) -> tuple[tuple[str, ...], dict[PartName, NDArray[np.int64]]]:
    """The classes, and the label of each picture: ``found`` holds the class of each picture of each part.

    The classes are ``given``, or those of train in their order; no other part may add one. A class of ImageNet may be
    called by its WordNet number alone on one side, and by number and words on the other.
    """
    first = next((part for part in found if part in ("train", "all")), None)
    for part, names in found.items():
        if not names:
            raise DataError(f"{location}: {part} has no pictures", "add pictures, or remove that part")
    if given is not None:
        classes = tuple(given)
    elif first is None:
        raise DataError(f"{location} has no train part, only {some(found)}", "add a train part")
    else:
        classes = tuple(order(set(found[first])))
        check_names(location, classes)
        if len(classes) < 2:
            what = f"{location} has one class, {plain(classes[0])}, and needs at least two"
            raise LoneClassError(what, "add another", classes[0])
    place = {name: i for i, name in enumerate(classes)}
    if given is not None:
        place = {wnid(name): i for name, i in place.items()} | place
        found = {part: [name if name in place else wnid(name) for name in names] for part, names in found.items()}
    labels: dict[PartName, NDArray[np.int64]] = {}
    for part, names in found.items():
        extra = sorted(set(names) - place.keys())
        if extra:
            whose = "the model" if given is not None else first
            fix = "rename it, or leave it out of that part"
            if given is not None and not any(name in place for names in found.values() for name in names):
                fix = f"give pictures of the classes that it has: {some(classes)}"
            raise StrangeClassError(
                f"{location}: {part} has {'a class' if len(extra) == 1 else 'classes'} that {whose} does not have: "
                f"{some(extra)}{resembling(extra[0], classes)}",
                fix,
                classes,
                tuple(extra),
            )
        labels[part] = np.fromiter((place[name] for name in names), np.int64, len(names))
    return classes, labels


def wnid(name: str) -> str:
    """ImageNet's classes are the same whatever words follow their WordNet number, such as n01440764 tench."""
    return name[:9] if WNID.match(name) else name


def ordered(present: Iterable[str], known: Sequence[str]) -> list[str]:
    """Classes in the order in which they are known, or, where they are numbers, in that of numbers."""
    present = set(present)
    return [name for name in known if name in present] if known else sorted(present, key=int)


def left_out(known: Iterable[str], names: Sequence[str]) -> list[str]:
    """A note of the classes that a file tells of and train does not show."""
    absent = sorted(set(known) - set(names))
    return [f"classes without pictures in train are left out: {some(absent)}"] if absent else []


def check_names(location: str, classes: Sequence[str], what: str = "classes") -> None:
    """No two classes may look alike, and each must be text that other files can carry."""
    seen: dict[str, str] = {}
    for name in classes:
        if any("\ud800" <= c <= "\udfff" for c in name):
            raise DataError(
                f"{location}: the name of the class {plain(name)} is not UTF-8", "rename the class folder in UTF-8"
            )
        other = seen.setdefault(folded(name), name)
        if other != name:
            raise DataError(
                f"{location}: the {what} {other!a} and {name!a} differ only in case or Unicode form",
                "merge the two folders, or rename one" if what == "classes" else "rename one",
            )


def folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def resembling(name: str, classes: Sequence[str]) -> str:
    for known in classes:
        if folded(known) == folded(name):
            return f"; there is {known!a}, which differs from {name!a} only in case or Unicode form"
    return nearest(plain(name), map(plain, classes), most=1)
