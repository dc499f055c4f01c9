"""Every layer of a network, with its channels, stride and zeros counted out. Still no tensors.

A plan that exists is sound: its parts are checked as it is made, wherever they come from.
"""

from dataclasses import dataclass, field, replace

from resnetkit.checks import check
from resnetkit.spec import Sides
from resnetkit.units import FAMILIES, LATER, Block, FamilyName, Layer, Norm, Pool, Taps, each, product


@dataclass(frozen=True)
class Plan:
    """A network laid out: what the paper prints as a table. ValueError names the place that is wrong."""

    stem: tuple[Layer, ...]
    pool: Pool | None
    stages: tuple[tuple[Block, ...], ...]
    classes: int  # 0 where the pooled features are the answer
    size: Sides  # of the pictures it is meant for
    ndim: int = field(
        default=2, metadata=LATER
    )  # sides of the input: 0 where it is a vector, and a convolution of 1x1 is a linear layer
    norm: Norm | None = field(default=None, metadata=LATER)  # after the last stage of pre-activation networks
    last: Layer | None = field(default=None, metadata=LATER)  # after the last stage of mobile networks
    taps: Taps | None = field(default=None, metadata=LATER)  # None where the head sees the mean of the last map

    def __post_init__(self) -> None:
        check(self)

    @property
    def channels(self) -> int:
        return self.stem[0].c_in

    @property
    def width(self) -> int:
        """Channels of the last map."""
        return self.last.c_out if self.last else self.stages[-1][-1].c_out

    @property
    def features(self) -> int:
        """Numbers that the head sees."""
        if self.taps is None:
            return self.width
        seen = [stage[-1].c_out for stage in self.stages[self.taps.first : -1]] + [self.width]
        return sum(seen) * self.taps.cells**self.ndim

    @property
    def family(self) -> FamilyName:
        return FAMILIES.get(self.stages[0][0].kind, "resnet")

    @property
    def reduction(self) -> int:
        """Points of the input between neighbours of the last map, along the side where they are furthest apart."""
        pool = [self.pool.stride, self.pool.blur or 1] if self.pool else []
        strides = [layer.stride for layer in self.stem] + pool
        strides += [block.stride for stage in self.stages for block in stage]
        return max(each(product(*strides), max(1, self.ndim)))


def with_io(plan: Plan, *, channels: int | None = None, classes: int | None = None) -> Plan:
    """The same network for other input channels or another number of classes."""
    first = plan.stem[0] if channels is None else replace(plan.stem[0], c_in=channels)
    return replace(plan, stem=(first, *plan.stem[1:]), classes=plan.classes if classes is None else classes)
