"""Pictures in arrays: npz and CIFAR files give what any other reader gives, and a broken one is said to be broken."""

import contextlib
import io
import json
import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import resnet
from hubserver import branch_folder, serving, use
from numpy.typing import NDArray
from PIL import Image
from samples import folder, idx_bytes, old_pickle, write_cifar, write_idx, write_parquet, write_tar

from resnetkit.data import cifar as cifar_room
from resnetkit.data import npz as npz_room
from resnetkit.data import pickles as pickles_room
from resnetkit.data.parts import Source
from resnetkit.data.pickles import read_pickle
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.errors import DataError, KitError, ResourceError

needs_posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes are a matter of POSIX")
WORDS = ("ant", "bee", "cat")
Parts = dict[str, tuple[NDArray[np.uint8], list[int]]]


def pictures(channels: int = 3, size: int = 32) -> Parts:
    """Four to nine different pictures a part, in the order of their classes."""
    made: Parts = {}
    for seed, (part, labels) in enumerate({"train": [0, 0, 0, 1, 1, 1, 2, 2, 2], "test": [0, 1, 1, 2]}.items()):
        images = np.random.default_rng(seed).integers(0, 256, (len(labels), size, size, channels), np.uint8)
        made[part] = images, labels
    return made


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(file, "PNG")
    return file.getvalue()


def keras(parts: Parts, **more: Any) -> dict[str, Any]:
    arrays = {f"x_{part}": images for part, (images, _) in parts.items()}
    return arrays | {f"y_{part}": np.array(labels) for part, (_, labels) in parts.items()} | more


def medmnist(parts: Parts) -> dict[str, Any]:
    arrays = {f"{part}_images": images for part, (images, _) in parts.items()}
    return arrays | {f"{part}_labels": np.array(labels, np.uint8)[:, None] for part, (_, labels) in parts.items()}


def save(path: Path, packed: bool = False, **arrays: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def new_pickle(protocol: int) -> Callable[[dict[bytes, Any]], bytes]:
    return lambda found: pickle.dumps(found, protocol)


def seen(source: Source) -> dict[str, list[tuple[str, bytes, tuple[int, ...], bytes]]]:
    """Class, pixels, shape, and what a network would be shown, of every picture of every part."""
    channels = source.channels if source.arrays else source.parts["train"].read(0).pixels.shape[-1]
    half = (0.5,) * channels
    preprocess = Preprocess(size=(24, 20), channels=channels, resize="stretch", mean=half, std=half)
    found: dict[str, list[tuple[str, bytes, tuple[int, ...], bytes]]] = {}
    for name, part in source.parts.items():
        rows = []
        for i, label in enumerate(part.labels):
            pixels = part.read(i).pixels
            shown = preprocess.apply(pixels)
            assert pixels.dtype == shown.dtype == np.uint8
            assert not pixels.flags.writeable
            rows.append((source.classes[label], pixels.tobytes(), pixels.shape, shown.tobytes()))
        found[name] = rows
    return found


def every_colour_reader(root: Path) -> Iterator[tuple[str, Path]]:
    """The same colour pictures in every form there is."""
    parts = pictures()
    for part, (images, labels) in parts.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = root / f"folder/{part}/{WORDS[label]}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
        rows = [(png(image), label) for image, label in zip(images, labels, strict=True)]
        write_parquet(root / f"parquet/{part}.parquet", rows, WORDS)
        write_parquet(branch_folder(root / "hub", "me/set") / f"data/{part}-00000-of-00001.parquet", rows, WORDS)
        pairs = [[(f"{i}.png", data), (f"{i}.cls", b"%d\n" % label)] for i, (data, label) in enumerate(rows)]
        write_tar(root / f"tars/set-{part}-000000.tar", [member for pair in pairs[:3] for member in pair])
        write_tar(root / f"tars/set-{part}-000001.tar", [member for pair in pairs[3:] for member in pair])
        words = [(f"./{i}.json", json.dumps({"label": WORDS[label]}).encode()) for i, (_, label) in enumerate(rows)]
        write_tar(root / f"words/{part}/0.tar", [*words, *((f"./{pair[0][0]}", pair[0][1]) for pair in pairs)])
        save(root / f"npz/{part}.npz", images=images, labels=labels, class_names=list(WORDS))
        save(root / f"npz first/{part}.npz", x=images.transpose(0, 3, 1, 2), y=labels, classes=list(WORDS))
    yield "folder", root / "folder"
    yield "parquet", root / "parquet"
    (root / "tars/classes.txt").write_text("\n".join(WORDS))
    yield "tars", root / "tars"
    yield "tars of words", root / "words"
    yield "npz", root / "npz"
    yield "npz, channels first", root / "npz first"
    yield "npz of Keras", save(root / "keras.npz", **keras(parts, classes=list(WORDS)))
    yield "npz of MedMNIST", save(root / "med.npz", packed=True, **medmnist(parts), class_names=np.array(WORDS, "S"))
    fortran = {part: (np.asfortranarray(images), labels) for part, (images, labels) in parts.items()}
    yield "npz in Fortran's order", save(root / "fortran.npz", **keras(fortran, classes=list(WORDS)))
    for fine in (False, True):
        yield f"records {fine}", write_cifar(root / f"records {fine}", parts, WORDS, fine=fine)
        yield f"old {fine}", write_cifar(root / f"old {fine}", parts, WORDS, fine=fine, pickled=old_pickle)
        for n in range(6):
            path = root / f"pickles {fine} {n}"
            yield path.name, write_cifar(path, parts, WORDS, fine=fine, pickled=new_pickle(n))


def test_every_reader_sees_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = dict(every_colour_reader(tmp_path))
    files = ("parquet", "tars", "tars of words", "the Hub")
    expected = seen(open_source(forms.pop("folder")))
    assert [len(rows) for rows in expected.values()] == [9, 4]
    assert len(forms) > 15
    with serving(tmp_path / "hub") as hub:
        use(hub, tmp_path / "home", monkeypatch)
        sources = {name: open_source(path) for name, path in forms.items()} | {"the Hub": open_source("hf:me/set")}
    for name, source in sources.items():
        assert (source.classes, source.channels) == (WORDS, 3), name
        assert seen(source) == expected, name
        assert source.arrays == (name not in files)
        if source.arrays:
            assert source.parts["test"].encoded(1) == source.parts["test"].read(1).pixels.tobytes()


def test_every_reader_sees_the_same_in_grey(tmp_path: Path) -> None:
    parts = pictures(channels=1)
    (tmp_path / "idx").mkdir()
    for part, (images, labels) in parts.items():
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = tmp_path / f"folder/{part}/{label}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(image))
        write_parquet(
            tmp_path / f"parquet/{part}.parquet",
            [(png(image), label) for image, label in zip(images, labels, strict=True)],
            ["0", "1", "2"],
        )
        (tmp_path / f"idx/{part}-images-idx3-ubyte").write_bytes(idx_bytes(images[..., 0]))
        (tmp_path / f"idx/{part}-labels-idx1-ubyte").write_bytes(idx_bytes(np.array(labels, np.uint8)))
    expected = seen(open_source(tmp_path / "folder"))
    flat = {part: (images[..., 0], labels) for part, (images, labels) in parts.items()}
    first = {part: (images.transpose(0, 3, 1, 2), labels) for part, (images, labels) in parts.items()}
    for i, form in enumerate((parts, flat, first)):
        save(tmp_path / f"{i}.npz", **keras(form))
    for name in ("parquet", "idx", "0.npz", "1.npz", "2.npz"):
        source = open_source(tmp_path / name)
        assert seen(source) == expected, name
        assert source.channels == (3 if name == "parquet" else 1)


def refused(root: Path, *words: str, classes: Sequence[str] | None = None) -> KitError:
    """Opening fails soon with these words, as a DataError with a remedy, and names the file or folder."""
    begun = time.process_time()
    with pytest.raises((DataError, ResourceError)) as caught:
        open_source(root, classes=classes)
    assert time.process_time() - begun < 5
    error = caught.value
    assert isinstance(error, KitError)
    assert error.fix
    for word in words:
        assert word in str(error)
    assert str(root) in error.what
    return error


@contextlib.contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


# npz


def test_npz_parts_and_order(tmp_path: Path) -> None:
    parts = pictures()
    images, labels = parts["train"]
    path = save(tmp_path / "a.npz", X_train=images, Y_train=np.array(labels) + 9, x_valid=images, y_valid=[9] * 9)
    source = open_source(path)
    assert (source.kind, source.classes, list(source.parts)) == ("npz", ("9", "10", "11"), ["train", "val"])
    path = save(tmp_path / "b.npz", data=images, targets=np.array(labels, ">u8")[:, None], more=[1.5])
    source = open_source(path)
    assert (list(source.parts), source.notes) == (["all"], ["b.npz: not looked at: more"])
    assert open_source(path, classes=("2", "1", "0")).parts["all"].labels.tolist() == [2, 2, 2, 1, 1, 1, 0, 0, 0]
    path = save(tmp_path / "c.npz", images=images, labels=[2, 0, 0, 0, 0, 0, 0, 0, 0], classes=["z", "y", "x"])
    source = open_source(path)
    assert (source.classes, source.parts["all"].labels[:2].tolist()) == (("z", "x"), [1, 0])
    assert source.notes == ["classes without pictures in train are left out: y"]


def test_npz_folder(tmp_path: Path) -> None:
    images, labels = pictures()["train"]
    save(tmp_path / "train.npz", images=images, labels=labels, classes=["c", "b", "a"])
    save(tmp_path / "validation.npz", images=images, labels=labels)
    save(tmp_path / "test.npz", x_test=images, y_test=labels, classes=["a", "b", "c"])
    save(tmp_path / "features.npz", junk=[1.0])
    source = open_source(tmp_path)
    assert (source.classes, list(source.parts)) == (("c", "b", "a"), ["train", "val", "test"])
    assert source.parts["val"].labels[0] == 0
    assert source.parts["test"].labels[0] == 2
    save(tmp_path / "val.npz", images=images, labels=labels)
    refused(tmp_path, "both val.npz and validation.npz")
    (tmp_path / "val.npz").unlink()
    save(tmp_path / "test.npz", x_train=images, y_train=labels)
    refused(tmp_path, "test.npz holds train pictures")
    (tmp_path / "data_batch_1.bin").write_bytes(b"")
    refused(tmp_path, "npz and CIFAR-10 in records", "keep one of them")


GREY, FEW = np.zeros((4, 5, 6), np.uint8), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "holds nothing"),
        ({"x_train": GREY}, "has x_train but no y_train"),
        ({"test_labels": FEW}, "has test_labels but no test_images"),
        ({"images": GREY}, "holds images: it is not clear"),
        ({"images": GREY, "x": GREY, "y": FEW}, "it is not clear which"),
        ({"images": GREY, "labels": FEW, "y": FEW}, "it is not clear which"),
        ({"arr_0": GREY, "arr_1": FEW}, "holds arr_0, arr_1"),
        ({"x_train": GREY, "y_train": FEW, "train_images": GREY, "train_labels": FEW}, "both x_train and train_images"),
        ({"x_val": GREY, "y_val": FEW, "x_valid": GREY, "y_valid": FEW}, "both x_val and x_valid"),
        ({"x": GREY, "y": FEW[:3]}, "x has 4 pictures but y 3 labels"),
        ({"x": GREY / 255, "y": FEW}, "x holds float64 (4, 5, 6) (fix: store pictures as uint8"),
        ({"x": GREY * np.nan, "y": FEW}, "holds float64"),
        ({"x": GREY.astype(np.int64), "y": FEW}, "holds int64"),
        ({"x": GREY.astype(np.uint16), "y": FEW}, "holds uint16"),
        ({"x": GREY.astype(bool), "y": FEW}, "holds bool"),
        ({"x": GREY.astype(object), "y": FEW}, "holds Python objects"),
        ({"x": GREY, "y": FEW.astype(object)}, "holds Python objects"),
        ({"x": GREY, "y": FEW * np.nan}, "holds float64 (4,) (fix: store labels as whole numbers"),
        ({"x": GREY, "y": FEW.astype(float)}, "holds float64"),
        ({"x": GREY, "y": FEW.astype("M8[s]")}, "holds datetime64"),
        ({"x": GREY, "y": np.array(["a", "b", "a", "b"])}, "holds <U1"),
        ({"x": GREY, "y": np.zeros(4, [("a", "u1"), ("b", "u1")])}, "y holds"),
        ({"x": GREY, "y": np.eye(4, 2, dtype=int)}, "more than one number a picture"),
        ({"x": GREY, "y": np.zeros((4, 1, 1), int)}, "is (4, 1, 1)"),
        ({"x": GREY, "y": FEW - 1}, "picture 0 has the label -1, but labels begin at 0"),
        ({"x": GREY, "y": FEW + 1, "classes": ["a", "b"]}, "picture 1 has the label 2, but there are 2 classes"),
        ({"x": GREY, "y": FEW, "classes": ["a", "a"]}, "two classes are called a"),
        ({"x": GREY, "y": FEW, "classes": ["a", ""]}, "not all words"),
        ({"x": GREY, "y": FEW, "classes": np.array([b"a", b"\xff"])}, "codec"),
        ({"x": GREY, "y": FEW, "classes": [0, 1]}, "classes holds int64 (2,) (fix: store the names as text"),
        ({"x": GREY, "y": FEW, "classes": ["a", "A"]}, "only in case"),
        ({"x": GREY[:0], "y": FEW[:0]}, "is empty: it says (0,)"),
        ({"x": GREY[:, :0], "y": FEW}, "is empty: it says (4, 0, 6)"),
        ({"x": GREY[0], "y": FEW}, "is no stack of pictures"),
        ({"x": np.zeros((4, 5, 6, 2), np.uint8), "y": FEW}, "is no stack of pictures"),
        ({"x": np.zeros((4, 5, 6, 4), np.uint8), "y": FEW}, "is no stack of pictures"),
        ({"x": np.zeros((4, 3, 5, 3), np.uint8), "y": FEW}, "could be read in two ways"),
        ({"x": np.zeros((4, 5, 5, 5, 3), np.uint8), "y": FEW}, "is no stack of pictures"),
        ({"x": GREY, "y": FEW * 0}, "has one class, 0"),
        ({"x_train": GREY, "y_train": FEW, "x_test": GREY, "y_test": FEW + 1}, "train does not have: 2"),
        ({"x_test": GREY, "y_test": FEW}, "has no train part"),
        (
            {"x_train": GREY, "y_train": FEW, "x_test": np.zeros((4, 5, 6, 3), np.uint8), "y_test": FEW},
            "grey and colour pictures",
        ),
    ],
)
def test_npz_of_the_wrong_things(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    refused(save(tmp_path / "data.npz", **arrays), words)


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: bytes, version: int = 1) -> bytes:
    text = text + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


def zipped(members: Sequence[tuple[str, bytes]], how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def good_npz(how: int = zipfile.ZIP_STORED) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    return zipped([("images.npy", npy(pixels)), ("labels.npy", npy(FEW)), ("classes.npy", npy(np.array(WORDS)))], how)


def with_pictures(data: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    return zipped([("images.npy", data), ("labels.npy", npy(FEW))], how)


def flagged(data: bytes, at: int, value: int) -> bytes:
    """An archive with one field of its first member's entry changed, in both places where it stands."""
    local, central = data.index(b"PK\3\4"), data.index(b"PK\1\2")
    changed = bytearray(data)
    changed[local + at : local + at + 2] = changed[central + at + 2 : central + at + 4] = struct.pack("<H", value)
    return bytes(changed)


def long_name() -> bytes:
    """An archive in which a member calls itself by 3,000 bytes that are no letters."""
    data = bytearray(with_pictures(npy(np.zeros((4, 40, 40), np.uint8))))
    data[26:28] = struct.pack("<H", 3_000)
    return bytes(data)


BEYOND = np.array([0x110000], "<u4").view("<U1")  # a letter that Unicode does not have, and NumPy stumbles over
SHAPE = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }"


# fmt: off
def bad_archives() -> list[tuple[bytes, str]]:
    return [
        (b"", "0 bytes and no end of an archive"),
        (b"text" * 100, "no .npz file"),
        (b"\x80\x04N.", "no .npz file"),
        (npy(GREY), "no .npz file"),
        (good_npz() + b"x", "no end of an archive"),
        (good_npz()[1:], "truncated or damaged"),
        (good_npz().replace(b"PK\1\2", b"PK\1\3"), "truncated or damaged"),
        (flagged(good_npz(), 6, 1), "encrypted"),
        (flagged(good_npz(), 8, 12), "packed as NumPy never packs"),
        (flagged(good_npz(), 8, 99), "packed as NumPy never packs"),
        (zipped([("images.npy", npy(GREY)), ("images.npy", npy(GREY)), ("labels.npy", npy(FEW))]), "two arrays called"),
        (zipped([("images.npy", npy(GREY)), ("Images.npy", npy(GREY)), ("labels.npy", npy(FEW))]), "two arrays called"),
        (zipped([("images.npy", npy(GREY)), ("images", npy(GREY)), ("labels.npy", npy(FEW))]), "two arrays called"),
        (good_npz()[:-10] + b"\1\0\x10\0" + good_npz()[-6:], "too long a list of members"),
        (good_npz()[:-22] + b"PK\6\6" + bytes(36) + struct.pack("<Q", 1 << 40) + bytes(8) + b"PK\6\7" + bytes(16)
         + good_npz()[-22:], "too long a list of members"),
        (good_npz()[:-22] + b"PK\6\7" + bytes(16) + good_npz()[-22:], "truncated or damaged"),
        (long_name(), "truncated or damaged"),
        (zipped([("x.npy", npy(GREY)), ("y.npy", npy(FEW)), ("classes.npy", npy(BEYOND))]), "classes are no text"),
        (with_pictures(b""), "images is no array"),
        (with_pictures(b"\x93NUMPY"), "images is no array"),
        (with_pictures(b"<!DOCTYPE html>"), "images is no array"),
        (with_pictures(header(SHAPE % b"4, 5, 6", 3)), "images is no array"),
        (with_pictures(header(b"{'descr': '|u1'}")), "images is no array"),
        (with_pictures(header(b"(" * 9_000)), "images is no array"),
        (with_pictures(header(b"-" * 9_000 + b"1")), "images is no array"),
        (with_pictures(header(b"[" * 90 + b"]" * 90)), "images is no array"),
        (with_pictures(header(SHAPE % (b"9" * 5_000))), "images is no array"),
        (with_pictures(header(SHAPE % b"9" * 5)), "images is no array"),
        (with_pictures(header(b" " * 40_000)), "images is no array"),
        (with_pictures(b"\x93NUMPY\2\0\xff\xff\xff\xff"), "images is no array"),
        (with_pictures(header(SHAPE % b"4, 5, 6")), "says it holds 120 bytes, and has 0"),
        (with_pictures(header(SHAPE % b"4, 5, 6") + bytes(119)), "says it holds 120 bytes, and has 119"),
        (with_pictures(header(SHAPE % b"4, 5, 6") + bytes(121)), "says it holds 120 bytes, and has 121"),
        (with_pictures(header(SHAPE % b"4, 1048576, 1073741824, 3")), "says it holds"),
        (with_pictures(header(SHAPE % (b"9" * 4_000 + b", 1, 1"))), "says it holds"),
        (with_pictures(header(SHAPE % b"-4, -5, 6") + bytes(120)), "is empty: it says (-4, -5, 6)"),
        (with_pictures(header(SHAPE % b"")), "images says it holds 1 bytes"),
        (with_pictures(header(SHAPE.replace(b"|u1", b"|O") % b"4,") + b"cos\nsystem\n."), "Python objects"),
        (with_pictures(header(SHAPE % b"4, 1500, 3000") + bytes(18_000_000), zipfile.ZIP_DEFLATED), "packed too well"),
    ]
# fmt: on


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_broken_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    for data, words in bad_archives():
        path.write_bytes(data)
        with memory_below(20_000_000):
            refused(path, words)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_npz_cut_off_anywhere(tmp_path: Path, how: int) -> None:
    good = good_npz(how)
    for end in [*range(0, len(good) - 1, 37), len(good) - 1]:
        (tmp_path / "data.npz").write_bytes(good[:end])
        refused(tmp_path / "data.npz", "no end of an archive")


def test_npz_with_a_flipped_bit(tmp_path: Path) -> None:
    """The checksum tells, where it is in the pixels; nowhere does it make anything but an error or the same data."""
    good = good_npz()
    path = tmp_path / "data.npz"
    path.write_bytes(good)
    expected = [path.read_bytes()[:0]] + [open_source(path).parts["all"].encoded(i) for i in range(4)]
    at = good.index(b"\n", good.index(b"NUMPY")) + 7
    path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
    refused(path, "CRC")
    path.write_bytes(good)
    assert expected[1:] == [open_source(path).parts["all"].encoded(i) for i in range(4)]


def test_npz_that_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "data.npz", images=np.zeros((4, 50, 50), np.uint8), labels=FEW)
    monkeypatch.setattr(npz_room, "LIMIT", 9_999)
    with pytest.raises(ResourceError, match=r"data.npz holds 10,\d\d\d bytes; 9,999 bytes"):
        open_source(path)
    monkeypatch.setattr(npz_room, "LIMIT", 20_000)
    save(path, packed=True, images=np.zeros((4, 60, 60), np.uint8), labels=FEW)
    open_source(path)
    monkeypatch.setattr(npz_room, "RATIO", 10)
    monkeypatch.setattr(npz_room, "SMALL", 9_999)
    refused(path, "images is packed too well to be true")


def test_sorted_labels_pack_well(tmp_path: Path) -> None:
    """Which makes no bomb of them."""
    labels = np.repeat(np.arange(10), 20_000)
    path = save(tmp_path / "data.npz", packed=True, images=np.zeros((200_000, 1, 2), np.uint8), labels=labels)
    member = zipfile.ZipFile(path).getinfo("labels.npy")
    assert member.file_size > 500 * member.compress_size
    assert len(open_source(path).parts["all"].labels) == 200_000


def test_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    refused(tmp_path / "x.npy", "numpy.savez('data.npz', images=..., labels=...)")


# CIFAR


def test_cifar_order_and_notes(tmp_path: Path) -> None:
    parts = pictures()
    root = write_cifar(tmp_path / "a", parts, ["z", "y", "x", "w"])
    source = open_source(root)
    assert (source.kind, source.classes, source.channels) == ("cifar", ("z", "y", "x"), 3)
    assert source.notes == [
        "train is 2 of the 5 batches of CIFAR-10",
        "classes without pictures in train are left out: w",
    ]
    (root / "batches.meta.txt").unlink()
    source = open_source(root)
    assert source.classes == ("0", "1", "2")
    assert source.notes[0] == "there is no batches.meta.txt: the classes are called by their numbers"
    (root / "data_batch_2.bin").rename(root / "data_batch_3.bin")
    refused(root, "lacks what is between")
    refused(root / "data_batch_1.bin", "name the folder instead")
    assert not open_source(write_cifar(tmp_path / "b", parts, WORDS, fine=True)).notes


def test_cifar_beside_others(tmp_path: Path) -> None:
    write_cifar(tmp_path / "a", pictures(), WORDS)
    write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    refused(tmp_path / "a", "CIFAR-10 in records and CIFAR-10 in pickles")
    write_cifar(tmp_path / "b", pictures(), WORDS, fine=True)
    folder(tmp_path / "b", "train/a/1.png")
    refused(tmp_path / "b", "CIFAR-100 in records and a train folder")
    folder(tmp_path / "c", "a/1.png", "b/1.png")
    (tmp_path / "c/train").write_bytes(b"no pickle")
    (tmp_path / "c/test.bin").write_bytes(b"no records")
    assert open_source(tmp_path / "c").kind == "folder"
    write_idx(tmp_path / "a", "train", [0, 1, 2])
    refused(tmp_path / "a", "IDX and CIFAR-10")


@pytest.mark.parametrize("fine", [False, True])
def test_broken_records(tmp_path: Path, fine: bool) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, fine=fine)
    path = root / ("train.bin" if fine else "data_batch_1.bin")
    good = path.read_bytes()
    record = 3074 if fine else 3073
    cuts = [0, 1, 2, 3, record - 1, record + 1, 2 * record - 1, len(good) - 3072, len(good) - 2, len(good) - 1]
    for bad in [*(good[:end] for end in cuts), good + b"\0", b"text", b"\x80\x02}."]:
        path.write_bytes(bad)
        refused(root, path.name, f"{len(bad):,} bytes, which is not a number of records of {record:,}")
    for label in (3, 10, 99, 100, 255):
        path.write_bytes(bytes([0] * fine + [label]) + good[1 + fine :])
        refused(root, path.name, f"picture 0 has the label {label}, but there are 3 classes")
    path.write_bytes(good)
    names = root / ("fine_label_names.txt" if fine else "batches.meta.txt")
    for bad, words in (
        (b"", "not all words"),
        (b"a\nb", "there are 2 classes"),
        (b"a\nb\nb\n", "two classes are called b"),
        (b"a" * 5000 + b"\n" + b"a" * 5000 + b"\n", f"two classes are called {'a' * 297}..."),
        (b"a\nA\nb\n", "only in case"),
        ("käse\nb\nc".encode("latin-1"), "is not UTF-8 text: byte 1"),
    ):
        names.write_bytes(bad)
        refused(root, words)


def test_records_without_names(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS)
    (root / "batches.meta.txt").unlink()
    path = root / "test_batch.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    refused(root, "test_batch.bin: picture 0 has the label 10, but there are 10 classes")


def test_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS)
    monkeypatch.setattr(cifar_room, "LIMIT", 10_000)
    with pytest.raises(ResourceError, match=r"data_batch_1.bin has 15,365 bytes; 10,000 are read"):
        open_source(root)


@needs_posix
def test_links_and_pipes(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS)
    path = root / "test_batch.bin"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert len(open_source(root).parts["test"].labels) == 4
    save(tmp_path / "data.npz", images=GREY, labels=FEW)
    (tmp_path / "n").mkdir()
    (tmp_path / "n/train.npz").symlink_to(tmp_path / "data.npz")
    assert open_source(tmp_path / "n").kind == "npz"
    for place, file in ((root, path), (tmp_path / "n", tmp_path / "n/train.npz")):
        for make, words in (
            (lambda file: file.symlink_to("nowhere"), "No such file"),
            (lambda file: file.symlink_to(file.name), "symbolic links"),
            (lambda file: file.symlink_to("/dev/zero"), "is not a regular file"),
            (os.mkfifo, "is not a regular file"),
        ):
            file.unlink()
            make(file)
            refused(place, file.name, words)


def batch(**changes: Any) -> dict[bytes, Any]:
    images, labels = pictures()["test"]
    found = {b"data": images.transpose(0, 3, 1, 2).reshape(4, -1), b"labels": labels}
    return {
        key: value
        for key, value in {**found, **{k.encode(): v for k, v in changes.items()}}.items()
        if value is not ...
    }


DATA = batch()[b"data"]


@pytest.mark.parametrize("form", [old_pickle, new_pickle(2), new_pickle(4), new_pickle(5)], ids=["old", "2", "4", "5"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": ...}, "data should be uint8 (n, 3072), and is nothing of the kind"),
        ({"data": b"x"}, "nothing of the kind"),
        ({"data": [1, 2]}, "nothing of the kind"),
        ({"data": DATA.astype(np.int8)}, "and is int8 (4, 3072)"),
        ({"data": DATA.astype(np.int64)}, "and is int64 (4, 3072)"),
        ({"data": DATA[:, :-1]}, "and is uint8 (4, 3071)"),
        ({"data": DATA[0]}, "and is uint8 (3072,)"),
        ({"data": DATA.reshape(4, 3, 1024)}, "and is uint8 (4, 3, 1024)"),
        ({"data": DATA / 255}, "and is float64 (4, 3072)"),
        ({"data": DATA * np.nan}, "and is float64 (4, 3072)"),
        ({"data": DATA > 9}, "and is bool (4, 3072)"),
        ({"labels": ...}, "has no list labels of whole numbers"),
        ({"labels": b"0120"}, "has no list labels"),
        ({"labels": [0, 1, b"2", 0]}, "has no list labels"),
        ({"labels": [0, 1, 2]}, "4 pictures but 3 labels"),
        ({"labels": [0, 1, 2, 0, 0]}, "4 pictures but 5 labels"),
        ({"labels": []}, "4 pictures but 0 labels"),
        ({"labels": [0, 1, 2, 3]}, "picture 3 has the label 3, but there are 3 classes"),
        ({"labels": [-1, 1, 2, 0]}, "picture 0 has the label -1"),
        ({"labels": np.array([[0, 1], [2, 0]])}, "has no list labels"),
    ],
)
def test_pickles_of_the_wrong_things(
    tmp_path: Path, form: Callable[[dict[bytes, Any]], bytes], changes: dict[str, Any], words: str
) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=form)
    (root / "test_batch").write_bytes(form(batch(**changes)))
    refused(root, "test_batch", words)


def test_labels_in_an_array(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    for kind in ("u1", "<i8", ">i4", "<u2"):
        (root / "test_batch").write_bytes(old_pickle(batch(labels=np.array([0, 1, 2, 0], kind))))
        assert open_source(root).parts["test"].labels.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("protocol", range(6))
def test_empty_bytes_and_every_protocol(tmp_path: Path, protocol: int) -> None:
    """Up to protocol 2 Python writes no bytes as a call of bytes, which is answered without calling it."""
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=new_pickle(protocol))
    (root / "test_batch").write_bytes(new_pickle(protocol)(batch(batch_label=b"", sizes=(), more={"a": []})))
    assert open_source(root).parts["test"].labels.tolist() == [0, 1, 1, 2]
    assert read_pickle(pickle.dumps({"a": b"", "b": [b""]}, protocol), "x") == {"a": b"", "b": [b""]}


def test_what_is_not_read_says_how_to_write_it(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    python2 = b"(dp0\nS'data'\np1\nS'\\xff\\xfe'\np2\ns."
    for data in (pickle.dumps({"data": 1.5}, 0), pickle.dumps({"data": {1, 2}}, 2), python2):
        (root / "test_batch").write_bytes(data)
        assert "with pickle protocol 2 or above" in refused(root, "test_batch").fix


def test_the_old_pickle_is_one() -> None:
    """What stands for Python 2's files in these tests reads, in Python itself, as those do."""
    found = pickle.loads(old_pickle(batch(labels=[0, 300, 2, -7])), encoding="bytes")
    assert (found[b"data"] == DATA).all()
    assert found[b"labels"] == [0, 300, 2, -7]


NAME = b"X\4\0\0\0data"


def head(inside: bytes) -> bytes:
    """A dict whose data are made by these instructions."""
    return b"\x80\x02}" + NAME + inside + b"s."


class Evil:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__("os").system, ("touch harm",)


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"
DTYPE = b"cnumpy\ndtype\nX\2\0\0\0u1K\0K\1\x87R"


LAUGHS = head(b")q\0" + b"".join(b"h%c\x86q%c" % (i, i + 1) for i in range(60)))  # 2**60 of them, if anyone counted
LONG_MEMO = head(b"Nr\xff\xff\xff\xff")  # Python's own reader makes room for 2**32 things


# fmt: off
def bad_pickles() -> list[tuple[bytes, str]]:
    return [
        (b"", "truncated or damaged: it has 0 bytes"),
        (b"\x80", "truncated or damaged"),
        (b".", "truncated or damaged"),
        (b"\x80\x02.", "truncated or damaged"),
        (b"N.", "holds no dict"),
        (b"NN.", "truncated or damaged"),
        (b"(}.", "truncated or damaged"),
        (b"}(.", "truncated or damaged"),
        (b"\x93NUMPY", "truncated or damaged"),
        (b"<html>", "truncated or damaged"),
        (pickle.dumps(Evil(), 0), "asks for posix.system"),
        (head(b"d"), "truncated or damaged"),
        (head(b"(N" + b"d"), "truncated or damaged"),
        (head(b"l"), "truncated or damaged"),
        (head(b"g7\n"), "truncated or damaged"),
        (head(b"I\n"), "truncated or damaged"),
        (head(b"cbuiltins\nbytes\nK\1\x85R"), "asks for builtins.bytes"),
        (pickle.dumps(Evil(), 2), "asks for posix.system"),
        (pickle.dumps({"data": Evil()}, 4), "asks for posix.system"),
        (pickle.dumps({b"data": Evil()}, 5), "asks for posix.system"),
        (head(b"cbuiltins\neval\nX\1\0\0\0001\x85R"), "asks for builtins.eval"),
        (head(b"cnumpy\nload\nX\1\0\0\0x\x85R"), "asks for numpy.load"),
        (head(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nmatrix\nK\0\x85C\1b\x87R"), "asks for numpy.core"),
        (head(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\1b\x87R"), "asks for"),
        (head(b"c_codecs\nencode\nX\1\0\0\0aX\4\0\0\0idna\x86R"), "asks for _codecs.encode"),
        (head(b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R"), "asks for builtins.bytearray"),
        (head(b"ccollections\nOrderedDict\n)R"), "asks for collections.OrderedDict"),
        (head(b"(ios\nsystem\n"), "an instruction that data sets do not need: INST"),
        (head(b"cos\nsystem\n)\x81"), "do not need: NEWOBJ"),
        (head(b"X\1\0\0\0aQ"), "do not need: BINPERSID"),
        (head(b"\x82\1"), "do not need: EXT1"),
        (head(b"G" + bytes(8)), "do not need: BINFLOAT"),
        (head(b"F1e999\n"), "do not need: FLOAT"),
        (head(b"\x8b" + struct.pack("<i", 4) + bytes(4)), "do not need: LONG4"),
        (head(b"L" + b"9" * 5_000 + b"L\n"), "truncated or damaged"),
        (head(b"N2"), "do not need: DUP"),
        (head(b"S'\\('\n"), "do not need: STRING"),
        (head(b"NR"), "truncated or damaged"),
        (head(b"Nb"), "truncated or damaged"),
        (head(b"h\x07"), "truncated or damaged"),
        (head(b"j\xff\xff\xff\xff"), "truncated or damaged"),
        (LONG_MEMO, "nothing of the kind"),
        (head(b"\x8e" + struct.pack("<Q", 1 << 40)), "truncated or damaged"),
        (head(b"\x96" + struct.pack("<Q", 1 << 40)), "truncated or damaged"),
        (head(b"T" + struct.pack("<i", 1 << 30)), "truncated or damaged"),
        (head(b"T" + struct.pack("<i", -1)), "truncated or damaged"),
        (head(b"X" + struct.pack("<I", 1 << 31)), "truncated or damaged"),
        (head(b"X\1\0\0\0\xff"), "truncated or damaged"),
        (b"\x80\x02}(" + (NAME + b"K\1") * 2 + b"u.", "truncated or damaged"),
        (b"\x80\x02}(" + NAME + b"K\1C\4dataK\1u.", "truncated or damaged"),
        (b"\x80\x02}(" + NAME + b"u.", "truncated or damaged"),
        (b"\x80\x02}K\1K\1s.", "truncated or damaged"),
        (b"\x80\x02}]K\1s.", "truncated or damaged"),
        (b"\x80\x02}C\1\xffK\1s.", "truncated or damaged"),
        (b"\x80\x02NNa.", "truncated or damaged"),
        (head(ARRAY), "nothing of the kind"),
        (head(ARRAY + b"(K\1(J\xff\xff\xff\x7fM\0\x0ct" + DTYPE + b"\x89C\0tb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(J\xff\xff\xff\xffJ\xff\xff\xff\xfft" + DTYPE + b"\x89C\1atb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(K\1K\1K\1K\1K\1t" + DTYPE + b"\x89C\1atb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(\x8a\xff" + b"\x7f" * 255 + b"t" + DTYPE + b"\x89C\1atb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(K\1t" + DTYPE.replace(b"u1", b"O8") + b"\x89C\x08aaaaaaaatb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(K\1t" + DTYPE + b"(K\3X\1\0\0\0(NNNK\1K\1K\0tb\x89C\1atb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(K\1t" + DTYPE + b"\x89X\1\0\0\0atb"), "truncated or damaged"),
        (head(ARRAY + b"(K\1(K\1t" + DTYPE + b"\x89]tb"), "truncated or damaged"),
        (head(ARRAY + b"}b"), "truncated or damaged"),
        (head(ARRAY + (b"(K\1(K\1t" + DTYPE + b"\x89C\1atb") * 2), "truncated or damaged"),
        (head(b"]q\0" + b"h\0a" * 3), "nothing of the kind"),  # a list in itself
        (LAUGHS, "nothing of the kind"),
        (head(b"(" * 100_000), "truncated or damaged"),
        (head(b"]" * 100_000), "truncated or damaged"),
        (head(b")" + b"\x85" * 100_000), "nothing of the kind"),
        (b"\x80\x02" + b"N0" * 10 + b"}.", "do not need: POP"),
        (old_pickle(batch(data=DATA[:0])), "truncated or damaged"),
    ]
# fmt: on


def test_broken_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    monkeypatch.chdir(tmp_path)
    path = root / "test_batch"
    for data, words in bad_pickles():
        path.write_bytes(data)
        refused(root, "test_batch", words)
        assert not (tmp_path / "harm").exists()


def test_a_pickle_of_many_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles_room, "STEPS", 1_000)
    with pytest.raises(DataError, match="a has more than 1,000 instructions"):
        read_pickle(b"\x80\x02" + b"N" * 1_010 + b".", "a")


def test_a_pickle_takes_no_more_than_its_size() -> None:
    huge = [head(code + struct.pack("<Q", 1 << 36)) for code in (b"\x8e", b"\x96")]
    for data in [LAUGHS, LONG_MEMO, *huge, head(b"T\xff\xff\xff\x7f")]:
        with memory_below(100_000), contextlib.suppress(DataError):
            read_pickle(data, "a")


def test_pickles_cut_off_anywhere(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    path = root / "test_batch"
    good = path.read_bytes()
    for end in [*range(0, 300, 7), *range(300, len(good), 1009), len(good) - 1]:
        path.write_bytes(good[:end])
        refused(root, "test_batch is truncated or damaged")


def test_names_in_pickles(tmp_path: Path) -> None:
    root = write_cifar(tmp_path / "a", pictures(), WORDS, pickled=old_pickle)
    for bad, words in (
        ({}, "has no list label_names"),
        ({b"label_names": b"abc"}, "has no list label_names"),
        ({b"label_names": []}, "not all words"),
        ({b"label_names": [b"a", 1, b"c"]}, "not all words"),
        ({b"label_names": [b"a", b"b", b"a"]}, "two classes are called a"),
        ({b"label_names": [b"a", b"b"]}, "there are 2 classes"),
    ):
        (root / "batches.meta").write_bytes(old_pickle(bad))
        refused(root, words)
    (root / "batches.meta").write_bytes(old_pickle({b"label_names": ["蚂蚁".encode(), b"bee", b"cat"]}))
    assert open_source(root).classes == ("蚂蚁", "bee", "cat")


# All the way


def test_train_and_eval(tmp_path: Path) -> None:
    """A tiny network learns the same from an npz file as from pickled CIFAR, and is scored on both alike."""
    parts = pictures()
    forms = [
        save(tmp_path / "data.npz", **keras(parts, classes=list(WORDS))),
        write_cifar(tmp_path / "cifar", parts, WORDS, pickled=old_pickle),
    ]
    runs = [tmp_path / "from npz", tmp_path / "from cifar"]
    for data, out in zip(forms, runs, strict=True):
        done = resnet("train", data, "--model", "resnet20", "--steps", "2", "--batch", "4", "--out", out, timeout=600)
        assert done.code == 0, done
        assert json.loads((out / "metrics.json").read_bytes())["n"] == 4
    answers = [(out / "predictions.csv").read_bytes() for out in runs]
    assert answers[0] == answers[1]
    for data, out in zip(forms[::-1], runs, strict=True):  # what learned from one form is scored on the other
        done = resnet("eval", out / "best.safetensors", data, "--json", timeout=600)
        assert done.code == 0, done
        assert (done.document["split"], done.document["n"]) == ("test", 4)
