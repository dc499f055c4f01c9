"""Training: a loop that tells what happened, and a run that listens."""

import math
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from resnetkit import metrics
from resnetkit.data.batches import Batch, Examples, train_batches
from resnetkit.engine import average, memory
from resnetkit.engine.checkpoint import Snapshot
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import Answers, answer, join
from resnetkit.engine.history import Row, better, waits
from resnetkit.engine.losses import Loss, add_l1, loss_of, targets_of
from resnetkit.engine.mix import main_class, mixed
from resnetkit.engine.noise import Noise
from resnetkit.engine.optim import clip, optimizer, tune
from resnetkit.engine.schedule import lr_at
from resnetkit.engine.stop import Stop, until
from resnetkit.errors import DataError, DivergedError, some
from resnetkit.resolve import Settings
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class Tick:
    """What one step did."""

    step: int  # done so far
    lr: float
    loss: float
    gradient: float  # its length, before it was cut
    correct: int  # pictures; of those with tags the ones whose tags are all right; 0 where numbers are learned
    pictures: int


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


@dataclass
class State:
    """All that a run is between two steps: saved whole, restored whole."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0
    parts: int = 1  # in which a batch goes through the network
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "correct": 0, "seen": 0})  # of this epoch
    history: list[Row] = field(default_factory=list)
    best: Row | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: nn.Module | None = None  # of the weights, where the run keeps one
    noise: Noise | None = None

    @classmethod
    def start(cls, model: nn.Module, settings: Settings, machine: Machine) -> "State":
        model = machine.prepare(model)
        mean = average.begin(model) if settings.run.ema is not None else None
        noise = Noise(model, settings) if settings.run.dropout or settings.run.drop_path else None
        parts = settings.run.accumulate or 1
        return cls(model, optimizer(model, settings), machine.scaler(), parts=parts, average=mean, noise=noise)

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and kept."""
        return self.model if self.average is None else self.average

    def snapshot(self) -> Snapshot:
        moments = self.optimizer.state_dict()["state"]
        return Snapshot(
            tensors={
                **{f"model.{name}": value for name, value in self.model.state_dict().items()},
                **{f"best.{name}": value for name, value in self.best_weights.items()},
                **{f"average.{name}": v for name, v in (self.average.state_dict() if self.average else {}).items()},
                **{
                    f"optimizer.{i}.{name}": v
                    for i, part in moments.items()
                    for name, v in part.items()
                    if v is not None
                },
            },
            values={
                "step": self.step,
                "parts": self.parts,
                "sums": self.sums,
                "history": self.history,
                "best": self.best,
                "scaler": self.scaler.state_dict(),
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of an equal run."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "average": {}}
        for name, tensor in snapshot.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = tensor
        self.model.load_state_dict(parts["model"])
        self.best_weights = parts["best"]
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        moments: dict[int, dict[str, Any]] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, rest = name.partition(".")
            moments.setdefault(int(index), {})[rest] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for weight, kept in self.optimizer.state.items():  # in the layout of the weights, as before
            kept |= {n: torch.empty_like(weight).copy_(v) for n, v in kept.items() if v.shape == weight.shape}
        values = snapshot.values
        self.step, self.sums, self.history, self.best = (values[k] for k in ("step", "sums", "history", "best"))
        self.parts = values.get("parts", self.parts)  # checkpoints from before it was kept have none
        if values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])

    def unscored(self, settings: Settings) -> bool:
        """Whether an epoch (or the run) has ended whose row is not written."""
        ended = self.step > 0 and (self.step % settings.epoch_steps == 0 or self.step == settings.steps)
        return ended and (not self.history or self.history[-1]["step"] < self.step)

    def over(self, settings: Settings) -> bool:
        """Whether the run has all its steps, or has waited for a better epoch as long as it may."""
        patience = settings.run.patience
        tired = patience is not None and bool(self.history) and waits(self.history)[-1] >= patience
        return tired or self.step == settings.steps


def train(
    state: State, batches: Iterable[Batch], settings: Settings, machine: Machine, names: Sequence[str]
) -> Iterator[Tick]:
    """Take one optimizer step for each batch, and say what happened.

    Raises DivergedError before an update with a loss or gradient that is not finite, ResourceError where not even a
    picture at a time fits into memory.
    """
    objective = loss_of(settings, machine.device)
    for batch in batches:
        # Mid-step: neither end of the run idles at zero.
        lr = lr_at((state.step + 0.5) / settings.steps, settings, state.history)
        tune(state.optimizer, lr, settings)

        state.model.train()
        images = machine.images(batch.images, settings.preprocess)
        labels = machine.put(targets_of(batch.labels, settings))
        counts = None if batch.weights is None else machine.put(batch.weights.astype(np.float32))
        lesson = mixed(images, labels, settings, state.step, counts)
        while True:
            norms = [buffer.clone() for buffer in state.model.buffers()]
            try:
                value, correct = learn(state, lesson, objective, settings, machine)
                break
            except (RuntimeError, MemoryError) as error:
                if settings.run.accumulate is not None or not memory.is_short(error):
                    raise
            split(state, norms, settings, machine)  # out here nothing holds the pass that failed any more
        if not math.isfinite(value):
            diverged("loss", value, lr, state, batch, names)

        state.scaler.unscale_(state.optimizer)
        if settings.run.l1:
            add_l1(state.model, settings.run.l1)
        gradient = float(clip(state.model, settings.run.clip))
        if not math.isfinite(gradient) and not state.scaler.is_enabled():  # a scaler skips such a step by itself
            diverged("gradient", gradient, lr, state, batch, names)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad(set_to_none=True)

        state.step += 1
        if state.average is not None and settings.run.ema is not None:
            average.follow(state.average, state.model, settings.run.ema, state.step)
        tick = Tick(state.step, lr, value, gradient, correct, len(labels))
        state.sums["loss"] += tick.loss * tick.pictures
        state.sums["correct"] += tick.correct
        state.sums["seen"] += tick.pictures
        yield tick


def learn(
    state: State, lesson: tuple[Tensor, Tensor, Tensor | None], objective: Loss, settings: Settings, machine: Machine
) -> tuple[float, int]:
    """The gradient of a batch, part after part, left on the network; its loss, and how many answers are right.

    ``lesson`` is images, targets, and how much each picture counts. Ends at once with a loss that is not finite.
    """
    if state.noise:
        state.noise.begin(state.step)
    images, labels, counts = lesson
    value, correct, parts = 0.0, 0, passes(len(labels), state.parts, settings)
    shares = [None] * parts if counts is None else counts.tensor_split(parts)
    for few, targets, count in zip(images.tensor_split(parts), labels.tensor_split(parts), shares, strict=True):
        with machine.autocast():
            logits = state.model(few)
        loss = objective(logits.float(), targets, count) * (len(few) / len(images))
        value += float(loss.detach())
        if not math.isfinite(value):
            break
        state.scaler.scale(loss).backward()
        correct += hits(logits, targets, settings.task)
    return value, correct


def hits(logits: Tensor, targets: Tensor, task: TaskName) -> int:
    """How many pictures of a batch are answered rightly."""
    if task == "classes":
        return int((logits.argmax(1) == main_class(targets)).sum())
    return int(((logits >= 0) == (targets >= 0.5)).all(1).sum()) if task == "tags" else 0


def passes(pictures: int, parts: int, settings: Settings) -> int:
    """In how many parts a batch goes through the network; a smaller last batch in fewer."""
    return -(-min(pictures, settings.batch) * parts // settings.batch)


def split(state: State, norms: list[Tensor], settings: Settings, machine: Machine) -> None:
    """Twice as many parts, and all as it was before the step. ResourceError where a part is as small as it can be."""
    most = memory.most_parts(settings)
    if state.parts >= most:
        raise memory.none_fits(settings)
    state.parts = min(2 * state.parts, most)
    state.optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        for buffer, before in zip(state.model.buffers(), norms, strict=True):
            buffer.copy_(before)
    machine.release()


def diverged(what: str, value: float, lr: float, state: State, batch: Batch, names: Sequence[str]) -> None:
    files = some(names[i] for i in batch.index)
    raise DivergedError(
        f"the {what} became {value} at step {state.step + 1} (learning rate {lr:.3g}); nothing was updated; "
        f"the pictures of that batch: {files}",
        gentler(lr),
    )


def gentler(lr: float) -> str:
    return f"try a lower learning rate, such as --lr {lr / 10:.2g}, or --clip 1"


def stream(settings: Settings, train_set: Examples, start: int, stop: int, workers: int) -> Iterator[Batch]:
    """The batches of a run from step ``start`` up to step ``stop``."""
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
) -> Generator[Tick | Epoch | Split | Save]:
    """A run from where ``state`` stands to its end, or to where somebody stops it.

    Asks to be saved (Save) every ``run.save_every`` seconds and where it ends.
    """
    batches = stream(settings, train_set, state.step, settings.steps, workers)
    saved, pause = time.monotonic(), settings.run.save_every
    if state.unscored(settings) and (epoch := score(state, settings, machine, val_set, workers, stop)):
        yield epoch
    if state.over(settings):  # stopped or killed after the last step: what it left may be older
        yield Save()
        return
    parts = state.parts
    for tick in train(state, batches, settings, machine, train_set.names):
        yield tick
        newly = state.parts > parts  # saved, since a resumed run must not have to meet the limit at the same step
        if newly:
            parts = state.parts
            yield Split(tick.step, parts)
        if state.unscored(settings) and (epoch := score(state, settings, machine, val_set, workers, stop)):
            yield epoch
        last = bool(stop) or state.over(settings)
        if last or newly or time.monotonic() - saved >= pause:
            before = time.monotonic()
            yield Save()
            saved = time.monotonic()
            if pause:  # else every step is wanted; saving may cost a twentieth of the time
                pause = max(pause, 20 * (saved - before))
        if last:
            return


def score(
    state: State, settings: Settings, machine: Machine, val_set: Examples, workers: int, stop: Stop
) -> Epoch | None:
    """End an epoch: its row, and the weights if they are the best so far. None where a stop came first."""
    # Evaluation is in float32 here as in `eval`, so that both say the same of the same weights.
    exact = Machine(machine.device, "fp32")
    answers = join(until(stop, answer(state.judged, val_set, exact, workers)))
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
        "lr": lr_at((state.step - 0.5) / settings.steps, settings, state.history),
        "train_loss": state.sums["loss"] / seen,
        **({f"train_{right}": state.sums["correct"] / seen} if right else {}),
        **{f"val_{name}": value for name, value in figures.items()},
    }
