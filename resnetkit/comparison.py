"""Two models on the same pictures: which is better, where, and how sure that is."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from resnetkit import pairs
from resnetkit.classifier import ModelOrPath, model_of
from resnetkit.data.sources import Columns
from resnetkit.errors import DataError, UsageError, many, some
from resnetkit.evaluation import Evaluation
from resnetkit.intervals import LEVEL, Interval
from resnetkit.pairs import Flags, Pairs, Verdict

SHOWN = 20  # pictures where the two differ most


@dataclass(frozen=True)
class Duel:
    """The pictures of one class."""

    name: str
    pairs: Pairs
    p: float | None  # for its being one of many classes; None in groups, of which it knows nothing
    better: str | None  # a or b; None where that cannot be said


@dataclass(frozen=True)
class Apart:
    """A picture that one has right and the other has wrong."""

    path: str
    label: str
    a: str  # what A says
    b: str
    lead: float  # the probability that A gives the label, less that of B


@dataclass(frozen=True)
class Comparison:
    """Two evaluations of the same pictures."""

    a: Evaluation
    b: Evaluation

    @cached_property
    def right(self) -> tuple[Flags, Flags]:
        """Whether each is right on each picture."""
        a, b = (one.predicted == one.answers.labels for one in (self.a, self.b))
        return a, b

    @cached_property
    def pairs(self) -> Pairs:
        return Pairs.of(*self.right)

    @cached_property
    def judge(self) -> Evaluation | None:
        """The one of the two whose groups both are judged by: the coarser ones, where the two know other groups."""
        of = pairs.coarser(self.a.answered_groups, self.b.answered_groups)
        return None if of is None else self.a if of == "a" else self.b

    @property
    def groups(self) -> list[str] | None:
        """The group of each picture that was answered."""
        return None if self.judge is None else self.judge.answered_groups

    @property
    def units(self) -> int:
        """How many pictures, or groups, there are to tell by."""
        return self.a.n if self.groups is None else len(set(self.groups))

    @property
    def notes(self) -> list[str]:
        """What is worth saying of the data, and of whose groups are taken."""
        a, b = self.a.answered_groups, self.b.answered_groups
        said = list(dict.fromkeys([*self.a.notes, *self.b.notes]))
        if a is None or b is None or pairs.opened(a) == pairs.opened(b):
            return said
        whose = "A" if self.judge is self.a else "B"
        counts = f"A {len(set(a)):,}, B {len(set(b)):,}"
        return [
            *said,
            f"the two know different groups ({counts}): both are judged by the coarser ones, those of {whose}",
        ]

    @cached_property
    def interval(self) -> Interval | None:
        """Of the accuracy of A less that of B."""
        return pairs.difference_interval(*self.right, self.groups)

    @property
    def better(self) -> str | None:
        """``a``, ``b``, or None where neither is surely better."""
        return pairs.winner(self.pairs, self.interval, grouped=self.groups is not None)

    @property
    def verdict(self) -> Verdict:
        """``a`` or ``b`` is better, both are as good as ``equal``, or it is ``unclear`` from so few pictures."""
        return pairs.verdict(self.pairs, self.interval, self.units, grouped=self.groups is not None)

    @property
    def p(self) -> float | None:
        """McNemar's; None in groups, of which it knows nothing."""
        return self.pairs.p if self.groups is None else None

    @cached_property
    def classes(self) -> list[Duel]:
        """Each class that has pictures, in the order of A."""
        a, b = self.right
        places = [i for i in range(len(self.a.classes)) if (self.a.answers.labels == i).any()]
        found = [Pairs.of(a[self.a.answers.labels == i], b[self.a.answers.labels == i]) for i in places]
        if self.groups is not None:
            return [Duel(self.a.classes[i], one, None, None) for i, one in zip(places, found, strict=True)]
        chances = pairs.adjusted([one.p for one in found])
        return [
            Duel(self.a.classes[i], one, p, None if p >= 1 - LEVEL else "a" if one.difference > 0 else "b")
            for i, one, p in zip(places, found, chances, strict=True)
        ]

    @cached_property
    def apart(self) -> list[Apart]:
        """The pictures that one alone has right, where the label's probability differs most first."""
        rows = np.arange(self.a.n)
        sure = [one.probabilities[rows, one.answers.labels] for one in (self.a, self.b)]
        lead = sure[0] - sure[1]
        a, b = self.right
        order = sorted(np.flatnonzero(a != b).tolist(), key=lambda i: -abs(lead[i]))
        said = [[one.classes[k] for k in one.predicted] for one in (self.a, self.b)]
        index, labels = self.a.answers.index, self.a.answers.labels
        return [
            Apart(self.a.names[index[i]], self.a.classes[labels[i]], said[0][i], said[1][i], float(lead[i]))
            for i in order
        ]

    def headline(self) -> str:
        """Who is better, in one line."""
        span = self.interval
        known = f" (between {span.low:+.2%} and {span.high:+.2%})" if span else ""
        figures = f"A {self.a.accuracy:.2%}, B {self.b.accuracy:.2%}, A less B {self.pairs.difference:+.2%}{known}"
        said = {
            "equal": f"as good as equal: less than {100 * pairs.CLOSE:g} points apart",
            "unclear": f"cannot be told apart on so few {'pictures' if self.groups is None else 'groups'}",
        }.get(self.verdict, f"{self.verdict.upper()} is better")
        whole = "" if self.groups is None else f" in {many(self.units, 'group')}"
        chance = "" if self.p is None else f"; p {self.p:.3g}"
        return f"{said}; {figures} on {many(self.a.n, 'picture')}{whole} of {self.a.split}{chance}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON document of `resnet compare --json`."""
        return {
            "split": self.a.split,
            "n": self.a.n,
            "accuracy": {"a": self.a.accuracy, "b": self.b.accuracy},
            "pairs": vars(self.pairs),
            "difference": self.pairs.difference,
            "interval": pairs.as_json(self.interval),
            "level": LEVEL,
            "over": "pictures" if self.groups is None else "groups",
            "units": self.units,
            "mcnemar_p": self.p,
            "better": self.better,
            "verdict": self.verdict,
            "classes": [
                {"name": one.name, **vars(one.pairs), "difference": one.pairs.difference, "p": one.p}
                | {"better": one.better}
                for one in self.classes
            ],
            "apart": [vars(one) for one in self.apart[:SHOWN]],
            "errors": self.a.error_list(),
        }


def compare(
    a: ModelOrPath,
    b: ModelOrPath,
    data: str | os.PathLike[str],
    split: str | None = None,
    *,
    workers: int | None = None,
    columns: Columns | None = None,
    watch: Callable[[int, int], None] | None = None,
    group_pattern: str | None = None,
) -> Comparison:
    """Ask two models, or their files, the same pictures: one part of ``data``, as Classifier.evaluate takes it.

    Both are judged by the groups that ``columns`` or ``group_pattern`` say, or that either of the two remembers.
    Raises UsageError where one does not answer with classes, or with others than the other, DataError where the part
    holds pictures that one of them learned from.
    """
    models = [model_of(one) for one in (a, b)]
    for name, model in zip("AB", models, strict=True):
        if model.card.task != "classes":
            what = f"{name} answers with {model.card.task}, and models of classes are compared"
            raise UsageError(what, "give two models of classes")
    if set(models[0].classes) != set(models[1].classes):
        other = some(sorted(set(models[0].classes) ^ set(models[1].classes)))
        raise UsageError(f"only one of the two models knows {other}", "give two models of the same classes")
    first, second = (
        model.evaluate(data, split, workers=workers, columns=columns, watch=watch, group_pattern=group_pattern)
        for model in models
    )
    same = first.split == second.split and first.names == second.names
    if not same or first.answers.index.tolist() != second.answers.index.tolist():
        raise DataError(
            f"the two would be asked different pictures: A {len(first.names):,} of {first.split}, B "
            f"{len(second.names):,} of {second.split}, since each is asked only what it did not learn from",
            "give data with a test part, or pictures that neither has seen",
        )
    return Comparison(first, second)
