"""What the frozen stages make of each picture, as it is and varied: computed once, kept, and learned from."""

import json
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from hashlib import blake2b
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import planfile
from resnetkit.answers import at_once
from resnetkit.data.augment import Augment
from resnetkit.data.batches import Batch, bounds, varied
from resnetkit.data.examples import Examples, ahead, fitted
from resnetkit.data.order import epoch_order
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import DTYPES, Machine
from resnetkit.engine.stop import Stop
from resnetkit.fused import fused
from resnetkit.mapstore import Store
from resnetkit.network import Network
from resnetkit.settings import Settings
from resnetkit.walk import map_shape

TOGETHER = 64  # looks that go through the network at a time, at most
WAY = "fused"  # of computing maps: others, which differ in the last digits, are not mixed with these
BLOCK = 32 << 20  # bytes of maps that are kept at a time: what a run loses that is killed


@dataclass(frozen=True)
class Looked:
    """How far the maps of a part are."""

    done: int  # looks, in all
    looks: int
    kept: int  # of those done the ones that were at hand


@dataclass(frozen=True)
class Lessons:
    """Maps in place of pictures, to learn from and to be examined with."""

    stages: int  # that the pictures have been through
    train: Tensor  # (views, n, ...)
    val: Tensor  # (n, ...)


@dataclass(frozen=True)
class Frozen:
    """The stages of a network that stay as they are. All of them: then a map is what its head sees."""

    network: Network
    stages: int
    machine: Machine

    @property
    def all(self) -> bool:
        return self.stages == len(self.network.plan.stages)

    @cached_property
    def quick(self) -> Network:
        return fused(self.network, DTYPES[self.machine.precision])

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Images (n, c, h, w) to maps (n, c, h, w), or to features (n, head_hidden_size) in float32."""
        return self.ends(images) if self.all else self.quick.forward_first(images, self.stages)

    @torch.inference_mode()
    def ends(self, maps: Tensor, stages: int = 0) -> Tensor:
        """What the head sees (n, head_hidden_size), float32: of maps behind ``stages`` stages, of images behind 0."""
        return self.quick.forward_head(self.quick.onward(maps, stages), pre_logits=True).float()

    def empty(self, count: int, preprocess: Preprocess) -> Tensor:
        """Room for the maps of so many pictures of a size."""
        plan = self.network.plan
        if self.all:
            return torch.empty(count, plan.features)
        return torch.empty(count, *map_shape(plan, self.stages, preprocess.size), dtype=DTYPES[self.machine.precision])

    def key(self, examples: Examples) -> str:
        """A hash of all that its maps depend on but the pictures."""
        network, machine = self.network, self.machine
        steps = len(network.before) + self.stages if not self.all else None
        used = tuple(f"{name}." for name, _ in network.steps()[:steps])
        said: dict[str, Any] = {
            "plan": planfile.to_json(replace(network.plan, classes=0, taps=network.plan.taps if self.all else None)),
            "stages": self.stages,
            "preprocess": asdict(examples.preprocess),
            "machine": machine.fingerprint(),
            "way": WAY,
        }
        found = blake2b(json.dumps(said, sort_keys=True, default=str).encode(), digest_size=16)
        for name, tensor in network.state_dict().items():
            if name.startswith(used):
                found.update(name.encode())
                found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return found.hexdigest()


def lesson_batches(lessons: Lessons, settings: Settings, train_set: Examples, start: int, stop: int) -> Iterator[Batch]:
    """As ``train_batches``, with maps: an epoch has one view of each picture, the next one another."""
    views, n = lessons.train.shape[:2]
    cuts = bounds(n, settings.batch)
    for step in range(start, stop):
        epoch, place = divmod(step, len(cuts))
        order = epoch_order(
            train_set.labels, balanced=settings.run.sampling == "balanced", seed=settings.run.seed, epoch=epoch
        )
        fates = order[slice(*cuts[place])]
        index = fates % n
        weights = None if train_set.weights is None else train_set.weights[index]
        yield Batch(index, lessons.train[(fates // n + epoch) % views, index], train_set.labels[index], weights)


def maps_of(
    frozen: Frozen,
    examples: Examples,
    digests: Sequence[str],
    augment: Augment,
    store: Store,
    *,
    views: int,
    seed: int,
    workers: int,
    stop: Stop,
) -> Generator[Looked, None, Tensor | None]:
    """The maps of every picture, view after view: (views, n, ...). The first view is what evaluation sees.

    A view is a function of the seed and of the picture's own bytes, so that other pictures beside it change nothing.
    None where a stop came first.
    """
    n, batch = len(examples.labels), min(TOGETHER, at_once(examples.preprocess))
    keys = [key(digest, view, augment, seed) for view in range(views) for digest in digests]
    fates = np.array([int(digest, 16) >> 65 for digest in digests], np.int64)
    room = frozen.empty(views * n, examples.preprocess)
    missing = fill(room, keys, store)
    kept = len(keys) - len(missing)
    yield Looked(kept, len(keys), kept)
    missing.sort(key=lambda row: (row % n, row))  # all looks at a picture together, which is decoded for them once
    todo = [np.array(missing[start : start + batch]) for start in range(0, len(missing), batch)]
    each = max(1, BLOCK // max(1, batch * room[0].numel() * room.element_size()))

    def make(item: int, halt: Event) -> NDArray[np.uint8] | None:
        return looks(examples, todo[item], fates, augment, halt, seed=seed)

    fresh: list[int] = []
    done = kept
    for item, (rows, images) in enumerate(zip(todo, ahead(make, range(len(todo)), workers), strict=True), start=1):
        if stop:
            return None
        filled = np.resize(images, (batch, *images.shape[1:]))  # always as many, so that no neighbour matters
        room[rows] = frozen(frozen.machine.images(filled, examples.preprocess))[: len(rows)].cpu()
        fresh += rows.tolist()
        done += len(rows)
        if item % each == 0 or item == len(todo):
            store.write([keys[row] for row in fresh], room[fresh])
            fresh = []
        yield Looked(done, len(keys), kept)
    return room.view(views, n, *room.shape[1:])


def looks(
    examples: Examples, rows: NDArray[np.int64], fates: NDArray[np.int64], augment: Augment, halt: Event, *, seed: int
) -> NDArray[np.uint8] | None:
    """Pictures as they are looked at (rows, h, w, c), of which a row is view * n + place. None where told to stop."""
    whole, places = np.divmod(rows, len(fates))
    size = examples.preprocess.size
    images = np.empty((len(rows), *size, examples.preprocess.channels), np.uint8)
    for picture in [None] if examples.stack is not None else np.unique(places).tolist():
        shown = examples
        if picture is not None and examples.read is not None:
            shown = replace(examples, read=cache(examples.read))  # and forgotten before the next one
        for view in np.unique(whole).tolist():
            chosen = np.flatnonzero((whole == view) & ((places == picture) | (picture is None)))
            index = places[chosen]
            if not len(index):
                continue
            seen = (
                varied(shown, index, fates[index], augment, halt, seed=seed, epoch=view)
                if view
                else fitted(shown, index, halt)
            )
            if seen is None:
                return None
            images[chosen] = seen
    return images


def key(digest: str, view: int, augment: Augment, seed: int) -> bytes:
    """What a map is of: a picture, and how it was varied."""
    look = repr((augment, seed, view)) if view else ""
    return blake2b(f"{digest} {look}".encode(), digest_size=16).digest()


def fill(room: Tensor, keys: Sequence[bytes], store: Store) -> list[int]:
    """Put the maps that are at hand into their rows, and say which are missing."""
    places: dict[bytes, list[int]] = {}
    for row, name in enumerate(keys):
        places.setdefault(name, []).append(row)
    missing = set(range(len(keys)))
    for names, maps in store.read(set(places)):
        if maps.shape[1:] != room.shape[1:] or maps.dtype != room.dtype:
            continue
        pairs = [(row, k) for k, name in enumerate(names) for row in places.get(name, ())]
        rows, at = map(list, zip(*pairs, strict=True))
        room[rows] = maps[at]
        missing.difference_update(rows)
    return sorted(missing)
