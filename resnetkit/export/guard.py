"""What an exported file holds, before a runtime is given it: only what our own files hold, and nothing from elsewhere.

An ONNX file is walked by its wire format (protobuf.dev/programming-guides/encoding): a runtime would open files beside
it, take operators of any library, and believe every length.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

from resnetkit.errors import WeightsError, plain
from resnetkit.export import archive
from resnetkit.export.metadata import KEY, SEAL, WEIGHED, BrokenError
from resnetkit.kinds import HEAD, NAMED, kind_of
from resnetkit.modelfile import canonical
from resnetkit.safetensor import open_regular

VARINT, WIDE, BYTES, NARROW = 0, 1, 2, 5  # kinds of fields on the wire
LARGEST = 2**31 - 1  # bytes that a protobuf message may have
PROPERTIES, GRAPH, OPERATORS = 14, 7, 8  # of a model
NUMBERS = 9  # of a tensor, as bytes
KINDS = {".onnx": "an ONNX file", archive.SUFFIX: "a file of PyTorch", ".xml": "an OpenVINO file"}
EMPTY = "empty"  # a field that is there and holds nothing: the name of a library of operators
# The fields of each message that our files have; those that hold another message name it.
KNOWN: Mapping[str, Mapping[int, str]] = {
    "model": {1: "", 2: "", 3: "", 5: "", 6: "", GRAPH: "graph", OPERATORS: "operators", PROPERTIES: ""},
    "graph": {1: "node", 2: "", 5: "tensor", 11: "", 12: "", 13: ""},
    "node": {1: "", 2: "", 3: "", 4: "", 5: "attribute", 7: EMPTY},
    "attribute": {1: "", 2: "", 3: "", 4: "", 7: "", 8: "", 20: ""},
    "tensor": {1: "", 2: "", 4: "", 5: "", 7: "", 8: "", 9: "", 10: ""},
    "operators": {1: EMPTY, 2: ""},  # ONNX's own, which have no name, and their version
}
Field = tuple[int, int, memoryview, memoryview]  # number, kind, what it holds, all its bytes


class Content(NamedTuple):
    """What was found in an exported file."""

    texts: dict[str, str]  # of its metadata
    form: str  # SHA-256 over all the rest but the numbers of its weights
    weights: Sequence[memoryview]  # those numbers, in their order

    def weighed(self) -> str:
        """The SHA-256 over the weights, which takes as long as all other checks."""
        total = sha256()
        for part in self.weights:
            total.update(part)
        return total.hexdigest()


def sealed(path: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Texts for the metadata of a file, with a SHA-256 over its weights, and one over that, them and all the rest."""
    found = read(path)
    whole = {**texts, WEIGHED: canonical(found.weighed())}
    return {**whole, SEAL: canonical(seal_of(whole, found.form))}


def paired(path: Path) -> bool:
    """Whether the weights beside an exported file are those that it was written with."""
    try:
        found = read(path)
    except WeightsError:
        return False
    return found.texts.get(WEIGHED) == canonical(found.weighed())


def seal_of(texts: Mapping[str, str], form: str) -> str:
    """The SHA-256 that a file with these texts and this ``form`` is to name."""
    others = {name: text for name, text in texts.items() if name != SEAL}
    return sha256(canonical([form, others]).encode()).hexdigest()


def read(path: Path) -> Content:
    """What is in an exported file. Raises WeightsError for what no file of ours is, before any runtime sees it."""
    data = content(path)
    kind = kind_of(bytes(data[:HEAD]))
    if kind not in (None, KINDS[path.suffix.lower()]):
        fix = f"give it a name that ends in {NAMED[kind]}" if kind in NAMED else "use a file that resnet export wrote"
        raise WeightsError(f"{plain(path)} is {kind}, whatever its name says", fix)
    try:
        if path.suffix.lower() == ".onnx":
            return walked(data)
        if path.suffix.lower() == archive.SUFFIX:
            return Content(*archive.summary(bytes(data)))
        if not os.path.lexists(beside := path.with_suffix(".bin")):
            what = f"{plain(path)} has its weights in {plain(beside)}, which is not there"
            raise WeightsError(what, "put it back, or export the model anew")
        return parsed(bytes(data), content(beside))
    except BrokenError as error:
        why = error if kind else f"is not {KINDS[path.suffix.lower()]}, or is damaged"
        raise WeightsError(f"{plain(path)} {why}", "use a file that resnet export wrote, or export it anew") from None


def content(path: Path) -> memoryview:
    """The bytes of a regular file, as they are read. WeightsError where it is none, or longer than such can be."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            raise WeightsError(f"{plain(path)} is longer than such a file can be", "export it anew")
        return memoryview(mmap(file.fileno(), size, access=ACCESS_READ) if size else b"")


def parsed(text: bytes, weights: memoryview) -> Content:
    """An OpenVINO file: the texts stand in ``rt_info``, behind the layers and what joins them."""
    if b"<!" in text:
        raise BrokenError("holds what no file of ours does: a declaration")
    try:
        root = ET.fromstring(text)  # noqa: S314  (without declarations there are no entities)
    except (ET.ParseError, ValueError):
        raise BrokenError("is no OpenVINO file, or is damaged") from None
    layers, edges = root.find("layers"), root.find("edges")
    if root.tag != "net" or layers is None or edges is None:
        raise BrokenError("is no OpenVINO file")
    form = sha256(b"".join(ET.tostring(part) for part in (layers, edges)))
    ours = root.find(f"rt_info/{KEY}")
    texts = {one.tag: one.get("value", "") for one in (ours if ours is not None else ())}
    return Content(texts, form.hexdigest(), [weights])


def walked(data: memoryview) -> Content:
    """A model of ONNX: its metadata and the numbers of its constants stand apart, its form is all the rest."""
    texts: dict[str, str] = {}
    apart: list[tuple[int, int]] = []  # where the numbers of constants, and then metadata, begin and end
    numbers: list[memoryview] = []
    graphs = start = 0
    for number, kind, held, whole in fields(data, "model", 0, apart):
        if number == PROPERTIES and kind == BYTES:
            name, text = named(held)
            texts[name] = text
            apart.append((start, start + len(whole)))
        else:
            numbers += [data[begin:end] for begin, end in apart if begin >= start]
        start += len(whole)
        graphs += number == GRAPH
    if graphs != 1:
        raise BrokenError("is no ONNX file" if not graphs else f"has {graphs} graphs")
    form, at = sha256(), 0
    for begin, end in [*apart, (len(data), len(data))]:
        form.update(data[at:begin])
        at = end
    return Content(texts, form.hexdigest(), numbers)


def named(data: memoryview) -> tuple[str, str]:
    """One text of the metadata and its name."""
    found = {number: bytes(held) for number, kind, held, _ in fields(data, "") if kind == BYTES}
    if found.keys() != {1, 2}:
        raise BrokenError("has metadata without a name or a text")
    try:
        return found[1].decode(), found[2].decode()
    except UnicodeDecodeError:
        raise BrokenError("has metadata that are no text") from None


def fields(
    data: memoryview, message: str, offset: int = 0, apart: list[tuple[int, int]] | None = None
) -> Iterator[Field]:
    """Each field of a message; those of known messages are walked too, and hold nothing else than ours do.

    ``apart`` hears where the numbers of constants lie; ``offset`` is where the message does.
    """
    known, at = KNOWN.get(message), 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        number, kind = tag >> 3, tag & 7
        length = 0
        if kind == VARINT:
            _, end = varint(data, at)
        elif kind == BYTES:
            length, at = varint(data, at)
            end = at + length
        elif kind in (WIDE, NARROW):
            end = at + (8 if kind == WIDE else 4)
        else:
            raise BrokenError("is no ONNX file, or is damaged")
        if end > len(data):
            raise BrokenError("is cut off, or damaged")
        held = data[at:end]
        if known is not None:
            if number not in known:
                raise BrokenError(f"holds what no file of ours does: field {number} of a {message}")
            if known[number]:
                if kind != BYTES or (known[number] == EMPTY and len(held)):
                    raise BrokenError(f"holds what no file of ours does in field {number} of a {message}")
                for _ in fields(held, known[number], offset + at, apart):
                    pass
            elif message == "tensor" and number == NUMBERS and kind == BYTES and apart is not None:
                apart.append((offset + at, offset + end))
        yield number, kind, held, data[start:end]
        at = end


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A whole number, and where the next byte is."""
    value = 0
    for place in range(10):
        if at >= len(data):
            raise BrokenError("is cut off, or damaged")
        byte = data[at]
        value |= (byte & 127) << (7 * place)
        at += 1
        if byte < 128:
            return value, at
    raise BrokenError("is no ONNX file, or is damaged")
