"""Small data sets to make errors in."""

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(path: Path, colour: int | tuple[int, ...] = (200, 100, 50), size: tuple[int, int] = (8, 8)) -> Path:
    """A picture of one colour (grey where that is one number), as its suffix says; ``size`` is width and height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)
    return path


def noise(path: Path, seed: int, size: tuple[int, int] = (8, 8)) -> Path:
    """A picture like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)
    return path


def folder(root: Path, *names: str) -> Path:
    """Different pictures of these names."""
    for seed, name in enumerate(names):
        noise(root / name, seed)
    return root


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def write_idx(root: Path, part: str, labels: Sequence[int], packed: bool = True, dot: bool = False) -> Path:
    root.mkdir(exist_ok=True)
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 5, 4), np.uint8)
    for what, array in (("images", images), ("labels", np.array(labels, np.uint8))):
        name = f"{part}-{what}{'.' if dot else '-'}idx{array.ndim}-ubyte"
        data = idx_bytes(array)
        (root / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return root


def write_digits(root: Path, train: int = 200, test: int = 60) -> Path:
    """Real digits as IDX: some to learn from and carve, the next ones to test."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype("uint8")
    for part, rows in (("train", slice(0, train)), ("t10k", slice(train, train + test))):
        (root / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(pixels[rows]))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(digits.target[rows].astype("uint8")))
    return root


def write_fashion(source: Path, root: Path, *, train: int, test: int) -> Path:
    """The first pictures of Fashion-MNIST, as IDX too."""
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        for what, size, head in (("images-idx3", 784, 16), ("labels-idx1", 1, 8)):
            with gzip.open(source / f"{part}-{what}-ubyte.gz") as file:
                about, data = file.read(head), file.read(count * size)
            header = about[:4] + struct.pack(">i", count) + about[8:]
            (root / f"{part}-{what}-ubyte").write_bytes(header + data)
    return root


def write_parquet(path: Path, rows: Sequence[tuple[Any, Any]], names: Sequence[str] | None, **columns: Any) -> Path:
    """Rows of (encoded picture, label) in the Hugging Face layout; ``columns`` replaces whole columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [None if data is None else {"bytes": data, "path": None} for data, _ in rows]
    values = {"image": pa.array(images, kind), "label": pa.array([label for _, label in rows], pa.int64()), **columns}
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    table = pa.table(values)
    if names is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=2)
    return path


def write_tar(path: Path, members: Sequence[tuple[str, bytes]], form: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of these names and bytes. A time with a fraction, as WebDataset writes, gives pax a header of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5
            archive.addfile(info, io.BytesIO(data))
    return path


def old_pickle(found: dict[bytes, Any]) -> bytes:
    """A dict as Python 2 pickled it for CIFAR: text as bytes, and numpy's arrays in 32-bit lengths."""
    out = b"\x80\x02}("
    for key, value in found.items():
        out += text_of(key)
        if isinstance(value, np.ndarray):
            shape = b"".join(b"J" + struct.pack("<i", n) for n in value.shape)
            out += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(" + shape
            out += b"tcnumpy\ndtype\nU\x02" + f"{value.dtype.kind}{value.dtype.itemsize}".encode()
            out += b"K\x00K\x01\x87R(K\x03U\x01" + value.dtype.byteorder.replace("=", "<").encode()
            out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text_of(value.tobytes()) + b"tb"
        elif isinstance(value, list):
            items = (text_of(one) if isinstance(one, bytes) else b"J" + struct.pack("<i", one) for one in value)
            out += b"](" + b"".join(items) + b"e"
        else:
            out += text_of(value)
    return out + b"u."


def text_of(text: bytes) -> bytes:
    return b"T" + struct.pack("<I", len(text)) + text


def write_cifar(
    root: Path,
    parts: Mapping[str, tuple[NDArray[np.uint8], Sequence[int]]],
    words: Sequence[str],
    *,
    fine: bool = False,
    pickled: Callable[[dict[bytes, Any]], bytes] | None = None,
) -> Path:
    """CIFAR-10, or CIFAR-100 where ``fine``, in records or in pickles; of ``train`` in two batches for CIFAR-10."""
    root.mkdir(exist_ok=True)
    for part, (images, labels) in parts.items():
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        half = (len(rows) + 1) // 2
        name = part if fine else f"{part}_batch"
        pieces = {name: slice(None)}
        if part == "train" and not fine:
            pieces = {"data_batch_1": slice(half), "data_batch_2": slice(half, None)}
        for name, which in pieces.items():
            key = b"fine_labels" if fine else b"labels"
            if pickled:
                found = {b"batch_label": b"a batch", b"data": np.array(rows[which]), key: list(labels[which])}
                (root / name).write_bytes(pickled(found))
            else:
                columns = [np.zeros(len(labels), np.uint8)] * fine + [np.array(labels, np.uint8)]
                records = np.column_stack([*columns, rows])[which]
                (root / f"{name}.bin").write_bytes(records.tobytes())
    if pickled:
        key = b"fine_label_names" if fine else b"label_names"
        (root / ("meta" if fine else "batches.meta")).write_bytes(pickled({key: [word.encode() for word in words]}))
    else:
        (root / ("fine_label_names.txt" if fine else "batches.meta.txt")).write_text("\n".join(words) + "\n\n", "utf-8")
    return root


def broken(good: bytes, edits: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    """A copy with pieces cut off, left out, doubled, or replaced; places below zero are counted from the end."""
    data = bytearray(good)
    for what, place, length, patch in edits:
        at = min(max(place + (len(data) if place < 0 else 0), 0), len(data))
        if what == "cut":
            del data[at:]
        elif what == "drop":
            del data[at : at + length]
        elif what == "double":
            data[at:at] = data[at : at + length]
        elif what == "put":
            data[at:at] = patch
        else:
            data[at : at + len(patch)] = patch
    return bytes(data)
