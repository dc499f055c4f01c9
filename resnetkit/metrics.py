"""How good the answers are: figures from logits and labels, each equal to scikit-learn's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.tasks import TaskName

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]
Logits = NDArray[np.floating[Any]]  # (pictures, classes or tags)
Scale = tuple[tuple[float, float], ...]  # mean and standard deviation of each number, over train
Labels = NDArray[Any]  # (pictures, tags), 1 where a picture has the tag


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """What became of the pictures of one class, or of all of them; a share with nothing to divide by is 0."""

    name: str
    correct: int  # pictures of this class that were called by its name
    incorrect: int  # pictures of this class that were called by another
    precision: float  # share of the pictures called by its name that are of this class
    recall: float  # share of the pictures of this class that were called by its name
    f1: float  # harmonic mean of the two
    average_precision: float | None = None  # of its probability against all the rest; None where none is of this class
    support: int  # pictures of this class


@dataclass(frozen=True, kw_only=True)
class TagRow:
    """What became of one tag, which is called where its probability is at least a half."""

    name: str
    correct: int  # pictures of which it was said rightly whether they have the tag
    incorrect: int
    precision: float
    recall: float
    f1: float
    average_precision: float | None  # None where no picture has the tag
    support: int  # pictures that have it


@dataclass(frozen=True, kw_only=True)
class NumberRow:
    """How far the answers are from one number, in its own unit."""

    name: str
    mae: float  # mean of the absolute differences
    rmse: float  # root of the mean of their squares
    r2: float  # 1 less the share of the variance that is not explained; 0 where the number never varies
    mean: float  # of the true numbers
    deviation: float


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


def sigmoid(logits: Logits) -> Shares:
    """A probability for each logit by itself."""
    wide = logits.astype(np.float64)
    return np.exp(-np.logaddexp(0, -wide))


def tag_losses(logits: Logits, labels: Labels) -> Shares:
    """The binary cross-entropy of each picture in nats, added up over the tags."""
    wide = logits.astype(np.float64)
    found: Shares = (np.logaddexp(0, wide) - wide * labels).sum(1)
    return found


def average_precision(logits: Logits, labels: Labels) -> list[float | None]:
    """For each tag, precision averaged over the pictures that have it, at the threshold of each; None if none has."""
    found: list[float | None] = []
    for scores, truth in zip(logits.T, labels.T, strict=True):
        order = np.argsort(-scores, kind="stable")
        hits = np.cumsum(truth[order] > 0)
        last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores all are called, or none
        precision, called = hits[last] / (np.flatnonzero(last) + 1), hits[last]
        found.append(float((precision * np.diff(called, prepend=0)).sum() / hits[-1]) if hits[-1] else None)
    return found


def tag_rows(logits: Logits, labels: Labels, names: Sequence[str]) -> list[TagRow]:
    """Each tag in its own row."""
    called, truth = logits >= 0, labels > 0
    right, support = (called & truth).sum(0), truth.sum(0)
    precision, recall = share(right, called.sum(0)), share(right, support)
    f1, correct = share(2 * right, called.sum(0) + support), (called == truth).sum(0)
    return [
        TagRow(
            name=name,
            correct=int(correct[i]),
            incorrect=int(len(labels) - correct[i]),
            precision=float(precision[i]),
            recall=float(recall[i]),
            f1=float(f1[i]),
            average_precision=ap,
            support=int(support[i]),
        )
        for i, (name, ap) in enumerate(zip(names, average_precision(logits, labels), strict=True))
    ]


def tag_total(rows: Sequence[TagRow], name: str = "all") -> TagRow:
    """All tags in one row: counts added up, shares averaged with every tag that some picture has counting the same."""
    asked = [row for row in rows if row.support] or list(rows)
    known = [row.average_precision for row in asked if row.average_precision is not None]
    return TagRow(
        name=name,
        correct=sum(row.correct for row in rows),
        incorrect=sum(row.incorrect for row in rows),
        precision=sum(row.precision for row in asked) / len(asked),
        recall=sum(row.recall for row in asked) / len(asked),
        f1=sum(row.f1 for row in asked) / len(asked),
        average_precision=sum(known) / len(known) if known else None,
        support=sum(row.support for row in rows),
    )


def number_rows(answers: Shares, truth: Shares, names: Sequence[str]) -> list[NumberRow]:
    """Each number (column) in its own row."""
    off = answers - truth
    spread = truth.var(axis=0)
    r2 = 1 - np.divide((off**2).mean(0), spread, out=np.ones(len(names)), where=spread > 0)
    return [
        NumberRow(
            name=name,
            mae=float(np.abs(off[:, i]).mean()),
            rmse=float((off[:, i] ** 2).mean() ** 0.5),
            r2=float(r2[i]),
            mean=float(truth[:, i].mean()),
            deviation=float(spread[i] ** 0.5),
        )
        for i, name in enumerate(names)
    ]


def judged(task: TaskName, logits: Logits, labels: NDArray[Any], scale: Scale = ()) -> dict[str, float]:
    """What an epoch is judged by: loss and the judge of the task. All are 0 where there are no pictures.

    The loss of numbers is the mean square of their differences, in deviations of train.
    """
    if task == "classes":
        if not len(labels):
            return {"loss": 0.0, "accuracy": 0.0}
        return {
            "loss": cross_entropy(logits, labels),
            "accuracy": int((logits.argmax(1) == labels).sum()) / len(labels),
        }
    if task == "tags":
        if not len(labels):
            return {"loss": 0.0, "mean_ap": 0.0, "exact": 0.0}
        known = [ap for ap in average_precision(logits, labels) if ap is not None]
        exact = ((logits >= 0) == (labels > 0)).all(1)
        loss = float(tag_losses(logits, labels).mean())
        return {"loss": loss, "mean_ap": sum(known) / len(known) if known else 0.0, "exact": float(exact.mean())}
    if not len(labels):
        return {"loss": 0.0, "r2": 0.0}
    rows = number_rows(scaled(logits, scale), labels, [""] * labels.shape[1])
    return {
        "loss": float(number_losses(logits, labels, scale).mean()),
        "r2": sum(row.r2 for row in rows) / len(rows),
    }


def scaled(logits: Logits, scale: Scale) -> Shares:
    """Answers in the units of the numbers, from answers in deviations from the mean."""
    mean, deviation = np.array(scale).T
    answers: Shares = logits.astype(np.float64) * deviation + mean
    return answers


def number_losses(logits: Logits, labels: NDArray[Any], scale: Scale) -> Shares:
    """The mean square of each picture's differences, in deviations of train."""
    mean, deviation = np.array(scale).T
    found: Shares = ((logits.astype(np.float64) - (labels - mean) / deviation) ** 2).mean(1)
    return found


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


def one_against_rest(probabilities: Shares, labels: Counts) -> list[float | None]:
    """The average precision of each class among all the rest, by its probability: (pictures, classes), (pictures,)."""
    return average_precision(probabilities, labels[:, None] == np.arange(probabilities.shape[1]))


def class_rows(table: Counts, names: Sequence[str], precisions: Sequence[float | None] = ()) -> list[ClassRow]:
    """Each class of a confusion table in its own row; ``precisions`` are the average precisions."""
    averages = precisions or [None] * len(names)
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
            average_precision=averages[i],
            support=int(support[i]),
        )
        for i, name in enumerate(names)
    ]


def total(rows: Sequence[ClassRow], name: str = "all") -> ClassRow:
    """All classes in one row: counts added up, shares averaged with every class counting the same (macro).

    Classes without pictures are left out of the averages: nothing was asked of them.
    """
    asked = [row for row in rows if row.support] or list(rows)
    known = [row.average_precision for row in asked if row.average_precision is not None]
    return ClassRow(
        name=name,
        correct=sum(row.correct for row in rows),
        incorrect=sum(row.incorrect for row in rows),
        precision=sum(row.precision for row in asked) / len(asked),
        recall=sum(row.recall for row in asked) / len(asked),
        f1=sum(row.f1 for row in asked) / len(asked),
        average_precision=sum(known) / len(known) if known else None,
        support=sum(row.support for row in rows),
    )


def share(part: Counts, whole: Counts) -> Shares:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
