"""The network as modules, under torchvision's names. All arithmetic is done already: see plan.py.

He et al. 2015, "Deep residual learning for image recognition" (arXiv:1512.03385).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from resnetkit import plan as plans
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.plan import Plan, lay_out, with_io
from resnetkit.pyramid import Level, default_cfg, pyramid, take
from resnetkit.recompute import walk
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
        for name, step in self.steps():
            x = walk(name, step, x, self.grad_checkpointing)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The mean of a map, and with it the logits unless ``pre_logits``."""
        x = torch.flatten(self.avgpool(x), 1) if self.pools else x
        return x if pre_logits else self.fc(x)

    @overload
    def get_classifier(self, name_only: Literal[False] = False) -> nn.Module: ...
    @overload
    def get_classifier(self, name_only: Literal[True]) -> str: ...
    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        return "fc" if name_only else self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head, begun afresh, where the network is; 0 leaves the features.

        They are pooled with ``global_pool`` "avg", the last map itself with ""; None leaves that as it is.
        """
        pools = self.pools if global_pool is None else global_pool == "avg"
        if global_pool not in (None, "avg", ""):
            raise UsageError(f"global_pool cannot be {global_pool!r}", "use 'avg', or '' for the last map itself")
        if num_classes and not pools:
            raise UsageError(f"a head of {num_classes} classes needs a pool", "give global_pool='avg'")
        self.plan = with_io(self.plan, classes=num_classes)
        self.pools = pools
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

    # What those need who use the network as a backbone, as timm has it.

    pools: bool = True  # whether the last map is averaged
    grad_checkpointing: bool = False  # whether the inner maps of blocks are computed again instead of kept
    seen: Mapping[str, Any] | None = None  # what timm calls size, mean, std, ... of the weights, where they are known

    def steps(self) -> list[tuple[str, nn.Module]]:
        """Every module from the input to the last map, by name, in the order of use."""
        stem = ["conv1", "bn1", "relu"] if "bn1" in self._modules else ["conv1"]
        stages = [f"layer{s}" for s in range(1, len(self.plan.stages) + 1)]
        last = ["norm", "relu"] if "norm" in self._modules else []  # of networks with norms before convolutions
        return [(name, self.get_submodule(name)) for name in (*stem, "maxpool", *stages, *last)]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Sequence[int] | int | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The last map and a list of those of ``indices``, in their order; with ``intermediates_only`` the list alone.

        ``indices`` are all, the last n, or those of ``feature_info``. ``norm`` asks for the last norm of networks that
        have one; others end in norms as it is. With ``stop_early`` nothing is computed behind the last map asked for.
        Raises UsageError for a map that is not there.
        """
        if output_fmt != "NCHW":
            raise UsageError(f"maps come as NCHW, not {output_fmt!r}", "permute them: x.permute(0, 2, 3, 1)")
        names = [level["module"] for level in pyramid(self.plan)]
        wanted = [names[i] for i in take(len(names), indices)]
        last = max(wanted, key=names.index)
        found = {}
        for name, step in self.steps():
            x = walk(name, step, x, self.grad_checkpointing)
            if name in wanted and name not in found:
                found[name] = x
            if stop_early and name == last and last != names[-1]:
                break
        if norm and names[-1] in found:
            found[names[-1]] = x
        maps = [found[name] for name in wanted]
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self, indices: Sequence[int] | int = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take away what the maps of ``indices`` do not need, and say which those are, counted from 0.

        The first stage stays. Where a later one goes the head goes too, and the answer is the last map that is left.
        """
        taken = take(len(self.plan.stages) + 1, indices)
        kept = max(1, *taken)
        gone = range(kept + 1, len(self.plan.stages) + 1)
        for s in gone:
            delattr(self, f"layer{s}")
        self.plan = replace(self.plan, stages=self.plan.stages[:kept])
        if "norm" in self._modules and (gone or prune_norm):
            self.norm = nn.Identity()  # it has the width of the last stage
        if gone or prune_head:
            self.reset_classifier(0, "")
        return taken

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training computes the inner maps of blocks again instead of keeping them; gradients are the same."""
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that part the parameters by depth, for timm's learning rates of layers."""
        stage = r"^layer(\d+)"
        blocks = stage if coarse else [(stage + r"\.(\d+)", None), (r"^norm", (99999,))]  # timm's number for: as before
        return {"stem": r"^(?:conv1|bn1|maxpool)", "blocks": blocks}

    @property
    def feature_info(self) -> list[Level]:
        return pyramid(self.plan)

    @property
    def head_hidden_size(self) -> int:
        return self.num_features

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        return default_cfg(self.plan, self.seen or {})

    @property
    def default_cfg(self) -> dict[str, Any]:
        return self.pretrained_cfg

    def __prepare_scriptable__(self) -> nn.Module:
        """The same modules in a row for torch.jit.script, which knows no loop over names."""
        pool = [("avgpool", self.avgpool), ("flatten", nn.Flatten())] if self.pools else []
        steps = [*self.steps(), *pool, ("fc", self.fc)]
        row, names = nn.Sequential(), [name for name, _ in steps]
        for i, (name, step) in enumerate(steps):
            row.add_module(f"{name}_{i}" if name in names[:i] else name, step)
        return row


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
