"""What an exported file holds, before a runtime is given it: only what our own files hold, and nothing from elsewhere.

An ONNX file is walked by its wire format (protobuf.dev/programming-guides/encoding): a runtime would open files beside
it, take operators of any library, and believe every length.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree as ET

from resnetkit.errors import WeightsError, plain
from resnetkit.export import archive
from resnetkit.export.metadata import KEY, SEAL, BrokenError
from resnetkit.modelfile import canonical
from resnetkit.safetensor import open_regular

VARINT, WIDE, BYTES, NARROW = 0, 1, 2, 5  # kinds of fields on the wire
LARGEST = 2**31 - 1  # bytes that a protobuf message may have
PROPERTIES, GRAPH, OPERATORS = 14, 7, 8  # of a model
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


def sealed(path: Path, texts: Mapping[str, str]) -> dict[str, str]:
    """Texts for the metadata of a file, with a SHA-256 over them and all the rest of it."""
    return {**texts, SEAL: canonical(seal_of(texts, read(path)[1]))}


def seal_of(texts: Mapping[str, str], digest: str) -> str:
    """The SHA-256 that a file with these texts and this ``digest`` of all the rest is to name."""
    others = {name: text for name, text in texts.items() if name != SEAL}
    return sha256(canonical([digest, others]).encode()).hexdigest()


def read(path: Path) -> tuple[dict[str, str], str]:
    """The texts in the metadata of an exported file, and the SHA-256 over all the rest of it.

    Raises WeightsError for what no file of ours is, before any runtime sees it.
    """
    data = content(path)
    try:
        if path.suffix.lower() == ".onnx":
            return walked(memoryview(data))
        if path.suffix.lower() == archive.SUFFIX:
            return archive.summary(data)
        return parsed(data, content(path.with_suffix(".bin")))
    except BrokenError as error:
        raise WeightsError(f"{plain(path)} {error}", "export it anew with resnet export") from None


def content(path: Path) -> bytes:
    """The bytes of a regular file. Raises WeightsError where it is none, or longer than such a file can be."""
    with open_regular(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise WeightsError(f"{plain(path)} is longer than such a file can be", "export it anew")
    return data


def parsed(text: bytes, weights: bytes) -> tuple[dict[str, str], str]:
    """The same of an OpenVINO file: the texts stand in ``rt_info``, behind the layers and what joins them."""
    if b"<!" in text:
        raise BrokenError("holds what no file of ours does: a declaration")
    try:
        root = ET.fromstring(text)  # noqa: S314  (without declarations there are no entities)
    except (ET.ParseError, ValueError):
        raise BrokenError("is no OpenVINO file, or is damaged") from None
    layers, edges = root.find("layers"), root.find("edges")
    if root.tag != "net" or layers is None or edges is None:
        raise BrokenError("is no OpenVINO file")
    total = sha256(b"".join(ET.tostring(part) for part in (layers, edges)))
    total.update(weights)
    ours = root.find(f"rt_info/{KEY}")
    texts = {one.tag: one.get("value", "") for one in (ours if ours is not None else ())}
    return texts, total.hexdigest()


def walked(data: memoryview) -> tuple[dict[str, str], str]:
    """The metadata of a model, and a SHA-256 over all its bytes but those."""
    texts: dict[str, str] = {}
    total, graphs = sha256(), 0
    for number, kind, held, whole in fields(data, "model"):
        if number == PROPERTIES and kind == BYTES:
            name, text = named(held)
            texts[name] = text
            continue
        total.update(whole)
        graphs += number == GRAPH
    if graphs != 1:
        raise BrokenError("is no ONNX file" if not graphs else f"has {graphs} graphs")
    return texts, total.hexdigest()


def named(data: memoryview) -> tuple[str, str]:
    """One text of the metadata and its name."""
    found = {number: bytes(held) for number, kind, held, _ in fields(data, "") if kind == BYTES}
    if found.keys() != {1, 2}:
        raise BrokenError("has metadata without a name or a text")
    try:
        return found[1].decode(), found[2].decode()
    except UnicodeDecodeError:
        raise BrokenError("has metadata that are no text") from None


def fields(data: memoryview, message: str) -> Iterator[Field]:
    """Each field of a message; those of known messages are walked too, and hold nothing else than ours do."""
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
                for _ in fields(held, known[number]):
                    pass
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
