"""The modules of a network as nodes of a graph: a function for each kind, and there are few.

torch.onnx.export(dynamo=True) does this too, by tracing: as exactly, with as many nodes, and 11 s for a resnet50 that
takes 1 s here, 8 s for a shufflenet_v2_x0_5 that takes 0.1 s (torch 2.13.0, one thread); and it needs onnxscript.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from resnetkit.attention import (
    Cbam,
    ChannelGate,
    EfficientChannels,
    GatedSum,
    SpatialGate,
    SqueezeExcite,
    Sum,
    WeighedSum,
)
from resnetkit.errors import WeightsError
from resnetkit.export.nodes import END, Nodes
from resnetkit.fused import Convolution, FusedBlock, InFloat, fused
from resnetkit.layers import Blur, FrozenNorm, PadShortcut, SameMean
from resnetkit.mobilenets import ShuffleBlock, build
from resnetkit.network import Network
from resnetkit.plan import Plan
from resnetkit.walk import stage_name


def answered(g: Nodes, network: Network, x: str, size: tuple[int, int], name: str) -> str:
    """Pictures (n, channels, *size), normalised, to logits (n, classes), with norms folded into convolutions."""
    plan, folded = network.plan, fused(network)
    steps = folded.steps()
    taps = plan.taps
    tapped = [stage_name(plan.family, s) for s in range(taps.first, len(plan.stages) - 1)] if taps else []
    tapped.append(steps[-1][0])
    sides = sides_of(plan, size) if taps and taps.cells > 1 else {}
    seen = []
    for step, module in steps:
        g.place = step
        x = written(g, module, x)
        if step in tapped:
            seen.append(pooled(g, x, taps.cells, sides[step]) if sides and taps else flat_mean(g, x))
    head = folded.get_classifier()
    assert isinstance(head, nn.Linear)
    x = seen[0] if len(seen) == 1 else g.add("Concat", *seen, axis=1)
    return g.add("Gemm", x, weight(g, head.weight), weight(g, head.bias), transB=1, name=name)


def sides_of(plan: Plan, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """The height and width of the map behind each step."""
    found = {}
    with torch.device("meta"):
        x = torch.empty(1, plan.channels, *size)
        for name, step in build(plan).eval().steps():
            x = step(x)
            found[name] = (x.shape[2], x.shape[3])
    return found


def flat_mean(g: Nodes, x: str) -> str:
    return g.add("Flatten", g.add("GlobalAveragePool", x), axis=1)


def pooled(g: Nodes, x: str, cells: int, sides: tuple[int, int]) -> str:
    """The mean of each cell of a map, as torch's adaptive pooling parts it: (n, channels * cells * cells)."""
    points = sides[0] * sides[1]
    shares = F.adaptive_avg_pool2d(torch.eye(points).view(points, 1, *sides), cells).flatten(1)
    rows = g.add("Reshape", x, g.whole([0, 0, points]))
    return g.add("Flatten", g.add("MatMul", rows, weight(g, shares)), axis=1)


def written(g: Nodes, module: nn.Module, x: str) -> str:
    """The nodes of a module that takes one map. Raises WeightsError for one that this room does not know."""
    if type(module) not in WRITERS:
        raise WeightsError(f"no graph has a {type(module).__name__}", "use the model here")
    return WRITERS[type(module)](g, module, x)


def row(g: Nodes, module: nn.Sequential, x: str) -> str:
    for one in module:
        x = written(g, one, x)
    return x


def convolution(g: Nodes, module: Convolution, x: str, other: str | None = None) -> str:
    padding, stride, dilation, groups = module.window.all
    x = g.add(
        "Conv",
        x,
        weight(g, module.weight),
        weight(g, module.bias),
        kernel_shape=module.weight.shape[2:],
        pads=padding * 2,
        strides=stride,
        dilations=dilation,
        group=groups,
    )
    return written(g, module.act, x if other is None else g.add("Add", x, other))


def bare(g: Nodes, conv: nn.Module | Tensor, x: str) -> str:
    """A convolution within another module, which brings no norm."""
    return convolution(g, Convolution(cast(nn.Conv2d, conv), torch.float32), x)


def block(g: Nodes, module: FusedBlock, x: str) -> str:
    begun = row(g, module.before, x)
    shortcut = x if module.bridge is None else row(g, module.bridge, begun)
    out = row(g, module.branch, begun)
    if module.adds:
        return row(g, module.after, convolution(g, cast(Convolution, module.last), out, shortcut))
    out = written(g, module.last, out)
    if module.join is not None:
        out = JOINS[type(module.join)](g, module.join, out, shortcut, x)
    return row(g, module.after, out)


def shuffled(g: Nodes, module: ShuffleBlock, x: str) -> str:
    """Channels of both branches by turns; where half of them go by, that half is the first."""
    half = module_channels(module)
    one, other = x, x
    if module.halves:
        one, other = channels(g, x, 0, half), channels(g, x, half, 2 * half)
    both = g.add("Concat", row(g, module.branch1, one), row(g, module.branch2, other), axis=1)
    turned = g.add("Transpose", g.add("Reshape", both, g.whole([0, 2, half, -1])), perm=(0, 2, 1, 3))
    return g.add("Reshape", turned, g.add("Shape", both))


def module_channels(module: ShuffleBlock) -> int:
    return len(cast(Convolution, module.branch2[-1]).weight)


def channels(g: Nodes, x: str, first: int, last: int) -> str:
    return g.add("Slice", x, g.whole([first]), g.whole([last]), g.whole([1]))


def summed(g: Nodes, _module: Sum, out: str, shortcut: str, _x: str) -> str:
    return g.add("Add", out, shortcut)


def weighed(g: Nodes, module: WeighedSum, out: str, shortcut: str, _x: str) -> str:
    return g.add("Add", g.add("Mul", out, weight(g, module.weight.view(module.shape))), shortcut)


def gated(g: Nodes, module: GatedSum, out: str, shortcut: str, x: str) -> str:
    gate = g.add("Sigmoid", bare(g, module.conv, x))
    rest = g.add("Mul", g.add("Sub", g.real(1), gate), shortcut)
    return g.add("Add", g.add("Mul", gate, out), rest)


def group_norm(g: Nodes, module: nn.GroupNorm, x: str) -> str:
    """Groups as the channels of a norm of each picture by itself, which every runtime has."""
    groups = module.num_groups
    flat = g.add("Reshape", x, g.whole([0, groups, -1]))
    ones, zeros = (g.constant(np.full(groups, value, np.float32)) for value in (1, 0))
    normed = g.add("InstanceNormalization", flat, ones, zeros, epsilon=module.eps)
    back = g.add("Reshape", normed, g.add("Shape", x))
    scale, shift = (weight(g, one.view(1, -1, 1, 1)) for one in (module.weight, module.bias))
    return g.add("Add", g.add("Mul", back, scale), shift)


def batch_norm(g: Nodes, module: nn.BatchNorm2d | FrozenNorm, x: str) -> str:
    parts = (module.weight, module.bias, module.running_mean, module.running_var)
    return g.add("BatchNormalization", x, *(weight(g, cast(Tensor, one)) for one in parts), epsilon=module.eps)


def largest(g: Nodes, module: nn.MaxPool2d, x: str) -> str:
    return g.add(
        "MaxPool",
        x,
        kernel_shape=pair(module.kernel_size),
        strides=pair(module.stride),
        pads=pair(module.padding) * 2,
        dilations=pair(module.dilation),
        ceil_mode=int(module.ceil_mode),
    )


def mean(g: Nodes, module: nn.AvgPool2d, x: str) -> str:
    return g.add(
        "AveragePool",
        x,
        kernel_shape=pair(module.kernel_size),
        strides=pair(module.stride),
        pads=pair(module.padding) * 2,
        ceil_mode=int(module.ceil_mode),
        count_include_pad=int(module.count_include_pad),
    )


def same_mean(g: Nodes, module: SameMean, x: str) -> str:
    edges = tuple(side - 1 for side in module.kernel)
    return g.add("AveragePool", x, kernel_shape=module.kernel, strides=(1, 1), pads=(0, 0, *edges), count_include_pad=1)


def blur(g: Nodes, module: Blur, x: str) -> str:
    window = module.filter.expand(module.channels, 1, 3, 3)
    x = g.add("Pad", x, g.whole([0, 0, 1, 1, 0, 0, 1, 1]), mode="reflect")
    strides = (module.stride, module.stride)
    return g.add("Conv", x, weight(g, window), kernel_shape=(3, 3), strides=strides, group=module.channels)


def pad_shortcut(g: Nodes, module: PadShortcut, x: str) -> str:
    steps = g.whole(module.stride)
    thin = g.add("Slice", x, g.whole([0, 0]), g.whole([END, END]), g.whole([2, 3]), steps)
    before, after = module.pad
    return g.add("Pad", thin, g.whole([0, before, 0, 0, 0, after, 0, 0]))


def squeeze_excite(g: Nodes, module: SqueezeExcite, x: str) -> str:
    out = g.add("Relu", bare(g, module.fc1, g.add("GlobalAveragePool", x)))
    return g.add("Mul", x, g.add("Sigmoid", bare(g, module.fc2, out)))


def efficient_channels(g: Nodes, module: EfficientChannels, x: str) -> str:
    """A convolution along the channels: of a picture that is one point wide."""
    means = g.add("Transpose", g.add("GlobalAveragePool", x), perm=(0, 2, 1, 3))
    window, edge = module.conv.weight[..., None], module.conv.padding[0]
    kernel = tuple(window.shape[2:])
    out = g.add("Conv", means, weight(g, window), kernel_shape=kernel, pads=(cast(int, edge), 0) * 2)
    return g.add("Mul", x, g.add("Sigmoid", g.add("Transpose", out, perm=(0, 2, 1, 3))))


def channel_gate(g: Nodes, module: ChannelGate, x: str) -> str:
    means, most = (
        bare(g, module.fc2, g.add("Relu", bare(g, module.fc1, g.add(f"Global{kind}Pool", x))))
        for kind in ("Average", "Max")
    )
    return g.add("Mul", x, g.add("Sigmoid", g.add("Add", means, most)))


def spatial_gate(g: Nodes, module: SpatialGate, x: str) -> str:
    both = [g.add(kind, x, axes=(1,), keepdims=1) for kind in ("ReduceMean", "ReduceMax")]
    out = batch_norm(g, cast(nn.BatchNorm2d, module.conv.bn), bare(g, module.conv.conv, g.add("Concat", *both, axis=1)))
    return g.add("Mul", x, g.add("Sigmoid", out))


def cbam(g: Nodes, module: Cbam, x: str) -> str:
    return spatial_gate(g, module.spatial, channel_gate(g, module.channel, x))


def gelu(g: Nodes, _module: nn.GELU, x: str) -> str:
    curve = g.add("Add", g.add("Erf", g.add("Div", x, g.real(sqrt(2)))), g.real(1))
    return g.add("Mul", g.add("Mul", x, curve), g.real(0.5))


def pair(value: Any) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else tuple(value)


def weight(g: Nodes, value: Tensor) -> str:
    found: NDArray[Any] = value.detach().float().contiguous().numpy()
    return g.constant(found)


WRITERS: dict[type[nn.Module], Callable[[Nodes, Any, str], str]] = {
    nn.Sequential: row,
    nn.Identity: lambda _g, _module, x: x,
    InFloat: lambda _g, _module, x: x,
    Convolution: convolution,
    FusedBlock: block,
    ShuffleBlock: shuffled,
    nn.GroupNorm: group_norm,
    nn.BatchNorm2d: batch_norm,
    FrozenNorm: batch_norm,
    nn.MaxPool2d: largest,
    nn.AvgPool2d: mean,
    SameMean: same_mean,
    Blur: blur,
    PadShortcut: pad_shortcut,
    SqueezeExcite: squeeze_excite,
    EfficientChannels: efficient_channels,
    Cbam: cbam,
    nn.ReLU: lambda g, _module, x: g.add("Relu", x),
    nn.ReLU6: lambda g, _module, x: g.add("Clip", x, g.real(0), g.real(6)),
    nn.LeakyReLU: lambda g, module, x: g.add("LeakyRelu", x, alpha=module.negative_slope),
    nn.SiLU: lambda g, _module, x: g.add("Mul", x, g.add("Sigmoid", x)),
    nn.GELU: gelu,
}
JOINS: dict[type[nn.Module], Callable[[Nodes, Any, str, str, str], str]] = {
    Sum: summed,
    WeighedSum: weighed,
    GatedSum: gated,
}
