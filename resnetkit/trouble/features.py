"""What the head of a network sees of the pictures of a source, kept as training keeps it."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import mapstore
from resnetkit.data.augment import Augment
from resnetkit.data.batches import examples
from resnetkit.data.decode import Picture
from resnetkit.data.parts import Part, Source, subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.survey import digest_of
from resnetkit.engine.maps import Frozen, Looked, maps_of
from resnetkit.engine.stop import Stop

Watch = Callable[[int, int], None]


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
    watch: Watch | None = None,
) -> tuple[Tensor, list[str]]:
    """Features (k, d), float32, of the ``good`` pictures (n,) in their order, and notes. ``digests`` are of the files.

    Each is the mean of what a picture and its mirror image have, unless the classes are digits or letters. What was
    computed before, here or in training, is taken from the store of maps.
    """
    sides = (False,) if all(len(name) == 1 and name.isalnum() for name in source.classes) else (False, True)
    found, notes, start, done = [], list[str](), 0, 0
    for part in source.parts.values():
        some = np.flatnonzero(good[start : start + len(part.names)]).astype(np.int64)
        names = [digests[start + i] for i in some.tolist()]
        start += len(part.names)
        if not len(some):
            continue
        summed = torch.zeros(())
        for mirror in sides:
            shown = examples(mirrored(subset(part, some)) if mirror else subset(part, some), judge.preprocess)
            keys = [digest_of(f"{name} mirrored".encode()) for name in names] if mirror else names
            kept = mapstore.store(judge.frozen.key(shown))
            looks = maps_of(judge.frozen, shown, keys, Augment(), kept, views=1, seed=0, workers=workers, stop=Stop())
            summed = summed + whole(looks, done, len(sides) * int(good.sum()), watch)[0]
            done += len(some)
            notes += [*kept.notes, *mapstore.bound(keep=kept.folder)]
        found.append(summed / len(sides))
    return torch.cat(found), notes


def whole(looks: Generator[Looked, None, Tensor | None], done: int, total: int, watch: Watch | None) -> Tensor:
    """The maps at the end of their making, of which ``watch`` hears."""
    while True:
        try:
            looked = next(looks)
        except StopIteration as end:
            return end.value
        if watch:
            watch(done + looked.done, total)


def mirrored(part: Part) -> Part:
    """The same pictures with left and right exchanged."""
    return replace(part, read=lambda i: Picture(part.read(i).pixels[:, ::-1]))
