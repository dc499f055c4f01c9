"""Steps of the optimizer, one for each batch: in parts where memory asks for it, and none where the loss is lost."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from resnetkit.data.batches import Batch
from resnetkit.engine import average, memory
from resnetkit.engine.device import Machine
from resnetkit.engine.losses import Loss, add_l1, loss_of, targets_of
from resnetkit.engine.mix import main_class, mixed
from resnetkit.engine.optim import clip, tune
from resnetkit.engine.schedule import lr_at
from resnetkit.engine.state import State
from resnetkit.engine.teacher import see, taught
from resnetkit.errors import DivergedError, some
from resnetkit.layers import BATCH_NORMS
from resnetkit.settings import Settings
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

        awaken(state.model, settings)
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
        if state.pull:
            state.pull.add()
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


def awaken(model: nn.Module, settings: Settings) -> None:
    """Into the mode of learning, but for batch norms that are to keep their statistics."""
    model.train()
    if settings.freeze_norms:
        for module in model.modules():
            if isinstance(module, BATCH_NORMS):
                module.eval()


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
        if state.teacher:
            told = state.teacher.answer(few, settings, machine)
            own = see(state.model, few, machine)
            logits, loss = own.logits, taught(settings, objective, own, told, targets, count)
        else:
            with machine.autocast():
                maps = settings.mode.keeps_maps
                logits = state.model.forward_rest(few, settings.mode.frozen) if maps else state.model(few)
            loss = objective(logits.float(), targets, count)
        loss = loss * (len(few) / len(images))
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
