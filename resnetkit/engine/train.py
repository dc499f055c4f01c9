"""A run from where it stands to its end: steps, an evaluation after each epoch, and when to save."""

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from resnetkit import metrics
from resnetkit.answers import Answers, join
from resnetkit.data.batches import Batch, train_batches
from resnetkit.data.examples import Examples
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import answer, answer_maps
from resnetkit.engine.history import Row, as_good, better
from resnetkit.engine.maps import Lessons, lesson_batches
from resnetkit.engine.schedule import lr_at
from resnetkit.engine.state import State
from resnetkit.engine.step import Tick, gentler, train
from resnetkit.engine.stop import Stop, until
from resnetkit.errors import DataError, DivergedError, some
from resnetkit.settings import Settings


@dataclass(frozen=True)
class Epoch:
    """What an epoch brought: a row of results.csv."""

    row: Row
    best: bool  # no epoch before was better on the validation part


@dataclass(frozen=True)
class Split:
    """Memory was short: from this step on a batch goes through the network in more parts."""

    step: int
    parts: int


@dataclass(frozen=True)
class Save:
    """Now is the time to keep a snapshot."""


def stream(
    settings: Settings, train_set: Examples, start: int, stop: int, workers: int, lessons: Lessons | None = None
) -> Iterator[Batch]:
    """The batches of a run from step ``start`` up to step ``stop``; of ``lessons``, where those stand for pictures."""
    if lessons:
        return lesson_batches(lessons, settings, train_set, start, stop)
    return train_batches(
        train_set,
        settings.augment,
        seed=settings.run.seed,
        batch=settings.batch,
        start_step=start,
        stop_step=stop,
        workers=workers,
        balanced=settings.run.sampling == "balanced",
        repeats=settings.run.repeats,
    )


def fit(
    state: State,
    settings: Settings,
    machine: Machine,
    train_set: Examples,
    val_set: Examples,
    *,
    workers: int,
    stop: Stop,
    lessons: Lessons | None = None,
    until: float | None = None,
) -> Generator[Tick | Epoch | Split | Save]:
    """A run from where ``state`` stands to its end, or to where somebody stops it.

    Asks to be saved (Save) every ``run.save_every`` seconds and where it ends. ``lessons`` stand for the pictures.
    No epoch is begun that would last beyond ``until``, a time of time.monotonic().
    """
    coming = stream(settings, train_set, state.step, settings.steps, workers, lessons)
    saved, pause = time.monotonic(), settings.run.save_every
    begun = time.monotonic()  # the epoch
    if state.unscored(settings) and (epoch := score(state, settings, machine, val_set, workers, stop, lessons)):
        yield epoch
    if state.over(settings):  # stopped or killed after the last step: what it left may be older
        yield Save()
        return
    parts = state.parts
    for tick in train(state, coming, settings, machine, train_set.names):
        yield tick
        newly = state.parts > parts  # saved, since a resumed run must not have to meet the limit at the same step
        if newly:
            parts = state.parts
            yield Split(tick.step, parts)
        if state.unscored(settings) and (epoch := score(state, settings, machine, val_set, workers, stop, lessons)):
            yield epoch
        last = bool(stop) or state.over(settings)
        if state.step % settings.epoch_steps == 0:
            now = time.monotonic()
            last |= until is not None and now + (now - begun) > until
            begun = now
        if last or newly or time.monotonic() - saved >= pause:
            before = time.monotonic()
            yield Save()
            saved = time.monotonic()
            if pause:  # else every step is wanted; saving may cost a twentieth of the time
                pause = max(pause, 20 * (saved - before))
        if last:
            return


def score(
    state: State,
    settings: Settings,
    machine: Machine,
    val_set: Examples,
    workers: int,
    stop: Stop,
    lessons: Lessons | None = None,
) -> Epoch | None:
    """End an epoch: its row, and the weights if they are the best so far. None where a stop came first."""
    # Evaluation is in float32 here as in `eval`, so that both say the same of the same weights.
    exact = Machine(machine.device, "fp32")
    asked = answer(state.judged, val_set, exact, workers)
    if lessons:
        known = val_set.labels, val_set.preprocess, exact
        asked = answer_maps(state.judged, lessons.val, lessons.stages, *known)
    answers = join(until(stop, asked))
    if stop:
        return None
    if answers.errors:
        reasons = some(why for _, why in answers.errors)
        raise DataError(
            f"{len(answers.errors)} validation pictures cannot be read any more: {reasons}",
            "put them back as they were, and resume the run",
        )
    row = epoch_row(state, settings, answers)
    lost = [name for name, value in state.model.state_dict().items() if not value.isfinite().all()]
    if lost or not math.isfinite(row["val_loss"]):
        what = f"{lost[0]} is" if lost else "the validation loss is"
        raise DivergedError(
            f"{what} not finite after step {state.step} (learning rate {row['lr']:.3g})", gentler(float(row["lr"]))
        )
    best = better(row, state.best)
    if settings.mode.name != "none":
        best = as_good(row, state.history, len(answers.labels))
    state.history.append(row)
    state.sums = {"loss": 0.0, "correct": 0, "seen": 0}
    if best:
        state.best = row
        state.best_weights = {name: value.detach().clone() for name, value in state.judged.state_dict().items()}
    return Epoch(row, best)


def epoch_row(state: State, settings: Settings, answers: Answers) -> Row:
    seen = state.sums["seen"]
    right = {"classes": "accuracy", "tags": "exact"}.get(settings.task)
    figures = metrics.judged(settings.task, answers.logits, answers.labels, settings.scale)
    return {
        "epoch": -(-state.step // settings.epoch_steps),
        "step": state.step,
        "lr": lr_at((state.step - 0.5) / settings.steps, settings, state.history) if state.step else 0.0,
        "train_loss": state.sums["loss"] / seen,
        **({f"train_{right}": state.sums["correct"] / seen} if right else {}),
        **{f"val_{name}": value for name, value in figures.items()},
    }
