"""A part of the pictures on which a network is weak is named, with its interval, before the others."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import resnet
from PIL import Image
from test_classifier import photos

import resnetkit
from resnetkit.intervals import wilson
from resnetkit.slices import Looks, slices


def test_the_worst_comes_first() -> None:
    rng = np.random.default_rng(0)
    groups = ["kitchen"] * 100 + ["garden"] * 60 + ["cellar"] * 19
    right = np.array([True] * 100 + [True] * 30 + [False] * 30 + [False] * 19)
    found = slices(right, groups, None)
    assert [(one.kind, one.name, one.n) for one in found] == [("group", "garden", 60), ("group", "kitchen", 100)]
    assert (found[0].low, found[0].high) == wilson(30, 60)
    dark = rng.random(400)
    seen = slices(dark > 0.25, None, Looks(np.full(400, 32.0), dark))
    assert [one.kind for one in seen] == ["brightness"] * 4  # all are of one size
    assert seen[0].accuracy < 0.1
    assert seen[0].name.startswith("0.00 to 0.2")
    assert sum(one.n for one in seen) == 400
    assert not slices(np.ones(9, np.bool_), None, Looks(np.arange(9.0), np.arange(9.0)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "val", each=4, first=100)
    photos(root / "test", each=30, first=200)
    for path in sorted((root / "test").rglob("*.png"))[::2]:  # as if somebody had forgotten the flash
        image = Image.open(path)
        Image.fromarray(np.asarray(image) // 40).resize((90, 90)).save(path)
    return root


def test_eval_names_the_dark_pictures(data: Path, tmp_path: Path) -> None:
    run = resnetkit.train(data, model="resnet20", size=16, epochs=6, batch=8, out=str(tmp_path / "run"), seed=1)
    evaluation = run.model.evaluate(data)
    worst = {kind: next(one for one in evaluation.slices() if one.kind == kind) for kind in ("brightness", "size")}
    assert worst["brightness"].name.startswith("0.0")
    assert worst["size"].name.endswith("90 pixels a side")
    assert worst["brightness"].accuracy < evaluation.accuracy - 0.1
    done = resnet("eval", run.folder, data, "--out", tmp_path / "eval", "--json")
    assert done.document["slices"] == [one.as_dict() for one in evaluation.slices()]
    assert json.loads((tmp_path / "eval" / "metrics.json").read_bytes()) == done.document
    said = resnet("eval", run.folder, data, "--out", tmp_path / "again")
    assert "of white" in said.out
