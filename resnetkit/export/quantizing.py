"""A graph whose convolutions and sums work on whole numbers of 8 bits, after it was drawn in float32.

A value is rounded by a pair of nodes, QuantizeLinear and DequantizeLinear; runtimes find the pairs around an operator
and put one on whole numbers in their place (Jacob et al. 2017, arXiv:1712.05877, section 2.1).
Weights are symmetric with a scale for each channel that comes out; maps have one scale, and a zero point in 0..255.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.export.nodes import Node, Nodes

LEVELS = 255  # of a map: uint8
MOST = 64  # of a weight: with it two products with a map's 255 add up to less than 2^15, see docs/export.md
LEAST = 1e-12  # of the largest weight of a channel, so that zeros have a scale
LARGEST = 2**30  # of a bias, so that sums of products stay within 32 bits
HEAVY = ("Conv", "Gemm")
JOINTS = ("Add", "Mul", "Sigmoid", "LeakyRelu", "AveragePool", "Concat")  # that onnxruntime has on whole numbers
PASSING = ("MaxPool", "Reshape", "Transpose", "Slice", "Pad")  # that give what they take
BEHIND = ("Relu", "Clip")  # that the rounding behind them does as well
GLOBAL = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")  # after which little is left to compute
Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """How a map is rounded: a whole number q in 0..255 stands for (q - zero) * step."""

    step: float
    zero: int


@dataclass(frozen=True)
class Layer:
    """A node that can be put on whole numbers, or stay in float32."""

    output: str
    says: str  # in words


@dataclass(frozen=True)
class Seen:
    """What calibration saw of the maps of a graph."""

    scales: Mapping[str, Scale]  # by the name of the map
    means: Mapping[str, NDArray[np.float64]]  # of each channel, of maps that convolutions take


class Graph:
    """The nodes from ``first``, which is what the network takes, to ``last``, and what is known of them."""

    def __init__(self, g: Nodes, first: str, last: str) -> None:
        self.g, self.first, self.last = g, first, last
        outputs = [node.output for node in g.nodes]
        start = outputs.index(first) + 1 if first in outputs else 0
        self.before = g.nodes[:start]
        self.nodes = g.nodes[start : outputs.index(last) + 1]
        self.after = g.nodes[outputs.index(last) + 1 :]
        self.makers = {node.output: node for node in self.nodes}
        self.takers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self.takers.setdefault(name, []).append(node)
        self.small = self.means_of_maps()

    def alone(self) -> "Graph":
        """What takes ``first`` and gives ``last``, and nothing before and after."""
        g = Nodes()
        g.nodes, g.constants = self.nodes, self.g.constants
        return Graph(g, self.first, self.last)

    def means_of_maps(self) -> set[str]:
        """What is computed of means alone, as attention does: a few numbers, which stay in float32."""
        found: set[str] = set()
        for node in self.nodes:
            maps = self.maps(node)
            if node.kind in GLOBAL or (maps and all(name in found for name in maps)):
                found.add(node.output)
        return found

    def maps(self, node: Node) -> list[str]:
        """What a node takes that is no constant, and no shape."""
        taken = node.inputs[:1] if node.kind in PASSING else node.inputs
        return [name for name in taken if name not in self.g.constants]

    def end(self, name: str) -> str:
        """The value behind the activation that follows one, if nothing else takes it."""
        takers = self.takers.get(name, [])
        return takers[0].output if len(takers) == 1 and takers[0].kind in BEHIND else name

    def heavy(self, node: Node) -> bool:
        return node.kind == "Gemm" or (node.kind == "Conv" and node.output not in self.small)

    def joint(self, node: Node) -> bool:
        return node.kind in JOINTS and node.output not in self.small and len(self.maps(node)) == len(node.inputs)

    def layers(self) -> list[Layer]:
        """What can be left in float32, in the order of use."""
        found, counts = [], dict[tuple[str, str], int]()
        for node in self.nodes:
            if not (self.heavy(node) or (node.kind == "Add" and self.joint(node))):
                continue
            word = {"Conv": "convolution", "Gemm": "head", "Add": "sum"}[node.kind]
            counts[node.place, word] = counts.get((node.place, word), 0) + 1
            which = f"{node.place} {word} {counts[node.place, word]}" if node.kind != "Gemm" else word
            shape = f" ({size(self.g.constants[node.inputs[1]])})" if node.kind == "Conv" else ""
            found.append(Layer(node.output, which + shape))
        return found

    def rounded(self, left: AbstractSet[str], ends: bool) -> list[str]:
        """The values that are rounded to 8 bits, in the order of use, where the nodes ``left`` stay in float32.

        With ``ends`` everything that is computed on whole numbers also ends as such, as onnxruntime needs it; without,
        what a convolution gives is rounded where the next one takes it, so that a sum is of unrounded numbers.
        """
        found: set[str] = set()
        for node in self.nodes:
            if node.output in left:
                continue
            if self.heavy(node):
                found.add(node.inputs[0])
                if ends and node.output != self.last:
                    found.add(self.end(node.output))
            elif self.joint(node):
                maps = self.maps(node)
                if ends and (node.kind == "Add" or any(name in found for name in maps)):
                    found.update(maps)
                    found.add(self.end(node.output))
                elif node.kind == "Add" and not ends and all(self.fresh(name, left) for name in maps):
                    found.add(maps[1])  # one of two goes into the pass of the other's convolution
        for node in reversed(self.nodes):
            if node.kind in PASSING and node.output in found:
                found.add(node.inputs[0])
        order = [self.first, *(node.output for node in self.nodes)]
        return [name for name in order if name in found]

    def fresh(self, name: str, left: AbstractSet[str]) -> bool:
        node = self.makers.get(name)
        return node is not None and node.kind == "Conv" and name not in left

    def source(self, name: str) -> str:
        """Where the numbers of a value come from that only changed their places."""
        while name in self.makers and self.makers[name].kind in PASSING:
            name = self.makers[name].inputs[0]
        return name


def quantized(graph: Graph, seen: Seen, left: AbstractSet[str], *, ends: bool) -> Nodes:
    """The graph with all on whole numbers but the nodes ``left``; their outputs name them.

    ``ends`` is as in ``Graph.rounded``; with it biases are whole numbers too, which onnxruntime needs as well.
    """
    g, out, now = graph.g, Nodes(), dict[str, str]()
    rounded = set(graph.rounded(left, ends))

    def copied(node: Node, inputs: Sequence[str]) -> None:
        names = [out.constant(g.constants[name]) if name in g.constants else name for name in inputs]
        out.add(node.kind, *names, name=node.output, **node.about)

    def pair(name: str) -> None:
        scale = seen.scales[graph.source(name)]
        step, zero = out.real(scale.step), out.constant(np.array(scale.zero, np.uint8))
        whole = out.add("QuantizeLinear", name, step, zero, name=f"{name}_whole")
        now[name] = out.add("DequantizeLinear", whole, step, zero, name=f"{name}_rounded")

    for node in graph.before:
        copied(node, node.inputs)
    if graph.first in rounded:
        pair(graph.first)
    for node in graph.nodes:
        inputs = [now.get(name, name) for name in node.inputs]
        if graph.heavy(node) and node.output not in left:
            scale = seen.scales[graph.source(node.inputs[0])]
            constants = [g.constants[name] for name in node.inputs[1:]]
            inputs[1:] = parameters(out, node, constants, scale, seen.means[node.inputs[0]], ends)
            out.add(node.kind, *inputs, name=node.output, **node.about)
        else:
            copied(node, inputs)
        if node.output in rounded:
            if node.kind in PASSING and not ends and node.inputs[0] in rounded:
                continue  # these numbers have been rounded
            pair(node.output)
    for node in graph.after:
        copied(node, node.inputs)
    return out


def parameters(
    out: Nodes,
    node: Node,
    constants: Sequence[NDArray[np.generic]],
    scale: Scale,
    means: NDArray[np.float64],
    whole_bias: bool,
) -> list[str]:
    """Weights and bias of a node that takes a map of this scale, and whose channels have these means."""
    weight: Weights = np.asarray(constants[0], np.float32)
    bias = np.asarray(constants[1], np.float64) if len(constants) > 1 else np.zeros(len(weight))
    most = np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), LEAST)
    steps = np.maximum(most / MOST, np.abs(bias) / (LARGEST * scale.step)).astype(np.float32)
    sides = (-1, *[1] * (weight.ndim - 1))
    whole = np.clip(np.rint(weight / steps.reshape(sides)), -MOST, MOST).astype(np.int8)
    wrong = (whole * steps.reshape(sides)).astype(np.float64) - weight  # each channel's sum shifts by these times means
    shift = shifts(wrong.reshape(*wrong.shape[:2], -1).sum(2), means, int(node.about.get("group", 1)))  # type: ignore[arg-type]
    bias = bias - shift
    names = [dequantized(out, whole, steps)]
    if not whole_bias:
        return [*names, out.constant(bias.astype(np.float32))]
    steps = (steps.astype(np.float64) * scale.step).astype(np.float32)
    return [*names, dequantized(out, np.rint(bias / steps).astype(np.int32), steps)]


def dequantized(out: Nodes, whole: NDArray[Any], steps: NDArray[np.float32]) -> str:
    zeros = out.constant(np.zeros(len(steps), whole.dtype))
    return out.add("DequantizeLinear", out.constant(whole), out.constant(steps), zeros, axis=0)


def shifts(wrong: NDArray[np.float64], means: NDArray[np.float64], groups: int) -> NDArray[np.float64]:
    """What errors (c_out, c_in / groups) of weights add to each channel that comes out, on average."""
    parts = means.reshape(groups, -1)  # of each group
    return (wrong.reshape(groups, -1, wrong.shape[1]) * parts[:, None]).sum(2).reshape(-1)


def size(weight: NDArray[Any]) -> str:
    """Of a convolution: 3x3 of 16 to 32."""
    c_out, c_in, *sides = weight.shape
    return f"{'x'.join(map(str, sides))}, {c_in} to {c_out}"
