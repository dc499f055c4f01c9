"""A pull to the weights that a run began with, so that few pictures do not make it forget what those know."""

import torch
from torch import nn

from resnetkit.settings import Settings


class Pull:
    """The penalty alpha/2 |w - w0|^2 of L2-SP (Li, Grandvalet & Davoine 2018, arXiv:1802.01483, equations 3 and 4).

    w are all parameters that came with the weights, w0 what they were then: the network as ``model`` is when this is
    made. The beta/2 |w|^2 of the paper, for what is new, is the weight decay, which leaves these alone.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        named = model.named_parameters()
        self.alpha = settings.run.pull
        self.ends = [(weight, weight.detach().clone()) for name, weight in named if settings.pulls(name)]

    @torch.no_grad()
    def add(self) -> None:
        """Add the slope of the penalty to the gradient."""
        for weight, start in self.ends:
            if weight.grad is not None:
                weight.grad.add_(weight - start, alpha=self.alpha)
