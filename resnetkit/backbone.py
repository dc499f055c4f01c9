"""Networks without their heads, for those who need maps: timm's features_only, and maps by name."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from resnetkit.errors import UsageError, nearest
from resnetkit.mobile import Mobile
from resnetkit.network import Network
from resnetkit.pyramid import FeatureInfo, take
from resnetkit.recompute import walk
from resnetkit.spec import Spec

STRIDES = (8, 16, 32)
HEADLESS = ("num_classes", "classifier")  # of a network's cfg: what its backbone does not have


class Backbone(nn.Module):
    """Images (n, channels, height, width) in, the maps of ``out_indices`` out, in their order.

    Its parameters have the names that they have in the network, of which it keeps what those maps need.
    ``feature_info`` says channels, reductions and module names, as in timm.
    """

    def __init__(self, model: Network, out_indices: Sequence[int] | int | None = None) -> None:
        """Take the modules of ``model``, not copies. UsageError for a map that is not there."""
        super().__init__()
        levels = model.feature_info
        taken = take(len(levels), out_indices)
        self.feature_info = FeatureInfo(levels, taken)
        self.out_indices = tuple(taken)
        self.grad_checkpointing = model.grad_checkpointing
        self.pretrained_cfg = {key: value for key, value in model.pretrained_cfg.items() if key not in HEADLESS}
        last = levels[max(taken)]["module"]
        self.order = [name for name, _ in model.steps()]
        self.order = self.order[: self.order.index(last) + 1]
        for name in self.order:
            parent, _, leaf = name.rpartition(".")
            if parent and parent not in self._modules:
                self.add_module(parent, nn.Sequential())
            self.get_submodule(parent).add_module(leaf, model.get_submodule(name))

    def forward(self, x: Tensor) -> list[Tensor]:
        wanted = self.feature_info.module_name()
        found = {}
        for name in self.order:
            x = walk(name, self.get_submodule(name), x, self.grad_checkpointing)
            if name in wanted:
                found[name] = x
        return [found[name] for name in wanted]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Whether training computes the inner maps of blocks again instead of keeping them; gradients are the same."""
        self.grad_checkpointing = enable

    @property
    def default_cfg(self) -> dict[str, Any]:
        return self.pretrained_cfg


def with_output_stride(spec: Spec | Mobile, output_stride: int) -> Spec | Mobile:
    """The same network whose last map is not coarser than this: strides become dilation (as in DeepLab)."""
    if output_stride not in STRIDES:
        raise UsageError(f"output_stride cannot be {output_stride!r}", f"use {', '.join(map(str, STRIDES))}")
    if output_stride == max(STRIDES):
        return spec
    if isinstance(spec, Mobile):
        raise UsageError("light networks have no dilation", "leave output_stride out")
    return replace(spec, output_stride=output_stride)


def features(model: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """What the modules called ``names`` answer while ``x`` goes through ``model``, in this order.

    Each is a copy, since a ReLU in place may follow, and gradients flow through it. Raises UsageError for a module that
    is not there, or that does not run exactly once, as the ReLU that a block uses again and again.
    """
    names = [names] if isinstance(names, str) else names
    modules, seen = dict(model.named_modules()), {name: list[Tensor]() for name in names}
    for name in names:
        if name not in modules:
            raise UsageError(
                f"there is no module {name!r}{nearest(name, modules)}", "choose a name of model.named_modules()"
            )
    hooks = [modules[name].register_forward_hook(partial(keep, seen[name])) for name in seen]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    for name, answers in seen.items():
        if len(answers) != 1:
            raise UsageError(f"{name} runs {len(answers)} times in one pass", "name the module before it, or its block")
    return {name: answer for name, (answer,) in seen.items()}


def keep(answers: list[Tensor], _module: nn.Module, _inputs: object, answer: Tensor) -> None:
    answers.append(answer.clone())
