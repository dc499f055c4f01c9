"""A learning rate is found where the loss falls steepest, in few steps of the very run, and nothing else is kept."""

import csv
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import resnet
from PIL import Image
from samples import write_digits
from test_train import CPU, begin, settings, some_digits

import resnetkit
from resnetkit import rates
from resnetkit.cli import main
from resnetkit.engine.lrfinder import Point, rates_of, search, steps_of, suggest
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.errors import DivergedError, UsageError
from resnetkit.run import HINTS


def curve(steepest: float, noise: float = 0.0, lost: float = 1e9, seed: int = 0) -> list[Point]:
    """Losses that fall from 2.5 to 1 around a rate, and are lost at another: after five steps there it ends."""
    draws, points = np.random.default_rng(seed), list[Point]()
    for rate in np.logspace(-5, 2, 100):
        if len(points) > 5 and points[-5].rate > lost:
            break
        loss = 2.5 - 1.5 / (1 + (steepest / rate) ** 2) + (8 if rate > lost else 0) + noise * draws.normal()
        points.append(Point(float(rate), float(loss)))
    return points


@pytest.mark.parametrize("steepest", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_the_steepest_point_is_found_through_noise_and_before_what_is_lost(steepest: float, noise: float) -> None:
    for seed in range(5):
        found = suggest(curve(steepest, noise, lost=steepest * 20, seed=seed)).suggested
        assert abs(math.log10(found / steepest)) < (0.1 if noise == 0 else 0.6)
        assert found == float(f"{found:.2g}")


def test_the_first_valley_counts_whatever_comes_behind_a_hill() -> None:
    points = [
        Point(p.rate, p.loss + 2 * math.exp(-((math.log10(p.rate) - 0.3) ** 2) / 0.05) - (1.0 if p.rate > 5 else 0.0))
        for p in curve(0.01, 0.03)
    ]
    assert 0.003 < suggest(points).suggested < 0.04


@pytest.mark.parametrize("points", [curve(1e9, 0.1), curve(1e-12, 0.05, lost=0.1), curve(0.1)[:6], []])
def test_where_nothing_falls_nothing_is_suggested(points: list[Point]) -> None:
    with pytest.raises(DivergedError, match="the loss fell at no learning rate"):
        suggest(points)


def test_chance_is_seldom_taken_for_a_fall() -> None:
    wrong = 0
    for seed in range(40):
        try:
            suggest(curve(1e9, 0.1, seed=seed))
            wrong += 1
        except DivergedError:
            pass
    assert wrong <= 2


def test_rates_rise_by_one_factor_around_the_usual_one() -> None:
    decided = settings(1000)
    tried = np.array(rates_of(decided))
    assert len(tried) == 100
    assert (tried[0], tried[-1]) == pytest.approx((decided.lr * 1e-4, decided.lr * 1e3))
    np.testing.assert_allclose(tried[1:] / tried[:-1], 10 ** (7 / 99))
    assert [steps_of(settings(n)) for n in (32, 160, 256, 1000)] == [40, 50, 80, 100]


def test_a_search_takes_the_steps_of_the_run_at_its_own_rates() -> None:
    """Until the loss is lost; the first rates move nothing, so that the losses are those of the beginning."""
    torch.set_num_threads(1)
    decided = settings(160, mixup=0.4, dropout=0.2, batch=32)
    pictures, rates_used = some_digits(decided), []
    state = begin(decided)
    step = state.optimizer.step

    def spy(*given: Any, **more: Any) -> Any:
        rates_used.append(state.optimizer.param_groups[0]["lr"])
        return step(*given, **more)

    state.optimizer.step = spy  # type: ignore[method-assign]
    points = list(search(state, decided, CPU, pictures, 0))
    assert rates_used == pytest.approx([point.rate for point in points])
    assert len(points) < steps_of(decided), "the largest rates lose it"
    assert points[-1].loss > points[0].loss
    still = settings(160, mixup=0.4, dropout=0.2, batch=32, lr=1e-9)
    ticks = list(train(begin(still), stream(still, pictures, 0, 4, 0), still, CPU, pictures.names))
    assert [point.loss for point in points[:4]] == pytest.approx([tick.loss for tick in ticks], rel=1e-3)


def test_a_run_with_what_is_suggested_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_digits(tmp_path / "data", train=1200)
    more: dict[str, Any] = {"model": "resnet20", "device": "cpu", "workers": 0, "batch": 64}
    found = resnetkit.find_lr("data", **more, out="found")
    assert 0.003 < found.suggested < 0.5
    assert [path.name for path in found.files] == ["lr.csv", "lr.png"]
    assert sorted(os.listdir(tmp_path)) == ["data", "found"], "no run is left"
    assert sorted(os.listdir("found")) == ["lr.csv", "lr.png"]
    with open("found/lr.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows] == pytest.approx(found.rates, rel=1e-5)
    assert [float(row["loss"]) for row in rows] == pytest.approx(found.losses, rel=1e-5)
    with Image.open("found/lr.png") as image:
        orange = (np.abs(np.asarray(image.convert("RGB"), dtype=int) - (196, 87, 11)).sum(2) < 30).sum(0)
    assert orange.argmax() > 100, "the line of the suggestion"
    assert orange.max() > 150
    trained = resnetkit.train("data", **more, epochs=3, lr=found.suggested, out="run")
    assert trained.accuracy > 0.6


@pytest.mark.parametrize("name", rates.UNUSED)
def test_what_plays_no_part_is_refused(name: str) -> None:
    value = {"schedule": "linear", "milestones": (0.3,), "tensorboard": True}.get(name, 3 if name != "ema" else 0.9)
    if name in ("warmup", "gamma"):
        value = 0.2
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} would have no effect"):
        resnetkit.find_lr("nowhere", **{name: value})


def test_a_new_setting_is_thought_about() -> None:
    """Each setting changes a step of the run, or is refused: one that acts between steps or later belongs in UNUSED."""
    assert set(rates.UNUSED) <= set(HINTS)
    steps_alone = {name for name in HINTS if name not in rates.UNUSED}
    assert not steps_alone & {"epochs", "steps", "patience", "lr", "schedule", "ema", "save_every"}


def test_a_folder_that_is_taken_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"letter\.txt"):
        resnetkit.find_lr("nowhere", out=str(tmp_path))


def test_the_command_says_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    write_digits(data)
    words = ["lr", str(data), "--model", "resnet20", "--no-flip", "--batch", "32", "--workers", "0", "--device", "cpu"]
    answer = resnet(*words, "--json")
    assert answer.code == 0, answer.err
    document = answer.document
    rate = f"{document['suggested']:g}"
    line = f"resnet train '{data}' --model resnet20 --no-flip --batch 32 --workers 0 --device cpu --lr {rate}"
    assert document["command"] == line
    assert len(document["rates"]) == len(document["losses"]) == len(document["smooth"]) <= 100
    assert document["files"] == []
    assert main(words) == 0
    assert capsys.readouterr().out == f"{rate} is where the loss falls steepest: {line}\n"
    assert main([*words, "--lr", "0.1"]) == 2
    assert "--lr would have no effect: it is what is looked for" in capsys.readouterr().err
    assert main(["lr"]) == 2


def test_of_few_pictures_it_is_that_of_steps_behind_the_head(tmp_path: Path) -> None:
    """Where a run without a rate would take none."""
    (tmp_path / "digits").mkdir()
    data = write_digits(tmp_path / "digits")
    start = resnetkit.train(data, model="resnet20", weights="none", steps=10, batch=32, out=tmp_path / "start").folder
    found = rates.ready(resnetkit.Run(data=str(data), weights=str(start)), frozenset({"data", "weights"}))
    assert found.settings.mode.name == "stages"
    head = resnetkit.Run(data=str(data), weights=str(start), finetune="head")
    with pytest.raises(UsageError, match="a head is solved and has no learning rate"):
        rates.ready(head, frozenset({"data", "weights", "finetune"}))
