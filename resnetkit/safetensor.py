"""The safetensors format, read without trust: what stands in a header, within limits, and the tensors behind it.

A file of others is told from one of ours by a metadata key, and a format of ours that is newer than this version is
refused before its tensors are looked at.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from resnetkit.errors import KitError, WeightsError, plain
from resnetkit.kinds import HEAD, kind_of

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1  # of our model files
KEY = "resnetkit"  # of the metadata that makes a file one of them

MAX_HEADER = 16 * 2**20  # bytes; that of ResNet-1202 has one
MAX_TENSORS = 10_000
MAX_NDIM = 8
MAX_NAME = 512
LEARNED = (".weight", ".bias", ".running_mean", ".running_var")  # tensors of floating point, in every library
VARIANCE = ".running_var"
# Bytes of one element, for every dtype that a file may hold.
ITEMSIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies in a file, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Header:
    """What stands before the tensors of a safetensors file."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    offset: int  # of the first tensor, from the start of the file


def serialize(state: Mapping[str, Any], metadata: dict[str, str]) -> bytes:
    """Tensors as safetensors lays them out, each in rows and little-endian."""
    if all(isinstance(value, np.ndarray | np.generic) for value in state.values()):
        from safetensors import numpy as arrays

        plain_arrays = {name: np.array(value, order="C") for name, value in state.items()}
        for name, array in plain_arrays.items():
            check_finite(name, array.dtype.kind != "f" or bool(np.isfinite(array).all()), "the model")
        return arrays.save(plain_arrays, metadata)
    import torch
    from safetensors import torch as tensors

    copies = {name: torch.as_tensor(value).detach().cpu() for name, value in state.items()}
    for name, tensor in copies.items():
        check_numbers(name, tensor, "the model")
    # Copies, because safetensors refuses tensors that share memory, as tied weights do.
    return tensors.save({name: t.clone(memory_format=torch.contiguous_format) for name, t in copies.items()}, metadata)


def steady(data: bytes) -> bytes:
    """The same safetensors file with the words of its metadata in order, which the library shuffles anew each time."""
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8 : 8 + length])
    table["__metadata__"] = dict(sorted(table.get("__metadata__", {}).items()))
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # so that tensors stay where numbers of eight bytes may lie
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def tensors_of(data: bytes, path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file whose header has been checked; WeightsError as ``check_numbers`` says."""
    from safetensors import SafetensorError
    from safetensors import torch as tensors

    try:
        state = tensors.load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{plain(path)} is damaged: {plain(error)}", "use another copy of it") from error
    for name, tensor in state.items():
        check_numbers(name, tensor, plain(path))
    return state


def check_numbers(name: str, tensor: "Tensor", what: str) -> None:
    """WeightsError for numbers that no network has learned: not finite, quantized, or a variance below 0."""
    check_finite(name, is_finite(tensor), what)
    if name.endswith(LEARNED) and not tensor.is_floating_point():
        kind = "complex" if tensor.is_complex() else "quantized"
        raise WeightsError(
            f"{what}: {plain(name)} is {str(tensor.dtype)[6:]}: {kind} numbers are no weights",
            "save them as floating point, as they were trained",
        )
    if name.endswith(VARIANCE) and bool((tensor < 0).any()):
        raise WeightsError(f"{what}: {plain(name)} has a variance below 0", "use another copy of it")


def is_finite(tensor: "Tensor") -> bool:
    """Whether no number in it is NaN or infinite. A finite sum says so sooner; other sums say nothing."""
    if not tensor.is_floating_point():
        return True
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def check_finite(name: str, finite: bool, what: str) -> None:
    if not finite:
        raise WeightsError(f"{what} holds NaN or infinity in {plain(name)}", "take weights from before it diverged")


def open_regular(path: Path) -> BinaryIO:
    """A regular file, open for reading; a pipe or a device is not even opened, because that may wait for ever."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except FileNotFoundError:
        raise WeightsError(f"{plain(path)} does not exist", "check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = error.strerror if isinstance(error, OSError) else None
        raise WeightsError(f"{plain(path)} cannot be read: {why or error}", "check its path and permissions") from error
    if stat.S_ISDIR(mode):
        inside = path / "best.safetensors"
        fix = f"name the file in it: {plain(inside)}" if inside.is_file() else "name a file"
        raise WeightsError(f"{plain(path)} is a folder, not a model file", fix)
    raise WeightsError(f"{plain(path)} is not a regular file", "copy it to a file first")


def read_header(file: BinaryIO, path: Path) -> Header:
    """The header of a safetensors file, within the limits above; WeightsError says what the file is instead."""
    size = os.fstat(file.fileno()).st_size
    head = file.read(HEAD)
    length = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{":  # looked at first: the length before it may be bytes that begin other files
        refuse_strangers(head, path)
        raise WeightsError(f"{plain(path)} is not a model file", "name a .safetensors file that `resnet train` wrote")
    if length > MAX_HEADER:
        raise WeightsError(
            f"{plain(path)} claims a header of {length} bytes, and {MAX_HEADER} are allowed", "use another copy of it"
        )
    if 8 + length > size:
        raise WeightsError(
            f"{plain(path)} is truncated: {size} of at least {8 + length} bytes", "copy or download it again"
        )
    file.seek(8)
    return parse_header(file.read(length), size, plain(path))


def refuse_strangers(head: bytes, path: Path) -> None:
    """WeightsError for a file whose first bytes say that it is something else."""
    if not head:
        raise WeightsError(f"{plain(path)} is empty", "copy or download it again")
    if (kind := kind_of(head)) is None:
        return
    fixes = {
        "an HTML page": "download the file itself, not its page",
        "a Git LFS pointer": "run `git lfs pull` where it came from",
        "a file of PyTorch": f"make one of it: resnet import {plain(path)} --model NAME --out FILE",
        "an HDF5 file": "save its weights as safetensors first",
        "an ONNX file": "give it a name that ends in .onnx",
        "an OpenVINO file": "give it a name that ends in .xml",
    }
    fix = fixes.get(kind, "name a .safetensors file that `resnet train` wrote")
    raise WeightsError(f"{plain(path)} is {kind}, not a model file", fix)


def parse_header(raw: bytes, size: int, what: str) -> Header:
    """What a safetensors header says of a file of ``size`` bytes, in which the tensors must lie end to end."""
    offset = 8 + len(raw)
    try:
        # Counted before it is parsed. Inside the card a quote has a stroke before it, and does not count.
        count = raw.count(b'"dtype"')
        need(count <= MAX_TENSORS, "the header", f"names {count} tensors, and {MAX_TENSORS} are allowed")
        table = strict_json(raw.decode("utf-8"))
        need(isinstance(table, dict), "the header", "is not an object")
        metadata = table.pop("__metadata__", {})
        words = isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        need(words, "__metadata__", "does not map words to words")
        refuse_newer(metadata.get(KEY, ""), what)  # before the tensors, which may be of kinds not known here
        need(len(table) <= MAX_TENSORS, "the header", f"names {len(table)} tensors, and {MAX_TENSORS} are allowed")
        entries = {name: parse_entry(name, value) for name, value in table.items()}
        end = check_places(entries.values())
    except (ValueError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{what} is damaged: {plain(reason(error))}", "use another copy of it") from None
    if offset + end > size:
        raise WeightsError(f"{what} is truncated: {size} of {offset + end} bytes", "copy or download it again")
    if offset + end < size:
        extra = size - offset - end
        raise WeightsError(f"{what} is damaged: {extra} bytes belong to no tensor", "use another copy of it")
    return Header(entries, metadata, offset)


def parse_entry(name: str, value: object) -> Entry:
    where = f"tensor {brief(name)}"
    need(0 < len(name) <= MAX_NAME, where, f"has a name of {len(name)} characters, and {MAX_NAME} are allowed")
    sound = isinstance(value, dict) and set(value) == {"dtype", "shape", "data_offsets"}
    need(sound, where, "must have a dtype, a shape and offsets")
    assert isinstance(value, dict)
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    known = isinstance(dtype, str) and dtype in ITEMSIZE
    need(known, where, f"has dtype {brief(dtype)}, which is none of {', '.join(ITEMSIZE)}")
    need(is_counts(shape) and len(shape) <= MAX_NDIM, where, f"has shape {brief(shape)}")
    need(is_counts(offsets) and len(offsets) == 2, where, f"has offsets {brief(offsets)}")
    start, stop = offsets
    held = ITEMSIZE[dtype] * prod(shape)
    need(stop - start == held, where, f"has {brief(stop - start)} bytes, and its shape and dtype mean {brief(held)}")
    return Entry(dtype, tuple(shape), start, stop)


def check_places(entries: Iterable[Entry]) -> int:
    """Where the last tensor ends; ValueError for a hole or an overlap."""
    end = 0
    for start, stop in sorted((entry.start, entry.stop) for entry in entries):
        need(start >= end, "the data", f"overlaps: one tensor begins at {start} and another ends at {end}")
        need(start <= end, "the data", f"has a hole from {end} to {brief(start)}")
        end = stop
    return end


def is_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def refuse_newer(text: str, what: str) -> None:
    """WeightsError for a card of a format that a later version wrote, whatever else is in it."""
    try:
        about = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return
    number = about.get("format") if isinstance(about, dict) else None
    if type(number) is int and number > FORMAT:
        raise WeightsError(
            f"{what} is of format {brief(number)}, and this version reads up to {FORMAT}",
            "upgrade: pip install --upgrade resnetkit",
        )


def strict_json(text: str) -> Any:
    """JSON without its loose ends: ValueError for a key that stands twice, NaN or infinity."""
    return json.loads(text, object_pairs_hook=once, parse_constant=no_number)


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {brief(twice)} stands twice")
    return table


def no_number(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the header is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"its header is not JSON ({error})"
    return error.what if isinstance(error, KitError) else str(error) or type(error).__name__


def need(sound: bool, where: str, what: str) -> None:
    if not sound:
        raise ValueError(f"{where} {what}")
