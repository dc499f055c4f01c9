"""Which pictures are held out of training to choose by: decided for each picture alone, and written down."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from resnetkit import dice
from resnetkit.data.parts import Labels
from resnetkit.errors import DataError, plain, some
from resnetkit.files import write_text
from resnetkit.tasks import TaskName

HEADER = ("part", "class", "name", "digest")
STRATA = 10  # of numbers
RISKY = ("=", "+", "-", "@", "'")  # a spreadsheet would compute with a cell that begins so


class Row(NamedTuple):
    """Where one picture went; ``digest`` is a hash of its stored bytes."""

    part: str
    label: str
    name: str
    digest: str


def carve(
    names: Sequence[str],
    labels: Labels,
    classes: Sequence[str],
    *,
    share: float,
    seed: int,
    groups: Sequence[str] | None = None,
    task: TaskName = "classes",
    fold: tuple[int, int] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places of the pictures to train on and of those held out, both ascending.

    Of each class the same share, at least one picture and never all, is held out: those with the lowest
    number at the address (seed, class, name). The order of the pictures does not matter. With ``groups``
    whole groups are held out, and the shares are only about that. Pictures with tags or numbers are parted in strata.
    With ``fold`` k of n, in place of the share: each picture, or group, is held out by one of the n alone.
    """
    if task != "classes":
        labels, classes = strata(labels, task)
    if groups is not None:
        return carve_groups(groups, labels, classes, share=share, seed=seed, fold=fold)
    counts = np.bincount(labels, minlength=len(classes))
    if fold is not None:
        refuse_few(counts, classes, fold[1], "pictures")
    lonely = [name for name, count in zip(classes, counts, strict=True) if count == 1]
    if lonely:
        raise DataError(
            f"only one picture of {some(lonely)}: none can be held out to validate with",
            "add pictures of it, or make a val folder",
        )
    held = []
    for label, name in enumerate(classes):
        places = np.flatnonzero(labels == label).tolist()
        # ascii: the address of a name must not depend on the Unicode tables of a Python version
        keys = {i: (dice.address(seed, "val", ascii(name), ascii(names[i])), names[i]) for i in places}
        order = sorted(keys, key=keys.__getitem__)
        if fold is None:
            held += order[: held_out(len(places), share)]
        else:  # classes begin with one fold each in turn, so that none gets all that is left over
            held += order[(fold[0] - 1 - label) % fold[1] :: fold[1]]
    val = np.array(sorted(held), np.int64)
    return np.setdiff1d(np.arange(len(labels), dtype=np.int64), val), val


def refuse_few(counts: NDArray[np.int64], classes: Sequence[str], folds: int, what: str) -> None:
    """DataError where a class cannot be in every fold."""
    few = [name for name, count in zip(classes, counts, strict=True) if 0 < count < folds]
    if few:
        least = min(int(count) for count in counts if count)
        fix = f"at most {least} folds" if least > 1 else "add some"
        raise DataError(f"{some(few)} has fewer than {folds} {what}: not one for each fold", fix)


def strata(labels: Labels, task: TaskName) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Kinds of pictures to hold out the same share of: by the rarest of their tags, or by the tenth of their number.

    A kind of which there are fewer than two joins the largest.
    """
    if task == "tags":
        counts = labels.sum(0)
        rarity = np.where(labels > 0, counts, np.inf)
        kinds = np.where(labels.any(1), rarity.argmin(1), labels.shape[1])
    else:
        rank = labels[:, 0].argsort(kind="stable").argsort(kind="stable")
        kinds = rank * min(STRATA, max(1, len(labels) // STRATA)) // max(1, len(labels))
    sizes = np.bincount(kinds)
    kinds = np.where(sizes[kinds] < 2, sizes.argmax(), kinds)
    _, kinds = np.unique(kinds, return_inverse=True)
    return kinds.astype(np.int64), tuple(f"{task} {i}" for i in range(int(kinds.max()) + 1))


def carve_groups(
    groups: Sequence[str],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    share: float,
    seed: int,
    fold: tuple[int, int] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """As carve, by whole groups: in the order of their addresses, each that brings the shares nearer is held out.

    No class loses all its pictures to one side, which takes two groups of each: DataError where there are not.
    """
    names, member = np.unique(np.array(groups, object), return_inverse=True)
    table = np.zeros((len(names), len(classes)), np.int64)  # pictures of each group by class
    np.add.at(table, (member, labels), 1)
    lonely = [name for name, count in zip(classes, (table > 0).sum(0), strict=True) if count == 1]
    if lonely:
        raise DataError(f"all pictures of {some(lonely)} are in one group", "add groups, or make a val part")
    counts = table.sum(0)
    if fold is not None:
        refuse_few((table > 0).sum(0), classes, fold[1], "groups")
        chosen = folds_of(names, table, seed, fold[1]) == fold[0] - 1
        missing = [
            name for name, got, count in zip(classes, table[chosen].sum(0), counts, strict=True) if count and not got
        ]
        if missing:
            raise DataError(f"no group with {some(missing)} falls into fold {fold[0]} of {fold[1]}", "fewer folds")
        return np.flatnonzero(~chosen[member]), np.flatnonzero(chosen[member])
    wanted = np.array([held_out(int(count), share) for count in counts])
    held, chosen = np.zeros(len(classes), np.int64), np.zeros(len(names), bool)
    order = sorted(range(len(names)), key=lambda i: (dice.address(seed, "val group", ascii(names[i])), names[i]))
    for needed in (False, True):  # first for the shares, then for classes that no chosen group has
        for i in order:
            after, here = held + table[i], table[i] > 0
            nearer = np.abs(wanted - after).sum() < np.abs(wanted - held).sum()
            helps = bool((held[here] == 0).any()) if needed else nearer
            if not chosen[i] and helps and (after[here] < counts[here]).all():
                chosen[i], held = True, after
    missing = [name for name, got, count in zip(classes, held, counts, strict=True) if count and not got]
    if missing:
        raise DataError(f"no group with {some(missing)} can be held out to validate with", "make a val part")
    return np.flatnonzero(~chosen[member]), np.flatnonzero(chosen[member])


def folds_of(names: NDArray[Any], table: NDArray[np.int64], seed: int, folds: int) -> NDArray[np.int64]:
    """Which fold each group goes to, counted from 0: the largest first, each to where its classes are rarest yet."""
    counts = np.maximum(table.sum(0), 1)
    held, chosen = np.zeros((folds, table.shape[1])), np.zeros(len(names), np.int64)
    order = sorted(
        range(len(names)), key=lambda i: (-int(table[i].sum()), dice.address(seed, "fold", ascii(names[i])), names[i])
    )
    for i in order:
        chosen[i] = (held * (table[i] / counts)).sum(1).argmin()
        held[chosen[i]] += table[i] / counts
    return chosen


def held_out(count: int, share: float) -> int:
    return min(max(round(share * count), 1), count - 1) if count else 0


def write_split(path: Path, rows: Iterable[Row]) -> None:
    """One line a picture; names that could harm a terminal or a spreadsheet are written escaped."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([escaped(cell) for cell in row] for row in rows)
    write_text(path, text.getvalue())


def read_split(path: Path) -> list[Row]:
    """The rows as they were given to ``write_split``; raises DataError naming the line that is wrong."""
    fix = "write the split again, or leave it as it was written"
    rows: dict[tuple[str, ...], Row] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            if tuple(next(reader, ())) != HEADER:
                raise DataError(f"{plain(path)}: line 1 is not {','.join(HEADER)}", fix)
            for cells in reader:
                if len(cells) != len(HEADER) or not all(cells):
                    raise DataError(f"{plain(path)}: line {reader.line_num} does not have {len(HEADER)} values", fix)
                row = Row(*map(unescaped, cells))
                if row[:3] in rows:
                    raise DataError(f"{plain(path)}: line {reader.line_num} repeats {plain(row.name)}", fix)
                rows[row[:3]] = row
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"{plain(path)} cannot be read: {error}", fix) from error
    return list(rows.values())


def escaped(cell: str) -> str:
    text = "".join(c if c.isprintable() and c != "\\" else spelt(c) for c in cell)
    return "'" + text if text.startswith(RISKY) else text


def unescaped(cell: str) -> str:
    text = cell.removeprefix("'")
    return re.sub(
        r"\\([\\nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})",
        lambda match: match[0].encode().decode("unicode_escape"),
        text,
    )


def spelt(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
