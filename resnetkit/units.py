"""The parts of a network laid out: layers, pools, shortcuts, blocks. Plain data without tensors."""

from dataclasses import dataclass, field
from math import prod
from typing import Literal

from resnetkit.spec import ActName, NormName, Sides

Act = ActName | Literal["none"]
BlockKind = Literal["basic", "bottleneck", "plain", "preact_basic", "preact_bottleneck", "inverted", "shuffle"]
ShortcutKind = Literal["identity", "project", "pad", "none", "half", "branch"]
PoolKind = Literal["max", "mean", "conv"]
AttentionKind = Literal["se", "eca", "cbam"]
ScaleKind = Literal["rezero", "layerscale", "gated"]
FamilyName = Literal["resnet", "mobilenetv2", "shufflenetv2"]

# Convolutions in the branch of each kind of block; the first of an inverted one is left out where nothing expands.
CONVOLUTIONS = {"basic": 2, "bottleneck": 3, "plain": 2, "preact_basic": 2, "preact_bottleneck": 3, "shuffle": 3}
FAMILIES: dict[str, FamilyName] = {"inverted": "mobilenetv2", "shuffle": "shufflenetv2"}
GROUPS = 32  # of group norms (Wu & He 2018, table 3)


# Fields that model files came to have later: left out of them where they say what held before.
LATER = {"later": True}


@dataclass(frozen=True)
class Layer:
    """One convolution, then its norm and its activation; in blocks of pre-activation norm and activation come first."""

    c_in: int
    c_out: int
    kernel: Sides
    stride: Sides = 1
    dilation: Sides = 1
    padding: Sides = 0
    groups: int = 1
    bias: bool = False
    eps: float | None = 1e-5  # of the norm; None where there is no norm
    act: Act = "relu"
    norm: NormName = field(default="batch", metadata=LATER)
    blur: int = field(
        default=0, metadata=LATER
    )  # the stride of the low-pass filter after the activation; 0 where there is none


@dataclass(frozen=True)
class Pool:
    """The largest of each window, or the mean, or a convolution of its own."""

    kernel: Sides
    stride: Sides
    padding: Sides
    kind: PoolKind = field(default="max", metadata=LATER)
    blur: int = field(default=0, metadata=LATER)  # as in a layer
    layer: Layer | None = field(default=None, metadata=LATER)  # of a convolution


@dataclass(frozen=True)
class Taps:
    """What the head sees in place of the last map's mean: the maps of several stages, each averaged over cells.

    Evci et al. 2022 (Head2Toe, arXiv:2201.03529), section 3; cells as in He et al. 2015 (arXiv:1406.4729), section 2.2.
    """

    first: int  # stage that is seen, counted from 0; all behind it are seen too
    cells: int  # along each side of each map


@dataclass(frozen=True)
class Norm:
    """A norm that follows no convolution, and its activation."""

    channels: int
    eps: float
    act: Act = "relu"
    norm: NormName = "batch"


@dataclass(frozen=True)
class Attention:
    """What weighs the channels of a map (and its points, in cbam) by looking at the whole of it."""

    kind: AttentionKind
    reduced: int = 0  # channels within, of se and cbam
    kernel: int = 0  # of eca's along the channels, of cbam's along the points


@dataclass(frozen=True)
class Shortcut:
    """How x comes to the sum."""

    kind: ShortcutKind
    layer: Layer | None = None  # of a projection
    stride: Sides = 1
    pad: tuple[int, int] = (0, 0)  # channels of zeros before and after
    pool: Pool | None = field(default=None, metadata=LATER)  # before the projection
    lead: Layer | None = field(default=None, metadata=LATER)  # before the last of a second branch


@dataclass(frozen=True)
class Block:
    """One residual step: a branch, and a shortcut beside it."""

    kind: BlockKind
    branch: tuple[Layer, ...]
    shortcut: Shortcut
    act: Act = "relu"  # after the sum; in blocks of pre-activation before the convolutions
    attention: Attention | None = field(default=None, metadata=LATER)  # at the end of the branch
    scale: ScaleKind | None = field(default=None, metadata=LATER)  # what the branch, or both ways, are multiplied by

    @property
    def c_in(self) -> int:
        return self.branch[0].c_in * (2 if self.shortcut.kind == "half" else 1)

    @property
    def c_out(self) -> int:
        c = self.branch[-1].c_out
        if self.shortcut.kind == "half":
            return 2 * c
        if self.shortcut.kind == "branch" and self.shortcut.layer:
            return c + self.shortcut.layer.c_out
        return c

    @property
    def stride(self) -> Sides:
        return product(*(layer.stride for layer in self.branch), *(layer.blur or 1 for layer in self.branch))

    @property
    def preact(self) -> bool:
        return self.kind.startswith("preact")


def each(sides: Sides, ndim: int) -> tuple[int, ...]:
    """One number for each side."""
    return sides if isinstance(sides, tuple) else (sides,) * ndim


def product(*sides: Sides) -> Sides:
    """Side by side; one number where all sides are the same."""
    ndim = max((len(one) for one in sides if isinstance(one, tuple)), default=1)
    return same(tuple(prod(axis) for axis in zip(*(each(one, ndim) for one in sides), strict=True)))


def same(sides: tuple[int, ...]) -> Sides:
    return sides[0] if len(set(sides)) == 1 else sides
