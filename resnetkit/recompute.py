"""Maps that are forgotten on the way and computed again on the way back: less memory, the same gradients."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

STAGES = ("layer", "blocks.", "stage")  # how the modules that hold blocks are called


def walk(name: str, step: nn.Module, x: Tensor, again: bool) -> Tensor:
    """``x`` through one step of a network; with ``again`` the inner maps of the blocks of a stage are not kept."""
    if not (again and name.startswith(STAGES)):
        return step(x)
    for block in step.children():
        x = recomputed(block, x)
    return x


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """What ``block`` answers; its inner maps are not kept (Chen et al. 2016, arXiv:1604.06174).

    A block that runs twice shows its norms each batch twice. Running statistics move on the first run alone, as they
    do without recomputing; torch's checkpoint by itself moves them on both.
    """
    if torch.compiler.is_compiling():  # whose graph writes into a buffer once, however often it computes
        return checkpoint(block, x, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), buffers_as_they_are(block)

    return checkpoint(block, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def buffers_as_they_are(block: nn.Module) -> Iterator[None]:
    """Whatever is written into buffers goes into copies, which are then dropped."""
    own = [(module, name, buffer) for module in block.modules() for name, buffer in module.named_buffers(recurse=False)]
    for module, name, buffer in own:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in own:
            setattr(module, name, buffer)
