"""ImageNet's layouts: every list of labels gives the same classes, and none is guessed at."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from samples import folder

import resnetkit
from resnetkit.data.sources import Source, open_source
from resnetkit.errors import DataError

TENCH, SHARK, FOX = "n01440764", "n01484850", "n02119789"  # ILSVRC counts the fox first
TRAIN = [f"train/{wnid}/{wnid}_{i}.JPEG" for wnid in (TENCH, SHARK, FOX) for i in range(2)]
VAL = [FOX, TENCH, TENCH, SHARK]  # of the pictures 1 to 4
CLASSES = ("n01440764 tench", "n01484850 great white shark", "n02119789 kit fox")
WORDS = {TENCH: "tench, Tinca tinca", SHARK: "great white shark, white shark", FOX: "kit fox, Vulpes macrotis"}


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def name_of(i: int) -> str:
    return f"ILSVRC2012_val_{i:08d}"


def flat(root: Path) -> Path:
    """Train in class folders, val in one heap, and no list."""
    return folder(root, *TRAIN, *(f"val/{name_of(i + 1)}.JPEG" for i in range(4)))


def kaggle(root: Path) -> None:
    rows = [f"{name_of(i + 1)},{wnid} 1 2 3 4 {wnid} 5 6 7 8 " for i, wnid in enumerate(VAL)]
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString", *rows[::-1])
    write(root / "LOC_synset_mapping.txt", *(f"{wnid} {words}" for wnid, words in WORDS.items()))


def development_kit(root: Path) -> None:
    kit = root / "ILSVRC2012_devkit_t12/data"
    write(kit / "ILSVRC2012_validation_ground_truth.txt", "1", "30", "30", "2")
    write(kit / "map_clsloc.txt", f"{FOX} 1 kit_fox", f"{SHARK} 2 great_white_shark", f"{TENCH} 30 tench")


def caffe(root: Path) -> None:
    places = [list(WORDS).index(wnid) for wnid in VAL]
    write(root / "val.txt", *(f"{name_of(i + 1)}.JPEG {place}" for i, place in enumerate(places)))
    write(root / "synset_words.txt", *(f"{wnid} {words}" for wnid, words in WORDS.items()))


def plain_list(root: Path) -> None:
    write(root / "val_labels.txt", *(f"val/{name_of(i + 1)}.JPEG {wnid}" for i, wnid in enumerate(VAL)))
    write(root / "words.txt", "n00001740\tentity", *(f"{wnid}\t{words}" for wnid, words in WORDS.items()))


def shown(source: Source, part: str = "val") -> list[tuple[str, str]]:
    found = source.parts[part]  # type: ignore[index]
    return [(source.classes[label], name) for label, name in zip(found.labels, found.names, strict=True)]


def refused(root: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_source(root)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize("lists", [kaggle, development_kit, caffe, plain_list])
def test_every_list_says_the_same(tmp_path: Path, lists: Callable[[Path], None]) -> None:
    lists(flat(tmp_path))
    source = open_source(tmp_path)
    assert source.classes == CLASSES
    names = dict(zip([TENCH, SHARK, FOX], CLASSES, strict=True))
    assert shown(source) == [(names[wnid], f"{name_of(i + 1)}.JPEG") for i, wnid in enumerate(VAL)]
    assert source.parts["train"].labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.parts["val"].read(3).pixels.shape == (8, 8, 3)
    assert source.notes == []


def test_what_kaggle_unpacks(tmp_path: Path) -> None:
    base = flat(tmp_path / "ILSVRC/Data/CLS-LOC")
    folder(base, "test/ILSVRC2012_test_00000001.JPEG")
    kaggle(tmp_path)
    source = open_source(tmp_path)
    assert (source.classes, list(source.parts)) == (CLASSES, ["train", "val"])
    assert source.notes == [f"{base / 'test'} has no labels and is not looked at"]


def test_tiny_imagenet(tmp_path: Path) -> None:
    trains = [f"train/{wnid}/images/{wnid}_{i}.JPEG" for wnid in (TENCH, SHARK, FOX) for i in range(2)]
    folder(tmp_path, *trains, *(f"val/images/val_{i}.JPEG" for i in range(4)), "test/images/test_0.JPEG")
    write(tmp_path / f"train/{TENCH}/{TENCH}_boxes.txt", f"{TENCH}_0.JPEG\t0\t0\t63\t63")
    write(tmp_path / "val/val_annotations.txt", *(f"val_{i}.JPEG\t{wnid}\t0\t32\t44\t62" for i, wnid in enumerate(VAL)))
    write(tmp_path / "wnids.txt", TENCH, SHARK, FOX)
    write(tmp_path / "words.txt", *(f"{wnid}\t{words}" for wnid, words in WORDS.items()))
    source = open_source(tmp_path)
    assert source.classes == CLASSES
    assert [name for _, name in shown(source)] == [f"images/val_{i}.JPEG" for i in range(4)]
    assert source.parts["val"].labels.tolist() == [2, 0, 0, 1]
    assert source.parts["train"].names[0] == f"{TENCH}/images/{TENCH}_0.JPEG"
    (tmp_path / "words.txt").unlink()
    assert open_source(tmp_path).classes == (TENCH, SHARK, FOX)


def test_names_and_numbers_are_one(tmp_path: Path) -> None:
    """A model that learned with words is scored on folders of numbers, and the other way round."""
    kaggle(flat(tmp_path / "a"))
    folder(tmp_path / "b", *(name.removeprefix("train/") for name in TRAIN))
    worded, bare = CLASSES[::-1], (FOX, SHARK, TENCH)
    for classes in (worded, bare):
        source = open_source(tmp_path / "a", classes=classes)
        assert (source.classes, source.parts["val"].labels.tolist()) == (classes, [0, 2, 2, 1])
        assert open_source(tmp_path / "b", classes=classes).parts["all"].labels.tolist() == [2, 2, 1, 1, 0, 0]
    folder(tmp_path / "c", *(f"{name}/1.png" for name in CLASSES))
    assert open_source(tmp_path / "c").classes == CLASSES
    assert open_source(tmp_path / "c", classes=bare).parts["all"].labels.tolist() == [2, 1, 0]
    with pytest.raises(DataError, match="n02119789"):
        open_source(tmp_path / "b", classes=(TENCH, SHARK))
    folder(tmp_path / "d", f"{TENCH}/1.png", f"{TENCH} tench/1.png")
    assert open_source(tmp_path / "d").parts["all"].labels.tolist() == [0, 1]


def test_val_alone_of_a_model(tmp_path: Path) -> None:
    folder(tmp_path, *(f"val/{name_of(i + 1)}.JPEG" for i in range(4)))
    plain_list(tmp_path)
    assert open_source(tmp_path, classes=CLASSES).parts["val"].labels.tolist() == [2, 0, 0, 1]
    refused(tmp_path, "has no train part")


def test_numbers_are_not_guessed(tmp_path: Path) -> None:
    """Other lists of ImageNet's classes are in the order of their numbers in WordNet; ILSVRC's own order is another."""
    development_kit(flat(tmp_path))
    (tmp_path / "ILSVRC2012_devkit_t12/data/map_clsloc.txt").unlink()
    truth = "ILSVRC2012_validation_ground_truth.txt"
    refused(tmp_path, truth, "there is no map_clsloc.txt", "LOC_val_solution.csv")
    write(tmp_path / "synset_words.txt", *(f"{wnid} {words}" for wnid, words in WORDS.items()))
    refused(tmp_path, truth, "(synset_words.txt counts otherwise)")


def test_lists_that_lack(tmp_path: Path) -> None:
    refused(flat(tmp_path), "val holds pictures without class folders, and no list", "LOC_val_solution.csv")
    kaggle(tmp_path)
    folder(tmp_path, "val/more.JPEG")
    refused(tmp_path, "LOC_val_solution.csv does not say what more.JPEG shows")
    (tmp_path / "val/more.JPEG").unlink()
    (tmp_path / f"val/{name_of(2)}.JPEG").unlink()
    source = open_source(tmp_path)
    assert source.notes == ["LOC_val_solution.csv names 4 pictures, of which val has 3"]
    assert source.parts["val"].labels.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "does not say what"),
        (["ILSVRC2012_val_00000001.JPEG"], "line 1 is not a name and a class"),
        (["a.JPEG n01440764", "b.JPEG"], "line 2 is not a name and a class"),
        (["a.JPEG n01440764", "a.JPEG n01440764"], "line 2 names a picture twice"),
        (["a.JPEG n01440764", "val/a.JPEG n01484850"], "line 2 names a picture twice"),
        ([f"{name_of(i)}.JPEG n09999999" for i in range(1, 5)], "train does not have: n09999999"),
        ([f"{name_of(i)}.JPEG 0" for i in range(1, 5)], "gives classes as numbers, and nothing says whose"),
        ([f"{name_of(1)}.JPEG n01440764"], "does not say what"),
        (["\0 \0"] * 3, "names a picture twice"),
        (["<html>"], "line 1 is not a name and a class"),
    ],
)
def test_broken_lists(tmp_path: Path, lines: list[str], words: str) -> None:
    write(flat(tmp_path) / "val_labels.txt", *lines)
    refused(tmp_path, words)


def test_more_broken_lists(tmp_path: Path) -> None:
    caffe(flat(tmp_path))
    for number in ("3", "-1", "9" * 5_000):
        write(tmp_path / "val.txt", f"{name_of(1)}.JPEG 0", f"{name_of(2)}.JPEG {number}")
        refused(tmp_path, "line 2 is not a name and a class" if number != "-1" else "does not say")
    (tmp_path / "val.txt").write_bytes("käse 0\n".encode("latin-1"))
    refused(tmp_path, "val.txt is not UTF-8 text: byte 1")
    (tmp_path / "val.txt").unlink()
    write(tmp_path / "LOC_val_solution.csv", "ImageId,PredictionString", 'a,"n01440764 1', "b,")
    refused(tmp_path, "line 3 is not a name and a class")
    (tmp_path / "LOC_val_solution.csv").unlink()
    development_kit(tmp_path)
    truth = tmp_path / "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    for lines in (["1", "30", "30"], ["1", "30", "30", "3"], ["1", "30", "30", "x"], []):
        write(truth, *lines)
        refused(tmp_path, truth.name, "does not say what", ".JPEG shows")
    write(truth, "1", "30", "30", "2")
    (tmp_path / f"val/{name_of(1)}.JPEG").rename(tmp_path / "val/nameless.JPEG")
    refused(tmp_path, "does not say what nameless.JPEG shows")


@pytest.mark.skipif(os.name == "nt", reason="pipes are a matter of POSIX")
def test_a_list_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(flat(tmp_path) / "val_labels.txt")
    refused(tmp_path, "no list says what they show")


def test_other_folders_stay_what_they_are(tmp_path: Path) -> None:
    folder(tmp_path / "a", "train/a/1.png", "train/b/1.png", "val/loose.png")
    refused(tmp_path / "a", "val has no pictures")
    folder(tmp_path / "b", "train/images/1.png", "train/b/1.png", "val/images/2.png")
    assert shown(open_source(tmp_path / "b")) == [("images", "images/2.png")]
    folder(tmp_path / "c", *TRAIN, f"val/{TENCH}/2.png", "val/loose.png")
    kaggle(tmp_path / "c")
    source = open_source(tmp_path / "c")
    assert (source.classes, [name for _, name in shown(source)]) == ((TENCH, SHARK, FOX), [f"{TENCH}/2.png"])


def test_train_and_eval(tmp_path: Path) -> None:
    kaggle(flat(tmp_path / "data"))
    out = tmp_path / "run"
    resnetkit.train(tmp_path / "data", model="resnet20", weights="none", steps=2, batch=3, out=str(out))
    model = resnetkit.load(out)
    assert model.classes == CLASSES
    assert model.evaluate(tmp_path / "data").labels.tolist() == [2, 0, 0, 1]
