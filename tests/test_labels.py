"""What the label columns of a list may hold: classes, tags, numbers and weights; and what is said where they do not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import folder

from resnetkit.data.labels import words_of
from resnetkit.data.lists import Columns
from resnetkit.data.parts import Source
from resnetkit.data.sources import open_source
from resnetkit.data.split import carve
from resnetkit.errors import DataError, UsageError

NAMES = ("1.png", "2.png", "3.png", "4.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return folder(tmp_path, *NAMES)


def opened(root: Path, *lines: str, classes: Sequence[str] | None = None, **columns: Any) -> Source:
    """A list whose first line is the header without its path column; the others belong to NAMES in turn."""
    header, *rows = lines
    text = [f"path,{header}", *(f"{name},{row}" for name, row in zip(NAMES, rows, strict=False))]
    (root / "list.csv").write_text("\n".join([*text, ""]), encoding="utf-8")
    return open_source(root / "list.csv", classes=classes, columns=Columns(**columns))


def table(source: Source) -> list[list[float]]:
    found: list[list[float]] = source.parts["all"].labels.tolist()
    return found


@pytest.mark.parametrize("sign", [";", "|", " ; ", "\uff1b", "\u3001"])
def test_tags_stand_in_one_cell(root: Path, sign: str) -> None:
    source = opened(root, "label", f"dog{sign}cat", "cat", "", "dog", task="tags")
    assert (source.task, source.classes) == ("tags", ("cat", "dog"))
    assert table(source) == [[1, 1], [1, 0], [0, 0], [0, 1]]
    assert source.parts["all"].labels.dtype == np.float32


def test_a_sign_between_tags_can_be_named(root: Path) -> None:
    source = opened(root, "label", "clear primary", "haze", "primary  road", "road", task="tags", separator=" ")
    assert source.classes == ("clear", "haze", "primary", "road")
    assert table(source)[2] == [0, 0, 1, 1]


def test_tags_in_columns_have_nothing_between_them(root: Path) -> None:
    with pytest.raises(UsageError, match="separator would have no effect"):
        opened(root, "red,round", "1,0", "0,1", label="red,round", task="tags", separator=";")


def test_a_column_a_tag_says_yes_or_no(root: Path) -> None:
    source = opened(root, "red,round", "1,0", "TRUE,yes", "0,no", "false,1", label="round,red")
    assert (source.task, source.classes) == ("tags", ("round", "red"))
    assert table(source) == [[0, 1], [1, 1], [0, 0], [1, 0]]


def test_minus_one_says_no_where_no_nought_does(root: Path) -> None:
    assert table(opened(root, "red,round", "1,-1", "1,1", "-1,-1", label="red,round")) == [[1, 0], [1, 1], [0, 0]]
    with pytest.raises(DataError, match=r"line 2: round is -1"):
        opened(root, "red,round", "1,-1", "1,1", "0,0", label="red,round", task="tags")


def test_columns_of_which_each_picture_has_one_are_classes(root: Path) -> None:
    source = opened(root, "red,blue", "1,0", "0,1", "1,0", label="red,blue")
    assert (source.task, source.classes) == ("classes", ("blue", "red"))
    assert source.parts["all"].labels.tolist() == [1, 0, 1]
    assert "--task tags if not" in source.notes[0]
    assert opened(root, "red,blue", "1,0", "0,1", label="red,blue", task="tags").task == "tags"


@pytest.mark.parametrize("given", [{"task": "numbers"}, {"task": "numbers", "label": "age"}])
def test_numbers_are_kept_as_they_are(root: Path, given: dict[str, str]) -> None:
    header = "age" if "label" in given else "label"
    source = opened(root, header, "3.25", "-1e3", "7", **given)
    assert (source.task, source.classes) == ("numbers", (header,))
    assert table(source) == [[3.25], [-1000.0], [7.0]]


def test_several_numbers_a_picture(root: Path) -> None:
    source = opened(root, "x,y", "3,0.5", "4,1.5", label="y,x")
    assert (source.task, source.classes, table(source)) == ("numbers", ("y", "x"), [[0.5, 3], [1.5, 4]])


def test_weights_come_only_where_asked_for(root: Path) -> None:
    lines = "label,w", "cat,1", "dog,0.25", "cat,0"
    assert opened(root, *lines).parts["all"].weights is None
    weights = opened(root, *lines, weight="w").parts["all"].weights
    assert weights is not None
    assert weights.tolist() == [1, 0.25, 0]


@pytest.mark.parametrize(
    ("lines", "columns", "what", "fix"),
    [
        (("label", "cat;dog", "cat"), {}, "several tags or the name of one class", "--task tags"),
        (("label", "3.5", "2.25"), {}, "may be amounts or the names", "--task numbers"),
        (("label", "cat", ""), {}, "line 3 has no label", "--task tags"),
        (("label", "", ""), {"task": "tags"}, "no picture of all has a tag", "give tags"),
        (("label", "3", "three"), {"task": "numbers"}, "line 3: label is three, not a number", "12.5"),
        (("label", "3", "nan"), {"task": "numbers"}, "nan, not a number", "12.5"),
        (("label", "3", "inf"), {"task": "numbers"}, "inf, not a number", "12.5"),
        (("label", "3", "1_000"), {"task": "numbers"}, "1_000, not a number", "12.5"),
        (("label", "3", ""), {"task": "numbers"}, "line 3 has no label", "complete"),
        (("a,b", "1,0", "1,"), {"label": "a,b"}, "line 3 has no label in b", "complete"),
        (("a,b", "1,0", "1,2"), {"label": "a,b", "task": "tags"}, "line 3: b is 2", "1 or 0"),
        (("a,b", "1,0", "1,1"), {"label": "a,b", "task": "classes"}, "line 3 has a, b", "one class a picture"),
        (("a,b", "1,0", "0,0"), {"label": "a,b", "task": "classes"}, "none of the label columns", "one class"),
        (("a,b", "1,0"), {"label": "a,c"}, "no column c", "choose from"),
        (("a,b", "1,0"), {"label": "a,a"}, "names a column twice", "once"),
        (("a,b", "1,x"), {"label": "a,b"}, "a has a yes or no in each line, and b x", "--task tags names the line"),
        (("a,b", "1,0", "2,1"), {"label": "a,b"}, "b has a yes or no in each line, and a 2", "--task numbers"),
        (("a,b", "2.5,x"), {"label": "a,b"}, "line 2: b is x, not a number", "12.5"),
        (("label", "Red;red", "red"), {"task": "tags"}, "the tags 'Red' and 'red' differ only in case", "rename one"),
        (
            ("label,x", "3,1", "4,2"),
            {"task": "numbers", "label": "x", "weight": "x"},
            "cannot be label and weight",
            "another",
        ),
        (("a,A", "1,1", "0,1"), {"label": "a,A", "task": "tags"}, "differ only in case", "rename"),
        (("label,w", "cat,1", "dog,-1"), {"weight": "w"}, "line 3 has the weight -1", "at least 0"),
        (("label,w", "cat,1", "dog,much"), {"weight": "w"}, "line 3 has the weight much", "at least 0"),
        (("label,w", "cat,1", "dog,"), {"weight": "w"}, "line 3 has no weight", "complete"),
        (("label,w", "cat,1", "dog,1"), {"weight": "heavy"}, "no column heavy", "choose from"),
    ],
)
def test_labels_that_cannot_be_meant(
    root: Path, lines: tuple[str, ...], columns: dict[str, str], what: str, fix: str
) -> None:
    with pytest.raises(DataError) as error:
        opened(root, *lines, **columns)
    assert what in error.value.what
    assert "list.csv" in error.value.what or "--label-column" in error.value.what
    assert fix in error.value.fix


def test_numbers_that_train_lacks_may_be_amounts(root: Path) -> None:
    lines = "label,split", "3,train", "4,train", "5,test", "3,test"
    with pytest.raises(DataError) as error:
        opened(root, *lines)
    assert "5" in error.value.what
    assert "--task numbers, if they are amounts" in error.value.fix


def test_no_part_adds_a_tag(root: Path) -> None:
    with pytest.raises(DataError, match="test has tags that train does not have: fox"):
        opened(root, "label,split", "cat;dog,train", "dog,train", "fox,test", task="tags")
    with pytest.raises(DataError, match="tags that the model does not have: dog"):
        opened(root, "label", "cat;dog", "cat", task="tags", classes=["cat", "fox"])
    assert opened(root, "label", "cat", "", task="tags", classes=["fox", "cat"]).classes == ("fox", "cat")


def test_a_model_knows_its_numbers_by_name(root: Path) -> None:
    assert opened(root, "x,y", "3,2.5", label="x,y", classes=["x", "y"]).classes == ("x", "y")
    assert table(opened(root, "x,y", "3,2.5", label="x,y", classes=["y", "x"])) == [[2.5, 3]]  # in the model's order
    with pytest.raises(DataError, match="its labels are x, y, and the model says x, z"):
        opened(root, "x,y", "3,2.5", label="x,y", classes=["x", "z"], task="numbers")
    with pytest.raises(DataError, match="has no columns x,z, of which the model tells"):
        opened(root, "x,y", "1,2.5", label="x,z", must=False, task="numbers", classes=["x", "z"])


def test_a_model_is_scored_on_all_of_its_tags(root: Path) -> None:
    """A tag without a column is not a tag that no picture has."""
    with pytest.raises(DataError, match="its labels are a, b, and the model says a, b, c"):
        opened(root, "a,b", "1,0", "0,1", label="a,b", task="tags", classes=["a", "b", "c"])
    assert opened(root, "a,b", "1,0", "0,1", label="a,b", task="tags", classes=["b", "a"]).classes == ("b", "a")


def test_a_sign_that_no_cell_has_is_refused(root: Path) -> None:
    with pytest.raises(UsageError, match="separator would have no effect"):
        opened(root, "label", "cat;dog", "cat", task="tags", separator="|")
    with pytest.raises(UsageError, match="separator is empty"):
        opened(root, "label", "cat;dog", "cat", task="tags", separator="")
    assert opened(root, "label", "cat", task="tags", separator="|", classes=["cat", "dog"]).classes == ("cat", "dog")


def test_a_column_of_tags_is_found_by_its_name(root: Path) -> None:
    assert opened(root, "tags", "cat;dog", "cat", task="tags").classes == ("cat", "dog")


def test_many_whole_numbers_are_classes_with_a_word(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{i}.png" for i in range(12)))
    lines = ["path,label", *(f"{i}.png,{i * 3}" for i in range(12))]
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    source = open_source(tmp_path / "list.csv")
    assert len(source.classes) == 12
    assert "12 whole numbers are taken for names of classes" in source.notes[0]


def test_lists_of_a_folder_have_the_same_label_columns(root: Path) -> None:
    (root / "train.csv").write_text("path,label\n1.png,cat\n2.png,dog\n", encoding="utf-8")
    (root / "test.csv").write_text("path,class\n3.png,cat\n", encoding="utf-8")
    assert open_source(root).classes == ("cat", "dog")


def test_labels_as_words() -> None:
    assert words_of("classes", ["a", "b"], np.array([1, 0])) == ["b", "a"]
    assert words_of("tags", ["a", "b"], np.array([[1, 1], [0, 0]], np.float32)) == ["a;b", "-"]
    assert words_of("numbers", ["a", "b"], np.array([[1.5, 2.0]])) == ["1.5;2.0"]


def test_rare_tags_and_all_sizes_are_held_out_alike() -> None:
    rng = np.random.default_rng(0)
    names = [f"{i}.png" for i in range(1000)]
    tags = (rng.random((1000, 3)) < [0.8, 0.3, 0.02]).astype(np.float32)
    train, val = carve(names, tags, "abc", share=0.1, seed=0, task="tags")
    assert sorted([*train, *val]) == list(range(1000))
    rare = int(tags[:, 2].sum())
    assert abs(tags[val, 2].sum() - rare / 10) < 1
    numbers = rng.lognormal(size=(1000, 1))
    train, val = carve(names, numbers, "x", share=0.1, seed=0, task="numbers")
    tenths = np.quantile(numbers, np.linspace(0, 1, 11)[1:-1])
    assert np.bincount(np.searchsorted(tenths, numbers[val, 0])).tolist() == [10] * 10
    again = carve(names[::-1], numbers[::-1], "x", share=0.1, seed=0, task="numbers")
    assert sorted(999 - again[1]) == sorted(val)


def test_a_tag_of_one_picture_is_parted_with_the_others() -> None:
    tags = np.zeros((30, 2), np.float32)
    tags[:, 0], tags[7, 1] = 1, 1
    train, val = carve([str(i) for i in range(30)], tags, "ab", share=0.1, seed=0, task="tags")
    assert (len(train), len(val)) == (27, 3)


@pytest.mark.parametrize("count", [2, 3, 11])
def test_few_numbers_can_be_parted_too(count: int) -> None:
    train, val = carve(
        [str(i) for i in range(count)], np.arange(count)[:, None] * 1.0, "x", share=0.1, seed=0, task="numbers"
    )
    assert len(val) >= 1
    assert len(train) >= 1
    assert len(train) + len(val) == count


def test_one_picture_cannot_be_parted() -> None:
    with pytest.raises(DataError, match="none can be held out"):
        carve(["1"], np.array([[1.0]]), "x", share=0.1, seed=0, task="numbers")
