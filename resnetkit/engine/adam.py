"""The direction of Adam, for optimizers that begin with it."""

from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.999)


def direction(state: dict[str, Any], gradient: Tensor, eps: float) -> Tensor:
    """A new tensor: the mean of the gradients over the root of their mean square (Kingma & Ba 2015, algorithm 1).

    Both means live in ``state``, and are corrected for having begun at zero.
    """
    if not state:
        state["step"] = torch.tensor(0.0)
        state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    n = float(state["step"])
    state["mean"].lerp_(gradient, 1 - BETAS[0])
    state["square"].mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
    root = (state["square"] / (1 - BETAS[1] ** n)).sqrt_()
    return (state["mean"] / (1 - BETAS[0] ** n)).div_(root.add_(eps))
