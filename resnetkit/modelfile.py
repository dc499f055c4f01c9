"""One safetensors file that holds a network whole: its weights, and the card that says what they are.

The header has one metadata key, ``resnetkit``: sorted JSON with the card, the number of the format, and a SHA-256 over
that JSON and over the names, dtypes, shapes and bytes of all tensors. Equal models give equal files.
"""

import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from math import isfinite, prod
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from resnetkit import planfile
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import KitError, WeightsError, plain
from resnetkit.files import write_bytes
from resnetkit.metrics import Scale
from resnetkit.plan import Plan
from resnetkit.tasks import TASKS, TaskName

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
KEY = "resnetkit"

MAX_HEADER = 16 * 2**20  # bytes; that of ResNet-1202 has one
MAX_TENSORS = 10_000
MAX_NDIM = 8
MAX_NAME = 512
# Bytes of one element, for every dtype that a file may hold.
ITEMSIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model file says beside its weights. ValueError names the field that is wrong."""

    model: str  # the network's name, as `resnet models` lists it
    plan: Plan
    classes: tuple[str, ...]  # their names (or those of tags or numbers), in the order of the logits
    preprocess: Preprocess
    temperature: float = 1.0  # the logits are divided by it before the softmax
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)  # what it was trained on: hash, seed and share of the split
    run: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    task: TaskName = "classes"
    scale: Scale = ()  # of numbers: a logit times the deviation, plus the mean, is the answer

    def __post_init__(self) -> None:
        named = isinstance(self.model, str) and 0 < len(self.model) <= MAX_NAME
        need(named, "model", f"must be a name, not {brief(self.model)}")
        need(isinstance(self.plan, Plan), "plan", f"must be a Plan, not {brief(self.plan)}")
        need(self.plan.ndim == 2, "plan", "must be of a network for pictures: a model file carries their preprocessing")
        words = isinstance(self.classes, tuple) and all(isinstance(name, str) and name for name in self.classes)
        need(words, "classes", f"must be names, not {brief(self.classes)}")
        need(len(set(self.classes)) == len(self.classes), "classes", "must not name a class twice")
        count = len(self.classes)
        need(
            count == self.plan.classes, "classes", f"must be as many as the plan has: {self.plan.classes}, not {count}"
        )
        need(
            isinstance(self.preprocess, Preprocess), "preprocess", f"must be a Preprocess, not {brief(self.preprocess)}"
        )
        has, wants = self.preprocess.channels, self.plan.channels
        need(has == wants, "preprocess", f"must give the channels that the plan takes: {wants}, not {has}")
        warm = type(self.temperature) is float and isfinite(self.temperature) and self.temperature > 0
        need(warm, "temperature", f"must be a number above 0, not {brief(self.temperature)}")
        need(self.task in TASKS, "task", f"must be one of {', '.join(TASKS)}, not {brief(self.task)}")
        need(self.temperature == 1 or self.task == "classes", "temperature", "is for classes")
        pairs = isinstance(self.scale, tuple) and all(is_scale(pair) for pair in self.scale)
        need(pairs, "scale", f"must be pairs of a mean and a deviation above 0, not {brief(self.scale)}")
        scales = count if self.task == "numbers" else 0
        need(len(self.scale) == scales, "scale", f"must have {scales} pairs, not {len(self.scale)}")
        for name in ("metrics", "data", "run", "versions"):
            value = getattr(self, name)
            need(isinstance(value, dict), name, f"must be an object, not {brief(value)}")


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


# Writing


def dump(state: Mapping[str, Any], card: Card) -> bytes:
    """The bytes of a model file. ``state`` maps names to torch tensors or numpy arrays, of any layout and device.

    Raises WeightsError for a weight that is not finite, a dtype that the format lacks, or a card that is not JSON.
    """
    try:
        about = {"format": FORMAT, **to_json(card)}
        rest = canonical(about)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"the card of the model is not JSON: {error}", "give it numbers, words and lists") from error
    bare = serialize(state, {})
    # Read back at once: what is written can be read, and one function says what the digest is over.
    header = parse_header(bare[8 : 8 + int.from_bytes(bare[:8], "little")], len(bare), "the model")
    digest = digest_of(header, memoryview(bare), rest)
    whole = serialize(state, {KEY: canonical({**about, "sha256": digest})})
    if int.from_bytes(whole[:8], "little") > MAX_HEADER:
        raise WeightsError(f"the card of the model is longer than {MAX_HEADER} bytes", "keep lists of files elsewhere")
    return whole


def save(path: str | Path, state: Mapping[str, Any], card: Card) -> None:
    """Write a model file in one step: it is there whole or not at all. Errors of ``dump`` and ``files.write_bytes``."""
    write_bytes(Path(path), dump(state, card))


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
        check_finite(name, is_finite(tensor), "the model")
    # Copies, because safetensors refuses tensors that share memory, as tied weights do.
    return tensors.save({name: t.clone(memory_format=torch.contiguous_format) for name, t in copies.items()}, metadata)


def to_json(card: Card) -> dict[str, Any]:
    about = {item.name: getattr(card, item.name) for item in fields(Card)}
    if card.task == "classes":  # then they say nothing, and files are as they were before there were other tasks
        del about["task"], about["scale"]
    return about | {"plan": planfile.to_json(card.plan), "preprocess": card.preprocess.to_json()}


def canonical(value: object) -> str:
    """The one way to write a JSON value here: sorted, dense, ASCII, so that any text of a class name survives."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(header: Header, data: memoryview, rest: str) -> str:
    """SHA-256 over the card and over names, dtypes, shapes and bytes of the tensors, in the order of their names."""
    total = sha256(rest.encode())
    for name, entry in sorted(header.entries.items()):
        total.update(f"\n{canonical([name, entry.dtype, entry.shape])}\n".encode())
        total.update(data[header.offset + entry.start : header.offset + entry.stop])
    return total.hexdigest()


# Reading


def read_card(path: str | Path) -> Card:
    """The card alone, from the header alone: nothing of the weights is read, and nothing of them is checked.

    Raises WeightsError naming the file, as ``load`` does.
    """
    path = Path(path)
    with open_regular(path) as file:
        return card_of(read_header(file, path), path)[0]


def load(path: str | Path) -> "tuple[Card, dict[str, Tensor]]":
    """The card, and the weights on the CPU with the dtypes of the file, checked bit for bit against the SHA-256.

    Raises WeightsError naming the file where it is not a whole model file of a format known here.
    """
    path = Path(path)
    with open_regular(path) as file:
        header = read_header(file, path)
        card, digest, rest = card_of(header, path)
        file.seek(0)
        data = file.read()
    if digest_of(header, memoryview(data), rest) != digest:
        raise WeightsError(
            f"{plain(path)} is damaged: its SHA-256 is not the one that was written into it", "use another copy of it"
        )
    return card, tensors_of(data, path)


def is_ours(path: str | Path) -> bool:
    """Whether a file says that it is a model file, rather than bare weights. WeightsError where it cannot be read."""
    path = Path(path)
    with open_regular(path) as file:
        if file.read(9)[8:] != b"{":
            return False
        file.seek(0)
        return KEY in read_header(file, path).metadata


def tensors_of(data: bytes, path: Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file whose header has been checked; WeightsError where one is not finite."""
    from safetensors import SafetensorError
    from safetensors import torch as tensors

    try:
        state = tensors.load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{plain(path)} is damaged: {plain(error)}", "use another copy of it") from error
    for name, tensor in state.items():
        check_finite(name, is_finite(tensor), plain(path))
    return state


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
    head = file.read(512)
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
    text = head.lstrip().lower()
    if not head:
        raise WeightsError(f"{plain(path)} is empty", "copy or download it again")
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise WeightsError(f"{plain(path)} is an HTML page, not weights", "download the file itself, not its page")
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{plain(path)} is a Git LFS pointer, not weights", "run `git lfs pull` where it came from")
    if is_pytorch(head):
        raise WeightsError(
            f"{plain(path)} is a PyTorch checkpoint, not a model file",
            f"make one of it: resnet import {plain(path)} --model NAME --out FILE",
        )
    if head.startswith(b"\x89HDF"):
        raise WeightsError(f"{plain(path)} is an HDF5 file, not a model file", "save its weights as safetensors first")


def is_pytorch(head: bytes) -> bool:
    """Whether a file begins as torch.save began it: a zip archive, a pickle, or once a tar archive."""
    zipped = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    return zipped or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05") or head[257:262] == b"ustar"


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


def card_of(header: Header, path: Path) -> tuple[Card, str, str]:
    """The card in a header, the SHA-256 written there, and the text that it is over together with the tensors."""
    text = header.metadata.get(KEY)
    if text is None:
        raise WeightsError(
            f"{plain(path)} holds weights but not what they are for",
            f"make a model file of it: resnet import {plain(path)} --model NAME --out FILE",
        )
    try:
        about = strict_json(text)
        # One way to write it means that no bit of it can change unnoticed, such as the case of an escape's digits.
        need(canonical(about) == text, "the card", "is not written as this format writes it")
        number = about.pop("format", None)
        need(type(number) is int and number == FORMAT, "format", f"must be {FORMAT}, not {brief(number)}")
        digest = about.pop("sha256", None)
        need(isinstance(digest, str) and len(digest) == 64, "sha256", "is missing")
        return card_from_json(about), digest, canonical({"format": FORMAT, **about})
    except Exception as error:  # noqa: BLE001  whatever nonsense the card holds, the file is what is wrong
        raise WeightsError(
            f"the card of {plain(path)} is damaged: {plain(reason(error))}", "use another copy of it"
        ) from None


def card_from_json(about: dict[str, Any]) -> Card:
    known = [item.name for item in fields(Card) if "task" in about or item.name not in ("task", "scale")]
    need(sorted(about) == sorted(known), "the card", f"must have {', '.join(known)}, not {brief(list(about))}")
    need(isinstance(about["classes"], list), "classes", f"must be a list, not {brief(about['classes'])}")
    changed = {
        "plan": planfile.from_json(about["plan"]),
        "classes": tuple(about["classes"]),
        "preprocess": Preprocess.from_json(about["preprocess"]),
    }
    if "task" in about:
        need(about["task"] != "classes", "task", "is written only where it is not classes")
        changed["scale"] = tuple(map(tuple, about["scale"]))
    return Card(**{**about, **changed})


def is_scale(pair: object) -> bool:
    sound = isinstance(pair, tuple) and len(pair) == 2 and all(type(x) is float and isfinite(x) for x in pair)
    return isinstance(pair, tuple) and sound and pair[1] > 0


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
