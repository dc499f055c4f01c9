"""A run that has to be over in time."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from samples import write_digits

from resnetkit import budget
from resnetkit.budget import planned
from resnetkit.engine.train import Epoch
from resnetkit.errors import UsageError
from resnetkit.forecast import Forecast
from resnetkit.job import Job, prepare
from resnetkit.run import Run
from resnetkit.runfile import read_file
from resnetkit.spans import duration
from resnetkit.training import Done, Note, training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def start(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("start") / "run"
    list(training(Run(data=str(data), out=str(out), model="resnet20", weights="none", steps=10, batch=32)))
    return out


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Forecast]:
    """What a mode takes, known beforehand: a head 10 seconds, a step 1, and 20 or 10 before the first one."""
    known = {
        "head": Forecast(10, 0.0, 0.0, 10, 0, 1),
        "stages": Forecast(0, 1.0, 0.0, 20, 0, 1),
        "full": Forecast(0, 1.0, 0.0, 10, 0, 1),
        "none": Forecast(0, 1.0, 0.0, 0, 0, 1),
    }
    monkeypatch.setattr(budget, "forecast", lambda job: known[job.settings.mode.name])
    monkeypatch.setattr("resnetkit.finetuning.VERY_FEW", 10)
    return known


def job(data: Path, **settings: Any) -> tuple[Job, frozenset[str]]:
    given = frozenset(settings)
    return prepare(Run(data=str(data), device="cpu", workers=0, **settings), given), given


@pytest.mark.parametrize(
    ("allowed", "mode", "steps"),
    [("1h", "stages", None), ("210s", "stages", None), ("100s", "stages", 55), ("40s", "head", 0), ("20s", "head", 0)],
)
@pytest.mark.usefixtures("costs")
def test_what_suits_the_data_is_cut_down_to_the_time(
    data: Path, start: Path, allowed: str, mode: str, steps: int | None
) -> None:
    asked, given = job(data, weights=str(start), budget=allowed)
    found = planned(asked, given, spent=0.0).job.settings
    assert found.mode.name == found.run.finetune == mode
    assert found.steps == (asked.settings.steps if steps is None else steps)
    assert found.run.budget is None
    assert found.run.steps == (found.steps or None)


@pytest.mark.usefixtures("costs")
def test_where_nothing_fits_it_says_what_would(data: Path, start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, given = job(data, weights=str(start), budget="5s", finetune="full", batch=20)
    with pytest.raises(UsageError) as caught:
        planned(asked, given, spent=0.0)
    least = caught.value.fix.removeprefix("--budget ")
    again = planned(*job(data, weights=str(start), budget=least, finetune="full", batch=20), spent=0.0).job.settings
    assert again.steps == budget.LEAST * again.epoch_steps
    monkeypatch.setattr("resnetkit.finetuning.VERY_FEW", 1000)  # where a head is solved alone, and nothing is cheaper
    with pytest.raises(UsageError, match="nothing is to be done within 5s: head would take") as caught:
        planned(*job(data, weights=str(start), budget="5s"), spent=0.0)
    assert (
        planned(*job(data, weights=str(start), budget=caught.value.fix.split()[1]), 0.0).job.settings.mode.name
        == "head"
    )


@pytest.mark.usefixtures("costs")
def test_a_mode_that_was_asked_for_stays(data: Path, start: Path) -> None:
    asked, given = job(data, weights=str(start), budget="100s", finetune="full", batch=20)
    found = planned(asked, given, spent=5.0).job.settings
    assert found.mode.name == "full"
    assert found.steps == int(0.8 * 100 - 5 - 5 - 10)
    with pytest.raises(UsageError, match="nothing is to be done within 30s: full would take"):
        planned(*job(data, weights=str(start), budget="30s", finetune="full", batch=20), spent=0.0)


@pytest.mark.usefixtures("costs")
def test_a_mode_in_which_a_setting_would_be_idle_is_not_fallen_back_to(data: Path, start: Path) -> None:
    with pytest.raises(UsageError, match="nothing is to be done within 25s"):
        planned(*job(data, weights=str(start), budget="25s", lr=0.1), spent=0.0)


@pytest.mark.usefixtures("costs")
def test_what_more_time_would_buy_is_said(data: Path, start: Path) -> None:
    asked, given = job(data, weights=str(start), budget="20s")
    plan = planned(asked, given, spent=0.0)
    enough = f"--budget {math.ceil((20 + asked.settings.steps + 5) / 0.8)}s is enough"
    assert "stages would take about" in plan.said
    assert enough in plan.said
    assert plan.said.endswith("head is done")


@pytest.mark.parametrize(("weights", "allowed"), [(False, "15s"), (True, "15s")])
def test_a_run_ends_in_its_time_and_can_be_repeated(
    data: Path, start: Path, tmp_path: Path, weights: bool, allowed: str
) -> None:
    begun = time.monotonic()
    run = Run(
        data=str(data),
        weights=str(start) if weights else "none",
        model="resnet20" if not weights else Run.model,
        budget=allowed,
        out=str(tmp_path / "run"),
        device="cpu",
    )
    events = list(training(run, frozenset({"budget"})))
    assert isinstance(events[-1], Done)
    assert time.monotonic() - begun < duration(allowed, "budget") + 20  # the machine of a test may be busy
    kept, given = read_file(tmp_path / "run/run.json")
    assert kept.budget is None
    assert kept.finetune == "head" if weights else kept.steps
    assert "budget" not in given
    assert any(f"within {allowed}" in event.text for event in events if isinstance(event, Note))
    assert json.loads((tmp_path / "run/status.json").read_bytes())["status"] == "done"


def test_the_clock_ends_a_run_behind_an_epoch(data: Path, tmp_path: Path, costs: dict[str, Forecast]) -> None:
    """A machine that is far slower than was planned with."""
    costs["none"] = Forecast(0, 1e-9, 0.0, 0, 0, 1)
    run = Run(data=str(data), model="resnet20", weights="none", budget="8s", out=str(tmp_path / "run"), batch=16)
    events = list(training(run, frozenset({"budget"})))
    rows = [event.row for event in events if isinstance(event, Epoch)]
    said = [event.text for event in events if isinstance(event, Note)]
    assert isinstance(events[-1], Done)
    assert any("the time of the run is over" in text for text in said)
    assert 0 < len(rows) < 200


def test_times_are_read() -> None:
    assert [duration(text, "x") for text in ("90", "90s", " 5m ", "1.5h")] == [90, 90, 300, 5400]
    for text in ("", "5 min", "-3s", "0s", "1e3", "99999h", "nan"):
        with pytest.raises(UsageError, match="it takes a time"):
            duration(text, "budget")


@pytest.mark.usefixtures("costs")
def test_a_cheaper_mode_has_its_own_length_and_batch(
    data: Path, start: Path, monkeypatch: pytest.MonkeyPatch, costs: dict[str, Forecast]
) -> None:
    """Of many pictures, for which all would learn; nothing of that mode is left in the one that is taken."""
    monkeypatch.setattr("resnetkit.finetuning.FEW", 10)
    asked, given = job(data, weights=str(start), budget="400s")
    assert asked.settings.mode.name == "full"
    costs["full"] = Forecast(0, 1000.0, 0.0, 10, 0, 1)
    found = planned(asked, given, spent=0.0).job.settings
    alone = job(data, weights=str(start), finetune="stages")[0].settings
    assert found.mode.name == "stages"
    assert (found.batch, found.steps, found.lr) == (alone.batch, alone.steps, alone.lr)
    assert (found.batch, found.steps) != (asked.settings.batch, asked.settings.steps)


def test_a_head_that_is_all_there_is_time_for_sees_what_it_would_see(
    data: Path, start: Path, tmp_path: Path, costs: dict[str, Forecast]
) -> None:
    """Though the run was prepared for a mode whose head sees less."""
    assert costs["head"].seconds_beside == 10
    whole = Run(data=str(data), weights=str(start), finetune="head", out=str(tmp_path / "whole"), device="cpu")
    list(training(whole, frozenset({"finetune"})))
    cut = Run(data=str(data), weights=str(start), budget="40s", out=str(tmp_path / "cut"), device="cpu")
    list(training(cut, frozenset({"budget"})))
    read = [(tmp_path / name / "metrics.json").read_bytes() for name in ("whole", "cut")]
    assert read[0] == read[1]
