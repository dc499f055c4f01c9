"""A run that is killed and resumed ends with the same bytes as one that was never stopped."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
import safetensors.torch
import torch
from samples import folder, write_digits

from resnetkit.answers import Answers
from resnetkit.engine import checkpoint
from resnetkit.engine.evaluate import answer
from resnetkit.engine.step import Tick
from resnetkit.engine.stop import Stopped
from resnetkit.errors import DataError, ResourceError, UsageError, WeightsError
from resnetkit.files import write_bytes
from resnetkit.job import prepare
from resnetkit.network import Network
from resnetkit.run import Run
from resnetkit.training import Done, Event, resuming, training

SETTINGS: dict[str, Any] = {
    "model": "resnet20",
    "epochs": 3,
    "batch": 32,
    "save_every": 0.0,
    "device": "cpu",
    "seed": 3,
}
RESULTS = ("best.safetensors", "last.safetensors", "results.csv", "metrics.json", "predictions.csv", "split.csv")

# What a child process does: train, and die without a word at the given place.
CHILD = """
import json, os, signal, sys
from resnetkit.engine import checkpoint
from resnetkit.engine.step import Tick
from resnetkit.engine.train import Epoch
from resnetkit.run import Run
from resnetkit.training import training
place, count, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if place == "saving":  # between the files of a checkpoint and the rename that makes it one
    replace, calls = os.replace, []
    def dying(source, target):
        calls.append(str(target).rpartition("/")[2].startswith("step-"))
        if sum(calls) == count:
            die()
        return replace(source, target)
    checkpoint.os.replace = dying
for event in training(Run(**settings)):
    if place == "step" and isinstance(event, Tick) and event.step == count:
        die()
    if place == "epoch" and isinstance(event, Epoch) and event.row["epoch"] == count:
        die()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    list(training(Run(data=str(data), out=str(out), workers=0, **SETTINGS)))
    return out


def killed(data: Path, out: Path, place: str, count: int, **more: Any) -> Path:
    settings = {"data": str(data), "out": str(out), **SETTINGS, **more}
    child = subprocess.run(
        [sys.executable, "-c", CHILD, place, str(count), json.dumps(settings)], check=False, timeout=100
    )
    assert child.returncode == -signal.SIGKILL
    assert not (out / "metrics.json").exists()
    return out


def differing(a: Path, b: Path) -> list[str]:
    return [name for name in RESULTS if (a / name).read_bytes() != (b / name).read_bytes()]


@pytest.mark.parametrize(("place", "count"), [("step", 4), ("saving", 9), ("epoch", 2)])
def test_killed_and_resumed_is_the_run_never_stopped(
    data: Path, whole: Path, tmp_path: Path, place: str, count: int
) -> None:
    out = killed(data, tmp_path / "run", place, count)
    done = list(resuming(out, workers=3))[-1]
    assert isinstance(done, Done)
    assert differing(out, whole) == []
    tensors = [safetensors.torch.load_file(folder / "best.safetensors") for folder in (out, whole)]
    assert sum(not torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[1]) == 0
    assert not list((out / "checkpoints").glob(".step-*"))


def test_whatever_varies_varies_alike_after_a_kill(data: Path, whole: Path, tmp_path: Path) -> None:
    varied: dict[str, Any] = {
        "policy": "augmix",
        "jitter": 0.4,
        "cutout": 0.25,
        "erase": 0.5,
        "repeats": 3,
        "mixup": 0.4,
        "cutmix": 1.0,
    }
    reference = tmp_path / "reference"
    list(training(Run(data=str(data), out=str(reference), workers=0, **SETTINGS, **varied)))
    out = killed(data, tmp_path / "run", "step", 4, **varied)
    list(resuming(out, workers=3))
    assert differing(out, reference) == []
    assert "last.safetensors" in differing(out, whole)


def test_a_kill_before_the_first_checkpoint_starts_over(data: Path, whole: Path, tmp_path: Path) -> None:
    out = killed(data, tmp_path / "run", "saving", 1)
    list(resuming(out))
    assert differing(out, whole) == []


def test_the_best_epoch_is_the_best_on_validation(whole: Path) -> None:
    with open(whole / "results.csv", encoding="utf-8") as file:
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"], -row["epoch"]))
    metrics = json.loads((whole / "metrics.json").read_bytes())
    assert metrics["split"] == "test"
    assert metrics["epoch"] == best["epoch"]
    assert metrics["val_accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-6)


def rewritten(path: Path, snapshot: checkpoint.Snapshot) -> None:
    """The newest checkpoint, replaced by another that is whole and says something else."""
    shutil.rmtree(path)
    checkpoint.save(path.parent, snapshot)


@pytest.mark.parametrize("part", ["weights", "norms", "best weights", "optimizer", "step", "sums", "history", "best"])
def test_no_part_of_the_saved_state_is_idle(data: Path, whole: Path, tmp_path: Path, part: str) -> None:
    """Lose any one part of a checkpoint, and the end is another: each is needed, and this test would notice."""
    out = killed(data, tmp_path / "run", "step", 10)
    path = checkpoint.found(out / "checkpoints")[0]
    snapshot = checkpoint.load(path)
    tensors, values = dict(snapshot.tensors), dict(snapshot.values)
    match part:
        case "weights":
            tensors |= {k: v * 0 for k, v in tensors.items() if k == "model.layer2.0.conv1.weight"}
        case "norms":
            tensors |= {k: v * 0 for k, v in tensors.items() if k.startswith("model.") and "running_mean" in k}
        case "best weights":  # the epochs to come must not be better, or nobody would miss them
            values["best"] = values["best"] | {"val_accuracy": 2.0}
            rewritten(path, checkpoint.Snapshot(tensors, values))
            reference = tmp_path / "reference"
            shutil.copytree(out, reference)
            list(resuming(reference))
            tensors |= {k: v * 0 for k, v in tensors.items() if k.startswith("best.") and v.is_floating_point()}
            path = checkpoint.found(out / "checkpoints")[0]
        case "optimizer":
            tensors = {k: v for k, v in tensors.items() if not k.startswith("optimizer.")}
        case "step":
            values["step"] -= 1
        case "sums":
            values["sums"] = {"loss": 0.0, "correct": 0, "seen": 1}
        case "history":
            values["history"] = []
        case "best":
            values["best"] = values["best"] | {"val_accuracy": 2.0}
    rewritten(path, checkpoint.Snapshot(tensors, values))
    list(resuming(out))
    assert differing(out, tmp_path / "reference" if part == "best weights" else whole) != []


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ({"ema": 0.9, "dropout": 0.3, "drop_path": 0.3, "accumulate": 2}, "average"),
        ({"schedule": "plateau", "plateau_epochs": 1}, "history"),
        ({"patience": 1}, "history"),
        ({"optimizer": "muon", "sampling": "balanced", "schedule": "onecycle", "layer_decay": 0.9}, "optimizer"),
    ],
)
def test_what_a_run_remembers_beside_the_usual_is_kept_and_needed(
    data: Path, tmp_path: Path, more: dict[str, Any], part: str
) -> None:
    base, straight, twice, lossy = (tmp_path / name for name in ("base", "straight", "twice", "lossy"))
    stopped_at(training(Run(data=str(data), out=str(base), **{**SETTINGS, **more})), 10)
    path = checkpoint.found(base / "checkpoints")[0]
    snapshot = checkpoint.load(path)
    tensors, values = dict(snapshot.tensors), dict(snapshot.values)
    if part == "history":  # the first epoch is the best there will be
        values["best"] = values["best"] | {"val_accuracy": 2.0}
        values["history"] = [values["best"]]
        rewritten(path, checkpoint.Snapshot(tensors, values))
    for copy in (straight, twice, lossy):
        shutil.copytree(base, copy)
    list(resuming(straight))
    stopped_at(resuming(twice), 11)
    list(resuming(twice, workers=2))
    assert differing(twice, straight) == []
    if part == "history":
        values["history"] = []
    elif part == "average":
        tensors |= {name: tensors[f"model.{name[8:]}"].clone() for name in tensors if name.startswith("average.")}
    else:
        tensors = {name: value for name, value in tensors.items() if not name.startswith(part)}
    rewritten(lossy / "checkpoints" / path.name, checkpoint.Snapshot(tensors, values))
    list(resuming(lossy))
    assert "last.safetensors" in differing(lossy, straight)


def stopped_at(events: Generator[Event], step: int) -> None:
    """Drop a run at one of its steps, which is not saved yet."""
    with closing(events):
        next(event for event in events if isinstance(event, Tick) and event.step == step)


def test_a_run_that_ends_early_is_done_and_says_so(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped_at(training(Run(data=str(data), out=str(out), **{**SETTINGS, "patience": 1})), 10)
    path = checkpoint.found(out / "checkpoints")[0]
    snapshot = checkpoint.load(path)
    best = snapshot.values["best"] | {"val_accuracy": 2.0}
    rewritten(path, checkpoint.Snapshot(snapshot.tensors, snapshot.values | {"best": best, "history": [best]}))
    for _ in range(2):  # and again, where somebody resumes what is over
        events = list(resuming(out))
        assert isinstance(events[-1], Done)
        assert any("ended after epoch 2: none since epoch 1 was better" in getattr(e, "text", "") for e in events)
        assert events[-1].metrics["epoch"] == 1
        status = json.loads((out / "status.json").read_bytes())
        assert (status["status"], status["step"]) == ("done", 12)


@pytest.mark.parametrize("damage", ["flip", "half", "empty", "gone", "no manifest"])
def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_is_used(
    data: Path, whole: Path, tmp_path: Path, damage: str
) -> None:
    out = killed(data, tmp_path / "run", "step", 9)
    newest = checkpoint.found(out / "checkpoints")[0]
    file = newest / ("MANIFEST.json" if damage == "no manifest" else "tensors.safetensors")
    content = bytearray(file.read_bytes())
    if damage in ("gone", "no manifest"):
        file.unlink()
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes({"flip": bytes(content), "half": bytes(content[: len(content) // 2]), "empty": b""}[damage])
    events = list(resuming(out))
    assert any(newest.name in getattr(event, "text", "") for event in events)
    assert (out / "checkpoints" / "quarantine" / newest.name).is_dir()
    assert differing(out, whole) == []


def test_without_any_whole_checkpoint_nothing_starts_over_in_silence(data: Path, tmp_path: Path) -> None:
    out = killed(data, tmp_path / "run", "step", 9)
    for path in checkpoint.found(out / "checkpoints"):
        (path / "values.json").write_bytes(b"")
    for _ in range(2):  # the second time, too, though the damaged ones are put aside by then
        with pytest.raises(WeightsError, match="no checkpoint that is whole"):
            list(resuming(out))


def test_a_folder_that_is_taken_is_refused_before_the_data_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"letter\.txt"):
        list(training(Run(data=str(tmp_path / "missing"), out=str(tmp_path))))


def test_a_folder_is_a_run_only_once_all_it_begins_with_is_there(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("resnetkit.training.write_split", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(training(Run(data=str(data), out=str(tmp_path / "run"), **SETTINGS)))
    with pytest.raises(UsageError, match="holds no run"):
        list(resuming(tmp_path / "run"))


def test_the_scaler_of_fp16_is_part_of_the_state() -> None:
    from resnetkit.engine.state import State

    model = cast(Network, torch.nn.Linear(2, 2))
    states = []
    for scale in (4.0, 65536.0):
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        states.append(State(model, lambda: torch.optim.SGD(model.parameters(), lr=0.1), scaler))
    states[0].scaler.scale(torch.zeros(1))
    states[1].restore(states[0].snapshot())
    assert states[1].scaler.get_scale() == 4.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_politely(data: Path, whole: Path, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "run"
    program = (
        "import sys\nfrom resnetkit.engine.stop import Stopped\n"
        "try:\n"
        + "".join(f"    {line}\n" for line in signalling(int(number)).splitlines())
        + "except Stopped as stopped:\n    sys.exit(stopped.code)\n"
    )
    settings = {"data": str(data), "out": str(out), **SETTINGS, "save_every": 1000.0}
    child = subprocess.run([sys.executable, "-c", program, json.dumps(settings)], check=False, timeout=100)
    assert child.returncode == {signal.SIGTERM: 75, signal.SIGINT: 130}[number]
    assert json.loads((out / "status.json").read_bytes())["status"] == "stopped"
    assert checkpoint.found(out / "checkpoints")[0].name == "step-000000008"
    list(resuming(out))
    assert differing(out, whole) == []


@pytest.mark.parametrize(
    ("place", "missing"), [("engine.train.answer", "results.csv"), ("training.answer", "metrics.json")]
)
def test_a_signal_during_validation_or_the_final_measurement_stops_politely(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, missing: str
) -> None:
    def signalled(*arguments: Any) -> Iterator[Answers]:
        for some in answer(*arguments):
            os.kill(os.getpid(), signal.SIGTERM)
            yield some

    out = tmp_path / "run"
    monkeypatch.setattr(f"resnetkit.{place}", signalled)
    with pytest.raises(Stopped) as stopped:
        list(training(Run(data=str(data), out=str(out), **SETTINGS)))
    monkeypatch.undo()
    assert stopped.value.code == 75
    assert json.loads((out / "status.json").read_bytes())["status"] == "stopped"
    assert not (out / missing).exists()
    list(resuming(out))
    assert differing(out, whole) == []


def signalling(number: int) -> str:
    return f"""
import json, os, sys
from resnetkit.engine.step import Tick
from resnetkit.run import Run
from resnetkit.training import training
for event in training(Run(**json.loads(sys.argv[1]))):
    if isinstance(event, Tick) and event.step == 8:
        os.kill(os.getpid(), {number})
"""


def test_changed_data_is_refused_and_named(tmp_path: Path) -> None:
    source = folder(tmp_path / "photos", *(f"{name}/{i}.png" for name in ("ants", "bees") for i in range(6)))
    out = tmp_path / "run"
    list(training(Run(data=str(source), out=str(out), **{**SETTINGS, "epochs": 1})))
    before = {path: sha256(path.read_bytes()).hexdigest() for path in out.rglob("*") if path.is_file()}
    victim = min(source.rglob("*.*"))
    victim.write_bytes(max(source.rglob("*.*")).read_bytes())
    with pytest.raises(DataError, match=victim.name):
        list(resuming(out))
    assert before == {path: sha256(path.read_bytes()).hexdigest() for path in out.rglob("*") if path.is_file()}


def test_moved_data_is_the_same_data(data: Path, whole: Path, tmp_path: Path) -> None:
    out = killed(data, tmp_path / "run", "step", 10)
    list(resuming(out, data=str(shutil.copytree(data, tmp_path / "moved"))))
    assert differing(out, whole) == []


def test_two_processes_do_not_train_into_one_folder(data: Path, tmp_path: Path) -> None:
    out = killed(data, tmp_path / "run", "step", 2)
    first = resuming(out)
    next(first)
    with pytest.raises(UsageError, match="another process"):
        next(resuming(out))
    first.close()


def test_a_folder_that_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json"):
        list(resuming(tmp_path))
    with pytest.raises(UsageError, match="not a folder"):
        list(resuming(tmp_path / "nothing"))
    assert os.listdir(tmp_path) == []


def test_a_kill_after_the_last_checkpoint_leaves_nothing_stale(data: Path, whole: Path, tmp_path: Path) -> None:
    """The run is over, but its model files were not yet written: a resume writes them."""
    out = tmp_path / "run"
    list(training(Run(data=str(data), out=str(out), **SETTINGS)))
    stale = (out / "checkpoints").parent / "best.safetensors"
    stale.unlink()
    (out / "last.safetensors").write_bytes(b"")
    list(resuming(out))
    assert differing(out, whole) == []


@pytest.mark.parametrize(("name", "value"), [("lr", 0.5), ("optimizer", "adamw"), ("seed", 9), ("model", "resnet32")])
def test_a_run_whose_settings_were_changed_is_refused(data: Path, tmp_path: Path, name: str, value: object) -> None:
    out = killed(data, tmp_path / "run", "step", 3)
    document = json.loads((out / "run.json").read_bytes())
    document["settings"][name] = value
    (out / "run.json").write_text(json.dumps(document))
    with pytest.raises((UsageError, DataError)):
        list(resuming(out))


def test_a_checkpoint_from_before_a_setting_was_there_is_gone_on_with(data: Path, whole: Path, tmp_path: Path) -> None:
    out = killed(data, tmp_path / "run", "step", 10)
    document = json.loads((out / "run.json").read_bytes())
    del document["settings"]["mixup"]
    (out / "run.json").write_text(json.dumps(document))
    newest = checkpoint.found(out / "checkpoints")[0]
    snapshot = checkpoint.load(newest)
    del snapshot.values["run"]["mixup"]
    rewritten(newest, snapshot)
    list(resuming(out))
    assert differing(out, whole) == []


@pytest.mark.parametrize("silent", [False, True])
def test_last_norms_begin_at_zero_only_where_asked_for(data: Path, silent: bool) -> None:
    model = prepare(Run(data=str(data), model="resnet20", zero_init=silent), frozenset()).model
    assert bool((model.get_parameter("layer1.0.bn2.weight") == 0).all()) == silent
    assert bool((model.get_parameter("layer1.0.bn1.weight") == 1).all())


def test_the_first_weights_are_spread_as_asked_for(data: Path) -> None:
    usual, paper = (
        prepare(Run(data=str(data), model="resnet20", init=init), frozenset()).model.state_dict()["fc.weight"].std()
        for init in ("fan-out", "fan-in")
    )
    assert float(usual) == pytest.approx((1 / 64 / 3) ** 0.5, rel=0.1)
    assert float(paper) == pytest.approx((2 / 64) ** 0.5, rel=0.1)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "best.safetensors"
    write_bytes(file, b"old")
    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(ResourceError, match="No space left"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [file.name]
