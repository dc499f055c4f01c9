"""A model is asked every picture of one part of some data, and the answers become figures."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from resnetkit.answers import Answers, Ask, Pictures, join
from resnetkit.data.decode import MAX_PIXELS
from resnetkit.data.parts import Part, Source
from resnetkit.data.sources import Columns, open_source
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.evaluation import Examined
from resnetkit.examined import examined
from resnetkit.inputs import path_of, usual_workers
from resnetkit.mirror import asking
from resnetkit.modelfile import Card
from resnetkit.scored import grouped_as, scored, told_of
from resnetkit.slices import Looks


class Asked(Protocol):
    """What is asked: an Answerer."""

    card: Card
    folder: Path | None

    def ask(self, images: Pictures) -> NDArray[np.float32]: ...

    def answers(self, part: Part, ask: Ask, workers: int) -> Iterator[Answers]: ...

    def refuse_overflow(self, logits: NDArray[np.float32]) -> None: ...


def examine(
    model: Asked,
    data: str | os.PathLike[str],
    split: str | None = None,
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    columns: Columns | None = None,
    watch: Callable[[int, int], None] | None = None,
    mirror: bool = False,
    group_pattern: str | None = None,
) -> Examined:
    """What Answerer.evaluate says."""
    ask = asking(model.card, model.ask, mirror)
    source, name, part = part_of(
        model.card,
        model.folder,
        data,
        split,
        max_pixels=max_pixels,
        columns=columns,
        group_pattern=group_pattern,
    )
    looks, part = Looks.at(part)
    parts, done = [], 0
    for some_answers in model.answers(part, ask, usual_workers(workers)):
        model.refuse_overflow(some_answers.logits)
        parts.append(some_answers)
        done += len(some_answers.labels) + len(some_answers.errors)
        if watch:
            watch(done, len(part.names))
    return examined(model.card, name, part, join(parts), source.notes, looks, mirror)


def part_of(
    card: Card,
    folder: Path | None,
    data: str | os.PathLike[str],
    split: str | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    columns: Columns | None = None,
    group_pattern: str | None = None,
) -> tuple[Source, str, Part]:
    """The data, and the part of it that the model of ``card`` is asked, with its name."""
    source, held_by = source_of(card, data, max_pixels=max_pixels, columns=columns, group_pattern=group_pattern)
    return source, *scored(card, source, split, folder, held_by)


def source_of(
    card: Card,
    data: str | os.PathLike[str],
    *,
    max_pixels: int = MAX_PIXELS,
    columns: Columns | None = None,
    group_pattern: str | None = None,
) -> tuple[Source, Sequence[str] | None]:
    """The data in the terms of a model, and the groups that its validation part was carved by."""
    told = told_of(card, columns)
    source = opened(card, path_of(data), told, max_pixels)
    if columns is not None and source.kind != "list" and not columns.asked() <= set(source.columns):
        raise UsageError(f"{plain(data)} is not a list, and has no such columns", "leave the columns out")
    if source.task != card.task:
        raise DataError(
            f"the labels of {plain(data)} are {source.task}, and the model says {card.task}",
            "give a list with such labels",
        )
    before = source  # with the groups that the validation part was carved by
    if columns is not None and columns.group not in (None, card.run.get("group_column")):
        before = opened(card, path_of(data), replace(told, group=None), max_pixels)
    whole = before.parts.get("all") or before.parts.get("train")
    return grouped_as(card, source, columns, group_pattern), whole.groups if whole else None


def opened(card: Card, data: str, told: Columns, max_pixels: int) -> Source:
    """The data with the classes of a model."""
    try:
        return open_source(data, max_pixels=max_pixels, classes=card.classes, columns=told)
    except DataError as error:
        numbered = not card.run and all(name.isdecimal() for name in card.classes)  # imported without names
        if "does not have" not in error.what or not numbered:
            raise
        raise DataError(error.what, "name the classes of the model when it is imported: --classes") from error
