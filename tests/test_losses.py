"""Each loss is the formula of its paper, written out in float64; rare classes get their due."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from samples import folder
from test_train import CPU, begin, settings, some_digits

from resnetkit.answers import join
from resnetkit.data.examples import examples
from resnetkit.data.order import epoch_order
from resnetkit.data.parts import subset
from resnetkit.data.sources import open_source
from resnetkit.engine.evaluate import answer
from resnetkit.engine.losses import Loss, loss_of
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.job import prepare
from resnetkit.plan import with_io
from resnetkit.resolve import balance
from resnetkit.run import Run

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(scale=3, size=(6, 4)), RNG.integers(0, 4, 6)
SHARES = RNG.dirichlet(np.ones(4), 6)
WEIGHTS = (0.5, 2.0, 1.0, 0.25)


def reference(kind: str, targets: NDArray[np.float64], smoothing: float) -> NDArray[np.float64]:
    """One loss for each picture, class by class."""
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    yes = 1 / (1 + np.exp(-LOGITS))
    t = targets * (1 - smoothing) + smoothing / 4
    terms = {
        "cross-entropy": -t * np.log(p),
        "bce": -t * np.log(yes) - (1 - t) * np.log(1 - yes),
        "focal": -t * (1 - p) ** 1.5 * np.log(p),
    }
    return terms[kind].sum(1)


@pytest.mark.parametrize("kind", ["cross-entropy", "bce", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("soft", [False, True])
def test_losses_are_their_formulas(kind: str, smoothing: float, weights: tuple[float, ...] | None, soft: bool) -> None:
    shares = SHARES if soft else np.eye(4)[LABELS]
    each = reference(kind, shares, smoothing) * (1.0 if weights is None else shares @ np.array(weights))
    loss = Loss(kind, smoothing, 1.5, None if weights is None else torch.tensor(weights).double())
    targets = torch.from_numpy(SHARES if soft else LABELS)
    assert float(loss(torch.from_numpy(LOGITS), targets)) == pytest.approx(float(each.mean()), rel=1e-9)


@pytest.mark.parametrize("kind", ["bce", "focal"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_certain_answers_have_finite_slopes(kind: str, gamma: float) -> None:
    logits = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], requires_grad=True)
    loss = Loss(kind, 0.0, gamma)(logits, torch.tensor([0, 0]))
    loss.backward()
    assert logits.grad is not None
    assert bool(loss.isfinite()) and bool(logits.grad.isfinite().all())  # noqa: PT018


def test_the_loss_of_a_run_is_the_one_it_asked_for() -> None:
    decided = replace(settings(loss="focal", focal_gamma=3.0, smoothing=0.0), class_weights=WEIGHTS)
    loss = loss_of(decided, torch.device("cpu"))
    assert (loss.kind, loss.gamma, loss.smoothing) == ("focal", 3.0, 0.0)
    assert loss.weights is not None
    assert loss.weights.tolist() == list(WEIGHTS)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [50, 9, 1])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balance((50, 9, 1)) == pytest.approx(wanted)
    assert balance((50, 0, 10)) == pytest.approx((0.6, 0.0, 3.0))


def test_a_job_counts_the_pictures_that_it_trains_on(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "photos", *(f"{name}/{i}.png" for name, n in (("ants", 20), ("bees", 6)) for i in range(n))
    )
    job = prepare(Run(data=str(root), class_weights="balanced", model="resnet20"), frozenset({"class_weights"}))
    counts = np.bincount(job.sets["train"].labels)
    assert counts.sum() < 26
    assert job.settings.class_weights == pytest.approx(balance(tuple(counts.tolist())))
    assert dict(job.lines())["learning"] == "rare classes weigh more"
    plain = prepare(Run(data=str(root), model="resnet20"), frozenset())
    assert plain.settings.class_weights is None
    assert "learning" not in dict(plain.lines())


def test_l1_adds_its_slope_to_the_weights_alone() -> None:
    """With plain SGD one step takes rate times l1 off each weight, and nothing off norms and biases."""
    moved = []
    for l1 in (0.0, 0.01):
        decided = settings(steps=1, l1=l1, lr=1.0, momentum=0.0, warmup=0.0, weight_decay=0.0)
        state, pictures = begin(decided), some_digits(decided)
        before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
        lr = next(train(state, stream(decided, pictures, 0, 1, 0), decided, CPU, pictures.names)).lr
        moved.append({name: p.detach() for name, p in state.model.named_parameters()})
    for name, start in before.items():
        wanted = lr * 0.01 * start.sign() if start.ndim > 1 else torch.zeros_like(start)
        torch.testing.assert_close(moved[0][name] - moved[1][name], wanted, rtol=0, atol=1e-5)


RARE = np.repeat([0, 1, 2], [60, 30, 4])


def test_a_balanced_epoch_shows_classes_and_their_pictures_equally_often() -> None:
    totals = np.zeros(3, int)
    for epoch in range(3):
        places = epoch_order(RARE, balanced=True, seed=1, epoch=epoch)
        assert len(places) == len(set(places.tolist())) == 94
        counts = np.bincount(RARE[places % 94])
        assert sorted(counts) == [31, 31, 32]
        totals += counts
        often = np.bincount(places % 94, minlength=94)
        for label in range(3):
            assert np.ptp(often[label == RARE]) <= 1
        assert places.max() < 94 * 8  # the rarest come eight times, as the turns 0 to 7
    assert totals.max() - totals.min() < 3, "the odd place is not always the same class's"


def test_balanced_epochs_are_addressed_and_differ() -> None:
    order = [epoch_order(RARE, balanced=True, seed=s, epoch=e).tolist() for s, e in ((1, 0), (1, 0), (1, 1), (2, 0))]
    assert order[0] == order[1]
    assert len({tuple(places) for places in order}) == 3
    everything = epoch_order(np.repeat([0, 1], 20), balanced=True, seed=0, epoch=0)
    assert sorted(everything) == list(range(40)), "even classes are shown as they are"


def test_a_picture_shown_again_in_an_epoch_is_varied_otherwise() -> None:
    decided = settings(40, epochs=1, batch=40, sampling="balanced", crop="pad")
    pictures = some_digits(decided, 40)
    pictures = replace(pictures, labels=np.array([0] * 39 + [1]))
    batch = next(stream(decided, pictures, 0, 1, 0))
    assert np.array_equal(batch.labels, pictures.labels[batch.index])
    again = batch.images[batch.index == 39]
    assert len(again) == 20
    assert len({image.tobytes() for image in again}) > 5


@pytest.mark.slow
@pytest.mark.parametrize("remedy", [{"class_weights": "balanced"}, {"sampling": "balanced"}])
def test_each_remedy_raises_balanced_accuracy_of_a_rare_class(remedy: dict[str, str]) -> None:
    """One eight to fifty threes, in the mean of three seeds."""
    gains = [balanced_accuracy(seed, remedy) - balanced_accuracy(seed, {}) for seed in range(3)]
    print(gains)
    assert np.mean(gains) > 0.05


def balanced_accuracy(seed: int, remedy: dict[str, str]) -> float:
    """Of a network that learned from 100 threes and 2 eights, on those it did not see."""
    part = open_source("digits").parts["train"]
    part = replace(part, labels=np.where(part.labels == 8, 1, np.where(part.labels == 3, 0, -1)))
    threes, eights = (np.flatnonzero(part.labels == label) for label in (0, 1))
    decided = settings(102, epochs=12, batch=34, smoothing=0.0, seed=seed, crop="pad", **remedy)
    weights = balance((100, 2)) if "class_weights" in remedy else None
    decided = replace(decided, plan=with_io(decided.plan, classes=2), class_weights=weights)
    learn, ask = (
        examples(subset(part, np.concatenate(index)), decided.preprocess)
        for index in ((threes[:100], eights[:2]), (threes[100:], eights[2:]))
    )
    state = begin(decided)
    list(train(state, stream(decided, learn, 0, decided.steps, 0), decided, CPU, learn.names))
    found = join(answer(state.model, ask, CPU, 0))
    right = found.logits.argmax(1) == found.labels
    return float(np.mean([right[found.labels == label].mean() for label in (0, 1)]))
