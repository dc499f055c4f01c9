"""Two models on the same pictures: equals are called equal, a small true difference is found, and the table adds up."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command import refused, resnet
from scipy.stats import binomtest
from test_classifier import photos

import resnetkit
from resnetkit import modelfile
from resnetkit.answers import Answers
from resnetkit.classifier import Classifier, load
from resnetkit.comparison import Comparison
from resnetkit.errors import DataError, UsageError
from resnetkit.evaluation import Evaluation
from resnetkit.pairs import Flags, Pairs, adjusted, difference_interval, winner


def two(seed: int, n: int, a: float, b: float) -> tuple[Flags, Flags]:
    """Networks of these accuracies that find mostly the same pictures hard."""
    rng = np.random.default_rng(seed)
    hard, luck = rng.random(n), rng.random((2, n))
    return tuple(np.where(luck[i] < 0.6, hard, rng.random(n)) < share for i, share in enumerate((a, b)))  # type: ignore[return-value]


def test_equals_are_called_equal() -> None:
    called = 0
    for seed in range(200):
        pairs = Pairs.of(*two(seed, 2000, 0.9, 0.9))
        called += winner(pairs, None, grouped=False) is None
    assert called >= 186


def test_two_points_are_found_in_ten_thousand_pictures() -> None:
    found = []
    for seed in range(40):
        a, b = two(seed, 10_000, 0.9, 0.88)
        found.append(winner(Pairs.of(a, b), None, grouped=False))
    assert found == ["a"] * 40
    low, high = difference_interval(a, b) or (0, 0)
    assert 0 < low < 0.02 < high


def test_the_interval_of_the_difference_holds_the_truth() -> None:
    held = 0
    for seed in range(300):
        low, high = difference_interval(*two(seed, 400, 0.85, 0.8), level=0.9, draws=300) or (1, 1)
        held += low <= 0.05 <= high
    assert 0.85 <= held / 300 <= 0.95


@pytest.mark.parametrize(("a", "b"), [(5, 1), (30, 12), (1, 0), (9, 9), (2, 14)])
def test_p_is_the_middle_of_exact_tests(a: int, b: int) -> None:
    """Half of the outcome itself is left out of the exact p, that of the binomial test."""
    pairs = Pairs(100, a, b, 20)
    exact = binomtest(a, a + b).pvalue
    assert pairs.p <= exact
    beyond = binomtest(max(a, b) + 1, a + b).pvalue if max(a, b) < a + b and a != b else 0 if a != b else 1
    assert pairs.p == pytest.approx((exact + beyond) / 2 if a != b else 1)


def test_many_classes_are_many_chances() -> None:
    assert adjusted([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert adjusted([]) == []


def test_groups_that_err_together_prove_less() -> None:
    """One camera in six on which B fails: a hundred pictures, but one thing that happened."""
    a, b = np.ones(600, np.bool_), np.ones(600, np.bool_)
    b[:100] = False
    groups = [f"camera {i // 100}" for i in range(600)]
    pairs = Pairs.of(a, b)
    assert winner(pairs, difference_interval(a, b), grouped=False) == "a"
    assert winner(pairs, difference_interval(a, b, groups), grouped=True) is None


def evaluation(logits: list[list[float]], labels: list[int], classes: tuple[str, ...]) -> Evaluation:
    n = len(labels)
    answers = Answers(np.arange(n), np.array(logits, np.float32), np.array(labels), [])
    return Evaluation("test", classes, tuple(f"{i}.png" for i in range(n)), np.array(labels), answers)


def test_a_table_by_hand() -> None:
    a = evaluation([[2, 0], [0, 3], [1, 0], [0, 1]], [0, 1, 1, 0], ("cat", "dog"))
    b = evaluation([[0, 1], [3, 0], [0, 9], [1, 0]], [1, 0, 0, 1], ("dog", "cat"))  # the same labels in another order
    found = Comparison(a, b)
    assert found.pairs == Pairs(2, 0, 0, 2)
    c = evaluation([[0, 1], [0, 3], [0, 9], [1, 0]], [0, 1, 1, 0], ("cat", "dog"))
    found = Comparison(a, c)
    assert found.pairs == Pairs(1, 1, 2, 0)
    assert [(one.path, one.label, one.a, one.b) for one in found.apart] == [
        ("2.png", "dog", "cat", "dog"), ("0.png", "cat", "cat", "dog"), ("3.png", "cat", "dog", "cat"),
    ]  # fmt: skip
    assert [row["name"] for row in found.as_dict()["classes"]] == ["cat", "dog"]
    assert found.better is None
    assert found.verdict == "unclear"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "test", each=4, first=100)
    photos(root / "val", each=3, first=200)
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> Classifier:
    out = str(data.parent / f"{data.name}-run")
    return resnetkit.train(data, model="resnet20", size=16, epochs=6, batch=8, out=out, seed=1).model


def test_the_command_and_the_function_say_the_same(data: Path, model: Classifier, tmp_path: Path) -> None:
    other = load(model.folder or "")
    weights = other.model.state_dict()
    weights["fc.bias"] += torch.tensor([0.0, 0.0, 1000.0])  # it says red to everything
    modelfile.save(tmp_path / "b.safetensors", weights, other.card)
    found = resnetkit.compare(model, tmp_path / "b.safetensors", data)
    assert found.pairs.n == 12
    assert found.as_dict()["accuracy"]["b"] == pytest.approx(1 / 3)
    done = resnet("compare", model.folder or "", tmp_path / "b.safetensors", data, "--json")
    assert done.document == found.as_dict()
    shown = resnet("compare", model.folder or "", tmp_path / "b.safetensors", data)
    assert shown.out.splitlines()[-1] == found.headline()
    assert "A wrong" in shown.out


def test_what_cannot_be_compared_is_refused(data: Path, model: Classifier, tmp_path: Path) -> None:
    for change, says in (
        ({"classes": ("blue", "green", "teal")}, "red"),
        ({"task": "tags", "temperature": 1.0}, "tags"),
    ):
        other = load(model.folder or "")
        other.card = replace(other.card, **change)
        with pytest.raises(UsageError, match=says):
            resnetkit.compare(model, other, data)
    whole = photos(tmp_path / "whole", each=10, first=300)
    run = resnetkit.train(whole, model="resnet20", size=16, epochs=1, batch=8, out=str(tmp_path / "run"))
    with pytest.raises(DataError, match="different pictures"):
        resnetkit.compare(model, run.model, whole)
    refused(resnet("compare", model.folder or "", run.folder, whole), 3, "different pictures", "test part")
    second = resnetkit.train(whole, model="resnet20", size=16, epochs=1, batch=8, seed=7, out=str(tmp_path / "other"))
    assert second.metrics["n"] == run.metrics["n"]  # as many, but not the same ones
    with pytest.raises(DataError, match="different pictures"):
        resnetkit.compare(run.model, second.model, whole)
