"""At least thirty differently broken inputs for every reader, each held to the error contract from the command line.

What is wrong is said with the name of the file or folder and one thing to do; the exit code is that of the data; no
traceback, nothing written, nothing changed.
"""

import codecs
import gzip
import json
import os
import warnings
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import folder, idx_bytes, noise, old_pickle, write_cifar, write_idx, write_parquet
from test_arrays import bad_archives, bad_pickles, npy, pictures
from test_decode import STRANGERS, encoded
from test_imagenet import FOX, TENCH, caffe, development_kit, flat, kaggle, name_of, plain_list
from test_imagenet import write as write_text
from test_lists import WRONG

from resnetkit import cli

Make = Callable[[Path], object]
Case = tuple[str, Make, str]  # what is broken, how to make it in an empty folder, what must be said
PNG = encoded(np.zeros((3, 3, 3), np.uint8), "PNG")
HTML = b"<!DOCTYPE html><html><body>404</body></html>"
NO_DATA = {
    "nothing": b"",
    "one byte": b"\x1f",
    "text": b"no such file\n",
    "page": HTML,
    "picture": PNG,
    "npy": npy(np.eye(2)),
}
STEPS = ["--model", "resnet20", "--steps", "2", "--out", "out"]


# IDX


def with_idx(what: str, data: bytes | None, packed: bool = False) -> Make:
    def make(root: Path) -> None:
        write_idx(root, "train", [0, 1, 2], packed)
        (path,) = root.glob(f"*{what}*")
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return make


def idx_cases() -> Iterator[Case]:
    images, labels = idx_bytes(np.zeros((3, 5, 4), np.uint8)), idx_bytes(np.array([0, 1, 2], np.uint8))
    shape = lambda *sizes: np.array(sizes, ">u4").tobytes()  # noqa: E731
    for name, data in NO_DATA.items():
        yield f"images are {name}", with_idx("images", data), "train-images-idx3-ubyte"
        yield f"labels are {name}", with_idx("labels", data), "train-labels-idx1-ubyte"
        yield f"packed images are {name}", with_idx("images", data, True), "train-images-idx3-ubyte.gz"
    for length in (3, 4, 6, 15):
        yield f"{length} bytes of a header", with_idx("images", images[:length]), f"truncated: {length} bytes"
    yield "a header alone", with_idx("images", images[:16]), "truncated: 0 of 60 bytes"
    yield "a byte too few", with_idx("images", images[:-1]), "truncated: 59 of 60 bytes"
    yield "a byte too many", with_idx("images", images + b"\0"), "goes on after the 60 bytes"
    yield "labels cut", with_idx("labels", labels[:-1]), "truncated: 2 of 3 bytes"
    yield "labels and more", with_idx("labels", labels + b"\0"), "goes on after the 3 bytes"
    for name, magic in {
        "flat": (0, 0, 8, 2),
        "deep": (0, 0, 8, 4),
        "float": (0, 0, 13, 3),
        "reversed": (3, 8, 0, 0),
    }.items():
        yield f"{name} images", with_idx("images", bytes(magic) + images[4:]), "not an IDX file of 3 dimensions"
    yield "images for labels", with_idx("labels", images), "not an IDX file of 1 dimensions"
    yield "labels for images", with_idx("images", labels + bytes(16)), "not an IDX file of 3 dimensions"
    for sizes in ((0, 5, 4), (3, 0, 4), (3, 5, 0)):
        yield f"sizes {sizes}", with_idx("images", bytes([0, 0, 8, 3]) + shape(*sizes)), "is empty"
    yield "sizes without end", with_idx("images", bytes([0, 0, 8, 3]) + b"\xff" * 12), "are allowed"
    yield (
        "sizes reversed",
        with_idx("images", images[:4] + np.array([3, 5, 4], "<u4").tobytes() + images[16:]),
        "are allowed",
    )
    yield "a size too large", with_idx("images", images[:4] + shape(4, 5, 4) + images[16:]), "truncated: 60 of 80"
    yield "a picture more", with_idx("images", idx_bytes(np.zeros((4, 5, 4), np.uint8))), "4 pictures but 3 labels"
    yield "a label more", with_idx("labels", idx_bytes(np.arange(4, dtype=np.uint8))), "3 pictures but 4 labels"
    yield "one class", with_idx("labels", idx_bytes(np.ones(3, np.uint8))), "has one class, 1"
    yield "no labels", with_idx("labels", None), "no labels for it"
    yield "no images", with_idx("images", None), "no images for it"
    yield "packed without a suffix", with_idx("images", gzip.compress(images)), "not an IDX file"
    yield "packed twice", with_idx("images", gzip.compress(gzip.compress(images)), True), "not an IDX file"
    yield (
        "half a gzip",
        with_idx("images", gzip.compress(images)[:-12], True),
        "train-images-idx3-ubyte.gz is truncated",
    )
    yield "a gzip of nothing", with_idx("images", gzip.compress(b""), True), "truncated: 0 bytes"
    yield "a gzip with a wrong sum", with_idx("images", gzip.compress(images)[:-8] + bytes(8), True), "CRC"
    yield "a folder of that name", empty("train-images-idx3-ubyte"), "no labels for it"
    if os.name != "nt":
        yield "a pipe", all_of(with_idx("images", None), pipe("train-images-idx3-ubyte")), "is not a regular file"


def all_of(*makes: Make) -> Make:
    return lambda root: [make(root) for make in makes]


def pipe(name: str) -> Make:
    return lambda root: os.mkfifo(root / name)


def empty(name: str) -> Make:
    return lambda root: (root / name).mkdir()


# Parquet

ROWS = [(PNG, 0), (PNG, 1)]


def parquet_of(rows: list[tuple[Any, Any]] = ROWS, names: Any = ("a", "b"), **columns: Any) -> Make:
    return lambda root: write_parquet(root / "train.parquet", rows, names, **columns)


def parquet_bytes(change: Callable[[bytes], bytes]) -> Make:
    def make(root: Path) -> None:
        path = write_parquet(root / "train.parquet", ROWS, ["a", "b"])
        path.write_bytes(change(path.read_bytes()))

    return make


def parquet_meta(text: bytes) -> Make:
    def make(root: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"image": [PNG, PNG], "label": [0, 1]})
        pq.write_table(table.replace_schema_metadata({b"huggingface": text}), root / "train.parquet")

    return make


def parquet_cases() -> Iterator[Case]:
    import pyarrow as pa

    damaged = "train.parquet is not a parquet file that can be read"
    for name, data in NO_DATA.items():
        yield name, one_file("train.parquet", data), damaged
    for name, change in {
        "cut": lambda good: good[:-20],
        "begun": lambda good: good[:40],
        "a sign alone": lambda _: b"PAR1",
        "two signs": lambda _: b"PAR1PAR1",
        "another sign": lambda good: good[:-4] + b"PARX",
        "encrypted": lambda good: b"PARE" + good[4:-4] + b"PARE",
        "a byte more": lambda good: good + b"\0",
        "a long footer": lambda good: good[:-8] + b"\xff\xff\xff\x7f" + good[-4:],
        "no footer": lambda good: good[:-8] + bytes(4) + good[-4:],
        "a footer of zeros": lambda good: good[:-200] + bytes(192) + good[-8:],
        "column names that are no text": lambda good: good.replace(b"\x05bytes", b"\x05\xff\xfe\xfd\xfc\xfb"),
        "no pages": lambda good: good[:4] + bytes(len(good) - 700) + good[-696:],
    }.items():  # fmt: skip
        yield name, parquet_bytes(change), "train.parquet"
    for kind, words in {
        "words": (["a", "b"], "the column label holds string"),
        "fractions": ([0.0, 1.0], "the column label holds double"),
        "truths": ([True, False], "the column label holds bool"),
        "nothing": (pa.nulls(2), "the column label holds null"),
        "several": ([[0], [1]], "the column label holds list"),
    }.items():
        yield f"labels of {kind}", parquet_of(label=pa.array(words[0])), words[1]
    for kind, words in {
        "numbers": ([1, 2], "the column image holds int64"),
        "words": (["a", "b"], "the column image holds string"),
        "lists": ([[1], [2]], "the column image holds list"),
        "paths": ([{"path": "a.png"}] * 2, "no column bytes, only path"),
    }.items():
        yield f"pictures of {kind}", parquet_of(image=pa.array(words[0])), words[1]
    yield "no picture", parquet_of([(PNG, 0), (None, 1)]), "row 1 has no image"
    yield "no label", parquet_of([(PNG, 0), (PNG, None)]), "row 1 has no label"
    yield "a label below", parquet_of([(PNG, 0), (PNG, -1)]), "row 1 has the label -1"
    yield "a label beyond", parquet_of([(PNG, 0), (PNG, 2)]), "row 1 has the label 2, but there are 2 classes"
    yield "a label below none", parquet_of([(PNG, 0), (PNG, -1)], None), "labels begin at 0"
    yield "one class", parquet_of([(PNG, 0), (PNG, 0)]), "has one class, a"
    yield "no rows", parquet_of([]), "has no pictures"
    yield "names twice", parquet_of(names=["a", "a"]), "not different words"
    yield "names of numbers", parquet_of(names=[1, 2]), "not different words"
    yield "names of no letters", parquet_of(names=["a", ""]), "not different words"
    yield "names in case", parquet_of(names=["a", "A"]), "only in case"
    for name, text in {
        "no JSON": b"{",
        "a list": b"[]",
        "no names": b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}',
        "no text": b"\xff",
    }.items():
        yield f"a schema with {name}", parquet_meta(text), "class names in its schema"
    yield "a text for a picture", parquet_of([(b"hello", 0), (PNG, 1)]), "0 is a text file"
    yield "half a picture", parquet_of([(PNG, 0), (PNG[:-20], 1)]), "train/1 is damaged"
    yield "no bytes", parquet_of([(b"", 0), (PNG, 1)]), "is empty (0 bytes)"
    yield "no columns", lambda root: save_table(root, {}), "no column image"
    yield (
        "another column",
        lambda root: save_table(root, {"picture": [PNG], "label": [0]}),
        "no column image, only picture",
    )
    yield "no labels", lambda root: save_table(root, {"image": [PNG]}), "no column label, only image"
    yield (
        "lacking pieces",
        lambda root: write_parquet(root / "train-00000-of-00002.parquet", ROWS, ["a", "b"]),
        "lacks 1",
    )
    if os.name != "nt":
        yield "a pipe", pipe("train.parquet"), "train.parquet is not a regular file"


def save_table(root: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), root / "train.parquet")


# Arrays


def one_file(name: str, data: bytes) -> Make:
    return lambda root: (root / name).write_bytes(data)


def npz_cases() -> Iterator[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice, which is the point
        archives = bad_archives()
    for i, (data, words) in enumerate(archives):
        yield f"{i}", one_file("train.npz", data), words


def with_cifar(name: str, data: bytes, **form: Any) -> Make:
    def make(root: Path) -> None:
        write_cifar(root, pictures(), ["a", "b", "c"], **form)
        assert (root / name).is_file()
        (root / name).write_bytes(data)

    return make


def record_cases() -> Iterator[Case]:
    for fine in (False, True):
        file, names = ("train.bin", "fine_label_names.txt") if fine else ("data_batch_1.bin", "batches.meta.txt")
        record = 3074 if fine else 3073
        good = (bytes([0] * fine + [0]) + bytes(3072)) * 2
        for length in (2, 9, record - 1, record + 1, 2 * record - 1):
            yield f"{file} of {length}", with_cifar(file, good[:length], fine=fine), f"{length:,} bytes, which is not"
        for name, data in NO_DATA.items():
            yield f"{file} is {name}", with_cifar(file, data, fine=fine), file
            if name not in ("one byte", "text", "page", "nothing"):
                yield f"{names} is {name}", with_cifar(names, data, fine=fine), f"{names} is not UTF-8"
        for label in (3, 10, 255):
            bad = bytes([0] * fine + [label]) + good[1 + fine :]
            yield f"{file} with {label}", with_cifar(file, bad, fine=fine), f"has the label {label}, but there are 3"
        for name, text, words in (
            ("nothing", b"", "are not all words"),
            ("two", b"a\nb\n", "there are 2 classes"),
            ("twins", b"a\nb\nb\n", "two classes are called b"),
            ("case", b"a\nA\nb\n", "only in case"),
        ):
            yield f"{names} with {name}", with_cifar(names, text, fine=fine), words


def pickle_cases() -> Iterator[Case]:
    for i, (data, words) in enumerate(bad_pickles()):
        yield f"{i}", with_cifar("test_batch", data, pickled=old_pickle), words


# Lists and folders


def with_list(data: bytes) -> Make:
    return lambda root: (folder(root, "a/1.png", "a/2.png", "b/3.png"), (root / "list.csv").write_bytes(data))


def list_cases() -> Iterator[Case]:
    more = {
        "a gap of zeros": (b"path,label\n" + bytes(50), "is not text"),
        "two signs": (b"path,label\na/1.png;cat\na/2.png;dog\n", "line 2 has 1 cells"),
        "no names for columns": (b"a/1.png,cat\na/2.png,dog\n", "no column of line 1 is known to be the image"),
        "no label column": (b"path,kind\na/1.png,cat\n", "no column of line 1 is known to be the label"),
        "two label columns": (b"path,label,class\na/1.png,cat,dog\n", "label and class could each be the label"),
        "two path columns": (b"path,file,label\na/1.png,a/1.png,cat\n", "path and file could each be the image"),
        "windows twice": (b"path,label\na/1.png,cat\na\\1.png,dog\n", "line 3 names a/1.png again"),
        "blank cells": (b"path,label\n  ,cat\n", "line 2 has no image"),
        "page": (HTML, "no column of line 1"),
        "archive": (b"PK\3\4" + bytes(30), "is not text"),
        "utf-32": (codecs.BOM_UTF32_LE + "path,label".encode("utf-32-le"), "is not text"),
        "a tab where a quote ends": (b'path\tlabel\n"a"x\tcat\n', "expected after"),
        "some missing": (b"path,label\na/1.png,cat\na/2.png,dog\ngone.png,dog\n", "gone.png does not exist"),
        "up and away": (b"path,label\n../../../../nowhere/1.png,cat\n", "none of its 1 picture is there"),
        "only val": (b"path,label,split\na/1.png,cat,val\na/2.png,dog,val\n", "no train part, only val"),
        "strange val": (b"path,label,split\na/1.png,a,train\na/2.png,b,train\nb/3.png,c,val\n", "does not have: c"),
    }  # fmt: skip
    for name, (data, words) in {**WRONG, **more}.items():
        yield name, with_list(data), words
    yield (
        "not a picture",
        all_of(one_file("a.png", b"x"), one_file("list.csv", b"path,label\na.png,a\nb.png,b\n")),
        "a.png is a text file",
    )


def tree(*names: str, **texts: str) -> Make:
    return lambda root: (folder(root, *names), [(root / name).write_text(text) for name, text in texts.items()])


def broken_picture(data: bytes, name: str = "bad.jpg") -> Make:
    return lambda root: (folder(root, "train/a/1.png", "train/b/1.png"), (root / "train/a" / name).write_bytes(data))


def picture_cases() -> Iterator[Case]:
    for i, (data, words, _) in enumerate(STRANGERS):
        yield f"{i}", broken_picture(data), f"bad.jpg {words}" if words.startswith(("is ", "has ")) else words


def link(make: Make, place: str, target: str) -> Make:
    return all_of(make, lambda root: (root / place).symlink_to(target))


def folder_cases() -> Iterator[Case]:
    yield "nothing", tree(), "has no pictures"
    yield "hidden alone", tree(".a/1.png", ".b/1.png"), "has no pictures"
    yield "pictures alone", tree("1.png", "2.png"), "has pictures but no class folders: data/1.png, data/2.png"
    yield "pictures in train", tree("train/1.png", "train/2.png"), "has pictures but no class folders"
    yield "a class called train", tree("train/1.png", "bus/1.png", "car/1.png"), "no class folders"
    yield "one class", tree("a/1.png", "a/2.png"), "has one class, a"
    yield "one class in train", tree("train/a/1.png", "val/b/1.png"), "has one class, a"
    yield "classes deeper", tree("photos/a/1.png", "photos/b/1.png"), "has one class, photos"
    yield "parts deeper", tree("archive/train/a/1.png", "archive/val/b/1.png"), "has one class, archive"
    yield "other names", tree("Training/a/1.png", "Training/b/1.png", "Testing/a/1.png"), "Testing, Training look like"
    yield "dev and eval", tree("dev/a/1.png", "eval/b/1.png"), "dev, eval look like parts"
    yield "two vals", tree("train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"), "both val and valid"
    yield "two cases", tree("train/a/1.png", "train/b/1.png", "val/a/1.png", "VAL/a/1.png"), "both VAL and val"
    yield "only test", tree("test/a/1.png", "test/b/1.png"), "no train part, only test"
    yield "only val", tree("val/a/1.png", "val/b/1.png"), "no train part, only val"
    yield "another class in val", tree("train/a/1.png", "train/b/1.png", "val/c/1.png"), "train does not have: c"
    yield "another in test", tree("train/a/1.png", "train/b/1.png", "test/bb/1.png"), "train does not have: bb"
    yield "case in val", tree("train/Ant/1.png", "train/b/1.png", "val/ant/1.png"), "there is 'Ant'"
    yield "case", tree("Ants/1.png", "ants/1.png"), "differ only in case"
    yield "forms", tree("caf\xe9/1.png", "cafe\u0301/1.png"), "differ only in case or Unicode form"
    yield "an empty class", all_of(tree("a/1.png", "b/1.png"), empty("c")), "no pictures of c"
    yield (
        "a class of texts",
        all_of(tree("a/1.png", "b/1.png"), empty("c"), one_file("c/x.heic", b"x")),
        "no pictures of c (1 .heic passed by)",
    )
    yield (
        "an empty val",
        all_of(tree("train/a/1.png", "train/b/1.png"), empty("val")),
        "val has no pictures",
    )
    yield (
        "a pile of texts",
        all_of(empty("a"), one_file("a/x.txt", b"x")),
        "has no pictures, only 1 .txt",
    )
    yield "too deep", tree("a/1.png", "b/" + "d/" * 70 + "1.png"), "64 folders deep"
    yield (
        "idx beside train",
        lambda root: (tree("train/a/1.png")(root), write_idx(root, "train", [0, 1])),
        "IDX and a train folder",
    )
    yield (
        "lists beside train",
        tree("train/a/1.png", "train/b/1.png", **{"train.csv": "path,label\n"}),
        "lists of pictures and a train",
    )
    yield "a picture of one value", broken_picture(b"\xff\xd8\xff\xd9"), "train/a/bad.jpg is damaged"
    yield "an empty picture", broken_picture(b""), "train/a/bad.jpg is empty"
    yield (
        "three bad ones",
        all_of(tree("train/b/1.png"), empty("train/a"), *(one_file(f"train/a/{i}.png", HTML) for i in range(3))),
        "3 pictures cannot be read",
    )
    yield "half a picture", broken_picture(PNG[:-20], "bad.png"), "train/a/bad.png is damaged"
    if os.name != "nt":
        two = tree("train/a/1.png", "train/b/1.png")
        yield "a link to nowhere", link(two, "train/c", "gone"), "train/c is a link that leads nowhere"
        yield "a picture's link", link(two, "train/a/2.png", "gone.png"), "train/a/2.png is a link that leads nowhere"
        yield "a part's link", link(two, "val", "gone"), "val is a link that leads nowhere"
        yield "names that are no text", lambda root: folder(root, os.fsdecode(b"\xe9/1.png"), "a/1.png"), "not UTF-8"


def imagenet_of(*changes: Make) -> Make:
    return all_of(flat, *changes)


def lines_in(name: str, *lines: str) -> Make:
    return lambda root: write_text(root / name, *lines)


def gone(name: str) -> Make:
    return lambda root: (root / name).unlink()


def imagenet_cases() -> Iterator[Case]:
    kit, truth = "ILSVRC2012_devkit_t12/data/map_clsloc.txt", "ILSVRC2012_validation_ground_truth.txt"
    whole = [f"{name_of(i)}.JPEG" for i in range(1, 5)]
    yield "no list", imagenet_of(), "no list says what they show"
    for name, lines, words in (
        ("nothing", (), "does not say what"),
        ("a name alone", (whole[0],), "line 1 is not a name and a class"),
        ("a class alone", (f"\t{TENCH}",), "line 1 is not a name and a class"),
        ("a later name alone", (f"{whole[0]} {TENCH}", whole[1]), "line 2 is not a name and a class"),
        ("a name twice", (f"{whole[0]} {TENCH}", f"{whole[0]} {TENCH}"), "line 2 names a picture twice"),
        ("a name twice in folders", (f"{whole[0]} {TENCH}", f"val/{whole[0]} {FOX}"), "line 2 names a picture twice"),
        ("a class of nowhere", tuple(f"{name} n09999999" for name in whole), "does not have: n09999999"),
        ("words for classes", tuple(f"{name} tench" for name in whole), "does not have: tench"),
        ("numbers of nobody", tuple(f"{name} 0" for name in whole), "gives classes as numbers, and nothing says whose"),
        ("one of four", (f"{whole[0]} {TENCH}",), "does not say what"),
        ("other pictures", tuple(f"x{name} {TENCH}" for name in whole), "does not say what"),
        ("zeros", ("\0 \0",) * 2, "names a picture twice"),
        ("a page", ("<html>",), "line 1 is not a name and a class"),
    ):
        for file in ("val_labels.txt", "val.txt"):
            yield f"{file} with {name}", imagenet_of(lines_in(file, *lines)), words
    for number in ("3", "-1", "9" * 5_000, "1.5", "\u0663"):
        yield (
            f"class {number[:5]}",
            imagenet_of(caffe, lines_in("val.txt", f"{whole[0]} 0", f"{whole[1]} {number}")),
            "val.txt",
        )
    latin = lambda root: (root / "val.txt").write_bytes("k\xe4se 0\n".encode("latin-1"))  # noqa: E731
    yield "latin letters", imagenet_of(caffe, latin), "val.txt is not UTF-8 text: byte 1"
    table = "LOC_val_solution.csv"
    for name, rows in {"no class": ("a,",), "no box": ("a",), "twice": (f"a,{TENCH} 1", f"a,{TENCH} 1")}.items():
        yield f"{table} with {name}", imagenet_of(lines_in(table, "ImageId,PredictionString", *rows)), f"{table}: line "
    yield "a table of nothing", imagenet_of(lines_in(table)), f"{table} does not say what"
    yield "one picture more", imagenet_of(kaggle, lambda root: noise(root / "val/more.JPEG", 7)), "what more.JPEG shows"
    for name, rows in {
        "short": ("1", "30"),
        "strange": ("1", "30", "30", "3"),
        "no number": ("1", "x", "1", "1"),
        "empty": (),
    }.items():
        yield (
            f"truth {name}",
            imagenet_of(development_kit, lines_in(f"ILSVRC2012_devkit_t12/data/{truth}", *rows)),
            truth,
        )
    yield "no key", imagenet_of(development_kit, gone(kit)), "there is no map_clsloc.txt"
    yield "an empty key", imagenet_of(development_kit, lines_in(kit)), "does not say what"
    yield (
        "nameless",
        imagenet_of(development_kit, lambda root: noise(root / "val/nameless.JPEG", 7)),
        "nameless.JPEG shows",
    )
    yield (
        "a broken picture",
        imagenet_of(plain_list, lambda root: (root / f"val/{whole[1]}").write_bytes(HTML)),
        f"val/{whole[1]} looks like a web page",
    )


READERS = {
    "idx": idx_cases,
    "parquet": parquet_cases,
    "npz": npz_cases,
    "records": record_cases,
    "pickles": pickle_cases,
    "lists": list_cases,
    "folders": folder_cases,
    "imagenet": imagenet_cases,
    "pictures": picture_cases,
}
CASES = [(reader, *case) for reader, cases in READERS.items() for case in cases()]
FEWEST = 30


def contents(root: Path) -> dict[str, str]:
    """What is there, and a hash of every regular file."""
    return {
        str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else f"{os.lstat(path).st_mode} {path.readlink() if path.is_symlink() else ''}"
        for path in root.rglob("*")
    }


@pytest.mark.parametrize(("reader", "name", "make", "words"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
def test_what_is_broken_is_refused_by_the_contract(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    reader: str,
    name: str,
    make: Make,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    before = contents(tmp_path)
    data = "data/list.csv" if (root / "list.csv").exists() else "data"
    assert cli.main(["train", data, *STEPS]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if not line.startswith(("note: ", "TIFF"))]
    assert len(lines) == 2, err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("fix: ")
    assert len(lines[1]) > len("fix: x")
    assert words in lines[0], (reader, name, err)
    assert (
        "data" in lines[0] or "bad." in lines[0] or "train/" in lines[0] or reader in ("lists", "imagenet", "parquet")
    )
    assert all(line.isprintable() and len(line) < 2_000 for line in lines)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_meets_thirty_different_ones(tmp_path: Path, reader: str) -> None:
    """Counted by what is there, not by name, so that the number can neither shrink nor be made up."""
    kinds = set()
    for i, (name, make, _) in enumerate(READERS[reader]()):
        root = tmp_path / str(i)
        root.mkdir()
        make(root)
        found = json.dumps(contents(root), sort_keys=True)
        assert found not in kinds, f"{reader}: {name} is there already"
        kinds.add(found)
    print(reader, len(kinds))
    assert len(kinds) >= FEWEST
