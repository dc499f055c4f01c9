"""CIFAR-10 and CIFAR-100 as their authors pack them: 32x32 in colour, in bare records or in pickled dicts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.arrays import array_source, check_words, named
from resnetkit.data.parts import PartName, Source
from resnetkit.data.pickles import AGAIN, Stored, read_pickle
from resnetkit.data.regular import read_lines, read_whole
from resnetkit.errors import DataError, plain

LIMIT = 1 << 30  # bytes of one file; the largest there is has 155 million
BYTES = 3 * 32 * 32  # of a picture: all red, all green, all blue


@dataclass(frozen=True)
class Version:
    """Where one of the four downloads keeps what. Of CIFAR-100 the fine labels are the classes."""

    title: str
    train: str  # pattern of the files
    test: str
    names: str  # the file with the names of the classes
    classes: int
    labels: int | str  # bytes before each picture, the last of which is the label; or the key of the labels
    words: str = ""  # the key of the names


VERSIONS = (
    Version("CIFAR-10 in records", r"data_batch_(\d)\.bin", "test_batch.bin", "batches.meta.txt", 10, 1),
    Version("CIFAR-10 in pickles", r"data_batch_(\d)", "test_batch", "batches.meta", 10, "labels", "label_names"),
    Version("CIFAR-100 in records", r"train\.bin", "test.bin", "fine_label_names.txt", 100, 2),
    Version("CIFAR-100 in pickles", "train", "test", "meta", 100, "fine_labels", "fine_label_names"),
)


def versions_in(root: Path) -> list[Version]:
    """The downloads that a folder holds; of CIFAR-100 the names are needed, since ``train`` alone may be anything."""
    there = {path.name for path in root.iterdir() if not path.is_dir()}
    return [
        version
        for version in VERSIONS
        if any(files_of(version, there).values()) and (version.classes == 10 or version.names in there)
    ]


def files_of(version: Version, there: set[str]) -> dict[PartName, list[str]]:
    train = sorted(name for name in there if re.fullmatch(version.train, name))
    return {"train": train, "test": [version.test] if version.test in there else []}


def open_cifar(root: Path, version: Version, classes: Sequence[str] | None) -> Source:
    """Read every file into memory. Without the file of their names the classes are called by their numbers."""
    there = {path.name for path in root.iterdir()}
    known = class_names(root / version.names, version) if version.names in there else ()
    notes = [] if known else [f"there is no {version.names}: the classes are called by their numbers"]
    images: dict[PartName, NDArray[np.uint8]] = {}
    found: dict[PartName, list[str]] = {}
    for part, files in files_of(version, there).items():
        pieces = [read_batch(root / name, version, known) for name in files]
        if pieces:
            images[part] = np.concatenate([pixels for pixels, _ in pieces])
            found[part] = [name for _, names in pieces for name in names]
    batches = files_of(version, there)["train"]
    numbers = [int(match[1]) for name in batches if (match := re.search(r"(\d)(\.bin)?$", name))]
    if numbers != list(range(1, len(numbers) + 1)):
        raise DataError(f"{plain(root)} has {', '.join(batches)}, and lacks what is between", "download the rest")
    if numbers and len(numbers) < 5:
        notes.append(f"train is {len(numbers)} of the 5 batches of CIFAR-10")
    return array_source(plain(root), "cifar", images, found, known, classes, notes)


def class_names(path: Path, version: Version) -> tuple[str, ...]:
    where = plain(path)
    if not version.words:
        return check_words(where, read_lines(path))
    words = read_pickle(read_whole(path, LIMIT), where).get(version.words)
    if not isinstance(words, list):
        raise DataError(f"{where} has no list {version.words}", AGAIN)
    return check_words(where, [word.decode("utf-8", "replace") if isinstance(word, bytes) else word for word in words])


def read_batch(path: Path, version: Version, known: Sequence[str]) -> tuple[NDArray[np.uint8], list[str]]:
    """The pictures (n, 32, 32, 3) of one file, and their classes."""
    where = plain(path)
    data = read_whole(path, LIMIT)
    if isinstance(version.labels, int):
        record = version.labels + BYTES
        if not data or len(data) % record:
            raise DataError(f"{where} has {len(data):,} bytes, which is not a number of records of {record:,}", AGAIN)
        rows = np.frombuffer(data, np.uint8).reshape(-1, record)
        pixels, numbers = rows[:, version.labels :], rows[:, version.labels - 1].tolist()
    else:
        pixels, numbers = from_pickle(read_pickle(data, where), version.labels, where)
    images = np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return images, named(where, numbers, known, version.classes)


def from_pickle(found: dict[str, object], key: str, where: str) -> tuple[NDArray[np.uint8], list[int]]:
    data, labels = found.get("data"), found.get(key)
    pixels = data.array if isinstance(data, Stored) else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.shape[1:] != (BYTES,):
        shape = "nothing of the kind" if pixels is None else f"{pixels.dtype} {pixels.shape}"
        raise DataError(f"{where}: data should be uint8 (n, {BYTES}), and is {shape}", AGAIN)
    numbers = labels.array.tolist() if isinstance(labels, Stored) and labels.array is not None else labels
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise DataError(f"{where} has no list {key} of whole numbers", AGAIN)
    if len(numbers) != len(pixels):
        raise DataError(f"{where} has {len(pixels)} pictures but {len(numbers)} {key}", AGAIN)
    return pixels, numbers
