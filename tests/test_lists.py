"""Lists of pictures: every spelling of a CSV file that people have, and every way in which one can be wrong."""

import codecs
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from command import Result, resnet
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import folder, noise

from resnetkit import cli
from resnetkit.classifier import load
from resnetkit.data.lists import Columns
from resnetkit.data.parts import Source
from resnetkit.data.sources import open_source
from resnetkit.data.split import carve
from resnetkit.errors import DataError, UsageError
from resnetkit.inputs import expand
from resnetkit.run import Run
from resnetkit.training import Done, training

ROWS = [("a/1.png", "cat"), ("a/2.png", "dog"), ("b/3.png", "cat"), ("b/4.png", "dog")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path, *(name for name, _ in ROWS))


def write(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def said(source: Source, part: str = "all") -> list[tuple[str, str]]:
    of = source.parts[part]  # type: ignore[index]
    return [(name, source.classes[label]) for name, label in zip(of.names, of.labels, strict=True)]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_any_of_the_usual_signs_parts_the_cells(root: Path, sign: str) -> None:
    source = open_source(write(root / "list.csv", *(sign.join(row) for row in [("path", "label"), *ROWS])))
    assert said(source) == ROWS
    assert source.classes == ("cat", "dog")
    assert source.parts["all"].read(0).pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_chinese_names_in_every_encoding_that_excel_writes(root: Path, encoding: str) -> None:
    names = ["\u732b", "\u72d7"]
    lines = [f"{path},{names[label == 'dog']}" for path, label in ROWS]
    source = open_source(write(root / "list.csv", "\u56fe\u7247,\u6807\u7b7e", *lines, encoding=encoding))
    assert set(source.classes) == set(names)


def test_quotes_blanks_empty_lines_and_windows_paths_are_understood(root: Path) -> None:
    file = root / "list.csv"
    file.write_bytes(b'"File Name", Class Name\r\n\r\n"a\\1.png", "big, cat"\r\n b/4.png ,dog\r\n,\r\n')
    assert said(open_source(file)) == [("a/1.png", "big, cat"), ("b/4.png", "dog")]


def test_numbers_are_classes_in_the_order_of_their_size(root: Path) -> None:
    numbers = ("10", "9", "2", "9")
    lines = [f"{name}\t{number}" for (name, _), number in zip(ROWS, numbers, strict=True)]
    source = open_source(write(root / "list.tsv", "path\tlabel", *lines))
    assert source.classes == ("2", "9", "10")


def test_a_column_tells_the_parts(root: Path) -> None:
    sides = ("Train", "train", "valid", "test")
    lines = [f"{name},{label},{side}" for (name, label), side in zip(ROWS, sides, strict=True)]
    source = open_source(write(root / "list.csv", "path,label,split", *lines))
    assert [(part, len(of.names)) for part, of in source.parts.items()] == [("train", 2), ("val", 1), ("test", 1)]


def test_a_folder_of_lists_named_after_parts(root: Path) -> None:
    write(root / "train.csv", "path,label", "a/1.png,cat", "a/2.png,dog")
    write(root / "test.csv", "path,label", "b/3.png,cat")
    source = open_source(root)
    assert said(source, "train") == ROWS[:2]
    assert said(source, "test") == ROWS[2:3]
    write(root / "valid.tsv", "path\tlabel", "b/4.png\tbird")
    with pytest.raises(DataError, match="bird"):
        open_source(root)


def test_columns_are_found_by_name_or_asked_for(root: Path) -> None:
    file = write(root / "list.csv", "id,where,kind,label,class", *(f"7,{n},{k},x,y" for n, k in ROWS))
    assert said(open_source(file, columns=Columns(image="where", label="kind"))) == ROWS
    with pytest.raises(DataError, match="label and class could each be") as error:
        open_source(file, columns=Columns(image="where"))
    assert error.value.fix == "--label-column label"
    with pytest.raises(DataError, match="no column of line 1 is known to be the image"):
        open_source(file)
    with pytest.raises(DataError, match="has no column kinds; did you mean kind"):
        open_source(file, columns=Columns(image="where", label="kinds"))
    assert said(open_source(file, columns=Columns(image="where", label="kind", group="no", must=False))) == ROWS


WRONG = {
    "empty": (b"", "no column of line 1"),
    "header alone": (b"path,label\n", "names no pictures"),
    "no label": (b"path,label\na/1.png,\n", "line 2 has no label"),
    "no path": (b"path,label\n,cat\n", "line 2 has no image"),
    "short line": (b"path,label\na/1.png,cat\na/2.png\n", "line 3 has 1 cells"),
    "long line": (b"path,label\na/1.png,cat,x\n", "line 2 has 3 cells"),
    "twice": (b"path,label\na/1.png,cat\na/2.png,dog\na/1.png,dog\n", "line 4 names a/1.png again, after line 2"),
    "part": (b"path,label,split\na/1.png,cat,tran\n", "line 2 is of the part tran"),
    "no part": (b"path,label,split\na/1.png,cat,\n", "line 2 has no part"),
    "columns": (b"path,path\na/1.png,cat\n", "names a column twice"),
    "quote": (b'path,label\n"a/1.png,cat\n', "line"),
    "after quote": (b'path,label\n"a/1.png"x,cat\n', "line 2"),
    "binary": (b"path,label\n\0\0\xff\xfe", "is not text"),
    "bad bytes": (b"path,label\na/1.png,\xff\xff\n", "is not text"),
    "half utf-16": (codecs.BOM_UTF16_LE + b"p", "is not text"),
    "picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not text"),
    "one class": (b"path,label\na/1.png,cat\na/2.png,cat\n", "one class"),
    "none there": (b"path,label\nx/1.png,cat\nx/2.png,dog\n", "none of its 2 pictures is there"),
    "twins": (b"path,label\na/1.png,cat\na/2.png,Cat\n", "differ only in case"),
    "one column": (b"a/1.png\na/2.png\n", "no column of line 1"),
    "long cell": (b"path,label\n" + b"x" * 200_000 + b",cat\n", "line 2"),
    "folder": (b"path,label\na,cat\nb,dog\n", ""),
    "control": (b"path,label\n\x1b[31m,cat\n", "none of its 1 picture is there"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_named_with_its_line(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, words = WRONG[kind]
    (root / "list.csv").write_bytes(content)
    monkeypatch.chdir(root)
    code = cli.main(["train", "list.csv", "--epochs", "1", "--out", "run"])
    answer = Result(code, *capsys.readouterr())
    assert answer.code == 3, answer.err
    assert words in answer.err
    assert answer.err.startswith("error: ")
    assert "fix: " in answer.err
    assert "\x1b" not in answer.err
    assert not (root / "run").exists()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text("ab,;\"'\n\r\t\0\ufeff\u732b", max_size=80).map(str.encode))
def test_no_bytes_are_read_with_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "fuzz.csv"
    for start in (b"", b"path,label\n"):
        file.write_bytes(start + content)
        with pytest.raises(DataError):
            open_source(file)


def test_two_lists_of_one_part_and_lists_beside_class_folders_are_refused(root: Path) -> None:
    write(root / "train.csv", "path,label", "a/1.png,cat", "a/2.png,dog")
    (root / "train").mkdir()
    with pytest.raises(DataError, match="lists of pictures and a train folder"):
        open_source(root)
    (root / "train").rmdir()
    write(root / "train.tsv", "path\tlabel", "a/1.png\tcat")
    with pytest.raises(DataError, match=r"both train\.csv and train\.tsv"):
        open_source(root)
    (root / "train.tsv").unlink()
    with pytest.raises(DataError, match="is the list of train already"):
        open_source(root, columns=Columns(part="label"))


# Groups


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=60), st.integers(0, 99))
def test_no_group_is_parted_and_no_class_lost(pairs: Sequence[tuple[int, int]], seed: int) -> None:
    pairs = [*pairs, *((group, label) for group in (20, 21, 22) for label in range(3))]
    groups, labels = [str(group) for group, _ in pairs], np.array([label for _, label in pairs])
    names = [str(i) for i in range(len(pairs))]
    train, val = carve(names, labels, ["a", "b", "c"], share=0.3, seed=seed, groups=groups)
    assert sorted([*train, *val]) == list(range(len(pairs)))
    assert not {groups[i] for i in train} & {groups[i] for i in val}
    assert set(labels[train]) == set(labels[val]) == {0, 1, 2}


def test_groups_are_held_out_by_about_their_share() -> None:
    labels, groups = np.arange(1000) % 5, [str(i // 10) for i in range(1000)]
    held = [
        len(carve([str(i) for i in range(1000)], labels, list("abcde"), share=0.2, seed=seed, groups=groups)[1])
        for seed in range(5)
    ]
    assert held == [200] * 5


def test_a_class_in_one_group_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="all pictures of b are in one group"):
        carve(list("123"), np.array([0, 0, 1]), ["a", "b"], share=0.5, seed=0, groups=["x", "y", "y"])


def test_a_group_in_two_parts_is_refused(root: Path) -> None:
    sides = ("train", "train", "val", "test")
    lines = [f"{n},{k},{side},p{i % 3}" for i, ((n, k), side) in enumerate(zip(ROWS, sides, strict=True))]
    file = write(root / "list.csv", "path,label,split,patient", *lines)
    with pytest.raises(DataError, match="1 group is in train and in test: p0"):
        open_source(file, columns=Columns(group="patient"))
    assert len(open_source(file).parts) == 3
    lines = [f"{n},{k},{'train' if i < 2 else 'val'},p{i}" for i, (n, k) in enumerate(ROWS)]
    write(file, "path,label,split,patient", *lines)
    answer = resnet(
        *("train", file, "--group-column", "patient", "--model", "resnet20", "--steps", "1", "--out", root / "run"),
    )
    assert answer.code == 0, answer.err
    assert json.loads((root / "run" / "metrics.json").read_bytes())["intervals"]["over"] == "groups"


def test_one_file_spelt_in_two_ways_is_one_file(root: Path) -> None:
    file = write(root / "list.csv", "path,label", "a/1.png,cat", "a/2.png,dog", "./a//1.png,dog")
    with pytest.raises(DataError, match="line 4 names"):
        open_source(file)


# From end to end


def test_a_list_trains_and_evaluates_and_its_columns_are_remembered(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    root = folder(tmp_path / "data")
    root.mkdir()
    lines = ["where,what,patient"]
    for i, (image, digit) in enumerate(zip(*load_digits(n_class=2, return_X_y=True), strict=True)):
        if i < 120:
            from PIL import Image

            Image.fromarray((image.reshape(8, 8) * 15).astype("uint8")).save(root / f"{i}.png")
            lines.append(f"{i}.png,digit {digit},{i // 8}")
    file = write(root / "list.csv", *lines)
    columns = {"image_column": "where", "label_column": "what", "group_column": "patient"}
    run = Run(data=str(file), out=str(tmp_path / "run"), model="resnet20", epochs=4, batch=16, **columns)  # type: ignore[arg-type]
    done = list(training(run, frozenset(columns)))[-1]
    assert isinstance(done, Done)
    assert done.metrics["accuracy"] > 0.8
    rows = [line.split(",") for line in (tmp_path / "run" / "split.csv").read_text().splitlines()[1:]]
    sides = {
        part: {int(row[2].removesuffix(".png")) // 8 for row in rows if row[0] == part} for part in ("train", "val")
    }
    assert not sides["train"] & sides["val"]
    model = load(tmp_path / "run")
    assert model.evaluate(file, "val").accuracy == done.metrics["val_accuracy"]
    bare = write(root / "bare.csv", *(line.rpartition(",")[0] for line in lines))
    with pytest.raises(DataError, match="has no column patient, by which"):
        model.evaluate(bare, "val")
    other = write(root / "other.csv", "path,label,split", "119.png,digit 1,test", "3.png,digit 1,test")
    assert model.evaluate(other).n == 2
    assert model.evaluate(other, columns=Columns(image="path")).n == 2
    with pytest.raises(UsageError, match="is not a list"):
        model.evaluate(
            folder(tmp_path / "photos", *(f"digit {d}/{i}.png" for d in "01" for i in range(3))),
            columns=Columns(image="path"),
        )


def test_a_column_of_what_is_no_list_is_an_error(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(4)))
    answer = resnet("train", "data", "--label-column", "x", "--out", "run", cwd=tmp_path)
    assert answer.code == 2
    assert "--label-column would have no effect: the data is not a list" in answer.err
    assert root.exists()


def test_new_lines_whose_pictures_are_missing_are_what_eval_speaks_of(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", *(f"{i}.png" for i in range(12)))
    lines = ["path,label", *(f"{i}.png,{'ab'[i % 2]}" for i in range(12))]
    file = write(root / "list.csv", *lines)
    run = Run(data=str(file), out=str(tmp_path / "run"), model="resnet20", steps=2, batch=4)
    list(training(run, frozenset()))
    model = load(tmp_path / "run")
    assert model.evaluate(file).split == "val"
    write(file, *lines, "gone/1.png,a", "gone/2.png,b")
    lost = "2 cannot be read: gone/1.png, gone/2.png"
    with pytest.raises(DataError, match=rf"chosen with every picture of .*list.csv that can be read; {lost}") as error:
        model.evaluate(file)
    assert "take them out, and the validation part is scored" in error.value.fix
    for split in ("train", "val"):
        with pytest.raises(DataError, match=lost):
            model.evaluate(file, split)
    noise(root / "new/13.png", 99)
    found = model.evaluate(write(file, *lines, "gone/1.png,a", "gone/2.png,b", "new/13.png,a"))
    assert (found.split, len(found.errors)) == ("test", 2)


def test_predict_says_who_takes_lists(root: Path) -> None:
    file = write(root / "list.csv", "path,label", *(",".join(row) for row in ROWS))
    (answer,) = [source for _, source in expand([str(file)])]
    assert str(answer) == f"{file} is a list: resnet eval takes it; paths, one a line, come by --from"
    assert [source for _, source in expand([str(root / "none.csv")])] == [root / "none.csv"], "that it is not there"
