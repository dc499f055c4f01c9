"""Each optimizer moves weights as its paper says, each schedule as its formula; the formulas stand here in float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_train import begin, settings

from resnetkit.engine.history import Row, better, plateaus, waits
from resnetkit.engine.muon import QUINTIC, Muon, orthogonal
from resnetkit.engine.optim import grouped, optimizer, tune
from resnetkit.engine.schedule import lr_at, momentum_at
from resnetkit.engine.trust import Lamb, Lars
from resnetkit.model import ResNet
from resnetkit.run import Run

Numbers = NDArray[np.float64]
RNG = np.random.default_rng(0)
KERNEL, GRADIENTS = RNG.normal(size=(3, 2, 3, 3)), RNG.normal(size=(4, 3, 2, 3, 3))


def moved(make: Any, kernel: bool = True, decay: float = 0.1, start: Numbers = KERNEL) -> Numbers:
    """Where four steps with fixed gradients lead a kernel that lies channels last, as networks do here."""
    weight = torch.nn.Parameter(torch.from_numpy(start).clone(memory_format=torch.channels_last))
    made = make([{"params": [weight], "weight_decay": decay, "kernel": kernel}])
    for gradient in GRADIENTS:
        weight.grad = torch.from_numpy(gradient)
        made.step()
    return weight.detach().numpy()


def adam_steps(eps: float) -> list[Numbers]:
    """What Adam adds to the weights at a rate of -1, step by step (Kingma & Ba 2015, algorithm 1)."""
    m = v = np.zeros_like(KERNEL)
    steps = []
    for t, g in enumerate(GRADIENTS, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        steps.append((m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + eps))
    return steps


@pytest.mark.parametrize("kernel", [True, False])
def test_lars_is_algorithm_1(kernel: bool) -> None:
    w, v = KERNEL, np.zeros_like(KERNEL)
    for g in GRADIENTS:
        local = 0.001 * np.linalg.norm(w) / (np.linalg.norm(g) + 0.1 * np.linalg.norm(w)) if kernel else 1.0
        v = 0.9 * v + 2.0 * local * (g + 0.1 * w)
        w = w - v
    np.testing.assert_allclose(moved(lambda groups: Lars(groups, 2.0, 0.9), kernel), w, rtol=1e-6)


@pytest.mark.parametrize("kernel", [True, False])
def test_lamb_is_algorithm_2(kernel: bool) -> None:
    w = KERNEL
    for step in adam_steps(1e-6):
        update = step + 0.1 * w
        w = w - 0.01 * (np.linalg.norm(w) / np.linalg.norm(update) if kernel else 1.0) * update
    np.testing.assert_allclose(moved(lambda groups: Lamb(groups, 0.01), kernel), w, rtol=1e-9)


@pytest.mark.parametrize("make", [lambda groups: Lars(groups, 1.0, 0.9), lambda groups: Lamb(groups, 0.01)])
def test_a_layer_of_zeros_can_begin(make: Any) -> None:
    assert np.abs(moved(make, start=np.zeros_like(KERNEL))).min() > 0


@pytest.mark.parametrize("nesterov", [True, False])
def test_muon_is_its_iteration_on_flat_kernels(nesterov: bool) -> None:
    w, m = KERNEL.reshape(3, -1), np.zeros((3, 18))
    for g in GRADIENTS.reshape(4, 3, -1):
        m = 0.9 * m + 0.1 * g
        x = 0.1 * g + 0.9 * m if nesterov else m
        x = x / np.linalg.norm(x)
        for _ in range(5):
            gram = x @ x.T
            x = QUINTIC[0] * x + (QUINTIC[1] * gram + QUINTIC[2] * gram @ gram) @ x
        w = (1 - 0.01 * 0.1) * w - 0.01 * 0.2 * math.sqrt(18) * x
    found = moved(lambda groups: Muon(groups, 0.01, 0.9, nesterov))
    np.testing.assert_allclose(found.reshape(3, -1), w, rtol=1e-9)


def test_muon_moves_a_matrix_as_torch_does() -> None:
    """torch.optim.Muon counts in bfloat16, hence the margin."""
    weights = [torch.nn.Parameter(torch.from_numpy(KERNEL.reshape(3, 18)).float()) for _ in range(2)]
    ours = Muon([{"params": [weights[0]], "weight_decay": 0.1, "kernel": True}], 0.01, 0.9, True)
    options: Any = {"momentum": 0.9, "nesterov": True, "adjust_lr_fn": "match_rms_adamw"}
    theirs = torch.optim.Muon([weights[1]], lr=0.01, weight_decay=0.1, **options)
    for gradient in GRADIENTS:
        for weight in weights:
            weight.grad = torch.from_numpy(gradient.reshape(3, 18)).float()
        ours.step()
        theirs.step()
    changes = [weight.detach() - torch.from_numpy(KERNEL.reshape(3, 18)) for weight in weights]
    assert float((changes[0] - changes[1]).norm() / changes[1].norm()) < 0.02


def test_muon_moves_the_rest_as_adamw() -> None:
    weight = torch.nn.Parameter(torch.tensor(KERNEL))
    adamw = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.1)
    for gradient in GRADIENTS:
        weight.grad = torch.from_numpy(gradient)
        adamw.step()
    found = moved(lambda groups: Muon(groups, 0.01, 0.9, True), kernel=False)
    np.testing.assert_allclose(found, weight.detach().numpy(), rtol=1e-9)


@pytest.mark.parametrize("shape", [(64, 27), (16, 144), (64, 64)])
def test_what_is_made_orthogonal_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    values = np.linalg.svd(orthogonal(torch.from_numpy(np.random.default_rng(1).normal(size=shape))).numpy())[1]
    assert values.shape == (min(shape),)
    assert (values[: -len(values) // 8] > 0.6).all()  # the few that were almost zero may lag behind
    assert (values < 1.3).all()


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_the_others_are_those_of_torch(name: str) -> None:
    decided = settings(steps=10, optimizer=name, weight_decay=0.01)
    made = optimizer(ResNet(decided.plan), decided)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}
    assert type(made) is kind.get(name, torch.optim.SGD)
    assert {group["weight_decay"] for group in made.param_groups} == {0.0, 0.01}
    assert {group.get("momentum") for group in made.param_groups} == ({0.9} if name in ("rmsprop", "sgd") else {None})


def formula(name: str, w: Numbers, gradients: Numbers, decay: float, nesterov: bool) -> Numbers:
    """Four steps at a rate of 0.01: L2 inside the gradient, but for AdamW, which shrinks the weights beside it."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, raw in enumerate(gradients, start=1):
        g = raw if name == "adamw" else raw + decay * w
        if name == "sgd":  # Sutskever et al. 2013, section 2, in the form of a velocity without the rate
            m = 0.8 * m + g
            w = w - 0.01 * (g + 0.8 * m if nesterov else m)
        elif name == "rmsprop":  # the mean square of 0.99, as is torch's usage, and then momentum
            v = 0.99 * v + 0.01 * g**2
            m = 0.8 * m + g / (np.sqrt(v) + 1e-8)
            w = w - 0.01 * m
        else:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w * (1 - 0.01 * decay) if name == "adamw" else w
            w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_the_optimizer_of_a_run_moves_weights_by_its_formula(name: str, nesterov: bool) -> None:
    """Through the settings of the run, so that each of them is seen to arrive; biases go without decay."""
    given: dict[str, Any] = {"nesterov": nesterov, "momentum": 0.8} if name == "sgd" else {}
    given |= {"momentum": 0.8} if name == "rmsprop" else {}
    decided = settings(steps=10, optimizer=name, lr=0.01, weight_decay=0.1, **given)
    model = ResNet(decided.plan).double()
    made = optimizer(model, decided)
    watched = {key: dict(model.named_parameters())[key] for key in ("layer1.0.conv1.weight", "fc.bias")}
    starts = {key: parameter.detach().numpy().copy() for key, parameter in watched.items()}
    gradients = {key: np.random.default_rng(1).normal(size=(4, *start.shape)) for key, start in starts.items()}
    for step in range(4):
        for key, parameter in watched.items():
            parameter.grad = torch.from_numpy(gradients[key][step])
        tune(made, 0.01, decided)
        made.step()
    for key, parameter in watched.items():
        wanted = formula(name, starts[key], gradients[key], 0.1 if parameter.ndim > 1 else 0.0, nesterov)
        np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=1e-6, atol=1e-9)


def test_muon_leaves_the_first_and_the_last_layer_to_adamw() -> None:
    decided = settings(steps=10, optimizer="muon")
    model = ResNet(decided.plan)
    groups = grouped(model, decided)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    matrices = {id(p) for group in groups if group["kernel"] for p in group["params"]}
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    for name, parameter in model.named_parameters():
        inner = parameter.ndim == 4 and name != "conv1.weight"
        assert (id(parameter) in matrices) == inner, name
        assert (id(parameter) in decayed) == (parameter.ndim > 1), name


def test_linear_falls_in_a_straight_line() -> None:
    decided = settings(steps=100, lr=0.4, warmup=0.2, schedule="linear")
    rates = [lr_at(done, decided) for done in (0.1, 0.2, 0.4, 0.6, 1.0)]
    assert rates == pytest.approx([0.2, 0.4, 0.3, 0.2, 0.0])


def test_onecycle_is_torchs_with_momentum_against_the_rate() -> None:
    decided = settings(steps=100, lr=0.4, schedule="onecycle", momentum=0.95)
    steps, weight = 4001, torch.nn.Parameter(torch.zeros(1))
    theirs = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    options = {"base_momentum": 0.95 * 0.9, "max_momentum": 0.95, "final_div_factor": 1e9}
    schedule = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.4, steps, **options)  # type: ignore[arg-type]
    for step in range(steps):
        rate = lr_at(step / (steps - 1), decided)
        assert rate == pytest.approx(theirs.param_groups[0]["lr"], abs=5e-4)
        if step % 1000 == 0:  # theirs moves momentum along a cosine of its own, which begins a 25th lower
            assert momentum_at(rate, decided) == pytest.approx(theirs.param_groups[0]["momentum"], abs=0.005)
        if step < steps - 1:
            theirs.step()
            schedule.step()


def rows(*accuracies: float) -> list[Row]:
    return [{"val_accuracy": accuracy, "val_loss": 1.0} for accuracy in accuracies]


def test_plateau_lowers_the_rate_after_so_many_epochs_without_a_better_one() -> None:
    history = rows(0.5, 0.6, 0.6, 0.5, 0.5, 0.5, 0.7, 0.7, 0.6)
    assert waits(history) == [0, 0, 1, 2, 3, 4, 0, 1, 2]
    assert [plateaus(history[:n], 2) for n in range(10)] == [0, 0, 0, 0, 1, 1, 2, 2, 2, 3]
    decided = settings(steps=100, lr=1.0, warmup=0.0, schedule="plateau", plateau_epochs=2, gamma=0.5)
    assert [lr_at(0.9, decided, history[:n]) for n in (0, 3, 4, 9)] == [1.0, 1.0, 0.5, 0.125]


def test_a_lower_loss_is_better_where_accuracy_is_equal() -> None:
    history: list[Row] = [{"val_accuracy": 0.5, "val_loss": loss} for loss in (1.0, 0.9, 0.9, 0.95)]
    assert waits(history) == [0, 0, 1, 2]


@pytest.mark.parametrize("schedule", ["cosine", "onecycle"])
def test_what_changes_from_step_to_step_reaches_every_group(schedule: str) -> None:
    state = begin(decided := settings(steps=10, lr=0.4, schedule=schedule))
    tune(state.optimizer, 0.4, decided)
    for group in state.optimizer.param_groups:
        assert group["lr"] == 0.4
        assert group["momentum"] == pytest.approx(0.81 if schedule == "onecycle" else 0.9)


def test_the_usual_rate_of_every_optimizer_is_known() -> None:
    for name in ("sgd", "adam", "adamw", "rmsprop", "lars", "lamb", "muon"):
        run = Run(optimizer=name)
        decided = settings(steps=10, optimizer=name, batch=64)
        assert (run.lr, run.weight_decay) == (None, None)
        assert 0 < decided.lr <= 1
        assert 0 < decided.weight_decay < 0.1


def test_an_epoch_is_better_by_validation_alone() -> None:
    row: Row = {"train_accuracy": 0.9, "train_loss": 0.1, "val_accuracy": 0.5, "val_loss": 1.0}
    assert better(row, None)
    assert not better(row, row)
    assert not better(row | {"train_accuracy": 1.0, "train_loss": 0.0}, row)
    assert better(row | {"val_accuracy": 0.6, "val_loss": 9.0, "train_accuracy": 0.1}, row)
    assert better(row | {"val_loss": 0.9}, row)
    assert not better(row | {"val_loss": 1.1}, row)
