"""What small networks say of pictures that they did not learn from: one from nothing for each fold."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from resnetkit import cost, metrics
from resnetkit.answers import answered, at_once, join
from resnetkit.data.batches import train_batches
from resnetkit.data.examples import Examples, eval_batches, examples
from resnetkit.data.parts import Source
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.survey import moments
from resnetkit.engine.device import Machine, threads
from resnetkit.engine.evaluate import forward
from resnetkit.engine.state import State
from resnetkit.engine.step import Tick, train
from resnetkit.errors import DataError, DivergedError, many, some
from resnetkit.init import initialize
from resnetkit.mirror import looked_twice
from resnetkit.mobilenets import build
from resnetkit.resolve import SMALL, resolve
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings
from resnetkit.spans import clock
from resnetkit.trouble.features import Watch, shown_parts
from resnetkit.walk import strides_of_a_point

Tell = Callable[[str], None]

# Tried on 2,000 pictures of Fashion-MNIST: resnet20 takes three times as long, and so many steps twice are no better.
QUICK = Run(model="resnet8", weights="none", batch=64, lr=0.1, weight_decay=1e-3, smoothing=0.0, crop="pad")
STEPS = 250  # for each network: enough to tell classes apart, too few to know thousands of pictures by heart
EPOCHS = 3, 40  # at least of much data, at most of little
WARM = 5  # steps, by which the time of all is told


@dataclass(frozen=True)
class Course:
    """How every network learns."""

    settings: Settings
    machine: Machine
    folds: int

    @classmethod
    def of(cls, source: Source, shapes: NDArray[np.int32], folds: int, machine: Machine) -> "Course":
        """For pictures of these stored ``shapes`` (n, 3): small ones of one size keep it, others are made small."""
        pictures = len(shapes) - math.ceil(len(shapes) / folds)
        sizes = np.unique(shapes[:, :2], axis=0)
        uniform = (int(sizes[0, 0]), int(sizes[0, 1])) if len(sizes) == 1 and sizes.max() <= SMALL else None
        epochs = min(max(EPOCHS[0], math.ceil(STEPS * (QUICK.batch or 1) / pictures)), EPOCHS[1])
        run = replace(QUICK, data=source.location, epochs=epochs, size=None if uniform else SMALL)
        facts = Facts(
            pictures=pictures,
            classes=source.classes,
            uniform=uniform,
            channels=source.channels,
            has_val=True,
            arrays=source.arrays,
        )
        settings = resolve(run, frozenset(), facts)
        if machine.device.type == "cpu" and strides_of_a_point(settings.plan, settings.preprocess.size):
            machine = Machine(machine.device, "fp32")  # as in training
        return cls(settings, machine, folds)

    def said(self, seconds_a_step: float) -> str:
        """What is going to happen, and how long it will take."""
        height, width = self.settings.preprocess.size
        return (
            f"{self.folds} networks ({self.settings.model}, {height}x{width}) learn from nothing to judge labels, "
            f"{self.settings.steps:,} steps of {self.settings.batch} pictures each: "
            f"about {clock(seconds_a_step * self.settings.steps * self.folds)}"
        )


def learned(
    course: Course,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    workers: int,
    watch: Watch | None = None,
    tell: Tell | None = None,
) -> NDArray[np.float64]:
    """Probabilities (n, classes) from networks, of which each learned without the pictures (n, h, w, c) it is asked.

    Each answers to a picture and to its mirror image, unless the classes are digits or letters. ``tell`` hears, after
    a few steps, how long all will take. Raises DivergedError where a network loses its loss.
    """
    mean, std = moments(np.array_split(pixels, len(pixels) // 4096 + 1))
    preprocess = replace(course.settings.preprocess, mean=mean, std=std)
    settings = replace(course.settings, preprocess=preprocess)
    found = np.zeros((len(labels), len(settings.classes)))
    exact = Machine(course.machine.device, "fp32")
    with threads(cost.totals(settings.plan, preprocess.size).macs * settings.batch):
        for fold in range(course.folds):
            known, asked = (
                Examples(names=[""] * len(rows), labels=labels[rows], preprocess=preprocess, stack=pixels[rows])
                for rows in (np.flatnonzero(folds != fold), np.flatnonzero(folds == fold))
            )
            state = begun(course, settings, fold)
            times = [time.monotonic()]
            for _ in steps(state, course, settings, known, workers):
                times.append(time.monotonic())
                if tell and not fold and state.step == min(WARM, settings.steps):
                    tell(course.said(float(np.median(np.diff(times)))))
                if watch:
                    looks = settings.steps * settings.batch
                    watch(fold * looks + state.step * settings.batch, course.folds * looks)
            ask = partial(forward, state.judged.eval(), preprocess=preprocess, machine=exact)
            twice = partial(looked_twice, ask, temperature=1.0) if settings.flip else ask
            logits = join(answered(twice, asked, workers)).logits
            found[folds == fold] = metrics.softmax(logits)
    return found


def begun(course: Course, settings: Settings, fold: int) -> State:
    """A network of its own for each fold."""
    model = build(settings.plan)
    initialize(model, seed=fold, zero_last=settings.run.zero_init)
    return State.start(model, settings, course.machine)


def steps(state: State, course: Course, settings: Settings, known: Examples, workers: int) -> Iterator[Tick]:
    """Those of one network, on pictures that it may learn from."""
    batches = train_batches(
        known, settings.augment, seed=0, batch=settings.batch, start_step=0, stop_step=settings.steps, workers=workers
    )
    try:
        yield from train(state, batches, settings, course.machine, known.names)
    except DivergedError as error:
        raise DivergedError(f"a network that was to judge labels is lost: {error.what}", "--model MODEL") from error


def pixels_of(
    source: Source, chosen: NDArray[np.bool_], preprocess: Preprocess, workers: int, watch: Watch | None = None
) -> NDArray[np.uint8]:
    """The ``chosen`` pictures (n,) as networks see them, (k, h, w, c). DataError where one cannot be read any more."""
    found, done, total = [], 0, int(chosen.sum())
    for part, _ in shown_parts(source, chosen):
        for index, images, _, errors in eval_batches(
            examples(part, preprocess), batch=at_once(preprocess), workers=workers
        ):
            if errors:
                raise DataError(
                    f"{many(len(errors), 'picture')} cannot be read any more: {some(why for _, why in errors)}",
                    "put them back as they were, and check again",
                )
            found.append(images)
            done += len(index)
            if watch:
                watch(done, total)
    return np.concatenate(found)
