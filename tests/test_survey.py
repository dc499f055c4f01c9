"""One look at every picture finds what it is, what is wrong with it, and what is there twice."""

import os
import shutil
import threading
import time
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import folder, noise, picture, write_idx

from resnetkit.data.decode import Picture
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.data.survey import data_hash, moments, refuse_bad, survey
from resnetkit.errors import DataError


def test_what_is_seen(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png")
    picture(tmp_path / "train/b/2.png", 7, (300, 20))
    picture(tmp_path / "val/a/1.bmp", (1, 2, 3))
    seen = survey(open_source(tmp_path), 2)
    assert seen.rows == {"train": slice(0, 3), "val": slice(3, 4)}
    assert seen.shapes.tolist() == [[8, 8, 3], [8, 8, 3], [20, 300, 1], [8, 8, 3]]
    data = (tmp_path / "train/a/1.png").read_bytes()
    assert seen.digests[0] == blake2b(data, digest_size=16).hexdigest()
    assert len(set(seen.digests)) == 4
    assert (seen.formats, seen.bad, seen.stack, seen.notes) == ({"PNG": 3, "BMP": 1}, [], None, [])


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_small_pictures_of_one_size_are_kept(tmp_path: Path, workers: int) -> None:
    folder(tmp_path, *(f"train/{kind}/{i}.png" for i in range(70) for kind in "ab"), "test/a/x.png")
    source = open_source(tmp_path)
    seen = survey(source, workers)
    assert seen.stack is not None
    assert seen.stack.shape == (141, 8, 8, 3)
    expected = [part.read(i).pixels for part in source.parts.values() for i in range(len(part.names))]
    assert (seen.stack == np.stack(expected)).all()
    assert len(np.unique(seen.stack.reshape(141, -1), axis=0)) == 141


def test_grey_among_colour(tmp_path: Path) -> None:
    for order in ("gc", "cg"):
        root = folder(tmp_path / order, f"a/{order[0]}.png", f"b/{order[1]}.png")
        (grey,) = root.glob("*/g.png")
        picture(grey, 77)
        seen = survey(open_source(root), 1)
        assert seen.stack is not None
        assert seen.stack.shape == (2, 8, 8, 3)
        assert (seen.stack[order.index("g")] == 77).all()
        assert seen.shapes[:, 2].tolist() == [1 if c == "g" else 3 for c in order]


@pytest.mark.parametrize("spoil", ["size", "large", "all bad"])
def test_what_prevents_a_stack(tmp_path: Path, spoil: str) -> None:
    folder(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    if spoil == "size":
        picture(tmp_path / "b/1.png", size=(8, 9))
    elif spoil == "large":
        for path in tmp_path.glob("*/*.png"):
            picture(path, size=(65, 8))
    else:
        for path in tmp_path.glob("*/*.png"):
            path.write_bytes(b"GIF89a")
    assert survey(open_source(tmp_path), 1).stack is None


@pytest.mark.parametrize(("spoil", "rows"), [("a/1.png", [1, 2]), ("b/1.png", [0, 2])])
def test_a_bad_picture_leaves_the_stack_of_the_others_as_it_is(tmp_path: Path, spoil: str, rows: list[int]) -> None:
    whole = survey(open_source(folder(tmp_path, "a/1.png", "b/1.png", "b/2.png")), 1)
    (tmp_path / spoil).write_bytes(b"GIF89a")
    seen = survey(open_source(tmp_path), 1)
    assert seen.readable.nonzero()[0].tolist() == rows
    assert whole.stack is not None
    assert seen.stack is not None
    assert (seen.stack[rows] == whole.stack[rows]).all()


def test_arrays(tmp_path: Path) -> None:
    source = open_source(write_idx(tmp_path, "train", [0, 1, 1, 0]))
    seen = survey(source, 2)
    assert seen.formats == {"array": 4}
    assert seen.stack is not None
    assert seen.stack.shape == (4, 5, 4, 1)
    assert (seen.stack[3] == source.parts["train"].read(3).pixels).all()
    assert seen.digests[3] == blake2b(seen.stack[3].tobytes(), digest_size=16).hexdigest()


def test_bad_pictures_are_listed_and_refused(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "train/b/2.png", "val/a/1.png")
    refuse_bad(survey(open_source(tmp_path), 2))
    (tmp_path / "train/b/1.png").write_text("hello")
    (tmp_path / "val/a/1.png").write_bytes(b"")
    seen = survey(open_source(tmp_path), 2)
    assert [name for name, _ in seen.bad] == ["train/b/1.png", "val/a/1.png"]
    assert "text" in seen.bad[0][1].what
    assert seen.shapes[[1, 3]].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert (seen.digests[1], seen.formats) == ("", {"PNG": 2})
    with pytest.raises(DataError, match=r"2 pictures cannot be read: train/b/1.png .*, val/a/1.png"):
        refuse_bad(seen)


def test_a_format_that_few_have_is_named(tmp_path: Path) -> None:
    folder(tmp_path, *(f"train/{kind}/{i}.png" for i in range(30) for kind in "ab"))
    noise(tmp_path / "val/a/odd.gif", 99)
    assert survey(open_source(tmp_path), 2).notes == ["val/a/odd.gif: GIF among 60 PNG"]
    noise(tmp_path / "val/a/odder.gif", 98)
    assert survey(open_source(tmp_path), 2).notes == ["2 GIF among 60 PNG: val/a/odd.gif, val/a/odder.gif"]
    for i in range(5):
        noise(tmp_path / f"val/a/{i}.gif", 100 + i)
    assert survey(open_source(tmp_path), 2).notes == []


def test_notes_of_the_decoder_are_counted(tmp_path: Path) -> None:
    folder(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    for name in ("a/1.png", "b/2.png"):
        Image.new("RGBA", (8, 8), (1, 2, len(name[0] * ord(name[0])), 9)).save(tmp_path / name)
    (note,) = survey(open_source(tmp_path), 2).notes
    assert note == "a/1.png and 1 more: transparent parts shown on white"


def test_pictures_that_are_there_twice(tmp_path: Path) -> None:
    folder(tmp_path, *(f"train/{kind}/{i}.png" for i in range(4) for kind in "ab"), "val/a/x.png", "val/b/y.png")
    root = tmp_path
    assert survey(open_source(root), 2).notes == []
    shutil.copy(root / "train/a/0.png", root / "train/b/copy.png")
    shutil.copy(root / "train/a/1.png", root / "val/a/x.png")
    assert survey(open_source(root), 2).notes == [
        "the same picture in two classes: train/a/0.png = train/b/copy.png",
        "the same picture in val and train, 1 of 2: val/a/x.png = train/a/1.png",
        "the same picture twice in train: train/a/0.png = train/b/copy.png",
    ]
    shutil.copy(root / "train/b/1.png", root / "val/b/y.png")
    assert any(
        note.startswith("the same picture in val and train, ALL of 2: ") for note in survey(open_source(root), 2).notes
    )


def test_pictures_that_cannot_be_read_are_not_alike(tmp_path: Path) -> None:
    folder(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png")
    for path in tmp_path.glob("*/*/*.png"):
        path.write_bytes(b"")
    seen = survey(open_source(tmp_path), 2)
    assert (seen.notes, len(seen.bad)) == ([], 3)


def test_progress(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{kind}/{i}.png" for i in range(100) for kind in "ab"))
    heard: list[tuple[int, int]] = []
    survey(open_source(tmp_path), 2, progress=lambda done, of: heard.append((done, of)))
    assert heard == [(64, 200), (128, 200), (192, 200), (200, 200)]


def test_who_stops_listening_is_not_kept_waiting(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{kind}/{i}.png" for i in range(100) for kind in "ab"))
    source, before = open_source(tmp_path), threading.active_count()

    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    read, count = source.parts["all"].read, 0

    def slow(i: int) -> Picture:
        nonlocal count
        count += 1
        time.sleep(0.01 * (i >= 64))
        return read(i)

    source.parts["all"] = replace(source.parts["all"], read=slow)
    with pytest.raises(KeyboardInterrupt):
        survey(source, 2, progress=interrupt)
    assert threading.active_count() == before
    assert count < 64 + 40  # neither thread went on to the end of its second lot


def test_the_hash_is_of_what_is_there(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", "train/a/1.png", "train/b/1.png", "train/b/2.png", "val/a/9.png")
    before = data_hash(open_source(one))
    assert (len(before), int(before, 16) > 0) == (32, True)
    other = Path(shutil.copytree(one, tmp_path / "elsewhere" / "two"))
    os.utime(other / "train/a/1.png", (0, 0))
    (other / "val").rename(other / "valid")
    assert data_hash(open_source(other)) == before
    assert data_hash(open_source(other), survey(open_source(other), 2)) == before
    hashes = {before}
    changes = [
        ("train/b/1.png", "train/b/3.png"),
        ("valid/a", "valid/b"),
        ("valid/b", "test/b"),
        ("train/b/2.png", "test/b/2.png"),
    ]
    for old, new in changes:
        (other / new).parent.mkdir(exist_ok=True)
        (other / old).rename(other / new)
        if old == "valid/b":
            (other / "valid").rmdir()
        hashes.add(data_hash(open_source(other)))
    reverse = open_source(one)
    train = reverse.parts["train"]
    reverse.parts["train"] = replace(
        train, names=train.names[::-1], labels=train.labels[::-1], encoded=lambda i: train.encoded(2 - i)
    )
    assert data_hash(reverse) == before
    noise(other / "train/a/1.png", 55)
    hashes.add(data_hash(open_source(other)))
    assert len(hashes) == 2 + len(changes)
    by_label = [
        data_hash(open_source(write_idx(tmp_path / "idx", "train", labels))) for labels in ([0, 1, 1], [0, 1, 0])
    ]
    assert by_label[0] != by_label[1]


def test_moments() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 40, 40, 3), np.uint8) // np.array([1, 2, 4], np.uint8)
    mean, std = moments([images])
    assert np.allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-12)
    assert np.allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-12)
    parts = [images[30:], images[:0], images[:30, :, ::-1]]
    assert moments(parts) == (mean, std)
    assert moments([np.full((2, 3, 3, 1), 51, np.uint8)]) == ((0.2,), (1 / 255,))
    Preprocess(size=(8, 8), mean=mean, std=std, channels=3)
    with pytest.raises(DataError, match="no picture"):
        moments([])


def test_hymenoptera(data_dir: Path) -> None:
    seen = survey(open_source(data_dir / "hymenoptera"), 2)
    assert seen.formats == {"JPEG": 397, "GIF": 1}
    assert "train/ants/imageNotFound.gif: GIF among 397 JPEG" in seen.notes
    assert (seen.bad, seen.stack, len(seen.shapes)) == ([], None, 398)
    assert seen.shapes[:, 2].min() >= 1
