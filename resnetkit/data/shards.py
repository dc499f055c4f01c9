"""One of WebDataset's tar files: members of one key are a sample, such as ``7.jpg`` with ``7.cls`` or ``7.json``."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from resnetkit.data.decode import FORMAT_OF
from resnetkit.data.lists import Columns
from resnetkit.data.members import AGAIN, Member, members, read
from resnetkit.data.regular import open_regular
from resnetkit.errors import DataError, plain, some

LABELS = ("label", "class")  # under which a JSON has that of its picture
MOST = 10**9  # classes
NOTE = 1 << 20  # bytes of a label


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture in a shard, and its class: a number, or a word."""

    shard: Path
    member: Member
    label: int | str


@dataclass(frozen=True)
class Shard:
    """What one tar holds."""

    samples: list[Sample]
    passed: Counter[str]  # members that are neither picture nor label, by suffix
    worded: bool  # whether labels are from JSON, where a setting says under which word


def read_shard(path: Path, columns: Columns) -> Shard:
    """The samples of one tar, in the order of their pictures; DataError names the member that is wrong."""
    where = plain(path)
    try:
        with open_regular(path) as file:
            pictures, numbers, tables, passed = sort_out(file, where)
            samples, asked = [], columns.label is not None and columns.must
            for key, picture in pictures.items():
                if key in numbers and not asked:
                    label: int | str = from_text(file, numbers[key], where)
                elif key in tables:
                    label = from_json(file, tables[key], where, columns)
                else:
                    raise DataError(
                        f"{where}: {plain(picture.name)} has no label" + (" in a .json" if asked else ""),
                        "add one beside it, such as 7.cls for 7.jpg; a tar of class folders has to be unpacked",
                    )
                samples.append(Sample(path, picture, label))
    except OSError as error:
        raise DataError(f"{where} cannot be read: {error.strerror}", "copy it again") from error
    return Shard(samples, passed, bool(tables) and (asked or any(key not in numbers for key in pictures)))


def sort_out(
    file: IO[bytes], where: str
) -> tuple[dict[str, Member], dict[str, Member], dict[str, Member], Counter[str]]:
    """Pictures, ``.cls`` and ``.json`` by their keys, and how many members of each other suffix there are.

    A key is the name up to the first dot of its last part, as WebDataset has it.
    """
    pictures, numbers, tables = dict[str, Member](), dict[str, Member](), dict[str, Member]()
    passed = Counter[str]()
    for member in members(file, where):
        folder, _, base = member.name.rpartition("/")
        key, dot, kind = base.partition(".")
        suffix = dot + kind.rpartition(".")[2].lower()
        into = pictures if suffix in FORMAT_OF else {".cls": numbers, ".json": tables}.get(suffix)
        if not key or into is None:  # macOS writes files whose names begin with a dot
            passed[suffix or "no suffix"] += 1
            continue
        other = into.setdefault(f"{folder}/{key}", member)
        if other is not member:
            raise DataError(
                f"{where} has two {'pictures' if into is pictures else 'labels'} for the key {plain(key)}: "
                f"{plain(other.name)} and {plain(member.name)}",
                "keep one, or rename one: a key ends at its first dot",
            )
    lonely = [label.name for of in (numbers, tables) for key, label in of.items() if key not in pictures]
    if lonely:
        raise DataError(f"{where} has labels without pictures: {some(lonely, 3)}", "add them as JPEG or PNG")
    return pictures, numbers, tables, passed


def from_text(file: IO[bytes], member: Member, where: str) -> int:
    """The number that a ``.cls`` holds."""
    text = read(file, member.start, min(member.size, NOTE)).strip()
    if not re.fullmatch(rb"[+-]?\d{1,9}", text):
        shown = plain(text[:20].decode("utf-8", "replace"))
        raise DataError(
            f"{where}: {plain(member.name)} says {shown!r}, no whole number", "write the number of the class there"
        )
    return int(text)


def from_json(file: IO[bytes], member: Member, where: str, columns: Columns) -> int | str:
    """The number or word that a ``.json`` holds."""
    name = f"{where}: {plain(member.name)}"
    found = as_dict(read(file, member.start, min(member.size, NOTE)), name)
    asked = columns.within(list(found)).label
    keys = [key for key in (LABELS if asked is None else (asked,)) if key in found]
    if len(keys) != 1:
        what = "both a label and a class" if keys else f"no {plain(asked or 'label or class')}, only {some(found)}"
        raise DataError(f"{name} has {what}", f"--label-column {plain(keys[0]) if keys else 'with one of its words'}")
    label = found[keys[0]]
    number = isinstance(label, int) and not isinstance(label, bool) and abs(label) < MOST
    if not number and not (isinstance(label, str) and label.strip()):
        raise DataError(
            f"{name}: {plain(keys[0])} is {plain(json.dumps(label)[:40])}",
            "write the class as a whole number or a word",
        )
    return label


def as_dict(data: bytes, name: str) -> dict[str, Any]:
    """A JSON object of a file; DataError where it is another thing."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is no JSON: {plain(error)[:80]}", AGAIN) from error
    if not isinstance(found, dict):
        raise DataError(f"{name} is no JSON of words and values", 'write it as {"label": 3}')
    return found
