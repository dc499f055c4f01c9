"""Mixed batches: the formulas of their papers, by numbers of the step alone."""

from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np
import pytest
import torch
from peers import peer
from torch import Tensor

from resnetkit import dice
from resnetkit.engine.mix import blend, main_class, mixed, paste, patch, shares
from resnetkit.resolve import resolve
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings

N, CLASSES = 12, 5
SHAPE = (N, 3, 10, 16)


def settings(**changes: Any) -> Settings:
    run = Run(**{"data": "d", "model": "resnet20", "batch": N, **changes})
    classes = tuple(f"class {i}" for i in range(CLASSES))
    facts = Facts(pictures=100, classes=classes, uniform=(10, 16), channels=3, has_val=False, arrays=False)
    return resolve(run, frozenset(changes), facts)


def some_batch() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    images = torch.randn(SHAPE, generator=random).contiguous(memory_format=torch.channels_last)
    return images, torch.arange(N) % CLASSES


def roll(count: int = N) -> Tensor:
    """The partners that torchvision takes."""
    return torch.arange(count).roll(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_mixup_is_that_of_torchvision(share: float) -> None:
    images, labels = some_batch()
    theirs = peer("torchvision.transforms.v2").MixUp(num_classes=CLASSES)
    about = {"lam": share, "labels": labels, "batch_size": N}
    assert torch.allclose(blend(images, roll(), share), theirs.transform(images, about), atol=1e-6)
    assert torch.allclose(shares(labels, roll(), share, CLASSES), theirs.transform(labels, about), atol=1e-6)


@pytest.mark.parametrize("box", [(0, 0, 16, 10), (3, 2, 9, 7), (5, 5, 5, 9)])
def test_cutmix_is_that_of_torchvision(box: tuple[int, int, int, int]) -> None:
    images, labels = some_batch()
    before = images.clone()
    theirs = peer("torchvision.transforms.v2").CutMix(num_classes=CLASSES)
    about = {"box": box, "lam_adjusted": 0.4, "labels": labels, "batch_size": N}
    assert torch.equal(paste(images, roll(), box), theirs.transform(images, about))
    assert torch.equal(images, before)


def test_patches_are_those_of_the_paper() -> None:
    """Its code: half of int(side) to each side of the middle, cut off at the edges."""
    for area in (0.0, 0.1, 0.25, 0.7, 1.0):
        for down, across in dice.uniform(np.arange(50), 2, 0, "patch").tolist():
            left, top, right, bottom = patch(20, 31, area, down, across)
            h, w, y, x = int(20 * area**0.5), int(31 * area**0.5), int(down * 20), int(across * 31)
            assert (left, right) == (np.clip(x - w // 2, 0, 31), np.clip(x + w // 2, 0, 31))
            assert (top, bottom) == (np.clip(y - h // 2, 0, 20), np.clip(y + h // 2, 0, 20))
    assert patch(20, 30, 0.25, 0.5, 0.5) == (8, 5, 22, 15)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0])
def test_shares_are_from_beta(alpha: float) -> None:
    found = np.array([dice.beta(alpha, 3, "mixup", step) for step in range(4000)])
    assert 0 <= found.min() <= found.max() <= 1
    assert found.mean() == pytest.approx(0.5, abs=0.03)
    assert found.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.07)  # of Beta(alpha, alpha)
    assert dice.beta(alpha, 3, "mixup", 17) == found[17]
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.05


@pytest.mark.parametrize("alpha", [5e-324, 1e-300, 1e-9, 100.0])
def test_shares_of_strange_alphas_are_shares(alpha: float) -> None:
    assert all(0 <= dice.beta(alpha, 0, "mixup", step) <= 1 for step in range(200))


def explained(images: Tensor, targets: Tensor, decided: Settings, step: int) -> str:
    """Which way a step was mixed; the labels must say what the pixels show."""
    plain, labels = some_batch()
    partner = torch.from_numpy(dice.permutation(N, decided.run.seed, "partner", step))
    strange = images != plain
    if bool(((images == plain) | (images == plain[partner])).all()):
        share = 1 - float(strange[partner != torch.arange(N)].any(1).float().mean())
        way = "cutmix"
    else:
        share, way = dice.beta(decided.run.mixup, decided.run.seed, "mixup", step), "mixup"
        assert torch.allclose(images, share * plain + (1 - share) * plain[partner], atol=1e-6)
    wanted = torch.zeros(N, CLASSES)
    for k in range(N):
        wanted[k, labels[k]] += share
        wanted[k, labels[partner[k]]] += 1 - share
    assert torch.allclose(targets, wanted, atol=1e-6), "the labels are mixed as the pixels are"
    return way


@pytest.mark.parametrize(
    ("given", "ways"),
    [
        ({"mixup": 0.4}, {"mixup": 100}),
        ({"cutmix": 1.0}, {"cutmix": 100}),
        ({"mixup": 0.4, "cutmix": 1.0}, {"mixup": 50, "cutmix": 50}),
    ],
)
def test_steps_are_mixed_as_their_settings_say(given: dict[str, float], ways: dict[str, int]) -> None:
    decided, found = settings(**given), Counter[str]()
    for step in range(100):
        images, targets, _ = mixed(*some_batch(), decided, step)
        assert images.shape == SHAPE
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert (targets.shape, targets.dtype) == ((N, CLASSES), torch.float32)
        assert torch.allclose(targets.sum(1), torch.ones(N))
        assert float(targets.min()) >= 0
        found[explained(images, targets, decided, step)] += 1
    assert set(found) == set(ways)
    assert all(abs(found[way] - count) < 25 for way, count in ways.items())  # five deviations


def test_a_step_is_mixed_by_its_seed_and_number_alone() -> None:
    def digest(decided: Settings, step: int) -> str:
        return blake2b(b"".join(part.numpy().tobytes() for part in mixed(*some_batch(), decided, step)[:2])).hexdigest()

    decided = settings(mixup=0.4, cutmix=1.0)
    found = [digest(decided, step) for step in range(20)]
    assert found == [digest(decided, step) for step in reversed(range(20))][::-1]
    assert len(set(found)) == 20
    assert len({*found, *(digest(settings(mixup=0.4, cutmix=1.0, seed=1), step) for step in range(20))}) == 40


def test_without_mixing_a_batch_goes_through_untouched() -> None:
    images, labels = some_batch()
    same, alike, _ = mixed(images, labels, settings(), 3)
    assert same is images
    assert alike is labels


def test_the_main_class_is_the_greater_share() -> None:
    labels = torch.tensor([0, 1, 2])
    assert torch.equal(main_class(labels), labels)
    partner = torch.tensor([1, 2, 0])
    assert torch.equal(main_class(shares(labels, partner, 0.7, 3)), labels)
    assert torch.equal(main_class(shares(labels, partner, 0.2, 3)), labels[partner])
