"""Pictures to learn from, on their way to the network: a batch is a function of (seed, step), whoever computes it."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.augment import Augment, draws, pad_and_flip, repaint, resized_crop
from resnetkit.data.examples import Examples, ahead, fitted
from resnetkit.data.order import epoch_order
from resnetkit.data.parts import Labels
from resnetkit.errors import DataError


@dataclass(frozen=True)
class Batch:
    """What one step learns from."""

    index: NDArray[np.int64]  # places among the examples
    images: Any  # uint8 (n, h, w, c), not normalized; or maps, as a tensor (n, c, h, w)
    labels: Labels
    weights: NDArray[np.float64] | None = None


def steps_per_epoch(n: int, batch: int) -> int:
    return len(bounds(n, batch))


def bounds(n: int, batch: int) -> list[tuple[int, int]]:
    """Where each batch of an epoch begins and ends; a remainder of one joins the batch before, for its statistics."""
    starts = list(range(0, n, batch))
    if n % batch == 1 and len(starts) > 1 and batch > 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True)) if n else []


def train_batches(
    examples: Examples,
    augment: Augment,
    *,
    seed: int,
    batch: int,
    start_step: int,
    stop_step: int,
    workers: int,
    balanced: bool = False,
    repeats: int = 1,
) -> Iterator[Batch]:
    """The batches of the steps ``start_step`` to ``stop_step`` (excluded), made ahead by threads.

    ``balanced``: every class comes as often as any other. ``repeats``: every picture comes that many times in a row,
    each time varied otherwise. A picture that cannot be read raises DataError. Closing or dropping the iterator ends
    the threads.
    """
    n = len(examples.labels)
    if not n:
        raise DataError("there are no pictures to train on", "add pictures to train")
    cuts = bounds(n, batch)

    @lru_cache(maxsize=4)
    def order(epoch: int) -> NDArray[np.int64]:
        return epoch_order(examples.labels, balanced=balanced, seed=seed, epoch=epoch, repeats=repeats)

    def make(step: int, stop: threading.Event) -> Batch | None:
        epoch, place = divmod(step, len(cuts))
        fates = order(epoch)[slice(*cuts[place])]  # a picture that comes again in an epoch is varied otherwise
        index = fates % n
        images = varied(examples, index, fates, augment, stop, seed=seed, epoch=epoch)
        if images is None:
            return None
        weights = None if examples.weights is None else examples.weights[index]
        return Batch(index, images, examples.labels[index], weights)

    yield from ahead(make, range(start_step, stop_step), workers)


def varied(
    examples: Examples,
    index: NDArray[np.int64],
    fates: NDArray[np.int64],
    augment: Augment,
    stop: threading.Event,
    *,
    seed: int,
    epoch: int,
) -> NDArray[np.uint8] | None:
    """Training pictures, each varied by the numbers of its fate; None if told to stop."""
    preprocess, u = examples.preprocess, draws(fates, seed=seed, epoch=epoch)
    if augment.crop == "resized":
        images = np.empty((len(index), *preprocess.size, preprocess.channels), np.uint8)
        for k, i in enumerate(index.tolist()):
            if stop.is_set():
                return None
            images[k] = resized_crop(examples.pixels(i), u[k], augment, preprocess)
    else:
        fit = fitted(examples, index, stop)
        if fit is None:
            return None
        images = fit
    fill = np.rint(np.array(preprocess.mean) * 255).clip(0, 255).astype(np.uint8)
    images = pad_and_flip(images, u, augment, fill)
    return repaint(images, fates, augment, fill, seed=seed, epoch=epoch)
