"""Small data sets to make errors in."""

import gzip
import json
from collections.abc import Sequence
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
