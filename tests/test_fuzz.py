"""Anything at all: whatever is done to good files, each reader gives pictures of the right shape, or refuses politely.

RESNETKIT_FUZZ is the number of inputs for each reader; 100,000 take some minutes a reader. An input is a good file, a
random number, and how often it is edited: hypothesis seeks the fewest edits that still fail.
"""

import codecs
import contextlib
import gzip
import os
import pickle
import shutil
import signal
import struct
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from samples import folder, idx_bytes, old_pickle, picture, write_cifar, write_parquet
from test_arrays import ARRAY, DATA, DTYPE, FEW, WORDS, good_npz, npy, pictures, zipped
from test_decode import SMALL, encoded, mended
from test_imagenet import caffe, development_kit, flat, kaggle, plain_list

from resnetkit.data.decode import decode
from resnetkit.data.parts import Source
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.errors import DataError, KitError, plain

FUZZ = int(os.environ.get("RESNETKIT_FUZZ", "300"))
SECONDS, MEGABYTES = 2.0, 500  # that no input may take more of
MAX_PIXELS = 1_000_000
CLASSES = ("a", "b", "cat", "dog", "0", "1", "2", *WORDS, "n01440764", "n01484850", "n02119789")
Edited = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Case:
    """One good file of a data set, and how what was edited becomes the file again."""

    place: Path  # what is opened
    file: Path
    good: bytes
    wrap: Edited = bytes

    def __post_init__(self) -> None:
        assert self.file.read_bytes() == self.wrap(self.good)


NUMBERS = [struct.pack(code, n) for code in ("<H", ">H", "<I", ">I", "<Q") for n in (0, 1, 0x7FFF, 0xFFFF)]
NUMBERS += [struct.pack(code, n) for code in ("<I", ">I", "<Q") for n in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)]


def broken(good: bytes, edits: int, chance: Random, words: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    """A copy with bits flipped, fields changed, and pieces cut off, left out, doubled, put in or taken elsewhere."""
    data = bytearray(good)
    for _ in range(edits):
        at = int(len(data) * chance.random() ** chance.choice((0.5, 1, 2, 4)))  # most fields are near either end
        length = chance.choice((1, 1, 2, 4, 8, 64, 3_000))
        match chance.randrange(10):
            case 0 | 1 if data:
                data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
            case 2 if data:
                data[min(at, len(data) - 1)] = chance.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 3:
                patch = chance.choice(NUMBERS)
                data[at : at + len(patch)] = patch
            case 4 if words:
                patch = chance.choice(words)
                data[at : at + chance.choice((0, len(patch)))] = patch
            case 5:
                data[at:at] = chance.randbytes(length % 65)
            case 6:
                del data[at : at + length]
            case 7:
                data[at:at] = data[at : at + length]
            case 8:
                other = chance.choice(others)
                start = int(len(other) * chance.random())
                data[at : at + length] = other[start : start + length]
            case 9 if chance.random() < 0.3:
                del data[at:]
    return bytes(data)


# The readers


def put(place: Path, file: Path, good: bytes, wrap: Edited = bytes) -> Case:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(wrap(good))
    return Case(place, file, good, wrap)


def squeezed(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def idx(root: Path) -> Iterator[Case]:
    arrays = {"images": np.arange(36, dtype=np.uint8).reshape(3, 4, 3), "labels": np.array([0, 1, 2], np.uint8)}
    for name, suffix in (("plain", ""), ("packed", ".gz")):
        for what, array in arrays.items():
            file = root / name / f"train-{what}-idx{array.ndim}-ubyte{suffix}"
            yield put(root / name, file, idx_bytes(array), squeezed if suffix else bytes)
            if suffix:
                yield Case(root / name, file, file.read_bytes())


def parquet(root: Path) -> Iterator[Case]:
    rows = [(encoded(np.full((4, 5, 3), 50 * i, np.uint8), "PNG"), i % 2) for i in range(4)]
    for name, names in (("named", ["a", "b"]), ("bare", None)):
        file = write_parquet(root / f"{name}.parquet", rows, names)
        yield Case(file, file, file.read_bytes())


def npz(root: Path) -> Iterator[Case]:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), np.uint8)
    members = {"images.npy": npy(pixels), "labels.npy": npy(FEW), "classes.npy": npy(np.array(WORDS))}
    file = root / "data.npz"

    def again(name: str, how: int) -> Edited:
        return lambda data: zipped([(key, data if key == name else good) for key, good in members.items()], how)

    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        yield put(file, file, good_npz(how))
        for name, good in members.items():  # with true checksums, so that the change reaches what is behind them
            yield put(file, file, good, again(name, how))


def records(root: Path) -> Iterator[Case]:
    for fine in (False, True):
        there = root / str(fine)
        write_cifar(there, {"test": (pictures()["train"][0][:2], [0, 1])}, ["a", "b"], fine=fine)
        for name in ("test.bin", "fine_label_names.txt") if fine else ("test_batch.bin", "batches.meta.txt"):
            yield Case(there, there / name, (there / name).read_bytes())


def pickles(root: Path) -> Iterator[Case]:
    found = {b"data": DATA[:2, :3072], b"labels": [0, 1]}
    names = {b"label_names": [b"a", b"b"], b"n": b"5"}
    forms: list[Callable[[dict[bytes, object]], bytes]] = [old_pickle]
    forms += [partial(pickle.dumps, protocol=n) for n in (0, 1, 2, 4, 5)]
    for i, form in enumerate(forms):
        there = root / str(i)
        for file, good in (("test_batch", form(dict(found))), ("batches.meta", form(dict(names)))):
            yield put(there, there / file, good)


def lists(root: Path) -> Iterator[Case]:
    names = ["a/1.png", "a/2.png", "\u732b/3.png", "\u732b/4.png"]
    lines = [
        "path,label,split,patient",
        *(f'"{n}",{"cat" if i % 2 else "dog"},train,p{i}' for i, n in enumerate(names)),
    ]
    text = "\n".join(lines)
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "utf-16"):
        folder(root / encoding, *names)
        yield put(root / encoding / "list.csv", root / encoding / "list.csv", text.encode(encoding))
    folder(root / "parts", *names)
    yield put(root / "parts", root / "parts" / "test.tsv", text.replace(",train", "").replace(",", "\t").encode())


def class_folders(root: Path) -> Iterator[Case]:
    for name, good in SMALL.items():
        there = root / name
        picture(there / "train" / "b" / "1.png")
        yield put(there, there / "train" / "a" / name, good)


def imagenet(root: Path) -> Iterator[Case]:
    for lists_of in (kaggle, development_kit, caffe, plain_list):
        there = flat(root / lists_of.__name__)
        lists_of(there)
        for file in sorted(there.rglob("*")):
            if file.suffix in (".txt", ".csv"):
                yield Case(there, file, file.read_bytes())


ZIPS = [b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"'|O'", b"<f8", b"True", b"(", b"-1", b"\x93NUMPY\2\0"]
PICKLES = [*b"(", *b"teusRb.0N]}ald\x85\x86\x87\x93\x94"]
CODES = [bytes([code]) for code in PICKLES] + [b"K\1", b"h\0", b"q\0", b"g0\n", b"p0\n", b"I1\n", b"cos\nsystem\n"]
CODES += [b"c\n\n", ARRAY, DTYPE, b"\x8a\xff", b"T", b"L9L\n", b"S'a'\n", b"Va\n", b"c__builtin__\nbytes\n)R"]
CELLS = [b'"', b"\n", b"\r", b",", b"\t", b"|", b";", b"\0", b"path", b"label", b"split", b"test", b"\xff", b"\x81\x30"]
CELLS += [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, b"../", b"a/1.png", b'""', b"\x1b[31m", "\u732b".encode()]
WNIDS = [
    b"n01440764",
    b"n02119789",
    b"\n",
    b" ",
    b"\t",
    b",",
    b'"',
    b"-1",
    b"9" * 30,
    b"\xff",
    b"\0",
    "\u0663".encode(),
]
READERS: dict[str, tuple[Callable[[Path], Iterator[Case]], Sequence[bytes]]] = {
    "idx": (idx, [b"\x1f\x8b\x08", bytes([0, 0, 8, 3]), b"\xff" * 12]),
    "parquet": (parquet, [b"PAR1", b"image", b"label", b"bytes", b"huggingface", b'{"info"', b"[", b"\x15\x15"]),
    "npz": (npz, ZIPS),
    "records": (records, [b"\0", b"a" * 3073, b"a\n", b"\xff"]),
    "pickles": (pickles, CODES),
    "lists": (lists, CELLS),
    "folders": (class_folders, [b"\xff\xd8\xff", b"<svg", b"II*\0"]),
    "imagenet": (imagenet, WNIDS),
}


# What is asked of each


@contextlib.contextmanager
def within_bounds() -> Iterator[None]:
    """Fails where what is inside takes too long, too much memory, or waits for what never comes."""
    before, begun = peak(), time.process_time()
    alarm = getattr(signal, "setitimer", None)
    if alarm:
        alarm(signal.ITIMER_REAL, 10)
    try:
        yield
    finally:
        if alarm:
            alarm(signal.ITIMER_REAL, 0)
    assert time.process_time() - begun < SECONDS
    assert peak() - before < MEGABYTES


def peak() -> float:
    """The most memory that this process has had, in MB."""
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


@pytest.fixture(autouse=True)
def alarm_is_an_error() -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> None:
        pytest.fail("it waits for something that never comes")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.signal(signal.SIGALRM, before)


def outcome(place: Path, classes: Sequence[str] | None, *names: str) -> str:
    """Open a source and read its pictures: what came of it, which is pictures of the right shape or a good refusal."""
    with within_bounds():
        try:
            source = open_source(place, max_pixels=MAX_PIXELS, classes=classes)
        except KitError as error:
            return refusal(error, str(place), *names)
        return shown(source)


def shown(source: Source) -> str:
    preprocess = Preprocess(
        size=(6, 5), channels=source.channels, mean=(0.5,) * source.channels, std=(1.0,) * source.channels
    )
    ends = set()
    for name, part in source.parts.items():
        assert part.name == name
        assert len(part.names) == len(part.labels) > 0
        assert part.labels.dtype == np.int64
        assert 0 <= part.labels.min() <= part.labels.max() < len(source.classes)
        for i in {0, len(part.names) - 1}:
            try:
                pixels = part.read(i).pixels
            except DataError as error:
                ends.add(refusal(error, part.names[i]))
                continue
            assert (pixels.dtype.name, pixels.ndim) == ("uint8", 3)
            assert pixels.shape[-1] in ((source.channels,) if source.arrays else (1, 3))
            assert preprocess.apply(pixels).shape == (6, 5, source.channels)
            assert part.encoded(i)
    return "some read" if ends else "read"


def refusal(error: KitError, *names: str) -> str:
    """It names the file or the folder, and says what to do, in one line that a terminal can show."""
    assert error.code in (3, 5)
    assert any(plain(name) in error.what for name in names), error.what
    assert error.fix
    assert (error.what + error.fix).isprintable()
    assert len(error.what) < 2_000
    return "refused"


def many(attempt: Callable[[int, Random], str]) -> Counter[str]:
    """Try as many inputs as are asked for, ten to an example; how many ended in which way."""
    ends: Counter[str] = Counter()

    @settings(max_examples=FUZZ // 10, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])
    @given(st.binary(min_size=8, max_size=8), st.integers(1, 6))
    def ten(number: bytes, edits: int) -> None:
        for k in range(10):
            ends[attempt(edits, Random(number + bytes([k])))] += 1

    begun = time.perf_counter()
    ten()
    print(f"{ends.total():,} inputs in {time.perf_counter() - begun:.0f} s:", dict(ends))
    return ends


@pytest.mark.parametrize("name", READERS)
def test_every_reader_is_calm(tmp_path: Path, name: str) -> None:
    make, words = READERS[name]
    cases = list(make(tmp_path))
    others = [case.good for case in cases]

    def attempt(edits: int, chance: Random) -> str:
        case = chance.choice(cases)
        whole = case.file.read_bytes()
        case.file.write_bytes(case.wrap(broken(case.good, edits, chance, words, others)))
        try:
            return outcome(case.place, chance.choice((None, CLASSES)), case.file.name)
        finally:
            case.file.write_bytes(whole)

    ends = many(attempt)
    assert ends["refused"] + ends["some read"] > FUZZ / 20
    assert ends["read"] > FUZZ / 100


SEGMENTS = [b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xd9", b"\xff\xe1\0\x10Exif\0\0", b"IDAT", b"tRNS", b"acTL"]
SEGMENTS += [b"VP8X", b"VP8L", b"ALPH", b"ANMF", b"\x21\xf9\4", b"\x2c", b"\x3b", b"II*\0", b"MM\0+"]


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "bmp", "gif", "tif"])
def test_the_decoder_is_calm(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Here the bytes are in memory. Changed chunks of a PNG get true checksums, so that the decoder sees them."""
    goods = [data for name, data in SMALL.items() if name.endswith(kind)]
    others = list(SMALL.values())

    def attempt(edits: int, chance: Random) -> str:
        data = broken(chance.choice(goods), edits, chance, SEGMENTS, others)
        if kind == "png" and chance.random() < 0.75:
            data = mended(data)
        channels = chance.choice((None, 1, 3))
        with within_bounds():
            try:
                pixels = decode(data, f"a.{kind}", channels=channels, max_pixels=MAX_PIXELS).pixels
            except DataError as error:
                return refusal(error, f"a.{kind}")
        assert (pixels.dtype.name, pixels.ndim) == ("uint8", 3)
        assert pixels.shape[-1] == (channels or pixels.shape[-1]) in (1, 3)
        assert 0 < pixels.size <= 3 * MAX_PIXELS
        return "read"

    with capfd.disabled() if kind != "tif" else contextlib.nullcontext():  # libtiff itself speaks of damage
        ends = many(attempt)
    assert ends["refused"] > FUZZ / 20
    assert ends["read"] > FUZZ / 100


FOLDERS = ["train", "val", "test", "Valid", "a", "b", "A", "images", "n01440764", "n02119789", "data", ".git", "devkit"]
FILES = ["1.png", "2.JPG", "x.txt", "Thumbs.db", "train.csv", "val.tsv", "val.txt", "words.txt", "synsets.txt", "train"]
FILES += ["data_batch_1", "test_batch.bin", "meta", "train.bin", "train.npz", "train-0.parquet", "a.parquet", "val.npz"]
FILES += ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images.idx3-ubyte.gz", "LOC_val_solution.csv"]
FILES += [
    "map_clsloc.txt",
    "ILSVRC2012_validation_ground_truth.txt",
    "n01440764_1.JPEG",
    "batches.meta",
    "val_labels.txt",
]
PNG = encoded(np.zeros((3, 3, 3), np.uint8), "PNG")


def grow(root: Path, edits: int, chance: Random) -> None:
    """A tree of files, folders, links and pipes with names that mean something, or nothing, to some reader."""
    root.mkdir()
    for _ in range(2 * edits + chance.randrange(6)):
        path = root.joinpath(*chance.choices(FOLDERS, k=chance.randrange(4)))
        with contextlib.suppress(OSError):  # what is in the way stays there
            path.mkdir(parents=True, exist_ok=True)
            made = path / chance.choice(FILES + FOLDERS)
            if os.path.lexists(made):
                continue
            match chance.randrange(12):
                case 0:
                    made.mkdir()
                case 1 if os.name != "nt":
                    made.symlink_to(chance.choice(["..", "nowhere", ".", made.name, "/dev/zero", "../1.png", "/"]))
                case 2 if os.name != "nt":
                    os.mkfifo(made)
                case 3:
                    made.write_bytes(chance.choice([b"", b"a", b"a.png 0\n", b"path,label\n1.png,a\n", PNG[:40]]))
                case _:
                    made.with_suffix(".png").write_bytes(PNG)


def test_any_tree_is_met_calmly(tmp_path: Path) -> None:
    root = tmp_path / "tree"

    def attempt(edits: int, chance: Random) -> str:
        grow(root, edits, chance)
        try:
            return outcome(root, chance.choice((None, None, CLASSES)))
        finally:
            shutil.rmtree(root)

    ends = many(attempt)
    assert ends["refused"] > FUZZ / 20
    assert ends["read"] + ends["some read"] > FUZZ / 100
