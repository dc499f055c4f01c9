"""A model that was exported, asked by the runtime it is for: torch is not loaded."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.answerer import Answerer
from resnetkit.answers import Answers, Ask, Pictures, answered_whole, in_colour, stacked
from resnetkit.data.parts import Part
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.export.guard import read, seal_of
from resnetkit.export.metadata import SEAL, card_of, precision_of
from resnetkit.export.runtimes import RUNTIMES, Runtime
from resnetkit.export.runtimes import Ask as Run
from resnetkit.modelfile import Card, canonical

LOGITS = "logits"  # of what comes out of every file
SUFFIXES = {suffix: name for name, runtime in RUNTIMES.items() for suffix in runtime.suffixes}


class Deployed(Answerer):
    """What answers from a file of ONNX or OpenVINO, as the model does that it was made of."""

    def __init__(
        self, card: Card, takes: str, run: Run, runtime: Runtime, folder: Path, precision: str = "fp32"
    ) -> None:
        self.card, self.takes, self.run, self.runtime, self.folder = card, takes, run, runtime, folder
        self.precision = precision

    @property
    def runs_on(self) -> str:
        return f"{self.runtime.says}, {self.precision}"

    def seen(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded picture as the file takes it: as it is, in colour, or as the preprocessing leaves it."""
        return in_colour(pixels) if self.takes == "picture" else super().seen(pixels)

    def ask(self, images: Pictures) -> NDArray[np.float32]:
        """Logits (n, classes) of pictures as ``seen`` leaves them; those of one size and after one another at once."""
        found = [np.empty((0, len(self.card.classes)), np.float32)]
        if self.takes != "picture":
            found += [self.run(self.card.preprocess.normalize(np.asarray(images)))[LOGITS]] if len(images) else []
        else:
            for _, alike in groupby(images, key=lambda one: one.shape):
                found.append(self.run(np.asarray(stacked(list(alike))))[LOGITS])
        return np.concatenate(found)

    def answers(self, part: Part, ask: Ask, workers: int) -> Iterator[Answers]:
        return answered_whole(ask, part, workers) if self.takes == "picture" else super().answers(part, ask, workers)


def is_exported(path: str) -> bool:
    """Whether a file is meant that another runtime is for, by its name."""
    return Path(path).suffix.lower() in SUFFIXES


def load_export(path: str, threads: int = 0) -> Deployed:
    """A file that `resnet export` wrote, ready to answer with so many threads, 0 for as many as the runtime likes.

    Raises WeightsError for a file that is not one, or not as it was written; ResourceError without its runtime.
    """
    file = Path(path)
    runtime = RUNTIMES[SUFFIXES[file.suffix.lower()]]
    if file.suffix.lower() != runtime.suffixes[0]:
        named = plain(file.with_suffix(runtime.suffixes[0]))
        raise UsageError(f"{plain(path)} is a part of a model of {runtime.name}", f"name {named}")
    texts, digest = read(file)
    card, takes = card_of(texts, file)
    if texts[SEAL] != canonical(seal_of(texts, digest)):
        raise WeightsError(f"{plain(path)} is not as it was written: its SHA-256 is another", "export it anew")
    try:
        run = runtime.open(file, threads, None)
    except RuntimeError as error:
        reason = plain(str(error).strip().splitlines()[-1])[:200]
        raise WeightsError(f"{runtime.says} cannot run {plain(path)}: {reason}", "export it anew") from error
    return Deployed(card, takes, run, runtime, file.parent, precision_of(texts))
