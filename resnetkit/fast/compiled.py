"""A model that answers in the fastest way found here, at once or where there is enough to answer."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnetkit.answerer import Answerer
from resnetkit.answers import Answers, Ask, Heat, Pictures, at_once
from resnetkit.cost import totals
from resnetkit.data.parts import Part
from resnetkit.engine.device import Machine
from resnetkit.fast.choice import Chooser, pass_of
from resnetkit.fast.graphs import Graphs
from resnetkit.inputs import Input, each, expand
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.prediction import Prediction
from resnetkit.tasks import TASKS

MUCH = 8e12  # multiply-adds of all pictures: measuring and opening a way takes about as long as they do
PASSES = 100  # of as many pictures as a way is tried on, without which trying them would not pay


class Original(Protocol):
    """A model of torch: a Classifier."""

    card: Card
    folder: Any
    model: Network
    machine: Machine

    def ask(self, images: Pictures) -> NDArray[np.float32]: ...

    @property
    def runs_on(self) -> str: ...

    def heat(self) -> Heat | None: ...


class Compiled(Answerer):
    """What ``Classifier.compiled`` returns: a copy, which what the model learns later does not reach."""

    def __init__(
        self,
        original: Original,
        precision: str = "auto",
        batch: int | None = None,
        graphs: Graphs | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.original, self.card, self.folder = original, original.card, original.folder
        self.batch = batch or at_once(self.card.preprocess)
        chooser = Chooser(self.card, original.model, original.machine, graphs, tell)
        self.found = chooser.choose(precision, self.batch)
        self.lowered = chooser.graphs.lowered[self.found.way.runtime][1] if precision == "int8" else None
        self.notes = self.lowered.notes if self.lowered else ()  # what is worth saying of how that was done

    def ask(self, images: Pictures) -> NDArray[np.float32]:
        """Logits of pictures as the preprocessing leaves them: (n, h, w, c) to (n, classes)."""
        return self.found.run(np.asarray(images))

    @property
    def runs_on(self) -> str:
        """The runtime and its version, the precision, and how far answers are from torch's in float32."""
        found, low = self.found, self.lowered
        if low:
            int8, float32 = (f"{x:{TASKS[self.card.task].shown}}" for x in (low.val.int8, low.val.float32))
            return f"{found.way.says}, int8: {low.figure} {int8} on val, {float32} in float32"
        where = "" if self.original.machine.device.type == "cpu" else f" on {self.original.machine.device}"
        of = "numbers in deviations" if self.card.task == "numbers" else "probabilities"
        near = f"{of} within {found.apart:.1g} of float32 in torch, on {found.pictures} pictures"
        return f"{found.way.says}{where}, {found.way.precision}: {near}"

    def heat(self) -> Heat | None:
        return self.original.heat()


class InTime(Answerer):
    """A model that answers few pictures as it is, and is compiled where there are enough for that to pay."""

    def __init__(self, original: Original, precision: str = "auto", tell: Callable[[str], None] | None = None) -> None:
        self.original, self.card, self.folder, self.precision = original, original.card, original.folder, precision
        self.tell = tell  # hears what takes a while
        macs = totals(self.card.plan, self.card.preprocess.size).macs
        self.much = max(MUCH / macs, PASSES * pass_of(self.card))  # pictures
        self.chosen: Answerer | Original | None = None

    def expect(self, pictures: float) -> None:
        """So many pictures are about to come."""
        if not isinstance(self.chosen, Compiled):
            much = pictures >= self.much
            self.chosen = Compiled(self.original, self.precision, tell=self.tell) if much else self.original

    def ask(self, images: Pictures) -> NDArray[np.float32]:
        if self.chosen is None:  # a full batch of a clip, whose length nobody knows, is the first of many
            self.expect(np.inf if len(images) == at_once(self.card.preprocess) else len(images))
        assert self.chosen is not None
        return self.chosen.ask(images)

    def predictions(self, paths: Input | Iterable[Input], **how: Any) -> Iterator[Prediction]:
        given = list(each(paths))
        self.expect(sum(1 for _ in islice(expand(given), int(self.much) + 1)))
        return super().predictions(given, **how)

    def answers(self, part: Part, ask: Ask, workers: int) -> Iterator[Answers]:
        self.expect(len(part.names))
        return super().answers(part, ask, workers)

    @property
    def runs_on(self) -> str:
        return (self.chosen or self.original).runs_on

    @property
    def model(self) -> Network:
        return self.original.model

    @property
    def note(self) -> str | None:
        """What to tell of how it answered; None where it did as it is."""
        return f"answered by {self.runs_on}" if isinstance(self.chosen, Compiled) else None

    def heat(self) -> Heat | None:
        return self.original.heat()
