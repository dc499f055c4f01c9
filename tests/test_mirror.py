"""A second look at each picture: only where it is asked for, and then said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import refused, resnet
from PIL import Image
from test_classifier import photos

import resnetkit
from resnetkit import modelfile
from resnetkit.classifier import Classifier
from resnetkit.errors import UsageError
from resnetkit.mirror import asking
from resnetkit.reject import Reject


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "test", each=4, first=200)
    for path in (root / "test").rglob("*.jpg"):  # without loss, so that a mirror image is one to the bit
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> Classifier:
    out = str(data.parent / f"{data.name}-run")
    found = resnetkit.train(data, model="resnet20", size=16, epochs=2, batch=8, out=out, seed=1).model
    found.card = replace(found.card, temperature=1.5, preprocess=replace(found.card.preprocess, resize="stretch"))
    modelfile.save(data.parent / "model.safetensors", found.model.state_dict(), found.card)
    return found


def mirrored(data: Path, root: Path) -> Path:
    for path in data.rglob("*.png"):
        target = root / path.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(Image.open(path))[:, ::-1]).save(target)
    return root


def test_it_is_the_mean_of_both(data: Path, model: Classifier, tmp_path: Path) -> None:
    other = mirrored(data / "test", tmp_path / "test")
    both, one, two = (
        model.evaluate(folder, "test", mirror=mirror)
        for folder, mirror in ((data, True), (data, False), (tmp_path, False))
    )
    assert one.names == two.names
    assert both.probabilities == pytest.approx((one.probabilities + two.probabilities) / 2, abs=1e-5)
    assert np.abs(one.probabilities - two.probabilities).max() > 1e-4
    assert both.as_dict()["mirror"] is True
    assert "mirror image" in both.headline()
    assert "mirror" not in one.as_dict()
    path = "red/red_200.png"
    said = [dict(found.top) for found in model.predict([data / "test" / path, other / path], top=3)]
    mean = model.predict(data / "test" / path, top=3, mirror=True)[0]
    assert dict(mean.top) == pytest.approx({name: (said[0][name] + said[1][name]) / 2 for name in said[0]}, abs=1e-5)


def test_the_command_says_it(data: Path, model: Classifier, tmp_path: Path) -> None:
    file, picture = data.parent / "model.safetensors", data / "test/red/red_200.png"
    done = resnet("eval", file, data, "--mirror", "--out", tmp_path / "eval", "--json")
    assert done.document["mirror"] is True
    assert done.document["loss"] == pytest.approx(model.evaluate(data, mirror=True).loss)
    done = resnet("predict", file, picture, "--mirror", "--json")
    assert json.loads(done.out)[0]["mirror"] is True
    assert "mirror image" in done.err
    assert "mirror image" not in resnet("predict", file, picture).err


def test_where_it_cannot_be_meant_it_is_refused(data: Path, model: Classifier, tmp_path: Path) -> None:
    file = data.parent / "model.safetensors"
    refused(resnet("predict", file, data / "test/red", "--frames", "--mirror"), 2, "--mirror")
    refused(resnet("eval", file, data, "--mirror", "--max-risk", "0.1"), 2, "--mirror")
    sure = replace(model.card, reject=Reject(0.5, 0.1, 0.95, 0.09, 0.9, 100))
    modelfile.save(tmp_path / "sure.safetensors", model.model.state_dict(), sure)
    refused(resnet("eval", tmp_path / "sure.safetensors", data, "--mirror"), 2, "threshold")
    with pytest.raises(UsageError, match="tags"):
        asking(replace(model.card, task="tags", temperature=1.0), model.ask, True)
