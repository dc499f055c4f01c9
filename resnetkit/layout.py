"""From what a network is to every layer of it: all arithmetic of channels, strides and zeros is here.

He et al. 2015 (arXiv:1512.03385), table 1 and section 4.2; what else a field of a Spec asks for names its own source.
"""

from dataclasses import dataclass, replace
from math import log2

from resnetkit.errors import UsageError
from resnetkit.mobile import Mobile, lay_out_mobile
from resnetkit.plan import Plan
from resnetkit.spec import DEEP, Sides, Spec
from resnetkit.units import Attention, Block, BlockKind, Layer, Norm, Pool, ScaleKind, Shortcut, each, product, same

EXPANSION = 4  # a bottleneck ends in four times its width (table 1)


@dataclass(frozen=True)
class Step:
    """How a block moves along the map: by a stride, or by a dilation in its place."""

    stride: Sides = 1
    dilation: int = 1
    first: int = 1  # the dilation of the block's first wide convolution, where the stage before had a smaller one


def lay_out(spec: Spec | Mobile) -> Plan:
    """The network that ``spec`` means."""
    if isinstance(spec, Mobile):
        return lay_out_mobile(spec)
    stem = lay_stem(spec)
    c = stem[-1].c_out
    reached = product(*(layer.stride for layer in stem), 1 if spec.pool == "none" else 2)
    dilation, stages = 1, []
    for s, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        stride: Sides = spec.stride if s > 0 and spec.ndim else 1
        blocks, before = [], dilation
        if max(each(reached, 1)) >= spec.output_stride:  # dilation keeps the field where strides stop (DeepLab)
            dilation, stride = dilation * max(each(stride, 1)), 1
        else:
            reached = product(reached, stride)
        blocks.append(lay_block(spec, c, width, Step(stride, dilation, before)))
        c = blocks[-1].c_out
        if depth > 1:
            blocks += [lay_block(spec, c, width, Step(1, dilation, dilation))] * (depth - 1)
        stages.append(tuple(blocks))
    if spec.output_stride < 32 and max(each(reached, 1)) < spec.output_stride:
        raise UsageError(
            f"output_stride is {spec.output_stride}, and the last map has a stride of {max(each(reached, 1))} already",
            "leave output_stride out",
        )
    return Plan(
        stem=stem,
        pool=lay_pool(spec, stem[-1].c_out),
        stages=tuple(stages),
        classes=spec.classes,
        size=spec.size,
        ndim=spec.ndim,
        norm=Norm(c, spec.eps, spec.activation, spec.norm) if spec.preact else None,
    )


def lay_stem(spec: Spec) -> tuple[Layer, ...]:
    """One convolution, or three of 3x3 (He et al. 2018, arXiv:1812.01187, figure 2b), tiered as timm has them."""
    c = spec.stem_width or spec.widths[0]
    if spec.stem in DEEP:
        half = c // 2
        first = 3 * (half // 4) if spec.stem == "tiered" else half
        layers = [conv(spec, spec.channels, first, 3, 2), conv(spec, first, half, 3), conv(spec, half, c, 3)]
    elif spec.stem == "3x7x7":  # of clips: all of their frames, half of their points (Tran et al. 2018, table 1)
        layers = [conv(spec, spec.channels, c, (3, 7, 7), (1, 2, 2))]
    else:
        layers = [conv(spec, spec.channels, c, int(spec.stem[0]), 2 if spec.stem == "7x7" else 1)]
    if spec.preact:  # the blocks begin with norm and activation
        layers[-1] = replace(layers[-1], eps=None, act="none", norm="batch")
    return tuple(layers)


def lay_pool(spec: Spec, c: int) -> Pool | None:
    if spec.pool == "none":
        return None
    if spec.pool == "conv":  # Bello et al. 2021 (arXiv:2103.07579), table 1
        return Pool(3, 2, 1, "conv", layer=conv(spec, c, c, 3, 2))
    return Pool(3, 1, 1, blur=2) if spec.blur else Pool(3, 2, 1)


def lay_block(spec: Spec, c_in: int, width: int, step: Step) -> Block:
    k: Sides = spec.kernel if spec.ndim else 1
    if spec.block == "basic":
        branch = [moving(spec, c_in, width, k, step), conv(spec, width, width, k, dilation=step.dilation)]
    else:
        # On the 3x3 no pixel goes unread: torchvision's "v1.5". The paper has the stride on the first 1x1.
        inner, c_out = width * spec.base_width // 64 * spec.cardinality, EXPANSION * width
        at_first = spec.stride_at == "first"
        branch = [
            conv(spec, c_in, inner, 1, step.stride if at_first else 1),
            moving(spec, inner, inner, k, replace(step, stride=1) if at_first else step, spec.cardinality),
            conv(spec, inner, c_out, 1),
        ]
    if not spec.preact:
        branch[-1] = replace(branch[-1], act="none")
    c_out = branch[-1].c_out
    attention = lay_attention(spec, c_out)
    scales: dict[str, ScaleKind] = {"rezero": "rezero", "layerscale": "layerscale", "gated": "gated"}
    scale = scales.get(spec.shortcut)
    return Block(kind_of(spec), tuple(branch), lay_shortcut(spec, c_in, c_out, step), spec.activation, attention, scale)


def kind_of(spec: Spec) -> BlockKind:
    if spec.shortcut == "none":
        return "plain"
    if spec.preact:
        return "preact_basic" if spec.block == "basic" else "preact_bottleneck"
    return spec.block


def moving(spec: Spec, c_in: int, c_out: int, kernel: Sides, step: Step, groups: int = 1) -> Layer:
    """The convolution that has the stride of a block, or leaves it to a filter behind it."""
    layer = conv(spec, c_in, c_out, kernel, step.stride, dilation=step.first, groups=groups)
    if spec.blur and (step.stride != 1 or step.first != step.dilation):
        return replace(layer, stride=1, blur=max(each(step.stride, 1)))
    return layer


def lay_shortcut(spec: Spec, c_in: int, c_out: int, step: Step) -> Shortcut:
    """Identity where the shape stays; else option B (project) or A (pad) of section 3.3."""
    stride = step.stride
    if spec.shortcut == "none":
        return Shortcut("none")
    if stride == 1 and c_in == c_out:
        return Shortcut("identity")
    if spec.shortcut == "pad":
        zeros = c_out - c_in
        return Shortcut("pad", None, stride, (zeros // 2, zeros - zeros // 2))
    layer = conv(spec, c_in, c_out, 1, 1 if spec.down == "mean" else stride)
    layer = replace(layer, act="none")
    if spec.preact or spec.bare:
        layer = replace(layer, eps=None, norm="batch")
    return Shortcut("project", layer, stride, pool=mean_pool(spec, step) if spec.down == "mean" else None)


def mean_pool(spec: Spec, step: Step) -> Pool:
    """The mean of two points a side, so that a projection looks at all of them (arXiv:1812.01187, figure 2c)."""
    if step.dilation > 1:
        return Pool(2, 1, 0, "mean")
    window = tuple(min(2, side) for side in each(step.stride, max(1, spec.ndim)))
    return Pool(same(window), step.stride, 0, "mean")


def lay_attention(spec: Spec, c: int) -> Attention | None:
    """What a branch of ``c`` channels ends with."""
    if spec.attention == "se":  # Hu et al. 2017 (arXiv:1709.01507), section 3; channels within as timm rounds them
        return Attention("se", reduced=max(8, int(c / spec.reduction + 4) // 8 * 8))
    if spec.attention == "eca":  # Wang et al. 2019 (arXiv:1910.03151), equation 12 with gamma 2 and b 1
        reach = int((log2(c) + 1) / 2)
        return Attention("eca", kernel=max(reach if reach % 2 else reach + 1, 3))
    if spec.attention == "cbam":  # Woo et al. 2018 (arXiv:1807.06521), section 3
        return Attention("cbam", reduced=max(1, int(c / spec.reduction + 0.5)), kernel=7)
    return None


def conv(
    spec: Spec, c_in: int, c_out: int, kernel: Sides, stride: Sides = 1, dilation: int = 1, groups: int = 1
) -> Layer:
    n = max(1, spec.ndim)
    pads = tuple(dilation * (side - 1) // 2 for side in each(kernel, n))
    spread = dilation if max(each(kernel, n)) > 1 else 1
    return Layer(
        c_in,
        c_out,
        kernel,
        stride,
        dilation=spread,
        padding=same(pads),
        groups=groups,
        bias=spec.bias,
        eps=spec.eps,
        act=spec.activation,
        norm=spec.norm,
    )
