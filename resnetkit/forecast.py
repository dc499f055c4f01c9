"""How long a run will take and how much memory, from a few steps really taken."""

import time
from dataclasses import dataclass

import numpy as np

from resnetkit.engine.device import Machine, threads
from resnetkit.engine.evaluate import answer
from resnetkit.engine.train import State, stream, train
from resnetkit.job import Job

STEPS = 12  # that are tried, unless they take more than PATIENCE
PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to cost on this machine as it is now."""

    seconds: float
    seconds_a_step: float
    bytes: int  # at the peak, of the process or of the device


def forecast(job: Job) -> Forecast:
    """Train a few steps and evaluate a few batches; the job's network is used up by it."""
    with threads(job.pass_macs):
        return measured(job)


def measured(job: Job) -> Forecast:
    state = State.start(job.model, job.settings, job.machine)
    tried = min(STEPS, job.settings.steps)
    ticks = train(
        state,
        stream(job.settings, job.sets["train"], 0, tried, job.workers),
        job.settings,
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
    epochs = -(-job.settings.steps // job.settings.epoch_steps)
    seconds = step * job.settings.steps + evaluation_seconds(job) * epochs
    return Forecast(seconds, step, job.machine.peak_memory())


def evaluation_seconds(job: Job) -> float:
    begun, count = time.monotonic(), 0
    for some_answers in answer(job.model, job.sets["val"], Machine(job.machine.device, "fp32"), job.workers):
        count += len(some_answers.labels)
        if time.monotonic() - begun > PATIENCE / 2:
            break
    return (time.monotonic() - begun) / count * len(job.sets["val"].labels)
