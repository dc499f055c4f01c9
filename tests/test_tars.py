"""WebDataset's tars: samples by key, read where they lie; and a tar that is broken is said to be broken."""

import contextlib
import io
import json
import os
import struct
import tarfile
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import refused as refused_by
from command import resnet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from samples import broken, folder, write_parquet, write_tar

from resnetkit.data.lists import Columns
from resnetkit.data.parts import Source
from resnetkit.data.sources import open_source
from resnetkit.errors import DataError, KitError

FUZZ = int(os.environ.get("RESNETKIT_FUZZ", "300"))  # broken tars; 100,000 take some minutes
Members = list[tuple[str, bytes]]


def png(seed: int, size: int = 4) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def samples(*labels: int | str, first: int = 0) -> Members:
    """A picture for each label, which is in ``.cls`` if it is a number, else in ``.json``."""
    made: Members = []
    for i, label in enumerate(labels, first):
        made.append((f"{i}.png", png(i)))
        made.append((f"{i}.cls", str(label).encode()) if isinstance(label, int) else (f"{i}.json", said(label=label)))
    return made


def said(**words: Any) -> bytes:
    return json.dumps(words).encode()


def refused(path: Path, *words: str, columns: Columns = Columns()) -> KitError:  # noqa: B008
    """Opening fails soon with these words, as a DataError with a remedy, and names the file or folder."""
    begun = time.process_time()
    with pytest.raises(DataError) as caught:
        open_source(path, columns=columns)
    assert time.process_time() - begun < 5
    error = caught.value
    assert error.fix
    for word in words:
        assert word in str(error)
    assert str(path) in error.what
    return error


def test_parts_by_the_names_of_shards(tmp_path: Path) -> None:
    write_tar(tmp_path / "birds-train-000000.tar", samples(0, 1))
    write_tar(tmp_path / "birds-train-000001.tar", samples(1, 2, 10))
    write_tar(tmp_path / "birds-validation-000000.tar", samples(2, 0))
    write_tar(tmp_path / "birds-Test.tar", samples(10))
    source = open_source(tmp_path)
    assert (source.kind, source.classes, source.channels) == ("tars", ("0", "1", "2", "10"), 3)
    assert (source.notes, source.columns) == ([], ())
    assert {name: part.labels.tolist() for name, part in source.parts.items()} == {
        "train": [0, 1, 1, 2, 3],
        "val": [2, 0],
        "test": [3],
    }
    train = source.parts["train"]
    assert train.names[:3] == (
        "birds-train-000000.tar/0.png",
        "birds-train-000000.tar/1.png",
        "birds-train-000001.tar/0.png",
    )
    assert [train.encoded(i) for i in (1, 2, 4)] == [png(1), png(0), png(2)]
    assert (train.read(4).pixels == np.asarray(Image.open(io.BytesIO(png(2))))).all()
    assert open_source(tmp_path, classes=("2", "1", "0", "10")).parts["val"].labels.tolist() == [0, 2]
    alone = open_source(tmp_path / "birds-train-000001.tar")
    assert {name: part.names for name, part in alone.parts.items()} == {"all": train.names[2:]}


def test_parts_by_folders_and_names_of_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "train/0.tar", samples(1, 0))
    write_tar(tmp_path / "train/1.tar", samples(3))
    write_tar(tmp_path / "test/0.tar", samples(0))
    (tmp_path / "classnames.txt").write_text("鹦鹉\nowl\nlark\nwren\n", "utf-8")
    (tmp_path / "train/nshards.txt").write_text("2")
    source = open_source(tmp_path)
    assert source.classes == ("鹦鹉", "owl", "wren")
    assert source.notes == ["classes without pictures in train are left out: lark"]
    assert [part.labels.tolist() for part in source.parts.values()] == [[1, 0, 2], [0]]
    assert source.parts["train"].names == ("0.tar/0.png", "0.tar/1.png", "1.tar/0.png")
    (tmp_path / "classnames.txt").rename(tmp_path / "classes.txt")
    assert open_source(tmp_path).classes == source.classes
    (tmp_path / "classes.txt").unlink()
    assert open_source(tmp_path).classes == ("0", "1", "3")
    (tmp_path / "_info.json").write_bytes(said(splits={"train": 3}, class_names=["a", "b", "c", "d"]))
    assert open_source(tmp_path).classes == ("a", "b", "d")
    (tmp_path / "info.json").write_bytes(said(classes=list("abcd")))
    refused(tmp_path, "_info.json, info.json each name the classes")
    (tmp_path / "_info.json").write_bytes(said(splits={}))
    (tmp_path / "info.json").write_bytes(said(classes=list("abca")))
    refused(tmp_path, "info.json: two classes are called a")
    (tmp_path / "info.json").write_bytes(said(classes=list("abc")))
    refused(tmp_path, "1.tar: 0.png has the label 3, but there are 3 classes: a, b, c")
    (tmp_path / "info.json").write_bytes(b"[1]")
    refused(tmp_path, "info.json is no JSON of words and values")


def test_words_for_labels(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", samples("owl", "lark", "owl"))
    source = open_source(path)
    assert (source.classes, source.columns) == (("lark", "owl"), ("label_column",))
    assert source.parts["all"].labels.tolist() == [1, 0, 1]
    (tmp_path / "classes.txt").write_text("owl\nlark")
    assert open_source(path).classes == ("owl", "lark")
    (tmp_path / "classes.txt").write_text("owl\nwren")
    refused(path, "1.png has the label lark, but there are 2 classes: owl, wren")


def test_a_number_comes_before_a_word(tmp_path: Path) -> None:
    """WebDataset's own files often have both, and say more in JSON than the class."""
    more = [(f"{i}.json", said(label="x", size=4, bird=f"b{i % 2}")) for i in range(4)]
    path = write_tar(tmp_path / "a.tar", [*samples(0, 1, 1, 0), *more, ("0.txt", b"a caption")])
    source = open_source(path)
    assert (source.classes, source.columns) == (("0", "1"), ())
    assert source.notes == ["all: neither pictures nor labels, passed by: 1 .txt"]
    source = open_source(path, columns=Columns(label="bird"))
    assert (source.classes, source.parts["all"].labels.tolist()) == (("b0", "b1"), [0, 1, 0, 1])
    assert source.columns == ("label_column",)
    refused(path, "0.json has no brid, only label, size, bird", columns=Columns(label="brid"))
    assert open_source(path, columns=Columns(label="bird", must=False)).classes == ("0", "1")
    refused(write_tar(tmp_path / "b.tar", samples(0, 1)), "no label in a .json", columns=Columns(label="bird"))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar(tmp_path: Path, form: int) -> None:
    deep = "a-folder-of-some-length/" * 8
    if form != tarfile.USTAR_FORMAT:  # which has room for 256 letters, and no letters but these
        deep += "x" * 300 + "/鸟"
    names = ["./1", "dir/1", f"{deep}1", "../../etc/escape", "/root/escape"]
    members = [
        member for i, n in enumerate(names) for member in ((f"{n}.JPG", png(i)), (f"{n}.cls", b"%d\n" % (i % 2)))
    ]
    path = write_tar(tmp_path / "a.tar", members, form)
    with tarfile.open(path, "a", format=form) as archive:
        kind = tarfile.TarInfo("dir")
        kind.type = tarfile.DIRTYPE
        archive.addfile(kind)
        apple = tarfile.TarInfo("dir/._1.JPG")
        apple.size = 3
        archive.addfile(apple, io.BytesIO(b"mac"))
    source = open_source(path)
    part = source.parts["all"]
    assert part.names == tuple(f"a.tar/{name}.JPG" for name in names)
    assert part.labels.tolist() == [0, 1, 0, 1, 0]
    assert [part.encoded(i) for i in range(5)] == [png(i) for i in range(5)]
    assert part.read(3).notes == ("PNG data in a .jpg file",)
    assert source.notes == ["all: neither pictures nor labels, passed by: 1 .jpg"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


def test_a_size_that_only_pax_says(tmp_path: Path) -> None:
    """A member of more than 8 GB, or any that a writer says so of, has its size beside the header."""
    info = tarfile.TarInfo("0.png")
    info.pax_headers = {"size": str(len(png(0)))}
    header = info.tobuf(tarfile.PAX_FORMAT)
    data = header + png(0) + bytes(-len(png(0)) % 512)
    rest = write_tar(tmp_path / "rest.tar", samples(0, 1)[1:]).read_bytes()
    (tmp_path / "a.tar").write_bytes(data + rest)
    part = open_source(tmp_path / "a.tar").parts["all"]
    assert [part.encoded(i) for i in (0, 1)] == [png(0), png(1)]


def test_nothing_but_what_is_asked_for_is_held(tmp_path: Path) -> None:
    large = os.urandom(4 << 20)
    members = [member for i in range(8) for member in ((f"{i}.png", large), (f"{i}.cls", b"%d" % (i % 2)))]
    path = write_tar(tmp_path / "a.tar", members)
    tracemalloc.start()
    try:
        part = open_source(path).parts["all"]
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert part.encoded(7) == large
    path.write_bytes(path.read_bytes()[: 20 << 20])
    with pytest.raises(DataError, match=r"7.png is cut off: the shard became shorter"):
        part.encoded(7)
    path.unlink()
    with pytest.raises(DataError, match=r"a.tar cannot be read: No such file"):
        part.encoded(0)


def test_shards_that_are_not_there(tmp_path: Path) -> None:
    for i in (3, 4, 7):
        write_tar(tmp_path / f"train-{i:06d}.tar", samples(0, 1))
    write_tar(tmp_path / "val-9.tar", samples(0, 1))
    assert open_source(tmp_path).notes == ["train: 2 of the shards train-3 to 7 are not there"]


def test_tars_beside_other_things(tmp_path: Path) -> None:
    """The tar that a folder was unpacked from is no data of its own."""
    folder(tmp_path / "a", "train/x/1.png", "train/y/1.png")
    write_tar(tmp_path / "a/train.tar", samples(0, 1))
    write_tar(tmp_path / "a/train/x.tar", samples(0, 1))
    assert open_source(tmp_path / "a").kind == "folder"
    write_tar(tmp_path / "b/train/0.tar", samples(0, 1))
    (tmp_path / "b/val").mkdir()
    refused(tmp_path / "b", "there are no shards in val")
    folder(tmp_path / "b", "val/x/1.png")
    write_tar(tmp_path / "c/train-0.tar", samples(0, 1))
    write_tar(tmp_path / "c/odd.tar", samples(0, 1))
    refused(tmp_path / "c", "the part of odd.tar is not clear")
    (tmp_path / "c/odd.tar").rename(tmp_path / "c/train-val-1.tar")
    refused(tmp_path / "c", "train-val-1.tar: is it of train or val?")
    (tmp_path / "c/train-val-1.tar").rename(tmp_path / "c/valid.tar")
    write_tar(tmp_path / "c/val.tar", samples(0, 1))
    refused(tmp_path / "c", "valid.tar: is it of val or valid?")
    write_parquet(tmp_path / "d/train.parquet", [(png(0), 0), (png(1), 1)], ["a", "b"])
    write_tar(tmp_path / "d/train-0.tar", samples(0, 1))
    refused(tmp_path / "d", "holds parquet and tar files")
    write_tar(tmp_path / "e/train/val-0.tar", samples(0, 1))
    refused(tmp_path / "e", "is it of train or val?")


def raw(*blocks: tarfile.TarInfo | bytes) -> bytes:
    """A tar of these headers and bytes, as they are."""
    parts = [block if isinstance(block, bytes) else block.tobuf(tarfile.USTAR_FORMAT) for block in blocks]
    return b"".join(part + bytes(-len(part) % 512) for part in parts)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def checked(block: bytes) -> bytes:
    """A header with the checksum that it should have."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def good_tar(members: Members, form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members:
            archive.addfile(header(name, len(data)), io.BytesIO(data))
    return file.getvalue()


def field(at: int, value: bytes) -> bytes:
    """A good tar whose first header has other bytes there, and a checksum that fits."""
    good = good_tar(samples(0, 1))
    return checked(good[:at] + value + good[at + len(value) : 512]) + good[512:]


GOOD = good_tar(samples(0, 1))
PAX = tarfile.XHDTYPE
END = bytes(1024)
TWO = samples(0, 1)
CASES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "is cut off: it has 0 bytes"),
    "text": (b"no tar at all", "is no tar file"),
    "a web page": (b"<!doctype html>".ljust(600), "is no tar file"),
    "zeros": (END, "has no pictures"),
    "gzip": (b"\x1f\x8b\x08" + bytes(600), "is compressed with gzip"),
    "bzip2": (b"BZh91AY" + bytes(600), "is compressed with bzip2"),
    "xz": (b"\xfd7zXZ\0" + bytes(600), "is compressed with xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(600), "is compressed with zstd"),
    "cut behind a picture": (GOOD[:700], "is cut off: it has 700 bytes and no end"),
    "cut within a picture": (GOOD[:560], "is cut off within 0.png"),
    "cut between members": (GOOD[:1024], "is cut off: it has 1,024 bytes and no end"),
    "cut within a header": (GOOD[:1200], "is damaged at byte 1,024: truncated header"),
    "a bad checksum": (GOOD[:1030] + b"x" + GOOD[1031:], "is damaged at byte 1,024: bad checksum"),
    "a bad checksum at the start": (b"x" + GOOD[1:], "is no tar file: bad checksum"),
    "two tars joined": (GOOD + GOOD, "goes on after its end"),
    "bytes after the end": (GOOD + b"x", "goes on after its end"),
    "zeros without end": (GOOD + bytes(2 << 20), "goes on after its end"),
    "a size that is no number": (field(124, b"zzzzzzzzzzz\0"), "is no tar file: invalid header"),
    "a size below zero": (field(124, b"\xff" * 12), "is cut off within 0.png"),
    "a size beyond the end": (field(124, b"77777777777\0"), "is cut off within 0.png"),
    "a size beyond everything": (field(124, b"\x80" + b"\x7f" * 11), "is cut off within 0.png"),
    "a link": (raw(header("0.png", kind=tarfile.SYMTYPE, link="/etc/passwd")) + GOOD, "0.png is a link"),
    "a hard link": (raw(header("0.png", kind=tarfile.LNKTYPE, link="../x")) + GOOD, "0.png is a link"),
    "a device": (raw(header("0.png", kind=tarfile.CHRTYPE)) + GOOD, "0.png is no regular file"),
    "a disk": (raw(header("0.png", kind=tarfile.BLKTYPE)) + GOOD, "0.png is no regular file"),
    "a pipe": (raw(header("0.png", kind=tarfile.FIFOTYPE)) + GOOD, "0.png is no regular file"),
    "a file with holes": (raw(header("0.png", kind=tarfile.GNUTYPE_SPARSE)) + GOOD, "0.png is no regular file"),
    "holes by pax": (raw(header("p", 26, PAX), b"26 GNU.sparse.realsize=99\n") + GOOD, "is no regular file"),
    "an unknown kind": (raw(header("0.png", kind=b"?")) + GOOD, "0.png is no regular file"),
    "pax without length": (raw(header("p", 9, PAX), b"path=abc\n") + GOOD, "said of the next member cannot be read"),
    "pax of nothing": (raw(header("p", 0, PAX)) + GOOD, "said of the next member cannot be read"),
    "pax too long": (raw(header("p", 11, PAX), b"99 path=ab\n") + GOOD, "said of the next member cannot be read"),
    "pax that goes back": (raw(header("p", 11, PAX), b"00 path=ab\n") + GOOD, "of the next member cannot be read"),
    "pax of no size": (raw(header("p", 11, PAX), b"11 size=-1\n") + GOOD, "said of the next member cannot be read"),
    "pax beyond the end": (raw(header("p", 15, PAX), b"15 size=999999\n") + GOOD, "is cut off within 0.png"),
    "pax and no member": (raw(header("p", 11, PAX), b"11 path=ab\n") + END, "goes on after its end"),
    "pax of megabytes": (raw(header("p", 2 << 20, PAX), bytes(2 << 20)) + GOOD, "of the next member cannot be read"),
    "a long name of nothing": (raw(header("l", 4, tarfile.GNUTYPE_LONGNAME), bytes(4)) + GOOD, "cannot be read"),
    "no label": (good_tar([*TWO, ("2.png", png(2))]), "2.png has no label"),
    "a caption for a label": (good_tar([("0.png", png(0)), ("0.txt", b"a bird")]), "0.png has no label"),
    "class folders": (good_tar([("ant/0.png", png(0)), ("bee/0.png", png(1))]), "ant/0.png has no label"),
    "no picture": (good_tar([*TWO, ("2.cls", b"1")]), "labels without pictures: 2.cls"),
    "a picture of another kind": (good_tar([*TWO, ("2.heic", b"x"), ("2.json", b"{}")]), "without pictures: 2.json"),
    "two pictures": (good_tar([*TWO, ("1.jpg", png(1))]), "two pictures for the key 1: 1.png and 1.jpg"),
    "the same picture twice": (good_tar([*TWO, ("1.png", png(1))]), "two pictures for the key 1: 1.png and 1.png"),
    "dots in names": (good_tar([("a.1.png", png(0)), ("a.2.png", png(1))]), "two pictures for the key a: a.1.png"),
    "two labels": (good_tar([*TWO, ("1.cls", b"0")]), "two labels for the key 1: 1.cls and 1.cls"),
    "a word in a cls": (good_tar([("0.png", png(0)), ("0.cls", b"owl")]), "0.cls says 'owl', no whole number"),
    "an empty cls": (good_tar([("0.png", png(0)), ("0.cls", b"")]), "0.cls says '', no whole number"),
    "a part of a number": (good_tar([("0.png", png(0)), ("0.cls", b"1.5")]), "0.cls says '1.5', no whole number"),
    "two numbers": (good_tar([("0.png", png(0)), ("0.cls", b"1 2")]), "0.cls says '1 2', no whole number"),
    "digits of other scripts": (good_tar([("0.png", png(0)), ("0.cls", "\u0663".encode())]), "no whole number"),
    "a number of bytes": (good_tar([("0.png", png(0)), ("0.cls", struct.pack("<q", 1))]), "no whole number"),
    "a number too long": (good_tar([("0.png", png(0)), ("0.cls", b"9" * 5000)]), "no whole number"),
    "a label below zero": (good_tar(samples(0, -1)), "1.png has the label -1, but labels begin at 0"),
    "numbers and words": (good_tar(samples(0, "owl")), "has numbers and words for labels"),
    "one class": (good_tar(samples(1, 1)), "has one class, 1, and needs at least two"),
    "looks alike": (good_tar(samples("owl", "Owl")), "differ only in case"),
    "no JSON": (good_tar([("0.png", png(0)), ("0.json", b"{label: 1}")]), "0.json is no JSON"),
    "JSON of bytes": (good_tar([("0.png", png(0)), ("0.json", b"\xff\xfe\xfd")]), "0.json is no JSON"),
    "JSON of depth": (good_tar([("0.png", png(0)), ("0.json", b"[" * 100_000)]), "0.json is no JSON"),
    "a list": (good_tar([("0.png", png(0)), ("0.json", b"[1]")]), "0.json is no JSON of words and values"),
    "JSON of digits": (good_tar([("0.png", png(0)), ("0.json", b'{"label": %s}' % (b"9" * 9999))]), "is no JSON"),
    "JSON without label": (good_tar([("0.png", png(0)), ("0.json", said(x=1))]), "has no label or class, only x"),
    "JSON with both": (good_tar([("0.png", png(0)), ("0.json", said(label=1, **{"class": 2}))]), "both a label and a"),
    "several labels": (good_tar([("0.png", png(0)), ("0.json", said(label=[1, 2]))]), "0.json: label is [1, 2]"),
    "true": (good_tar([("0.png", png(0)), ("0.json", said(label=True))]), "0.json: label is true"),
    "a share": (good_tar([("0.png", png(0)), ("0.json", said(label=0.5))]), "0.json: label is 0.5"),
    "an empty word": (good_tar([("0.png", png(0)), ("0.json", said(label=" "))]), '0.json: label is " "'),
    "half a letter": (
        good_tar([*samples("a", "b"), ("2.png", png(2)), ("2.json", b'{"label":"\\ud800"}')]),
        "not UTF-8",
    ),
    "a number too large": (good_tar([("0.png", png(0)), ("0.json", said(label=10**9))]), "label is 1000000000"),
}


@pytest.mark.parametrize("name", CASES)
def test_broken_tars(tmp_path: Path, name: str) -> None:
    data, words = CASES[name]
    (tmp_path / "a.tar").write_bytes(data)
    refused(tmp_path / "a.tar", "a.tar", words)


def test_compressed_shards(tmp_path: Path) -> None:
    for name in ("train-0.tar.gz", "a.tgz", "b.tar.zst"):
        (tmp_path / name).write_bytes(b"\x1f\x8b\x08" + bytes(600))
        refused(tmp_path, name, "is compressed with gzip", "uncompress it to .tar")
        refused(tmp_path / name, "is compressed with gzip", "unpack it and name the folder")
        (tmp_path / name).unlink()


@pytest.mark.skipif(os.name == "nt", reason="links and pipes are a matter of POSIX")
def test_what_is_no_file(tmp_path: Path) -> None:
    good = write_tar(tmp_path / "elsewhere", samples(0, 1))
    path = tmp_path / "set/train.tar"
    path.parent.mkdir()
    path.symlink_to(good)
    assert open_source(path.parent).kind == "tars"
    makers: list[tuple[Callable[[Path], None], str]] = [
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (os.mkfifo, "is not a regular file"),
    ]
    for make, words in makers:
        path.unlink()
        make(path)
        refused(path.parent, "train.tar", words)


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    """Which is said when pictures are looked at, as of any other data."""
    path = write_tar(tmp_path / "a.tar", [("0.png", b""), ("0.cls", b"0"), ("1.png", b"text"), ("1.cls", b"1")])
    part = open_source(path).parts["all"]
    for i in (0, 1):
        with pytest.raises(DataError, match=rf"a.tar/{i}.png"):
            part.read(i)


# Anything at all

GOODS = [
    good_tar([*samples(0, 1), ("2.txt", b"x")]),
    good_tar(samples("a", "b")),
    good_tar([(f"{'d' * 120}/{name}", data) for name, data in samples(0, 1)], tarfile.GNU_FORMAT),
    good_tar([(f"\u9e1f{name}", data) for name, data in samples(1, 0)]),
]
PIECES = [b"0", b"1", b"2", b"5", b"6", b"7", b"S", b"x", b"g", b"L", b"K", b"\0", b"\xff" * 8, b"\x80" + bytes(10)]
PIECES += [
    b"ustar\x0000",
    b"ustar  \0",
    b"00000001000\0",
    b"77777777777\0",
    b"12 path=a.b\n",
    b"11 size=99\n",
    b"{",
    b'"',
]
PIECES += [b".png", b".cls", b".json", b"/", b"../", b'{"label":1}', bytes(512), bytes(1024)]
TYPE, SIZE, NAME, MAGIC = 156, 124, 0, 257  # places in a header


def mended(data: bytes) -> bytes:
    """With a checksum that fits in each block that may be a header: else nothing behind the first fault is reached."""
    blocks = [data[at : at + 512] for at in range(0, len(data), 512)]
    return b"".join(
        checked(block) if len(block) == 512 and b"ustar" in block[MAGIC : MAGIC + 8] else block for block in blocks
    )


def test_anything_at_all(tmp_path: Path) -> None:
    """Every input is read, or refused with a word about the file, and soon."""
    path = tmp_path / "a.tar"
    ends: dict[str, int] = defaultdict(int)
    place = st.builds(
        lambda block, at: 512 * block + at,
        st.integers(0, 14),
        st.sampled_from([NAME, SIZE, TYPE, MAGIC, 345]) | st.integers(0, 511),
    )
    edit = st.tuples(
        st.sampled_from(["cut", "drop", "double", "put", "replace", "replace", "replace", "replace"]),
        place | st.integers(-1500, -1),
        st.sampled_from([1, 512, 512, 1024, 3000]),
        st.sampled_from(PIECES) | st.binary(min_size=1, max_size=12),
    )

    @settings(max_examples=FUZZ, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(GOODS), st.lists(edit, min_size=1, max_size=5), st.sampled_from([True, True, False]))
    def attempt(good: bytes, edits: list[tuple[str, int, int, bytes]], mend: bool) -> None:
        data = broken(good, edits)
        path.write_bytes(mended(data) if mend else data)
        begun = time.process_time()
        try:
            source = open_source(path, classes=("0", "1", "2", "a", "b"))
        except KitError as error:
            end: KitError | Source = error
        else:
            end = source
        assert time.process_time() - begun < 5
        ends[type(end).__name__] += 1
        if isinstance(end, Source):
            part = end.parts["all"]
            assert len(part.names) == len(part.labels) > 0
            for i in range(len(part.names)):
                assert len(part.encoded(i)) <= len(data)
                with contextlib.suppress(DataError):
                    part.read(i)
        else:
            assert end.code == 3
            assert end.fix
            assert str(path) in end.what

    begun = time.perf_counter()
    attempt()
    print(dict(ends), f"{time.perf_counter() - begun:.0f} seconds")
    assert ends["DataError"] > FUZZ / 5
    assert ends["Source"] > FUZZ / 20
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


# All the way


def test_train_and_eval(tmp_path: Path) -> None:
    """A word of the JSON is the class, the model remembers which, and a word that says nothing is an error."""
    birds = [("owl", "lark")[i % 2] for i in range(12)]
    pairs = [((f"{i}.png", png(i, 8)), (f"{i}.json", said(label="x", bird=bird))) for i, bird in enumerate(birds)]
    write_tar(tmp_path / "set/train-0.tar", [member for pair in pairs[:8] for member in pair])
    write_tar(tmp_path / "set/test-0.tar", [member for pair in pairs[8:] for member in pair])
    words = ["--model", "resnet20", "--steps", "2", "--batch", "4", "--out", str(tmp_path / "run")]
    done = resnet("train", tmp_path / "set", *words, "--label-column", "bird", timeout=600)
    assert done.code == 0, done
    done = resnet("eval", tmp_path / "run", tmp_path / "set", "--json", cwd=tmp_path, timeout=600)
    assert done.code == 0, done
    assert done.document["n"] == 4
    write_tar(tmp_path / "numbers.tar", samples(*(i % 2 for i in range(12))))
    idle = resnet("train", tmp_path / "numbers.tar", "--part-column", "x", "--out", tmp_path / "no", timeout=600)
    refused_by(idle, 2, "--part-column would have no effect")
    assert not (tmp_path / "no").exists()
