"""Labelled pictures, and how they reach a network that is asked about them: each once, in order, read ahead."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture
from resnetkit.data.parts import Labels, Part
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import DataError

T = TypeVar("T")
Examined = tuple[NDArray[np.int64], NDArray[np.uint8], Labels, list[tuple[int, str]]]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Pictures and labels to learn from or to be examined with: all in ``stack``, or read one by one."""

    names: Sequence[str]
    labels: Labels
    preprocess: Preprocess
    stack: NDArray[np.uint8] | None = None  # (n, h, w, c)
    read: Callable[[int], Picture] | None = None
    weights: NDArray[np.float64] | None = None  # (n,) how much each picture counts, 1 on average

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """One picture as it is stored (h, w, c); raises DataError where it cannot be read."""
        if self.stack is not None:
            return self.stack[i]
        assert self.read is not None
        return self.read(i).pixels


def examples(part: Part, preprocess: Preprocess, *, stack: NDArray[np.uint8] | None = None) -> Examples:
    """The pictures of a part; ``stack`` holds the pixels of all of them, if they are at hand."""
    weights = None if part.weights is None else part.weights / (part.weights.mean() or 1.0)
    return Examples(
        names=part.names, labels=part.labels, preprocess=preprocess, stack=stack, read=part.read, weights=weights
    )


def eval_batches(examples: Examples, *, batch: int, workers: int) -> Iterator[Examined]:
    """Every picture once and in order: (index, images, labels, errors).

    A picture that cannot be read is in ``errors``, with its place and the reason, and nowhere else.
    """

    def make(start: int, stop: threading.Event) -> Examined | None:
        errors: list[tuple[int, str]] = []
        index = np.arange(start, min(start + batch, len(examples.labels)), dtype=np.int64)
        images = fitted(examples, index, stop, errors)
        if images is None:
            return None
        index = np.setdiff1d(index, np.array([i for i, _ in errors], np.int64))
        return index, images, examples.labels[index], errors

    yield from ahead(make, range(0, len(examples.labels), batch), workers)


def ahead(make: Callable[[int, threading.Event], T | None], items: range, workers: int) -> Iterator[T]:
    """What ``make`` makes of each item, in order, a few of them ahead in threads."""
    stop = threading.Event()
    if workers < 1:
        for item in items:
            made = make(item, stop)
            assert made is not None
            yield made
        return
    pool = ThreadPoolExecutor(workers, "batches")
    waiting: deque[Future[T | None]] = deque()
    todo = iter(items)
    try:
        while True:
            for item in islice(todo, workers + 1 - len(waiting)):
                waiting.append(pool.submit(make, item, stop))
            if not waiting:
                return
            made = waiting.popleft().result()
            assert made is not None
            yield made
            del made  # the batch is the caller's now, and is not kept alive here
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def fitted(
    examples: Examples,
    index: NDArray[np.int64],
    stop: threading.Event,
    errors: list[tuple[int, str]] | None = None,
) -> NDArray[np.uint8] | None:
    """Pictures as evaluation sees them (n, h, w, c), without those that go to ``errors``; None if told to stop."""
    preprocess = examples.preprocess
    if examples.stack is not None and unchanged(preprocess, examples.stack.shape[1:]):
        return examples.stack[index]
    images = np.empty((len(index), *preprocess.size, preprocess.channels), np.uint8)
    count = 0
    for i in index.tolist():
        if stop.is_set():
            return None
        try:
            images[count] = preprocess.apply(examples.pixels(i))
            count += 1
        except DataError as error:
            if errors is None:
                raise
            errors.append((i, error.what))
    return images[:count]


def unchanged(preprocess: Preprocess, shape: tuple[int, ...]) -> bool:
    """Whether pictures of this shape are already as the network sees them."""
    if shape != (*preprocess.size, preprocess.channels):
        return False
    return preprocess.resize != "crop" or preprocess.crop == 1
