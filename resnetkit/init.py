"""How weights begin.

He et al. 2015, "Delving deep into rectifiers" (arXiv:1502.01852); Goyal et al. 2017 (arXiv:1706.02677), section 5.1.
"""

from typing import Literal

import torch
from torch import Generator, Tensor, nn

from resnetkit.attention import GatedSum, WeighedSum
from resnetkit.dice import address
from resnetkit.layers import BATCH_NORMS, CONVOLUTIONS
from resnetkit.plan import Plan
from resnetkit.units import Block
from resnetkit.walk import HEAD, branch_names, stage_name


@torch.no_grad()
def initialize(model: nn.Module, *, seed: int | None, zero_last: bool, fan_in: bool = False) -> None:
    """Begin a ResNet anew, as torchvision does; with ``fan_in`` as the first paper does, its head like the rest.

    With a seed, each tensor is a function of (seed, its name, its shape) on every device, and torch's own generator is
    left alone; without one, torch's own generator is used. ``zero_last`` lets every residual branch answer zero at
    first, so that the deepest network begins as its shortcuts alone; a plain network has none, and keeps its norms.
    """
    head = HEAD[plan_of(model).family]
    for name, module in model.named_modules():
        dice = None if seed is None else torch.Generator().manual_seed(address(seed, "init", name))
        if isinstance(module, nn.Linear) and name == head:
            begin_linear(module, dice)
            if fan_in:
                draw_normal(module, dice, "fan_in")
        elif isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            draw_normal(module, dice, "fan_in" if fan_in else "fan_out")
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, (*BATCH_NORMS, nn.GroupNorm)):
            module.reset_parameters()
    for module in model.modules():
        if isinstance(module, GatedSum | WeighedSum):
            module.reset_parameters()
    for last in last_layers(model) if zero_last else []:
        weight = getattr(last, "weight", None)
        if isinstance(weight, nn.Parameter):
            weight.zero_()


def draw_normal(layer: nn.Module, dice: Generator | None, mode: Literal["fan_in", "fan_out"]) -> None:
    """As much variance forwards (fan_in) or backwards as the ReLU lets through (sections 2.2 of the first paper)."""
    assert isinstance(layer.weight, Tensor)
    if layer.weight.is_meta:  # a shape without numbers, for which torch's way is slow
        return
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


def last_layers(model: nn.Module) -> list[nn.Module]:
    """What each residual branch ends with: a norm, or where norms come first a convolution; attention aside."""
    return [
        model.get_submodule(f"{place}.{branch_names(block)[-1][0 if block.preact else 1]}")
        for place, block in branches(model)
    ]


def branch_ends(model: nn.Module) -> list[nn.Module]:
    """The same with attention, which weighs what it gives."""
    return [
        model.get_submodule(f"{place}.se") if block.attention else last
        for (place, block), last in zip(branches(model), last_layers(model), strict=True)
    ]


def last_convolutions(model: nn.Module) -> list[nn.Module]:
    """The last convolution of each branch, whether there is a shortcut beside it or not."""
    plan = plan_of(model)
    return [
        model.get_submodule(f"{stage_name(plan.family, s)}.{b}.{branch_names(block)[-1][0]}")
        for s, stage in enumerate(plan.stages)
        for b, block in enumerate(stage)
    ]


def branches(model: nn.Module) -> list[tuple[str, Block]]:
    """The blocks in which a branch is added to a shortcut, and where they stand."""
    plan = plan_of(model)
    return [
        (f"{stage_name(plan.family, s)}.{b}", block)
        for s, stage in enumerate(plan.stages)
        for b, block in enumerate(stage)
        if block.shortcut.kind in ("identity", "project", "pad")
    ]


def plan_of(model: nn.Module) -> Plan:
    plan = model.plan
    assert isinstance(plan, Plan)
    return plan
