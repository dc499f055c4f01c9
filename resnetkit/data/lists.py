"""Pictures named in a list: CSV or TSV with a column of paths, some of labels, and others of parts and groups."""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnetkit.data.decode import Picture, decode, read_file
from resnetkit.data.groups import refuse_parted
from resnetkit.data.labels import Told, amount, labels_of
from resnetkit.data.parts import ORDER, PART_NAMES, Labels, Part, PartName, Source
from resnetkit.data.regular import read_whole
from resnetkit.documents import decoded
from resnetkit.errors import DataError, UsageError, many, nearest, plain, some

SUFFIXES = (".csv", ".tsv")
LIMIT = 1 << 28  # bytes of one list
# What a column is often called; the words after the English ones are Chinese for the same.
IMAGE: tuple[str, ...] = (
    "image",
    "img",
    "path",
    "file",
    "filename",
    "filepath",
    "imagepath",
    "imgpath",
    "picture",
    "\u56fe\u7247",
)
IMAGE += ("\u56fe\u50cf", "\u8def\u5f84", "\u6587\u4ef6", "\u6587\u4ef6\u540d", "\u56fe\u7247\u8def\u5f84")
LABEL: tuple[str, ...] = (
    "label",
    "class",
    "target",
    "category",
    "classname",
    "labelname",
    "\u6807\u7b7e",
    "\u7c7b\u522b",
)
TAGS = ("tag", "tags", "labels", "classes")
PART: tuple[str, ...] = ("split", "part", "set", "subset", "\u5212\u5206")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which column says what; those left open are found by their names. Groups and weights only where asked for."""

    image: str | None = None
    label: str | None = None  # or several, with commas between them
    part: str | None = None
    group: str | None = None
    weight: str | None = None
    task: str = "auto"  # what the label columns hold: classes, tags or numbers
    separator: str | None = None  # of tags in one cell
    must: bool = True  # whether a list without a column of that name is refused; else it counts as left open
    known: "Columns | None" = None  # what a model remembers, for what is left open here

    def asked(self) -> set[str]:
        """The settings that say something."""
        named = ("image", "label", "part", "group", "weight")
        words = {f"{name}_column" for name in named if getattr(self, name) is not None}
        words |= {"task"} if self.task != "auto" else set()
        return words | ({"separator"} if self.separator is not None else set())

    def within(self, header: list[str]) -> "Columns":
        """The columns that can be asked of this list."""
        if self.must and self.known is not None:
            names = [name for name in ("image", "label", "part", "group") if getattr(self, name) is None]
            found = self.known.within(header)
            return replace(self, known=None, **{name: getattr(found, name) for name in names})
        if self.must:
            return self
        kept = {name: word for name in ("image", "part", "group") if (word := getattr(self, name)) in header}
        if self.label is not None:
            kept |= {"label": self.label} if set(label_words(self.label, header)) <= set(header) else {}
        return Columns(**kept, task=self.task, separator=self.separator)


def columns_given(given: object) -> Columns:
    """What is said of columns; UsageError for what is no Columns, such as the name of one."""
    if isinstance(given, Columns):
        return given
    what = f"columns is {given!r:.80}; it takes a Columns (from resnetkit.data.lists import Columns)"
    raise UsageError(what, f"Columns(group={given!r})" if isinstance(given, str) else 'Columns(group="camera")')


@dataclass(frozen=True)
class Line:
    """What a list says of one picture."""

    image: str
    told: Told  # its labels
    labels: tuple[str, ...]  # what the columns of its labels are called
    part: PartName
    group: str | None
    weight: float | None


def list_files(root: Path) -> dict[PartName, Path]:
    """The lists of a folder that are named after parts, such as train.csv; a list alone is all there is."""
    if root.is_file():
        return {"all": root}
    files: dict[PartName, Path] = {}
    for path in sorted(path for path in root.iterdir() if path.suffix.lower() in SUFFIXES):
        part = PART_NAMES.get(path.stem.lower())
        if part in files:
            raise DataError(f"{plain(root)} has both {files[part].name} and {path.name}", "remove one of them")
        if part is not None:
            files[part] = path
    return {part: files[part] for part in ORDER if part in files}


def open_list(root: Path, classes: Sequence[str] | None, max_pixels: int, columns: Columns) -> Source:
    """Find every picture that the lists name, as seen from their folder; nothing is decoded yet."""
    base = root.parent if root.is_file() else root
    lines: dict[PartName, list[Line]] = {}
    for part, path in list_files(root).items():
        for line in read_list(path, part, columns):
            lines.setdefault(line.part, []).append(line)
    lines = {part: lines[part] for part in ORDER if part in lines}
    if not lines:
        raise DataError(f"{plain(root)} names no pictures", "add a line for each picture")
    refuse_all_missing(root, base, lines)
    if columns.must and columns.group is not None:
        refuse_parted(plain(root), {part: [line.group or "" for line in of] for part, of in lines.items()})
    found = {part: [line.told for line in of] for part, of in lines.items()}
    task, names, labels, notes = labels_of(
        plain(root),
        found,
        label_columns(root, lines),
        task=columns.task,
        separator=columns.separator,
        given=classes,
        order=ordered,
    )
    parts = {part: as_part(part, base, of, labels[part], max_pixels) for part, of in lines.items()}
    return Source(plain(root), "list", names, parts, False, notes, task=task)


def label_columns(root: Path, lines: dict[PartName, list[Line]]) -> tuple[str, ...]:
    """What the label columns are called, which must be the same in every list of a folder."""
    called = {line.labels for of in lines.values() for line in of}
    single = {len(names) for names in called} == {1}
    if len(called) > 1 and not single:
        one, other = sorted(called)[:2]
        raise DataError(
            f"{plain(root)}: its lists have other label columns: {some(one)} and {some(other)}", "name them alike"
        )
    return min(called)


def read_list(path: Path, part: PartName, columns: Columns) -> Iterator[Line]:
    """The lines of one list; DataError names the line that is wrong."""
    rows = table(path)
    number, header = next(rows, (1, []))
    places = {word: i for i, word in enumerate(header)}
    if len(places) < len(header):
        raise DataError(f"{plain(path)}: line {number} names a column twice", "give every column its own name")
    asked, columns = columns, columns.within(header)
    if asked.task == "numbers" and asked.label is not None and columns.label is None:
        what = f"{plain(path)} has no columns {plain(asked.label)}, of which the model tells"
        raise DataError(what, "call those that hold the numbers so")
    image = place(path, header, columns.image, IMAGE, "image")
    labels = label_places(path, header, columns.label, columns.task)
    weight = None if columns.weight is None else place(path, header, columns.weight, (), "weight")
    if weight is not None and weight in (image, *labels):
        raise DataError(f"{plain(path)}: {plain(header[weight])} cannot be label and weight", "name another column")
    group = None if columns.group is None else place(path, header, columns.group, (), "group")
    side = None
    if columns.part is not None or (part == "all" and any(known(word, PART) for word in header)):
        if part != "all":
            raise DataError(f"{plain(path)} is the list of {part} already", "leave --part-column out")
        side = place(path, header, columns.part, PART, "part")
    seen: dict[tuple[PartName, str], int] = {}
    for number, cells in rows:
        where = f"{plain(path)}: line {number}"
        if len(cells) != len(header):
            raise DataError(f"{where} has {len(cells)} cells, the first line {len(header)}", "mend that line")
        wanted = {"image": image, "part": side, "group": group, "weight": weight}
        if columns.task != "tags" or len(labels) > 1:  # a picture may have no tag
            wanted |= {f"label in {plain(header[i])}" if len(labels) > 1 else "label": i for i in labels}
        empty = [what for what, i in wanted.items() if i is not None and not cells[i]]
        if empty:
            none = (
                "; --task tags takes pictures without a tag" if empty[0] == "label" and columns.task == "auto" else ""
            )
            raise DataError(f"{where} has no {empty[0]}", f"complete that line, or leave it out{none}")
        into = part if side is None else PART_NAMES.get(cells[side].lower())
        if into is None:
            raise DataError(f"{where} is of the part {plain(cells[side or 0])}", "write train, val or test")
        heavy = None if weight is None else amount(cells[weight])
        if weight is not None and (heavy is None or heavy < 0):
            raise DataError(f"{where} has the weight {plain(cells[weight])}", "write a number of at least 0")
        line = Line(
            cells[image].replace("\\", "/"),
            Told(tuple(cells[i] for i in labels), where),
            tuple(header[i] for i in labels),
            into,
            None if group is None else cells[group],
            heavy,
        )
        before = seen.setdefault((line.part, os.path.normpath(line.image)), number)
        if before != number:
            raise DataError(f"{where} names {plain(line.image)} again, after line {before}", "keep one of the two")
        yield line


def table(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a list with the number of their last line, without empty ones and blanks around cells."""
    text = text_of(path)
    first = text.lstrip().partition("\n")[0]
    sign = "\t" if path.suffix.lower() == ".tsv" else max(",;\t|", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=sign, skipinitialspace=True, strict=True)
    try:
        for row in rows:
            if any(cell.strip() for cell in row):
                yield rows.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise DataError(
            f"{plain(path)}: line {rows.line_num}: {plain(error)}", "mend the quotes of that line"
        ) from error


def text_of(path: Path) -> str:
    text = decoded(read_whole(path, LIMIT))
    if text is None:
        raise DataError(f"{plain(path)} is not text in UTF-8, UTF-16 or GBK", "save it as UTF-8")
    return text


def place(path: Path, header: list[str], asked: str | None, words: tuple[str, ...], what: str) -> int:
    """Which column of the list is the one ``asked`` for, or the only one that is called by one of the ``words``."""
    flag = f"--{what}-column"
    if asked is not None:
        if asked not in header:
            raise DataError(f"{plain(path)} has no column {plain(asked)}{nearest(asked, header)}", listed(header))
        return header.index(asked)
    likely = [i for i, word in enumerate(header) if known(word, words)]
    if not likely:
        raise DataError(f"{plain(path)}: no column of line 1 is known to be the {what}", f"{flag}: {listed(header)}")
    if len(likely) > 1:
        both = " and ".join(plain(header[i]) for i in likely)
        raise DataError(f"{plain(path)}: {both} could each be the {what}", f"{flag} {plain(header[likely[0]])}")
    return likely[0]


def label_places(path: Path, header: list[str], asked: str | None, task: str) -> list[int]:
    """The columns of the labels: the one or the several ``asked`` for, or the one that is called so."""
    if asked is None:
        return [place(path, header, None, LABEL + TAGS if task == "tags" else LABEL, "label")]
    words = label_words(asked, header)
    if len(set(words)) < len(words):
        raise DataError(f"--label-column names a column twice: {plain(asked)}", "name each once")
    return [place(path, header, word, LABEL, "label") for word in words]


def label_words(asked: str, header: list[str]) -> list[str]:
    return [asked] if asked in header else [word.strip() for word in asked.split(",")]


def known(word: str, words: tuple[str, ...]) -> bool:
    return "".join(c for c in word.lower() if c.isalnum()) in words


def listed(header: list[str]) -> str:
    return f"choose from its first line: {some(header, 20)}" if header else "write the names of the columns into line 1"


def ordered(labels: Iterable[str]) -> list[str]:
    """Classes that are numbers by size, others by name."""
    names = set(labels)
    return sorted(names, key=int) if all(name.isdecimal() and name.isascii() for name in names) else sorted(names)


def refuse_all_missing(root: Path, base: Path, lines: dict[PartName, list[Line]]) -> None:
    """Where none of the pictures is there, the paths begin elsewhere: that is one mistake, not many."""
    names = [line.image for of in lines.values() for line in of]
    if not any(os.path.lexists(base / name) for name in names):
        raise DataError(
            f"{plain(root)}: none of its {many(len(names), 'picture')} is there: {some(names, 2)}",
            f"write the paths as seen from {plain(base)}, the folder of the list",
        )


def as_part(part: PartName, base: Path, lines: list[Line], labels: Labels, max_pixels: int) -> Part:
    names = tuple(line.image for line in lines)
    groups = tuple(line.group for line in lines if line.group is not None) or None
    weights = np.array([line.weight for line in lines if line.weight is not None], np.float64)

    def read(i: int) -> Picture:
        return decode(base / names[i], names[i], max_pixels=max_pixels)

    def encoded(i: int) -> bytes:
        return read_file(base / names[i], names[i])

    return Part(part, names, labels, read, encoded, groups, weights if len(weights) else None, base)
