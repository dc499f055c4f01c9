"""Figures in rows: lined up for people, escaped in CSV for spreadsheets and programs."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size

from resnetkit.errors import plain
from resnetkit.files import write_text
from resnetkit.metrics import ClassRow, Counts, NumberRow, TagRow

if TYPE_CHECKING:
    from resnetkit.slices import Slice  # which brings scipy, and the rows of predictions come without

Cell = str | float | bool | None

# What a spreadsheet takes for a formula; the last four are the same signs as Chinese and Japanese keyboards type them.
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


class PictureRow(NamedTuple):
    """The answer to one picture; what is not known is None."""

    path: str
    label: str | None
    predicted: str | None
    correct: bool | None
    probability: float | None  # of the predicted class
    loss: float | None  # cross-entropy of the label in nats: high where the network is sure of another class
    error: str | None = None  # why there is no answer


def class_table(rows: Sequence[ClassRow], total: ClassRow, most: int | None = None) -> str:
    """The figures of each class and of all, for people; with more than ``most`` classes the weakest by F1."""
    shown = rows
    if most is not None and len(rows) > most:
        shown = sorted(rows, key=lambda row: (row.support == 0, row.f1))[:most]
    header = ["class", "correct", "incorrect", "precision", "recall", "F1", "AP", "support"]
    lines = line_up([header, *([*figures(row)] for row in [*shown, total])])
    rule = "-" * max(map(cell_len, lines))
    left_out = [f"the {len(shown)} weakest of {len(rows)} classes by F1"] if len(shown) < len(rows) else []
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *left_out])


def figures(row: ClassRow | TagRow) -> Iterable[str]:
    yield row.name
    yield from (str(row.correct), str(row.incorrect))
    yield from (f"{share:.4f}" for share in (row.precision, row.recall, row.f1))
    yield "" if row.average_precision is None else f"{row.average_precision:.4f}"
    yield str(row.support)


def tag_table(rows: Sequence[TagRow], total: TagRow) -> str:
    """The figures of each tag and of all, for people."""
    header = ["tag", "correct", "incorrect", "precision", "recall", "F1", "AP", "support"]
    lines = line_up([header, *([*figures(row)] for row in [*rows, total])])
    rule = "-" * max(map(cell_len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def number_table(rows: Sequence[NumberRow]) -> str:
    """The figures of each number, for people."""
    header = ["number", "MAE", "RMSE", "R2", "mean", "deviation"]
    cells = (
        [f"{row.name}", *(f"{x:.4g}" for x in (row.mae, row.rmse, row.r2, row.mean, row.deviation))] for row in rows
    )
    lines = line_up([header, *cells])
    return "\n".join([lines[0], "-" * max(map(cell_len, lines)), *lines[1:]])


def slice_table(found: Sequence["Slice"]) -> str:
    """Accuracy of parts of the pictures, for people."""
    header = ["", "pictures", "accuracy", "from", "to"]
    rows = (
        [f"{one.kind}: {one.name}", str(one.n), *(f"{x:.2%}" for x in (one.accuracy, one.low, one.high))]
        for one in found
    )
    return "\n".join(line_up([header, *rows], widest=60))


def line_up(rows: Sequence[Sequence[str]], left: int = 1, widest: int = 40) -> list[str]:
    """Rows as lines with their columns lined up on a terminal, the first ``left`` columns to the left.

    Wide letters count as the two cells they take. Control characters are spelt out, long cells cut.
    """
    cells = [[cut(plain(cell), widest) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        padded = [cell + gap if i < left else gap + cell for i, (cell, gap) in enumerate(zip(row, gaps, strict=True))]
        lines.append("  ".join(padded).rstrip())
    return lines


def cut(text: str, widest: int) -> str:
    """``text``, or its two ends where it is too wide: long names often differ in the last few letters."""
    if cell_len(text) <= widest:
        return text
    tail = (widest - 3) // 2
    end = set_cell_size(text[::-1], tail)[::-1].lstrip()
    while end and unicodedata.category(end[0]).startswith("M"):  # it belongs to a letter that is not there
        end = end[1:]
    return set_cell_size(text, widest - 3 - tail).rstrip() + "..." + end


def write_rows(path: Path, rows: Sequence[ClassRow | TagRow | NumberRow], *total: ClassRow | TagRow) -> None:
    """per_class.csv, per_tag.csv or per_number.csv: a row each, and all of them in the last."""
    one = path.stem.removeprefix("per_")
    header = [one, *(name for name in vars(rows[0]) if name != "name")]
    write_csv(path, header, ([*vars(row).values()] for row in [*rows, *total]))


def write_pictures(path: Path, rows: Iterable[PictureRow]) -> None:
    """predictions.csv: a row a picture, in their order."""
    write_csv(path, PictureRow._fields, rows)


def write_confusion(path: Path, confusion: Counts, names: Sequence[str]) -> None:
    """confusion_matrix.csv: a row a true class, a column a predicted one."""
    rows = ([name, *counts] for name, counts in zip(names, confusion.tolist(), strict=True))
    write_csv(path, ["true\\predicted", *names], rows)


def write_epochs(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """results.csv: a row an epoch, all with the columns of the first."""
    header = list(rows[0]) if rows else []
    write_csv(path, header, ([row[name] for name in header] for row in rows))


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Cell]]) -> None:
    """UTF-8, commas, one line a row. Text that a spreadsheet would run as a formula gets a quote in front."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(spell, header))
    writer.writerows(map(spell, row) for row in rows)
    write_text(path, out.getvalue())


def spell(cell: Cell) -> str:
    """A cell as CSV holds it: a share with six digits, true or false in lower case, nothing for None."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case int():
            return str(cell)
        case float():
            return f"{cell:.6g}"
    text = plain(cell)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
