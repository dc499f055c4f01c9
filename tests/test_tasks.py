"""Tags and numbers from a list to a model file and back: trained, measured, answered with, gone on with."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import resnet
from numpy.typing import NDArray
from PIL import Image
from test_train import settings

from resnetkit import metrics, modelfile
from resnetkit.api import load
from resnetkit.data.examples import examples
from resnetkit.data.lists import Columns
from resnetkit.data.sources import open_source
from resnetkit.engine.losses import Loss, targets_of
from resnetkit.engine.mix import mixed
from resnetkit.engine.step import Tick, hits
from resnetkit.engine.stop import Stopped
from resnetkit.errors import DataError, UsageError, WeightsError
from resnetkit.resolve import resolve
from resnetkit.run import Run
from resnetkit.settings import Facts
from resnetkit.training import Done, resuming, training

QUICK: dict[str, Any] = {"model": "resnet20", "device": "cpu", "seed": 1}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of up to four real digits: which ones (tags), and how many and their sum (numbers)."""
    from sklearn.datasets import load_digits

    root, digits, rng = tmp_path_factory.mktemp("tiles"), load_digits(), np.random.default_rng(0)
    pixels = (digits.images * 255 / 16).round().astype("uint8")
    rows = []
    for k in range(1500):
        part = "train" if k < 1200 else "test"
        chosen = rng.choice(np.arange(1400) if part == "train" else np.arange(1400, 1797), 4)
        there = rng.random(4) < 0.6
        tiles = [pixels[c] if on else np.zeros((8, 8), np.uint8) for c, on in zip(chosen, there, strict=True)]
        Image.fromarray(np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])).save(root / f"{k}.png")
        shown = digits.target[chosen[there]]
        tags = [int(digit in shown) for digit in range(10)]
        named = ";".join(str(digit) for digit in range(10) if tags[digit])
        rows.append([f"{k}.png", named, int(shown.sum()), 5000 + 1000 * len(shown), *tags, part])
    header = ["image", "tags", "sum", "price", *(f"has {digit}" for digit in range(10)), "split"]
    with open(root / "list.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return root


def run(tiles: Path, out: Path, **given: Any) -> tuple[Path, dict[str, Any]]:
    made = Run(data=str(tiles / "list.csv"), out=str(out), **QUICK, **given)
    done = [event for event in training(made, frozenset(given) | QUICK.keys()) if isinstance(event, Done)]
    return done[-1].folder, done[-1].metrics


@pytest.fixture(scope="module")
def tagger(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tagger") / "run"
    return run(tiles, out, label_column="tags", task="tags", epochs=7, batch=32)[0]


@pytest.fixture(scope="module")
def measurer(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("measurer") / "run"
    return run(tiles, out, label_column="sum,price", task="numbers", epochs=7, batch=32)[0]


def test_tags_are_learned(tagger: Path, tiles: Path) -> None:
    figures = json.loads((tagger / "metrics.json").read_bytes())
    assert (figures["task"], figures["split"], figures["n"]) == ("tags", "test", 300)
    assert figures["mean_ap"] > 0.55  # by chance about 0.22, the share of pictures that have a tag
    assert figures["exact"] > 0.1
    assert [row["name"] for row in figures["tags"]] == list("0123456789")
    again = load(tagger).evaluate(tiles / "list.csv")
    assert {name: figures[name] for name in again.as_dict()} == again.as_dict()
    rows = list(csv.DictReader((tagger / "predictions.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 300
    given = {row["image"]: row["tags"] for row in csv.DictReader((tiles / "list.csv").read_text().splitlines())}
    assert all(row["tags"] == given[row["path"]] for row in rows)  # an empty cell where there is none
    assert any(not row["tags"] for row in rows)
    right = sum(row["tags"] == row["predicted"] for row in rows)
    assert right == figures["correct"] == sum(row["correct"] == "true" for row in rows)
    history = list(csv.DictReader((tagger / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert max(float(row["val_mean_ap"]) for row in history) == pytest.approx(figures["val_mean_ap"], rel=1e-5)


def test_tags_are_answered_with(tagger: Path, tiles: Path) -> None:
    model = load(tagger)
    whole = model.predict([tiles / "1300.png", tiles / "no.png"], top=10)
    likely = model.predict(tiles / "1300.png")[0]
    assert [name for name, chance in whole[0].top if chance >= 0.5] == [name for name, _ in likely.top]
    assert len(whole[0].top) == 10
    assert whole[1].error is not None
    done = resnet("predict", tagger, tiles / "1300.png", "--json")
    assert json.loads(done.out)[0]["tags"] == [{"tag": n, "probability": p} for n, p in likely.top]
    done = resnet("predict", tagger, tiles / "1300.png", "--csv")
    header, cells = csv.reader(done.out.splitlines())
    assert header == ["path", *"0123456789", "error"]
    assert dict(zip(header[1:-1], map(float, cells[1:-1]), strict=True)) == pytest.approx(dict(whole[0].top), rel=1e-5)


def test_a_tag_of_every_picture_says_nothing(tagger: Path, tiles: Path, tmp_path: Path) -> None:
    lines = (tiles / "list.csv").read_text().splitlines()
    found = [row for row in csv.DictReader(lines) if row["split"] == "test" and "3" in row["tags"].split(";")][:9]
    few = tmp_path / "few.csv"
    few.write_text("\n".join(["image,tags", *(f"{tiles / row['image']},{row['tags']}" for row in found)]))
    seen = load(tagger).evaluate(few, columns=Columns(label="tags", task="tags"))
    assert any(note.startswith("every picture of test has 3") for note in seen.notes)
    assert not any("every picture" in note for note in load(tagger).evaluate(tiles / "list.csv").notes)


def test_numbers_are_learned(measurer: Path, tiles: Path) -> None:
    figures = json.loads((measurer / "metrics.json").read_bytes())
    total, price = figures["numbers"]
    assert (total["name"], price["name"], figures["task"]) == ("sum", "price", "numbers")
    assert total["r2"] > 0.4
    assert price["r2"] > 0.8
    assert price["mae"] < 500  # half a digit: in the unit of the list
    assert figures["r2"] == pytest.approx((total["r2"] + price["r2"]) / 2)
    again = load(measurer).evaluate(tiles / "list.csv")
    assert {name: figures[name] for name in again.as_dict()} == again.as_dict()
    rows = list(csv.DictReader((measurer / "predictions.csv").read_text(encoding="utf-8").splitlines()))
    off = [abs(float(row["sum"]) - float(row["predicted sum"])) for row in rows]
    assert np.mean(off) == pytest.approx(total["mae"], rel=1e-4)
    assert (measurer / "predictions.png").stat().st_size > 10_000


def test_numbers_are_answered_with(measurer: Path, tiles: Path) -> None:
    row = next(
        r
        for r in csv.DictReader((measurer / "predictions.csv").read_text(encoding="utf-8").splitlines())
        if r["path"] == "1300.png"
    )
    done = resnet("predict", measurer, tiles / "1300.png", "--json")
    said = json.loads(done.out)[0]["numbers"]
    assert said == pytest.approx({name: float(row[f"predicted {name}"]) for name in ("sum", "price")}, rel=1e-4)
    with pytest.raises(UsageError, match="numbers"):
        load(measurer).predict(tiles / "1300.png", top=2)


def test_the_model_file_keeps_task_and_scale(tagger: Path, measurer: Path) -> None:
    card = modelfile.read_card(measurer / "best.safetensors")
    assert (card.task, len(card.scale)) == ("numbers", 2)
    assert card.scale[1][0] == pytest.approx(7400, abs=150)  # the mean price of the pictures learned from
    assert modelfile.read_card(tagger / "best.safetensors").task == "tags"
    assert load(measurer).card == card


@pytest.mark.parametrize(
    "change", [{"scale": ()}, {"task": "tags"}, {"scale": ((0.0, 1.0), (0.0, 0.0))}, {"task": "x"}]
)
def test_a_card_whose_task_cannot_be_is_refused(measurer: Path, change: dict[str, Any]) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match=r"task|scale"):
        replace(modelfile.read_card(measurer / "best.safetensors"), **change)


def test_a_sweep_keeps_label_columns_together(tiles: Path, tmp_path: Path) -> None:
    words = [
        "--label-column",
        "sum,price",
        "--task",
        "numbers",
        "--model",
        "resnet20",
        "--steps",
        "1",
        "--lr",
        "0.01,0.02",
    ]
    done = resnet("sweep", tiles / "list.csv", *words, "--out", tmp_path / "s", timeout=600)
    assert done.code == 0, done.err
    header, *rows = csv.reader((tmp_path / "s/sweep.csv").read_text(encoding="utf-8").splitlines())
    assert (header[1], len(rows), "val_r2" in header) == ("lr", 2, True)


def test_clips_are_for_classes(tagger: Path, tiles: Path) -> None:
    done = resnet("predict", tagger, tiles, "--frames", "--csv")
    assert (done.code, done.out) == (2, "")
    assert "clips are for models of classes" in done.err


def test_one_task_is_not_scored_on_the_labels_of_another(tagger: Path, measurer: Path, tiles: Path) -> None:
    with pytest.raises(UsageError, match="task is tags, and the model says numbers"):
        load(measurer).evaluate(tiles / "list.csv", columns=Columns(label="tags", task="tags"))
    done = resnet("eval", tagger, "digits")
    assert (done.code, "the model says tags" in done.err) == (3, True)


@pytest.mark.parametrize(
    "given", [{"label_column": "tags", "task": "tags"}, {"label_column": "sum", "task": "numbers"}]
)
def test_a_stopped_run_goes_on_to_the_same_end(tiles: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    given = given | {"epochs": 1, "batch": 64, "save_every": 0.0, "mixup": 0.4}
    whole, _ = run(tiles, tmp_path / "whole", **given)
    made = Run(data=str(tiles / "list.csv"), out=str(tmp_path / "cut"), **QUICK, **given)
    events = training(made, frozenset(given))
    for event in events:
        if isinstance(event, Tick) and event.step == 7:
            events.close()
            break
    for event in resuming(tmp_path / "cut"):
        assert not isinstance(event, Stopped)
    for name in ("best.safetensors", "last.safetensors", "predictions.csv", "split.csv", "results.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (whole / name).read_bytes(), name


def test_named_columns_are_read_as_the_model_means_them(tagger: Path, tiles: Path) -> None:
    """Cells that could be classes are tags to a model of tags."""
    figures = json.loads((tagger / "metrics.json").read_bytes())
    found = load(tagger).evaluate(tiles / "list.csv", columns=Columns(label="tags"))
    assert found.mean_ap == figures["mean_ap"]


def test_a_picture_is_right_if_all_its_tags_are() -> None:
    logits, targets = torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[0.6, 0.2], [1.0, 0.0]])
    assert hits(logits, targets, "tags") == 1
    assert hits(logits, torch.tensor([0, 0]), "classes") == 2  # of equals the first
    assert hits(logits, targets, "numbers") == 0


def test_weights_are_one_on_average() -> None:
    part = open_source("digits").parts["test"]
    weights = np.arange(1.0, len(part.labels) + 1)
    pictures = examples(dataclasses.replace(part, weights=weights), settings().preprocess)
    assert pictures.weights is not None
    assert pictures.weights.mean() == pytest.approx(1)
    assert pictures.weights[9] == pytest.approx(10 * pictures.weights[0])


def test_weights_say_what_is_learned(tmp_path: Path) -> None:
    """Half of the labels lie, and count nothing."""
    rng = np.random.default_rng(0)
    lines = ["image,label,w,split"]
    for k in range(240):
        bright, lies = k % 2, k >= 160
        pixels = rng.integers(0, 100, (8, 8, 3)) + (120 if bright else 0)
        Image.fromarray(pixels.astype("uint8")).save(tmp_path / f"{k}.png")
        label = bright != lies
        lines.append(
            f"{k}.png,{'light' if label else 'dark'},{0 if lies else 1},{'train' if k < 80 or lies else 'val'}"
        )
    (tmp_path / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    _, blind = run(tmp_path, tmp_path / "a", steps=30, batch=32)
    _, told = run(tmp_path, tmp_path / "b", steps=30, batch=32, weight_column="w")
    assert told["accuracy"] > 0.95
    assert blind["accuracy"] < 0.9
    text = "\n".join(lines).replace(",1,train", ",0,train")
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="every picture to train on has the weight 0"):
        run(tmp_path, tmp_path / "c", steps=30, weight_column="w")


def test_a_number_that_never_varies_cannot_be_learned(tiles: Path, tmp_path: Path) -> None:
    text = (tiles / "list.csv").read_text(encoding="utf-8").splitlines()[:40]
    lines = [f"{tiles}/{line.split(',')[0]},7.5,train" for line in text[1:]]
    (tmp_path / "list.csv").write_text("\n".join(["image,label,split", *lines]), encoding="utf-8")
    with pytest.raises(DataError, match="label never varies"):
        run(tmp_path, tmp_path / "run", task="numbers", epochs=1)


def facts(task: Any, **more: Any) -> Facts:
    names = ("a", "b", "c")
    about: dict[str, Any] = {
        "pictures": 100,
        "uniform": (16, 16),
        "channels": 3,
        "has_val": True,
        "arrays": False,
        "listed": True,
    }
    scale = ((0.0, 1.0),) * 3 if task == "numbers" else ()
    return Facts(classes=names, task=task, scale=scale, **(about | more))


@pytest.mark.parametrize(
    ("task", "given", "what"),
    [
        ("tags", {"loss": "cross-entropy"}, "not for tags"),
        ("tags", {"loss": "huber"}, "not for tags"),
        ("numbers", {"loss": "bce"}, "not for numbers"),
        ("classes", {"loss": "mse"}, "not for classes"),
        ("numbers", {"smoothing": 0.1}, "smoothing"),
        ("tags", {"class_weights": "balanced"}, "for classes"),
        ("numbers", {"sampling": "balanced"}, "for classes"),
        ("classes", {"separator": ";"}, "separator"),
        ("numbers", {"separator": ";"}, "separator"),
    ],
)
def test_settings_of_another_task_are_refused(task: str, given: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        resolve(Run(data="d", **given), frozenset(given), facts(task))


def test_what_is_open_is_decided_by_the_task() -> None:
    found = {
        task: resolve(Run(data="d", epochs=3), frozenset(), facts(task)) for task in ("classes", "tags", "numbers")
    }
    assert [s.loss for s in found.values()] == ["cross-entropy", "bce", "huber"]
    assert [s.smoothing for s in found.values()] == [0.1, 0.0, 0.0]
    assert [s.flip for s in found.values()] == [False, False, False]  # letters, letters, numbers
    large = resolve(Run(data="d"), frozenset(), facts("numbers", uniform=None))
    assert (large.crop, large.flip, found["numbers"].crop, found["tags"].crop) == ("none", False, "none", "pad")
    gentle = resolve(Run(data="d", loss="mse"), frozenset({"loss"}), facts("numbers"))
    assert gentle.lr == pytest.approx(found["numbers"].lr / 10)


RNG = np.random.default_rng(5)
LOGITS = RNG.normal(0, 2, (40, 3))
TAGS = (RNG.random((40, 3)) < 0.4).astype(np.float32)


def test_tag_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

    tied = np.round(LOGITS)  # many equal scores
    for logits in (LOGITS, tied):
        rows = metrics.tag_rows(logits, TAGS, "abc")
        called = logits >= 0
        for i, row in enumerate(rows):
            assert row.average_precision == pytest.approx(average_precision_score(TAGS[:, i], logits[:, i]))
            assert row.precision == pytest.approx(precision_score(TAGS[:, i], called[:, i]))
            assert row.recall == pytest.approx(recall_score(TAGS[:, i], called[:, i]))
            assert row.f1 == pytest.approx(f1_score(TAGS[:, i], called[:, i]))
            assert (row.correct + row.incorrect, row.support) == (40, TAGS[:, i].sum())
    total = metrics.tag_total(rows)
    assert total.average_precision == pytest.approx(average_precision_score(TAGS, tied, average="macro"))
    none = metrics.tag_rows(LOGITS, TAGS * [1, 1, 0], "abc")
    assert none[2].average_precision is None
    assert metrics.tag_total(none).f1 == pytest.approx((none[0].f1 + none[1].f1) / 2)  # nothing was asked of the third
    assert metrics.tag_total(none).average_precision == pytest.approx((rows_ap(none, 0) + rows_ap(none, 1)) / 2)


def rows_ap(rows: list[metrics.TagRow], i: int) -> float:
    found = rows[i].average_precision
    assert found is not None
    return found


def test_number_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    truth = RNG.normal(50, 9, (40, 3))
    said = truth + RNG.normal(0, 4, (40, 3))
    for i, row in enumerate(metrics.number_rows(said, truth, "abc")):
        assert row.mae == pytest.approx(mean_absolute_error(truth[:, i], said[:, i]))
        assert row.rmse == pytest.approx(root_mean_squared_error(truth[:, i], said[:, i]))
        assert row.r2 == pytest.approx(r2_score(truth[:, i], said[:, i]))
    same = metrics.number_rows(np.ones((4, 1)), np.full((4, 1), 2.0), "a")[0]
    assert (same.r2, same.mae) == (0.0, 1.0)


def formula(kind: str, smoothing: float) -> NDArray[np.float64]:
    yes = 1 / (1 + np.exp(-LOGITS))
    t = TAGS * (1 - smoothing) + smoothing / 2
    if kind == "bce":
        each = -t * np.log(yes) - (1 - t) * np.log(1 - yes)
    else:
        each = -t * (1 - yes) ** 1.5 * np.log(yes) - (1 - t) * yes**1.5 * np.log(1 - yes)
    found: NDArray[np.float64] = each.sum(1)
    return found


@pytest.mark.parametrize("kind", ["bce", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_of_tags_are_their_formulas(kind: str, smoothing: float) -> None:
    loss = Loss(kind, smoothing, 1.5, task="tags")
    logits, targets = torch.from_numpy(LOGITS), torch.from_numpy(TAGS).double()
    assert float(loss(logits, targets)) == pytest.approx(formula(kind, smoothing).mean(), rel=1e-6)
    counts = torch.from_numpy(RNG.random(40))
    weighed = (formula(kind, smoothing) * counts.numpy()).mean()
    assert float(loss(logits, targets, counts)) == pytest.approx(weighed, rel=1e-6)


@pytest.mark.parametrize("kind", ["mse", "huber"])
def test_losses_of_numbers_are_those_of_torch(kind: str) -> None:
    torchs = {"mse": torch.nn.MSELoss(), "huber": torch.nn.HuberLoss()}[kind]
    logits, targets = torch.from_numpy(LOGITS), torch.from_numpy(RNG.normal(0, 2, (40, 3)))
    assert float(Loss(kind, task="numbers")(logits, targets)) == pytest.approx(float(torchs(logits, targets)))


def test_numbers_are_learned_in_deviations() -> None:
    from dataclasses import replace

    decided = replace(settings(), task="numbers", scale=((10.0, 2.0), (1e9, 5.0)))
    targets = targets_of(np.array([[12.0, 1e9 - 5], [10.0, 1e9 + 1]]), decided)
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1.0, -1.0], [0.0, pytest.approx(0.2)]]


def test_tags_numbers_and_weights_are_mixed_as_pictures_are() -> None:
    from dataclasses import replace

    decided = replace(settings(mixup=1.0), task="tags")
    images, counts = torch.rand(6, 3, 8, 8), torch.rand(6)
    labels = torch.rand(6, 3)
    blended, targets, weights = mixed(images, labels, decided, 3, counts)
    assert weights is not None
    shares = (targets - labels[partners(decided)]) / (labels - labels[partners(decided)])
    share = float(shares[torch.isfinite(shares)].median())
    assert torch.allclose(blended, images * share + images[partners(decided)] * (1 - share), atol=1e-4)
    assert torch.allclose(weights, counts * share + counts[partners(decided)] * (1 - share), atol=1e-4)


def partners(decided: Any) -> torch.Tensor:
    from resnetkit import dice

    return torch.from_numpy(dice.permutation(6, decided.run.seed, "partner", 3))


def test_weights_of_other_tasks_are_a_start(tagger: Path, tiles: Path, tmp_path: Path) -> None:
    """The head is begun anew, and what is said is of the new task."""
    given: dict[str, Any] = {"label_column": "sum", "task": "numbers", "steps": 2}
    given |= {"weights": str(tagger / "best.safetensors"), "device": "cpu"}
    made = Run(data=str(tiles / "list.csv"), out=str(tmp_path / "r"), **given)
    done = [e for e in training(made, frozenset(given)) if isinstance(e, Done)][-1]
    assert modelfile.read_card(done.folder / "best.safetensors").task == "numbers"
    with pytest.raises(WeightsError):
        load(tmp_path / "none.safetensors")
