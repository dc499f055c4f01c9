"""What a network goes without while it learns: features before the head, and whole residual branches.

It hangs on the modules from outside: the network itself, its names and its answers know nothing of it.
"""

import torch
from torch import Tensor, nn

from resnetkit.dice import address
from resnetkit.init import branch_ends, last_convolutions, plan_of
from resnetkit.settings import Settings
from resnetkit.walk import HEAD


class Noise:
    """Numbers drawn on the CPU in the order of the network, begun anew at each step: the same on every device."""

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.seed, self.draws = settings.run.seed, torch.Generator()
        if settings.run.dropout:
            self.silence_features(model.get_submodule(HEAD[plan_of(model).family]), settings.run.dropout)
        for inner in last_convolutions(model) if settings.run.inner_dropout else []:
            self.silence_features(inner, settings.run.inner_dropout)
        ends = branch_ends(model) if settings.run.drop_path else []
        for place, last in enumerate(ends, start=1):
            self.silence_branch(last, settings.run.drop_path * place / len(ends))

    def begin(self, step: int) -> None:
        self.draws.manual_seed(address(self.seed, "noise", step))

    def silence_features(self, layer: nn.Module, rate: float) -> None:
        """Dropout (Srivastava et al. 2014): what stays of each number that comes in is made up for."""

        def before(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
            return (given[0] * self.kept(given[0].shape, given[0], rate),) if module.training else None

        layer.register_forward_pre_hook(before)

    def silence_branch(self, last: nn.Module, rate: float) -> None:
        """Stochastic depth (Huang et al. 2016, arXiv:1603.09382): of each picture (n, c, h, w) all or nothing.

        As is usual since, each picture has its own fate, and the branch is stronger in training, not weaker after it.
        """

        def after(module: nn.Module, _: object, out: Tensor) -> Tensor | None:
            return (
                out * self.kept(torch.Size((len(out),) + (1,) * (out.ndim - 1)), out, rate) if module.training else None
            )

        last.register_forward_hook(after)

    def kept(self, shape: torch.Size, like: Tensor, rate: float) -> Tensor:
        """0 with a chance of ``rate``, else 1 / (1 - rate), so that the mean stays."""
        mask = (torch.rand(shape, generator=self.draws) >= rate).float().div_(1 - rate)
        return mask.to(like.device, like.dtype)
