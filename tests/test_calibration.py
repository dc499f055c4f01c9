"""Calibration: errors by hand, a temperature that is found where it can be told, and that helps on real pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import write_fashion

import resnetkit
from resnetkit import calibration, modelfile
from resnetkit.calibration import bins, error, temperature
from resnetkit.metrics import Counts, Logits, cross_entropy, softmax


def answers(seed: int, n: int, warm: float = 1.0, classes: int = 5) -> tuple[Logits, Counts]:
    """Logits that are ``warm`` times those whose probabilities are true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, (n, classes))
    chances = softmax(logits)
    labels = (rng.random(n)[:, None] > chances.cumsum(1)).sum(1).clip(max=classes - 1)
    return (logits * warm).astype(np.float32), labels


def test_errors_by_hand() -> None:
    confidence = np.array([0.95, 0.85, 0.75, 0.65, 0.3, 0.3])
    right = np.array([1, 1, 0, 1, 0, 1])
    wide = bins(confidence, right, count=2)
    assert [(one.n, one.accuracy) for one in wide] == [(2, 0.5), (4, 0.75)]
    assert error(wide) == pytest.approx(2 / 6 * 0.2 + 4 / 6 * 0.05)
    mass = bins(confidence, right, mass=True, count=3)
    assert [one.n for one in mass] == [2, 2, 2]
    assert error(mass) == pytest.approx((0.2 + 0.2 + 0.1) / 3)
    assert bins(np.array([0.5, 1.0]), np.array([1, 1]), count=2)[0].n == 1  # the first is (0, 0.5]


@given(st.integers(0, 2**32), st.integers(1, 200))
def test_bins_hold_every_picture_once_and_equals_together(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.integers(1, 6, n) / 5, rng.integers(0, 2, n)
    for mass in (False, True):
        found = bins(confidence, right, mass=mass)
        assert sum(one.n for one in found) == n
        assert sum(one.n * one.accuracy for one in found) == pytest.approx(right.sum())
        turned = rng.permutation(n)
        assert error(bins(confidence[turned], right[turned], mass=mass)) == pytest.approx(error(found))


@pytest.mark.parametrize("warm", [0.4, 1.7, 4.0])
def test_the_temperature_is_found(warm: float) -> None:
    logits, labels = answers(1, 4000, warm)
    assert temperature(logits, labels) == pytest.approx(warm, rel=0.06)
    found = temperature(logits, labels)
    best = cross_entropy(logits / found, labels)
    assert all(best <= cross_entropy(logits / (found * by), labels) for by in (0.98, 1.02))
    unseen, truth = answers(2, 4000, warm)
    before, after = (calibration.said(unseen, truth, t) for t in (1.0, found))
    for name in ("ece", "ece_equal_mass"):
        assert after[name] < 0.035 < before[name]
    assert after["loss"] < before["loss"]


def test_sound_probabilities_keep_their_temperature() -> None:
    """Of validation parts too small to tell, as good as none gets another temperature."""
    changed = sum(temperature(*answers(seed, 150)) != 1 for seed in range(300))
    assert changed <= 24  # a normal quantity is beyond two standard errors once in twenty-two
    helped = sum(temperature(*answers(seed, 150, 3.0)) != 1 for seed in range(50))
    assert helped >= 48


def test_where_none_or_all_are_wrong_nothing_is_told() -> None:
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3] * 20] * 3
    labels = np.array([0, 1, 2, 3] * 20)
    assert temperature(logits, labels) == 1
    assert temperature(logits, (labels + 1) % 4) == 1
    assert temperature(logits[:1], labels[:1]) == 1
    assert temperature(np.empty((0, 0), np.float32), labels[:0]) == 1
    assert temperature(np.zeros((9, 3), np.float32), np.arange(9) % 3) == 1


@pytest.mark.slow
@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_it_lowers_the_error_on_real_pictures(mixup: float, tmp_path: Path, data_dir: Path) -> None:
    """With the settings of today and with mixup, on pictures of which neither weights nor temperature know."""
    data = write_fashion(data_dir / "fashion-mnist", tmp_path / "data", train=2000, test=1500)
    mixing: dict[str, Any] = {"mixup": mixup} if mixup else {}
    result = resnetkit.train(data, model="resnet20", size=16, epochs=3, batch=50, out=str(tmp_path / "run"), **mixing)
    found = result.metrics["calibration"]
    card = modelfile.read_card(tmp_path / "run" / "best.safetensors")
    print(found["temperature"], found["ece"], found["before"]["ece"], found["loss"], found["before"]["loss"])
    assert found["temperature"] == card.temperature != 1
    assert found["ece"] < 0.7 * found["before"]["ece"]
    assert found["ece_equal_mass"] < 0.7 * found["before"]["ece_equal_mass"]
    assert found["loss"] < found["before"]["loss"] == pytest.approx(result.metrics["loss"])
    assert (tmp_path / "run" / "reliability.png").stat().st_size > 5_000
    assert result.model.evaluate(data).as_dict()["calibration"] == found
