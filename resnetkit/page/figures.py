"""Figures of an evaluation: a row for each class, tag or number, how far to trust probabilities, where it is worst."""

from collections.abc import Iterator

from resnetkit.errors import plain
from resnetkit.evaluation import Evaluation, Examined
from resnetkit.measuring import NumberEvaluation
from resnetkit.page.chart import cloud, reliability, risks
from resnetkit.page.page import Section
from resnetkit.tagging import TagEvaluation

CLOUDS = 6  # numbers that are drawn
SLICES = 12


def figures(evaluation: Examined) -> Iterator[Section]:
    """The table of the task, and what belongs to it."""
    if isinstance(evaluation, TagEvaluation):
        yield Section("tags", {"rows": evaluation.rows, "micro_f1": evaluation.micro_f1})
    elif isinstance(evaluation, NumberEvaluation):
        drawn = zip(evaluation.rows[:CLOUDS], evaluation.answers.labels.T, evaluation.said.T, strict=False)
        clouds = [(row.name, cloud(truth, said)) for row, truth, said in drawn]
        yield Section("numbers", {"rows": evaluation.rows, "clouds": clouds})
    else:
        assert isinstance(evaluation, Evaluation)
        total, spans = evaluation.total, evaluation.intervals
        shown = {"rows": evaluation.rows, "balanced": total.recall, "f1": total.f1, "spans": spans}
        yield Section("classes", {**shown, "top5": evaluation.top5})
    if evaluation.split == "val":
        yield Section("aside", {"says": "chosen by"})


def trust(evaluation: Examined) -> Iterator[Section]:
    """Of classes: whether the probabilities can be believed, what unsure answers risk, and where it is worst."""
    if not isinstance(evaluation, Evaluation):
        return
    about, selective = evaluation.calibration, evaluation.selective
    kept = selective.get("reject")
    charts = [("reliability", reliability(about)), ("risks", risks(selective))]
    yield Section("trust", {"charts": charts, "calibration": about, "reject": kept, "val": evaluation.split == "val"})
    if found := evaluation.slices():
        rows = [(one.kind, plain(one.name), one) for one in found[:SLICES]]
        yield Section("slices", {"rows": rows, "more": len(found) - len(rows)})


def unread(evaluation: Examined) -> Iterator[Section]:
    if evaluation.errors:
        rows = [(plain(name), plain(why).removeprefix(f"{plain(name)} ")) for name, why in evaluation.errors]
        yield Section("unread", {"rows": rows})
