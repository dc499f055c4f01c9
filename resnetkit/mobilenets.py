"""Light networks as modules: MobileNetV2 under timm's names, ShuffleNetV2 under torchvision's.

Sandler et al. 2018 (arXiv:1801.04381); Ma et al. 2018 (arXiv:1807.11164).
"""

import torch
from torch import Tensor, nn

from resnetkit import units
from resnetkit.init import initialize
from resnetkit.layers import activation, convolution, norm, pooling, whole_map
from resnetkit.model import ResNet
from resnetkit.network import Network
from resnetkit.plan import Plan


class DepthwiseBlock(nn.Module):
    """Each channel by itself, then all together: the first block, which expands nothing."""

    def __init__(self, block: units.Block) -> None:
        super().__init__()
        deep, point = block.branch
        self.conv_dw, self.bn1, self.act1 = convolution(deep, 2), norm(deep, 2), activation(deep.act)
        self.conv_pw, self.bn2 = convolution(point, 2), norm(point, 2)
        self.adds = block.shortcut.kind == "identity"

    def forward(self, x: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv_dw(x)))
        out = self.bn2(self.conv_pw(out))
        return out + x if self.adds else out


class InvertedBlock(nn.Module):
    """Wide within, narrow at its ends, and nothing after the sum (figure 3b)."""

    def __init__(self, block: units.Block) -> None:
        super().__init__()
        wide, deep, point = block.branch
        self.conv_pw, self.bn1, self.act1 = convolution(wide, 2), norm(wide, 2), activation(wide.act)
        self.conv_dw, self.bn2, self.act2 = convolution(deep, 2), norm(deep, 2), activation(deep.act)
        self.conv_pwl, self.bn3 = convolution(point, 2), norm(point, 2)
        self.adds = block.shortcut.kind == "identity"

    def forward(self, x: Tensor) -> Tensor:
        out = self.act1(self.bn1(self.conv_pw(x)))
        out = self.act2(self.bn2(self.conv_dw(out)))
        out = self.bn3(self.conv_pwl(out))
        return out + x if self.adds else out


class MobileNetV2(Network):
    """Images (n, channels, height, width) in, logits (n, classes) out."""

    before = ("conv_stem", "bn1", "act1")
    behind = ("conv_head", "bn2", "act2")

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        first, last = plan.stem[0], plan.last
        self.conv_stem, self.bn1, self.act1 = convolution(first, 2), norm(first, 2), activation(first.act)
        stages = [nn.Sequential(*map(inverted, stage)) for stage in plan.stages]
        self.blocks = nn.Sequential(*stages)
        self.conv_head = convolution(last, 2) if last else nn.Identity()
        self.bn2 = norm(last, 2) if last else nn.Identity()
        self.act2 = activation(last.act if last else "none")
        self.avgpool = whole_map(2, plan.taps)
        self.classifier = self.begin_head()
        initialize(self, seed=None, zero_last=False)


class ShuffleBlock(nn.Module):
    """Half of the channels go by, or both ways halve the resolution; then channels are shuffled (figure 3c and 3d)."""

    def __init__(self, block: units.Block) -> None:
        super().__init__()
        self.halves = block.shortcut.kind == "half"
        lead, last = block.shortcut.lead, block.shortcut.layer
        self.branch1 = nn.Sequential(*unit(lead), *unit(last)) if lead and last else nn.Sequential()
        steps = [module for layer in block.branch for module in unit(layer)]
        self.branch2 = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        one, other = x, x
        if self.halves:
            one, other = x.chunk(2, 1)
        return shuffle(torch.cat([self.branch1(one), self.branch2(other)], 1))


class ShuffleNetV2(Network):
    """Images (n, channels, height, width) in, logits (n, classes) out."""

    before = ("conv1", "maxpool")
    behind = ("conv5",)

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.conv1 = nn.Sequential(*unit(plan.stem[0]))
        self.maxpool = pooling(plan.pool, plan.stem[0].c_out, 2)
        for s, stage in enumerate(plan.stages, start=2):
            self.add_module(f"stage{s}", nn.Sequential(*map(ShuffleBlock, stage)))
        self.conv5 = nn.Sequential(*unit(plan.last)) if plan.last else nn.Identity()
        self.avgpool = whole_map(2, plan.taps)
        self.fc = self.begin_head()
        initialize(self, seed=None, zero_last=False)


def inverted(block: units.Block) -> nn.Module:
    return InvertedBlock(block) if len(block.branch) == 3 else DepthwiseBlock(block)


def unit(layer: units.Layer) -> list[nn.Module]:
    """A convolution, its norm, and its activation where it has one."""
    steps = [convolution(layer, 2), norm(layer, 2)]
    return steps if layer.act == "none" else [*steps, activation(layer.act)]


def shuffle(x: Tensor) -> Tensor:
    """Channels (n, c, h, w) of the first half and the second by turns."""
    n, c, height, width = x.shape
    return x.view(n, 2, c // 2, height, width).transpose(1, 2).reshape(n, c, height, width)


def build(plan: Plan) -> Network:
    """The network that a plan lays out, with weights begun afresh."""
    kinds = {"mobilenetv2": MobileNetV2, "shufflenetv2": ShuffleNetV2}
    return kinds[plan.family](plan) if plan.family in kinds else ResNet(plan)
