"""What a network goes without in the training loops of others: features before the head, and whole branches.

Numbers are drawn from torch's own generator, as timm draws them; what runs here draw is a function of the step, and is
engine.noise.
"""

from functools import partial

import torch
from torch import Tensor, nn

from resnetkit.errors import UsageError
from resnetkit.init import branch_ends
from resnetkit.network import Network


def drop(network: Network, features: float, branches: float) -> None:
    """Leave out features before the head, and in each block its branch for some of the pictures, in training alone.

    The chance of branches rises evenly from 0 in the first block to ``branches`` in the last (Huang et al. 2016,
    arXiv:1603.09382). Raises UsageError for a chance that is none, or that could have no effect.
    """
    for name, rate in (("drop_rate", features), ("drop_path_rate", branches)):
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise UsageError(f"{name} is {rate!r}", f"give {name} as a share from 0 to less than 1")
    network.drop_rate = float(features)
    ends = branch_ends(network) if branches else []
    if branches and len(ends) < 2:
        raise UsageError("drop_path_rate is for networks with several branches beside shortcuts", "leave it out")
    for place, last in enumerate(ends[1:], start=1):
        last.register_forward_hook(partial(left_out, branches * place / (len(ends) - 1)))


def left_out(rate: float, module: nn.Module, _: object, out: Tensor) -> Tensor | None:
    """All or nothing of each picture (n, c, h, w); what stays is as much stronger."""
    if not module.training:
        return None
    kept = torch.empty((len(out),) + (1,) * (out.ndim - 1), dtype=out.dtype, device=out.device).bernoulli_(1 - rate)
    return out * kept.div_(1 - rate)
