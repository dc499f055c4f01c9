"""A graph of ONNX under construction: a list of nodes, each of which names what it takes and what it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.errors import ResourceError

OPSET = 17  # of 2022, so that old runtimes read it too
IR_VERSION = 8  # that came with it
FLOAT, INT64, DOUBLE = 1, 7, 11  # ONNX's numbers for kinds of numbers
END = 2**31 - 1  # as far as a slice can reach in every runtime
KINDS: dict[type[np.generic], int] = {np.uint8: 2, np.int64: INT64, np.float32: FLOAT}  # of what goes in and comes out
Attribute = int | float | str | Sequence[int]
Value = tuple[str, type[np.generic], Sequence[int | str]]  # name, numbers, shape; a word stands for any side


@dataclass(frozen=True)
class Node:
    """One step: an operator, the names of what it takes, and that of what it gives."""

    kind: str  # as ONNX calls the operator
    inputs: tuple[str, ...]
    output: str
    about: Mapping[str, Attribute]
    place: str = ""  # the step of the network that it is part of


class Nodes:
    """Nodes in the order of use, and the constants among their inputs."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[np.generic]] = {}
        self.known: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.place = ""  # of the nodes to come

    def add(self, kind: str, *inputs: str, name: str = "", **about: Attribute) -> str:
        """One more node; its output is called ``name``, or by its number."""
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(Node(kind, inputs, output, about, self.place))
        return output

    def constant(self, value: NDArray[np.generic]) -> str:
        """The name of a constant; equal ones share it, but for weights, which are not looked through."""
        key = (value.dtype.str, value.shape, value.tobytes() if value.size <= 64 else str(len(self.constants)).encode())
        if key not in self.known:
            self.known[key] = f"constant_{len(self.constants)}"
            self.constants[self.known[key]] = value
        return self.known[key]

    def whole(self, value: int | Sequence[int]) -> str:
        return self.constant(np.array(value, np.int64))

    def real(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def double(self, value: float) -> str:
        return self.constant(np.array(value, np.float64))

    def divided(self, one: str, other: str) -> tuple[str, str]:
        """Whole numbers: the quotient rounded down, as runtimes round it towards 0, and the rest; ``other`` is above 0.

        Exact as far as a runtime counts: to 2^63 in onnxruntime, and to 2^24 in OpenVINO, which may divide as float32.
        """
        rough = self.add("Div", one, other)
        rest = self.add("Sub", one, self.add("Mul", rough, other))
        below = self.add("Cast", self.add("Less", rest, self.whole(0)), to=INT64)
        return self.add("Sub", rough, below), self.add("Add", rest, self.add("Mul", below, other))

    def to_bytes(self, inputs: Sequence[Value], outputs: Sequence[Value], about: Mapping[str, str]) -> bytes:
        """The file of the graph, with texts of ``about`` in its metadata. Raises ResourceError without onnx."""
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError as error:
            raise ResourceError("export needs onnx", 'pip install "resnetkit[export]"') from error
        made: Any = helper  # whose types leave out what it takes
        nodes = [made.make_node(node.kind, node.inputs, [node.output], **node.about) for node in self.nodes]
        starts, ends = (
            [helper.make_tensor_value_info(name, KINDS[kind], shape) for name, kind, shape in some]
            for some in (inputs, outputs)
        )
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        model = helper.make_model(
            helper.make_graph(nodes, "resnetkit", starts, ends, constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="resnetkit",
        )
        helper.set_model_props(model, dict(about))
        onnx.checker.check_model(model)
        return model.SerializeToString(deterministic=True)
