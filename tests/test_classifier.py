"""A trained network answers: every input once, in order, and what cannot be read is said and not replaced."""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image
from samples import folder, picture

import resnetkit
from resnetkit.classifier import Classifier, load
from resnetkit.errors import DataError, UsageError, WeightsError
from resnetkit.network import Network
from resnetkit.report.results import write_evaluation

COLOURS = {"blue": (30, 40, 200), "green": (30, 200, 40), "red": (210, 30, 40)}


def photos(root: Path, classes: Sequence[str] = tuple(COLOURS), each: int = 12, first: int = 0) -> Path:
    """Real files of several sizes: a class is a colour with noise."""
    for name in classes:
        for i in range(first, first + each):
            rng = np.random.default_rng([i, *name.encode()])
            height, width = 40 + 7 * (i % 3), 50 - 5 * (i % 4)
            pixels = np.clip(np.array(COLOURS[name]) + rng.normal(0, 30, (height, width, 3)), 0, 255)
            path = root / name / f"{name}_{i}.{'jpg' if i % 2 else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "val", each=4, first=100)
    return root


@pytest.fixture(scope="module")
def run(split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    result = resnetkit.train(split, model="resnet20", size=16, epochs=12, batch=8, out=str(out), seed=1)
    assert result.accuracy >= 0.9
    return out


@pytest.fixture(scope="module")
def model(run: Path) -> Classifier:
    return load(run)


def test_training_leaves_what_the_design_promises(run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "run.json", "results.csv", "journal.jsonl", "best.safetensors", "last.safetensors", "checkpoints",
        "metrics.json", "per_class.csv", "predictions.csv", "confusion_matrix.png", "confusion_matrix.csv",
        "status.json", "split.csv", "curves.png", "report.html",
    }  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_bytes())
    assert metrics["split"] == "val"
    assert metrics["n"] == 12
    assert json.loads((run / "status.json").read_bytes())["status"] == "done"


def test_eval_says_what_training_said(run: Path, split: Path, model: Classifier) -> None:
    metrics = json.loads((run / "metrics.json").read_bytes())
    evaluation = model.evaluate(split)
    assert evaluation.split == "val"
    assert evaluation.as_dict() == {k: metrics[k] for k in evaluation.as_dict()}


def test_figures_are_those_of_scikit_learn_from_predictions_csv(split: Path, model: Classifier, tmp_path: Path) -> None:
    import csv

    evaluation = model.evaluate(split, "train")
    write_evaluation(tmp_path, evaluation)
    with open(tmp_path / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth, answers = ([row[key] for row in rows] for key in ("label", "predicted"))
    assert evaluation.accuracy == sklearn.metrics.accuracy_score(truth, answers)
    figures = sklearn.metrics.precision_recall_fscore_support(truth, answers, labels=model.classes, zero_division=0)
    for place, row in enumerate(evaluation.as_dict()["classes"]):
        wanted = [float(figure[place]) for figure in figures]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(wanted)
        assert row["correct"] + row["incorrect"] == row["support"]
    assert evaluation.loss == pytest.approx(np.mean([float(row["loss"]) for row in rows]), abs=1e-5)
    assert sum(row["support"] for row in evaluation.as_dict()["classes"]) == evaluation.n == len(rows) == 36


def test_predict_answers_in_order_and_reports_the_unreadable(split: Path, model: Classifier, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes((split / "val/red/red_101.jpg").read_bytes()[:300])
    gone = tmp_path / "gone.jpg"
    inputs = [split / "val/red/red_100.png", broken, gone, split / "val/blue/blue_101.jpg"]
    answers = model.predict(inputs, top=2)
    assert [answer.path for answer in answers] == [str(path) for path in inputs]
    assert [answers[i].top[0][0] for i in (0, 3)] == ["red", "blue"]
    assert [bool(answer.error) for answer in answers] == [False, True, True, False]
    assert [len(answer.top) for answer in answers] == [2, 0, 0, 2]
    assert [set(answers[i].as_dict()) for i in (0, 1)] == [{"path", "top"}, {"path", "error"}]


def test_predict_takes_folders_patterns_and_bytes(split: Path, model: Classifier) -> None:
    folder = model.predict(split / "val")
    assert len(folder) == 12
    assert [answer.path for answer in folder] == sorted(answer.path for answer in folder)
    assert len(model.predict(str(split / "val" / "re*" / "*.png"))) == 2
    nothing = model.predict(str(split / "val" / "*.xyz"))
    assert [bool(answer.error) for answer in nothing] == [True]
    data = (split / "val/green/green_100.png").read_bytes()
    assert model.predict(data)[0].top == model.predict(split / "val/green/green_100.png")[0].top


def test_probabilities_are_those_of_the_whole_batch_and_add_up(split: Path, model: Classifier) -> None:
    paths = sorted((split / "val").rglob("*.*"))
    together = model.predict(paths, top=99)
    alone = [model.predict(path, top=99)[0] for path in paths]
    for one, other in zip(together, alone, strict=True):
        assert sum(p for _, p in one.top) == pytest.approx(1)
        assert [name for name, _ in one.top] == [name for name, _ in other.top]
        assert [p for _, p in one.top] == pytest.approx([p for _, p in other.top], abs=1e-5)


def test_predict_and_eval_agree(split: Path, model: Classifier) -> None:
    evaluation = model.evaluate(split)
    predictions = model.predict(split / "val", top=1)
    by_name = {Path(p.path).name: p.top[0][0] for p in predictions}
    ranks = evaluation.answers.logits.argmax(1)
    for name, rank in zip(evaluation.names, ranks, strict=True):
        assert by_name[Path(name).name] == model.classes[rank]


def test_a_val_folder_without_a_class_shifts_no_label(split: Path, model: Classifier, tmp_path: Path) -> None:
    """Trap 2: the figures of the other classes stay as they were, and the missing one has no support."""
    whole = model.evaluate(split).as_dict()["classes"]
    shutil.copytree(split, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/val/blue")
    partial = model.evaluate(tmp_path / "data").as_dict()["classes"]
    assert [row["name"] for row in partial] == ["blue", "green", "red"]
    assert partial[0]["support"] == 0
    assert [row["recall"] for row in partial[1:]] == [row["recall"] for row in whole[1:]]
    result = resnetkit.train(tmp_path / "data", model="resnet20", size=16, epochs=12, batch=8, seed=1,
                             out=str(tmp_path / "run"))  # fmt: skip
    assert result.metrics["n"] == 8
    assert result.accuracy >= 0.85


def test_training_pictures_are_never_called_validation(tmp_path: Path) -> None:
    """Traps 1 and 3: neither a flat folder nor one with only train/ is scored on what it was trained on."""
    for layout in ("flat", "flat/train"):
        root = photos(tmp_path / layout.replace("/", "_") / layout, each=10)
        data = root.parent if layout == "flat/train" else root
        out = tmp_path / f"run_{root.name}"
        result = resnetkit.train(data, model="resnet20", size=16, epochs=1, batch=8, out=str(out), workers=0)
        rows = [line.split(",") for line in (out / "split.csv").read_text().splitlines()[1:]]
        parts = {part: {row[2] for row in rows if row[0] == part} for part in ("train", "val")}
        assert (len(parts["val"]), len(parts["train"]), parts["train"] & parts["val"]) == (3, 27, set())
        assert (result.metrics["split"], result.metrics["n"]) == ("val", 3)
        evaluation = load(out).evaluate(data)
        assert (evaluation.split, set(evaluation.names)) == ("val", parts["val"])
        assert set(load(out).evaluate(data, "train").names) == parts["train"]


def test_another_data_set_is_not_mended_by_names(model: Classifier, tmp_path: Path) -> None:
    folder(tmp_path, *(f"test/{name}/{i}.png" for name in ("ants", "bees") for i in range(2)))
    network = model.model
    assert isinstance(network, Network)
    with pytest.raises(DataError, match="test has classes that the model does not have: ants, bees") as caught:
        model.evaluate(tmp_path)
    assert caught.value.fix == f"give pictures of the classes that it has: {', '.join(model.classes)}"
    card = replace(model.card, classes=tuple(map(str, range(len(model.classes)))))
    with pytest.raises(DataError, match="give pictures of the classes that it has: 0, 1, 2"):
        Classifier(card, network, model.machine).evaluate(tmp_path)
    with pytest.raises(DataError, match="when it is imported: --classes"):
        Classifier(replace(card, run={}), network, model.machine).evaluate(tmp_path)


def test_a_new_flat_folder_is_a_test_and_says_so(model: Classifier, tmp_path: Path) -> None:
    evaluation = model.evaluate(photos(tmp_path, each=2, first=50))
    assert (evaluation.split, evaluation.n) == ("test", 6)
    assert any("all of it is the test part" in note for note in evaluation.notes)


def test_only_train_of_another_data_set_is_not_scored_by_default(model: Classifier, tmp_path: Path) -> None:
    photos(tmp_path / "train", each=2, first=50)
    with pytest.raises(DataError, match="neither a test nor a val part"):
        model.evaluate(tmp_path)
    assert model.evaluate(tmp_path, "train").n == 6


def test_eval_leaves_out_what_cannot_be_read_and_lists_it(split: Path, model: Classifier, tmp_path: Path) -> None:
    shutil.copytree(split, tmp_path / "data")
    (tmp_path / "data/val/red/red_100.png").write_bytes(b"")
    evaluation = model.evaluate(tmp_path / "data")
    assert (evaluation.n, len(evaluation.errors)) == (11, 1)
    assert "red_100.png" in evaluation.errors[0][0]
    write_evaluation(tmp_path, evaluation)
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 13


def test_fewer_pictures_than_a_batch_train(tmp_path: Path) -> None:
    """Trap 4."""
    photos(tmp_path / "data", each=4)
    out = tmp_path / "run"
    resnetkit.train(tmp_path / "data", model="resnet20", size=16, steps=3, batch=128, out=str(out))
    rows = (out / "results.csv").read_text().splitlines()
    assert rows[-1].startswith("3,3,")
    from resnetkit import modelfile

    states = [modelfile.load(out / name)[1] for name in ("best.safetensors", "last.safetensors")]
    assert all(value.isfinite().all() for state in states for value in state.values())


def test_broken_pictures_stop_training_before_it_begins(tmp_path: Path) -> None:
    """Trap 5: named, not replaced by a neighbour."""
    root = photos(tmp_path / "data", each=4)
    (root / "red" / "red_1.jpg").write_bytes((root / "red" / "red_1.jpg").read_bytes()[:200])
    (root / "blue" / "blue_0.png").write_bytes(b"<!doctype html><html>not found</html>")
    with pytest.raises(DataError, match="2 pictures") as caught:
        resnetkit.train(root, model="resnet20", out=str(tmp_path / "run"))
    assert "red_1.jpg" in caught.value.what
    assert "blue_0.png" in caught.value.what
    assert not (tmp_path / "run").exists()


def test_the_head_has_as_many_classes_as_the_data(model: Classifier) -> None:
    """Trap 6."""
    assert model.model.fc.out_features == 3  # type: ignore[union-attr]


def test_weights_to_start_from_know_what_they_knew(run: Path, tmp_path: Path) -> None:
    root = photos(tmp_path / "data", classes=("red", "green"), each=8, first=200)
    events = list(resnetkit.api.training(
        resnetkit.Run(data=str(root), weights=str(run / "best.safetensors"), epochs=1, out=str(tmp_path / "run"))
    ))  # fmt: skip
    assert any("the head is solved anew" in getattr(event, "text", "") for event in events)
    accuracy = load(tmp_path / "run").evaluate(root).accuracy
    assert accuracy >= 0.9  # one epoch from nothing would not do it


def test_bare_weights_bring_the_scale_that_is_usual_for_them(split: Path, tmp_path: Path) -> None:
    """Their own mean and deviation are not said, so it is said what was assumed; their classes have no names."""
    import torch

    bare = resnetkit.create_model("resnet20", num_classes=10)
    torch.save(bare.state_dict(), tmp_path / "bare.pth")
    run = resnetkit.Run(
        data=str(split), model="resnet20", weights=str(tmp_path / "bare.pth"), steps=1, out=str(tmp_path / "run")
    )
    texts = [getattr(event, "text", "") for event in resnetkit.api.training(run)]
    assert any("mean: 0.485 0.456 0.406, ImageNet's" in text for text in texts)
    assert not any("the head keeps" in text for text in texts)
    assert load(tmp_path / "run").card.preprocess.mean == (0.485, 0.456, 0.406)


def test_resume_of_a_run_from_weights_does_not_need_them_any_more(run: Path, split: Path, tmp_path: Path) -> None:
    weights = tmp_path / "start.safetensors"
    shutil.copy(run / "best.safetensors", weights)
    settings: dict[str, Any] = {"data": str(split), "weights": str(weights), "epochs": 2, "save_every": 0.0}
    list(resnetkit.api.training(resnetkit.Run(**settings, out=str(tmp_path / "whole"))))
    events = resnetkit.api.training(resnetkit.Run(**settings, out=str(tmp_path / "cut")))
    for event in events:
        if getattr(event, "step", 0) == 3:
            break
    events.close()
    weights.unlink()
    list(resnetkit.api.resuming(tmp_path / "cut"))
    assert (tmp_path / "cut/last.safetensors").read_bytes() == (tmp_path / "whole/last.safetensors").read_bytes()


def test_bad_arguments_are_refused(split: Path, model: Classifier, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="top"):
        model.predict(split, top=0)
    with pytest.raises(UsageError, match="split"):
        model.evaluate(split, "validation")
    with pytest.raises(DataError, match="test"):
        model.evaluate(split, "test")
    with pytest.raises(UsageError, match=r"best\.safetensors"):
        load(tmp_path)
    with pytest.raises(WeightsError):
        load(picture(tmp_path / "a.png"))
    picture(tmp_path / "d/val/purple/1.png")
    with pytest.raises(DataError, match="purple"):
        model.evaluate(tmp_path / "d")
    with pytest.raises(UsageError, match="epochz"):
        resnetkit.train(split, epochz=3)


def test_one_pixel_pictures_are_answered(model: Classifier) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1), COLOURS["red"]).save(buffer, "PNG")
    assert model.predict(buffer.getvalue())[0].top[0][0] == "red"


def test_training_pictures_are_left_out_of_a_flat_folder_that_has_changed(tmp_path: Path) -> None:
    """One picture more, and the folder is not what was trained on; but most of its pictures still are."""
    root = photos(tmp_path / "photos", each=10)
    out = tmp_path / "run"
    resnetkit.train(root, model="resnet20", size=16, epochs=1, batch=8, out=str(out))
    photos(root, each=2, first=50)
    evaluation = load(out).evaluate(root)
    assert (evaluation.split, evaluation.n) == ("test", 6)
    assert all("_5" in name for name in evaluation.names)
    assert any("all but 30 pictures" in note for note in evaluation.notes)
    subset = tmp_path / "subset"
    for name in COLOURS:
        shutil.copytree(root / name, subset / name, ignore=shutil.ignore_patterns("*_5?.*", "*_9.*"))
    with pytest.raises(DataError, match="chosen with every picture"):
        load(out).evaluate(subset)
    alone = shutil.copy(out / "best.safetensors", tmp_path / "alone.safetensors")
    assert any("no run beside the model says" in note for note in load(alone).evaluate(subset).notes)


def test_a_class_without_pictures_does_not_count_in_the_averages(
    split: Path, model: Classifier, tmp_path: Path
) -> None:
    shutil.copytree(split, tmp_path / "data")
    shutil.rmtree(tmp_path / "data/val/blue")
    evaluation = model.evaluate(tmp_path / "data")
    recalls = [row.recall for row in evaluation.rows if row.support]
    assert evaluation.total.recall == pytest.approx(sum(recalls) / 2)


def test_our_own_model_file_is_not_imported_again(run: Path, tmp_path: Path) -> None:
    """Its classes and its preprocessing would be lost."""
    with pytest.raises(UsageError, match="model file already"):
        resnetkit.api.import_weights(run / "best.safetensors", "resnet20", tmp_path / "new.safetensors")


def test_a_path_that_cannot_be_looked_at_is_a_row_with_an_error(split: Path, model: Classifier) -> None:
    answers = model.predict([split / "val/red/red_100.png", "x" * 300, ""])
    assert [bool(answer.error) for answer in answers] == [False, True, True]


def test_answers_that_overflow_are_refused(split: Path, model: Classifier) -> None:
    import torch

    from resnetkit.model import ResNet

    broken = Classifier(model.card, ResNet(model.card.plan), model.machine)
    with torch.no_grad():
        list(broken.model.parameters())[-2].fill_(3e38)
    with pytest.raises(WeightsError, match="not finite"):
        broken.predict(split / "val")
    with pytest.raises(WeightsError, match="not finite"):
        broken.evaluate(split)


def test_the_temperature_of_the_card_softens_what_is_predicted(split: Path, run: Path) -> None:
    path, models = split / "val/green/green_100.png", [load(run), load(run)]
    models[1].card = replace(models[1].card, temperature=2.0)
    usual, soft = (dict(model.predict(path, top=9)[0].top) for model in models)
    roots = {name: probability**0.5 for name, probability in usual.items()}
    assert soft == pytest.approx({name: root / sum(roots.values()) for name, root in roots.items()}, rel=1e-3)
    assert max(soft.values()) < max(usual.values())
