"""Which pictures of some data do what for a file of 8 bits: give the scales, decide what stays, and confirm it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnetkit.data.lists import Columns
from resnetkit.data.parts import Part, subset
from resnetkit.data.split import carve
from resnetkit.errors import DataError, UsageError, plain, some
from resnetkit.examining import source_of
from resnetkit.modelfile import Card
from resnetkit.scored import scored

SHARE = 0.1  # of train that is held out where nobody else has done so


@dataclass(frozen=True)
class Parted:
    """Parts of some data that share no picture, but for the first where it says so."""

    scales: Part
    scales_from: str  # train or val
    val: Part
    test: Part | None
    notes: tuple[str, ...]  # what is worth saying of them


def parted(card: Card, folder: Path | None, data: str, columns: Columns | None = None) -> Parted:
    """Train, val and test as evaluate would choose them, for the model of ``card``, whose run is in ``folder``.

    Where nothing says what val is, a tenth of train is, evenly of each class. Raises UsageError for data that have
    neither, DataError for what cannot be read.
    """
    source, groups = source_of(card, data, columns=columns)

    def part(name: str) -> Part | None:
        try:
            return scored(card, source, name, folder, groups)[1]
        except DataError:
            return None

    train, val, test, notes = part("train"), part("val"), part("test"), list[str]()
    whole = source.parts.get("train") or source.parts.get("all")
    if val is None and whole is None:
        raise UsageError(
            f"{plain(data)} has neither a val part nor a train part, and int8 is decided on val",
            "give --data that has one, or leave --precision out",
        )
    if val is None:
        assert whole is not None
        train, val = held_out(card, source.classes, whole, groups)
        test = test if "all" not in source.parts else None
        notes.append(
            f"{plain(data)} has no val part, and the model none of its own: a tenth of it decides, "
            "which the model may have learned"
        )
    if card.task == "classes" and (gone := set(range(len(card.classes))) - set(map(int, val.labels))):
        notes.append(f"val has no picture of {some([card.classes[i] for i in sorted(gone)])}")
    if train is None:
        notes.append(f"{plain(data)} has no train part: the scales come from val")
    scales_from = "val" if train is None else "train"
    return Parted(val if train is None else train, scales_from, val, test, tuple(notes))


def held_out(card: Card, classes: Sequence[str], whole: Part, groups: Sequence[str] | None) -> tuple[Part, Part]:
    rows = carve(whole.names, whole.labels, classes, share=SHARE, seed=0, groups=groups, task=card.task)
    train, val = (subset(whole, one) for one in rows)
    return train, val


def left_out(said: str, part: Part, rows: Sequence[int]) -> tuple[str, ...]:
    """What to say of pictures of a part, called ``said``, that cannot be read, if there are any."""
    if not rows:
        return ()
    names = some([part.names[i] for i in rows])
    return (f"left out of {said}, for they cannot be read: {names}",)


def evenly(part: Part, most: int) -> list[int]:
    """Places of up to so many pictures, from the first to the last."""
    found: list[int] = np.unique(np.linspace(0, len(part.names) - 1, most).astype(int)).tolist()
    return found
