"""What a residual network is, in a dozen values. Nothing here computes."""

from dataclasses import dataclass
from reprlib import repr as brief
from typing import Literal, get_args

from resnetkit.errors import UsageError

BlockName = Literal["basic", "bottleneck"]
StemName = Literal["7x7", "3x3", "1x1"]
ShortcutName = Literal["project", "pad", "none"]


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A residual network, whole: equal specs build equal networks. The defaults are ResNet-50."""

    block: BlockName = "bottleneck"  # two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the width at the end
    depths: tuple[int, ...] = (3, 4, 6, 3)  # blocks in each stage
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels that each stage counts in; the stem has the first
    stem: StemName = "7x7"  # the first convolution: 7x7 with stride 2, or 3x3 or 1x1 with stride 1
    pool: bool = True  # halve the resolution once more after the stem
    shortcut: ShortcutName = "project"  # how x meets a new shape: a 1x1 convolution, zeros, or no shortcut at all
    channels: int = 3  # of the input
    classes: int = 1000  # of the answer; 0 leaves the pooled features as they are
    size: int = 224  # of the pictures it is meant for, in pixels along each side
    ndim: Literal[0, 2] = 2  # sides of the input: 2 of a picture, 0 of a vector, for which every layer is linear

    def __post_init__(self) -> None:
        choice("block", self.block, get_args(BlockName))
        several("depths", self.depths, 10_000)
        several("widths", self.widths, 65_536)
        choice("stem", self.stem, get_args(StemName))
        choice("pool", self.pool, (True, False))
        choice("shortcut", self.shortcut, get_args(ShortcutName))
        whole("channels", self.channels, 1, 65_536)
        whole("classes", self.classes, 0, 1_000_000)
        whole("size", self.size, 1, 65_536)
        choice("ndim", self.ndim, (0, 2))
        if len(self.widths) != len(self.depths):
            raise UsageError(
                f"widths names {len(self.widths)} stages and depths {len(self.depths)}",
                "give widths one number for each stage",
            )
        if self.shortcut == "pad" and list(self.widths) != sorted(self.widths):
            raise UsageError(
                f"widths {self.widths} fall, and zeros cannot take channels away",
                "let widths grow, or use shortcut 'project'",
            )
        if self.shortcut == "none" and self.block != "basic":
            raise UsageError("shortcut 'none' is the plain network of basic blocks", "use block 'basic' with it")
        if self.ndim == 0 and (self.stem, self.pool, self.size) != ("1x1", False, 1):
            raise UsageError(
                "ndim 0 is for vectors, which have no sides", "with ndim 0 use stem '1x1', pool False and size 1"
            )


def choice(field: str, value: object, allowed: tuple[object, ...]) -> None:
    if not any(type(value) is type(one) and value == one for one in allowed):
        words = " or ".join(repr(one) for one in allowed)
        raise UsageError(f"{field} is {brief(value)}", f"set {field} to {words}")


def several(field: str, value: object, high: int) -> None:
    if not isinstance(value, tuple) or not value:
        raise UsageError(f"{field} is {brief(value)}", f"give {field} as a tuple, one whole number for each stage")
    for number in value:
        whole(field, number, 1, high)


def whole(field: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise UsageError(f"{field} holds {brief(value)}", f"use whole numbers from {low} to {high} for {field}")
