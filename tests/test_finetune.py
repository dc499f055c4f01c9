"""Fine-tuning: a head that is solved, maps that are kept, and stages that learn behind those that stay."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from samples import write_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from resnetkit import finetuning, mapstore, modelfile
from resnetkit.data.augment import Augment
from resnetkit.data.decode import Picture
from resnetkit.data.examples import Examples
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.engine.history import as_good
from resnetkit.engine.losses import Loss
from resnetkit.engine.maps import Frozen, Looked, maps_of
from resnetkit.engine.solve import CLOSE, Features, Head, Problem, Tried, tried
from resnetkit.engine.stop import Stop
from resnetkit.engine.train import Epoch
from resnetkit.errors import UsageError
from resnetkit.finetuning import mode_of
from resnetkit.init import initialize
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.run import Run
from resnetkit.sights import Sight
from resnetkit.tasks import TASKS, TaskName
from resnetkit.training import Done, Event, Note, resuming, training
from resnetkit.zoo import find

RESULTS = ("best.safetensors", "last.safetensors", "results.csv", "metrics.json", "predictions.csv", "split.csv")
MODES = ("head", "stages", "full")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def start(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has seen little, so that there is something left to learn."""
    out = tmp_path_factory.mktemp("start") / "run"
    list(training(Run(data=str(data), out=str(out), model="resnet20", weights="none", steps=20, batch=32, seed=5)))
    return out


@pytest.fixture(autouse=True)
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of maps."""
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "maps"


def tuned(data: Path, start: Path, out: Path, mode: str, **more: Any) -> list[Event]:
    return list(training(asked(data, start, out, mode, **more)))


def asked(data: Path, start: Path, out: Path, mode: str, **more: Any) -> Run:
    steps = {} if mode == "head" else {"epochs": 2, "batch": 32, "save_every": 0.0}
    settings = {"data": str(data), "weights": str(start), "out": str(out), "finetune": mode, "views": 2}
    return Run(**{**settings, "device": "cpu", **steps, **more})


def drawn(n: int = 60, d: int = 7, classes: int = 3) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, n)
    values = rng.normal(size=(n, d)) * rng.uniform(0.1, 5, d) + np.eye(classes, d)[labels] * 2 + 3
    return torch.from_numpy(values).float()[None], torch.from_numpy(labels)


def head_of(values: Tensor, targets: Tensor, objective: Loss, classes: int, strength: float) -> Head:
    return Problem.of(Features(values, targets), objective, classes).head(strength)


@pytest.mark.parametrize("d", [7, 100])  # fewer features than pictures, and more
@pytest.mark.parametrize("strength", [1.0, 0.1, 0.01])
def test_the_head_is_that_of_logistic_regression(strength: float, d: int) -> None:
    values, labels = drawn(d=d)
    head = head_of(values, labels, Loss("cross-entropy"), 3, strength)
    seen = StandardScaler().fit_transform(values[0].double().numpy())
    theirs = LogisticRegression(C=1 / (strength * 60), tol=1e-10, max_iter=10_000).fit(seen, labels.numpy())
    logits = head(values[0]).log_softmax(1).numpy()
    np.testing.assert_allclose(logits, theirs.predict_log_proba(seen), atol=5e-3)


def test_for_numbers_it_is_that_of_ridge_regression() -> None:
    values, _ = drawn()
    numbers = (values[0] @ torch.arange(14.0).view(7, 2) / 20).sin()
    head = head_of(values, numbers, Loss("mse", task="numbers"), 2, 0.1)
    scaler = StandardScaler().fit(values[0].numpy())
    # Our loss is the mean over pictures and numbers, theirs the sum over both.
    theirs = Ridge(alpha=0.1 / 2 * 60 * 2).fit(scaler.transform(values[0].numpy()), numbers.numpy())
    np.testing.assert_allclose(head(values[0]).numpy(), theirs.predict(scaler.transform(values[0].numpy())), atol=1e-3)


def test_lanes_are_solutions_of_their_own_pictures() -> None:
    """Up to the scale of the features, which is that of all pictures."""
    values, labels = drawn()
    half = torch.arange(60) < 30
    values = (values - values[0].mean(0)) / values[0].std(0, correction=0)
    lanes = torch.stack([torch.ones(60), half.float()])
    objective = Loss("cross-entropy", weights=torch.tensor([1.0, 2.0, 0.5]))
    problem = Problem.of(Features(values, labels), objective, 3)
    _, lane = problem.heads(problem.least(problem.begin(2), lanes, 0.03, CLOSE))
    scale = values[:, half][0].std(0, correction=0)
    alone = torch.zeros(3, 7, requires_grad=True)
    bias = torch.zeros(3, requires_grad=True)
    descent = torch.optim.LBFGS([alone, bias], max_iter=500, line_search_fn="strong_wolfe")

    def ask() -> Tensor:
        descent.zero_grad()
        loss = objective(values[0, half] @ alone.T + bias, labels[half]) + 0.015 * (alone**2).sum()
        loss.backward()
        return loss

    descent.step(ask)
    assert scale.shape == (7,)
    torch.testing.assert_close(lane.weight, alone.detach(), atol=2e-3, rtol=0.02)


def test_the_strength_is_chosen_by_pictures_that_were_not_learned() -> None:
    rng = np.random.default_rng(3)
    labels = torch.from_numpy(rng.integers(0, 2, 40))
    values = torch.from_numpy(rng.normal(size=(1, 40, 200))).float()  # nothing to learn, and much to learn by heart
    problem = Problem.of(Features(values, labels), Loss("cross-entropy"), 2)
    path = tried(problem, Features(values[:, :7], labels[:7]), 0)
    best = min(path, key=lambda one: one.unseen)
    assert best.strength >= 0.3
    assert all(one.unseen > best.unseen for one in path if one is not best)
    assert len(best.each) == 47
    weakest = min(one.strength for one in path)
    assert problem.loss(problem.head(weakest)) < problem.loss(problem.head(best.strength))
    path = tried(problem, Features(values[:, :8], labels[:8]), 0)
    assert len(path[0].each) == 8  # a fifth as many others decide alone, here those that were learned
    assert min(path, key=lambda one: one.unseen).strength < 0.01


def test_what_is_surely_better_is_so_picture_for_picture() -> None:
    each = torch.tensor([1.0, 5.0, 1.0, 5.0])
    place = torch.zeros(1), torch.zeros(1)
    losses = (each, each + torch.tensor([0.1, 0.2, 0.2, 0.1]), each.flip(0) + 0.15)
    good, worse, noisy = (Tried(1.0, found, place) for found in losses)
    assert good.surely_better(worse)
    assert not good.surely_better(noisy)
    assert not worse.surely_better(good)
    assert not Tried(1.0, each[:1], place).surely_better(
        Tried(1.0, each[:1] + 1, place)
    )  # one says nothing of the rest


def test_the_last_epoch_that_is_not_surely_worse_is_taken() -> None:
    def row(accuracy: float) -> dict[str, float]:
        return {"val_accuracy": accuracy, "val_loss": 1.0}

    history = [row(0.5), row(0.8)]
    error = 2 * (22 / 29 * 7 / 29 / 29) ** 0.5
    assert as_good(row(0.8 - error + 0.001), history, 25)
    assert not as_good(row(0.8 - error - 0.001), history, 25)
    assert not as_good(row(0.79), history, 10_000)
    assert as_good(row(0.793), history, 10_000)
    assert as_good(row(0.1), [], 25)
    assert as_good(row(0.95), [row(1.0)], 10)  # all of few say little
    assert not as_good({"val_r2": 0.1, "val_loss": 1.0}, [{"val_r2": 0.2, "val_loss": 1.0}], 25)


PREPROCESS = Preprocess(size=(16, 16), crop=1.0, mean=(0.5,) * 3, std=(0.25,) * 3, channels=3)


def network() -> Network:
    made = build(lay_out(find("resnet20")))
    initialize(made, seed=1, zero_last=False)
    return made


def pictures(n: int = 40) -> Examples:
    stack = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), np.uint8)
    return Examples(names=[str(i) for i in range(n)], labels=np.zeros(n, np.int64), preprocess=PREPROCESS, stack=stack)


def digests(count: int) -> list[str]:
    return [f"{i * 7919 + 1:032x}" for i in range(1, count + 1)]


def looked(
    frozen: Frozen, shown: Examples, names: list[str], store: mapstore.Store, views: int = 2
) -> tuple[Tensor, Looked]:
    events = maps_of(frozen, shown, names, Augment(crop="pad"), store, views=views, seed=0, workers=0, stop=Stop())
    last = Looked(0, 0, 0)
    while True:
        try:
            last = next(events)
        except StopIteration as end:
            return end.value, last


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_maps_are_what_the_network_makes_on_its_way(stages: int) -> None:
    model, shown = network(), pictures()
    frozen = Frozen(model, stages, Machine(torch.device("cpu"), "fp32"))
    maps, _ = looked(frozen, shown, digests(40), mapstore.store("a"))
    model.eval()
    with torch.inference_mode():
        images = frozen.machine.images(shown.pixels(0)[None], PREPROCESS)
        torch.testing.assert_close(model.forward_rest(maps[0, :1], stages), model(images))
    assert maps.shape[:2] == (2, 40)
    assert not torch.equal(maps[0], maps[1])


def test_maps_are_kept_and_a_changed_picture_costs_its_own_alone() -> None:
    frozen = Frozen(network(), 2, Machine(torch.device("cpu"), "fp32"))
    shown, names = pictures(), digests(40)
    store = mapstore.store(frozen.key(shown))
    first, seen = looked(frozen, shown, names, store)
    assert seen == Looked(80, 80, 0)
    again, seen = looked(frozen, shown, names, store)
    assert seen == Looked(80, 80, 80)
    assert torch.equal(first, again)
    assert shown.stack is not None
    shown.stack[3] = 255 - shown.stack[3]
    changed, seen = looked(frozen, shown, [*names[:3], "f" * 32, *names[4:]], store)
    assert seen == Looked(80, 80, 78)
    same = [i for i in range(40) if i != 3]
    assert torch.equal(changed[:, same], first[:, same])
    assert not torch.equal(changed[0, 3], first[0, 3])


def test_a_map_depends_on_its_picture_alone() -> None:
    """Not on where it stands, nor on how many others there are."""
    frozen = Frozen(network(), 2, Machine(torch.device("cpu"), "fp32"))
    shown, names = pictures(), digests(40)
    store = mapstore.Store(Path("nowhere"), writes=False)
    all_of_them, _ = looked(frozen, shown, names, store)
    assert shown.stack is not None
    few = Examples(names=["a"] * 7, labels=np.zeros(7, np.int64), preprocess=PREPROCESS, stack=shown.stack[30:37])
    some_of_them, _ = looked(frozen, few, names[30:37], store)
    assert torch.equal(some_of_them, all_of_them[:, 30:37])


def test_a_file_is_read_once_for_all_looks_at_it() -> None:
    """And looks as the same picture does that is in memory."""
    frozen = Frozen(network(), 2, Machine(torch.device("cpu"), "fp32"))
    shown, names, store = pictures(), digests(40), mapstore.Store(Path("nowhere"), writes=False)
    stack, reads = shown.stack, []
    assert stack is not None

    def read(i: int) -> Picture:
        reads.append(i)
        return Picture(stack[i])

    files = Examples(names=shown.names, labels=shown.labels, preprocess=PREPROCESS, read=read)
    of_files, _ = looked(frozen, files, names, store, views=3)
    of_stack, _ = looked(frozen, shown, names, store, views=3)
    assert torch.equal(of_files, of_stack)
    assert len(reads) <= 40 + 3  # but for those whose looks are in two batches
    assert set(reads) == set(range(40))


def test_other_weights_or_another_look_are_another_store() -> None:
    shown, machine = pictures(), Machine(torch.device("cpu"), "fp32")
    model = network()
    keys = {Frozen(model, stages, machine).key(shown) for stages in (1, 2, 3)}
    keys.add(Frozen(model, 2, Machine(torch.device("cpu"), "bf16")).key(shown))
    with torch.no_grad():
        model.get_parameter("layer3.0.conv1.weight").add_(1)
    assert Frozen(model, 2, machine).key(shown) in keys  # the third stage comes later
    with torch.no_grad():
        model.get_parameter("layer2.0.conv1.weight").add_(1)
    assert Frozen(model, 2, machine).key(shown) not in keys
    assert len(keys) == 4


def test_what_is_damaged_or_deleted_is_made_again() -> None:
    frozen = Frozen(network(), 2, Machine(torch.device("cpu"), "fp32"))
    shown, names = pictures(), digests(40)
    store = mapstore.store(frozen.key(shown))
    first, _ = looked(frozen, shown, names, store)
    (block,) = store.folder.glob("*.maps")
    good = block.read_bytes()
    for bad in (good[:100], b"", good[:-1] + bytes([good[-1] ^ 1]), b"x" * 500):
        block.write_bytes(bad)
        store.notes.clear()
        again, seen = looked(frozen, shown, names, store)
        assert torch.equal(again, first)
        assert seen.kept == 0
        assert "damaged" in store.notes[0]
    shutil.rmtree(mapstore.root())
    again, seen = looked(frozen, shown, names, store)
    assert torch.equal(again, first)
    assert block.read_bytes() == good


def test_a_disk_that_takes_nothing_loses_nothing(tmp_path: Path) -> None:
    frozen = Frozen(network(), 2, Machine(torch.device("cpu"), "fp32"))
    (tmp_path / "file").write_text("no folder")
    store = mapstore.Store(tmp_path / "file" / "maps")
    found, _ = looked(frozen, pictures(), digests(40), store)
    assert found.shape[:2] == (2, 40)
    assert "not kept" in store.notes[0]


def test_stores_are_bounded_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in enumerate(("old", "older", "new")):
        mapstore.store(name).write([bytes(16)], torch.zeros(1, 2**18))
        os.utime(mapstore.root() / name / mapstore.USED, (1000 * age, 1000 * age))
    monkeypatch.setenv("RESNETKIT_MAPS", str(2.5 / 1024))
    said = mapstore.bound(keep=mapstore.root() / "old")
    assert sorted(folder.name for folder in mapstore.root().iterdir()) == ["new", "old"]
    assert len(said) == 1
    assert "deleted" in said[0]


@pytest.mark.parametrize("mode", MODES)
def test_what_stays_stays_and_what_learns_learns(data: Path, start: Path, tmp_path: Path, mode: str) -> None:
    events = tuned(data, start, tmp_path / "run", mode)
    assert isinstance(events[-1], Done)
    rows = [event.row for event in events if isinstance(event, Epoch)]
    assert [row["epoch"] for row in rows] == ([0] if mode == "head" else [0, 1, 2])
    _, before = modelfile.load(start / "best.safetensors")
    _, after = modelfile.load(tmp_path / "run/last.safetensors")
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    stem = {"conv1", "bn1", "layer1", "layer2"}
    assert moved == {"head": {"fc"}, "stages": {"layer3", "fc"}, "full": stem | {"layer3", "fc"}}[mode]
    assert rows[0]["val_accuracy"] > 0.6  # where the start has a fifth
    assert rows[-1]["val_accuracy"] > 0.6


@pytest.mark.parametrize("mode", MODES)
def test_the_figures_of_a_run_are_those_of_its_network(data: Path, start: Path, tmp_path: Path, mode: str) -> None:
    """Maps of the validation part are in float32, so that a row says what evaluation says."""
    from resnetkit.classifier import load

    tuned(data, start, tmp_path / "run", mode)
    metrics = json.loads((tmp_path / "run/metrics.json").read_bytes())
    found = load(tmp_path / "run", device="cpu").evaluate(data, split="val").as_dict()
    assert found["accuracy"] == pytest.approx(metrics["val_accuracy"], abs=1e-9)
    assert found["loss"] == pytest.approx(metrics["val_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("mode", "cells", "seen"),
    [
        ("head", None, 4),
        ("head", 0, None),
        ("stages", None, None),
        ("stages", 2, 2),
        ("full", None, None),
        ("full", 1, 1),
    ],
)
def test_the_head_sees_as_many_cells_as_it_is_told(
    data: Path, start: Path, tmp_path: Path, mode: str, cells: int | None, seen: int | None
) -> None:
    from resnetkit.classifier import load

    tuned(data, start, tmp_path / "run", mode, head_cells=cells)
    card, state = modelfile.load(tmp_path / "run/best.safetensors")
    assert (card.plan.taps.cells if card.plan.taps else None) == seen
    widths = {"stages": 32 + 64}.get(mode, 16 + 32 + 64)
    assert state["fc.weight"].shape == (10, widths * seen**2 if seen else 64)
    metrics = json.loads((tmp_path / "run/metrics.json").read_bytes())
    found = load(tmp_path / "run", device="cpu").evaluate(data, split="val").as_dict()
    assert found["accuracy"] == pytest.approx(metrics["val_accuracy"], abs=1e-9)


def test_what_the_weights_saw_is_not_what_the_next_run_sees(data: Path, start: Path, tmp_path: Path) -> None:
    """Of the same classes, whose rows would come along if they fitted."""
    tuned(data, start, tmp_path / "wide", "head")
    for mode in MODES:
        events = tuned(data, tmp_path / "wide", tmp_path / mode, mode)
        notes = " ".join(event.text for event in events if isinstance(event, Note))
        assert ("--head-cells 4 keeps what it saw" in notes) == (mode != "head")
        card, state = modelfile.load(tmp_path / mode / "best.safetensors")
        assert (card.plan.taps is not None) == (mode == "head")
        assert state["fc.weight"].shape[1] == card.plan.features
    tuned(data, tmp_path / "stages", tmp_path / "again", "head", head_cells=1)


def test_weights_that_know_the_classes_are_asked_by_their_last_map() -> None:
    """Whatever the maps before it say, where few pictures would let a head learn that by heart."""
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, 4, 60))
    last = torch.eye(4)[labels].repeat_interleave(4, 1) * 3 + torch.from_numpy(rng.normal(size=(60, 16))).float()
    noise = torch.from_numpy(rng.normal(size=(60, 400))).float()
    values, sight = torch.cat([noise, last], 1)[None], Sight("the last map", 4, 4)
    found = []
    for seen in (Sight("all maps"), sight):
        problem = Problem.of(Features(seen.seen(values), labels), Loss("cross-entropy"), 4)
        path = tried(problem, Features(seen.seen(values[:, :5]), labels[:5]), 0)
        found.append(min(path, key=lambda one: one.unseen))
    assert found[1].surely_better(found[0])


CHILD = """
import json, os, signal, sys
from resnetkit.engine import maps
from resnetkit.engine.maps import Looked
from resnetkit.engine.step import Tick
from resnetkit.engine.train import Epoch
from resnetkit.run import Run
from resnetkit.tasks import TASKS, TaskName
from resnetkit.training import training
place, count, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
maps.BLOCK = 1
looks = 0
for event in training(Run(**settings)):
    looks += isinstance(event, Looked)
    if (
        (place == "look" and looks == count)
        or (place == "step" and isinstance(event, Tick) and event.step == count)
        or (place == "epoch" and isinstance(event, Epoch) and event.row["epoch"] == count)
    ):
        os.kill(os.getpid(), signal.SIGKILL)
"""
PLACES = [("head", "look", 2), ("head", "epoch", 0), ("stages", "look", 2), ("stages", "step", 8), ("full", "step", 3)]


@pytest.mark.parametrize(("mode", "place", "count"), PLACES)
def test_killed_and_resumed_is_the_run_never_stopped(
    data: Path, start: Path, tmp_path: Path, maps: Path, mode: str, place: str, count: int
) -> None:
    tuned(data, start, tmp_path / "whole", mode, workers=0)
    shutil.rmtree(maps)
    run = asked(data, start, tmp_path / "run", mode, workers=0)
    settings = {
        name: getattr(run, name) for name in ("data", "weights", "out", "finetune", "views", "device", "epochs")
    }
    settings |= {"batch": run.batch, "save_every": run.save_every, "workers": 0}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, place, str(count), json.dumps(settings)], check=False, timeout=100
    )
    assert child.returncode == -signal.SIGKILL
    resumed = list(resuming(tmp_path / "run", workers=2))
    looks = [event for event in resumed if isinstance(event, Looked)]
    if place == "look":  # one block of each part's was whole at least
        assert looks[0].kept > 0
    differing = [n for n in RESULTS if (tmp_path / "run" / n).read_bytes() != (tmp_path / "whole" / n).read_bytes()]
    assert differing == []


def test_a_second_run_on_the_same_pictures_computes_no_map(data: Path, start: Path, tmp_path: Path) -> None:
    first = tuned(data, start, tmp_path / "a", "head")
    second = tuned(data, start, tmp_path / "b", "head", smoothing=0.0)
    for events, kept in ((first, False), (second, True)):
        assert all((event.kept == event.looks) is kept for event in events if isinstance(event, Looked))


@pytest.mark.parametrize("task", ["tags", "numbers"])
def test_tags_and_numbers_are_tuned_alike(start: Path, tmp_path: Path, task: TaskName) -> None:
    """How many of two digits there are, or which; from a network of ten digits."""
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=4)
    lines = ["path,label"]
    for i, (image, label) in enumerate(zip(digits.images[:200], digits.target[:200], strict=True)):
        Image.fromarray((image * 15).astype(np.uint8)).save(tmp_path / f"{i}.png")
        words = {"tags": ";".join(["a"] * int(label > 1) + ["b"] * int(label % 2)), "numbers": f"{label * 1.5}"}
        lines.append(f"{i}.png,{words[task]}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    events = tuned(tmp_path / "list.csv", start, tmp_path / "run", "head", task=task)
    done = events[-1]
    assert isinstance(done, Done)
    assert done.metrics[TASKS[task].judge] > 0.5


def test_a_mode_without_weights_is_refused(data: Path, tmp_path: Path) -> None:
    modes: dict[str, Any] = {"finetune": "head", "views": 3, "frozen": 1}
    for name, value in modes.items():
        with pytest.raises(UsageError, match="no weights to begin with"):
            next(begun(Run(data=str(data), weights="none", out=str(tmp_path / "x"), **{name: value}), name))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"finetune": "head", "epochs": 3}, "--epochs would have no effect"),
        ({"finetune": "head", "lr": 0.1}, "--lr would have no effect"),
        ({"finetune": "head", "views": 1, "jitter": 0.3}, "--jitter would have no effect"),
        ({"finetune": "stages", "mixup": 0.3}, "--mixup would have no effect"),
        ({"finetune": "full", "frozen": 1}, "--frozen 1 cannot be"),
        ({"finetune": "stages", "frozen": 3}, "--frozen 3 cannot be"),
    ],
)
def test_settings_that_are_idle_in_a_mode_are_refused(
    data: Path, start: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    run = Run(data=str(data), weights=str(start), out=str(tmp_path / "run"), **settings)
    with pytest.raises(UsageError) as caught:
        next(begun(run, *settings))
    assert said in caught.value.what
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", finetuning.STEPS)
def test_a_head_that_is_solved_takes_no_setting_of_steps(name: str) -> None:
    plan = lay_out(find("resnet20"))
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would have no effect"):
        mode_of(Run(finetune="head"), frozenset({name}), plan, 100, 32)


def test_what_a_recipe_says_of_steps_is_refused_too() -> None:
    plan, asks = lay_out(find("resnet20")), Run(finetune="head", schedule="linear")
    with pytest.raises(UsageError, match="schedule linear of the recipe would have no effect with --finetune head"):
        mode_of(asks, frozenset({"finetune"}), plan, 100, 32)
    found = mode_of(replace(asks, finetune="auto"), frozenset(), plan, 100, 32)
    assert (found.name, found.reason) == ("stages", "schedule asks for steps")


@pytest.mark.parametrize("size", ["-1", "x", "1e999"])
def test_a_bound_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv("RESNETKIT_MAPS", size)
    with pytest.raises(UsageError, match="which is no number of GB"):
        mapstore.most()


@pytest.mark.parametrize("name", finetuning.LOOKS)
def test_one_look_is_never_varied(name: str) -> None:
    plan = lay_out(find("resnet20"))
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would have no effect"):
        mode_of(Run(finetune="head", views=1), frozenset({name}), plan, 100, 32)
    assert mode_of(Run(finetune="head", views=2), frozenset({name}), plan, 100, 32).views == 2


def test_the_mode_suits_the_data() -> None:
    plan = lay_out(find("resnet20"))
    fewest, few, many = (mode_of(Run(), frozenset(), plan, n, 32) for n in (200, 1200, 20_000))
    assert (fewest.name, fewest.frozen, fewest.views) == ("head", 3, 4)
    assert (few.name, few.frozen, few.views) == ("stages", 2, 4)
    assert (many.name, many.frozen) == ("full", 0)
    for asks in (Run(mixup=0.2), Run(cutmix=1.0), Run(repeats=2), Run(teacher="t")):  # given, or of a recipe
        assert mode_of(asks, frozenset(), plan, 200, 32).name == "full"
    for asks, given in ((Run(epochs=3), set()), (Run(), {"momentum"}), (Run(lr=0.1), {"lr"}), (Run(frozen=2), set())):
        assert mode_of(asks, frozenset(given), plan, 200, 32).name == "stages"
    with pytest.raises(UsageError, match="--mixup would have no effect"):
        mode_of(Run(mixup=0.2, finetune="stages"), frozenset(), plan, 200, 32)
    assert mode_of(Run(frozen=1), frozenset({"frozen"}), plan, 20_000, 32) == finetuning.Mode(
        "stages", 1, 3, "for 20,000 pictures"
    )


def test_maps_that_memory_should_not_hold_are_not_made() -> None:
    plan = lay_out(find("resnet50"))  # 1024x14x14 numbers behind the third stage: 0.8 MB
    assert finetuning.room(plan, 3, 1000, 224) == 4 * 2**30 // (4 * 1024 * 14 * 14 * 1000) == 5
    assert finetuning.room(plan, 2, 1000, (224, 224)) == 4 * 2**30 // (4 * 512 * 28 * 28 * 1000)
    asked = Run(finetune="stages")
    assert mode_of(asked, frozenset(), plan, 1000, 224).views == 4
    assert mode_of(asked, frozenset(), plan, 2000, 224).views == 2
    assert mode_of(Run(), frozenset(), plan, 10**6, 224).name == "full"
    with pytest.raises(UsageError, match="take more than 4 GB") as caught:
        mode_of(Run(finetune="stages", views=9), frozenset({"views"}), plan, 1000, 224)
    assert caught.value.fix == "--views 5"
    with pytest.raises(UsageError, match="take more than 4 GB") as caught:
        mode_of(asked, frozenset(), plan, 10**6, 224)
    assert caught.value.fix == "--finetune full"


def begun(run: Run, *given: str) -> Generator[Event]:
    return training(run, frozenset(given))
