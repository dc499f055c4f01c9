"""What a network got right and wrong on one part of the data, in figures that add up."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from resnetkit import calibration, intervals, metrics, rejection
from resnetkit.answers import Answers
from resnetkit.data.decode import Picture
from resnetkit.data.parts import Labels
from resnetkit.errors import DataError, some
from resnetkit.intervals import FEWEST
from resnetkit.reject import Reject
from resnetkit.slices import Looks, Slice, slices
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class Examined(ABC):
    """The answers to every picture of one part, each exactly once; unreadable ones are listed, not counted."""

    split: str  # train, val or test
    classes: tuple[str, ...]  # or tags, or what the numbers are called
    names: tuple[str, ...]  # of all pictures of the part, in order
    labels: Labels  # of all pictures of the part
    answers: Answers
    temperature: float = 1.0
    notes: tuple[str, ...] = ()  # what is worth saying of the data
    scale: metrics.Scale = ()  # of numbers
    groups: tuple[str, ...] | None = None  # of all pictures of the part, where those of one group may err together
    reject: Reject | None = None  # what the model promises, of classes
    looks: Looks | None = None  # of all pictures of the part, where they were read one by one
    # Any picture of the part, while it is where it was.
    read: Callable[[int], Picture] | None = field(default=None, compare=False, repr=False)
    mirror: bool = False  # each answer is the mean of those to the picture and to its mirror image

    task: TaskName = "classes"

    def __post_init__(self) -> None:
        if not len(self.answers.labels):
            raise DataError(
                f"no picture of {self.split} could be read: {some(why for _, why in self.answers.errors)}"
                if self.answers.errors
                else f"{self.split} has no pictures",
                "give pictures that can be read",
            )

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet eval --json`."""

    @abstractmethod
    def headline(self) -> str:
        """The figures that matter most, in one line."""

    def asides(self) -> list[str]:
        """What else there is to say for people, a line each."""
        return []

    @property
    def n(self) -> int:
        return len(self.answers.labels)

    @property
    def answered_groups(self) -> list[str] | None:
        """The group of each picture that was answered."""
        return None if self.groups is None else [self.groups[i] for i in self.answers.index.tolist()]

    @property
    def errors(self) -> list[tuple[str, str]]:
        return [(self.names[i], why) for i, why in self.answers.errors]

    def error_list(self) -> list[dict[str, str]]:
        return [{"path": path, "error": why} for path, why in self.errors]


@dataclass(frozen=True)
class Evaluation(Examined):
    """Of pictures of one class each."""

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
        return metrics.confusion(self.answers.labels, self.predicted, len(self.classes))

    @cached_property
    def probabilities(self) -> metrics.Shares:
        """As `resnet predict` says them: (pictures, classes)."""
        return metrics.softmax(self.answers.logits, self.temperature)

    @cached_property
    def rows(self) -> list[metrics.ClassRow]:
        precisions = metrics.one_against_rest(self.probabilities, self.answers.labels)
        return metrics.class_rows(self.confusion, self.classes, precisions)

    @property
    def total(self) -> metrics.ClassRow:
        return metrics.total(self.rows)

    @property
    def predicted(self) -> metrics.Counts:
        """The likeliest class of each picture."""
        return metrics.ranking(self.answers.logits, 1)[:, 0]

    @cached_property
    def intervals(self) -> dict[str, Any]:
        """Of accuracy, balanced accuracy, macro F1 and loss."""
        labels, logits = self.answers.labels, self.answers.logits
        losses, groups = metrics.losses(logits, labels), self.answered_groups
        return intervals.of_classes(labels, self.predicted, losses, len(self.classes), groups=groups)

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """What calibration.said says of the probabilities, and under ``before`` of those without the temperature."""
        logits, labels = self.answers.logits, self.answers.labels
        now = calibration.said(logits, labels, self.temperature)
        before = now if self.temperature == 1 else calibration.said(logits, labels, 1.0)
        return {"temperature": self.temperature, **now, "before": before}

    @cached_property
    def selective(self) -> dict[str, Any]:
        """Risk over coverage where unsure answers are kept back; under a threshold what became of the pictures."""
        sure, right = self.probabilities.max(1), self.predicted == self.answers.labels
        found = rejection.said(sure, right)
        if self.reject is None:
            return found
        return found | {"reject": self.reject.as_dict() | {"here": rejection.kept(sure, right, self.reject)}}

    def slices(self) -> list[Slice]:
        """Accuracy by group, size of the file's picture and brightness, worst first."""
        index, looks = self.answers.index, self.looks
        seen = looks and Looks(looks.size[index], looks.brightness[index])
        return slices(self.predicted == self.answers.labels, self.answered_groups, seen)

    def headline(self) -> str:
        top5 = "" if self.top5 is None else f", top-5 {self.top5:.2%}"
        right = f"{self.correct:,} of {self.n:,} right"
        mirror = "; each answer is the mean of those to the picture and to its mirror image" if self.mirror else ""
        return f"accuracy {self.accuracy:.2%} on {self.split} ({right}){top5}, loss {self.loss:.4f}{mirror}"

    def asides(self) -> list[str]:
        span, whose = self.intervals["accuracy"], self.intervals
        over = f"{whose['level']:.0%} of such intervals hold the true figure"
        few = f"too few groups ({whose['units']}) to say how far these may be off"
        alike = f"the {whose['units']} groups are all alike, which says nothing of how far these may be off"
        lacks = few if whose["units"] < FEWEST else alike
        known = f"accuracy between {span.low:.2%} and {span.high:.2%} ({over})" if span else lacks
        now, before = self.calibration["ece"], self.calibration["before"]["ece"]
        cooled = f" with temperature {self.temperature:g}, {before:.2%} without" if self.temperature != 1 else ""
        chosen = ["these pictures chose the epoch too: the true figures may be a little worse"] * (self.split == "val")
        return [
            f"balanced accuracy {self.total.recall:.2%}, macro F1 {self.total.f1:.4f}, {known}",
            f"calibration error {now:.2%}{cooled}",
            *self.kept_back(),
            *chosen,
        ]

    def kept_back(self) -> list[str]:
        """What became of the pictures under the threshold of the model, if it has one."""
        if self.reject is None:
            return []
        here, promised = self.selective["reject"]["here"], f"at most {self.reject.risk:.2%} wrong"
        wrong = f"{here['wrong']:,} of {here['answered']:,} answers wrong ({here['risk']:.2%})"
        wrong += ", of pictures that such thresholds are chosen on" * (self.split == "val")
        below = f"below {self.reject.threshold:.2%} a picture is unknown"
        return [f"{below}, which promises {promised}: {here['unknown']:,} unknown, {wrong}"]

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet eval --json`."""
        top5 = {} if self.top5 is None else {"top5": self.top5}
        return {
            "split": self.split,
            **({"mirror": True} if self.mirror else {}),
            "accuracy": self.accuracy,
            "loss": self.loss,
            "n": self.n,
            "correct": self.correct,
            "incorrect": self.n - self.correct,
            **top5,
            "balanced_accuracy": self.total.recall,
            "macro_f1": self.total.f1,
            "mean_ap": self.total.average_precision,
            "macro": {name: getattr(self.total, name) for name in ("precision", "recall", "f1")},
            "intervals": {name: list(x) if isinstance(x, tuple) else x for name, x in self.intervals.items()},
            "calibration": self.calibration,
            "selective": self.selective,
            "classes": [asdict(row) for row in self.rows],
            "errors": self.error_list(),
        }
