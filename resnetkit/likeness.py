"""How far answers that a network gave in two ways are apart, and how good they are: in the terms of its task."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import metrics
from resnetkit.metrics import Logits
from resnetkit.modelfile import Card
from resnetkit.tasks import TASKS


def told(card: Card, logits: Logits) -> Logits:
    """What is told of logits: probabilities, and of numbers how many deviations from their mean."""
    if card.task == "numbers":
        return logits
    return metrics.sigmoid(logits) if card.task == "tags" else metrics.softmax(logits, card.temperature)


def apart(card: Card, ours: Logits, theirs: Logits) -> float:
    """The largest difference of what is told."""
    return float(np.abs(told(card, ours) - told(card, theirs)).max())


def same(card: Card, ours: Logits, theirs: Logits) -> float | None:
    """The share of pictures that have the same likeliest class, or all the same tags; None of numbers."""
    if card.task == "numbers":
        return None
    if card.task == "tags":
        return float(((ours >= 0) == (theirs >= 0)).all(1).mean())
    return float((ours.argmax(1) == theirs.argmax(1)).mean())


def figure(card: Card, logits: Logits, labels: NDArray[Any]) -> float:
    """What the task is judged by: accuracy, mean average precision or R2."""
    return metrics.judged(card.task, logits, labels, card.scale)[TASKS[card.task].judge]
