"""The learning rate over a run: a function of the share done, and with plateau of the epochs so far."""

import math
from collections.abc import Sequence

from resnetkit.engine.history import Row, plateaus
from resnetkit.settings import Settings


def lr_at(done: float, settings: Settings, history: Sequence[Row] = ()) -> float:
    """The learning rate after a share ``done`` of the run, 0..1: a straight rise, then the schedule.

    Cosine (Loshchilov & Hutter 2017) and linear fall to zero; multistep is multiplied by gamma at each milestone,
    plateau whenever the epochs of ``history`` brought nothing better for a while. Onecycle (Smith 2018,
    arXiv:1803.09820, section 4.1) rises from a 25th and falls to zero, along cosines as is usual since fastai.
    """
    run, warmup = settings.run, settings.warmup
    if done < warmup and run.schedule == "onecycle":
        return settings.lr * (1 + 24 * (1 - math.cos(math.pi * done / warmup)) / 2) / 25
    if done < warmup:
        return settings.lr * done / warmup
    match run.schedule:
        case "multistep":
            return settings.lr * run.gamma ** sum(done >= milestone for milestone in run.milestones)
        case "plateau":
            return settings.lr * run.gamma ** plateaus(history, run.plateau_epochs)
        case "linear":
            return settings.lr * (1 - (done - warmup) / (1 - warmup))
    return settings.lr * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup))) / 2


def momentum_at(lr: float, settings: Settings) -> float:
    """Momentum at a learning rate: under onecycle a tenth less where the rate is highest (Smith 2018, section 4.2)."""
    run = settings.run
    return run.momentum * (1 - 0.1 * lr / settings.lr) if run.schedule == "onecycle" else run.momentum
