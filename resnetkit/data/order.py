"""Which pictures an epoch shows, and in what order: a function of (seed, epoch) alone."""

import numpy as np
from numpy.typing import NDArray

from resnetkit import dice


def epoch_order(labels: NDArray[np.int64], *, balanced: bool, seed: int, epoch: int) -> NDArray[np.int64]:
    """As many places as there are pictures. Place p is picture ``p % n``, for the ``p // n``-th time in this epoch.

    ``balanced``: each class fills as many places as any other, one more or less where they do not divide evenly. Its
    pictures come equally often, once more or less; which ones come more is drawn anew each epoch.
    """
    n = len(labels)
    mixed = dice.permutation(n, seed, "order", epoch)
    if not balanced:
        return mixed
    present = np.unique(labels)
    lucky = dice.permutation(len(present), seed, "quota", epoch)
    places = []
    for rank, label in zip(lucky.tolist(), present.tolist(), strict=True):
        pictures = np.flatnonzero(labels == label)
        pictures = pictures[dice.permutation(len(pictures), seed, "balanced", epoch, label)]
        slots = np.arange(n // len(present) + (rank < n % len(present)))
        places.append(pictures[slots % len(pictures)] + n * (slots // len(pictures)))
    return np.concatenate(places)[mixed]
