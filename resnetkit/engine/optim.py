"""How the weights move: parameter groups, and which optimizer moves them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from resnetkit.engine.muon import Muon
from resnetkit.engine.schedule import momentum_at
from resnetkit.engine.trust import Lamb, Lars
from resnetkit.settings import Settings
from resnetkit.walk import HEAD, first_name, stage_name


def optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """SGD (Nesterov 1983 as in Sutskever et al. 2013), or one of those that scale each step by its past or its layer.

    Adam: Kingma & Ba 2015. AdamW: Loshchilov & Hutter 2019. RMSprop: Tieleman & Hinton 2012, lecture 6.5. Weight decay
    of SGD, Adam and RMSprop is the L2 penalty, added to the gradient; LARS scales it with the gradient, LAMB with the
    step of Adam; AdamW and Muon shrink the weights beside the step.
    """
    run, groups = settings.run, grouped(model, settings)
    nesterov = run.nesterov and run.momentum > 0
    match run.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=settings.lr, momentum=run.momentum, nesterov=nesterov)
        case "adam":
            return torch.optim.Adam(groups, lr=settings.lr)
        case "adamw":
            return torch.optim.AdamW(groups, lr=settings.lr)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=settings.lr, momentum=run.momentum)
        case "lars":
            return Lars(groups, settings.lr, run.momentum)
        case "lamb":
            return Lamb(groups, settings.lr)
        case "muon":
            return Muon(groups, settings.lr, run.momentum, nesterov)


def grouped(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """Parameters that are treated alike.

    Weight decay is for weights that multiply: norms and biases are spared (He et al. 2019, section 3.1) unless
    ``decay_all``, and so is what is pulled to where it began. ``kernel``: what LARS and LAMB scale as a layer, and Muon
    makes orthogonal, which is not meant for the first and last layer. ``scale``: of the learning rate, 1 for the head
    and less for each block before it, least for the stem (Clark et al. 2020, arXiv:2003.10555, section 3.1).
    """
    plan = settings.plan
    stages = enumerate(plan.stages)
    blocks = [f"{stage_name(plan.family, s)}.{b}." for s, stage in stages for b in range(len(stage))]
    head = HEAD[plan.family] + "."
    groups: dict[tuple[bool, bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        weight = parameter.ndim > 1
        outer = name in (f"{first_name(plan)}.weight", f"{head}weight") and settings.run.optimizer == "muon"
        height = next((n for n, block in enumerate(blocks, start=1) if name.startswith(block)), 0)
        below = 0 if name.startswith(head) else len(blocks) + 1 - height
        if parameter.requires_grad:
            alike = (weight, weight and not outer, settings.run.layer_decay**below, settings.pulls(name))
            groups.setdefault(alike, []).append(parameter)
    decay, every = settings.weight_decay, settings.run.decay_all
    return [
        {
            "params": params,
            "weight_decay": decay if (weight or every) and not pulled else 0.0,
            "kernel": kernel,
            "scale": scale,
        }
        for (weight, kernel, scale, pulled), params in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]


def tune(moved: torch.optim.Optimizer, lr: float, settings: Settings) -> None:
    """Set what changes from step to step."""
    for group in moved.param_groups:
        group["lr"] = lr * group["scale"]
        if "momentum" in group:
            group["momentum"] = momentum_at(lr, settings)


def clip(model: nn.Module, longest: float | None) -> Tensor:
    """The length of the gradient before it was cut to ``longest``."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    length = get_total_norm([p.grad for p in parameters if p.grad is not None])
    if longest is not None:
        clip_grads_with_norm_(parameters, longest, length)
    return length
