"""One safetensors file that holds a network whole: its weights, and the card that says what they are.

The header has one metadata key, ``resnetkit``: sorted JSON with the card, the number of the format, and a SHA-256 over
that JSON and over the names, dtypes, shapes and bytes of all tensors. Equal models give equal files.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from math import isfinite
from pathlib import Path
from reprlib import repr as brief
from typing import TYPE_CHECKING, Any

from resnetkit import planfile
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import WeightsError, plain
from resnetkit.files import write_bytes
from resnetkit.metrics import Scale
from resnetkit.plan import Plan
from resnetkit.reject import Reject
from resnetkit.safetensor import (
    FORMAT,
    KEY,
    MAX_HEADER,
    MAX_NAME,
    Header,
    need,
    open_regular,
    parse_header,
    read_header,
    reason,
    serialize,
    strict_json,
    tensors_of,
)
from resnetkit.tasks import TASKS, TaskName

if TYPE_CHECKING:
    from torch import Tensor


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
    reject: Reject | None = None  # below which probability of classes a picture is unknown; not in the file where None

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
        promise = self.reject is None or (isinstance(self.reject, Reject) and self.task == "classes")
        need(promise, "reject", f"must be a Reject, of classes, not {brief(self.reject)}")
        for name in ("metrics", "data", "run", "versions"):
            value = getattr(self, name)
            need(isinstance(value, dict), name, f"must be an object, not {brief(value)}")


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


def to_json(card: Card) -> dict[str, Any]:
    about = {item.name: getattr(card, item.name) for item in fields(Card)}
    if card.task == "classes":  # then they say nothing, and files are as they were before there were other tasks
        del about["task"], about["scale"]
    if card.reject is None:
        del about["reject"]
    else:
        about["reject"] = card.reject.as_dict()
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
    later = {"task": "task", "scale": "task", "reject": "reject"}  # fields that only some files have, and what says so
    known = [item.name for item in fields(Card) if later.get(item.name, "model") in {*about, "model"}]
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
    if "reject" in about:
        changed["reject"] = Reject(**about["reject"])
    return Card(**{**about, **changed})


def is_scale(pair: object) -> bool:
    sound = isinstance(pair, tuple) and len(pair) == 2 and all(type(x) is float and isfinite(x) for x in pair)
    return isinstance(pair, tuple) and sound and pair[1] > 0
