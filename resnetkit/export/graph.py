"""A model as a graph: picture in and answer out, or what the network alone takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from resnetkit.export.modules import answered
from resnetkit.export.nodes import FLOAT, Nodes, Value
from resnetkit.export.resizing import normalized, prepared
from resnetkit.modelfile import Card
from resnetkit.network import Network

Takes = Literal["picture", "tensor", "seen"]
PICTURES, TENSOR, LOGITS = "pictures", "tensor", "logits"  # what goes in, what the network sees, what it says
ANSWERS = {"classes": "probabilities", "tags": "probabilities", "numbers": "numbers"}


@dataclass(frozen=True)
class Drawing:
    """Nodes, and what goes in and comes out of them."""

    g: Nodes
    inputs: list[Value]
    outputs: list[Value]

    def to_bytes(self, about: Mapping[str, str]) -> bytes:
        return self.g.to_bytes(self.inputs, self.outputs, about)


def drawn(card: Card, network: Network, takes: Takes, about: Mapping[str, str]) -> bytes:
    """The bytes of an ONNX file, with ``about`` in its metadata. Raises ResourceError without onnx."""
    return drawing(card, network, takes).to_bytes(about)


def drawing(card: Card, network: Network, takes: Takes) -> Drawing:
    """A model from what it takes to what it gives.

    "picture": ``pictures``, uint8 (n, height, width, 3), RGB, of any height and width, to ``probabilities`` or
    ``numbers``, and ``logits``: float32 (n, classes) both. "tensor": ``tensor``, float32 (n, channels, *size),
    normalised, to ``logits``. "seen":
    ``pictures`` as Preprocess.apply leaves them, to ``logits``. Raises WeightsError for what no graph has.
    """
    g, seen, classes = Nodes(), card.preprocess, len(card.classes)
    if takes == "seen":
        shown = g.add("Transpose", g.add("Cast", PICTURES, to=FLOAT), perm=(0, 3, 1, 2))
        answered(g, network, normalized(g, shown, seen, TENSOR), seen.size, LOGITS)
        kept: Value = (PICTURES, np.uint8, ("n", *seen.size, seen.channels))
        return Drawing(g, [kept], [(LOGITS, np.float32, ("n", classes))])
    tensor: Value = (TENSOR, np.float32, ("n", seen.channels, *seen.size))
    logits: Value = (LOGITS, np.float32, ("n", classes))
    if takes == "tensor":
        answered(g, network, TENSOR, seen.size, LOGITS)
        return Drawing(g, [tensor], [logits])
    prepared(g, PICTURES, seen, TENSOR)
    answer(g, answered(g, network, TENSOR, seen.size, LOGITS), card)
    pictures: Value = (PICTURES, np.uint8, ("n", "height", "width", 3))
    return Drawing(g, [pictures], [(ANSWERS[card.task], np.float32, ("n", classes)), logits])


def answer(g: Nodes, logits: str, card: Card) -> str:
    """What the card makes of logits: as ``classifier.meant`` and ``metrics`` do."""
    name = ANSWERS[card.task]
    if card.task == "tags":
        return g.add("Sigmoid", logits, name=name)
    if card.task == "numbers":
        mean, deviation = (g.constant(np.asarray(values, np.float32)) for values in zip(*card.scale, strict=True))
        return g.add("Add", g.add("Mul", logits, deviation), mean, name=name)
    warm = logits if card.temperature == 1 else g.add("Div", logits, g.real(card.temperature))
    return g.add("Softmax", warm, axis=1, name=name)
