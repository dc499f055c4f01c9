"""How good the answers are: figures from logits and labels, each equal to scikit-learn's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]  # (pictures, classes)


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """What became of the pictures of one class, or of all of them; a share with nothing to divide by is 0."""

    name: str
    correct: int  # pictures of this class that were called by its name
    incorrect: int  # pictures of this class that were called by another
    precision: float  # share of the pictures called by its name that are of this class
    recall: float  # share of the pictures of this class that were called by its name
    f1: float  # harmonic mean of the two
    support: int  # pictures of this class


def softmax(logits: Logits, temperature: float = 1.0) -> Shares:
    """Probabilities, each row adding up to 1."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def losses(logits: Logits, labels: Counts) -> Shares:
    """The cross-entropy of each picture in nats, without label smoothing."""
    wide = logits.astype(np.float64)
    highest = wide.max(axis=1)
    spread = np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return spread + highest - wide[np.arange(len(labels)), labels]


def cross_entropy(logits: Logits, labels: Counts) -> float:
    """The mean of ``losses``."""
    return float(losses(logits, labels).mean())


def ranking(logits: Logits, k: int) -> Counts:
    """The ``k`` likeliest classes of each picture, best first; of equals the lower class number: (pictures, k)."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k].astype(np.int64)


def topk(logits: Logits, labels: Counts, k: int) -> float:
    """The share of pictures whose class is among the ``k`` likeliest."""
    return float((ranking(logits, k) == labels[:, None]).any(axis=1).mean())


def accuracy(logits: Logits, labels: Counts) -> float:
    """The share of pictures whose class is the likeliest."""
    return topk(logits, labels, 1)


def confusion(labels: Counts, predicted: Counts, classes: int) -> Counts:
    """How many pictures of each class (row) were called what (column)."""
    for numbers in (labels, predicted):
        if numbers.size and (numbers.min() < 0 or numbers.max() >= classes):
            raise ValueError(f"class numbers must lie in 0..{classes - 1}, not {numbers.min()}..{numbers.max()}")
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_rows(table: Counts, names: Sequence[str]) -> list[ClassRow]:
    """Each class of a confusion table in its own row."""
    correct, called, support = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
    precision, recall, f1 = share(correct, called), share(correct, support), share(2 * correct, called + support)
    return [
        ClassRow(
            name=name,
            correct=int(correct[i]),
            incorrect=int(support[i] - correct[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
            f1=float(f1[i]),
            support=int(support[i]),
        )
        for i, name in enumerate(names)
    ]


def total(rows: Sequence[ClassRow], name: str = "all") -> ClassRow:
    """All classes in one row: counts added up, shares averaged with every class counting the same (macro).

    Classes without pictures are left out of the averages: nothing was asked of them.
    """
    asked = [row for row in rows if row.support] or list(rows)
    return ClassRow(
        name=name,
        correct=sum(row.correct for row in rows),
        incorrect=sum(row.incorrect for row in rows),
        precision=sum(row.precision for row in asked) / len(asked),
        recall=sum(row.recall for row in asked) / len(asked),
        f1=sum(row.f1 for row in asked) / len(asked),
        support=sum(row.support for row in rows),
    )


def share(part: Counts, whole: Counts) -> Shares:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
