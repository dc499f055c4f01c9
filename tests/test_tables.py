"""Tables line up for every script, and CSV survives every name."""

import csv
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from resnetkit.metrics import class_rows, total
from resnetkit.report.tables import (
    PictureRow,
    class_table,
    cut,
    line_up,
    spell,
    write_confusion,
    write_csv,
    write_epochs,
    write_pictures,
    write_rows,
)

TABLE = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
NAMES = ["cat", "\u732b\u548c\u72d7", "=none"]


def read(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_wide_letters_line_up() -> None:
    rows = class_rows(TABLE, NAMES)
    lines = class_table(rows, total(rows)).splitlines()
    assert len({cell_len(line) for line in lines}) == 1
    assert [line.split()[0] for line in lines if "--" not in line] == ["class", *NAMES, "all"]
    assert lines[-1].split()[1:] == ["7", "3", "0.7000", "0.7083", "0.6970", "10"]


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=4))
def test_any_text_stays_in_its_column(rows: list[tuple[str, str]]) -> None:
    lines = line_up([("first", "second|"), *((first, second + "|") for first, second in rows)], left=1)
    assert all(line.isprintable() for line in lines)
    assert len({cell_len(line) for line in lines}) == 1
    assert all(line.endswith("|") for line in lines)


def test_many_classes_show_the_weakest() -> None:
    names = [f"c{i}" for i in range(50)]
    table = np.diag(np.arange(50)) + np.eye(50, k=1, dtype=int)
    table[7] = 0  # never asked, so not weak
    rows = class_rows(table, names)
    text = class_table(rows, total(rows), most=3)
    shown = [line.split()[0] for line in text.splitlines()]
    weakest = [row.name for row in sorted(rows, key=lambda row: row.f1) if row.support][:3]
    assert shown[2:5] == weakest
    assert "c7" not in shown
    assert text.endswith("the 3 weakest of 50 classes by F1")
    assert "weakest" not in class_table(rows, total(rows), most=50)


def test_long_names_keep_both_ends() -> None:
    assert cut("n" * 50 + "1", 20) == "n" * 9 + "..." + "n" * 7 + "1"
    assert cell_len(cut("\u732b" * 50, 21)) <= 21
    assert cut("x" * 20, 20) == "x" * 20


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("=cmd()", "'=cmd()"),
        ("+1", "'+1"),
        ("-a.jpg", "'-a.jpg"),
        ("@SUM", "'@SUM"),
        ("  =1", "'  =1"),
        ("\uff1d1", "'\uff1d1"),
        ("a=b", "a=b"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("caf\udce9", "caf\\udce9"),
        ("\u732b", "\u732b"),
        (None, ""),
        (True, "true"),
        (False, "false"),
        (-3, "-3"),
        (-0.5, "-0.5"),
        (2 / 3, "0.666667"),
        (1e-7, "1e-07"),
    ],
)
def test_cells(cell: str | float | bool | None, text: str) -> None:
    assert spell(cell) == text


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=4))
def test_csv_reads_back_and_holds_no_formula(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "any.csv"
    write_csv(path, ["a", "b"], rows)
    assert read(path) == [["a", "b"], *([spell(cell) for cell in row] for row in rows)]
    assert path.read_bytes().count(b"\n") == len(rows) + 1
    assert not any(cell.strip().startswith(("=", "+", "-", "@")) for row in read(path) for cell in row)


def test_per_class_csv(tmp_path: Path) -> None:
    rows = class_rows(TABLE, NAMES)
    write_rows(tmp_path / "per_class.csv", rows, total(rows))
    header, *body = read(tmp_path / "per_class.csv")
    assert header == ["class", "correct", "incorrect", "precision", "recall", "f1", "average_precision", "support"]
    assert body[1] == ["\u732b\u548c\u72d7", "4", "2", "0.8", "0.666667", "0.727273", "", "6"]
    assert [row[0] for row in body] == ["cat", "\u732b\u548c\u72d7", "'=none", "all"]
    for place in (1, 2, 7):
        assert sum(int(row[place]) for row in body[:-1]) == int(body[-1][place])


def test_confusion_csv(tmp_path: Path) -> None:
    write_confusion(tmp_path / "confusion_matrix.csv", TABLE, NAMES)
    header, *body = read(tmp_path / "confusion_matrix.csv")
    assert header == ["true\\predicted", "cat", "\u732b\u548c\u72d7", "'=none"]
    assert [list(map(int, row[1:])) for row in body] == TABLE.tolist()
    assert [row[0] for row in body] == header[1:]


def test_predictions_csv(tmp_path: Path) -> None:
    rows = [
        PictureRow("cat/1.jpg", "cat", "dog", False, 0.75, 1.5),
        PictureRow("-x.jpg", None, "dog", None, 0.5, None),
        PictureRow("cat/bad\n.jpg", "cat", None, None, None, None, "it is empty"),
    ]
    write_pictures(tmp_path / "predictions.csv", rows)
    assert read(tmp_path / "predictions.csv") == [
        ["path", "label", "predicted", "correct", "probability", "loss", "error"],
        ["cat/1.jpg", "cat", "dog", "false", "0.75", "1.5", ""],
        ["'-x.jpg", "", "dog", "", "0.5", "", ""],
        ["cat/bad\\n.jpg", "cat", "", "", "", "", "it is empty"],
    ]


def test_results_csv(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    write_epochs(path, [{"epoch": 1, "val_loss": 0.5}, {"val_loss": 0.25, "epoch": 2}])
    assert path.read_bytes() == b"epoch,val_loss\n1,0.5\n2,0.25\n"
    with pytest.raises(KeyError):
        write_epochs(path, [{"epoch": 1, "val_loss": 0.5}, {"epoch": 2}])
    assert path.read_text() == "epoch,val_loss\n1,0.5\n2,0.25\n"


def test_a_mark_is_not_cut_from_its_letter() -> None:
    name = "a" * 30 + "\u0e19\u0e49" * 12
    for widest in range(10, 40):
        end = cut(name, widest).rpartition("...")[2]
        assert not end or unicodedata.category(end[0])[0] != "M"
