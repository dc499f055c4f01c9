"""Sweeps: which trials follow from which words, and that a sweep killed in the middle comes to the same end."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Result, environment, refused, resnet
from samples import write_digits

from resnetkit import cli, study, trials
from resnetkit import sweep as sweeps
from resnetkit.data.split import read_split
from resnetkit.errors import UsageError
from resnetkit.run import Run
from resnetkit.sweep import Span, Sweep

RUN = Run(data="d", steps=4)
WORDS = [
    "--lr",
    "0.02,0.1,0.3",
    "--seed",
    "0,1",
    "--model",
    "resnet20",
    "--steps",
    "8",
    "--batch",
    "32",
    "--device",
    "cpu",
]


def made(axes: dict[str, Any], trials: int | None = None, run: Run = RUN) -> Sweep:
    return Sweep(run=run, given=frozenset({"steps"}), axes=axes, trials=trials)


def test_a_grid_is_every_combination_in_order() -> None:
    assert made({"lr": (0.1, 0.2), "batch": (4, 8)}).changes() == [
        {"lr": 0.1, "batch": 4},
        {"lr": 0.1, "batch": 8},
        {"lr": 0.2, "batch": 4},
        {"lr": 0.2, "batch": 8},
    ]


def test_trials_of_a_grid_are_drawn_once_each_by_the_seed() -> None:
    axes = {"lr": (0.1, 0.2, 0.3), "batch": (4, 8, 16)}
    drawn = made(axes, 5).changes()
    assert len({tuple(changes.values()) for changes in drawn}) == 5
    assert all(changes in made(axes).changes() for changes in drawn)
    assert made(axes, 5).changes() == drawn
    assert made(axes, 5, Run(data="d", seed=1)).changes() != drawn


def test_spans_are_drawn_by_ratio_above_zero_and_evenly_from_zero() -> None:
    rates = [changes["lr"] for changes in made({"lr": Span(0.001, 1.0)}, 600).changes()]
    assert all(0.001 <= rate <= 1 for rate in rates)
    assert 160 <= sum(rate < 0.01 for rate in rates) <= 240  # a third of them below a third of the way
    parts = [changes["smoothing"] for changes in made({"smoothing": Span(0.0, 0.4)}, 600).changes()]
    assert 250 <= sum(part < 0.2 for part in parts) <= 350
    sizes = [changes["batch"] for changes in made({"batch": Span(8, 64), "lr": (0.1, 0.2)}, 50).changes()]
    assert all(isinstance(size, int) and 8 <= size <= 64 for size in sizes)


def test_what_is_drawn_is_tried_with_every_seed() -> None:
    changes = made({"lr": Span(0.01, 0.1), "seed": (0, 1, 2), "batch": (4, 8)}, 2).changes()
    assert [change["seed"] for change in changes] == [0, 1, 2, 0, 1, 2]
    assert len({(change["lr"], change["batch"]) for change in changes}) == 2
    with pytest.raises(UsageError, match="3 trials of 2 combinations"):
        made({"batch": (4, 8), "seed": (0, 1)}, 3)


@pytest.mark.parametrize(
    ("axes", "trials", "words"),
    [
        ({}, None, "no setting varies"),
        ({"data": ("a", "b")}, None, "data cannot vary"),
        ({"lr": (0.1, 0.1)}, None, "lr has a value twice"),
        ({"lr": Span(0.1, 0.1)}, 3, "lr goes from 0.1 to 0.1"),
        ({"lr": Span(0.1, 0.2)}, None, "say how many"),
        ({"lr": (0.1, 0.2)}, 3, "3 trials of 2 combinations"),
        ({"seed": tuple(range(10_001))}, None, "more than 10,000"),
        ({"optimizer": ("sgd", "adamw"), "momentum": (0.8, 0.9)}, None, "momentum would have no effect"),
        ({"lr": (0.1, -1.0)}, None, "lr is -1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(axes: dict[str, Any], trials: int | None, words: str) -> None:
    with pytest.raises(UsageError) as error:
        made(axes, trials)
    assert words in f"{error.value.what} {error.value.fix}"


def test_a_sweep_survives_its_file(tmp_path: Path) -> None:
    spans = {"lr": Span(0.1, 0.2)}
    lists = made({"lr": (0.1, 0.2), "model": ("resnet20", "resnet32")})
    for sweep in (lists, made(spans, 7), replace(made(spans, 7), search="optuna")):
        (tmp_path / "sweep.json").write_text(sweeps.dumps(sweep))
        again = sweeps.read_file(tmp_path / "sweep.json")
        assert again == sweep
        assert again.changes() == sweep.changes()
    for text in ("", "[]", "{}", '{"format": 2}', sweeps.dumps(sweep).replace('"lr"', '"lx"')):
        (tmp_path / "sweep.json").write_text(text)
        with pytest.raises(UsageError):
            sweeps.read_file(tmp_path / "sweep.json")


# What Optuna proposes


def climbed(sweep: Sweep, count: int, failing: float = math.inf) -> list[dict[str, Any]]:
    """Proposals where the best rate is 0.1 and rates above ``failing`` diverge."""
    past: list[tuple[dict[str, Any], float | None]] = []
    for _ in range(count):
        changes = study.proposed(sweep, past)
        rate = changes["lr"]
        past.append((changes, None if rate > failing else 1 - math.log10(rate / 0.1) ** 2 / 10))
    return [changes for changes, _ in past]


def test_optuna_looks_where_it_was_good_and_says_the_same_twice() -> None:
    axes = {"lr": Span(0.001, 10.0), "batch": Span(8, 64), "optimizer": ("sgd", "adamw")}
    sweep = replace(made(axes, 40), search="optuna")
    proposals = climbed(sweep, 40)
    distance = [abs(math.log10(changes["lr"] / 0.1)) for changes in proposals]
    assert sum(distance[30:]) < 0.5 * sum(distance[:10])
    assert climbed(sweep, 12) == proposals[:12]
    assert climbed(replace(sweep, run=replace(RUN, seed=1)), 2) != proposals[:2]
    for changes in proposals:
        assert 0.001 <= changes["lr"] <= 10
        assert changes["lr"] == float(f"{changes['lr']:.3g}")
        assert isinstance(changes["batch"], int)
        assert 8 <= changes["batch"] <= 64
        assert changes["optimizer"] in ("sgd", "adamw")
    assert climbed(sweep, 15, failing=1.0) != proposals[:15], "what failed is told"


def test_optuna_tries_every_combination_once_before_it_would_repeat_one() -> None:
    sweep = replace(made({"lr": (0.01, 0.1, 1.0), "batch": (4, 8), "seed": (0, 1)}, 6), search="optuna")
    assert sweep.count == 12
    assert sweep.changes() == []
    assert {tuple(c.items()) for c in climbed(sweep, 6)} == {tuple(c.items()) for c in sweep.combinations()}


def test_optuna_is_told_the_mean_over_seeds_and_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = replace(made({"lr": Span(0.01, 1.0), "seed": (0, 1)}, 3), search="optuna")
    told: list[Any] = []

    def noted(_: Sweep, past: list[Any]) -> dict[str, Any]:
        told.append(list(past))
        return {"lr": 0.1 * (len(past) + 1)}

    monkeypatch.setattr(study, "proposed", noted)
    every: list[trials.Trial] = []
    for accuracies in ((0.5, 0.7), (0.9, None), (None, None)):
        every += trials.proposals(sweep, every, tmp_path)
        for trial, accuracy in zip(every[-2:], accuracies, strict=True):
            if accuracy is not None:
                trial.folder.mkdir()
                (trial.folder / "status.json").write_text('{"status": "done"}')
                (trial.folder / "metrics.json").write_text(json.dumps({"val_accuracy": accuracy, "val_loss": 1}))
    assert [(trial.folder.name, trial.changes["seed"]) for trial in every] == [(str(i), i % 2) for i in range(6)]
    first = ({"lr": 0.1}, pytest.approx(0.6))
    assert told == [[], [first], [first, ({"lr": 0.2}, None)]]


# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps")
    answer = resnet("sweep", data, *WORDS, "--out", "whole", "--json", cwd=folder)
    assert answer.code == 0, answer.err
    ranking = answer.document["ranking"]
    assert [place["val_accuracy"] for place in ranking] == sorted((p["val_accuracy"] for p in ranking), reverse=True)
    assert [len(place["runs"]) for place in ranking] == [2, 2, 2]
    assert answer.document["best"] == ranking[0]["runs"][0]
    assert answer.document["metrics"]["split"] == "test"
    return folder / "whole"


def test_folds_are_the_same_run_with_other_pictures_to_validate(tmp_path: Path) -> None:
    words = "sweep digits --folds 3 --seed 0,1 --model resnet8 --steps 4 --out cv".split()
    answer = resnet(*words, cwd=tmp_path)
    assert answer.code == 0, answer.err
    head, row, *rest = answer.out.splitlines()
    assert head.split() == ["val", "accuracy", "spread", "runs"]
    assert row.split()[-1] == "6"
    assert not any("best on validation" in line for line in rest)
    splits = [read_split(tmp_path / f"cv/{k}/split.csv") for k in range(6)]
    held = [{row.name for row in rows if row.part == "val"} for rows in splits]
    learned = [{row.name for row in rows if row.part == "train"} for rows in splits]
    folds = [json.loads((tmp_path / f"cv/{k}/run.json").read_text())["settings"]["fold"] for k in range(6)]
    for seed in (0, 1):
        parts = [held[k] for k in range(6) if k // 3 == seed]
        assert sum(map(len, parts)) == len(set().union(*parts)) == len(parts[0] | learned[3 * seed])
    assert sorted(folds) == ["1/3", "1/3", "2/3", "2/3", "3/3", "3/3"]
    again = resnet("eval", tmp_path / "cv/4", "digits", "--split", "val", "--json", "--out", tmp_path / "e")
    assert again.document["n"] == len(held[4])


def test_the_table_holds_every_trial_and_no_test_figure(whole: Path) -> None:
    rows = [line.split(",") for line in (whole / "sweep.csv").read_text().splitlines()]
    assert rows[0] == ["run", "lr", "seed", "status", "val_accuracy", "val_loss", "epoch"]
    assert [row[:4] for row in rows[1:]] == [
        [str(i), lr, seed, "done"]
        for i, (lr, seed) in enumerate((lr, seed) for lr in ("0.02", "0.1", "0.3") for seed in "01")
    ]
    assert (whole / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_sweep_goes_on_to_the_same_end(
    data: Path, whole: Path, tmp_path: Path, number: signal.Signals
) -> None:
    words = [sys.executable, "-m", "resnetkit", "sweep", str(data), *WORDS, "--save-every", "0", "--out", "run"]
    child = subprocess.Popen(words, cwd=tmp_path, env=environment({}), stderr=subprocess.DEVNULL)
    while not (tmp_path / "run" / "2" / "checkpoints" / "step-000000003").exists():
        assert child.poll() is None
        time.sleep(0.005)
    os.kill(child.pid, number)
    assert child.wait(60) == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / "run" / "3").exists()
    ends_as(tmp_path, whole)


def ends_as(root: Path, whole: Path) -> None:
    """The sweep in ``root`` goes on, and ends with the table, the figures and the networks of the one never stopped."""
    again = resnet("sweep", "--resume", "run", cwd=root)
    assert again.code == 0, again.err
    assert "best on validation: run/" in again.out
    assert (root / "run" / "sweep.csv").read_bytes() == (whole / "sweep.csv").read_bytes()
    for trial in range(6):
        ours, theirs = (folder / str(trial) for folder in (root / "run", whole))
        assert json.loads((ours / "metrics.json").read_bytes()) == json.loads((theirs / "metrics.json").read_bytes())
        for name in ("best.safetensors", "last.safetensors"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), f"{trial}/{name}"


@pytest.mark.slow
def test_a_sweep_killed_again_and_again_goes_on_to_the_same_end(data: Path, whole: Path, tmp_path: Path) -> None:
    """In the first trial and the last, early and late in them, and between two."""
    places = ["0/checkpoints/step-000000002", "1/metrics.json", "3/checkpoints/step-000000005", "4"]
    places += ["5/best.safetensors"]
    words = ["sweep", str(data), *WORDS, "--save-every", "0", "--out", "run"]
    for place in places:
        child = subprocess.Popen(
            [sys.executable, "-m", "resnetkit", *words], cwd=tmp_path, env=environment({}), stderr=subprocess.DEVNULL
        )
        while not (tmp_path / "run" / place).exists():
            assert child.poll() is None, place
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
        words = ["sweep", "--resume", "run"]
    ends_as(tmp_path, whole)


def test_a_trial_that_diverges_is_a_row_and_not_the_end(data: Path, tmp_path: Path) -> None:
    words = ["--lr", "0.05,1e6", "--model", "resnet20", "--steps", "6", "--batch", "32"]
    answer = resnet("sweep", data, *words, "--out", "run", cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert "this trial ends here" in answer.err
    assert [line.split(",")[2] for line in (tmp_path / "run" / "sweep.csv").read_text().splitlines()[1:]] == [
        "done",
        "diverged",
    ]
    alone = resnet("sweep", data, "--lr", "1e5,1e6", *words[2:], "--out", "all", cwd=tmp_path)
    refused_code = alone.code
    assert refused_code == 6
    assert "every trial of this sweep diverged" in alone.err


def test_a_combination_that_cannot_be_is_no_end_either(data: Path, tmp_path: Path) -> None:
    words = ["--model", "resnet20", "--steps", "4", "--batch", "16", "--out", "run"]
    answer = resnet("sweep", data, "--accumulate", "64,1", *words, cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert "has not 64 parts" in answer.err
    rows = [line.split(",") for line in (tmp_path / "run" / "sweep.csv").read_text().splitlines()[1:]]
    assert [row[2] for row in rows] == ["none", "done"]


@pytest.mark.parametrize(
    ("words", "code", "mentions"),
    [
        ("sweep", 2, "needs DATA"),
        ("sweep digits", 2, "no setting varies"),
        ("sweep digits --lr 0.1,ten", 2, "--lr is 'ten'"),
        ("sweep digits --lr 0.1..x --trials 2", 2, "--lr is 'x'"),
        ("sweep digits --lr 0.1,0.2 --trials 0", 2, "--trials"),
        ("sweep digits --lr 0.1,0.2 --resume x", 2, "--resume goes on"),
        ("sweep digits --lr 0.1,0.2 --search optima", 2, "did you mean optuna"),
        ("sweep digits --lr 0.1,0.2 --search optuna", 2, "say how many"),
        ("sweep digits --lr 0.1,0.2 --search grid --trials 2", 2, "every combination"),
        ("sweep digits --seed 0,1 --search optuna --trials 2", 2, "only the seed varies"),
        ("sweep digits --folds 1", 2, "--folds"),
        ("sweep digits --folds five", 2, "--folds"),
        ("sweep digits --folds 5 --fold 1/5", 2, "--folds takes all folds in turn"),
        ("sweep digits --fold 1/5,6/5", 2, "fold is '6/5'"),
        ("sweep digits --folds 2 --search optuna --trials 2", 2, "only the fold varies"),
        ("sweep digits --folds 5 --resume x", 2, "--resume goes on"),
        ("sweep digits --lr 0.1..-1 --search optuna --trials 2", 2, "lr"),
        ("sweep missing --lr 0.1,0.2", 3, "missing"),
        ("sweep --resume nothing", 2, "holds no sweep"),
        ("sweep missing --lr 0.1,0.2 --out s", 3, "missing"),
    ],
)
def test_words_that_cannot_be_meant(
    tmp_path: Path,
    words: str,
    code: int,
    mentions: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = Result(cli.main(words.split()), *capsys.readouterr())
    assert answer.code == code
    assert mentions in answer.err
    if code == 2:
        refused(answer, 2, mentions)
    assert not any(tmp_path.iterdir()), "nothing stays of a sweep that never began"


TPE = ["--lr", "0.001..1e6", "--search", "optuna", "--trials", "4", "--model", "resnet20", "--steps", "4"]
TPE += ["--batch", "32", "--device", "cpu", "--save-every", "0"]


@pytest.mark.slow
def test_a_search_by_optuna_is_resumed_to_the_same_end(data: Path, tmp_path: Path) -> None:
    done = resnet("sweep", data, *TPE, "--out", "whole", cwd=tmp_path, timeout=600)
    assert done.code == 0, done.err
    rows = [line.split(",") for line in (tmp_path / "whole" / "sweep.csv").read_text().splitlines()]
    assert rows[0] == ["run", "lr", "status", "val_accuracy", "val_loss", "epoch"]
    assert len(rows) == 5
    assert len({row[1] for row in rows}) == 5
    words = [sys.executable, "-m", "resnetkit", "sweep", str(data), *TPE, "--out", "run"]
    child = subprocess.Popen(words, cwd=tmp_path, env=environment({}), stderr=subprocess.DEVNULL)
    while not (tmp_path / "run" / "2" / "run.json").exists():
        assert child.poll() is None
        time.sleep(0.005)
    child.kill()
    child.wait(60)
    again = resnet("sweep", "--resume", "run", cwd=tmp_path, timeout=600)
    assert again.code == 0, again.err
    assert (tmp_path / "run" / "sweep.csv").read_bytes() == (tmp_path / "whole" / "sweep.csv").read_bytes()


def test_without_optuna_nothing_begins(tmp_path: Path) -> None:
    code = "import sys; sys.modules['optuna'] = None; from resnetkit.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["sweep", "digits", "--lr", "0.01..1", "--trials", "2", "--search", "optuna"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment({}),
        timeout=300,
        check=False,
    )
    refused(Result(done.returncode, done.stdout, done.stderr), 5, 'pip install "resnetkit[sweep]"')
    assert not any(tmp_path.iterdir())
