"""What a residual network is, in two dozen values. Nothing here computes."""

from dataclasses import dataclass
from reprlib import repr as brief
from typing import Literal, get_args

from resnetkit.errors import UsageError

BlockName = Literal["basic", "bottleneck"]
StemName = Literal["7x7", "3x3", "1x1", "deep", "tiered", "3x7x7"]
ShortcutName = Literal["project", "pad", "none", "rezero", "layerscale", "gated"]
AttentionName = Literal["none", "se", "eca", "cbam"]
NormName = Literal["batch", "group", "frozen"]
ActName = Literal["relu", "relu6", "leaky_relu", "silu", "gelu"]
PoolName = Literal["max", "conv", "none"]
Sides = int | tuple[int, ...]  # the same along every side, or one number for each

DEEP = ("deep", "tiered")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A residual network, whole: equal specs build equal networks. The defaults are ResNet-50."""

    block: BlockName = "bottleneck"  # two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the width at the end
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each stage
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels that each stage counts in
    cardinality: int = 1  # groups of the 3x3 of a bottleneck (ResNeXt)
    base_width: int = 64  # channels of each group where the stage counts 64 (ResNeXt, and wide networks)
    stem: StemName = "7x7"  # one convolution: 7x7 with stride 2, 3x3 or 1x1 with stride 1; or three of 3x3
    stem_width: int | None = None  # channels of the stem, and of deep ones half of them; None is widths[0]
    pool: PoolName = "max"  # how the resolution is halved once more after the stem
    stride: Sides = 2  # of the first block of each stage but the first
    stride_at: Literal["3x3", "first"] = "3x3"  # of a bottleneck: which convolution has the stride
    kernel: Sides = 3  # of the convolutions that are 3x3 in the paper
    output_stride: int = 32  # from where on dilation stands for strides: 8, 16 or 32 pixels between neighbours
    preact: bool = False  # norm and activation stand before each convolution (He et al. 2016)
    shortcut: ShortcutName = "project"  # how x meets a new shape, or is weighed against the branch
    down: Literal["conv", "mean"] = "conv"  # what a projection halves the resolution with
    attention: AttentionName = "none"  # at the end of each branch
    reduction: int = 16  # of the channels within an attention
    blur: bool = False  # low-pass filters before the resolution is halved (Zhang 2019)
    norm: NormName = "batch"  # of the batch, of groups of channels (32), or frozen
    eps: float = 1e-5  # of each norm
    bias: bool = False  # of each convolution
    bare: bool = False  # projections have no norm
    activation: ActName = "relu"  # after norms and sums
    channels: int = 3  # of the input
    classes: int = 1000  # of the answer; 0 leaves the pooled features as they are
    size: Sides = 224  # of the input that it is meant for, in pixels along each side
    ndim: Literal[0, 1, 2, 3] = 2  # sides of the input: 0 of a vector, for which every layer is linear

    def __post_init__(self) -> None:
        check_fields(self)
        check_vector(self)
        check_together(self)


def check_fields(spec: Spec) -> None:
    words = {"block": BlockName, "stem": StemName, "pool": PoolName, "shortcut": ShortcutName}
    words |= {"attention": AttentionName, "norm": NormName, "activation": ActName}
    for field, names in words.items():
        choice(field, getattr(spec, field), get_args(names))
    choice("stride_at", spec.stride_at, ("3x3", "first"))
    choice("down", spec.down, ("conv", "mean"))
    choice("ndim", spec.ndim, (0, 1, 2, 3))
    choice("output_stride", spec.output_stride, (8, 16, 32))
    for field in ("preact", "blur", "bias", "bare"):
        choice(field, getattr(spec, field), (True, False))
    several("depths", spec.depths, 10_000)
    several("widths", spec.widths, 65_536)
    whole("cardinality", spec.cardinality, 1, 65_536)
    whole("base_width", spec.base_width, 1, 65_536)
    whole("reduction", spec.reduction, 1, 65_536)
    if spec.stem_width is not None:
        whole("stem_width", spec.stem_width, 1, 65_536)
    along("stride", spec.stride, spec.ndim, 64)
    along("kernel", spec.kernel, spec.ndim, 63)
    if any(side % 2 == 0 for side in (spec.kernel if isinstance(spec.kernel, tuple) else (spec.kernel,))):
        raise UsageError(f"kernel is {brief(spec.kernel)}", "give kernel an odd number, so that it has a middle")
    along("size", spec.size, spec.ndim, 65_536)
    whole("channels", spec.channels, 1, 65_536)
    whole("classes", spec.classes, 0, 1_000_000)
    if type(spec.eps) is not float or not 0 < spec.eps <= 1:
        raise UsageError(f"eps is {brief(spec.eps)}", "give eps as a number above 0, such as 1e-5")


def check_vector(spec: Spec) -> None:
    """A vector has no sides along which anything could move."""
    if spec.ndim:
        return
    if (spec.stem, spec.pool, spec.size) != ("1x1", "none", 1):
        raise UsageError(
            "ndim 0 is for vectors, which have no sides", "with ndim 0 use stem '1x1', pool 'none' and size 1"
        )
    if spec.attention != "none" or spec.blur or spec.down != "conv" or spec.cardinality > 1 or spec.norm != "batch":
        raise UsageError(
            "ndim 0 is for vectors, which have no sides and no groups",
            "with ndim 0 leave attention, blur, down, cardinality and norm as they are",
        )


def check_together(spec: Spec) -> None:
    """What one value asks of another."""
    if len(spec.widths) != len(spec.depths):
        raise UsageError(
            f"widths names {len(spec.widths)} stages and depths {len(spec.depths)}",
            "give widths one number for each stage",
        )
    plain = spec.shortcut == "none"
    sums = {
        "shortcut 'none' is the plain network of basic blocks": plain and (spec.block != "basic" or spec.preact),
        "attention weighs a branch, and a plain network has none": plain and spec.attention != "none",
        "cardinality is of the 3x3 of a bottleneck": spec.block == "basic" and spec.cardinality > 1,
        "base_width is of the 3x3 of a bottleneck": spec.block == "basic" and spec.base_width != 64,
        "stride_at is of a bottleneck": spec.block == "basic" and spec.stride_at != "3x3",
        "stem '3x7x7' is for clips, which have three sides": spec.stem == "3x7x7" and spec.ndim != 3,
        "blur, and a stem of three convolutions, are for pictures": (spec.blur or spec.stem in DEEP) and spec.ndim != 2,
        "pool 'conv' is not blurred": spec.pool == "conv" and spec.blur,
        "pre-activation networks are not blurred, and pool by the largest": spec.preact
        and (spec.blur or spec.pool == "conv"),
        "reduction is of an attention of channels": spec.attention in ("none", "eca") and spec.reduction != 16,
        "down is of projections": spec.shortcut in ("pad", "none") and spec.down != "conv",
        "bare is of projections": spec.shortcut in ("pad", "none") and spec.bare,
    }
    for what, wrong in sums.items():
        if wrong:
            raise UsageError(what, f"change {what.partition(' ')[0].rstrip(',')}, or what does not go with it")
    if spec.shortcut == "pad" and list(spec.widths) != sorted(spec.widths):
        raise UsageError(
            f"widths {spec.widths} fall, and zeros cannot take channels away",
            "let widths grow, or use shortcut 'project'",
        )
    if spec.norm == "group" and any(c % 32 for c in (*spec.widths, spec.stem_width or 32)):
        raise UsageError("norm 'group' divides channels into 32 groups", "use widths that 32 divides, or norm 'batch'")


def choice(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if not any(type(value) is type(one) and value == one for one in allowed):
        words = " or ".join(repr(one) for one in allowed)
        raise UsageError(f"{field} is {brief(value)}", f"set {field} to {words}")


def several(field: str, value: object, high: int) -> None:
    if not isinstance(value, tuple) or not value:
        raise UsageError(f"{field} is {brief(value)}", f"give {field} as a tuple, one whole number for each stage")
    for number in value:
        whole(field, number, 1, high)


def along(field: str, value: object, ndim: int, high: int) -> None:
    """One number for all sides, or one for each of several."""
    if isinstance(value, tuple):
        if ndim < 2 or len(value) != ndim:
            raise UsageError(f"{field} is {brief(value)}", f"give {field} as one number, or one for each of the sides")
        for number in value:
            whole(field, number, 1, high)
    else:
        whole(field, value, 1, high)


def whole(field: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise UsageError(f"{field} holds {brief(value)}", f"use whole numbers from {low} to {high} for {field}")
