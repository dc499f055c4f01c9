"""A model that was exported, asked by the runtime it is for: torch is loaded only for a file of torch."""

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.answerer import Answerer
from resnetkit.answers import Answers, Ask, Pictures, answered_whole, in_colour, stacked
from resnetkit.data.parts import Part
from resnetkit.errors import UsageError, plain
from resnetkit.export.metadata import precision_of
from resnetkit.export.runtimes import Ask as Run
from resnetkit.export.runtimes import Runtime
from resnetkit.inputs import path_of
from resnetkit.modelfile import Card
from resnetkit.opening import Opening

LOGITS = "logits"  # of what comes out of every file
MOST_THREADS = 1024


class Deployed(Answerer):
    """What answers from a file of ONNX, OpenVINO or torch, as the model does that it was made of."""

    def __init__(
        self, card: Card, takes: str, run: Run, runtime: Runtime, folder: Path, precision: str = "fp32"
    ) -> None:
        self.card, self.takes, self.run, self.runtime, self.folder = card, takes, run, runtime, folder
        self.precision = precision

    @property
    def runs_on(self) -> str:
        return f"{self.runtime.says}, {self.precision}"

    @property
    def note(self) -> str | None:
        """What to tell of how it answers; None where that is in float32."""
        return None if self.precision == "fp32" else f"answered by {self.runs_on}"

    def seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded picture as the file takes it: as it is, in colour, or as the preprocessing leaves it."""
        return in_colour(pixels) if self.takes == "picture" else super().seen(pixels)

    def ask(self, images: Pictures) -> NDArray[np.float32]:
        """Logits (n, classes) of pictures as ``seen`` leaves them; those of one size and after one another at once."""
        found = [np.empty((0, len(self.card.classes)), np.float32)]
        if self.takes == "seen":
            found += [self.run(np.asarray(images))[LOGITS]] if len(images) else []
        elif self.takes == "tensor":
            found += [self.run(self.card.preprocess.normalize(np.asarray(images)))[LOGITS]] if len(images) else []
        else:
            for _, alike in groupby(images, key=lambda one: one.shape):
                found.append(self.run(np.asarray(stacked(list(alike))))[LOGITS])
        return np.concatenate(found)

    def answers(self, part: Part, ask: Ask, workers: int) -> Iterator[Answers]:
        return answered_whole(ask, part, workers) if self.takes == "picture" else super().answers(part, ask, workers)


def load_export(path: str | os.PathLike[str] | Opening, threads: int = 0) -> Deployed:
    """A file that `resnet export` wrote, ready to answer with so many threads, 0 for as many as the runtime likes.

    Raises WeightsError for a file that is not one, or not as it was written; ResourceError without its runtime;
    UsageError for what is no number of threads.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= MOST_THREADS:
        what = f"threads is {plain(threads)}, not a whole number from 0 to {MOST_THREADS}"
        raise UsageError(what, "leave it out for as many as the runtime likes")
    begun = path if isinstance(path, Opening) else Opening(path_of(path, "the file"), threads)
    precision = precision_of(begun.content.texts)
    return Deployed(begun.card, begun.takes, begun.opened(), begun.runtime, begun.file.parent, precision)
