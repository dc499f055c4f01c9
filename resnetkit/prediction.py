"""What a model says of one picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import metrics
from resnetkit.modelfile import Card
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class Prediction:
    """The answer to one picture: its likeliest classes, its tags or numbers, or why there are none."""

    path: str
    top: tuple[tuple[str, float], ...] = ()  # class or tag and probability, likeliest first; or number and value
    error: str | None = None
    task: TaskName = "classes"
    unknown: bool | None = None  # whether that is too unlikely for an answer; None where the model has no threshold
    mirror: bool = False  # whether this is the mean of those to the picture and to its mirror image

    def as_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        said: dict[str, Any] = {} if self.unknown is None else {"unknown": self.unknown}
        said |= {"mirror": True} if self.mirror else {}
        if self.task == "numbers":
            return {"path": self.path, "numbers": dict(self.top)}
        one, many = ("class", "top") if self.task == "classes" else ("tag", "tags")
        return {"path": self.path, **said, many: [{one: name, "probability": p} for name, p in self.top]}


def meant(logits: NDArray[np.float32], card: Card, top: int | None) -> Iterator[tuple[tuple[str, float], ...]]:
    """What logits say of each picture, in the terms of the card's task."""
    names = card.classes
    if card.task == "classes":
        yield from likeliest(logits, names, min(top or 5, len(names)), card.temperature)
    elif card.task == "tags":
        chances = metrics.sigmoid(logits)
        for row, order in zip(chances, metrics.ranking(logits, len(names)), strict=True):
            yield tuple((names[i], float(row[i])) for i in (order[:top] if top else order) if top or row[i] >= 0.5)
    else:
        for answers in metrics.scaled(logits, card.scale).tolist():
            yield tuple(zip(names, answers, strict=True))


def likeliest(
    logits: NDArray[np.float32], classes: Sequence[str], top: int, temperature: float
) -> Iterator[tuple[tuple[str, float], ...]]:
    ranks, probabilities = metrics.ranking(logits, top), metrics.softmax(logits, temperature)
    for row, best in enumerate(ranks):
        yield tuple((classes[i], float(probabilities[row, i])) for i in best)
