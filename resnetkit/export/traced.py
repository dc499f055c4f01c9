"""A model as a program of torch.export: what plain torch loads, with nothing in it of resnetkit or of one device."""

from collections.abc import Mapping
from io import BytesIO

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn import functional as F

from resnetkit.export.graph import ANSWERS, LOGITS, PICTURES, TENSOR, Takes
from resnetkit.export.seeing import Seeing
from resnetkit.fused import CONVOLVE, Convolution, InFloat, fused
from resnetkit.modelfile import Card
from resnetkit.network import Network

Answer = dict[str, Tensor]


class Plain(nn.Module):
    """A fused convolution in torch's own operators, which every device has."""

    def __init__(self, fused_one: Convolution) -> None:
        super().__init__()
        self.window, self.act = fused_one.window, fused_one.act
        self.weight = nn.Parameter(fused_one.weight, requires_grad=False)
        self.bias = nn.Parameter(fused_one.bias, requires_grad=False)

    def forward(self, x: Tensor, other: Tensor | None = None, _over: bool = False) -> Tensor:
        padding, stride, dilation, groups = self.window.all
        out = CONVOLVE[x.ndim - 2](x, self.weight, self.bias, stride, padding, dilation, groups)
        return self.act(out if other is None else out + other)


class Alone(nn.Module):
    """``tensor``, float32 (n, channels, *size), normalised, to ``logits``, float32 (n, classes)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tensor: Tensor) -> Answer:
        return {LOGITS: self.network(tensor)}


class Whole(nn.Module):
    """``pictures``, uint8 (n, height, width, 3), RGB, to the answer and ``logits``: float32 (n, classes) both."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, card: Card, network: nn.Module) -> None:
        super().__init__()
        self.seeing, self.network = Seeing(card.preprocess), network
        self.task, self.temperature = card.task, card.temperature
        if card.task == "numbers":
            mean, deviation = torch.tensor(card.scale, dtype=torch.float32).unbind(1)
            self.register_buffer("mean", mean.clone())
            self.register_buffer("deviation", deviation.clone())

    def forward(self, pictures: Tensor) -> Answer:
        logits = self.network(self.seeing(pictures))
        return {ANSWERS[self.task]: self.meaning(logits), LOGITS: logits}

    def meaning(self, logits: Tensor) -> Tensor:
        """What the card makes of logits: as ``classifier.meant`` and ``metrics`` do."""
        if self.task == "tags":
            return logits.sigmoid()
        if self.task == "numbers":
            return logits * self.deviation + self.mean
        return F.softmax(logits if self.temperature == 1 else logits / self.temperature, 1)


def plainly(network: Network) -> Network:
    """A copy that answers and never learns: norms folded into convolutions, operators of torch alone."""
    copy = fused(network)
    copy.drop_rate = 0.0
    for name, module in list(copy.named_modules()):
        if isinstance(module, Convolution):
            put(copy, name, Plain(module))
        elif isinstance(module, InFloat):
            put(copy, name, nn.Identity())  # all of it is float32
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer)  # into the file, whatever model files leave out
    for tensor in (*copy.parameters(), *copy.buffers()):
        tensor.data = tensor.clone(memory_format=torch.contiguous_format)
    return copy


def put(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


def traced(card: Card, network: Network, takes: Takes, _about: Mapping[str, str]) -> bytes:
    """The bytes of a .pt2 file without metadata: the inputs and outputs are those of ``graph.drawn``.

    Raises WeightsError for what is not resized in a graph.
    """
    folded = plainly(network)
    module: nn.Module = Whole(card, folded) if takes == "picture" else Alone(folded)
    name, given = example(card, takes)
    sides = {0: Dim.DYNAMIC} if takes == "tensor" else {0: Dim.DYNAMIC, 1: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(module.eval(), (given,), dynamic_shapes={name: sides})
    bared(program)
    if takes == "picture":  # what the first convolution of the network takes
        first = next(node for node in program.graph.nodes if node.target is torch.ops.aten.conv2d.default)
        first.args[0]._rename(TENSOR)  # noqa: SLF001  fx has no other way
    data = BytesIO()
    torch.export.save(program, data)
    return data.getvalue()


def example(card: Card, takes: Takes) -> tuple[str, Tensor]:
    """What goes in, by name: any of the sides that are to be any, but 0 and 1, which torch would take for constants."""
    if takes == "tensor":
        return TENSOR, torch.zeros(2, card.preprocess.channels, *card.preprocess.size)
    return PICTURES, torch.zeros(2, 61, 47, 3, dtype=torch.uint8)


def bared(program: ExportedProgram) -> None:
    """Without lines and files of this machine, asserts that name its processor, and the pictures it was traced with."""
    for node in list(program.graph.nodes):
        if node.target is torch.ops.aten._assert_tensor_metadata.default:  # noqa: SLF001
            program.graph.erase_node(node)
        node.meta = {name: node.meta[name] for name in ("val",) if name in node.meta}
    del program.module_call_graph[1:]
    program.example_inputs = None
