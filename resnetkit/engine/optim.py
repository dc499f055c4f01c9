"""How the weights move: parameter groups, optimizers, and the learning rate as a function of the share done."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from resnetkit.resolve import Settings


def optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD (Nesterov 1983 as in Sutskever et al. 2013) or AdamW (Loshchilov & Hutter 2019).

    Weight decay is for weights that multiply: norms and biases are spared (He et al. 2019, section 3.1).
    """
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    run = settings.run
    if run.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr)
    nesterov = run.nesterov and run.momentum > 0
    return torch.optim.SGD(groups, lr=settings.lr, momentum=run.momentum, nesterov=nesterov)


def lr_at(done: float, settings: Settings) -> float:
    """The learning rate after a share ``done`` of the run, 0..1: a straight rise, then the schedule.

    Cosine falls to zero (Loshchilov & Hutter 2017); multistep is multiplied by gamma at each milestone.
    """
    run = settings.run
    if done < run.warmup:
        return settings.lr * done / run.warmup
    if run.schedule == "multistep":
        return settings.lr * run.gamma ** sum(done >= milestone for milestone in run.milestones)
    return settings.lr * (1 + math.cos(math.pi * (done - run.warmup) / (1 - run.warmup))) / 2


def clip(model: nn.Module, longest: float | None) -> Tensor:
    """The length of the gradient before it was cut to ``longest``."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    length = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if longest is not None:
        clip_grads_with_norm_(parameters, longest, length)
    return length
