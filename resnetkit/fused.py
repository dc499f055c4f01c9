"""A copy of a network that answers and never learns: norms folded into convolutions, what follows done in their pass.

A convolution here brings its norm, its activation and, at the end of a branch, the sum with the shortcut. On a CPU
these are operators of oneDNN, which torch's compiler uses too; elsewhere they are torch's own, one after another.
"""

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetkit import onednn
from resnetkit.attention import Sum
from resnetkit.blocks import BasicBlock, Bottleneck, PlainBlock, PreactBasicBlock, PreactBottleneck
from resnetkit.layers import BATCH_NORMS, CONVOLUTIONS, FrozenNorm
from resnetkit.mobilenets import DepthwiseBlock, InvertedBlock, ShuffleBlock
from resnetkit.network import Network
from resnetkit.onednn import SUMS, WORDS, Window

FOLDED = (*BATCH_NORMS, FrozenNorm)
CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Order:
    """The modules of a block in the order of use."""

    branch: str
    before: str = ""  # branch and shortcut
    after: str = ""  # the sum


ORDERS: dict[type[nn.Module], Order] = {
    BasicBlock: Order("conv1 bn1 relu aa conv2 bn2 se", after="relu"),
    Bottleneck: Order("conv1 bn1 relu conv2 bn2 relu aa conv3 bn3 se", after="relu"),
    PlainBlock: Order("conv1 bn1 relu aa conv2 bn2 relu"),
    PreactBasicBlock: Order("conv1 bn2 relu conv2 se", before="bn1 relu"),
    PreactBottleneck: Order("conv1 bn2 relu conv2 bn3 relu conv3 se", before="bn1 relu"),
    DepthwiseBlock: Order("conv_dw bn1 act1 conv_pw bn2"),
    InvertedBlock: Order("conv_pw bn1 act1 conv_dw bn2 act2 conv_pwl bn3"),
}


def fused(network: Network, dtype: torch.dtype = torch.float32) -> Network:
    """A copy of ``network`` with its answers in evaluation, in fewer passes; maps are of ``dtype``, logits float32.

    It is for inference alone: nothing in it learns, and what the network learns later does not reach it. Answers
    differ from the network's in the last digits of float32, or as ``dtype`` rounds.
    """
    copy = deepcopy(network).eval().requires_grad_(False)
    for names in (copy.before, copy.behind):
        last: nn.Module | None = None
        for name in names:
            steps = row([copy.get_submodule(name)], dtype, last)
            setattr(copy, name, nn.Sequential(*steps))
            last = steps[-1] if steps else last
    for _, stage in copy.steps()[len(copy.before) : len(copy.before) + len(copy.plan.stages)]:
        for b, (name, block) in enumerate(list(stage.named_children())):
            setattr(stage, name, fused_block(block, dtype, within=b > 0))
    copy.avgpool = nn.Sequential(InFloat(), copy.avgpool)
    return copy


def fused_block(block: nn.Module, dtype: torch.dtype, *, within: bool) -> nn.Module:
    if isinstance(block, ShuffleBlock):
        for name in ("branch1", "branch2"):
            setattr(block, name, nn.Sequential(*row([getattr(block, name)], dtype)))
        return block
    return FusedBlock(block, ORDERS[type(block)], dtype, within=within)


class FusedBlock(nn.Module):
    """A residual block whose last convolution adds the shortcut, where nothing stands between.

    ``within`` a stage its input is of no more use to anybody, and the sum is written over it.
    """

    def __init__(self, block: nn.Module, order: Order, dtype: torch.dtype, *, within: bool) -> None:
        super().__init__()
        named = dict(block.named_children())
        before, branch, after = (
            row([named[name] for name in names.split()], dtype) for names in (order.before, order.branch, order.after)
        )
        self.bridge = nn.Sequential(*row([named["downsample"]], dtype)) if "downsample" in named else None
        self.join = named.get("join", Sum() if getattr(block, "adds", False) else None)
        self.last = branch.pop()
        self.adds = False
        if type(self.join) is Sum and isinstance(self.last, Convolution) and isinstance(self.last.act, nn.Identity):
            self.adds = True
            if after and isinstance(after[0], SUMS):
                self.last.act = after.pop(0)
        self.before, self.branch, self.after = (nn.Sequential(*steps) for steps in (before, branch, after))
        if self.join is not None:
            lowered(self.join, dtype)
        self.over = within if self.bridge is None else isinstance(self.bridge[-1], Convolution)

    def forward(self, x: Tensor) -> Tensor:
        begun = self.before(x)
        shortcut = x if self.bridge is None else self.bridge(begun)
        out = self.branch(begun)
        if self.adds:
            return self.after(self.last(out, shortcut, self.over))
        out = self.last(out)
        return self.after(out if self.join is None else self.join(out, shortcut, x))


def row(modules: Iterable[nn.Module], dtype: torch.dtype, before: nn.Module | None = None) -> list[nn.Module]:
    """Modules in a row, where each convolution, also one ``before``, has taken in the norm and activation behind it."""
    steps: list[nn.Module] = []
    for module in flat(modules):
        last = steps[-1] if steps else before
        if isinstance(module, CONVOLUTIONS):
            steps.append(Convolution(module, dtype))
        elif isinstance(module, nn.BatchNorm2d) and not isinstance(last, Convolution):
            one = Convolution(one_to_one(module.num_features), dtype)
            one.take(module)
            steps.append(one)
        elif not (isinstance(last, Convolution) and last.take(module)):
            steps += [InFloat()] if isinstance(module, nn.GroupNorm) else []
            steps.append(lowered(module, dtype))
    return steps


def one_to_one(channels: int) -> nn.Conv2d:
    """A convolution that changes nothing, for a norm that follows none to be folded into."""
    conv = nn.Conv2d(channels, channels, 1, groups=channels, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def flat(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, nn.Sequential):
            yield from flat(module)
        elif not isinstance(module, nn.Identity):
            yield module


def lowered(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The module with its numbers in ``dtype``, but for those of norms and of what works on vectors."""
    for part in module.modules():
        if not (isinstance(part, (*FOLDED, nn.GroupNorm, nn.Linear)) or any(part.children())):
            part.to(dtype)
    return module


class InFloat(nn.Module):
    """Means of many points, and norms of groups, are taken in float32 at least."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.dtype == torch.float64 else x.float()


class Convolution(nn.Module):
    """A convolution, its norm, the sum with ``other`` where there is one, and an activation: one pass over the map."""

    def __init__(self, conv: nn.Conv1d | nn.Conv2d | nn.Conv3d, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.act = dtype, cast(nn.Module, nn.Identity())
        self.normed = self.laid_out = False
        padding = cast(tuple[int, ...], conv.padding)
        self.window = Window(list(padding), list(conv.stride), list(conv.dilation), conv.groups)
        self.weight = conv.weight.detach()
        self.bias = self.weight.new_zeros(len(self.weight)) if conv.bias is None else conv.bias.detach()

    def take(self, module: nn.Module) -> bool:
        """Take in a norm, as its running statistics stand, or an activation; False for what has to stay behind."""
        if not isinstance(self.act, nn.Identity):
            return False
        if type(module) in WORDS:
            self.act = module
            return True
        if self.normed or not isinstance(module, FOLDED):
            return False
        mean, variance = (tensor.double() for tensor in (module.running_mean, module.running_var) if tensor is not None)
        scale = module.weight.detach().double() * (variance + module.eps).rsqrt()
        weight = self.weight.double() * scale.view(-1, *[1] * (self.weight.ndim - 1))
        bias = (self.bias.double() - mean) * scale + module.bias.detach()
        self.weight, self.bias, self.normed = weight.to(self.weight.dtype), bias.to(self.bias.dtype), True
        return True

    def forward(self, x: Tensor, other: Tensor | None = None, over: bool = False) -> Tensor:
        """``over``: whether the sum may be written into ``other``."""
        x = x.to(self.dtype)
        quick = onednn.has(x)
        if not self.laid_out:  # by the first pictures, whose number and size the others mostly share
            weight, self.bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            self.weight, self.laid_out = onednn.laid_out(weight, self.window, x) if quick else weight, True
        if quick:
            return onednn.convolve(x, self.weight, self.bias, self.window, self.act, other, over)
        padding, stride, dilation, groups = self.window.all
        out = CONVOLVE[x.ndim - 2](x, self.weight, self.bias, stride, padding, dilation, groups)
        return self.act(out if other is None else out.add_(other))
