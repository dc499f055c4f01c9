"""Figures are scikit-learn's, on random answers and on the awkward ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, top_k_accuracy_score

from resnetkit.metrics import (
    Counts,
    Logits,
    accuracy,
    class_rows,
    confusion,
    cross_entropy,
    losses,
    ranking,
    softmax,
    topk,
    total,
)


def answers(seed: int, n: int, classes: int, absent: bool = False) -> tuple[Logits, Counts]:
    """Random logits and labels; with ``absent`` some classes are never true and some never predicted."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, classes)).astype(np.float32)
    labels = rng.integers(0, classes, n)
    if absent:
        labels[labels < classes // 3] = classes - 1
        logits[:, classes // 4 : classes // 2] = -50
    return logits, labels


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 12), st.booleans())
def test_class_figures_are_those_of_scikit_learn(seed: int, n: int, classes: int, absent: bool) -> None:
    logits, labels = answers(seed, n, classes, absent)
    predicted = logits.argmax(1)
    table = confusion(labels, predicted, classes)
    assert (table == confusion_matrix(labels, predicted, labels=range(classes))).all()

    rows = class_rows(table, [f"class {i}" for i in range(classes)])
    theirs = precision_recall_fscore_support(labels, predicted, labels=range(classes), zero_division=0)
    ours = [[getattr(row, name) for row in rows] for name in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-14, atol=0)

    there = np.unique(labels)  # a class without pictures was asked nothing
    mean = precision_recall_fscore_support(labels, predicted, labels=there, average="macro", zero_division=0)
    whole = total(rows)
    assert (whole.precision, whole.recall, whole.f1) == pytest.approx(mean[:3], rel=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 12))
def test_totals_add_up(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    rows = class_rows(confusion(labels, logits.argmax(1), classes), [str(i) for i in range(classes)])
    whole = total(rows)
    assert all(row.correct + row.incorrect == row.support for row in [*rows, whole])
    assert whole.support == n
    assert whole.correct / n == accuracy(logits, labels)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(3, 12))
def test_loss_and_topk_are_those_of_scikit_learn(seed: int, n: int, classes: int) -> None:
    logits, labels = answers(seed, n, classes)
    every = range(classes)
    assert cross_entropy(logits, labels) == pytest.approx(log_loss(labels, softmax(logits), labels=every), rel=1e-9)
    assert losses(logits, labels).mean() == cross_entropy(logits, labels)
    for k in range(1, classes):
        theirs = top_k_accuracy_score(labels, logits, k=k, labels=every) if classes > 2 else accuracy(logits, labels)
        assert topk(logits, labels, k) == pytest.approx(theirs)
    assert topk(logits, labels, classes) == 1


def test_figures_by_hand() -> None:
    table = np.array([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    a, b, none = class_rows(table, ["a", "b", "none"])
    assert (a.correct, a.incorrect, a.precision, a.recall, a.f1, a.support) == (3, 1, 0.6, 0.75, 6 / 9, 4)
    assert (b.correct, b.incorrect, b.precision, b.recall, b.support) == (4, 2, 0.8, 4 / 6, 6)
    assert (none.precision, none.recall, none.f1, none.support) == (0, 0, 0, 0)


def test_the_lower_class_wins_a_tie() -> None:
    logits = np.array([[1, 2, 2, 1], [0, 0, 0, 0]], np.float32)
    assert ranking(logits, 3).tolist() == [[1, 2, 0], [0, 1, 2]]
    assert (ranking(logits, 1)[:, 0] == logits.argmax(1)).all()
    assert topk(logits, np.array([2, 1]), 1) == 0
    assert topk(logits, np.array([2, 1]), 2) == 1


def test_far_logits_stay_finite() -> None:
    logits = np.array([[1e4, -1e4], [3e38, -3e38]], np.float32)
    assert softmax(logits).tolist() == [[1, 0], [1, 0]]
    assert losses(logits, np.array([0, 0])).tolist() == [0, 0]
    assert losses(logits, np.array([1, 0]))[0] == 2e4


def test_temperature_softens() -> None:
    logits = np.array([[2.0, 0.0]], np.float32)
    np.testing.assert_allclose(softmax(logits, 2.0), softmax(logits / 2), rtol=1e-15)
    assert softmax(logits, 1000.0)[0, 0] == pytest.approx(0.5, abs=1e-3)
    assert softmax(logits).dtype == np.float64
    assert softmax(logits).sum() == pytest.approx(1, rel=1e-15)


@pytest.mark.parametrize(("labels", "predicted"), [([0, 3], [0, 0]), ([0, 0], [0, 3]), ([-1, 0], [0, 0])])
def test_numbers_of_no_class_are_refused(labels: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match=r"0\.\.2"):
        confusion(np.array(labels), np.array(predicted), 3)


def test_nothing_asked_gives_an_empty_table() -> None:
    nothing = np.empty(0, np.int64)
    assert confusion(nothing, nothing, 3).tolist() == [[0, 0, 0]] * 3
