"""Features of pictures: what the head would see of each, kept in a file, and which of them lie near a picture."""

import io
import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import DataError, ResourceError, UsageError, plain
from resnetkit.files import check_target, write_bytes
from resnetkit.network import Network

SUFFIXES = (".npz", ".parquet")
ABOUT = "resnetkit"  # under which a file says of which network its features are


@dataclass(frozen=True)
class Neighbour:
    """A picture near another."""

    name: str
    label: str
    part: str
    distance: float  # 1 less the cosine of the angle between the features: 0 for alike, 1 for nothing in common

    def as_dict(self) -> dict[str, Any]:
        said = {"label": self.label, "part": self.part}
        return {"path": self.name, **{key: word for key, word in said.items() if word}, "distance": self.distance}


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Pictures by name, each with its features; labels and parts are empty words where they are not known."""

    names: tuple[str, ...]
    features: NDArray[np.float32]  # (n, numbers that the head sees)
    labels: tuple[str, ...]
    parts: tuple[str, ...]
    network: str  # whose features they are: those of another one lie elsewhere
    errors: tuple[tuple[str, str], ...] = ()  # pictures that could not be read, and why; not kept in files

    def directions(self) -> NDArray[np.float32]:
        """The features, each of length 1; of none, 0."""
        lengths = np.linalg.norm(self.features, axis=1, keepdims=True)
        return np.asarray(self.features / np.where(lengths > 0, lengths, 1), np.float32)

    def nearest(self, others: "Embeddings", top: int = 5) -> list[list[Neighbour]]:
        """For each of ``others`` the ``top`` nearest of these, nearest first.

        Raises UsageError for those of another network.
        """
        if others.network != self.network:
            raise UsageError("these features are of another network", "make them anew with this model: resnet embed")
        ours, found = self.directions(), []
        for direction in others.directions():
            distances = 1 - ours @ direction
            order = np.argsort(distances, kind="stable")[:top].tolist()
            near = (Neighbour(self.names[i], self.labels[i], self.parts[i], float(distances[i])) for i in order)
            found.append(list(near))
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .npz or .parquet file. UsageError for another suffix, or a file there that holds no embeddings."""
        path = Path(path)
        refuse_out(path)
        write_bytes(path, npz(self) if path.suffix.lower() == ".npz" else parquet(self))


def refuse_out(path: Path) -> None:
    """UsageError for a file that embeddings are not written to."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{plain(path)} is neither .npz nor .parquet", "name the file so")
    if path.suffix.lower() == ".parquet":
        arrow()
    check_target(path)
    if path.exists():
        try:
            read(path)
        except DataError:
            raise UsageError(f"{plain(path)} is there and holds no embeddings", "name another file") from None


def npz(found: Embeddings) -> memoryview:
    out = io.BytesIO()
    names, labels, parts = (np.array(words, np.str_) for words in (found.names, found.labels, found.parts))
    about = np.array(found.network)
    np.savez(out, names=names, labels=labels, parts=parts, features=found.features, resnetkit=about)
    return out.getbuffer()


def parquet(found: Embeddings) -> memoryview:
    """Columns name, label, part and features; names that are not UTF-8 are spelt out."""
    pa, pq = arrow()
    flat = pa.array(found.features.ravel(), pa.float32())
    columns = {
        "name": pa.array(list(map(plain, found.names)), pa.string()),
        "label": pa.array(list(found.labels), pa.string()),
        "part": pa.array(list(found.parts), pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, found.features.shape[1]),
    }
    table = pa.table(columns).replace_schema_metadata({ABOUT: found.network})
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getbuffer()


def read(path: str | os.PathLike[str]) -> Embeddings:
    """What save wrote. Raises DataError where a file holds no embeddings, ResourceError where pyarrow is missing."""
    path = Path(path)
    wrong = DataError(f"{plain(path)} holds no embeddings", "make some: resnet embed MODEL DATA --out FILE.npz")
    if not path.is_file():
        raise DataError(f"{plain(path)} is not a file", wrong.fix)
    words: list[Sequence[str]]
    try:
        if path.suffix.lower() == ".parquet":
            _, pq = arrow()
            table = pq.read_table(path)
            network = table.schema.metadata[ABOUT.encode()].decode()
            column = table["features"].combine_chunks()
            features = np.asarray(column.flatten(), np.float32).reshape(len(table), column.type.list_size)
            words = [table[name].to_pylist() for name in ("name", "label", "part")]
        else:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
                network, features = str(held[ABOUT]), np.asarray(held["features"], np.float32)
                words = [held[name].tolist() for name in ("names", "labels", "parts")]
    except ResourceError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise wrong from error
    if features.ndim != 2 or any(len(of) != len(features) for of in words) or not np.isfinite(features).all():
        raise wrong
    names, labels, parts = (tuple(map(str, of)) for of in words)
    return Embeddings(names, features, labels, parts, network)


def arrow() -> tuple[Any, Any]:
    """pyarrow and its parquet; ResourceError where they are missing."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ResourceError("parquet files need pyarrow", "pip install resnetkit[data], or write .npz") from error
    return pa, pq


class Features(nn.Module):
    """A network up to its head: images to (n, numbers that the head sees)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.forward_head(self.network.forward_features(x), pre_logits=True)


def fingerprint(network: Network, preprocess: Preprocess) -> str:
    """A word for whatever features depend on: the weights before the head, and the preprocessing."""
    total = sha256(json.dumps(preprocess.to_json(), sort_keys=True).encode())
    head = network.get_classifier(name_only=True)
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith(f"{head}."):
            total.update(name.encode())
            total.update(tensor.cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:32]
