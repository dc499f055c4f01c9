"""Maps that are forgotten on the way and computed again on the way back: less memory, the same gradients."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def walk(name: str, step: nn.Module, x: Tensor, again: bool) -> Tensor:
    """``x`` through one step of a network; with ``again`` the inner maps of the blocks of a stage are not kept."""
    if not (again and name.startswith("layer")):
        return step(x)
    for block in step.children():
        x = recomputed(block, x)
    return x


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """What ``block`` answers; its inner maps are not kept (Chen et al. 2016, arXiv:1604.06174).

    A block that runs twice shows its norms each batch twice. Running statistics move on the first run alone, as they
    do without recomputing; torch's checkpoint by itself moves them on both.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), settled(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def settled(module: nn.Module) -> Iterator[None]:
    """Norms keep their running statistics as they are."""
    moving = [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and norm.track_running_stats]
    for norm in moving:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in moving:
            norm.track_running_stats = True
