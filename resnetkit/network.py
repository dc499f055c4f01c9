"""What every network here is to those who use it: features, then a head; and a backbone, as timm's users know it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor, nn

from resnetkit.errors import UsageError
from resnetkit.layers import whole_map
from resnetkit.plan import Plan, with_io
from resnetkit.pyramid import Level, default_cfg, pyramid, take
from resnetkit.recompute import walk
from resnetkit.walk import HEAD, first_name, stage_name


class Network(nn.Module):
    """Images (n, channels, height, width), or what has other sides, to logits (n, classes)."""

    before: ClassVar[tuple[str, ...]]  # the modules that x goes through ahead of the stages
    behind: ClassVar[tuple[str, ...]]  # and after them, up to the last map

    plan: Plan
    avgpool: nn.Module
    pools: bool = True  # whether the last map is averaged
    drop_rate: float = 0.0  # share of the features that training leaves out before the head, as in timm
    grad_checkpointing: bool = False  # whether the inner maps of blocks are computed again instead of kept
    seen: Mapping[str, Any] | None = None  # what timm calls size, mean, std, ... of the weights, where they are known

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map: (n, num_features, height / reduction, width / reduction); (n, num_features) of vectors.

        Where the head sees several maps (``plan.taps``), all that it sees: (n, head_hidden_size).
        """
        return self.onward(x, 0)

    def onward(self, x: Tensor, stages: int) -> Tensor:
        """As ``forward_features``, of the map behind the first ``stages`` stages; of images where that is 0."""
        steps, start, taps = self.steps(), len(self.before) + stages if stages else 0, self.plan.taps
        tapped = [stage_name(self.plan.family, s) for s in range(taps.first, len(self.plan.stages) - 1)] if taps else []
        seen = [self.pooled(x)] if stages and steps[start - 1][0] in tapped else []
        for name, step in steps[start:]:
            x = walk(name, step, x, self.grad_checkpointing)
            if name in tapped:
                seen.append(self.pooled(x))
        return torch.cat([*seen, self.pooled(x)], 1) if taps else x

    def pooled(self, x: Tensor) -> Tensor:
        """The mean of a map, or of each of its cells: (n, channels * cells); under autocast in float32."""
        return torch.flatten(self.avgpool(x.float() if torch.is_autocast_enabled(x.device.type) else x), 1)

    def forward_first(self, x: Tensor, stages: int) -> Tensor:
        """The map behind the first ``stages`` stages; ``forward_rest`` makes logits of it."""
        for name, step in self.steps()[: len(self.before) + stages]:
            x = walk(name, step, x, self.grad_checkpointing)
        return x

    def forward_rest(self, x: Tensor, stages: int) -> Tensor:
        """The map behind the first ``stages`` stages to logits (n, classes); of all stages, features."""
        if stages == len(self.plan.stages):
            return self.get_classifier()(x)
        return self.forward_head(self.onward(x, stages))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The mean of the last map, and with it the logits unless ``pre_logits``; of what several maps gave, these."""
        x = torch.flatten(self.avgpool(x), 1) if self.pools and not self.plan.taps else x
        x = nn.functional.dropout(x, self.drop_rate, self.training) if self.drop_rate else x
        return x if pre_logits else self.get_classifier()(x)

    def steps(self) -> list[tuple[str, nn.Module]]:
        """Every module from the input to the last map, by name, in the order of use."""
        stages = (stage_name(self.plan.family, s) for s in range(len(self.plan.stages)))
        return [(name, self.get_submodule(name)) for name in (*self.before, *stages, *self.behind)]

    def begin_head(self) -> nn.Module:
        """A head for as many classes as the plan has, with weights as torch begins them."""
        return nn.Linear(self.plan.features, self.plan.classes) if self.plan.classes else nn.Identity()

    @overload
    def get_classifier(self, name_only: Literal[False] = False) -> nn.Module: ...
    @overload
    def get_classifier(self, name_only: Literal[True]) -> str: ...
    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        name = HEAD[self.plan.family]
        return name if name_only else self.get_submodule(name)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new head, begun afresh, where the network is; 0 leaves the features.

        They are pooled with ``global_pool`` "avg", the last map itself with ""; None leaves that as it is.
        Raises UsageError for a number or a pool that cannot be meant.
        """
        pools = self.pools if global_pool is None else global_pool == "avg"
        if global_pool not in (None, "avg", ""):
            raise UsageError(f"global_pool cannot be {global_pool!r}", "use 'avg', or '' for the last map itself")
        if num_classes and not pools:
            raise UsageError(f"a head of {num_classes} classes needs a pool", "give global_pool='avg'")
        try:
            self.plan = with_io(self.plan, classes=num_classes)
        except ValueError as error:
            raise UsageError(f"num_classes cannot be {num_classes!r}: {error}", "use a whole number from 0") from error
        self.pools = pools
        if not pools:  # the answer is the last map, and no other
            self.plan, self.avgpool = replace(self.plan, taps=None), whole_map(self.plan.ndim)
        like = self.get_parameter(f"{first_name(self.plan)}.weight")
        setattr(self, HEAD[self.plan.family], self.begin_head().to(like.device, like.dtype).train(self.training))

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
        names = [level["module"] for level in self.feature_info]
        wanted = [names[i] for i in take(len(names), indices)]
        last = max(wanted, key=names.index)
        found = {}
        for name, step in self.steps():
            x = walk(name, step, x, self.grad_checkpointing)
            if name in wanted and name not in found:
                found[name] = x
            if stop_early and name == last and last != names[-1]:
                break
        if norm and names[-1] in found and self.plan.norm:
            found[names[-1]] = x
        maps = [found[name] for name in wanted]
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self, indices: Sequence[int] | int = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Take away what the maps of ``indices`` do not need, and say which those are, counted from 0.

        The first stage stays. Where a later one goes the head goes too, and the answer is the last map that is left.
        """
        levels = self.feature_info
        taken = take(len(levels), indices)
        stages = [stage_name(self.plan.family, s) for s in range(len(self.plan.stages))]
        kept = max([1] + [stages.index(levels[i]["module"]) + 1 for i in taken if levels[i]["module"] in stages])
        gone = range(kept, len(self.plan.stages))
        for s in gone:
            parent, _, leaf = stage_name(self.plan.family, s).rpartition(".")
            delattr(self.get_submodule(parent), leaf)
        if (self.plan.norm or self.plan.last) and (gone or prune_norm):
            for name in self.behind:  # it has the width of the last stage
                setattr(self, name, nn.Identity())
        norm = replace(self.plan.norm, channels=self.plan.stages[kept - 1][-1].c_out) if self.plan.norm else None
        last = None if gone or prune_norm else self.plan.last
        taps = None if gone or prune_head else self.plan.taps  # a head that sees stages needs them all
        self.plan = replace(self.plan, stages=self.plan.stages[:kept], norm=norm, last=last, taps=taps)
        if gone or prune_head:
            self.reset_classifier(0, "")
        return taken

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training computes the inner maps of blocks again instead of keeping them; gradients are the same."""
        self.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that part the parameters by depth, for timm's learning rates of layers."""
        stage = "^" + stage_name(self.plan.family, 0).rstrip("0123456789").replace(".", r"\.") + r"(\d+)"
        behind = rf"^(?:{'|'.join(self.behind)})"
        blocks = stage if coarse else [(stage + r"\.(\d+)", None), (behind, (99999,))]  # timm's number for: as before
        return {"stem": rf"^(?:{'|'.join(self.before)})", "blocks": blocks}

    @property
    def num_features(self) -> int:
        """Channels of the last map."""
        return self.plan.width

    @property
    def head_hidden_size(self) -> int:
        """Numbers that the head sees of a picture."""
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

    @property
    def feature_info(self) -> list[Level]:
        return pyramid(self.plan)

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        return default_cfg(self.plan, self.seen or {})

    @property
    def default_cfg(self) -> dict[str, Any]:
        return self.pretrained_cfg

    def __prepare_scriptable__(self) -> nn.Module:
        """The same modules in a row for torch.jit.script, which knows no loop over names."""
        if self.plan.taps:
            raise UsageError("torch.jit.script knows no head that sees several maps", "torch.jit.trace or torch.export")
        pool = [("avgpool", self.avgpool), ("flatten", nn.Flatten())] if self.pools else []
        row = nn.Sequential()
        for name, step in [*self.steps(), *pool, (self.get_classifier(name_only=True), self.get_classifier())]:
            row.add_module(name.replace(".", "_"), step)
        return row
