"""A list of the pictures without the worst trouble, to train on in place of the source. No picture is touched."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resnetkit.data.labels import APART, amount
from resnetkit.data.parts import PART_NAMES, Source
from resnetkit.errors import UsageError, plain
from resnetkit.files import check_target, write_text
from resnetkit.trouble.finding import Album, Checkup, Cleaned

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
    all but those in test, or in val where test has none; where there are no parts yet, later copies.
    """
    refuse(path, source)
    why, album = dict(left_out(found)), Album.of(source)
    rows: list[list[str]] = []
    row = -1
    for part in source.parts.values():
        assert part.folder is not None
        for i, name in enumerate(part.names):
            row += 1
            shown = os.path.relpath(part.folder / name, path.absolute().parent)
            if row not in why and not can_stand(shown):
                why[row] = "its name cannot stand in a list: rename it"
            if row in why:
                continue
            cells = [shown.replace(os.sep, "/"), *label_cells(source, album, row, part.labels[i])]
            cells += [part.name] if part.name != "all" else []
            cells += [part.groups[i]] if part.groups is not None else []
            cells += [repr(float(part.weights[i]))] if part.weights is not None else []
            rows.append(cells)
    header, flags = columns(source)
    write_text(path, text_of([header, *rows]))
    listed = [(album.paths[row], why[row]) for row in sorted(why)]
    if listed:
        write_text(beside(path), text_of([["image", "why"], *([plain(name), words] for name, words in listed)]))
    command = ("resnet", "train", str(path), *flags)
    return Cleaned(path, len(rows), tuple(listed), beside(path) if listed else None, command)


def left_out(found: Checkup) -> Iterator[tuple[int, str]]:
    """Rows, and why each is left out; one may come twice."""
    starts, at = {}, 0
    for name, count in found.sizes.items():
        starts[name] = range(at, at + count)
        at += count
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
