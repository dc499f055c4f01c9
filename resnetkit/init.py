"""How weights begin.

He et al. 2015, "Delving deep into rectifiers" (arXiv:1502.01852); Goyal et al. 2017 (arXiv:1706.02677), section 5.1.
"""

from typing import Literal

import torch
from torch import Generator, nn

from resnetkit.dice import address
from resnetkit.plan import Plan


@torch.no_grad()
def initialize(model: nn.Module, *, seed: int | None, zero_last: bool, fan_in: bool = False) -> None:
    """Begin a ResNet anew, as torchvision does; with ``fan_in`` as the first paper does, its head like the rest.

    With a seed, each tensor is a function of (seed, its name, its shape) on every device, and torch's own generator is
    left alone; without one, torch's own generator is used. ``zero_last`` lets every residual branch answer zero at
    first, so that the deepest network begins as its shortcuts alone; a plain network has none, and keeps its norms.
    """
    for name, module in model.named_modules():
        dice = None if seed is None else torch.Generator().manual_seed(address(seed, "init", name))
        if isinstance(module, nn.Linear) and name == "fc":
            begin_linear(module, dice)
            if fan_in:
                draw_normal(module, dice, "fan_in")
        elif isinstance(module, nn.Conv2d | nn.Linear):
            draw_normal(module, dice, "fan_in" if fan_in else "fan_out")
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
    for norm in last_norms(model) if zero_last else []:
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.weight.zero_()


def draw_normal(layer: nn.Conv2d | nn.Linear, dice: Generator | None, mode: Literal["fan_in", "fan_out"]) -> None:
    """As much variance forwards (fan_in) or backwards as the ReLU lets through (sections 2.2 of the first paper)."""
    weight = layer.weight if dice is None else torch.empty(layer.weight.shape, dtype=torch.float32, device="cpu")
    layer.weight.copy_(nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu", generator=dice))


def begin_linear(linear: nn.Linear, dice: Generator | None) -> None:
    """The default of torch: weight and bias even within one over the root of the inputs."""
    if dice is None:
        linear.reset_parameters()
        return
    edge = linear.in_features**-0.5
    for tensor in linear.parameters():
        draw = torch.empty(tensor.shape, dtype=torch.float32, device="cpu")
        tensor.copy_(draw.uniform_(-edge, edge, generator=dice))


def last_norms(model: nn.Module) -> list[nn.Module]:
    """The last norm of each residual branch."""
    plan = model.plan
    assert isinstance(plan, Plan)
    return [
        model.get_submodule(f"layer{s}.{b}.bn{len(block.branch)}")
        for s, stage in enumerate(plan.stages, start=1)
        for b, block in enumerate(stage)
        if block.kind != "plain"
    ]
