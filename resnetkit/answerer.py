"""A model that answers, whatever runs it: pictures in, predictions and evaluations out."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import metrics
from resnetkit.answers import Answers, Ask, Heat, Pictures, answered, at_once, stacked
from resnetkit.data.decode import MAX_PIXELS, decode
from resnetkit.data.examples import examples
from resnetkit.data.lists import Columns
from resnetkit.data.parts import Part
from resnetkit.errors import KitError, UsageError, WeightsError
from resnetkit.inputs import Input, each, expand, usual_workers
from resnetkit.mirror import asking
from resnetkit.modelfile import Card
from resnetkit.prediction import Prediction, meant


class Answerer(ABC):
    """What answers with the classes, tags or numbers of a card."""

    card: Card
    folder: Path | None  # of its run, or wherever its file is

    @abstractmethod
    def ask(self, images: Pictures) -> NDArray[np.float32]:
        """Logits (n, classes) of ``n`` pictures as ``seen`` leaves them."""

    @property
    @abstractmethod
    def runs_on(self) -> str:
        """What runs it, in words."""

    def heat(self) -> Heat | None:
        """A picture under the heat of an answer, by the answer's name; None where there is no such thing."""
        return None

    def seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded picture (height, width, 1 or 3) as ``ask`` takes it."""
        return self.card.preprocess.apply(pixels)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def predict(
        self,
        paths: Input | Iterable[Input],
        *,
        top: int | None = None,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        mirror: bool = False,
    ) -> list[Prediction]:
        """One Prediction for each input, in order: files, folders (all pictures below), patterns, or a picture's bytes.

        ``top`` likeliest classes are named, five if nothing is said; of tags those with a probability of at least a
        half, or ``top`` of them. With ``mirror`` probabilities are the mean of those of the picture and of its
        mirror image.
        What cannot be read becomes a Prediction with an error; nothing is left out or put in its place.
        Raises UsageError where ``top`` is no number of classes.
        """
        return list(self.predictions(paths, top=top, workers=workers, max_pixels=max_pixels, mirror=mirror))

    def predictions(
        self,
        paths: Input | Iterable[Input],
        *,
        top: int | None = None,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        mirror: bool = False,
    ) -> Iterator[Prediction]:
        """As predict, but each answer as soon as it is there."""
        ask = asking(self.card, self.ask, mirror)
        if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
            raise UsageError(f"top is {top!r}, not a whole number of at least 1", "leave it out for 5")
        if top is not None and self.card.task == "numbers":
            raise UsageError("this model answers with numbers, of which none is likelier", "leave top out")
        for names, read in self._reading(paths, workers, max_pixels):
            yield from self._answer(names, read, top, ask, mirror)

    def _reading(
        self, paths: Input | Iterable[Input], workers: int | None, max_pixels: int
    ) -> Iterator[tuple[list[str], list[NDArray[np.uint8] | str]]]:
        """Names, and the pictures as the network takes them or why not, as many as are answered at a time."""
        inputs = expand(each(paths))
        with ThreadPoolExecutor(usual_workers(workers) or 1) as threads:
            while some_inputs := list(islice(inputs, at_once(self.card.preprocess))):
                read = list(threads.map(partial(self._read, max_pixels), some_inputs))
                yield [name for name, _ in some_inputs], read

    def _read(self, max_pixels: int, item: tuple[str, Path | bytes | str]) -> NDArray[np.uint8] | str:
        """The picture as the network takes it, or why not."""
        name, source = item
        if isinstance(source, str):
            return source
        try:
            picture = decode(source, name, channels=self.card.preprocess.channels, max_pixels=max_pixels)
            return self.seen(picture.pixels)
        except KitError as error:
            return error.what

    def _answer(
        self, names: Sequence[str], read: Sequence[NDArray[np.uint8] | str], top: int | None, ask: Ask, mirror: bool
    ) -> Iterator[Prediction]:
        images = [pixels for pixels in read if not isinstance(pixels, str)]
        answers: Iterator[tuple[tuple[str, float], ...]] = iter(())
        if images:
            logits = ask(stacked(images))
            self.refuse_overflow(logits)
            answers = meant(logits, self.card, top)
        for name, pixels in zip(names, read, strict=True):
            if isinstance(pixels, str):
                yield Prediction(name, error=pixels, task=self.card.task)
            else:
                top_ones = next(answers)
                unknown = None if self.card.reject is None else top_ones[0][1] < self.card.reject.threshold
                yield Prediction(name, top_ones, task=self.card.task, unknown=unknown, mirror=mirror)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Of each class, for pictures as the preprocessing leaves them: (n, h, w, c) to (n, classes)."""
        logits = self.ask(images)
        self.refuse_overflow(logits)
        return metrics.softmax(logits, self.card.temperature)

    def evaluate(
        self,
        data: str | os.PathLike[str],
        split: str | None = None,
        *,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        columns: Columns | None = None,
        watch: Callable[[int, int], None] | None = None,
        mirror: bool = False,
        group_pattern: str | None = None,
    ) -> Any:
        """Every picture of one part of ``data``: ``split``, else test, else val.

        An Evaluation, or for a model of tags or numbers a TagEvaluation or a NumberEvaluation.

        ``columns`` says which column of a list holds what, where it is not as in training. Intervals and slices are of
        whole groups where ``columns.group`` or ``group_pattern`` says what belongs together, or the model remembers.
        ``mirror`` is as in predict. ``watch`` is told how many of how many pictures are done.
        Raises DataError where the part is not to be had, UsageError for what the model has no use for.
        """
        from resnetkit.examining import examine

        return examine(
            self,
            data,
            split,
            workers=workers,
            max_pixels=max_pixels,
            columns=columns,
            watch=watch,
            mirror=mirror,
            group_pattern=group_pattern,
        )

    def answers(self, part: Part, ask: Ask, workers: int) -> Iterator[Answers]:
        """What ``ask`` answers to every picture of a part, as many at a time as go through at once."""
        return answered(ask, examples(part, self.card.preprocess), workers)

    def refuse_overflow(self, logits: NDArray[np.float32]) -> None:
        """Weights can be finite and their answers not."""
        if not np.isfinite(logits / np.float32(self.card.temperature)).all():
            raise WeightsError(f"the answers of this {self.card.model} are not finite", "use another model file")
