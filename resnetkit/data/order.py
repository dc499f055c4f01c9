"""Which pictures an epoch shows, and in what order: a function of (seed, epoch) alone."""

import numpy as np
from numpy.typing import NDArray

from resnetkit import dice


def epoch_order(
    labels: NDArray[np.int64], *, balanced: bool, seed: int, epoch: int, repeats: int = 1
) -> NDArray[np.int64]:
    """As many places as there are pictures. Place p is picture ``p % n``, for the ``p // n``-th time in this epoch.

    ``balanced``: each class fills as many places as any other, one more or less where they do not divide evenly. Its
    pictures come equally often, once more or less; which ones come more is drawn anew each epoch.
    ``repeats``: every place is that many times in a row, so that an epoch shows only the first of the order (repeated
    augmentation: Hoffer et al. 2019, arXiv:1901.09335; Berman et al. 2019, arXiv:1902.05509, section 3.1).
    """
    n = len(labels)
    once = shown(labels, -(-n // repeats), balanced=balanced, seed=seed, epoch=epoch)
    if repeats == 1:
        return once
    again = np.arange(n)
    place = once[again // repeats]
    return place % n + n * (place // n * repeats + again % repeats)


def shown(labels: NDArray[np.int64], count: int, *, balanced: bool, seed: int, epoch: int) -> NDArray[np.int64]:
    """The first ``count`` places of an epoch in which nothing is repeated."""
    n = len(labels)
    if not balanced:
        return dice.permutation(n, seed, "order", epoch)[:count]
    present = np.unique(labels)
    lucky = dice.permutation(len(present), seed, "quota", epoch)
    places = []
    for rank, label in zip(lucky.tolist(), present.tolist(), strict=True):
        pictures = np.flatnonzero(labels == label)
        pictures = pictures[dice.permutation(len(pictures), seed, "balanced", epoch, label)]
        slots = np.arange(count // len(present) + (rank < count % len(present)))
        places.append(pictures[slots % len(pictures)] + n * (slots // len(pictures)))
    return np.concatenate(places)[dice.permutation(count, seed, "order", epoch)]
