"""resnet bench infer: every way there is here, with its figures, in a table, in JSON and as a picture."""

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import resnetkit
from resnetkit import cli
from resnetkit.fast import bench
from resnetkit.fast.bench import Row, Speed, pareto, speed
from resnetkit.fast.ways import EAGER, FUSED, Way


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench, "TURN", 0.0)
    monkeypatch.chdir(tmp_path)


def row_of(name: str, seconds: float, *, figure: float | None = None, apart: float = 0.0) -> Row:
    row = Row(Way(name, "fp32"), figure=figure, apart=apart)
    row.speeds = [Speed(1, seconds, seconds, seconds, seconds, 3)]
    return row


@pytest.mark.slow
def test_a_trained_model_in_every_way(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(data_dir / "cifar10-resnet-weights/resnet20-12fca82f.th")
    words = ["--classes", "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"]
    words += ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    assert cli.main(["import", weights, "--model", "resnet20", "--out", "c.safetensors", *words]) == 0
    data = str(data_dir / "cifar10-jpeg")
    capsys.readouterr()
    asked = ["bench", "infer", "c.safetensors", "--data", data, "--pictures", "100", "--rounds", "2", "--batch", "1,16"]
    assert cli.main([*asked, "--json", "--out", "found"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == json.loads((tmp_path / "found/bench.json").read_text())
    with Image.open(tmp_path / "found/pareto.png") as picture:
        assert picture.width > 500
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    rows = {row["way"]: row for row in answer["ways"]}
    assert {"torch eager fp32", "torch fused fp32", "openvino fp32", "onnxruntime int8"} <= set(rows)
    assert (answer["pictures"], answer["figure"]) == (100, "accuracy")
    for name, row in rows.items():
        assert row["error"] is None
        assert [one["batch"] for one in row["speeds"]] == [1, 16]
        for one in row["speeds"]:
            assert 0 < one["low"] <= one["p50"] <= one["p99"]
            assert one["p50"] <= one["high"] * 1.0001 or one["passes"] > 0
            assert one["passes"] >= 2 * bench.PASSES
            assert one["per_second"] == pytest.approx(one["batch"] / one["p50"])
        assert 0.7 < row["figure"] < 0.95
        assert row["apart"] < (1e-3 if row["precision"] == "fp32" else 0.5), name
        assert row["same"] >= (0.9 if row["precision"] == "int8" else 0.97)
        if sys.platform != "win32":
            assert row["memory"] > 30e6
    least = min(rows[name]["memory"] for name in rows if name.startswith("torch"))
    assert rows["onnxruntime fp32"]["memory"] < least  # which needs no torch


@pytest.mark.parametrize(
    ("task", "judge", "figure"), [("tags", "mean_ap", "mean average precision"), ("numbers", "r2", "R2")]
)
def test_other_tasks_have_their_own_figure(
    task: str, judge: str, figure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Squares that are red, green, both or black: which, or how bright they are."""
    dice, rows = np.random.default_rng(0), []
    for i in range(60):
        red, green = (dice.integers(0, 2, 2) * dice.integers(120, 256, 2)).tolist()
        Image.new("RGB", (16, 16), (red, green, 40)).save(tmp_path / f"{i}.png")
        tags = ";".join(name for name, value in (("red", red), ("green", green)) if value)
        rows.append([f"{i}.png", tags, red, green, "train" if i < 30 else "val"])
    with open(tmp_path / "list.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "tags", "red", "green", "split"], *rows])
    column = "tags" if task == "tags" else "red,green"
    settings: dict[str, Any] = {"model": "resnet8", "size": 16, "epochs": 1, "batch": 8, "weights": "none"}
    done = resnetkit.train("list.csv", task=task, label_column=column, out="run", **settings)
    (tmp_path / "59.png").write_bytes(b"")
    asked = ["bench", "infer", "run", "--data", "list.csv", "--rounds", "1", "--batch", "8", "--only", "fp32"]
    assert cli.main([*asked, "--json", "--out", "found"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["figure"], answer["pictures"]) == (figure, 29)
    assert answer["notes"] == ["left out of val, for they cannot be read: 59.png"]
    wanted = getattr(done.model.evaluate("list.csv"), judge)
    for row in answer["ways"]:
        assert row["figure"] == pytest.approx(wanted, abs=1e-4)
        assert row["same"] == (1 if task == "tags" else None)
        assert row["apart"] <= 1e-4
    Path("renamed.csv").write_text(Path("list.csv").read_text("utf-8").replace("image,tags", "scan,tags"))
    names = {"list.csv": "renamed.csv", "8": "1,8"}
    words = [names.get(word, word) for word in asked] + ["--image-column", "scan"]
    assert cli.main([*words[:-2], "--out", "again"]) == 3
    assert cli.main([*words, "--out", "renamed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ways"][0]["figure"] == answer["ways"][0]["figure"]
    assert cli.main([*asked, "--out", "found"]) == 2
    assert "found holds measurements already" in capsys.readouterr().err
    assert cli.main([*asked, "--out", "again"]) == 0
    said, err = capsys.readouterr()
    assert "note: left out of val, for they cannot be read: 59.png" in err
    assert re.search(rf"same +{figure}", said)
    assert f"{wanted:.4f}" in said


def test_a_network_by_name_and_only_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "infer", "resnet20", "--only", "onnxruntime", "--batch", "2", "--rounds", "1", "--size", "24"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "resnet20, weights as at the start of training: 24x24" in said
    assert "torch" in said  # which the others are held against
    assert "onnxruntime" in said
    assert "openvino" not in said
    assert "2 at a time" in said


@pytest.mark.parametrize(
    ("only", "found"),
    [
        ("torch", {"torch eager fp32", "torch fused fp32"}),
        ("openvino", {"torch eager fp32", "openvino fp32"}),
        ("torch,onnxruntime,fp32", {"torch eager fp32", "torch fused fp32", "onnxruntime fp32"}),
    ],
)
def test_only_names_runtimes_and_precisions(only: str, found: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "infer", "resnet20", "--only", only, "--batch", "1", "--rounds", "1", "--threads", "1", "--json"]
    assert cli.main(words) == 0
    ways = {row["way"] for row in json.loads(capsys.readouterr().out)["ways"]}
    assert {way for way in ways if way.endswith("fp32")} == found


def test_a_way_that_fails_says_why_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    true = bench.__dict__["opened"]

    def opened(way: Way, *how: object) -> object:
        if way.runtime == "openvino":
            raise RuntimeError("no such instruction")
        return true(way, *how)

    monkeypatch.setattr(bench, "opened", opened)
    assert cli.main(["bench", "infer", "resnet20", "--only", "fp32", "--batch", "1", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert "not measured: openvino" in said
    assert "no such instruction" in said
    assert "onnxruntime" in said


@pytest.mark.parametrize(
    "words",
    [
        ["train", "resnet20"],
        ["infer", "resnet2000"],
        ["infer", "nowhere.safetensors"],
        ["infer", "resnet20", "--batch", "0"],
        ["infer", "resnet20", "--batch", ""],
        ["infer", "resnet20", "--rounds", ""],
        ["infer", "resnet20", "--batch", "1,1"],
        ["infer", "resnet20", "--batch", "x"],
        ["infer", "resnet20", "--rounds", "0"],
        ["infer", "resnet20", "--only", "tensorrt"],
        ["infer", "resnet20", "--only", ""],
        ["infer", "resnet20", "--only", "int8"],
        ["infer", "resnet20", "--only", "onnxruntime,bf16"],
        ["infer", "resnet20", "--data", "digits"],
        ["infer", "resnet20", "--pictures", "5"],
        ["infer", "resnet20", "--label-column", "x"],
        ["infer", "resnet20", "--size", "0"],
        ["infer", "r3d_18"],
        ["infer", "model.onnx"],
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["bench", *words]) in (2, 4)
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "fix: " in said.err
    assert "bug" not in said.err
    assert not list(tmp_path.iterdir())


def test_figures_of_turns() -> None:
    found = speed(4, [[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    assert (found.p50, found.low, found.high, found.passes) == (4.0, 2.0, 6.0, 6)
    assert found.p99 == pytest.approx(6.95)
    assert found.per_second == 1.0


def test_the_front_holds_what_no_other_beats() -> None:
    slow, fast, bad = row_of("a", 2, figure=0.9), row_of("b", 1, figure=0.9), row_of("c", 0.5, figure=0.8)
    worse, hardly = row_of("d", 3, figure=0.7), row_of("e", 3, figure=0.9 + 1e-6)
    assert pareto([slow, fast, bad, worse, hardly], 1) == [bad, fast]
    assert pareto([row_of(EAGER, 2), row_of(FUSED, 1, apart=1e-6)], 1)[0].way.runtime == FUSED
    assert len(pareto([row_of(EAGER, 2), row_of(FUSED, 1, apart=1e-6)], 1)) == 1
    assert pareto([Row(slow.way, error="no")], 1) == []
