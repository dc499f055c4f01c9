"""A run that has to be over in time: what learns, and how long, so that it is."""

import copy
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from resnetkit.errors import UsageError
from resnetkit.forecast import Forecast, forecast
from resnetkit.job import Job, kept
from resnetkit.mobilenets import build
from resnetkit.resolve import resolve
from resnetkit.settings import Settings
from resnetkit.spans import clock, duration
from resnetkit.weights import put

SHARE = 0.8  # of the time that is planned with: machines are not always as quick as they were a moment ago
BESIDE = 5.0  # seconds for tables and pictures
LEAST = 5  # epochs that are worth while behind a head that is solved


@dataclass(frozen=True)
class Planned:
    """A job that fits, and why it is this one."""

    job: Job
    said: str


def planned(job: Job, given: frozenset[str], spent: float) -> Planned:
    """The job in the time that its run allows, ``spent`` seconds of which are over; its run names what was decided.

    Where fine-tuning is free, the mode that suits the data, or the next cheaper one; then fewer steps.
    Raises UsageError where not even the least is to be done in time.
    """
    budget = job.settings.run.budget
    assert budget is not None
    room = SHARE * duration(budget, "budget") - BESIDE - spent
    told: list[str] = []
    enough: list[int] = []  # seconds, for each candidate, for the least of it that is worth while
    for settings in candidates(job, given):
        name = settings.mode.name
        here = fitted(job, settings)
        cost = forecast(replace(here, model=copy.deepcopy(here.model)))
        what = name if name != "none" else "all of it"
        if whole(settings, cost) <= room:
            why = f" ({settings.mode.reason})" if settings.mode.reason else ""
            return settled(here, settings, budget, [*told, f"{what} is done{why}"])
        seconds = whole(settings, cost)
        told.append(f"{what} would take about {clock(seconds)} (--budget {asked(settings, cost, spent)}s is enough)")
        least = 1 if name == "none" else min(settings.steps, LEAST * settings.epoch_steps)
        enough.append(asked(replace(settings, steps=least if settings.steps else 0), cost, spent))
        if not settings.steps:
            continue
        steps = int((room - cost.seconds_beside) / (cost.seconds_a_step + cost.seconds_an_epoch / settings.epoch_steps))
        if steps >= least:
            text = f"it gets {steps:,} of {settings.steps:,} steps"
            return settled(here, replace(settings, steps=steps), budget, [*told, text])
    raise UsageError(f"nothing is to be done within {budget}: {', '.join(told)}", f"--budget {min(enough)}s")


def fitted(job: Job, settings: Settings) -> Job:
    """The job with other settings, and with the network of these where its head sees other maps."""
    if settings.plan == job.settings.plan:
        return replace(job, settings=settings)
    model = build(settings.plan)
    head = f"{model.get_classifier(name_only=True)}."
    put(model, {name: value for name, value in job.model.state_dict().items() if not name.startswith(head)})
    return replace(job, settings=settings, model=model, card=replace(job.card, plan=settings.plan))


def asked(settings: Settings, cost: Forecast, spent: float) -> int:
    """The least budget in which a run like this is done, in seconds."""
    return math.ceil((whole(settings, cost) + BESIDE + spent) / SHARE)


def whole(settings: Settings, cost: Forecast) -> float:
    """Seconds of a run, its last figures too."""
    epochs = math.ceil(settings.steps / settings.epoch_steps)
    return cost.seconds_beside + settings.steps * cost.seconds_a_step + epochs * cost.seconds_an_epoch


def candidates(job: Job, given: frozenset[str]) -> Iterator[Settings]:
    """The settings of the run; where it leaves open what learns, those of cheaper modes behind them.

    A mode in which something that was ``given`` could have no effect is none of them.
    """
    settings = job.settings
    yield settings
    if settings.mode.name == "none" or settings.run.finetune != "auto":
        return
    cheaper: dict[str, tuple[Literal["stages", "head"], ...]] = {"full": ("stages", "head"), "stages": ("head",)}
    for name in cheaper.get(settings.mode.name, ()):
        run = replace(settings.run, finetune=name)
        with suppress(UsageError):
            found = resolve(run, given, job.facts, job.begun)
            yield replace(found, preprocess=settings.preprocess, fresh=settings.fresh)


def settled(job: Job, settings: Settings, budget: str, told: list[str]) -> Planned:
    """The job with its run named in full, so that it can be repeated and gone on with on any machine."""
    run, mode = replace(settings.run, budget=None), replace(settings.mode, reason="")
    if mode.name != "none":
        run = replace(run, finetune=mode.name, views=mode.views)
    if settings.steps:
        run = replace(run, steps=settings.steps)
    settings = replace(settings, run=run, mode=mode, reasons=settings.reasons | {"steps": f"within {budget}"})
    card = replace(job.card, run=job.card.run | kept(run) | {"teacher": job.card.run.get("teacher")})
    return Planned(replace(job, settings=settings, card=card), f"within {budget}: {', '.join(told)}")
