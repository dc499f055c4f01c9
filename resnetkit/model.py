"""The network as modules, under torchvision's names. All arithmetic is done already: see plan.py and layout.py.

He et al. 2015, "Deep residual learning for image recognition" (arXiv:1512.03385).
"""

from collections.abc import Sequence
from typing import overload

from torch import nn

from resnetkit.blocks import BLOCKS, AnyBlock, BasicBlock, Bottleneck, PlainBlock
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.layers import activation, norm, norm_of, pooling, stem, whole_map
from resnetkit.layout import lay_out
from resnetkit.network import Network
from resnetkit.plan import Plan
from resnetkit.spec import Spec

__all__ = ["BasicBlock", "Bottleneck", "PlainBlock", "ResNet"]


class ResNet(Network):
    """Stem, stages, head: images (n, channels, height, width) in, logits (n, classes) out.

    Where the plan's ndim is 0, vectors (n, channels) go in; where it is 1 or 3, series and clips.
    """

    before = ("conv1", "bn1", "relu", "maxpool")
    behind = ("norm", "act")

    norm: nn.Module
    act: nn.Module

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
        self.avgpool = whole_map(plan.ndim, plan.taps)
        self.fc = self.begin_head()
        initialize(self, seed=None, zero_last=zero_init_residual)

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
