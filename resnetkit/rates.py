"""Which learning rate a run could begin with: found on its own data, network and augmentation, in a few steps."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetkit import download
from resnetkit.engine import lrfinder
from resnetkit.engine.device import threads
from resnetkit.engine.lrfinder import Curve, steps_of
from resnetkit.engine.maps import Lessons
from resnetkit.engine.state import State
from resnetkit.engine.stop import Stop
from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.files import hint
from resnetkit.job import Job, Watch, prepare
from resnetkit.lessons import begin
from resnetkit.report.results import write_rates
from resnetkit.run import Run
from resnetkit.runfolder import check_out

__all__ = ["Rates", "ready", "refuse_unused", "search", "steps_of"]
LENGTH, RISE = "a search has a length of its own", "the rate of a search rises from step to step"
NOTHING = "nothing of a search is trained to the end and kept"
UNUSED = {
    "lr": "it is what is looked for",
    **dict.fromkeys(("epochs", "steps", "patience"), LENGTH),
    **dict.fromkeys(("schedule", "warmup", "milestones", "plateau_epochs", "gamma"), RISE),
    **dict.fromkeys(("ema", "save_every", "tensorboard"), NOTHING),
}


@dataclass(frozen=True)
class Rates:
    """What a search found: ``suggested``, the loss at each of the ``rates`` it tried, and that loss smoothed."""

    suggested: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    files: tuple[Path, ...]  # that were written

    def as_dict(self) -> dict[str, Any]:
        about = {"suggested": self.suggested, "rates": self.rates, "losses": self.losses, "smooth": self.smooth}
        return about | {"files": [str(path) for path in self.files]}


def refuse_unused(given: Collection[str]) -> None:
    for name, why in UNUSED.items():
        if name in given:
            raise UsageError(f"--{name.replace('_', '-')} would have no effect: {why}", "leave it out")


def ready(
    run: Run, given: frozenset[str], *, watch: Watch | None = None, fetching: download.Watch | None = None
) -> Job:
    """The job of a run whose rate is looked for. Errors as of training, and for what plays no part in a search."""
    refuse_unused(given)
    check_out(run.out)
    steps = {"lr"} if run.finetune == "auto" else set()  # who looks for a rate means to take steps
    job = prepare(run, given | steps, watch=watch, fetching=fetching)
    if job.settings.mode.name == "head":
        raise UsageError("a head is solved and has no learning rate", "--finetune stages or full")
    return job


def search(job: Job) -> Rates:
    """Try the rates; the job's network is used up by it. Writes lr.png and lr.csv into ``out``, if the run names one.

    Raises DivergedError where the loss falls at no rate.
    """
    state = State.start(job.model, job.settings, job.machine, job.teacher)
    state.parts = job.passes
    with threads(job.pass_macs):
        lessons = begun(job, state)
        points = list(lrfinder.search(state, job.settings, job.machine, job.sets["train"], job.workers, lessons))
    curve = lrfinder.suggest(points)
    rates, losses = (tuple(values) for values in zip(*((p.rate, p.loss) for p in points), strict=True))
    return Rates(curve.suggested, rates, losses, curve.smooth, kept(curve, job.settings.run.out))


def begun(job: Job, state: State) -> Lessons | None:
    """What a run that fine-tunes has before its first step."""
    events = begin(job, state, Stop(), has_head=False)
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value if job.settings.mode.keeps_maps else None


def kept(curve: Curve, out: str | None) -> tuple[Path, ...]:
    if out is None:
        return ()
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"the folder {plain(out)} could not be made: {error.strerror}", hint(error)) from error
    return write_rates(Path(out), curve)
