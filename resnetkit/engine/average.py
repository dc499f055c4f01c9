"""The mean of the weights over the last steps, which often answers better than the last weights alone."""

import copy

import torch
from torch import nn

from resnetkit.network import Network


def begin(model: Network) -> Network:
    """A second network to keep the mean in, equal to the first."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the mean towards the model after step ``step``, counted from 1 (Polyak & Juditsky 1992, exponential).

    At first it moves faster than ``decay`` says, so that the weights the run began with are soon forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        # Means and variances of the norms too: those of the last weights would not fit the mean of the weights.
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)
