"""Optimizers for large batches: each layer moves in proportion to its own length."""

from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm

from resnetkit.engine.adam import direction

TRUST = 0.001  # of LARS: the share of its length that a layer moves at a learning rate of 1


class Lars(torch.optim.Optimizer):
    """SGD whose rate is scaled for each layer (You et al. 2017, arXiv:1708.03888, algorithm 1).

    Groups with ``kernel`` false, norms and biases, move as in plain SGD.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group, weight in moving(self):
            state, decay, gradient = self.state[weight], group["weight_decay"], weight.grad
            assert gradient is not None
            update = gradient + decay * weight
            if group["kernel"]:
                update.mul_(ratio(TRUST * length(weight), length(gradient) + decay * length(weight)))
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(weight)
            weight.sub_(state["momentum"].mul_(group["momentum"]).add_(update, alpha=group["lr"]))


class Lamb(torch.optim.Optimizer):
    """Adam whose steps are scaled for each layer (You et al. 2020, arXiv:1904.00962, algorithm 2).

    Groups with ``kernel`` false, norms and biases, move as in plain Adam.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group, weight in moving(self):
            assert weight.grad is not None
            update = direction(self.state[weight], weight.grad, eps=1e-6)
            update.add_(weight, alpha=group["weight_decay"])
            if group["kernel"]:
                update.mul_(ratio(length(weight), length(update)))
            weight.sub_(update, alpha=group["lr"])


def moving(optimizer: torch.optim.Optimizer) -> list[tuple[dict[str, Any], Tensor]]:
    """Every parameter that has a gradient, with its group."""
    groups = optimizer.param_groups
    return [(group, weight) for group in groups for weight in group["params"] if weight.grad is not None]


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """A trust ratio; 1 where either is zero, so that a layer that is zero can begin."""
    return torch.where((above > 0) & (below > 0), above / below, 1.0)


def length(tensor: Tensor) -> Tensor:
    """Its norm, summed in one order whatever its layout in memory: a resumed run may have another."""
    return vector_norm(tensor.flatten())
