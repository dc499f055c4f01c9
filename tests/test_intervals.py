"""Intervals hold the true figure as often as they say, whole groups are drawn where pictures err together."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from resnetkit.errors import UsageError
from resnetkit.intervals import between, of_classes, over_seeds, tallies, units_of, wilson
from resnetkit.metrics import Counts, class_rows, confusion, one_against_rest, softmax, total

NOMINAL = 0.9
TIMES = 400  # of 400 a share of 0.9 is between 0.86 and 0.94 all but once in a hundred
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "loss")


def truth(joint: np.ndarray) -> dict[str, float]:
    """The figures of a population of which each share is (true, predicted)."""
    right, support, called = joint.diagonal(), joint.sum(1), joint.sum(0)
    f1 = 2 * right / (support + called)
    return {"accuracy": right.sum(), "balanced_accuracy": (right / support).mean(), "macro_f1": f1.mean(), "loss": 1.0}


def population(classes: int = 4) -> np.ndarray:
    """Classes of different size that are told apart differently well."""
    shares = np.arange(1, classes + 1) / np.arange(1, classes + 1).sum()
    table = np.full((classes, classes), 0.1) + np.diag(np.linspace(1.0, 3.0, classes))
    return shares[:, None] * table / table.sum(1, keepdims=True)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    joint, rng = population(), np.random.default_rng(1)
    true, held = truth(joint), dict.fromkeys(FIGURES, 0)
    for _ in range(TIMES):
        cells = rng.choice(joint.size, 250, p=joint.ravel())
        spans = of_classes(cells // 4, cells % 4, rng.exponential(1, 250), 4, level=NOMINAL, draws=300)
        for name in FIGURES:
            held[name] += spans[name].low <= true[name] <= spans[name].high
    shares = {name: count / TIMES for name, count in held.items()}
    assert all(0.86 <= share <= 0.94 for share in shares.values()), shares


def test_groups_that_err_together_are_drawn_together() -> None:
    """As one picture after another, intervals would be far too short: of 24 cameras each sees 20 frames."""
    rng, held, alone = np.random.default_rng(2), 0, 0
    names = [f"camera {i // 20}" for i in range(480)]
    for _ in range(TIMES):
        right = rng.random(480) < np.repeat(rng.beta(4, 1, 24), 20)  # the mean of such groups is 0.8
        labels = rng.integers(0, 2, 480)
        said = np.where(right, labels, 1 - labels)
        spans = of_classes(labels, said, np.ones(480), 2, groups=names, level=NOMINAL, draws=300)
        assert (spans["over"], spans["units"]) == ("groups", 24)
        held += spans["accuracy"].low <= 0.8 <= spans["accuracy"].high
        low, high = wilson(int(right.sum()), 480, NOMINAL)
        alone += low <= 0.8 <= high
    assert 0.86 <= held / TIMES <= 0.94
    assert alone / TIMES < 0.75


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (99, 100), (12, 12)])
def test_wilson_is_scipys(right: int, n: int) -> None:
    theirs = binomtest(right, n).proportion_ci(0.95, "wilson")
    assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def random_answers(seed: int, n: int = 200, classes: int = 5) -> tuple[np.ndarray, Counts]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    return rng.normal(0, 1, (n, classes)) + 1.5 * (labels[:, None] == np.arange(classes)), labels


def test_balanced_figures_are_those_of_scikit_learn() -> None:
    logits, labels = random_answers(3)
    said, chances = logits.argmax(1), softmax(logits)
    averages = one_against_rest(chances, labels)
    rows = class_rows(confusion(labels, said, 5), "abcde", averages)
    whole = total(rows)
    assert whole.recall == pytest.approx(balanced_accuracy_score(labels, said))
    assert whole.f1 == pytest.approx(f1_score(labels, said, average="macro"))
    theirs = [average_precision_score(labels == k, chances[:, k]) for k in range(5)]
    assert [row.average_precision for row in rows] == pytest.approx(theirs)
    assert whole.average_precision == pytest.approx(np.mean(theirs))
    absent = class_rows(confusion(labels, said, 6), "abcdef", [*averages, None])
    assert total(absent).average_precision == whole.average_precision


def test_each_draw_counts_every_figure() -> None:
    """The sums of one sample in which each picture comes once are the figures themselves."""
    logits, labels = random_answers(4)
    said = logits.argmax(1)
    sums = tallies(labels, said, np.full(200, 0.5), 5).sum(0)
    table = confusion(labels, said, 5)
    assert sums.tolist() == [*table.diagonal(), *table.sum(1), *table.sum(0), 100]
    spans = of_classes(labels, said, np.full(200, 0.5), 5)
    assert spans["balanced_accuracy"].low < balanced_accuracy_score(labels, said) < spans["balanced_accuracy"].high
    assert spans["macro_f1"].low < f1_score(labels, said, average="macro") < spans["macro_f1"].high
    assert spans == of_classes(labels, said, np.full(200, 0.5), 5)
    assert spans["loss"] is None  # it never varies


def test_where_nothing_can_be_told_there_is_no_interval() -> None:
    ones = np.ones(1, np.int64)
    assert of_classes(ones, ones, np.ones(1), 2)["macro_f1"] is None
    spans = of_classes(np.arange(9) % 3, np.arange(9) % 3, np.zeros(9), 3)
    assert spans["balanced_accuracy"] is None
    assert spans["accuracy"].high == 1
    assert spans["accuracy"].low < 0.75
    assert of_classes(np.arange(9) % 3, np.arange(9) % 3, np.zeros(9), 3, groups=["a"] * 9)["accuracy"] is None


def test_a_few_groups_tell_nothing() -> None:
    labels, groups = np.arange(70) % 2, [f"{i % 7}" for i in range(70)]
    said = np.where(np.arange(70) % 5 == 0, 1 - labels, labels)
    few = of_classes(labels, said, np.ones(70), 2, groups=groups)
    assert [few[name] for name in FIGURES] == [None] * 4
    more = of_classes(labels, said, np.ones(70), 2, groups=[f"{i % 8}" for i in range(70)])
    assert more["accuracy"] is not None


def test_few_units_have_wider_intervals() -> None:
    values = np.random.default_rng(0).normal(0, 1, 5000)
    many, few = between(values, 10_000), between(values, 8)
    assert many is not None
    assert few is not None
    assert many == pytest.approx((-1.96, 1.96), abs=0.1)
    assert few.low < 1.2 * many.low


def test_units() -> None:
    assert units_of(3, None).tolist() == [0, 1, 2]
    assert units_of(4, ["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]


def test_runs_that_differ_in_their_seed() -> None:
    runs = [{"accuracy": value} for value in (0.9, 0.92, 0.88, 0.91)]
    found = over_seeds(runs, "accuracy")
    theirs = ttest_1samp([run["accuracy"] for run in runs], 0).confidence_interval(0.95)
    assert found["interval"] == pytest.approx((theirs.low, theirs.high))
    assert (found["runs"], found["mean"]) == (4, pytest.approx(0.9025))
    assert over_seeds(runs[:1], "accuracy")["interval"] is None


def test_seeds_of_nothing_are_refused() -> None:
    """By the module itself, which a documented line imports."""
    runs = [{"accuracy": 0.9, "loss": 0.3, "split": "test", "classes": []}, {"accuracy": 0.8, "loss": 0.4}]
    wrong: list[tuple[Any, Any, dict[str, Any], str]] = [
        ([], "accuracy", {}, "no run"),
        (runs, "acuracy", {}, "acuracy is no figure of every run; did you mean accuracy"),
        (runs, "split", {}, "split is no figure of every run"),
        (runs, "classes", {}, "classes is no figure"),
        (runs, None, {}, "None is no figure"),
        ([*runs, {"mean_ap": 0.4}], "accuracy", {}, "accuracy is no figure of every run"),
        (["runs/0", "runs/1"], "accuracy", {}, "runs/0 is not the contents"),
        (runs[0], "accuracy", {}, "not several runs"),
        (None, "accuracy", {}, "not several runs"),
        (runs, "accuracy", {"level": 2}, "level is 2, no share"),
        (runs, "accuracy", {"level": "a"}, "level is 'a', no share"),
        (runs, "accuracy", {"level": 0}, "level is 0, no share"),
    ]
    for given, figure, more, says in wrong:
        with pytest.raises(UsageError, match=says) as error:
            over_seeds(given, figure, **more)
        assert error.value.fix
    for name in ("evaluation.md", "evaluation.zh-CN.md"):
        text = (Path(__file__).parent.parent / "docs" / name).read_text(encoding="utf-8")
        assert "from resnetkit.intervals import over_seeds" in text
        assert "resnetkit.intervals.over_seeds" not in text
