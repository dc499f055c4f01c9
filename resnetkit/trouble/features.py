"""What the head of a network sees of the pictures of a source, kept as training keeps it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import mapstore
from resnetkit.data.augment import Augment
from resnetkit.data.decode import Picture
from resnetkit.data.examples import examples
from resnetkit.data.parts import Part, Source, subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.survey import digest_of
from resnetkit.engine.device import Machine
from resnetkit.engine.maps import Frozen, Looked, maps_of
from resnetkit.engine.solve import MOST_AXES
from resnetkit.engine.stop import Stop
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.units import Taps
from resnetkit.weights import put

Watch = Callable[[int, int], None]
CELLS = (2, 1)  # along each side of each map


@dataclass(frozen=True)
class Judge:
    """A network whose features tell classes apart, and the pictures as it takes them."""

    frozen: Frozen  # all stages
    preprocess: Preprocess

    @classmethod
    def of(cls, network: Network, machine: Machine, preprocess: Preprocess) -> "Judge":
        """By what the last two stages see, in as many cells as are soon solved on; else by what the head sees.

        Of pictures as it learned from, the mean of the last map says as much; of others much less.
        """
        plan = network.plan
        for cells in CELLS:
            wide = replace(plan, taps=Taps(max(0, len(plan.stages) - 2), cells))
            if wide.features <= MOST_AXES:
                seer, head = build(wide), f"{network.get_classifier(name_only=True)}."
                put(seer, {name: value for name, value in network.state_dict().items() if not name.startswith(head)})
                machine.prepare(seer.eval())
                return cls(Frozen(seer, len(plan.stages), machine), preprocess)
        return cls(Frozen(network, len(plan.stages), machine), preprocess)


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
    computed before is taken from the store of maps.
    """
    sides = (False,) if all(len(name) == 1 and name.isalnum() for name in source.classes) else (False, True)
    found, notes, done = [], list[str](), 0
    for part, rows in shown_parts(source, good):
        names = [digests[row] for row in rows.tolist()]
        summed = torch.zeros(())
        for mirror in sides:
            shown = examples(mirrored(part) if mirror else part, judge.preprocess)
            keys = [digest_of(f"{name} mirrored".encode()) for name in names] if mirror else names
            kept = mapstore.store(judge.frozen.key(shown))
            looks = maps_of(judge.frozen, shown, keys, Augment(), kept, views=1, seed=0, workers=workers, stop=Stop())
            summed = summed + whole(looks, done, len(sides) * int(good.sum()), watch)[0]
            done += len(rows)
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


def shown_parts(source: Source, chosen: NDArray[np.bool_]) -> Iterator[tuple[Part, NDArray[np.int64]]]:
    """The ``chosen`` pictures (n,) of each part that has any, and their rows in the whole source."""
    start = 0
    for part in source.parts.values():
        some = np.flatnonzero(chosen[start : start + len(part.names)]).astype(np.int64)
        if len(some):
            yield subset(part, some), some + start
        start += len(part.names)


def mirrored(part: Part) -> Part:
    """The same pictures with left and right exchanged."""
    return replace(part, read=lambda i: Picture(part.read(i).pixels[:, ::-1]))
