"""What the head of a network sees of the pictures of a source, kept as training keeps it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import mapstore
from resnetkit.data.augment import Augment
from resnetkit.data.batches import examples
from resnetkit.data.parts import Source, subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.maps import Frozen, maps_of
from resnetkit.engine.stop import Stop


@dataclass(frozen=True)
class Judge:
    """A network whose features tell classes apart, and the pictures as it takes them."""

    frozen: Frozen  # all stages
    preprocess: Preprocess


def features_of(
    judge: Judge,
    source: Source,
    good: NDArray[np.bool_],
    digests: Sequence[str],
    workers: int,
    watch: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, list[str]]:
    """Features (k, d), float32, of the ``good`` pictures (n,) in their order, and notes. ``digests`` are of the files.

    What was computed before, here or in training, is taken from the store of maps.
    """
    found, notes, start, done, total = [], list[str](), 0, 0, int(good.sum())
    for part in source.parts.values():
        some = np.flatnonzero(good[start : start + len(part.names)]).astype(np.int64)
        names = [digests[start + i] for i in some.tolist()]
        start += len(part.names)
        shown = examples(subset(part, some), judge.preprocess)
        kept = mapstore.store(judge.frozen.key(shown))
        looks = maps_of(judge.frozen, shown, names, Augment(), kept, views=1, seed=0, workers=workers, stop=Stop())
        while True:
            try:
                looked = next(looks)
            except StopIteration as end:
                found.append(end.value[0])
                break
            if watch:
                watch(done + looked.done, total)
        done += len(some)
        notes += [*kept.notes, *mapstore.bound(keep=kept.folder)]
    return torch.cat(found), notes
