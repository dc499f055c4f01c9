"""The network as modules, under torchvision's names. All arithmetic is done already: see plan.py and layout.py.

He et al. 2015, "Deep residual learning for image recognition" (arXiv:1512.03385).
"""

from collections.abc import Sequence
from typing import overload

import torch
from torch import Tensor, nn

from resnetkit.blocks import BLOCKS, AnyBlock, BasicBlock, Bottleneck, PlainBlock
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.layers import activation, norm, norm_of, pooling, stem, whole_map
from resnetkit.layout import lay_out
from resnetkit.plan import Plan, with_io
from resnetkit.spec import Spec
from resnetkit.walk import HEAD, first_name, stage_name

__all__ = ["BasicBlock", "Bottleneck", "Network", "PlainBlock", "ResNet"]


class Network(nn.Module):
    """What every network here is to those who use it: features, then a head. Its parts are its own."""

    plan: Plan
    avgpool: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, height, width), or what has other sides, to logits (n, classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map: (n, num_features, height / reduction, width / reduction); (n, num_features) of vectors."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The mean of a map, and with it the logits unless ``pre_logits``."""
        x = torch.flatten(self.avgpool(x), 1)
        return x if pre_logits else self.get_classifier()(x)

    def through_stages(self, x: Tensor) -> Tensor:
        for s in range(len(self.plan.stages)):
            x = self.get_submodule(stage_name(self.plan.family, s))(x)
        return x

    def begin_head(self) -> nn.Module:
        """A head for as many classes as the plan has, with weights as torch begins them."""
        return nn.Linear(self.plan.features, self.plan.classes) if self.plan.classes else nn.Identity()

    def get_classifier(self) -> nn.Module:
        return self.get_submodule(HEAD[self.plan.family])

    def reset_classifier(self, num_classes: int) -> None:
        """A new head, begun afresh, where the network is; 0 leaves the pooled features."""
        self.plan = with_io(self.plan, classes=num_classes)
        like = self.get_parameter(f"{first_name(self.plan)}.weight")
        head = self.begin_head().to(like.device, like.dtype).train(self.training)
        setattr(self, HEAD[self.plan.family], head)

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
    def global_pool(self) -> nn.Module:
        return self.avgpool


class ResNet(Network):
    """Stem, stages, head: images (n, channels, height, width) in, logits (n, classes) out.

    Where the plan's ndim is 0, vectors (n, channels) go in; where it is 1 or 3, series and clips.
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
        last = plan.stem[-1]
        self.conv1, self.bn1, self.relu = stem(plan.stem, plan.ndim), norm(last, plan.ndim), activation(last.act)
        self.maxpool = pooling(plan.pool, last.c_out, plan.ndim)
        for s, stage in enumerate(plan.stages, start=1):
            self.add_module(f"layer{s}", nn.Sequential(*(BLOCKS[block.kind](block, plan.ndim) for block in stage)))
        end = plan.norm
        self.norm = norm_of(end.norm, end.channels, end.eps, plan.ndim) if end else nn.Identity()
        self.act = activation(end.act if end else "none")
        self.avgpool = whole_map(plan.ndim)
        self.fc = self.begin_head()
        initialize(self, seed=None, zero_last=zero_init_residual)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map: (n, num_features, height / reduction, width / reduction); (n, num_features) of vectors."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.act(self.norm(self.through_stages(x)))

    @property
    def act1(self) -> nn.Module:
        return self.relu


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
