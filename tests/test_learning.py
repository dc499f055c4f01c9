"""What a run may do beside the usual: batches in parts, a mean of the weights, noise, rates by layer, an early end."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import CPU, begin, settings, some_digits, steps_of
from torch import Tensor, nn

from resnetkit import metrics
from resnetkit.answers import join
from resnetkit.data.batches import Batch
from resnetkit.data.examples import Examples
from resnetkit.engine import average, checkpoint
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import answer
from resnetkit.engine.noise import Noise
from resnetkit.engine.optim import grouped, tune
from resnetkit.engine.state import State
from resnetkit.engine.step import passes, train
from resnetkit.engine.stop import Stop
from resnetkit.engine.train import Epoch, fit, stream
from resnetkit.errors import DivergedError
from resnetkit.init import initialize
from resnetkit.model import ResNet
from resnetkit.plan import Plan
from resnetkit.settings import Settings


def weights(state: State) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in state.model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in b)


def without_norms(plan: Plan) -> Plan:
    """Norms tell the pictures of a batch from those of its parts; nothing else does."""
    bare = lambda layer: replace(layer, eps=None)  # noqa: E731
    stages = tuple(
        tuple(replace(block, branch=tuple(map(bare, block.branch))) for block in stage) for stage in plan.stages
    )
    return replace(plan, stem=tuple(map(bare, plan.stem)), stages=stages)


def run_on(state: State, decided: Settings, stop: int) -> list[float]:
    pictures = some_digits(decided)
    batches = stream(decided, pictures, state.step, stop, 0)
    return [tick.loss for tick in train(state, batches, decided, CPU, pictures.names)]


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_a_batch_in_parts_takes_the_step_of_the_whole(loss: str) -> None:
    ends = []
    for parts in (1, 3):
        decided = settings(steps=2, accumulate=parts, loss=loss, lr=0.01, batch=20)
        decided = replace(decided, plan=without_norms(decided.plan))
        state = begin(decided)
        ends.append((run_on(state, decided, 2), weights(state)))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    for name, value in ends[0][1].items():
        torch.testing.assert_close(value, ends[1][1][name], rtol=1e-4, atol=1e-6)


def test_parts_are_what_goes_through_the_network_at_a_time() -> None:
    seen: list[int] = []
    decided = settings(160, steps=1, batch=128, accumulate=4)
    state = begin(decided)
    state.model.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    run_on(state, decided, 1)
    assert seen == [32, 32, 32, 32]
    assert [passes(n, 4, decided) for n in (129, 128, 97, 96, 33, 32, 2)] == [4, 4, 4, 3, 2, 1, 1]
    assert passes(128, 1, settings(160, batch=128)) == 1


def test_a_part_whose_loss_is_not_finite_stops_the_step() -> None:
    decided = settings(steps=1, accumulate=2)
    state, pictures = begin(decided), some_digits(decided)
    calls: list[int] = []

    def second(*given: Any) -> Tensor | None:
        calls.append(1)
        return given[2] * math.inf if len(calls) == 2 else None

    state.model.register_forward_hook(second)
    before = dict(state.model.named_parameters())["fc.weight"].detach().clone()
    with pytest.raises(DivergedError, match="the loss became"):
        list(train(state, stream(decided, pictures, 0, 1, 0), decided, CPU, pictures.names))
    assert torch.equal(dict(state.model.named_parameters())["fc.weight"], before)


def test_the_mean_of_the_weights_is_its_formula_and_takes_the_norms_along() -> None:
    decided = settings(steps=4, ema=0.3)
    state = begin(decided)
    mean = {name: value.double() for name, value in weights(state).items()}
    for step in range(1, 5):
        run_on(state, decided, step)
        decay = min(0.3, (1 + step) / (10 + step))
        mean = {name: decay * mean[name] + (1 - decay) * value.double() for name, value in weights(state).items()}
    assert state.average is not None
    assert not any(parameter.requires_grad for parameter in state.average.parameters())
    for name, value in state.average.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert int(value) == 4
        else:
            torch.testing.assert_close(value.double(), mean[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(state.average.state_dict()["bn1.running_var"], weights(state)["bn1.running_var"])


def val_loss(model: nn.Module, val: Examples) -> float:
    found = join(answer(model, val, CPU, 0))
    return metrics.cross_entropy(found.logits, found.labels)


def test_the_mean_leaves_what_is_learned_alone_and_is_what_is_judged() -> None:
    plain, losses = steps_of(settings(steps=5))
    decided = settings(steps=5, ema=0.9)
    state, val = begin(decided), some_digits(decided)
    epochs = [e for e in fit(state, decided, CPU, val, val, workers=0, stop=Stop()) if isinstance(e, Epoch)]
    assert same(weights(state), weights(plain))
    assert losses
    assert state.average is not None
    assert same(state.best_weights, state.average.state_dict())
    assert epochs[-1].row["val_loss"] == val_loss(state.average, val)
    assert epochs[-1].row["val_loss"] != val_loss(state.model, val)


def test_a_mean_of_equal_weights_is_those_weights() -> None:
    model = ResNet(settings().plan)
    mean = average.begin(model)
    average.follow(mean, model, 0.9, 1)
    for name, value in mean.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name])


@pytest.mark.parametrize("noise", [{"dropout": 0.3}, {"inner_dropout": 0.3}, {"drop_path": 0.5}])
def test_noise_acts_in_training_alone_and_changes_no_name(noise: dict[str, Any]) -> None:
    decided = settings(steps=4, **noise)
    state, quiet = begin(decided), begin(settings(steps=4))
    assert state.noise is not None
    assert state.model.state_dict().keys() == quiet.model.state_dict().keys()
    images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    answers = []
    for mode, step in ((True, 0), (True, 0), (True, 1), (False, 0)):
        state.model.train(mode)
        state.noise.begin(step)
        answers.append(state.model(images).detach())
    assert torch.equal(answers[0], answers[1]), "a step has its numbers"
    assert not torch.equal(answers[0], answers[2])
    assert torch.equal(answers[3], begin_like(state)(images)), "evaluation hears nothing of it"
    assert run_on(state, decided, 4) != run_on(quiet, settings(steps=4), 4)


def begin_like(state: State) -> torch.nn.Module:
    """A network without hooks, with the weights and statistics of another."""
    assert isinstance(state.model, ResNet)
    model = ResNet(state.model.plan)
    model.load_state_dict(state.model.state_dict())
    return model.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def test_dropout_leaves_out_features_and_keeps_their_mean() -> None:
    seen: list[Tensor] = []
    model = ResNet(settings().plan)
    noise = Noise(model, settings(dropout=0.25))
    noise.begin(7)
    model.fc.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    model.fc(torch.ones(500, 64))
    assert seen[0].unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.25, abs=0.01)


def test_branches_are_left_out_whole_and_more_often_the_deeper_they_are() -> None:
    """The chance of block l of L is l / L times the highest (Huang et al. 2016, section 3)."""
    model = ResNet(settings().plan)
    initialize(model, seed=0, zero_last=False)
    Noise(model, settings(drop_path=0.8)).begin(0)
    for place, name in enumerate([f"layer{s}.{b}.bn2" for s in (1, 2, 3) for b in range(3)], start=1):
        norm = model.get_submodule(name)
        channels = norm.num_features
        assert isinstance(channels, int)
        x = torch.randn(1000, channels, 2, 2, generator=torch.Generator().manual_seed(place))
        out = norm(x)
        silent = (out == 0).flatten(1).all(1)
        rate = 0.8 * place / 9
        assert float(silent.float().mean()) == pytest.approx(rate, abs=0.06)
        heard = torch.nn.functional.batch_norm(x, None, None, training=True)[~silent] / (1 - rate)
        torch.testing.assert_close(out[~silent], heard, rtol=1e-4, atol=1e-4)


def test_rates_fall_from_the_head_to_the_stem() -> None:
    decided = settings(layer_decay=0.5)
    state = begin(decided)
    tune(state.optimizer, 1.0, decided)
    rates = {id(p): group["lr"] for group in state.optimizer.param_groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in state.model.named_parameters()}
    assert found["fc.weight"] == found["fc.bias"] == 1.0
    assert found["layer3.2.conv1.weight"] == found["layer3.2.bn2.bias"] == 0.5
    assert found["layer3.1.conv1.weight"] == 0.25
    assert found["layer1.0.conv1.weight"] == 0.5**9
    assert found["conv1.weight"] == found["bn1.weight"] == 0.5**10
    assert len(found) == len(rates)


def test_without_layer_decay_there_are_two_groups_as_ever() -> None:
    decided = settings()
    groups = grouped(ResNet(decided.plan), decided)
    assert [(group["weight_decay"], group["scale"]) for group in groups] == [(5e-4, 1.0), (0.0, 1.0)]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "lars", "lamb", "muon"])
def test_every_optimizer_goes_on_where_it_was(tmp_path: Path, name: str) -> None:
    """To the bit, through a checkpoint; and what it remembers is needed."""
    decided = settings(steps=4, optimizer=name, ema=0.9, dropout=0.2, drop_path=0.2, layer_decay=0.9)
    state = begin(decided)
    run_on(state, decided, 2)
    kept = checkpoint.load(checkpoint.save(tmp_path, state.snapshot()))
    run_on(state, decided, 4)

    again = begin(decided)
    again.restore(kept)
    for weight, part in again.optimizer.state.items():  # in mixed layouts each step would take longer, and might round
        assert {value.stride() for value in part.values() if value.ndim} == {weight.stride()}  # otherwise
    run_on(again, decided, 4)
    assert same(again.snapshot().tensors, state.snapshot().tensors)

    lost = {key: value for key, value in kept.tensors.items() if not key.startswith("optimizer.")}
    forgetful = begin(decided)
    forgetful.restore(checkpoint.Snapshot(lost, kept.values))
    run_on(forgetful, decided, 4)
    assert not same(weights(forgetful), weights(state))


def test_the_mean_is_part_of_the_state(tmp_path: Path) -> None:
    decided = settings(steps=4, ema=0.9)
    state = begin(decided)
    run_on(state, decided, 2)
    kept = checkpoint.load(checkpoint.save(tmp_path, state.snapshot()))
    fresh = begin(decided).snapshot().tensors
    lost = kept.tensors | {name: value for name, value in fresh.items() if name.startswith("average.")}
    again = begin(decided)
    again.restore(checkpoint.Snapshot(lost, kept.values))
    assert again.average is not None
    assert state.average is not None
    assert not same(again.average.state_dict(), state.average.state_dict())


def test_patience_ends_a_run_that_gets_no_better() -> None:
    decided = settings(64, epochs=9, batch=32, patience=2)
    state, val = begin(decided), some_digits(decided, 64)
    state.best = {"epoch": 0, "step": 0, "val_accuracy": 2.0, "val_loss": 0.0}
    state.history.append(state.best)
    epochs = [e for e in fit(state, decided, CPU, val, val, workers=0, stop=Stop()) if isinstance(e, Epoch)]
    assert [epoch.row["epoch"] for epoch in epochs] == [1, 2]
    assert state.over(decided)
    assert not [e for e in fit(state, decided, CPU, val, val, workers=0, stop=Stop()) if isinstance(e, Epoch)]


def test_plateau_lowers_the_rate_of_a_run_that_gets_no_better() -> None:
    decided = settings(64, epochs=4, batch=32, schedule="plateau", plateau_epochs=1, warmup=0.0, lr=0.5)
    state, val = begin(decided), some_digits(decided, 64)
    state.best = {"epoch": 0, "step": 0, "val_accuracy": 2.0, "val_loss": 0.0}
    state.history.append(state.best)
    epochs = [e for e in fit(state, decided, CPU, val, val, workers=0, stop=Stop()) if isinstance(e, Epoch)]
    assert [epoch.row["lr"] for epoch in epochs] == pytest.approx([0.5, 0.05, 0.005, 0.0005])


def test_the_machine_of_a_loss_is_that_of_the_run() -> None:
    """Class weights lie where the logits do."""
    decided = replace(settings(steps=1), class_weights=(1.0,) * 10)
    state, pictures = begin(decided), some_digits(decided)
    machine = Machine(torch.device("cpu"), "fp32")
    batches: list[Batch] = list(stream(decided, pictures, 0, 1, 0))
    weighted = next(train(state, batches, decided, machine, pictures.names)).loss
    assert weighted == pytest.approx(steps_of(settings(steps=1))[1][0], rel=1e-5)
