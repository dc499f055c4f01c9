"""A list of the pictures without the worst trouble, to train on in place of the source. No picture is touched."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from resnetkit.data.labels import APART, amount
from resnetkit.data.parts import PART_NAMES, Part, Source
from resnetkit.errors import DataError, UsageError, many, plain
from resnetkit.files import check_target, write_text
from resnetkit.trouble.finding import Album, Checkup, Cleaned

NAMELESS = "its name cannot stand in a list: rename it"
ONE_LEFT = "its class has one picture left, of which none can be held out"
NONE_LEFT = "train has no picture of its class left"
KEPT = ("test", "val", "train")  # of a picture in several parts, the one in the first of these stays


def refuse(path: Path, source: Source | None = None) -> None:
    """UsageError where a list cannot be written there, or not of this source."""
    if path.suffix.lower() != ".csv":
        raise UsageError(f"--fix {plain(path)} is no list", "name a file that ends in .csv")
    if path.stem.lower() in PART_NAMES:
        raise UsageError(f"--fix {plain(path)} would be taken for the list of one part", "name it clean.csv")
    for one in (path, beside(path)):
        check_target(one)
        if one.exists():
            raise UsageError(f"{plain(one)} is there already and is not replaced", "name another file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{plain(path.parent)} is not a folder", "name a file in a folder that exists")
    if source is not None and any(part.folder is None for part in source.parts.values()):
        what = f"--fix writes a list of picture files, and {source.location} holds none"
        raise UsageError(what, "leave --fix out, or unpack the pictures into class folders")


def beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-left-out.csv")


def write_cleaned(source: Source, found: Checkup, path: Path) -> Cleaned:
    """Write the list, and beside it what was left out and why.

    Left out are files that cannot be read, classes that train does not have, and of pictures that are in several parts
    all but those in test, or in val where test has none; where there are no parts yet, later copies; then what is left
    of classes that cannot be learned from the rest. Raises DataError where nothing is left to list.
    """
    refuse(path, source)
    why, album = dict(left_out(found)), Album.of(source)
    places = [(part, i) for part in source.parts.values() for i in range(len(part.names))]
    listed_as = {row: as_listed(part, i, path) for row, (part, i) in enumerate(places)}
    why |= {row: NAMELESS for row, name in listed_as.items() if row not in why and not can_stand(name)}
    why |= unlearned(source, why)
    rows = [cells_of(source, album, row, *places[row], name) for row, name in listed_as.items() if row not in why]
    if not rows:
        count = many(len(places), "picture")
        what = f"none of the {count} of {source.location} is left for {plain(path)}, which is not written"
        raise DataError(what, "leave --fix out to see what is wrong, and add or mend pictures")
    header, flags = columns(source)
    write_text(path, text_of([header, *rows]))
    listed = [(album.paths[row], why[row]) for row in sorted(why)]
    if listed:
        write_text(beside(path), text_of([["image", "why"], *([plain(name), words] for name, words in listed)]))
    command = ("resnet", "train", str(path), *flags)
    return Cleaned(path, len(rows), tuple(listed), beside(path) if listed else None, command, is_enough(source, why))


def as_listed(part: Part, i: int, path: Path) -> str:
    """What a list at ``path`` calls a picture."""
    assert part.folder is not None
    return os.path.relpath(part.folder / part.names[i], path.absolute().parent).replace(os.sep, "/")


def cells_of(source: Source, album: Album, row: int, part: Part, i: int, name: str) -> list[str]:
    """One line of the list."""
    cells = [name, *label_cells(source, album, row, part.labels[i])]
    cells += [part.name] if part.name != "all" else []
    cells += [part.groups[i]] if part.groups is not None else []
    return cells + ([repr(float(part.weights[i]))] if part.weights is not None else [])


def unlearned(source: Source, why: Mapping[int, str]) -> dict[int, str]:
    """Of what is not left out yet, pictures of classes of which too little is left to learn from, and why."""
    if source.task != "classes":
        return {}
    labels, counts = left_of(source, why)
    least = 1 if "val" in source.parts else 2  # of which one is held out
    few = {
        label: ONE_LEFT if counts[label] else NONE_LEFT for label in range(len(source.classes)) if counts[label] < least
    }
    return {row: few[label] for row, label in enumerate(labels) if row not in why and label in few}


def left_of(source: Source, why: Mapping[int, str]) -> tuple[list[int], list[int]]:
    """The label of each picture, and how many of each class are left to learn from."""
    labels = [label for part in source.parts.values() for label in part.labels.tolist()]
    learned = [name in ("train", "all") for name, part in source.parts.items() for _ in part.names]
    counts = [0] * len(source.classes)
    for row, label in enumerate(labels):
        counts[label] += learned[row] and row not in why
    return labels, counts


def is_enough(source: Source, why: Mapping[int, str]) -> bool:
    """Whether training would begin on what is left: of classes, on two or more."""
    if source.task != "classes":
        return len(why) < sum(len(part.names) for part in source.parts.values())
    return sum(count > 0 for count in left_of(source, why)[1]) > 1


def remedies(source: Source, found: Checkup) -> tuple[str, ...]:
    """What training can begin with where it would stop: ``--fix`` by its list, ``--on-bad skip`` as it is."""
    if found.trainable:
        return ()
    why = dict(left_out(found))
    files = all(part.folder is not None for part in source.parts.values())
    fix = files and is_enough(source, why | unlearned(source, why))
    bad = {finding.rows[0]: finding.words for finding in found.of("unreadable")}
    alone = not found.of("strange-class") and not found.of("lonely-class")
    skip = alone and is_enough(source, bad) and not unlearned(source, bad) and not hollow(found, bad)
    return ("--fix clean.csv",) * fix + ("--on-bad skip",) * skip


def hollow(found: Checkup, why: Mapping[int, str]) -> bool:
    """Whether nothing is left of one of the parts."""
    return any(all(row in why for row in rows) for rows in parts_of(found).values())


def parts_of(found: Checkup) -> dict[str, range]:
    """The rows of each part."""
    rows, at = {}, 0
    for name, count in found.sizes.items():
        rows[name] = range(at, at + count)
        at += count
    return rows


def left_out(found: Checkup) -> Iterator[tuple[int, str]]:
    """Rows, and why each is left out; one may come twice."""
    starts = parts_of(found)
    for finding in found.of("leak") + found.of("near-leak"):
        parts = [next(name for name, rows in starts.items() if row in rows) for row in finding.rows]
        first = next(name for name in KEPT if name in parts)
        kept = finding.paths[parts.index(first)]
        alike = "the same" if finding.kind == "leak" else "nearly the same"
        yield from ((row, f"{alike} as {kept}") for row, part in zip(finding.rows, parts, strict=True) if part != first)
    for finding in found.of("duplicate"):
        if finding.part == "all":
            yield from ((row, f"the same as {finding.paths[0]}") for row in finding.rows[1:])
    for finding in found.of("strange-class"):
        yield from ((row, "train does not have its class") for row in finding.rows)
    for finding in found.of("unreadable"):
        yield finding.rows[0], f"cannot be read: {finding.words}"


def can_stand(name: str) -> bool:
    """Whether a list gives this name back: it is UTF-8, its ends are no blanks, and \\ is taken for /."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name == name.strip() and (os.sep == "\\" or "\\" not in name)


def label_cells(source: Source, album: Album, row: int, label: Any) -> list[str]:
    if source.task == "numbers":
        return [repr(float(number)) for number in label]
    if source.task == "tags" and not label.any():
        return [""]
    return [album.labels[row]]


def columns(source: Source) -> tuple[list[str], list[str]]:
    """The first line, and the flags that say what it means."""
    every = list(source.parts.values())
    labels = list(source.classes) if source.task == "numbers" else ["tags" if source.task == "tags" else "label"]
    flags = ["--task", source.task] if source.task != "classes" or any(map(unclear, source.classes)) else []
    flags += ["--label-column", ",".join(labels)] if source.task == "numbers" else []
    header = ["image", *labels] + ["part"] * ("all" not in source.parts)
    for name, given in (("group", every[0].groups is not None), ("weight", every[0].weights is not None)):
        header += [name] * given
        flags += [f"--{name}-column", name] if given else []
    return header, flags


def unclear(name: str) -> bool:
    """Whether a list would not be sure that this is the name of a class."""
    return APART.search(name) is not None or (amount(name) is not None and not name.isdecimal())


def text_of(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
