"""A promised risk is kept, on pictures that had no part in the choice, and the model file keeps the promise."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import refused, resnet
from scipy.stats import beta
from test_classifier import photos
from test_compare import evaluation

import resnetkit
from resnetkit import modelfile
from resnetkit.classifier import Classifier, load
from resnetkit.errors import DataError, UsageError
from resnetkit.metrics import Counts, Shares
from resnetkit.promise import check_out, promising
from resnetkit.reject import Reject
from resnetkit.rejection import aurc, bounded, curve, kept, least, said, threshold


def answers(seed: int, n: int) -> tuple[Shares, Counts]:
    """Answers of which a tenth is wrong, the unsure ones more often, though not as often as they say."""
    rng = np.random.default_rng(seed)
    sure = rng.beta(6, 1, n)
    return sure, (rng.random(n) < 1 - (1 - sure) * 0.7).astype(np.int64)


def test_a_promise_is_kept() -> None:
    """On 200,000 pictures, which are nearly all there are; one in twenty promises may be broken."""
    broken, coverage = 0, []
    unseen = answers(10**6, 200_000)
    for seed in range(200):
        found = threshold(*answers(seed, 2000), 0.06)
        if found is None:  # it is no shame to promise nothing
            continue
        assert found.bound <= 0.06
        broken += kept(*unseen, found)["risk"] > 0.06
        coverage.append(found.coverage)
    assert broken <= 10
    assert len(coverage) >= 195
    assert np.mean(coverage) > 0.5  # nor any use to answer nothing


def test_where_all_may_be_answered_all_are() -> None:
    sure = np.linspace(0.2, 1, 100)
    found = threshold(sure, np.ones(100, np.int64), 0.1)
    assert found is not None
    assert (found.threshold, found.coverage) == (0.2, 1.0)
    assert threshold(sure, np.zeros(100, np.int64), 0.5) is None
    assert threshold(sure, np.ones(100, np.int64), least(100) * 0.99) is None
    one = threshold(np.ones(1), np.ones(1, np.int64), 0.96)
    assert one is not None
    assert one.threshold == 1
    assert one.bound == pytest.approx(0.95)


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    assert bounded(3, 50, 0.95) == pytest.approx(beta.ppf(0.95, 4, 47))
    assert bounded(0, 50, 0.95) == pytest.approx(1 - 0.05 ** (1 / 50))
    assert bounded(5, 5, 0.95) == 1


def test_the_curve_by_hand() -> None:
    sure, right = np.array([0.9, 0.5, 0.8, 0.5]), np.array([1, 0, 0, 1])
    coverage, risk = curve(sure, right)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0, 1 / 2, 1.5 / 3, 2 / 4])  # two of 0.5: each is wrong by half
    assert aurc(sure, right) == pytest.approx(1.5 / 4)
    assert curve(sure[::-1], right[::-1])[1].tolist() == risk.tolist()
    many = said(*answers(0, 5000))
    assert len(many["risk"]) == len(many["coverage"]) == 101
    assert (many["coverage"][-1], many["risk"][-1]) == (1, pytest.approx(1 - answers(0, 5000)[1].mean()))


def test_an_evaluation_says_what_became_of_the_promise() -> None:
    found = evaluation([[2, 0], [0, 3], [0.1, 0], [0, 1]], [0, 1, 1, 0], ("cat", "dog"))
    assert "reject" not in found.as_dict()["selective"]
    promised = replace(found, reject=Reject(0.8, 0.3, 0.95, 0.25, 0.5, 10))
    here = promised.as_dict()["selective"]["reject"]["here"]
    assert here == {"answered": 2, "unknown": 2, "wrong": 0, "coverage": 0.5, "risk": 0.0}
    assert "2 unknown, 0 of 2 answers wrong" in promised.asides()[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "val", each=20, first=100)
    photos(root / "test", each=4, first=200)
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> Classifier:
    out = str(data.parent / f"{data.name}-run")
    return resnetkit.train(data, model="resnet20", size=16, epochs=6, batch=8, out=out, seed=1).model


def test_predict_keeps_the_promise_of_the_file(data: Path, model: Classifier, tmp_path: Path) -> None:
    saved, picture = tmp_path / "sure.safetensors", data / "test/red/red_200.png"
    done = resnet(
        "eval", model.folder or "", data, "--max-risk", "0.2", "--save", saved, "--out", tmp_path / "eval", "--json"
    )
    assert done.code == 0, done.err
    promised = done.document["selective"]["reject"]
    assert (promised["risk"], promised["n"]) == (0.2, 60)
    card = modelfile.read_card(saved)
    assert card.reject is not None
    assert card.reject == promising(model, data, 0.2).card.reject
    assert card == replace(model.card, reject=card.reject)
    assert load(saved).model.state_dict().keys() == model.model.state_dict().keys()
    sure, never = (replace(card.reject, threshold=t) for t in (0.0, 1.0))
    modelfile.save(saved, model.model.state_dict(), replace(card, reject=never))
    assert load(saved).predict(picture)[0].unknown is True
    assert json.loads(resnet("predict", saved, picture, "--json").out)[0]["unknown"] is True
    assert resnet("predict", saved, picture).out.split("  ")[1] == "unknown"
    header, cells = csv.reader(resnet("predict", saved, picture, "--csv").out.splitlines())
    assert dict(zip(header, cells, strict=True))["unknown"] == "true"
    assert header[-2:] == ["unknown", "error"]
    modelfile.save(saved, model.model.state_dict(), replace(card, reject=sure))
    assert load(saved).predict(picture)[0].unknown is False
    assert "unknown" not in resnet("predict", saved, picture).out
    assert "unknown" not in model.predict(picture)[0].as_dict()


def test_what_cannot_be_promised_is_refused(data: Path, model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="60 validation pictures; were none of them wrong"):
        promising(model, data, 0.01)
    run = model.folder or ""
    refused(resnet("eval", run, data, "--save", tmp_path / "x"), 2, "--max-risk")
    refused(resnet("eval", run, data, "--max-risk", "5%"), 2, "--max-risk", "0.05")
    (tmp_path / "mine.txt").write_text("words")
    refused(resnet("eval", run, data, "--max-risk", "0.2", "--save", tmp_path / "mine.txt"), 2, "would be a model file")
    nowhere = tmp_path / "no" / "x.safetensors"
    done = resnet("eval", run, data, "--max-risk", "0.2", "--out", tmp_path / "eval", "--save", nowhere)
    refused(done, 2, "not a folder")
    assert not (tmp_path / "eval").exists()


def test_nothing_is_replaced(model: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    modelfile.save(path, model.model.state_dict(), model.card)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is not replaced"):
        check_out(str(path), model)
    assert path.read_bytes() == before
    check_out(str(tmp_path / "other.safetensors"), model)


def test_it_says_what_could_be_promised(data: Path, model: Classifier) -> None:
    with pytest.raises(DataError) as caught:
        promising(model, data, 0.01)
    offered = float(caught.value.fix.partition("--max-risk ")[2].partition(",")[0])
    promising(model, data, offered)
    with pytest.raises(DataError):
        promising(model, data, offered - 0.01)


@pytest.mark.parametrize("change", [{"threshold": 1.5}, {"threshold": "x"}, {"n": 0}, {"sure": float("nan")}])
def test_a_file_with_a_wrong_promise_is_refused(change: dict[str, object]) -> None:
    whole = Reject(0.8, 0.05, 0.95, 0.04, 0.9, 100).as_dict()
    with pytest.raises(ValueError, match=next(iter(change))):
        Reject(**whole | change)
