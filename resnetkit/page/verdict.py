"""The sentences at the head of a page: how good, against what, and what goes wrong most."""

import numpy as np
from markupsafe import Markup

from resnetkit.evaluation import Evaluation, Examined
from resnetkit.measuring import NumberEvaluation
from resnetkit.page.phrases import phrase
from resnetkit.tagging import TagEvaluation
from resnetkit.trouble.finding import Checkup


def verdict(evaluation: Examined) -> list[Markup]:
    """Three sentences, whatever the task is."""
    if isinstance(evaluation, TagEvaluation):
        return of_tags(evaluation)
    if isinstance(evaluation, NumberEvaluation):
        return of_numbers(evaluation)
    assert isinstance(evaluation, Evaluation)
    return of_classes(evaluation)


def of_classes(evaluation: Evaluation) -> list[Markup]:
    n, correct, span = evaluation.n, evaluation.correct, evaluation.intervals["accuracy"]
    counts = evaluation.confusion.sum(1)
    share, most = float(counts.max() / n), evaluation.classes[int(counts.argmax())]
    told = {"n": n, "split": phrase(f"part {evaluation.split}"), "correct": correct, "accuracy": correct / n}
    said = [
        phrase("right", **told, low=span.low, high=span.high) if span else phrase("right alone", **told),
        phrase("better" if span and span.low > share else "not better", name=most, share=share),
    ]
    found = pairs(evaluation)
    return [*said, mistake(evaluation, *found[0]) if found else phrase("no mistake")]


def of_tags(evaluation: TagEvaluation) -> list[Markup]:
    part, known = phrase(f"part {evaluation.split}"), [row for row in evaluation.rows if row.support]
    said = [
        phrase("all tags", n=evaluation.n, split=part, correct=evaluation.correct, share=evaluation.exact),
        phrase("mean precision", value=evaluation.mean_ap, tags=len(evaluation.rows)),
    ]
    worst = min(known, key=lambda row: row.average_precision or 0.0, default=None)
    if worst is None:
        return said
    return [*said, phrase("worst tag", name=worst.name, value=worst.average_precision or 0.0, support=worst.support)]


def of_numbers(evaluation: NumberEvaluation) -> list[Markup]:
    rows, part = evaluation.rows, phrase(f"part {evaluation.split}")
    worst = min(rows, key=lambda row: row.r2)
    off = phrase("off by", name=worst.name, mae=worst.mae, rmse=worst.rmse)
    spread = phrase("against the mean", name=worst.name, deviation=worst.deviation, r2=worst.r2)
    return [phrase("explained", n=evaluation.n, split=part, r2=evaluation.r2), off, spread]


def of_data(found: Checkup) -> list[Markup]:
    counts = found.counts
    said = [phrase("looked at", n=sum(found.sizes.values()))]
    if not counts:
        return [*said, phrase("nothing wrong")]
    worst = next(iter(counts))
    said.append(phrase("most urgent", count=counts[worst], kind=phrase(f"kind {worst}"), kinds=len(counts)))
    return [*said, phrase("can train" if found.trainable else "cannot train")]


def pairs(evaluation: Evaluation) -> list[tuple[int, int]]:
    """Classes taken for one another, (true, said), the commonest first."""
    table = evaluation.confusion.copy()
    table[range(len(table)), range(len(table))] = 0
    order = np.argsort(-table, axis=None, kind="stable")[: int((table > 0).sum())]
    return [(int(place // len(table)), int(place % len(table))) for place in order]


def mistake(evaluation: Evaluation, true: int, said: int) -> Markup:
    row = evaluation.confusion[true]
    names = {"true": evaluation.classes[true], "said": evaluation.classes[said]}
    return phrase("mistake", **names, count=int(row[said]), support=int(row.sum()))
