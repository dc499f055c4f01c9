"""What a network takes for what, with the pictures: its answers one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resnetkit import metrics
from resnetkit.data.labels import words_of
from resnetkit.errors import plain
from resnetkit.evaluation import Evaluation
from resnetkit.measuring import NumberEvaluation
from resnetkit.page.page import Section
from resnetkit.page.thumbs import Thumbs
from resnetkit.page.verdict import mistake, pairs
from resnetkit.tagging import TagEvaluation
from resnetkit.trouble.suspects import suspects

WORST = 18  # mistakes that are shown
DOUBTED = 12  # labels likewise
A_CELL = 12  # pictures of a cell of the confusion matrix, at most
CELLS = 30  # classes, up to which the confusion matrix is a table; of more the commonest mistakes are a list
PAIRS = 20
BLUE, ORANGE = "29,108,176", "217,106,20"


@dataclass(frozen=True)
class Shown:
    """One picture of the part, and what was said of it."""

    row: int  # in the part
    name: str
    true: str
    said: str
    probability: float


def seen(evaluation: Evaluation) -> list[Shown]:
    """Every picture that was read."""
    answers, classes = evaluation.answers, evaluation.classes
    chances, first = evaluation.probabilities, evaluation.predicted
    return [
        Shown(
            int(index),
            plain(evaluation.names[index]),
            classes[int(answers.labels[i])],
            classes[int(first[i])],
            float(chances[i, first[i]]),
        )
        for i, index in enumerate(answers.index)
    ]


def of_classes(evaluation: Evaluation, thumbs: Thumbs) -> Iterator[Section]:
    """Who is taken for whom, the worst mistakes, and apart from these the labels that may be wrong."""
    every = seen(evaluation)
    found = suspects(evaluation.probabilities, evaluation.answers.labels)
    labels = cards_of([every[place] for place in found.rows.tolist()], thumbs, DOUBTED)
    hidden = {card["row"] for card in labels}
    wrong = sorted((one for one in every if one.true != one.said), key=lambda one: -one.probability)
    worst = cards_of([one for one in wrong if one.row not in hidden], thumbs, WORST)
    if len(evaluation.classes) > CELLS:
        yield Section("pairs", {"pairs": [mistake(evaluation, *pair) for pair in pairs(evaluation)[:PAIRS]]})
    else:
        cells = cells_of(evaluation, every, thumbs)
        kept = {key: thumbs.kept[key] for cell in cells.values() for key, _ in cell}
        shown = {"names": evaluation.classes, "matrix": matrix(evaluation), "cells": cells, "thumbs": kept}
        yield Section("confusion", shown)
    if worst:
        yield Section("worst", {"cards": worst, "says": "worst says"})
    if labels:
        yield Section("labels", {"cards": labels, "count": len(found.rows), "wrong": 1 - evaluation.accuracy})


def cards_of(shown: Sequence[Shown], thumbs: Thumbs, most: int) -> list[dict[str, Any]]:
    """The first of them that can be shown: a picture, the same under the heat of what was said of it, and words."""
    cards: list[dict[str, Any]] = []
    for one in shown:
        if len(cards) == most:
            break
        if key := thumbs.want(one.row):
            cards.append({"key": key, "heat": thumbs.want(one.row, one.said), **vars(one)})
    return cards


def matrix(evaluation: Evaluation) -> list[list[dict[str, Any]]]:
    """The confusion matrix as a table: counts, how dark, and what a cell is called."""
    table, names = evaluation.confusion, evaluation.classes
    return [
        [
            {
                "key": f"{i}-{j}",
                "count": int(count),
                "colour": f"rgba({BLUE if i == j else ORANGE},{0.65 * count / max(1, row.sum()):.3f})",
                "said": f"{names[i]} → {names[j]}: {int(count):,} / {int(row.sum()):,}",
            }
            for j, count in enumerate(row)
        ]
        for i, row in enumerate(table)
    ]


def cells_of(evaluation: Evaluation, every: Sequence[Shown], thumbs: Thumbs) -> dict[str, list[tuple[str, str]]]:
    """For each cell with pictures keys and names of some: mistakes that are surest, and right ones that are least."""
    place = {name: i for i, name in enumerate(evaluation.classes)}
    cells: dict[str, list[Shown]] = {}
    for one in sorted(every, key=lambda one: -one.probability if one.true != one.said else one.probability):
        cells.setdefault(f"{place[one.true]}-{place[one.said]}", []).append(one)
    found: dict[str, list[tuple[str, str]]] = {key: [] for key in cells}
    right = {f"{i}-{i}" for i in range(len(place))}
    for turn in range(A_CELL):  # one more of each, so that where room ends every cell has some
        for key in sorted(cells, key=right.__contains__):
            if turn < len(cells[key]) and (kept := thumbs.want(cells[key][turn].row)):
                found[key].append((kept, cells[key][turn].name))
    return found


def of_tags(evaluation: TagEvaluation, thumbs: Thumbs) -> Iterator[Section]:
    """The pictures of the highest loss, with the tags that they have and were said to have."""
    answers, names = evaluation.answers, evaluation.classes
    losses = metrics.tag_losses(answers.logits, answers.labels)
    truth, said = (words_of("tags", names, labels) for labels in (answers.labels, answers.logits >= 0))
    cards = []
    for place in np.argsort(-losses, kind="stable")[: 2 * WORST].tolist():
        if truth[place] != said[place] and (key := thumbs.want(int(answers.index[place]))):
            name = plain(evaluation.names[answers.index[place]])
            cards.append({"key": key, "heat": None, "name": name, "true": truth[place], "said": said[place]})
    if cards:
        yield Section("worst", {"cards": cards[:WORST], "says": "worst off"})


def of_numbers(evaluation: NumberEvaluation, thumbs: Thumbs) -> Iterator[Section]:
    """The pictures whose answers are furthest off, in deviations of what was learned from."""
    answers = evaluation.answers
    losses = metrics.number_losses(answers.logits, answers.labels, evaluation.scale)
    cards = []
    for place in np.argsort(-losses, kind="stable")[:WORST].tolist():
        if key := thumbs.want(int(answers.index[place])):
            name = plain(evaluation.names[answers.index[place]])
            true, said = (
                ", ".join(f"{value:.4g}" for value in row[place]) for row in (answers.labels, evaluation.said)
            )
            cards.append({"key": key, "heat": None, "name": name, "true": true, "said": said})
    yield Section("worst", {"cards": cards, "says": "worst off"})
