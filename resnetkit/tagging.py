"""What a network got right and wrong of pictures that have any number of tags."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from resnetkit import metrics
from resnetkit.errors import many
from resnetkit.evaluation import Examined
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class TagEvaluation(Examined):
    """Of pictures with tags: a tag is said of a picture where its probability is at least a half."""

    task: TaskName = "tags"

    @property
    def loss(self) -> float:
        """Binary cross-entropy in nats, added up over the tags, mean over the pictures; without smoothing."""
        return float(metrics.tag_losses(self.answers.logits, self.answers.labels).mean())

    @cached_property
    def rows(self) -> list[metrics.TagRow]:
        return metrics.tag_rows(self.answers.logits, self.answers.labels, self.classes)

    @property
    def total(self) -> metrics.TagRow:
        return metrics.tag_total(self.rows)

    @property
    def mean_ap(self) -> float:
        """Mean over the tags of their average precision; tags that no picture has are left out."""
        return self.total.average_precision or 0.0

    @property
    def exact(self) -> float:
        """The share of pictures all of whose tags are right."""
        return self.correct / self.n

    @property
    def correct(self) -> int:
        return int(((self.answers.logits >= 0) == (self.answers.labels > 0)).all(1).sum())

    @property
    def micro_f1(self) -> float:
        """F1 over all pairs of a picture and a tag."""
        called, truth = self.answers.logits >= 0, self.answers.labels > 0
        said = int(called.sum() + truth.sum())
        return 2 * int((called & truth).sum()) / said if said else 0.0

    def headline(self) -> str:
        return (
            f"mean average precision {self.mean_ap:.4f} on {self.split} ({self.correct:,} of "
            f"{many(self.n, 'picture')} with all tags right), micro F1 {self.micro_f1:.4f}, loss {self.loss:.4f}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet eval --json`."""
        return {
            "task": self.task,
            "split": self.split,
            "mean_ap": self.mean_ap,
            "exact": self.exact,
            "loss": self.loss,
            "n": self.n,
            "correct": self.correct,
            "incorrect": self.n - self.correct,
            "micro_f1": self.micro_f1,
            "macro": {name: getattr(self.total, name) for name in ("precision", "recall", "f1")},
            "tags": [asdict(row) for row in self.rows],
            "errors": self.error_list(),
        }
