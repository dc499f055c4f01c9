"""Which pictures are held out: decided by name alone, and written down so that it can be read again."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetkit.data.groups import groups_of
from resnetkit.data.split import HEADER, Row, carve, held_out, read_split, write_split
from resnetkit.errors import DataError, UsageError

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=40, unique=True)


def held(names: list[str], labels: list[int], share: float = 0.1, seed: int = 0) -> set[str]:
    classes = [f"class {i}" for i in range(max(labels) + 1)]
    train, val = carve(names, np.array(labels, np.int64), classes, share=share, seed=seed)
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(names)))
    assert sorted(val.tolist()) == val.tolist()
    return {names[i] for i in val}


@given(NAMES, st.data())
def test_every_class_gives_its_share(names: list[str], data: st.DataObject) -> None:
    share = data.draw(st.floats(0.001, 0.999))
    kinds = data.draw(st.integers(1, max(1, len(names) // 2)))
    labels = [i % kinds for i in range(len(names))]  # so that each class has two pictures or more
    chosen = held(names, labels, share)
    for kind in range(kinds):
        count = labels.count(kind)
        taken = sum(name in chosen for name, label in zip(names, labels, strict=True) if label == kind)
        assert 1 <= taken <= count - 1
        assert abs(taken - share * count) <= 0.5 or taken in (1, count - 1)


@given(NAMES, st.randoms(use_true_random=False), st.integers(0, 2**63 - 1))
def test_the_order_of_the_pictures_does_not_matter(names: list[str], random: object, seed: int) -> None:
    pairs = [(name, i % 2) for i, name in enumerate(sorted(names))] + [("x" * 9, 0), ("y" * 9, 1)]
    mixed = list(pairs)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = (held([n for n, _ in rows], [k for _, k in rows], 0.3, seed) for rows in (pairs, mixed))
    assert one == other


def test_each_picture_is_decided_alone() -> None:
    names = [f"{i}.jpg" for i in range(200)]
    before = held(names, [0] * 200, 0.5)
    after = held(names[:199], [0] * 199, 0.5)  # round(99.5) is 100: as many as before
    assert len(after ^ (before - {"199.jpg"})) <= 1


def test_the_choice_is_the_same_in_every_release() -> None:
    names = [f"ants/{i}.jpg" for i in range(20)] + [f"bees/{i}.jpg" for i in range(20)]
    train, val = carve(names, np.repeat([0, 1], 20), ["ants", "bees"], share=0.1, seed=0)
    assert train.dtype == val.dtype == np.int64
    assert val.tolist() == [1, 11, 26, 30]


def test_seed_and_class_are_part_of_the_choice() -> None:
    names = [f"{i}.jpg" for i in range(100)]
    labels = np.zeros(100, np.int64)
    chosen = {
        (seed, name): tuple(carve(names, labels, [name], share=0.1, seed=seed)[1].tolist())
        for seed in (0, 1)
        for name in ("a", "b")
    }
    assert len(set(chosen.values())) == 4


def test_names_of_every_kind() -> None:
    odd = ["caf\udce9", "\u6d4b\u8bd5.jpg", "a\nb", "\U0001f600", "'", ""]
    assert len(held(odd, [0] * 6, 0.5)) == 3


def test_a_single_picture_cannot_be_shared() -> None:
    with pytest.raises(DataError, match="only one picture of b") as caught:
        carve(["1", "2", "3"], np.array([0, 0, 1]), ["a", "b", "c"], share=0.1, seed=0)
    assert (caught.value.code, "val" in caught.value.fix) == (3, True)
    train, val = carve(["1", "2"], np.array([0, 0]), ["a", "b"], share=0.1, seed=0)  # of b there is none to share
    assert len(train) == len(val) == 1


@pytest.mark.parametrize(
    ("count", "share", "taken"), [(2, 0.1, 1), (2, 0.9, 1), (10, 0.1, 1), (15, 0.1, 2), (0, 0.5, 0)]
)
def test_shares(count: int, share: float, taken: int) -> None:
    assert held_out(count, share) == taken


ROWS = st.tuples(*[st.text(min_size=1, max_size=12)] * 4).map(lambda cells: Row(*cells))


@settings(max_examples=40)  # each is synced to the disk
@given(st.lists(ROWS, unique_by=lambda row: row[:3]))
def test_what_is_written_can_be_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    path = tmp_path_factory.getbasetemp() / "split.csv"
    write_split(path, rows)
    assert read_split(path) == rows
    path.read_bytes().decode("ascii" if all(map(str.isascii, "".join(map("".join, rows)))) else "utf-8")


def test_names_that_would_do_harm(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    names = [
        "=1+1.jpg",
        "+x",
        "-x",
        "@x",
        "'x",
        "\x1b[2J",
        "a\nb\tc\r",
        "caf\udce9",
        "back\\slash",
        "\\n",
        'a,"b"',
        "\u6d4b",
    ]
    rows = [Row("train", "a", name, "0f") for name in names]
    write_split(path, rows)
    text = path.read_text(encoding="utf-8")
    assert read_split(path) == rows
    assert not any(c in text for c in "\x1b\t\r")
    assert len(text.splitlines()) == len(rows) + 1
    with open(path, encoding="utf-8", newline="") as file:
        cells = [row[2] for row in csv.reader(file)][1:]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert cells[0] == "'=1+1.jpg"
    assert cells[-1] == "\u6d4b"


def test_files_from_other_hands(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    path.write_bytes(b"\xef\xbb\xbfpart,class,name,digest\r\ntrain,a,1.jpg,0f\r\n")
    assert read_split(path) == [Row("train", "a", "1.jpg", "0f")]
    good = ",".join(HEADER).encode()
    for text, words in (
        (b"", "line 1 is not part,class,name,digest"),
        (b"part,class,name\n", "line 1 is not"),
        (good + b"\ntrain,a,1.jpg,0f\ntrain,a\n", "line 3 does not have 4 values"),
        (good + b"\ntrain,a,,0f\n", "line 2 does not have 4 values"),
        (good + b"\ntrain,a,x,0f\ntrain,a,x,10\n", "line 3 repeats x"),
        (good + b"\n\xff\xfe\n", "cannot be read"),
        (good + b'\n"train\n', "cannot be read"),
    ):
        path.write_bytes(text)
        with pytest.raises(DataError, match=r"split.csv") as caught:
            read_split(path)
        assert words in caught.value.what
    with pytest.raises(DataError, match="No such file"):
        read_split(tmp_path / "gone.csv")
    with pytest.raises(UsageError, match="folder"):
        write_split(tmp_path, [])


def folds(names: list[str], labels: list[int], count: int, groups: tuple[str, ...] | None = None) -> list[list[int]]:
    """The places that each fold holds out."""
    classes = [f"class {i}" for i in range(max(labels) + 1)]
    told = np.array(labels, np.int64)
    found = [carve(names, told, classes, share=0.1, seed=0, groups=groups, fold=(k + 1, count)) for k in range(count)]
    for train, val in found:
        assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(names)))
    return [val.tolist() for _, val in found]


@given(NAMES, st.integers(2, 7))
def test_every_picture_is_in_one_fold_and_classes_are_shared_evenly(names: list[str], count: int) -> None:
    names = [*names, *(f"more than eight {i}" for i in range(2 * count))]
    labels = [i % 2 for i in range(len(names))]
    parts = folds(names, labels, count)
    assert sorted(i for part in parts for i in part) == list(range(len(names)))
    for kind in (0, 1):
        sizes = [sum(labels[i] == kind for i in part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_small_classes_do_not_all_fill_the_first_fold() -> None:
    labels = [kind for kind in range(10) for _ in range(6)]  # one of each class is left over
    sizes = [len(part) for part in folds([f"{i}.jpg" for i in range(60)], labels, 5)]
    assert sizes == [12] * 5


def test_a_group_is_in_one_fold_and_classes_are_in_all() -> None:
    names = [f"patient{i % 17}/{i}.jpg" for i in range(200)]
    labels = [(i % 17) % 3 for i in range(200)]
    groups = groups_of(names, r"patient(\d+)/")
    assert groups[:2] == ("0", "1")
    parts = folds(names, labels, 4, groups)
    assert sorted(i for part in parts for i in part) == list(range(200))
    where = [{groups[i] for i in part} for part in parts]
    assert sum(map(len, where)) == 17
    assert all({labels[i] for i in part} == {0, 1, 2} for part in parts)
    assert max(map(len, parts)) <= 2 * min(map(len, parts))


def test_what_cannot_be_in_every_fold_is_refused() -> None:
    with pytest.raises(DataError, match="class 1 has fewer than 3 pictures") as caught:
        folds([str(i) for i in range(6)], [0, 0, 0, 0, 1, 1], 3)
    assert (caught.value.code, caught.value.fix) == (3, "at most 2 folds")
    with pytest.raises(DataError, match="class 0 has fewer than 3 groups"):
        folds([str(i) for i in range(6)], [0] * 6, 3, ("a", "a", "b", "b", "b", "b"))


def test_groups_are_what_names_have_in_common() -> None:
    assert groups_of(["a/p1_0.jpg", "b/p12_1.jpg"], r"p\d+") == ("p1", "p12")
    with pytest.raises(DataError, match=r"is not in b/x\.jpg") as caught:
        groups_of(["a/p1_0.jpg", "b/x.jpg"], r"p\d+")
    assert caught.value.code == 3
