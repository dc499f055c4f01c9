"""Muon: momentum whose matrices are made orthogonal, so that no direction of a layer is learned at the cost of others.

Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon).
"""

import math
from typing import Any

import torch
from torch import Tensor

from resnetkit.engine.adam import direction
from resnetkit.engine.trust import moving

STEPS = 5  # of the iteration
QUINTIC = (3.4445, -4.775, 2.0315)  # its coefficients: singular values from 0..1 come to 0.7..1.2, small ones fastest


class Muon(torch.optim.Optimizer):
    """Muon for groups with ``kernel`` true, AdamW (Loshchilov & Hutter 2019) for the others.

    A convolution (out, in, k, k) is the matrix (out, in k k). Its steps are as long as those of AdamW (Liu et al. 2025,
    arXiv:2502.16982, section 2.2), so that one learning rate and one decay do for both.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float, nesterov: bool) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "nesterov": nesterov})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group, weight in moving(self):
            state, gradient = self.state[weight], weight.grad
            assert gradient is not None
            if group["kernel"]:
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                mean = state["momentum"].lerp_(gradient, 1 - group["momentum"])
                update = gradient.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                matrix = orthogonal(update.flatten(1))
                update = matrix.mul_(0.2 * math.sqrt(max(matrix.shape))).view(weight.shape)
            else:
                update = direction(state, gradient, eps=1e-8)
            weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """About U V' of a matrix U S V' (rows, columns), by the Newton-Schulz iteration of the paper."""
    a, b, c = QUINTIC
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).contiguous()
