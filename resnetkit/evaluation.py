"""What a network got right and wrong on one part of the data, in figures that add up."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from resnetkit import metrics
from resnetkit.engine.evaluate import Answers
from resnetkit.errors import DataError, some


@dataclass(frozen=True)
class Evaluation:
    """The answers to every picture of one part, each exactly once; unreadable ones are listed, not counted."""

    split: str  # train, val or test
    classes: tuple[str, ...]
    names: tuple[str, ...]  # of all pictures of the part, in order
    labels: tuple[int, ...]  # of all pictures of the part
    answers: Answers
    temperature: float = 1.0
    notes: tuple[str, ...] = ()  # what is worth saying of the data

    def __post_init__(self) -> None:
        if not len(self.answers.labels):
            raise DataError(
                f"no picture of {self.split} could be read: {some(why for _, why in self.answers.errors)}"
                if self.answers.errors
                else f"{self.split} has no pictures",
                "give pictures that can be read",
            )

    @property
    def n(self) -> int:
        return len(self.answers.labels)

    @property
    def correct(self) -> int:
        return int(self.confusion.trace())

    @property
    def accuracy(self) -> float:
        return self.correct / self.n

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats, without label smoothing."""
        return metrics.cross_entropy(self.answers.logits, self.answers.labels)

    @property
    def top5(self) -> float | None:
        """Share with the class among the five likeliest; None for up to five classes, where it would say nothing."""
        return metrics.topk(self.answers.logits, self.answers.labels, 5) if len(self.classes) > 5 else None

    @cached_property
    def confusion(self) -> metrics.Counts:
        """(classes, classes): rows are true, columns predicted."""
        predicted = metrics.ranking(self.answers.logits, 1)[:, 0]
        return metrics.confusion(self.answers.labels, predicted, len(self.classes))

    @cached_property
    def rows(self) -> list[metrics.ClassRow]:
        return metrics.class_rows(self.confusion, self.classes)

    @property
    def total(self) -> metrics.ClassRow:
        return metrics.total(self.rows)

    @property
    def errors(self) -> list[tuple[str, str]]:
        return [(self.names[i], why) for i, why in self.answers.errors]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet eval --json`."""
        top5 = {} if self.top5 is None else {"top5": self.top5}
        return {
            "split": self.split,
            "accuracy": self.accuracy,
            "loss": self.loss,
            "n": self.n,
            "correct": self.correct,
            "incorrect": self.n - self.correct,
            **top5,
            "macro": {name: getattr(self.total, name) for name in ("precision", "recall", "f1")},
            "classes": [asdict(row) for row in self.rows],
            "errors": [{"path": path, "error": why} for path, why in self.errors],
        }
