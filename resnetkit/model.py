"""The network as modules, under torchvision's names. All arithmetic is done already: see plan.py.

He et al. 2015, "Deep residual learning for image recognition" (arXiv:1512.03385).
"""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn

from resnetkit import plan as plans
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.plan import Plan, lay_out, with_io
from resnetkit.spec import Spec


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (figure 5, left)."""

    def __init__(self, block: plans.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second = block.branch
        self.conv1, self.bn1 = convolution(first, ndim), norm(first, ndim)
        self.conv2, self.bn2 = convolution(second, ndim), norm(second, ndim)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = bridge(block.shortcut, ndim)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut (figure 5, right)."""

    def __init__(self, block: plans.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second, third = block.branch
        self.conv1, self.bn1 = convolution(first, ndim), norm(first, ndim)
        self.conv2, self.bn2 = convolution(second, ndim), norm(second, ndim)
        self.conv3, self.bn3 = convolution(third, ndim), norm(third, ndim)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = bridge(block.shortcut, ndim)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and no shortcut (figure 3, middle): what residual learning is compared with."""

    def __init__(self, block: plans.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second = block.branch
        self.conv1, self.bn1 = convolution(first, ndim), norm(first, ndim)
        self.conv2, self.bn2 = convolution(second, ndim), norm(second, ndim)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)))


class PadShortcut(nn.Module):
    """Every stride-th point, and zeros for the new channels: option A of section 3.3, which has no parameters."""

    def __init__(self, stride: int, pad: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.pad
        return nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, after))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, pad={self.pad}"


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck, "plain": PlainBlock}
AnyBlock = type[BasicBlock] | type[Bottleneck] | type[PlainBlock]


class ResNet(nn.Module):
    """Stem, stages, head: images (n, channels, height, width) in, logits (n, classes) out.

    Where the plan's ndim is 0, vectors (n, channels) go in.
    """

    @overload
    def __init__(self, block: Plan, *, zero_init_residual: bool = False) -> None: ...
    @overload
    def __init__(
        self, block: AnyBlock, layers: Sequence[int], num_classes: int = 1000, zero_init_residual: bool = False
    ) -> None: ...
    def __init__(
        self,
        block: Plan | AnyBlock,
        layers: Sequence[int] | None = None,
        num_classes: int | None = None,
        zero_init_residual: bool = False,
    ) -> None:
        """Build a plan, or what torchvision builds from a block and the depth of each stage."""
        super().__init__()
        self.plan = plan = as_plan(block, layers, num_classes)
        self.conv1, self.bn1 = convolution(plan.stem[0], plan.ndim), norm(plan.stem[0], plan.ndim)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = pooling(plan.pool)
        for s, stage in enumerate(plan.stages, start=1):
            self.add_module(f"layer{s}", nn.Sequential(*(BLOCKS[block.kind](block, plan.ndim) for block in stage)))
        self.avgpool: nn.Module = nn.AdaptiveAvgPool2d((1, 1)) if plan.ndim else nn.Identity()
        self.fc: nn.Module = nn.Linear(plan.features, plan.classes) if plan.classes else nn.Identity()
        initialize(self, seed=None, zero_last=zero_init_residual)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map: (n, num_features, height / reduction, width / reduction); (n, num_features) of vectors."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for s in range(1, len(self.plan.stages) + 1):
            x = self.get_submodule(f"layer{s}")(x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The mean of a map, and with it the logits unless ``pre_logits``."""
        x = torch.flatten(self.avgpool(x), 1)
        return x if pre_logits else self.fc(x)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int) -> None:
        """A new head, begun afresh, where the network is; 0 leaves the pooled features."""
        self.plan = with_io(self.plan, classes=num_classes)
        like = self.conv1.weight
        head = nn.Linear(self.num_features, num_classes, device=like.device, dtype=like.dtype) if num_classes else None
        self.fc = (head or nn.Identity()).train(self.training)

    @property
    def num_features(self) -> int:
        return self.plan.features

    @property
    def num_classes(self) -> int:
        return self.plan.classes

    @property
    def in_chans(self) -> int:
        return self.plan.channels

    @property
    def act1(self) -> nn.Module:
        return self.relu

    @property
    def global_pool(self) -> nn.Module:
        return self.avgpool


def as_plan(block: Plan | AnyBlock, layers: Sequence[int] | None, num_classes: int | None) -> Plan:
    """The plan that the arguments of ``ResNet`` mean."""
    if isinstance(block, Plan):
        if layers is not None or num_classes is not None:
            raise UsageError("a Plan brings its own layers and classes", "change it first: with_io(plan, classes=...)")
        return block
    if block not in BLOCKS.values():
        raise UsageError(f"ResNet cannot be built from {block!r}", "give it a Plan, or BasicBlock or Bottleneck")
    if layers is None:
        raise UsageError("ResNet does not know how deep to be", "give layers, as in ResNet(BasicBlock, [2, 2, 2, 2])")
    spec = Spec(
        block="bottleneck" if block is Bottleneck else "basic",
        depths=tuple(layers),
        widths=tuple(64 * 2**s for s in range(len(layers))),
        shortcut="none" if block is PlainBlock else "project",
        classes=1000 if num_classes is None else num_classes,
    )
    return lay_out(spec)


def convolution(layer: plans.Layer, ndim: int) -> nn.Conv2d | nn.Linear:
    if ndim == 0:
        return nn.Linear(layer.c_in, layer.c_out, bias=layer.bias)
    return nn.Conv2d(
        layer.c_in,
        layer.c_out,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
    )


def norm(layer: plans.Layer, ndim: int) -> nn.Module:
    if layer.eps is None:
        return nn.Identity()
    return nn.BatchNorm2d(layer.c_out, eps=layer.eps) if ndim else nn.BatchNorm1d(layer.c_out, eps=layer.eps)


def pooling(pool: plans.Pool | None) -> nn.Module:
    return nn.Identity() if pool is None else nn.MaxPool2d(pool.kernel, pool.stride, pool.padding)


def bridge(shortcut: plans.Shortcut, ndim: int) -> nn.Module | None:
    """What x goes through on its way to the sum; nothing where its shape stays."""
    if shortcut.layer is not None:
        return nn.Sequential(convolution(shortcut.layer, ndim), norm(shortcut.layer, ndim))
    if shortcut.kind != "pad":
        return None
    return PadShortcut(shortcut.stride, shortcut.pad) if ndim else nn.ZeroPad1d(shortcut.pad)
