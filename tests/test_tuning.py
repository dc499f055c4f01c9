"""What learning from given weights adds: norms that keep their statistics, and a pull to where the run began."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from samples import write_digits
from test_learning import run_on, weights
from test_resume import SETTINGS, differing, stopped_at
from test_train import CPU, begin, settings, some_digits
from torch import Tensor, nn

from resnetkit import modelfile
from resnetkit.engine import memory
from resnetkit.engine.optim import grouped
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.errors import UsageError
from resnetkit.job import Job, prepare
from resnetkit.layers import BATCH_NORMS
from resnetkit.run import Run
from resnetkit.settings import Settings
from resnetkit.training import resuming, training

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def frozen(**changes: Any) -> Settings:
    return replace(settings(**changes), freeze_norms=True)


def seasoned(decided: Settings) -> State:
    """A state whose norms have seen something: other statistics than 0 and 1."""
    state = begin(decided)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in state.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.2, 0.2, generator=draws)
                module.running_var.uniform_(0.5, 2.0, generator=draws)
    if state.average is not None:
        state.average.load_state_dict(state.model.state_dict())
    return state


@pytest.mark.parametrize("more", [{}, {"accumulate": 2}, {"dropout": 0.3, "drop_path": 0.2}, {"ema": 0.9}])
def test_statistics_stay_to_the_byte_and_the_rest_learns(more: dict[str, Any]) -> None:
    decided = frozen(steps=3, **more)
    state = seasoned(decided)
    before = weights(state)
    run_on(state, decided, 3)
    nets = [state.model] if state.average is None else [state.model, state.average]
    for net in nets:
        for name, value in net.state_dict().items():
            assert torch.equal(value, before[name]) == name.endswith(STATISTICS), name


def test_the_gradient_is_that_of_norms_in_eval_mode() -> None:
    decided = frozen(steps=1, smoothing=0.0)
    state, pictures = seasoned(decided), some_digits(decided)
    reference = copy.deepcopy(state.model).train()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    batch = next(stream(decided, pictures, 0, 1, 0))
    images = CPU.images(batch.images, decided.preprocess)
    nn.functional.cross_entropy(reference(images), torch.from_numpy(batch.labels)).backward()
    before = weights(state)
    next(train(state, [batch], decided, CPU, pictures.names))
    group = {id(p): g for g in state.optimizer.param_groups for p in g["params"]}
    for (name, moved), other in zip(state.model.named_parameters(), reference.parameters(), strict=True):
        assert other.grad is not None
        kept = group[id(moved)]
        step = (other.grad + kept["weight_decay"] * before[name]) * kept["lr"] * (1 + kept["momentum"])  # Nesterov
        torch.testing.assert_close(before[name] - moved.detach(), step, rtol=1e-4, atol=1e-7)


def test_only_batch_norms_are_put_to_rest() -> None:
    decided = frozen(steps=1, dropout=0.5)
    state = seasoned(decided)
    run_on(state, decided, 1)
    modes = {isinstance(module, BATCH_NORMS): module.training for module in state.model.modules()}
    assert modes == {True: False, False: True}
    plain = settings(steps=1)
    state = seasoned(plain)
    run_on(state, plain, 1)
    assert all(module.training for module in state.model.modules())


def test_a_step_that_memory_refuses_is_taken_again_with_the_same_statistics() -> None:
    decided = frozen(steps=2)
    ends = []
    for limit in (32, 8):
        state = seasoned(decided)
        before = weights(state)

        def short(_: nn.Module, given: tuple[torch.Tensor], limit: int = limit) -> None:
            if len(given[0]) > limit:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

        state.model.register_forward_pre_hook(short)
        run_on(state, decided, 2)
        assert state.parts == 32 // limit
        assert all(torch.equal(v, before[n]) for n, v in weights(state).items() if n.endswith(STATISTICS))
        ends.append(weights(state))
    for name, value in ends[0].items():  # norms that look at no batch do not notice its parts
        torch.testing.assert_close(value, ends[1][name], rtol=1e-4, atol=1e-6)


def test_a_single_picture_is_enough_for_norms_that_look_at_none() -> None:
    decided = settings(batch=2, model="resnet18_cifar")
    assert memory.most_parts(decided) == 1
    assert memory.most_parts(replace(decided, freeze_norms=True)) == 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "trained"
    list(training(Run(data=str(data), model="resnet20", epochs=1, batch=32, device="cpu", workers=0, out=str(out))))
    return out / "best.safetensors"


def job(data: Path, **given: Any) -> Job:
    return prepare(Run(data=str(data), device="cpu", workers=0, **given), frozenset(given))


def test_a_whole_run_keeps_the_statistics_of_its_weights(data: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = Run(
        data=str(data),
        weights=str(trained),
        freeze_norms=True,
        epochs=1,
        batch=32,
        workers=0,
        out=str(out),
        finetune="full",
    )
    list(training(run, frozenset({"freeze_norms"})))
    old, new = (modelfile.load(path)[1] for path in (trained, out / "last.safetensors"))
    assert all(torch.equal(value, old[name]) == name.endswith(STATISTICS) for name, value in new.items())
    said = dict(job(data, weights=str(trained), freeze_norms=True).lines())
    assert said["learning"] == "norms keep their statistics"
    assert "learning" not in dict(job(data, weights=str(trained)).lines())


def test_statistics_that_no_weights_brought_are_not_kept(data: Path, trained: Path, tmp_path: Path) -> None:
    _, state = modelfile.load(trained)
    some = {name: value for name, value in state.items() if not name.startswith("layer3.0.bn1")}
    torch.save(some, tmp_path / "part.pth")
    given: dict[str, Any] = {"weights": str(tmp_path / "part.pth"), "model": "resnet20", "allow_partial": True}
    with pytest.raises(UsageError, match=r"no statistics of layer3\.0\.bn1"):
        job(data, **given, freeze_norms=True)
    assert job(data, **given)


def moved_away(decided: Settings) -> tuple[State, dict[str, Tensor]]:
    """A state that has left its start, which its pull knows, and what it was there."""
    state = begin(decided)
    start, draws = weights(state), torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draws), alpha=0.05)
    return state, start


def slopes(state: State, decided: Settings) -> dict[str, Tensor]:
    """The gradient of the first batch without any penalty, by torch alone."""
    batch = next(stream(decided, some_digits(decided), 0, 1, 0))
    net = copy.deepcopy(state.model).train()
    images = CPU.images(batch.images, decided.preprocess)
    logits = net(images)
    nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels), label_smoothing=0.1).backward()
    return {name: parameter.grad for name, parameter in net.named_parameters() if parameter.grad is not None}


FRESH = ("fc.weight", "fc.bias")


def pulled(alpha: float, **changes: Any) -> Settings:
    """As of a run whose weights brought all but the head."""
    decided = settings(**changes)
    return replace(decided, run=replace(decided.run, pull=alpha), fresh=FRESH)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_with_a_pull_is_its_formula(optimizer: str) -> None:
    """What came with the weights: g + alpha (w - w0), and no decay; the head: the decay of the optimizer."""
    alpha, decay, momentum = 0.3, 0.02, 0.9
    decided = pulled(alpha, steps=1, weight_decay=decay, optimizer=optimizer, warmup=0.0, schedule="linear")
    state, start = moved_away(decided)
    before, gradient = weights(state), slopes(state, decided)
    run_on(state, decided, 1)
    lr = state.optimizer.param_groups[0]["lr"]
    assert lr > 0
    for name, value in state.model.named_parameters():
        g = gradient[name] if name in FRESH else gradient[name] + alpha * (before[name] - start[name])
        decayed = decay * before[name] if name == "fc.weight" else 0.0
        if optimizer == "sgd":  # the first step of Nesterov: the gradient, and momentum times it
            after = before[name] - lr * (1 + momentum) * (g + decayed)
        else:  # the first step of Adam has the length of the rate; the decay stands beside it
            after = before[name] - lr * (g / (g.abs() + 1e-8) + decayed)
        torch.testing.assert_close(value.detach(), after, rtol=2e-4, atol=2e-6)


def test_a_strong_pull_holds_what_came_and_leaves_the_head_free() -> None:
    ends = []
    for alpha in (0.0, 20.0):
        decided = pulled(alpha, epochs=4, lr=0.02, momentum=0.0, nesterov=False)
        state = begin(decided)
        start = weights(state)
        run_on(state, decided, decided.steps)
        far = {n: float((p.detach() - start[n]).norm()) for n, p in state.model.named_parameters()}
        ends.append((sum(v for n, v in far.items() if n not in FRESH), sum(far[n] for n in FRESH)))
    assert ends[1][0] < 0.5 * ends[0][0]
    assert ends[1][1] > 0.3 * ends[0][1]


def test_without_a_pull_the_groups_are_what_they_were() -> None:
    decided, other = settings(), pulled(0.1)
    plain = grouped(begin(decided).model, decided)
    assert [group["weight_decay"] for group in plain] == [decided.weight_decay] * (len(plain) - 1) + [0.0]
    held = {group["weight_decay"]: len(group["params"]) for group in grouped(begin(other).model, other)}
    assert held[decided.weight_decay] == 1, "the head alone"


def test_new_classes_are_fresh_and_old_ones_are_pulled(data: Path, trained: Path) -> None:
    same = job(data, weights=str(trained), pull=0.1)
    assert same.settings.fresh == ()
    assert "pull 0.1 to the weights it begins with" in dict(same.lines())["learning"]
    for name, value in (("weight_decay", 0.1), ("decay_all", True)):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would have no effect: all came"):
            job(data, weights=str(trained), pull=0.1, **{name: value})
        assert job(data, weights=str(trained), **{name: value})


@pytest.fixture(scope="module")
def others(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights for other classes than the data has."""
    card, state = modelfile.load(trained)
    path = tmp_path_factory.mktemp("weights") / "others.safetensors"
    modelfile.save(path, state, replace(card, classes=tuple("abcdefghij")))
    return path


def test_a_pulled_run_goes_on_to_the_same_end(data: Path, others: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"weights": str(others), "pull": 0.5, "freeze_norms": True, "lr": 0.02}
    names = ("base", "straight", "twice", "lossy", "free")
    base, straight, twice, lossy, free = (tmp_path / name for name in names)
    list(training(Run(data=str(data), out=str(straight), **{**SETTINGS, **more})))
    list(training(Run(data=str(data), out=str(free), **{**SETTINGS, **more, "pull": 0.0})))
    stopped_at(training(Run(data=str(data), out=str(base), **{**SETTINGS, **more})), 10)
    for copied in (twice, lossy):
        shutil.copytree(base, copied)
    stopped_at(resuming(twice), 11)
    list(resuming(twice, workers=2))
    assert differing(twice, straight) == []
    assert "last.safetensors" in differing(free, straight)
    card, state = modelfile.load(lossy / "start.safetensors")
    assert card.data["fresh"] == list(FRESH)
    modelfile.save(lossy / "start.safetensors", {name: value * 1.1 for name, value in state.items()}, card)
    list(resuming(lossy))
    assert "last.safetensors" in differing(lossy, straight), "the start is needed"
