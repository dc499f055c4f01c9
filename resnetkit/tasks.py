"""What a label is: one of several classes, any number of tags, or numbers."""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal["classes", "tags", "numbers"]


@dataclass(frozen=True)
class Task:
    """What a network is to say of a picture, and by which figure it is judged."""

    name: TaskName
    one: str  # what a logit stands for
    losses: tuple[str, ...]  # that suit it, the usual one first
    judge: str  # the figure by which epochs and runs are compared: the higher, the better
    says: str  # that figure in words
    shown: str  # how it is written


TASKS: dict[str, Task] = {
    "classes": Task("classes", "class", ("cross-entropy", "bce", "focal"), "accuracy", "accuracy", ".2%"),
    "tags": Task("tags", "tag", ("bce", "focal"), "mean_ap", "mean average precision", ".4f"),
    "numbers": Task("numbers", "number", ("huber", "mse"), "r2", "R2", ".4f"),
}
JUDGES = {f"val_{task.judge}": task for task in TASKS.values()}


def judged_by(row: dict[str, int | float]) -> Task:
    """The task of the run that a row of its epochs, or its figures, come from."""
    return next(task for name, task in JUDGES.items() if name in row)
