"""How weights begin.

He et al. 2015, "Delving deep into rectifiers" (arXiv:1502.01852); Goyal et al. 2017 (arXiv:1706.02677), section 5.1.
"""

import torch
from torch import Generator, nn

from resnetkit.dice import address
from resnetkit.plan import Plan


@torch.no_grad()
def initialize(model: nn.Module, *, seed: int | None, zero_last: bool) -> None:
    """Begin a ResNet anew, as torchvision does.

    With a seed, each tensor is a function of (seed, its name, its shape) on every device, and torch's own generator is
    left alone; without one, torch's own generator is used. ``zero_last`` lets every residual branch answer zero at
    first, so that the deepest network begins as its shortcuts alone; a plain network has none, and keeps its norms.
    """
    for name, module in model.named_modules():
        dice = None if seed is None else torch.Generator().manual_seed(address(seed, "init", name))
        if isinstance(module, nn.Linear) and name == "fc":
            begin_linear(module, dice)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            begin_convolution(module, dice)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
    for norm in last_norms(model) if zero_last else []:
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.weight.zero_()


def begin_convolution(conv: nn.Conv2d | nn.Linear, dice: Generator | None) -> None:
    """As much variance backwards as the ReLU lets through (section 2.2 of the first paper)."""
    weight = conv.weight if dice is None else torch.empty(conv.weight.shape, dtype=torch.float32, device="cpu")
    conv.weight.copy_(nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu", generator=dice))
    if conv.bias is not None:
        conv.bias.zero_()


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
