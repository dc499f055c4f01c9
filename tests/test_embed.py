"""Features of pictures in files, what lies near what, and which pairs show the same: figures equal scikit-learn's."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import sklearn.neighbors
import torch
from command import resnet
from numpy.typing import NDArray
from samples import noise

import resnetkit
from resnetkit.classifier import Classifier
from resnetkit.data.lists import Columns
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.errors import DataError, UsageError
from resnetkit.explain import embeddings, pairs
from resnetkit.explain.embeddings import Embeddings, fingerprint
from resnetkit.explain.pairs import Flags, Likeness, Verification, best_threshold, halves, read_pairs
from resnetkit.intervals import wilson
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card, save
from resnetkit.plan import with_io
from resnetkit.units import Taps
from resnetkit.zoo import find


def classifier(taps: Taps | None = None) -> Classifier:
    plan = replace(with_io(lay_out(find("resnet8")), classes=2), taps=taps)
    torch.manual_seed(0)
    how = Preprocess(size=(16, 16), mean=(0.5,) * 3, std=(0.25,) * 3, channels=3)
    card = Card(model="resnet8", plan=plan, classes=("x", "y"), preprocess=how)
    return Classifier(card, build(plan), Machine(torch.device("cpu"), "fp32"))


def photos(root: Path, parts: tuple[str, ...] = ("train", "val")) -> Path:
    """Three classes of two pictures each, in every part; none of them is the model's."""
    for p, part in enumerate(parts):
        for c, name in enumerate(("ant", "bee", "cow")):
            for i in range(2):
                noise(root / part / name / f"{i}.png", 100 * p + 10 * c + i, (20, 24))
    return root


@pytest.mark.parametrize("taps", [None, Taps(0, 2)])
def test_features_are_what_the_head_sees(taps: Taps | None, tmp_path: Path) -> None:
    model, path = classifier(taps), noise(tmp_path / "a.png", 1, (20, 24))
    found = model.embed([path, path.read_bytes(), tmp_path / "none.png"])
    assert found.names == (str(path), "-")
    assert [name for name, _ in found.errors] == [str(tmp_path / "none.png")]
    assert found.features.shape == (2, model.model.head_hidden_size)
    with torch.no_grad():
        logits = model.model.get_classifier()(torch.from_numpy(found.features))
    chances = torch.softmax(logits, 1).numpy()
    assert chances[0].max() == pytest.approx(model.predict(path)[0].top[0][1], abs=1e-6)


def test_a_data_set_of_other_classes(tmp_path: Path) -> None:
    found = resnetkit.embed(classifier(), photos(tmp_path))
    assert found.names[:3] == ("train/ant/0.png", "train/ant/1.png", "train/bee/0.png")
    assert found.labels == ("ant", "ant", "bee", "bee", "cow", "cow") * 2
    assert found.parts == ("train",) * 6 + ("val",) * 6
    alone = classifier().embed([tmp_path / name for name in found.names])
    np.testing.assert_allclose(found.features, alone.features, atol=1e-6)


def test_one_class_is_enough_to_look_at(tmp_path: Path) -> None:
    for i in range(3):
        noise(tmp_path / "one/ant" / f"{i}.png", i)
    assert resnetkit.embed(classifier(), tmp_path / "one").labels == ("ant",) * 3
    file = tmp_path / "list.csv"
    file.write_text("path,label\none/ant/0.png,1\none/ant/1.png,1\n")
    assert resnetkit.embed(classifier(), file).labels == ("1", "1")
    with pytest.raises(DataError, match="needs at least two"):
        resnetkit.check(tmp_path / "one")  # which says whether it can be trained on


def test_classes_that_train_does_not_have_are_looked_at_too(tmp_path: Path) -> None:
    data = photos(tmp_path, ("train", "test"))
    (data / "train/cow").rename(tmp_path / "cow")
    shutil.rmtree(tmp_path / "cow")
    found = resnetkit.embed(classifier(), data)
    assert found.labels == ("ant", "ant", "bee", "bee", "ant", "ant", "bee", "bee", "cow", "cow")
    assert found.parts == ("train",) * 4 + ("test",) * 6


def test_columns_that_the_model_remembers(tmp_path: Path) -> None:
    for i in range(4):
        noise(tmp_path / f"{i}.png", i)
    file = tmp_path / "list.csv"
    file.write_text("where,seen,label\n0.png,x;y,one\n1.png,x,two\n2.png,,one\n3.png,y,two\n")
    model = classifier()
    run = {"image_column": "where", "label_column": "seen", "task": "tags"}
    model.card = replace(model.card, task="tags", run=run)
    assert resnetkit.embed(model, file).labels == ("x;y", "x", "", "y")
    assert resnetkit.embed(model, file, columns=Columns(label="label")).labels == ("one", "two", "one", "two")
    other = tmp_path / "other.csv"
    other.write_text("path,label\n0.png,ant\n1.png,bee\n")
    assert resnetkit.embed(model, other).labels == ("ant", "bee")
    save(tmp_path / "tags.safetensors", model.model.state_dict(), model.card)
    done = resnet("embed", tmp_path / "tags.safetensors", file, "--out", tmp_path / "e.npz")
    assert done.code == 0, done.err
    assert embeddings.read(tmp_path / "e.npz").labels == ("x;y", "x", "", "y")


def test_a_folder_of_pictures_alone(tmp_path: Path) -> None:
    noise(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"")
    found = resnetkit.embed(classifier(), tmp_path)
    assert found.names == (str(tmp_path / "a.png"),)
    assert found.labels == found.parts == ("",)
    assert len(found.errors) == 1


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_files_hold_them(suffix: str, tmp_path: Path) -> None:
    found = resnetkit.embed(classifier(), photos(tmp_path / "d"))
    out = tmp_path / f"e.{suffix}"
    found.save(out)
    found.save(out)  # its own kind is replaced
    back = embeddings.read(out)
    np.testing.assert_array_equal(back.features, found.features)
    assert (back.names, back.labels, back.parts) == (found.names, found.labels, found.parts)
    assert back.network == found.network


@pytest.mark.parametrize("name", ["e.npz", "e.parquet"])
def test_what_is_not_ours_stays(name: str, tmp_path: Path) -> None:
    found = classifier().embed(noise(tmp_path / "a.png", 1))
    for data in (b"", b"mine", b"PK\x03\x04" + bytes(40), b"PAR1" + bytes(20) + b"PAR1"):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match="holds no embeddings"):
            found.save(tmp_path / name)
        with pytest.raises(DataError, match="holds no embeddings"):
            embeddings.read(tmp_path / name)
        assert (tmp_path / name).read_bytes() == data
    with pytest.raises(UsageError, match="neither"):
        found.save(tmp_path / "e.csv")


def test_an_archive_of_something_else_is_no_embeddings(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", features=np.zeros((3, 2), np.float32))
    with pytest.raises(DataError, match="holds no embeddings"):
        embeddings.read(tmp_path / "e.npz")


def test_the_fingerprint_is_of_what_features_depend_on() -> None:
    model = classifier()
    before = fingerprint(model.model, model.card.preprocess)
    with torch.no_grad():
        model.model.get_classifier().weight.zero_()  # type: ignore[operator]
    assert fingerprint(model.model, model.card.preprocess) == before
    assert fingerprint(model.model, replace(model.card.preprocess, crop=1.0)) != before
    with torch.no_grad():
        model.model.get_parameter("conv1.weight")[0, 0, 0, 0] += 1
    assert fingerprint(model.model, model.card.preprocess) != before


def random_embeddings(count: int, seed: int) -> Embeddings:
    features = np.random.default_rng(seed).normal(size=(count, 9)).astype(np.float32)
    names = tuple(f"{seed}/{i}" for i in range(count))
    return Embeddings(names, features, names, ("",) * count, "net")


def test_nearest_is_scikit_learns() -> None:
    ours, others = random_embeddings(40, 1), random_embeddings(7, 2)
    theirs = sklearn.neighbors.NearestNeighbors(n_neighbors=5, metric="cosine").fit(ours.features)
    distances, places = theirs.kneighbors(others.features)
    found = ours.nearest(others)
    assert [[one.name for one in row] for row in found] == [[ours.names[i] for i in row] for row in places]
    np.testing.assert_allclose([[one.distance for one in row] for row in found], distances, atol=1e-6)
    with pytest.raises(UsageError, match="of another network"):
        ours.nearest(replace(others, network="other"))


# Pairs


def scores(count: int = 300) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rng = np.random.default_rng(5)
    same = rng.random(count) < 0.4
    return np.round(rng.normal(0.5 * same, 0.4), 2), same  # rounded: with ties


def test_roc_and_area_are_scikit_learns() -> None:
    likeness, same = scores()
    found = Verification(likeness, same, halves(same))
    theirs = sklearn.metrics.roc_curve(same, likeness, drop_intermediate=False)
    for ours, wanted in zip(found.roc, theirs, strict=True):
        np.testing.assert_allclose(ours, wanted)
    assert found.auc == pytest.approx(sklearn.metrics.roc_auc_score(same, likeness))


def test_equal_error_rate() -> None:
    likeness, same = scores(20_000)
    found = Verification(likeness + np.random.default_rng(0).normal(0, 1e-4, 20_000), same, halves(same))
    cut = np.quantile(found.likeness[~same], 1 - found.eer)
    assert (found.likeness[same] < cut).mean() == pytest.approx(found.eer, abs=1e-3)
    perfect = Verification(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]), np.ones(4, bool))
    assert perfect.eer == 0
    assert replace(perfect, same=~perfect.same).eer == 1
    assert perfect.auc == 1


def test_the_threshold_is_the_best_of_its_pairs() -> None:
    likeness, same = scores()
    places = np.concatenate([np.unique(likeness), [2.0]])
    for others in (1, 11):  # however many there are of each kind
        told = np.concatenate([likeness, *[likeness[~same]] * (others - 1)])
        true = np.concatenate([same, np.zeros(len(told) - len(same), bool)])

        def mean(place: float, told: Likeness = told, true: Flags = true) -> float:
            return float((told[true] >= place).mean() + (told[~true] < place).mean()) / 2

        assert mean(best_threshold(told, true)) == pytest.approx(max(map(mean, places)), abs=1e-12)
    assert best_threshold(np.array([0.2, 0.8]), np.array([False, True])) == pytest.approx(0.5)


def test_accuracy_is_of_the_other_pairs() -> None:
    likeness = np.array([0.1, 0.9, 0.2, 0.95, 0.3, 0.4])
    same = np.array([False, True, True, True, False, False])
    fits = np.array([True, True, False, False, False, False])
    about = Verification(likeness, same, fits).as_dict()
    assert about["threshold"] == pytest.approx(0.5)
    assert about["accuracy"] == 0.75
    assert (about["same_accepted"], about["others_refused"], about["balanced_accuracy"]) == (0.5, 1.0, 0.75)
    assert (about["threshold_from"], about["same_accepted_of"], about["others_refused_of"]) == (2, 2, 2)
    assert about["same_accepted_interval"] == pytest.approx(wilson(1, 2))


def test_saying_always_other_is_worth_nothing() -> None:
    """Of pairs of which nearly all are of others, to refuse all is not good."""
    rng = np.random.default_rng(3)
    same = np.arange(2000) % 12 == 0
    blind = Verification(rng.random(2000), same, halves(same)).as_dict()
    assert blind["balanced_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_halves_are_even_and_always_the_same() -> None:
    same = scores(101)[1]
    fits = halves(same)
    np.testing.assert_array_equal(fits, halves(same))
    assert fits[same].sum() == same.sum() // 2
    assert fits[~same].sum() == (~same).sum() // 2


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_list_of_pairs_is_read_and_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    good = ["a,b,1", "c,d,no", "a,c,Same", "b,d,0"]
    found = read_pairs(write_list(path, "first,second,same", *good))
    assert [(pair.first, pair.second, pair.same, pair.fits) for pair in found][:2] == [
        ("a", "b", True, None), ("c", "d", False, None)
    ]  # fmt: skip
    assert len(read_pairs(write_list(path, "first,second,same", *good, "b,a,1"))) == 5  # said twice, alike
    parted = [f"{line},{part}" for line, part in zip(good, ("train", "train", "test", "test"), strict=True)]
    assert [pair.fits for pair in read_pairs(write_list(path, "a,b,same,part", *parted))] == [True, True, False, False]
    for lines, words in (
        (["first,second", "a,b"], "has no column same"),
        (["first,second,same", "a,b,perhaps"], "line 2 lacks a picture, or says perhaps"),
        (["first,second,same", "a,,1"], "line 2 lacks a picture"),
        (["first,second,same", "a,b"], "line 2 has 2 cells"),
        (["first,second,same", "a,b,1", "a,c,1", "b,c,0"], "too few pairs of others"),
        (["first,second,same,part", *(f"{line},train" for line in good)], "too few pairs of the same"),
        (["first,second,same,part", "a,b,1,fold1"], "of the part fold1"),
        (["first,second,same", *good, "b,a,0"], "line 6 says that b and a are not the same, and line 2 says otherwise"),
        (["first,second,same", *good, "d,c,1"], "line 6 says that d and c are the same, and line 3 says otherwise"),
    ):
        with pytest.raises(DataError, match=words):
            read_pairs(write_list(path, *lines))


def test_pairs_of_files(tmp_path: Path) -> None:
    """Copies are alike; pairs with a picture that cannot be read are left out and said."""
    for i in range(6):
        noise(tmp_path / f"{i}.png", i, (20, 24))
        (tmp_path / f"{i}b.png").write_bytes((tmp_path / f"{i}.png").read_bytes())
    lines = [f"{i}.png,{i}b.png,1" for i in range(6)] + [f"{i}.png,{(i + 1) % 6}b.png,0" for i in range(6)]
    (tmp_path / "bad.png").write_bytes(b"")
    path = write_list(tmp_path / "p.csv", "first,second,same", *lines, "0.png,bad.png,1")
    found = resnetkit.verify(classifier(), path)
    np.testing.assert_allclose(found.likeness[:6], 1, atol=1e-6)
    assert (found.likeness[6:] < 1).all()
    assert found.as_dict()["accuracy"] == found.auc == 1
    assert [Path(name).name for name, _ in found.errors] == ["bad.png"]


# The commands


def test_the_commands(tmp_path: Path) -> None:
    model = classifier()
    save(tmp_path / "m.safetensors", model.model.state_dict(), model.card)
    photos(tmp_path / "d")
    done = resnet("embed", "m.safetensors", "d", "--out", "e.npz", cwd=tmp_path)
    assert (done.code, done.out) == (0, "wrote e.npz: 64 features of 12 pictures\n")
    near = resnet(
        "nearest", "m.safetensors", "e.npz", "d/val/bee/1.png", "none.png", "--top", "2", "--json", cwd=tmp_path
    )
    assert near.code == 3
    told, lost = near.document
    assert told["nearest"][0]["path"] == "val/bee/1.png"
    assert told["nearest"][0]["label"] == "bee"
    assert told["nearest"][0]["part"] == "val"
    assert told["nearest"][0]["distance"] == pytest.approx(0, abs=1e-6)
    assert len(told["nearest"]) == 2
    assert lost["path"] == "none.png"
    lines = [
        f"d/train/ant/{i}.png,d/train/{c}/{j}.png,{int(c == 'ant')}"
        for c in ("ant", "bee")
        for i in (0, 1)
        for j in (0, 1)
    ]
    write_list(tmp_path / "p.csv", "first,second,same", *lines)
    said = resnet("verify", "m.safetensors", "p.csv", "--roc", "roc.csv", cwd=tmp_path)
    assert said.code == 0
    assert "8 pairs, 4 of the same" in said.out
    found = resnetkit.verify(resnetkit.load(tmp_path / "m.safetensors"), tmp_path / "p.csv")
    assert f"area under the ROC curve {found.auc:.4f}" in said.out
    with open(tmp_path / "roc.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(found.roc[0])
    again = resnet("verify", "m.safetensors", "p.csv", "--roc", "roc.csv", cwd=tmp_path)
    assert again.code == 2
    assert "is there already" in again.err


def test_rates_are_told_where_there_are_enough_others() -> None:
    likeness, same = scores(2000)
    about = Verification(likeness, same, halves(same)).as_dict()
    assert set(about["accepted_at_false_rate"]) == {"0.01", "0.001"}
    few = Verification(likeness[:60], same[:60], halves(same[:60])).as_dict()
    assert few["accepted_at_false_rate"] == {}
    others, ours = likeness[~same], likeness[same]
    cut = min(value for value in np.unique(likeness) if (others >= value).mean() <= 0.01)
    assert about["accepted_at_false_rate"]["0.01"] == pytest.approx((ours >= cut).mean())
    assert pairs.RATES == (0.01, 0.001)
