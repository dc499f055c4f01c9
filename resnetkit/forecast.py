"""How long a run will take and how much memory, from a few steps really taken."""

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from resnetkit import cost
from resnetkit.engine import memory
from resnetkit.engine.device import Machine, threads
from resnetkit.engine.evaluate import answer
from resnetkit.engine.maps import Frozen, Lessons
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.job import Job

STEPS = 12  # that are tried, unless they take more than PATIENCE
PATIENCE = 10.0  # seconds
MACS = 5e11  # multiply-adds of a step that a CPU tries; of larger steps a part is tried


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to cost on this machine as it is now."""

    seconds: float
    seconds_a_step: float
    seconds_an_epoch: float  # for its evaluation, beside its steps
    seconds_beside: float  # for looks at the pictures before the first step, and the figures after the last one
    bytes: int  # at the peak, of the process or of the device
    parts: int  # in which a batch goes through the network


def forecast(job: Job) -> Forecast:
    """Train a few steps and evaluate a few batches; the job's network is used up by it.

    Raises ResourceError where not even a picture fits into memory.
    """
    with threads(job.pass_macs):
        return measured(job)


def measured(job: Job) -> Forecast:
    mode, parts, begun = job.settings.mode, job.passes, job.machine.peak_memory()
    an_epoch, looks = evaluation_seconds(job), 0.0
    beside = an_epoch * len(job.sets.get("test", job.sets["val"]).labels) / len(job.sets["val"].labels)
    if mode.name != "none":
        looks = mode.views * answer_seconds(job, "train", job.machine) + an_epoch
    if mode.name == "head":
        return Forecast(looks, 0.0, 0.0, looks + beside, job.machine.peak_memory(), parts)
    few = tried_pictures(job, parts)
    whole = few == job.settings.batch
    settings = job.settings if whole else replace(job.settings, batch=few)
    state = State.start(job.model, settings, job.machine, job.teacher)
    state.parts = parts if whole else 1
    tried = min(STEPS, settings.steps)
    ticks = train(
        state,
        stream(settings, job.sets["train"], 0, tried, job.workers, blank(job) if mode.keeps_maps else None),
        settings,
        job.machine,
        job.sets["train"].names,
    )
    times = [time.monotonic()]
    for _ in ticks:
        times.append(time.monotonic())
        if times[-1] - times[0] > PATIENCE:
            break
    steps = np.diff(times)
    step = float(np.median(steps[1:] if len(steps) > 1 else steps))  # the first one also warms up
    step *= job.settings.batch / few
    epochs = -(-job.settings.steps // job.settings.epoch_steps)
    seconds = looks + step * job.settings.steps + an_epoch * epochs
    peak = job.machine.peak_memory()
    if not whole:
        part = -(-job.settings.batch // parts)
        peak = max(peak, begun + memory.need(job.settings, job.machine, job.workers).of(part))
    return Forecast(seconds, step, an_epoch, looks + beside, peak, state.parts if whole else parts)


def blank(job: Job) -> Lessons:
    """Lessons as they will be in shape; of a stretched single number, so that they take no memory."""
    stages, size = job.settings.mode.frozen, job.settings.preprocess
    one = Frozen(job.model, stages, job.machine).empty(1, size)
    train, val = (len(job.sets[part].labels) for part in ("train", "val"))
    none = torch.zeros((), dtype=one.dtype)
    return Lessons(stages, none.expand(1, train, *one.shape[1:]), none.float().expand(val, *one.shape[1:]))


def tried_pictures(job: Job, parts: int) -> int:
    """How many pictures a step is tried with: all of a batch, unless that would take too long or too much memory."""
    settings, batch = job.settings, job.settings.batch
    if job.machine.device.type != "cpu":
        return batch  # quick, and refused in good time where it is too much
    fit = -(-batch // memory.fewest_parts(settings, job.machine, job.workers))
    quick = int(
        MACS / (3 * cost.totals(settings.plan, settings.preprocess.size).macs)
    )  # back is twice as much as forth
    if quick >= batch and -(-batch // parts) <= fit:
        return batch
    return max(-(-batch // memory.most_parts(settings)), min(fit, quick))


def evaluation_seconds(job: Job) -> float:
    """Of an epoch; where maps are kept rather more than it will be."""
    return answer_seconds(job, "val", Machine(job.machine.device, "fp32"))


def answer_seconds(job: Job, part: str, machine: Machine) -> float:
    begun, count = time.monotonic(), 0
    for some_answers in answer(job.model, job.sets[part], machine, job.workers):
        count += len(some_answers.labels)
        if time.monotonic() - begun > PATIENCE / 2:
            break
    return (time.monotonic() - begun) / count * len(job.sets[part].labels)
