"""Where pictures come from: every layout is read as meant, and what cannot be meant is said."""

import gzip
import io
import json
import os
import shutil
import socket
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import folder, idx_bytes, noise, picture, write_idx, write_parquet

from resnetkit.data import parquet as parquet_room
from resnetkit.data.lists import Columns
from resnetkit.data.sources import Source, open_source
from resnetkit.errors import DataError, ResourceError

needs_links = pytest.mark.skipif(os.name == "nt", reason="links, pipes and stray bytes are a matter of POSIX")


def refused(root: Path | str, *words: str, classes: Sequence[str] | None = None) -> DataError:
    """Opening fails with these words, in what is wrong or in the remedy."""
    with pytest.raises(DataError) as caught:
        open_source(root, classes=classes)
    for word in words:
        assert word in str(caught.value)
    assert caught.value.what
    assert caught.value.fix
    return caught.value


def shown(source: Source, part: str) -> list[tuple[str, str]]:
    """(class, name) of each picture."""
    found = source.parts[part]  # type: ignore[index]
    return [(source.classes[label], name) for label, name in zip(found.labels, found.names, strict=True)]


# Folders


def test_parts_and_classes(tmp_path: Path) -> None:
    folder(tmp_path, "train/b/2.jpg", "train/a/1.PNG", "train/a/deep/er/3.webp", "val/b/4.bmp", "test/a/5.tiff")
    source = open_source(tmp_path)
    assert (source.kind, source.classes, source.channels, source.arrays) == ("folder", ("a", "b"), 3, False)
    assert list(source.parts) == ["train", "val", "test"]
    assert shown(source, "train") == [("a", "a/1.PNG"), ("a", "a/deep/er/3.webp"), ("b", "b/2.jpg")]
    assert shown(source, "val") == [("b", "b/4.bmp")]
    assert source.parts["train"].labels.dtype == np.int64
    expected = np.asarray(Image.open(tmp_path / "train/a/1.PNG"))
    assert (source.parts["train"].read(0).pixels == expected).all()
    assert source.parts["train"].encoded(0) == (tmp_path / "train/a/1.PNG").read_bytes()


def test_class_folders_alone(tmp_path: Path) -> None:
    source = open_source(str(folder(tmp_path, "10/a.jpg", "1/a.jpg", "2/a.jpg")))
    assert (list(source.parts), source.classes) == (["all"], ("1", "10", "2"))
    assert shown(source, "all") == [("1", "1/a.jpg"), ("10", "10/a.jpg"), ("2", "2/a.jpg")]


def test_val_without_a_class_shifts_no_label(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/b/2.png", "val/c/2.png")
    assert open_source(tmp_path).parts["val"].labels.tolist() == [1, 2]


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_that_train_lacks(tmp_path: Path, part: str) -> None:
    folder(tmp_path, "train/ant/1.png", "train/bee/1.png", f"{part}/ant/2.png", f"{part}/wasp/2.png")
    refused(tmp_path, part, "train does not have: wasp")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "VAL", "Validation"])
def test_names_of_val(tmp_path: Path, name: str) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", f"{name}/b/2.png")
    source = open_source(tmp_path)
    assert list(source.parts) == ["train", "val"]
    assert source.parts["val"].read(0).pixels.shape == (8, 8, 3)


def test_two_folders_for_one_part(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/2.png", "valid/b/2.png")
    refused(tmp_path, "both val and valid")


def test_training_and_testing_are_no_classes(tmp_path: Path) -> None:
    folder(tmp_path, "Training/a/1.png", "Training/b/1.png", "Testing/a/2.png")
    refused(tmp_path, "Testing, Training", "rename them to train")


def test_what_lies_beside_the_parts_is_told(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "extra/c/1.png", "train/loose.png")
    notes = open_source(tmp_path).notes
    assert "train: pictures beside the class folders passed by: loose.png" in notes
    assert "not looked at, beside train: extra" in notes


def test_files_of_operating_systems_are_not_seen(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "b/1.png", ".ipynb_checkpoints/1.png", "a/._1.png", "__MACOSX/a/1.png", "@eaDir/1.png")
    for name in (".DS_Store", "a/.DS_Store", "a/Thumbs.db", "b/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    source = open_source(tmp_path)
    assert (source.classes, source.parts["all"].names, source.notes) == (("a", "b"), ("a/1.png", "b/1.png"), [])


def test_what_is_no_picture_is_counted(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "b/1.png")
    for name in ("a/x.txt", "b/y.TXT", "a/z.heic", "b/README"):
        (tmp_path / name).write_bytes(b"x")
    (note,) = open_source(tmp_path).notes
    assert "2 .txt, 1 .heic, 1 no suffix" in note
    assert "convert" in note
    (tmp_path / "a/z.heic").unlink()
    assert "convert" not in open_source(tmp_path).notes[0]


def test_pictures_without_classes(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder(tmp_path, "1.png", "2.png")
    refused(tmp_path, "has pictures but no class folders", "DIR/train/CLASS/*.jpg", "DIR/CLASS/*.jpg")
    refused(request.getfixturevalue("data_dir") / "imagenet-samples", "pictures but no class folders", "and 148 more")


def test_a_class_called_train(tmp_path: Path) -> None:
    folder(tmp_path, "train/1.png", "bus/1.png", "car/1.png")
    refused(tmp_path, "no class folders", "if train is a class as bus, car, rename it")


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path, "has no pictures", "DIR/train")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/notes.txt").write_text("x")
    refused(tmp_path, "has no pictures, only 1 .txt")


def test_one_class(tmp_path: Path) -> None:
    refused(folder(tmp_path / "one", "a/1.png", "a/2.png"), "one class, a, and needs at least two")
    deep = folder(tmp_path / "deep", "photos/a/1.png", "photos/b/1.png")
    refused(deep, f"if a, b are the classes, name {deep / 'photos'} instead")
    deep = folder(tmp_path / "deeper", "archive/train/a/1.png", "archive/val/b/1.png")
    refused(deep, f"name {deep / 'archive'} instead")


def test_a_class_without_pictures(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/2.png")
    (tmp_path / "val/b").mkdir()
    assert open_source(tmp_path).parts["val"].labels.tolist() == [0]
    (tmp_path / "train/c").mkdir()
    (tmp_path / "train/c/1.heic").write_bytes(b"x")
    refused(tmp_path, "there are no pictures of c (1 .heic passed by)")


def test_a_part_without_pictures(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png")
    (tmp_path / "val").mkdir()
    refused(tmp_path, "val has no pictures")


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "hymenoptera").mkdir()
    refused(tmp_path / "hymenopetra", "does not exist", f"{tmp_path} does", "did you mean hymenoptera?")
    refused(tmp_path / "gone" / "further", "does not exist", f"{tmp_path} does, but has no gone")
    refused("digit", "did you mean digits?")
    refused("nul\0byte", "nul\\x00byte")


@pytest.mark.parametrize(
    ("name", "word"),
    [("a.jpg", "holds the classes"), ("a.zip", "unpack"), ("train-labels-idx1-ubyte", "name the folder")],
)
def test_files_that_are_no_data_set(tmp_path: Path, name: str, word: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    refused(tmp_path / name, "is a file", word)


def test_classes_that_look_alike(tmp_path: Path) -> None:
    (tmp_path / "probe").mkdir()
    if (tmp_path / "PROBE").exists():
        pytest.skip("this file system does not tell case apart")
    refused(folder(tmp_path / "case", "Ants/1.png", "ants/1.png"), "'Ants'", "'ants'", "only in case")
    composed, parted = (unicodedata.normalize(form, "caf\xe9") for form in ("NFC", "NFD"))
    refused(folder(tmp_path / "form", f"{composed}/1.png", f"{parted}/1.png"), "caf\\xe9", "cafe\\u0301")
    parts = folder(tmp_path / "parts", "train/Ants/1.png", "train/b/1.png", "val/ants/1.png")
    refused(parts, "val", "there is 'Ants', which differs from 'ants' only in case")


@needs_links
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    stray = os.fsdecode(b"caf\xe9\n.png")
    folder(tmp_path, f"a/{stray}", "b/1.png")
    part = open_source(tmp_path).parts["all"]
    assert part.names[0] == f"a/{stray}"
    assert part.read(0).pixels.shape == (8, 8, 3)
    (tmp_path / "a" / stray).write_text("no picture")
    with pytest.raises(DataError, match=r"a/caf\\udce9\\n.png"):
        part.read(0)
    folder(tmp_path, os.fsdecode(b"\xe9/1.png"))
    refused(tmp_path, "\\udce9 is not UTF-8")


@needs_links
def test_links_inside_the_data(tmp_path: Path) -> None:
    root = folder(tmp_path / "data", "train/a/1.png", "train/b/1.png", "raw/c/x/1.png", "raw/2.png")
    os.symlink(root / "raw/2.png", root / "train/a/2.png")
    os.symlink("../raw/c", root / "train/c")
    os.symlink("../..", root / "train/a/loop")
    os.symlink(root / "train/b", root / "raw/c/x/on")
    os.symlink("self", root / "raw/c/x/self")
    os.symlink("self.png", root / "raw/c/x/self.png")
    source = open_source(root)
    assert [name for _, name in shown(source, "train")] == [
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "c/x/1.png",
        "c/x/self.png",
    ]
    assert "train/a/loop is a link to a folder that is not followed" in source.notes
    assert "train/c/x/on is a link to a folder that is not followed" in source.notes
    assert source.parts["train"].read(1).pixels.shape == (8, 8, 3)
    os.symlink(root, tmp_path / "link")
    assert shown(open_source(tmp_path / "link"), "train") == shown(source, "train")


@needs_links
@pytest.mark.parametrize(("place", "met"), [("train/a/out.png", "a/out.png"), ("train/out", "out/1.png"), ("val", "")])
def test_links_out_of_the_data_are_followed(tmp_path: Path, place: str, met: str) -> None:
    """A set is often a farm of links into a larger one, and train a link to a larger disk."""
    root = folder(tmp_path / "data", "train/a/1.png", "train/b/1.png")
    folder(tmp_path, "more.png", "other/1.png", "whole/a/1.png")
    os.symlink(tmp_path / {"train/a/out.png": "more.png", "train/out": "other", "val": "whole"}[place], root / place)
    source = open_source(root)
    assert met in source.parts["train"].names if met else source.parts["val"].names == ("a/1.png",)


@needs_links
def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png")
    os.symlink("gone.png", tmp_path / "train/a/2.png")
    part = open_source(tmp_path).parts["train"]
    assert part.names == ("a/1.png", "a/2.png", "b/1.png")
    for read in (part.read, part.encoded):
        with pytest.raises(DataError, match=r"train/a/2.png is a link that leads nowhere"):
            read(1)
    os.symlink("gone", tmp_path / "train/c")
    refused(tmp_path, "train/c is a link that leads nowhere")


@needs_links
def test_pipes_sockets_and_folders_that_look_like_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "a/1.png", "b/1.png", "b/odd.png/2.png")
    os.mkfifo(tmp_path / "a/pipe.png")
    os.symlink("pipe.png", tmp_path / "a/to-pipe.png")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("a/socket.png")
        source = open_source(tmp_path)
    assert source.parts["all"].names == ("a/1.png", "b/1.png")
    assert [note.split("/", 1)[1] for note in source.notes] == [
        "a/pipe.png is not a regular file, passed by",
        "a/socket.png is not a regular file, passed by",
        "a/to-pipe.png is not a regular file, passed by",
        "b/odd.png is a folder with the name of a picture, passed by",
    ]


def test_folders_without_end(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "b/" + "d/" * 40 + "1.png")
    assert len(open_source(tmp_path).parts["all"].names) == 2
    folder(tmp_path, "b/" + "d/" * 70 + "1.png")
    refused(tmp_path, "64 folders deep")


def test_a_folder_that_may_not_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, "a/1.png", "b/1.png")
    scandir = os.scandir

    def forbidden(path: Path | str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbidden)
    refused(tmp_path, str(tmp_path / "b"), "Permission denied", "readable")


def test_a_picture_that_is_too_large(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "b/1.png")
    with pytest.raises(DataError, match=r"a/1.png has 64 pixels"):
        open_source(tmp_path, max_pixels=63).parts["all"].read(0)


def test_classes_of_a_model(tmp_path: Path) -> None:
    folder(tmp_path, "test/b/1.png", "test/c/1.png")
    refused(tmp_path, "no train part, only test")
    source = open_source(tmp_path, classes=("c", "a", "b"))
    assert (source.classes, source.parts["test"].labels.tolist()) == (("c", "a", "b"), [2, 0])
    refused(tmp_path, "the model does not have: c", classes=("a", "b"))
    assert open_source(folder(tmp_path / "one", "b/1.png"), classes="abc").parts["all"].labels.tolist() == [1]


def test_hymenoptera(data_dir: Path) -> None:
    source = open_source(data_dir / "hymenoptera")
    assert source.classes == ("ants", "bees")
    assert {name: np.bincount(part.labels).tolist() for name, part in source.parts.items()} == {
        "train": [124, 121],
        "val": [70, 83],
    }
    assert "ants/imageNotFound.gif" in source.parts["train"].names


# IDX


@pytest.mark.parametrize(("packed", "dot"), [(True, False), (False, False), (False, True)])
def test_idx(tmp_path: Path, packed: bool, dot: bool) -> None:
    write_idx(tmp_path, "t10k", [7, 7], packed, dot)
    write_idx(tmp_path, "train", [10, 7, 2, 7], packed, dot)
    source = open_source(tmp_path)
    assert (source.kind, source.classes, source.channels, source.arrays) == ("idx", ("2", "7", "10"), 1, True)
    assert list(source.parts) == ["train", "test"]
    train = source.parts["train"]
    assert (train.labels.tolist(), train.names) == ([2, 1, 0, 1], ("0", "1", "2", "3"))
    images = np.random.default_rng(4).integers(0, 256, (4, 5, 4), np.uint8)
    assert (train.read(2).pixels == images[2, :, :, None]).all()
    assert train.encoded(2) == images[2].tobytes()


def test_idx_of_a_model(tmp_path: Path) -> None:
    write_idx(tmp_path, "t10k", [0, 3])
    refused(tmp_path, "no train part")
    assert open_source(tmp_path, classes=("3", "0")).parts["test"].labels.tolist() == [1, 0]
    refused(tmp_path, "the model does not have: 3", classes=("0", "1"))


def test_idx_packed_and_not(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    write_idx(tmp_path, "train", [0, 1, 3], packed=False)
    assert open_source(tmp_path).classes == ("0", "1", "3")
    write_idx(tmp_path, "train", [0, 1, 3], dot=True)
    refused(tmp_path, "has both train")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated: 0 bytes"),
        (bytes([0, 0, 8, 3, 0, 0]), "truncated: 6 bytes"),
        (idx_bytes(np.zeros((3, 5, 4), np.uint8))[:-1], "truncated"),
        (idx_bytes(np.zeros((3, 5, 4), np.uint8)) + b"x", "goes on after the 60 bytes"),
        (idx_bytes(np.zeros((3, 20), np.uint8)), "not an IDX file of 3 dimensions: it starts 00 00 08 02"),
        (bytes([0, 0, 13, 3]) + bytes(12), "not an IDX file"),
        (b"<!DOCTYPE html><html>", "not an IDX file"),
        (idx_bytes(np.zeros((0, 5, 4), np.uint8)), "is empty"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "are allowed"),
        (bytes([0, 0, 8, 3]) + np.array([60000, 28, 28], ">u4").tobytes(), "truncated: "),
        (idx_bytes(np.zeros((4, 5, 4), np.uint8)), "4 pictures but 3 labels"),
    ],
)
def test_broken_idx(tmp_path: Path, packed: bool, data: bytes, words: str) -> None:
    write_idx(tmp_path, "train", [0, 1, 2], packed)
    (path,) = tmp_path.glob("*images*")
    path.write_bytes(gzip.compress(data) if packed else data)
    refused(tmp_path, words)


def test_idx_in_a_broken_gzip(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    (path,) = tmp_path.glob("*images*")
    good = path.read_bytes()
    for bad, words in (
        (good[:-12], "truncated"),
        (good[:-6] + bytes([good[-6] ^ 1]) + good[-5:], "CRC"),
        (b"nonsense", "gzip"),
        (good[:20] + b"\xff" * 20 + good[40:], "cannot be read"),
    ):
        path.write_bytes(bad)
        refused(tmp_path, path.name, words)


def test_idx_is_never_read_beyond_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    (path,) = tmp_path.glob("*images*")
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((3, 5, 4), np.uint8)) + bytes(20_000_000)))
    read = 0
    true_read = gzip.GzipFile.read

    def counted(file: gzip.GzipFile, size: int | None = -1) -> bytes:
        nonlocal read
        data = true_read(file, size)
        read += len(data)
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    refused(tmp_path, "goes on after the 60 bytes")
    assert read < 200


def test_half_an_idx(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    next(tmp_path.glob("*labels*")).unlink()
    refused(tmp_path, "no labels for it")


def test_idx_label_that_train_lacks(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    write_idx(tmp_path, "t10k", [0, 9])
    refused(tmp_path, "test", "train does not have: 9")


def test_fashion_mnist(data_dir: Path) -> None:
    source = open_source(data_dir / "fashion-mnist")
    assert source.classes == tuple("0123456789")
    assert {name: np.bincount(part.labels).tolist() for name, part in source.parts.items()} == {
        "train": [6000] * 10,
        "test": [1000] * 10,
    }
    assert source.parts["train"].read(0).pixels.shape == (28, 28, 1)
    with gzip.open(data_dir / "fashion-mnist/t10k-images-idx3-ubyte.gz") as file:
        assert file.read()[-784:] == source.parts["test"].encoded(9_999)


# Parquet


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 7, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_parquet(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [(png(i), i % 2) for i in range(5)], ["bee", "ant"])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [(png(9), 1)], ["bee", "ant"])
    write_parquet(tmp_path / "test.parquet", [(png(7), 0), (png(8), 1)], ["ant", "bee"])  # its own order
    source = open_source(tmp_path)
    assert (source.kind, source.classes, source.channels) == ("parquet", ("bee", "ant"), 3)
    train, test = source.parts["train"], source.parts["test"]
    assert train.names == ("0", "1", "2", "3", "4", "5")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 1, 0, 1, 0, 1], [1, 0])
    assert [train.encoded(i) for i in range(6)] == [png(0), png(1), png(2), png(3), png(4), png(9)]
    assert (test.read(1).pixels == np.asarray(Image.open(io.BytesIO(png(8))))).all()


def test_parquet_elsewhere(tmp_path: Path) -> None:
    rows = [(png(0), 3), (png(1), 20), (png(2), 3)]
    path = write_parquet(tmp_path / "data" / "train.parquet", rows, None)
    source = open_source(tmp_path)
    assert (source.classes, list(source.parts)) == (("3", "20"), ["train"])
    alone = open_source(path)
    assert list(alone.parts) == ["all"]
    with pytest.raises(DataError, match=r"^2 has 42 pixels"):
        open_source(path, max_pixels=41).parts["all"].read(2)


def test_parquet_names(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": png(i), "path": f"x/{i}.png"} for i in range(2)]
    rows = [(png(0), 0), (png(1), 1)]
    path = write_parquet(tmp_path / "a.parquet", rows, ["a", "b"], image=pa.array(images, kind))
    assert open_source(path).parts["all"].names == ("x/0.png", "x/1.png")
    images[1]["path"] = images[0]["path"]
    path = write_parquet(tmp_path / "a.parquet", rows, ["a", "b"], image=pa.array(images, kind))
    assert open_source(path).parts["all"].names == ("0", "1")
    pq.write_table(pa.table({"more": [7, 8], "labels": [5, 6], "img": [png(0), png(1)]}), path)
    assert open_source(path).classes == ("5", "6")
    assert open_source(path).parts["all"].encoded(1) == png(1)


def test_parquet_with_more_names_than_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [(png(0), 2), (png(1), 0)], ["a", "b", "c"])
    source = open_source(tmp_path)
    assert (source.classes, source.parts["train"].labels.tolist()) == (("a", "c"), [1, 0])
    assert source.notes == ["classes without pictures in train are left out: b"]
    write_parquet(tmp_path / "test.parquet", [(png(0), 1)], ["a", "b", "c"])
    refused(tmp_path, "test", "train does not have: b")
    assert open_source(tmp_path, classes=("c", "b", "a")).parts["test"].labels.tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "names", "words"),
    [
        ([(b"x", 0), (b"x", 0), (None, 1)], ["a", "b"], "row 2 has no image"),
        ([(b"x", 0), (b"x", None)], ["a", "b"], "row 1 has no label"),
        ([(b"x", 0), (b"x", 1), (b"x", 2)], ["a", "b"], "row 2 has the label 2, but there are 2 classes"),
        ([(b"x", 0), (b"x", -1)], ["a", "b"], "row 1 has the label -1"),
        ([(b"x", 0), (b"x", -1)], None, "row 1 has the label -1, but labels begin at 0"),
        ([(b"x", 0), (b"x", 0)], ["a", "b"], "one class, a, and needs at least two"),
        ([(b"x", 0), (b"x", 1)], ["a", "a"], "not different words"),
        ([(b"x", 0), (b"x", 1)], ["a", 3], "not different words"),
        ([(b"x", 0), (b"x", 1)], ["a", "A"], "only in case"),
        ([], ["a", "b"], "has no pictures"),
    ],
)
def test_broken_parquet(
    tmp_path: Path, rows: list[tuple[bytes | None, int | None]], names: list[str], words: str
) -> None:
    refused(write_parquet(tmp_path / "a.parquet", rows, names), words)


def with_features(path: Path, columns: dict[str, Any], features: dict[str, Any]) -> Path:
    """Columns as Hugging Face writes them, with what it says of each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = json.dumps({"info": {"features": features}})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata({"huggingface": said}), path)
    return path


def names(*words: str) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": list(words)}


def test_parquet_columns(tmp_path: Path) -> None:
    two = [png(0), png(1)]
    cifar = {"img": two, "fine_label": [1, 0], "coarse_label": [0, 1]}
    features = {"img": {"_type": "Image"}, "fine_label": names("ant", "bee"), "coarse_label": names("x", "y")}
    path = with_features(tmp_path / "a.parquet", cifar, features)
    assert open_source(path).classes == ("ant", "bee")
    assert open_source(path, columns=Columns(label="coarse_label")).classes == ("x", "y")
    assert open_source(path, columns=Columns(label="kind", must=False)).classes == ("ant", "bee")
    with pytest.raises(DataError, match=r"no column coarse_labels; did you mean coarse_label"):
        open_source(path, columns=Columns(label="coarse_labels"))
    path = with_features(
        tmp_path / "b.parquet",
        {"photo": two, "size": [3, 4], "kind": [0, 1]},
        {"photo": {"_type": "Image"}, "size": {"_type": "Value"}, "kind": names("c", "d")},
    )
    assert open_source(path).classes == ("c", "d")
    assert open_source(path).parts["all"].encoded(1) == png(1)
    image = {"_type": "Image"}
    path = with_features(
        tmp_path / "c.parquet",
        {"left": two, "right": two[::-1], "label": [0, 1], "labels": [1, 1]},
        {"left": image, "right": image, "label": names("a", "b")},
    )
    refused(path, "left and right could each be the image", "--image-column left")
    with pytest.raises(DataError, match="label and labels could each be the label"):
        open_source(path, columns=Columns(image="right"))
    source = open_source(path, columns=Columns(image="right", label="label"))
    assert source.parts["all"].encoded(0) == png(1)
    assert source.columns == ("image_column", "label_column")
    path = with_features(tmp_path / "d.parquet", {"a": two, "b": [0, 1]}, {})
    refused(path, "no column image, only a, b", "--image-column")


def test_parquet_of_hidden_labels(tmp_path: Path) -> None:
    """Hugging Face writes -1 where a test is kept secret."""
    write_parquet(tmp_path / "train.parquet", [(png(0), 0), (png(1), 1)], ["a", "b"])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [(png(2), -1), (png(3), -1)], ["a", "b"])
    source = open_source(tmp_path)
    assert list(source.parts) == ["train"]
    assert source.notes == ["test has no labels, only -1, and is passed by"]
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [(png(2), -1), (png(3), 0)], ["a", "b"])
    refused(tmp_path, "row 0 has the label -1")
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [], ["a", "b"])
    refused(tmp_path, "test has no pictures")
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    write_parquet(tmp_path / "val.parquet", [(png(2), -1), (png(3), -1)], ["a", "b"])
    refused(tmp_path, "val.parquet has no labels, only -1")


def test_parquet_that_is_none(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train.parquet"
    good = write_parquet(path, [(png(0), 0), (png(1), 1)], ["a", "b"]).read_bytes()
    for bad in (b"", b"text", good[:-20], good[:40]):
        path.write_bytes(bad)
        refused(tmp_path, "train.parquet", "is not a parquet file that can be read")
    write_parquet(path, [(png(0), 0)], ["a"], label=pa.array(["a"]))
    refused(tmp_path, "the column label holds string")
    write_parquet(path, [(png(0), 0)], ["a"], image=pa.array([1]))
    refused(tmp_path, "the column image holds int64")
    write_parquet(path, [(png(0), 0)], ["a"], image=pa.array([{"path": "a.png"}]))
    refused(tmp_path, "no column bytes, only path")
    pq.write_table(pa.table({"picture": [b"x"], "label": [0]}), path)
    refused(tmp_path, "no column image, only picture, label")


def test_parquet_parts(tmp_path: Path) -> None:
    rows = [(png(0), 0), (png(1), 1)]
    write_parquet(tmp_path / "train-00000-of-00003.parquet", rows, ["a", "b"])
    write_parquet(tmp_path / "train-00002-of-00003.parquet", rows, ["a", "b"])
    refused(tmp_path, "lacks 1 of the pieces of train-00000-of-00003.parquet")
    write_parquet(tmp_path / "train-00001-of-00003.parquet", rows, ["a", "b"])
    write_parquet(tmp_path / "odd.parquet", rows, ["a", "b"])
    refused(tmp_path, "the part of odd.parquet is not clear")
    shutil.move(tmp_path / "odd.parquet", tmp_path / "val.parquet")
    assert [len(part.names) for part in open_source(tmp_path).parts.values()] == [6, 2]
    write_parquet(tmp_path / "validation.parquet", rows, ["a", "b"])
    refused(tmp_path, "both val and validation")


def test_parquet_that_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(bytes(50_000), 0), (bytes(50_000), 1)]
    paths = [write_parquet(tmp_path / f"train-{i}.parquet", rows, ["a", "b"]) for i in range(3)]
    size = paths[0].stat().st_size
    assert size < 20_000  # well packed
    monkeypatch.setattr(parquet_room, "LIMIT", 90_000)
    with pytest.raises(ResourceError, match=r"train-0.parquet holds 100,\d\d\d bytes or more"):
        open_source(tmp_path)
    monkeypatch.setattr(parquet_room, "LIMIT", 3 * size - 1)
    with pytest.raises(ResourceError, match=rf"holds {3 * size:,} bytes"):
        open_source(tmp_path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path / "a.parquet", [(png(0), 0)], ["a"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ResourceError, match=r"pip install resnetkit\[data\]"):
        open_source(path)


def test_cifar10(data_dir: Path) -> None:
    source = open_source(data_dir / "cifar10-jpeg")
    assert source.classes == tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
    train = source.parts["train"]
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert train.names[0] == "automobile/1690.jpg"
    assert all(name.startswith(source.classes[label]) for name, label in zip(train.names, train.labels, strict=True))
    assert train.read(49_999).pixels.shape == (32, 32, 3)


# The rest


def test_two_kinds_of_data_in_one_folder(tmp_path: Path) -> None:
    write_idx(tmp_path, "train", [0, 1, 2])
    folder(tmp_path, "train/a/1.png")
    refused(tmp_path, "IDX and a train folder")


def test_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = open_source("digits")
    assert (source.kind, source.classes, source.channels, source.notes) == ("digits", tuple("0123456789"), 1, [])
    train, test = source.parts["train"], source.parts["test"]
    assert (len(train.names), np.bincount(test.labels).tolist()) == (1437, [36] * 10)
    assert test.labels[:8].tolist() == [0, 2, 1, 2, 5, 6, 0, 1]  # the same in every release
    from sklearn.datasets import load_digits

    pixels = load_digits().images
    assert test.read(0).pixels.tolist() == np.rint(pixels[0] * 255 / 16)[..., None].tolist()
    seen = {train.encoded(i) for i in range(1437)} | {test.encoded(i) for i in range(360)}
    assert seen == {np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in pixels}
    picture(tmp_path / "digits/a/1.png")
    assert "./digits" in open_source("digits").notes[0]
    refused("./digits", "one class")


def test_digits_without_sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ResourceError, match="scikit-learn"):
        open_source("digits")


def test_noise_is_not_alike(tmp_path: Path) -> None:
    """The pictures of these tests differ, or some of them would show nothing."""
    assert noise(tmp_path / "a.png", 0).read_bytes() != noise(tmp_path / "b.png", 1).read_bytes()
