"""How long a run will take and how much memory, from a few steps really taken."""

import time
from dataclasses import dataclass

import numpy as np

from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import answer
from resnetkit.engine.train import State, stream, train
from resnetkit.errors import plain
from resnetkit.job import Job, Watch, prepare
from resnetkit.run import Run
from resnetkit.runfolder import check_out

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


@dataclass(frozen=True)
class Preview:
    """What a run would do, and what it would cost: the answer to --dry-run."""

    job: Job
    forecast: Forecast

    @property
    def text(self) -> str:
        """For people, a line a subject."""
        cost = self.forecast
        rows = [
            *self.job.lines(),
            ("time", f"about {spell(cost.seconds)} on this machine as it is now ({cost.seconds_a_step:.3g} s a step)"),
            ("memory", f"about {cost.bytes / 2**20:,.0f} MiB"),
            ("notes", "; ".join(self.job.notes) or "none"),
        ]
        return "\n".join(f"{name:10s}{plain(text)}" for name, text in rows)

    def as_dict(self) -> dict[str, object]:
        decided, cost = self.job.settings, self.forecast
        return {
            "model": decided.model,
            "classes": list(decided.classes),
            "pictures": {name: len(part.labels) for name, part in self.job.parts.items()},
            "preprocess": decided.preprocess.to_json(),
            "batch": decided.batch,
            "steps": decided.steps,
            "epochs": decided.epochs,
            "lr": decided.lr,
            "weight_decay": decided.weight_decay,
            "crop": decided.crop,
            "flip": decided.flip,
            "device": str(self.job.machine.device),
            "precision": self.job.machine.precision,
            "reasons": decided.reasons,
            "seconds": cost.seconds,
            "bytes": cost.bytes,
            "notes": self.job.notes,
        }


def preview(run: Run, given: frozenset[str] = frozenset(), *, watch: Watch | None = None) -> Preview:
    """Look at the data, decide everything, try a few steps. Nothing is written."""
    check_out(run.out)
    job = prepare(run, given, watch=watch)
    return Preview(job, forecast(job))


def spell(seconds: float) -> str:
    """12 seconds, 3.5 minutes, 2.1 hours."""
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"
