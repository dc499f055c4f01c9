"""What the cells of a list say of its pictures: one class each, tags, or numbers."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.parts import (
    Labels,
    LoneClassError,
    PartName,
    StrangeClassError,
    agree,
    check_names,
    resembling,
)
from resnetkit.errors import DataError, UsageError, plain, some
from resnetkit.tasks import TaskName

YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")
BETWEEN = re.compile(r"[;|,\uff0c\uff1b\u3001]")  # tags; the last three are Chinese comma, semicolon and pause mark
FEW = 10  # numbers that are classes without a word: there are as many digits
APART = re.compile(r"[;|]")  # signs that no usual name of a class holds


@dataclass(frozen=True)
class Told:
    """The label cells of one picture, and where they stand."""

    cells: tuple[str, ...]  # one a label column
    where: str  # file and line


Found = Mapping[PartName, Sequence[Told]]
Meant = tuple[TaskName, tuple[str, ...], dict[PartName, Labels], list[str]]  # task, names, labels, notes


def labels_of(
    location: str,
    found: Found,
    columns: Sequence[str],
    *,
    task: str,
    separator: str | None,
    given: Sequence[str] | None,
    order: Callable[[Iterable[str]], Sequence[str]],
) -> Meant:
    """What the label ``columns`` mean: their task, the names of classes, tags or numbers, and the labels of each part.

    ``task`` is what was asked for, or auto; ``given`` are the names that a model knows. DataError names the line.
    """
    notes: list[str] = []
    asked = task
    if task == "auto":
        task = guessed(location, found, columns, notes)
    if len(columns) > 1 or task == "numbers":
        refuse_others(location, columns, given)
    if task == "numbers":
        check_names(location, columns, "numbers")
        names = tuple(columns if given is None else given)
        order_of = [list(columns).index(name) for name in names]
        return "numbers", names, {part: of[:, order_of] for part, of in figures(found, columns).items()}, notes
    if task == "tags":
        if separator is not None and len(columns) > 1:
            raise UsageError("--separator would have no effect: each tag has a column of its own", "leave it out")
        if separator == "":
            raise UsageError("--separator is empty", "write the sign between the tags, or leave it out")
        told = from_columns(found, columns) if len(columns) > 1 else from_cells(found, separator)
        if separator is not None and given is None and not any(separator in cell for cell in every_cell(found)):
            raise UsageError("--separator would have no effect: no label has it", "leave it out, or mend it")
        if len(columns) > 1 and given is None:
            check_names(location, columns, "tags")
        names = tuple(given) if given is not None else tags_of(location, told, columns)
        return "tags", names, places(location, told, names, given is not None), notes
    classes = from_columns(found, columns) if len(columns) > 1 else {part: of_one(of) for part, of in found.items()}
    singles = {part: single(found[part], of) for part, of in classes.items()}
    try:
        names, labels = agree(location, singles, given, order)
    except DataError as error:
        if asked != "auto" or not all(amount(word) is not None for of in singles.values() for word in of):
            raise
        also = f"{error.fix}; --task numbers, if they are amounts"
        if isinstance(error, StrangeClassError):
            raise StrangeClassError(error.what, also, error.known, error.extra) from error
        if isinstance(error, LoneClassError):
            raise LoneClassError(error.what, also, error.only) from error
        raise DataError(error.what, also) from error
    if asked == "auto" and given is None and len(names) > FEW and all(name.isdecimal() for name in names):
        notes.append(
            f"{len(names)} whole numbers are taken for names of classes; --task numbers takes them for amounts"
        )
    return "classes", names, dict(labels), notes


def guessed(location: str, found: Found, columns: Sequence[str], notes: list[str]) -> TaskName:
    """The task that the cells leave no doubt of; DataError where they do."""
    cells = [told.cells for of in found.values() for told in of]
    if len(columns) > 1:
        odd = [{row[i] for row in cells if row[i].lower() not in (*YES, *NO, "-1")} for i in range(len(columns))]
        if all(odd):
            return "numbers"
        if any(odd):
            one, other = (
                next(name for name, of in zip(columns, odd, strict=True) if bool(of) == has) for has in (0, 1)
            )
            cells_of = some(sorted(set().union(*odd)), 2)
            raise DataError(
                f"{location}: {plain(one)} has a yes or no in each line, and {plain(other)} {cells_of}",
                "mend it where they are tags (--task tags names the line), --task numbers learns them as amounts",
            )
        if all(sum(cell.lower() in YES for cell in row) == 1 for row in cells):
            notes.append("every picture has exactly one of the label columns: they are classes; --task tags if not")
            return "classes"
        return "tags"
    words = {row[0] for row in cells}
    fractions = sorted(word for word in words if amount(word) is not None and not word.isdecimal())
    if fractions and all(amount(word) is not None for word in words):
        raise DataError(
            f"{location}: labels such as {some(fractions, 2)} may be amounts or the names of classes",
            "--task numbers learns them as amounts, --task classes as names",
        )
    several = sorted(word for word in words if APART.search(word))
    if several:
        raise DataError(
            f"{location}: labels such as {some(several, 2)} may be several tags or the name of one class",
            "--task tags takes them apart, --task classes does not",
        )
    return "classes"


def amount(cell: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def of_one(of: Sequence[Told]) -> list[set[str]]:
    return [set(told.cells) for told in of]


def from_columns(found: Found, columns: Sequence[str]) -> dict[PartName, list[set[str]]]:
    """Which columns say yes of each picture. Where no cell says 0, a -1 says no, as CelebA has it."""
    marks = {cell.lower() for cell in every_cell(found)}
    no = NO if marks & set(NO) else (*NO, "-1")

    def chosen(told: Told) -> set[str]:
        for name, cell in zip(columns, told.cells, strict=True):
            if cell.lower() not in (*YES, *no):
                raise DataError(f"{told.where}: {plain(name)} is {plain(cell)}", "write 1 or 0 in it")
        return {name for name, cell in zip(columns, told.cells, strict=True) if cell.lower() in YES}

    return {part: [chosen(told) for told in of] for part, of in found.items()}


def from_cells(found: Found, separator: str | None) -> dict[PartName, list[set[str]]]:
    """The tags in each picture's one cell, which may be empty: then it has none."""

    def apart(cell: str) -> set[str]:
        words = BETWEEN.split(cell) if separator is None else cell.split(None if separator == " " else separator)
        return {word.strip() for word in words} - {""}

    return {part: [apart(told.cells[0]) for told in of] for part, of in found.items()}


def single(of: Sequence[Told], chosen: Sequence[set[str]]) -> list[str]:
    """The one class of each picture; DataError where there is none, or more than one."""
    names: list[str] = []
    for told, have in zip(of, chosen, strict=True):
        if len(have) != 1:
            what = some(sorted(have)) if have else "none of the label columns"
            raise DataError(f"{told.where} has {what}", "mark one class a picture, or add --task tags")
        names += have
    return names


def tags_of(location: str, told: Mapping[PartName, Sequence[set[str]]], columns: Sequence[str]) -> tuple[str, ...]:
    """The tags of train: the columns, or in their order the words that its cells hold."""
    first = next((part for part in told if part in ("train", "all")), None)
    if first is None:
        raise DataError(f"{location} has no train part, only {some(told)}", "add a train part")
    if len(columns) > 1:
        return tuple(columns)
    names = tuple(sorted(set().union(*told[first])))
    if not names:
        raise DataError(f"{location}: no picture of {first} has a tag", "give tags to some pictures")
    check_names(location, names, "tags")
    return names


def places(
    location: str, told: Mapping[PartName, Sequence[set[str]]], names: Sequence[str], whose: bool
) -> dict[PartName, Labels]:
    """1 for each tag that a picture has, else 0: float32 (pictures, tags)."""
    rank = {name: i for i, name in enumerate(names)}
    labels: dict[PartName, Labels] = {}
    for part, of in told.items():
        extra = sorted(set().union(*of) - rank.keys())
        if extra:
            raise DataError(
                f"{location}: {part} has tags that {'the model' if whose else 'train'} does not have: "
                f"{some(extra)}{resembling(extra[0], names)}",
                "rename or remove them there",
            )
        table = np.zeros((len(of), len(names)), np.float32)
        for row, have in zip(table, of, strict=True):
            row[[rank[name] for name in have]] = 1
        labels[part] = table
    return labels


def refuse_others(location: str, columns: Sequence[str], given: Sequence[str] | None) -> None:
    """A model's tags or numbers must each have its column, in whatever order, or figures would be of something else."""
    if given is not None and set(given) != set(columns):
        raise DataError(
            f"{location}: its labels are {some(columns, 20)}, and the model says {some(given, 20)}",
            f"--label-column {','.join(map(plain, given))}, or call the columns so in the list",
        )


def every_cell(found: Found) -> Iterator[str]:
    return (cell for of in found.values() for told in of for cell in told.cells)


def figures(found: Found, columns: Sequence[str]) -> dict[PartName, Labels]:
    """The numbers of each picture: float64 (pictures, numbers)."""

    def read(told: Told) -> list[float]:
        values = [amount(cell) for cell in told.cells]
        for name, cell, value in zip(columns, told.cells, values, strict=True):
            if value is None:
                raise DataError(f"{told.where}: {plain(name)} is {plain(cell)}, not a number", "write it as 12.5")
        return [value for value in values if value is not None]

    return {
        part: np.array([read(told) for told in of], np.float64).reshape(-1, len(columns)) for part, of in found.items()
    }


def words_of(task: TaskName, names: Sequence[str], labels: NDArray[Any]) -> list[str]:
    """Each label as a text that is never empty: a class, tags with ; between them, or numbers."""
    if task == "classes":
        return [names[label] for label in labels.tolist()]
    if task == "tags":
        return [";".join(name for name, has in zip(names, row, strict=True) if has) or "-" for row in labels.tolist()]
    return [";".join(map(repr, row)) for row in labels.tolist()]
