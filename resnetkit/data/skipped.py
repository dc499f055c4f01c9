"""Pictures that cannot be read and are left out of a run: which they are and why, said and written down."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import MAX_BYTES, opened
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Part, PartName, Source, subset
from resnetkit.data.split import escaped, unescaped
from resnetkit.data.survey import Survey, digest_of, stored_digest
from resnetkit.errors import DataError, many, plain, some
from resnetkit.files import write_text

FILE = "skipped.csv"
HEADER = ("part", "class", "path", "why", "digest")
Places = dict[str, tuple[PartName, NDArray[np.int64]]]  # of each part of a run: in which of the source, and where


class Skipped(NamedTuple):
    """One picture that is left out; ``digest`` hashes its stored bytes, "" where they cannot be had or are too many."""

    part: str
    label: str
    path: str
    why: str
    digest: str


def skip(source: Source, seen: Survey, laid: Places) -> tuple[Places, list[Skipped]]:
    """The pictures of each part that can be read, and the others. Which part a picture is in does not change.

    Raises DataError where nothing is left of a part, or of a class or tag to learn from.
    """
    if not seen.bad:
        return laid, []
    places: Places = {}
    skipped: list[Skipped] = []
    errors = dict(zip(np.flatnonzero(~seen.readable).tolist(), (error.what for _, error in seen.bad), strict=True))
    for name, (whole, index) in laid.items():
        part, first = source.parts[whole], seen.rows[whole].start
        good = seen.readable[first + index]
        lost = index[~good].tolist()
        words = words_of(source.task, source.classes, part.labels[lost])
        skipped += [
            Skipped(name, word, part.names[i], errors[first + i], any_digest(part, i))
            for i, word in zip(lost, words, strict=True)
        ]
        if not good.any():
            reasons = some([one.why for one in skipped if one.part == name], 3)
            what = f"{source.location}: none of the {many(len(index), 'picture')} of {name} can be read: {reasons}"
            raise DataError(what, "give pictures that can be read")
        places[name] = whole, index[good]
    refuse_lost(source, laid, places)
    return places, skipped


def any_digest(part: Part, i: int) -> str:
    """The hash of a picture's bytes, or of a file that is no picture; "" where it cannot be opened or is too large."""
    if (digest := stored_digest(part, i)) or part.folder is None:
        return digest
    try:
        with opened(part.folder / part.names[i], part.names[i], "picture") as (file, size):
            return digest_of(file.readall()) if size <= MAX_BYTES else ""
    except DataError:
        return ""


def refuse_lost(source: Source, laid: Places, places: Places) -> None:
    """DataError where train had pictures of a class or tag, of which none can be read."""
    if source.task == "numbers":
        return
    before, after = (learned(source, *of["train"]) for of in (laid, places))
    if gone := [name for i, name in enumerate(source.classes) if i in before - after]:
        what = f"{source.location}: none of the pictures of {some(gone)} to train on can be read"
        kind = "tag" if source.task == "tags" else "class"
        raise DataError(what, f"mend them, add others, or take the {kind} out of the data")


def learned(source: Source, whole: PartName, index: NDArray[np.int64]) -> set[int]:
    """The classes or tags that some of these pictures have."""
    labels = source.parts[whole].labels[index]
    return set((np.flatnonzero(labels.any(0)) if source.task == "tags" else labels).tolist())


def readable_of(source: Source, seen: Survey) -> Source:
    """The source without the pictures that cannot be read."""
    if not seen.bad:
        return source
    kept = {name: np.flatnonzero(seen.readable[seen.rows[name]]) for name in source.parts}
    return replace(source, parts={name: subset(part, kept[name]) for name, part in source.parts.items()})


def counted(skipped: Iterable[Skipped]) -> dict[str, dict[str, int]]:
    """How many of each part, for whatever describes the data; nothing where none is skipped."""
    counts = dict(Counter(one.part for one in skipped))
    return {"skipped": counts} if counts else {}


def said(skipped: Sequence[Skipped], pictures: int) -> str:
    """How many of how many pictures, and the first of them."""
    one = len(skipped) == 1
    what = f"{'one' if one else f'{len(skipped):,}'} of {pictures:,} pictures cannot be read and "
    return f"{what}{'is' if one else 'are'} skipped: {some([one.why for one in skipped], 3)}"


def write_skipped(path: Path, skipped: Iterable[Skipped]) -> None:
    """One line a picture, written as in a split."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([escaped(cell) for cell in row] for row in skipped)
    write_text(path, text.getvalue())


def read_skipped(path: Path) -> list[Skipped]:
    """The rows as they were written, none where there is no file; raises DataError naming the line that is wrong."""
    fix = "put the file back as it was written"
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            if tuple(next(reader, ())) != HEADER:
                raise DataError(f"{plain(path)}: line 1 is not {','.join(HEADER)}", fix)
            rows = []
            for cells in reader:
                if len(cells) != len(HEADER) or not all(cells[:-1]):
                    raise DataError(f"{plain(path)}: line {reader.line_num} does not have {len(HEADER)} values", fix)
                rows.append(Skipped(*map(unescaped, cells)))
            return rows
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{plain(path)} cannot be read: {error}", fix) from error
