"""What a network costs, read from its plan.

Multiply-adds are those of convolutions and of the head, one for each product, as torchvision records them for its
weights; activations are the numbers that convolutions give, as timm counts them.
"""

from dataclasses import dataclass

from resnetkit.plan import Plan
from resnetkit.spec import Sides
from resnetkit.walk import counted, rows


@dataclass(frozen=True)
class Totals:
    """A whole network, for one picture."""

    parameters: int
    macs: int
    activations: int
    receptive_field: int  # of one point of the last map


def totals(plan: Plan, size: Sides | None = None) -> Totals:
    every = list(counted(plan, size))
    return Totals(
        parameters=sum(row.parameters * times for row, times in every),
        macs=sum(row.macs * times for row, times in every),
        activations=sum(row.activations * times for row, times in every),
        receptive_field=max(row.receptive_field for row, _ in every if row.kind == "conv"),
    )


def step_bytes(plan: Plan, size: Sides | None = None, width: int = 4) -> int:
    """Bytes that one picture takes at most while a network learns from it, at ``width`` bytes a number.

    Of each convolution what it gives and what its norm makes of that are kept for the way back. There maps come and go
    beside them, of which six of the largest were seen at a time on a CPU.
    """
    maps = [row.activations for row in rows(plan, size) if row.kind == "conv"]
    return width * 2 * sum(maps) + pass_bytes(plan, size, width)


def pass_bytes(plan: Plan, size: Sides | None = None, width: int = 4) -> int:
    """Bytes that one picture takes at most while a network answers and keeps nothing for the way back."""
    return width * 6 * max(row.activations for row in rows(plan, size) if row.kind == "conv")


def brief(macs: int) -> str:
    """Multiply-adds in the unit that shows them: millions, of small networks thousands."""
    return f"{macs / 1e6:,.0f} M" if macs >= 1e6 else f"{macs / 1e3:,.0f} K"
