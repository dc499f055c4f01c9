"""What of its maps a head may be solved on: all that it sees, or the mean of the last map alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from resnetkit.engine.solve import Head
from resnetkit.plan import Plan


@dataclass(frozen=True)
class Sight:
    """All features, or the means of the last of them over the cells of each channel."""

    name: str
    width: int = 0  # channels of the last map; 0: all features as they are
    cells: int = 1  # of each

    def seen(self, features: Tensor) -> Tensor:
        """Of features (..., d) those that are looked at."""
        if not self.width:
            return features
        last = features[..., -self.width * self.cells :]
        return last.unflatten(-1, (self.width, self.cells)).mean(-1)

    def told(self, head: Head, features: int) -> Head:
        """A head of what is looked at, as one of all ``features``, with the same answers."""
        if not self.width:
            return head
        spread = head.weight.repeat_interleave(self.cells, 1) / self.cells
        blind = spread.new_zeros(len(spread), features - spread.shape[1])
        return Head(torch.cat([blind, spread], 1), head.bias)


def sights(plan: Plan) -> list[Sight]:
    """What a head of this network may be solved on; the first of them, unless another is surely better."""
    if plan.taps is None:
        return [Sight("the last map")]
    return [Sight("all maps"), Sight("the last map", plan.width, plan.taps.cells**plan.ndim)]
