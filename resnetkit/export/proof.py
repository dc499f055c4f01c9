"""Whether a file answers as the network does that it was made of: asked before it is kept."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnetkit import likeness, metrics
from resnetkit.errors import WeightsError
from resnetkit.export.graph import ANSWERS, LOGITS, TENSOR, Takes
from resnetkit.export.int8 import Lowered
from resnetkit.export.runtimes import Ask, Runtime
from resnetkit.export.samples import Asked, Pictures, samples
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.tasks import TASKS

CLOSE = 1e-4  # by which float32 numbers may differ, as a share of the largest where that is above 1
LEVEL = 1.001  # of 255, by which the pictures may that the network sees
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Proof:
    """What was asked, and how far answers were from the original's; None where there is nothing to compare."""

    runtime: str  # and its version
    precision: str
    pictures: int
    data: str | None  # where they come from; None for built-in ones
    levels: float | None  # of 255: largest difference of the pictures that the network sees
    logits: float  # largest difference, to those of torch for what the network sees
    largest: float  # of the logits
    tolerance: float | None  # for those of the picture with the largest; None of int8, which rounds
    same: float | None  # share of pictures whose likeliest class, or tags, are the original's, from picture to answer
    figure: str  # that the task is judged by, in words
    here: float | None  # that of the original, in torch
    there: float | None  # that of the file
    int8: Lowered | None = None  # what that costs

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Try:
    """Some pictures, and what came of them."""

    levels: float
    apart: float
    here: Numbers  # logits of the original, from picture to answer
    there: Numbers  # of the file


class Prover:
    """A file that is held against the network it was made of."""

    def __init__(
        self,
        path: Path,
        runtime: Runtime,
        card: Card,
        network: Network,
        takes: Takes,
        lowered: Lowered | None = None,
    ) -> None:
        self.runtime, self.card, self.network, self.lowered = runtime, card, network, lowered
        threads = torch.get_num_threads()
        self.ask = runtime.open(path, threads, None)
        self.see: Ask | None = runtime.open(path, threads, TENSOR) if takes == "picture" else None

    def prove(self, asked: Sequence[Asked], data: str | None) -> Proof:
        """Ask about ``asked``, or about built-in pictures where there is no ``data``.

        Raises WeightsError saying what differs, and for which picture, where it is more than float32 explains.
        """
        built_in = [(f"built-in picture {i}", one, None) for i, one in enumerate(samples(self.card.preprocess.size))]
        pictures = list(asked) if data else built_in
        tries = [self.tried(name, some) for name, some, _ in pictures]
        here, there = (np.concatenate([getattr(one, side) for one in tries]) for side in ("here", "there"))
        labels = np.array([label for *_, label in pictures if label is not None])
        right = [likeness.figure(self.card, side, labels) if len(labels) else None for side in (here, there)]
        return Proof(
            runtime=self.runtime.says,
            precision="int8" if self.lowered else "float32",
            pictures=len(here),
            data=data,
            levels=max(one.levels for one in tries) if self.see else None,
            logits=max(one.apart for one in tries),
            largest=float(np.abs(here).max()),
            tolerance=None if self.lowered else limit(here),
            same=likeness.same(self.card, here, there),
            figure=TASKS[self.card.task].says,
            here=right[0],
            there=right[1],
            int8=self.lowered,
        )

    def tried(self, name: str, pictures: Pictures) -> Try:
        ours = self.card.preprocess.normalize(np.stack([self.card.preprocess.apply(one) for one in pictures]))
        seen = self.see(pictures)[TENSOR] if self.see else ours
        deviation = np.asarray(self.card.preprocess.std, np.float32)[:, None, None]
        levels = self.held(f"what the network sees of {name}", seen * deviation * 255, ours * deviation * 255, LEVEL)
        wanted = self.logits(seen)
        answers = self.ask(pictures if self.see else ours)
        most = (
            float(np.finfo(np.float32).max) if self.lowered else limit(wanted)
        )  # int8 is judged by what it gets right
        try:
            apart = self.held(f"a logit of {name}", answers[LOGITS], wanted, most)
        except WeightsError as error:
            if (own := self.rounding(seen, wanted)) < most / 2:
                raise
            what = f"{error.what}; torch itself is {own:.3g} from float64 there"
            fix = "this network magnifies rounding, whatever runs it: use weights that were trained, or trained longer"
            raise WeightsError(what, fix) from None
        if self.see:
            meant = meaning(answers[LOGITS], self.card)
            self.held(f"the answer to {name}", answers[ANSWERS[self.card.task]], meant, limit(meant))
        here = wanted if np.array_equal(seen, ours) else self.logits(ours)
        return Try(levels, apart, here, answers[LOGITS])

    def held(self, what: str, theirs: Numbers, ours: Numbers, most: float) -> float:
        """The largest difference. WeightsError where it is above ``most``, or not a number."""
        alike = theirs.shape == ours.shape
        apart = float(np.abs(theirs - ours).max()) if alike else np.inf
        if apart <= most:
            return apart
        differs = f"differs by {apart:.3g} of {np.abs(ours).max():.3g}" if alike else f"has the shape {theirs.shape}"
        raise WeightsError(
            f"the exported {self.card.model} does not answer as the original in {self.runtime.says}: {what} {differs}, "
            f"where {most:.3g} is allowed; it is not kept",
            f"install another version of {self.runtime.name}, or export to another runtime",
        )

    @torch.inference_mode()
    def logits(self, seen: NDArray[np.float32]) -> Numbers:
        found: Numbers = self.network(torch.from_numpy(seen)).numpy()
        return found

    @torch.inference_mode()
    def rounding(self, seen: NDArray[np.float32], wanted: Numbers) -> float:
        """How far logits of float32 are from those of float64, both in torch."""
        exact = deepcopy(self.network).double()(torch.from_numpy(seen).double()).numpy()
        return float(np.abs(exact - wanted).max())


def limit(wanted: Numbers) -> float:
    return CLOSE * max(1.0, float(np.abs(wanted).max()))


def meaning(logits: Numbers, card: Card) -> Numbers:
    """What a card makes of logits."""
    if card.task == "tags":
        return metrics.sigmoid(logits)
    return metrics.scaled(logits, card.scale) if card.task == "numbers" else metrics.softmax(logits, card.temperature)
