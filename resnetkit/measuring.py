"""How far a network's answers are from the numbers that pictures have."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from resnetkit import metrics
from resnetkit.errors import many
from resnetkit.evaluation import Examined
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class NumberEvaluation(Examined):
    """Of pictures with one or more numbers each."""

    task: TaskName = "numbers"

    @property
    def loss(self) -> float:
        """Mean square of the differences, in deviations of the pictures learned from."""
        return float(metrics.number_losses(self.answers.logits, self.answers.labels, self.scale).mean())

    @cached_property
    def said(self) -> metrics.Shares:
        """The answers in the units of the numbers: (pictures, numbers)."""
        return metrics.scaled(self.answers.logits, self.scale)

    @cached_property
    def rows(self) -> list[metrics.NumberRow]:
        return metrics.number_rows(self.said, self.answers.labels, self.classes)

    @property
    def r2(self) -> float:
        """Mean over the numbers."""
        return sum(row.r2 for row in self.rows) / len(self.rows)

    def headline(self) -> str:
        off = "; ".join(f"{row.name}: MAE {row.mae:.4g}, RMSE {row.rmse:.4g}" for row in self.rows[:3])
        return f"R2 {self.r2:.4f} on {self.split} ({many(self.n, 'picture')}); {off}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet eval --json`."""
        return {
            "task": self.task,
            "split": self.split,
            "r2": self.r2,
            "loss": self.loss,
            "n": self.n,
            "numbers": [asdict(row) for row in self.rows],
            "errors": self.error_list(),
        }
