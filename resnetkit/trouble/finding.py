"""What is found to be wrong: values for people, programs and pages."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from resnetkit.data.decode import Picture
from resnetkit.data.labels import words_of
from resnetkit.data.parts import PartName, Source, shown
from resnetkit.errors import UsageError, some

# What there may be, the worst first.
KINDS = {
    "unreadable": "pictures that cannot be read",
    "strange-class": "classes that train does not have",
    "lonely-class": "classes of which nothing can be held out",
    "two-labels": "pictures that are there under two labels",
    "leak": "pictures that are in two parts",
    "near-leak": "nearly the same pictures in two parts",
    "missing-class": "classes without pictures in a part",
    "label": "labels that may be wrong, the most suspicious first",
    "tiny-class": "classes of few pictures",
    "imbalance": "classes of very different size",
    "duplicate": "pictures that are there more than once",
    "near-duplicate": "nearly the same pictures",
    "blank": "pictures of one colour",
    "dark": "pictures darker than the rest",
    "bright": "pictures brighter than the rest",
    "blurred": "pictures more blurred than the rest",
    "size": "pictures of another size than the rest",
    "aspect": "pictures of another shape than the rest",
    "mode": "pictures stored in another way than the rest",
    "format": "files of another format than their name says, or than the rest",
}
STOPS = ("unreadable", "strange-class", "lonely-class")  # training ends before its first step


@dataclass(frozen=True)
class Finding:
    """One trouble: of one picture, of several that belong together, or of none where it is of a class."""

    kind: str  # one of KINDS
    words: str  # what is wrong
    part: str = ""  # where: train, val, test or all; of twins all of their parts, as in "train, test"
    rows: tuple[int, ...] = ()  # places of the pictures in the whole source, part after part
    paths: tuple[str, ...] = ()  # as messages name them: the part, then the path in it
    labels: tuple[str, ...] = ()  # that those pictures have, or the class that this is about
    score: float | None = None  # how bad, where it is measured: findings of a kind are in that order
    better: str | None = None  # of a suspected label, what it may be instead

    def as_dict(self) -> dict[str, Any]:
        lists = {name: list(value) for name, value in vars(self).items() if isinstance(value, tuple)}
        return vars(self) | lists


@dataclass(frozen=True)
class Album:
    """The pictures of all parts in one row, by name."""

    paths: tuple[str, ...]
    labels: tuple[str, ...]  # in words
    parts: tuple[PartName, ...]

    @classmethod
    def of(cls, source: Source) -> "Album":
        every = source.parts.values()
        paths = [name for part in every for name in shown(source, part)]
        labels = [word for part in every for word in words_of(source.task, source.classes, part.labels)]
        return cls(tuple(paths), tuple(labels), tuple(part.name for part in every for _ in part.names))

    def finding(
        self, kind: str, words: str, rows: Iterable[int], score: float | None = None, better: str | None = None
    ) -> Finding:
        """One that is about these pictures."""
        rows = tuple(map(int, rows))
        part = ", ".join(dict.fromkeys(self.parts[row] for row in rows))
        paths, labels = (tuple(of[row] for row in rows) for of in (self.paths, self.labels))
        return Finding(kind, words, part, rows, paths, labels, score, better)


@dataclass(frozen=True)
class Cleaned:
    """The list that was written of what is not in the way of training."""

    path: Path
    kept: int
    left_out: tuple[tuple[str, str], ...]  # path and why, in the order of the source
    beside: Path | None  # a list of what was left out, if anything was
    command: tuple[str, ...]  # that trains on the list
    trainable: bool  # whether that would begin

    def as_dict(self) -> dict[str, Any]:
        left_out = [{"path": path, "why": why} for path, why in self.left_out]
        about = {"list": str(self.path), "kept": self.kept, "trainable": self.trainable}
        return about | {"left_out": left_out, "command": list(self.command)}


@dataclass(frozen=True)
class Checkup:
    """All that was found in one source of pictures."""

    data: str
    task: str
    classes: tuple[str, ...]
    sizes: dict[str, int]  # pictures of each part
    class_sizes: dict[str, dict[str, int]]  # pictures of each class in each part; empty for tags and numbers
    findings: tuple[Finding, ...]  # the worst kind first
    notes: tuple[str, ...]  # of the source, and what was not looked for and why
    # Any picture by its row, while it is where it was.
    read: Callable[[int], Picture] | None = field(default=None, compare=False, repr=False)
    cleaned: Cleaned | None = None  # the list, if one was asked for
    remedies: tuple[str, ...] = ()  # flags that training can begin with as the pictures are, where it would stop

    @property
    def counts(self) -> dict[str, int]:
        """Findings of each kind, the worst first."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    @property
    def trainable(self) -> bool:
        """Whether training would begin. What is found beside that is for people to judge."""
        return not any(finding.kind in STOPS for finding in self.findings)

    def of(self, kind: str) -> list[Finding]:
        """The findings of one of KINDS; raises UsageError for any other."""
        if kind not in KINDS:
            raise UsageError(f"there is no kind of finding {kind!r:.80}", f"the kinds are {some(KINDS, len(KINDS))}")
        return [finding for finding in self.findings if finding.kind == kind]

    def as_dict(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "task": self.task,
            "trainable": self.trainable,
            "pictures": self.sizes,
            "classes": list(self.classes),
            "class_pictures": self.class_sizes,
            "counts": self.counts,
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": list(self.notes),
        } | ({"cleaned": self.cleaned.as_dict()} if self.cleaned else {})


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst kind first, and of a kind the worst that is measured."""
    order = list(KINDS)
    return tuple(
        sorted(findings, key=lambda one: (order.index(one.kind), -np.inf if one.score is None else -one.score))
    )
