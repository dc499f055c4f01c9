"""The loop learns, says what happened, and never updates with numbers that are none."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnetkit import dice, metrics
from resnetkit.data.batches import Batch
from resnetkit.data.examples import Examples, examples
from resnetkit.data.parts import subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.effect import refuse_idle
from resnetkit.engine.device import Machine
from resnetkit.engine.mix import mixed
from resnetkit.engine.optim import optimizer
from resnetkit.engine.schedule import lr_at
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.errors import DivergedError, UsageError
from resnetkit.init import initialize
from resnetkit.model import ResNet
from resnetkit.resolve import resolve
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings

GOLDEN = Path(__file__).parent / "golden" / "losses.json"
CPU = Machine(torch.device("cpu"), "fp32")
DIGITS = tuple("0123456789")


def settings(pictures: int = 160, **changes: object) -> Settings:
    run = Run(**{"data": "digits", "model": "resnet20", "batch": 32, **changes})  # type: ignore[arg-type]
    facts = Facts(pictures=pictures, classes=DIGITS, uniform=(8, 8), channels=1, has_val=False, arrays=True)
    decided = resolve(run, frozenset(changes), facts)
    return replace(decided, preprocess=replace(decided.preprocess, mean=(0.3,), std=(0.4,)))


def begin(decided: Settings) -> State:
    model = ResNet(decided.plan)
    initialize(model, seed=decided.run.seed, zero_last=decided.run.zero_init)
    return State.start(model, decided, CPU)


def some_digits(decided: Settings, count: int = 160) -> Examples:
    part = open_source("digits").parts["train"]
    return examples(subset(part, np.arange(count)), decided.preprocess)


def steps_of(decided: Settings) -> tuple[State, list[float]]:
    torch.set_num_threads(1)
    state, pictures = begin(decided), some_digits(decided)
    ticks = train(state, stream(decided, pictures, 0, decided.steps, 0), decided, CPU, pictures.names)
    return state, [tick.loss for tick in ticks]


def test_per_step_losses_are_what_they_were() -> None:
    """A change that should change no number leaves these alone. Other processors round otherwise, hence the margin."""
    assert golden_losses() == pytest.approx(json.loads(GOLDEN.read_text()), rel=1e-3)


def golden_losses() -> list[float]:
    """What `python tests/test_train.py` writes down anew, where numbers are meant to change."""
    return [round(loss, 6) for loss in steps_of(settings(steps=12, seed=1))[1]]


def test_equal_runs_are_equal_and_seeds_differ() -> None:
    same, again, other = (steps_of(settings(steps=4, seed=seed))[1] for seed in (1, 1, 2))
    assert same == again != other


def test_it_learns_few_pictures_by_heart() -> None:
    decided = settings(64, epochs=50, smoothing=0.0, crop="none", weight_decay=0.0, lr=0.1)
    state, pictures = begin(decided), some_digits(decided, 64)
    ticks = list(train(state, stream(decided, pictures, 0, decided.steps, 0), decided, CPU, pictures.names))
    assert sum(tick.correct for tick in ticks[-2:]) == 64
    assert ticks[-1].loss < 0.1


def test_shuffled_labels_teach_nothing_about_other_pictures() -> None:
    """No path leads from the labels of validation into training."""
    from resnetkit.answers import join
    from resnetkit.engine.evaluate import answer

    decided = settings(160, epochs=6)
    part = open_source("digits").parts["train"]
    rng = np.random.default_rng(0)
    mixed = replace(part, labels=rng.permutation(part.labels))
    learn = examples(subset(mixed, np.arange(160)), decided.preprocess)
    rest = examples(subset(mixed, np.arange(160, 1160)), decided.preprocess)
    state = begin(decided)
    list(train(state, stream(decided, learn, 0, decided.steps, 0), decided, CPU, learn.names))
    found = join(answer(state.model, rest, CPU, 0))
    accuracy = metrics.accuracy(found.logits, found.labels)
    assert abs(accuracy - 0.1) < 3 * math.sqrt(0.1 * 0.9 / 1000)


def test_a_non_finite_loss_stops_before_the_update_and_names_the_pictures() -> None:
    decided = settings(160, steps=5)
    state, pictures = begin(decided), some_digits(decided)
    with torch.no_grad():
        list(state.model.parameters())[-2][0, 0] = torch.inf  # the head's
    before = {name: value.clone() for name, value in state.model.state_dict().items() if "weight" in name}
    first = next(stream(decided, pictures, 0, 1, 0))
    with pytest.raises(DivergedError, match=r"the loss became .* at step 1 ") as caught:
        list(train(state, stream(decided, pictures, 0, 5, 0), decided, CPU, pictures.names))
    assert pictures.names[first.index[0]] in caught.value.what
    assert all(torch.equal(value, state.model.state_dict()[name]) for name, value in before.items())
    assert state.step == 0
    assert caught.value.code == 6


def test_a_non_finite_gradient_stops_as_well() -> None:
    decided = settings(160, steps=5)
    state, pictures = begin(decided), some_digits(decided)
    hook = lambda gradient: gradient * torch.inf  # noqa: E731
    list(state.model.parameters())[-2].register_hook(hook)
    with pytest.raises(DivergedError, match="gradient"):
        list(train(state, stream(decided, pictures, 0, 5, 0), decided, CPU, pictures.names))


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    decided = settings(steps=100, lr=0.4, warmup=0.1)
    assert lr_at(0.05, decided) == pytest.approx(0.2)
    assert lr_at(0.1, decided) == pytest.approx(0.4)
    assert lr_at(0.55, decided) == pytest.approx(0.2)
    assert lr_at(1.0, decided) == pytest.approx(0.0, abs=1e-12)


def test_multistep_falls_at_its_milestones() -> None:
    decided = settings(steps=100, lr=1.0, warmup=0.0, schedule="multistep", milestones=(0.5, 0.75), gamma=0.1)
    rates = [lr_at(done, decided) for done in (0.49, 0.5, 0.74, 0.75, 0.99)]
    assert rates == pytest.approx([1.0, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_norms_and_biases_are_not_decayed(name: str) -> None:
    decided = settings(steps=10, optimizer=name)
    model = ResNet(decided.plan)
    groups = optimizer(model, decided).param_groups
    spared = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    for key, parameter in model.named_parameters():
        assert (id(parameter) in spared) == ("bn" in key or key.endswith("bias")), key


def test_all_is_decayed_where_the_paper_is_followed() -> None:
    decided = settings(steps=10, decay_all=True, weight_decay=0.01)
    assert {group["weight_decay"] for group in optimizer(ResNet(decided.plan), decided).param_groups} == {0.01}
    with pytest.raises(UsageError, match="--decay-all would have no effect"):
        refuse_idle(Run(weight_decay=0.0, decay_all=True), {"decay_all"})


def test_clipping_shortens_the_step() -> None:
    """With plain SGD the weights move by at most the rate times the longest gradient."""
    decided = settings(steps=1, clip=0.01, lr=1.0, momentum=0.0, warmup=0.0, weight_decay=0.0)
    state, pictures = begin(decided), some_digits(decided)
    before = torch.cat([p.detach().flatten().clone() for p in state.model.parameters()])
    tick = next(train(state, stream(decided, pictures, 0, 1, 0), decided, CPU, pictures.names))
    moved = torch.cat([p.detach().flatten() for p in state.model.parameters()]) - before
    assert tick.gradient > 0.01
    assert float(moved.norm()) == pytest.approx(0.01 * tick.lr, rel=1e-3)


def test_label_smoothing_is_cross_entropy_with_softened_labels() -> None:
    decided = settings(steps=1, smoothing=0.2)
    state, pictures = begin(decided), some_digits(decided)
    batch = next(stream(decided, pictures, 0, 1, 0))
    state.model.train()
    with torch.no_grad():
        logits = state.model(CPU.images(batch.images, decided.preprocess)).double()
    soft = torch.full((len(batch.labels), 10), 0.2 / 10, dtype=torch.float64)
    soft[torch.arange(len(batch.labels)), torch.from_numpy(batch.labels)] += 0.8
    wanted = float(-(soft * logits.log_softmax(1)).sum(1).mean())
    state = begin(decided)
    tick = next(train(state, iter([batch]), decided, CPU, pictures.names))
    assert tick.loss == pytest.approx(wanted, rel=1e-5)


def test_mixed_pictures_are_learned_with_mixed_labels() -> None:
    """The loss is that of the shares, smoothed as usual; right is who names the greater one."""
    decided = settings(steps=3, smoothing=0.2, mixup=1.0)
    state, pictures = begin(decided), some_digits(decided)
    for step, batch in enumerate(stream(decided, pictures, 0, 3, 0)):
        images, labels = CPU.images(batch.images, decided.preprocess), CPU.put(batch.labels)
        images, soft, _ = mixed(images, labels, decided, step)
        state.model.train()
        with torch.no_grad():
            logits = copy.deepcopy(state.model)(images).double()
        share, partner = float(dice.beta(1.0, 0, "mixup", step)), dice.permutation(len(labels), 0, "partner", step)
        greater = labels if share > 0.5 else labels[torch.from_numpy(partner)]
        wanted = -((0.8 * soft + 0.2 / 10) * logits.log_softmax(1)).sum(1).mean()
        tick = next(train(state, iter([batch]), decided, CPU, pictures.names))
        assert tick.loss == pytest.approx(float(wanted), rel=1e-5)
        assert tick.correct == int((logits.argmax(1) == greater).sum())


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": "randaugment"},
        {"policy": "randaugment", "policy_count": 1},
        {"policy": "randaugment", "policy_strength": 0.7},
        {"policy": "trivialaugment"},
        {"policy": "augmix"},
        {"policy": "augmix", "policy_count": 1},
        {"jitter": 0.4},
        {"cutout": 0.25},
        {"erase": 0.5},
        {"repeats": 2},
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"mixup": 0.2, "cutmix": 1.0},
    ],
    ids=str,
)
def test_whatever_varies_pictures_reaches_the_loss(changes: dict[str, Any]) -> None:
    first = dict([next(iter(changes.items()))])
    plain, one, both, again = (steps_of(settings(steps=2, **more))[1] for more in ({}, first, changes, changes))
    assert plain != one
    assert plain != both == again
    assert first == changes or one != both, "nor is the second setting idle beside the first"


def test_pictures_reach_the_network_as_preprocess_says() -> None:
    """The machine's own normalisation is Preprocess.normalize, to the bit."""
    preprocess = Preprocess(size=(6, 5), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), channels=3)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), np.uint8)
    assert np.array_equal(CPU.images(pixels, preprocess).numpy(), preprocess.normalize(pixels))


def test_batches_hold_their_labels() -> None:
    decided = settings(160, steps=5)
    pictures = some_digits(decided)
    for batch in stream(decided, pictures, 0, 5, 0):
        assert isinstance(batch, Batch)
        assert np.array_equal(batch.labels, pictures.labels[batch.index])


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_losses()) + "\n")
