"""Pictures that belong together: in one part alone, drawn together in intervals, and by whichever model knows them."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import refused, resnet
from samples import noise

import resnetkit
from resnetkit import modelfile
from resnetkit.answers import Answers
from resnetkit.classifier import Classifier, load
from resnetkit.comparison import Comparison
from resnetkit.data.groups import grouped
from resnetkit.data.lists import Columns
from resnetkit.data.sources import open_source
from resnetkit.errors import DataError, UsageError
from resnetkit.evaluation import Evaluation
from resnetkit.job import prepare
from resnetkit.pairs import CLOSE, Pairs, coarser, verdict
from resnetkit.run import Run

PATTERN = r"p\d+"


def photos(root: Path, patients: dict[str, range], each: int = 2) -> Path:
    """Two classes; each patient of a part has some pictures of both."""
    for part, numbers in patients.items():
        for number in numbers:
            for i in range(each):
                for name in ("cat", "dog"):
                    noise(root / part / name / f"p{number}_{i}.png", 1000 * number + 10 * i + (name == "dog"), (16, 16))
    return root


def listed(root: Path, patients: dict[str, range]) -> Path:
    """The same as a list, with a column of patients and one of cameras."""
    photos(root, patients)
    lines = ["path,label,split,patient,camera"]
    for path in sorted(root.rglob("*.png")):
        part, label, name = path.relative_to(root).parts
        patient = name.partition("_")[0]
        lines.append(f"{part}/{label}/{name},{label},{part},{patient},{part} {len(lines) % 2}")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root / "list.csv"


PARTS = {"train": range(8), "val": range(8, 12), "test": range(12, 18)}
SHORT: dict[str, Any] = {"model": "resnet8", "steps": 2, "batch": 8, "size": 16}


def test_a_pattern_protects_as_a_column_does(tmp_path: Path) -> None:
    data = photos(tmp_path / "data", {"train": range(8), "test": range(6, 10)})
    says = "2 groups are in train and in test: p6, p7"
    refused(resnet("train", data, "--group-pattern", PATTERN, "--dry-run"), 3, says, "put every group into one part")
    with pytest.raises(DataError, match=says):
        prepare(Run(data=str(data), group_pattern=PATTERN), frozenset({"group_pattern"}))
    file = listed(tmp_path / "list", {"train": range(8), "test": range(6, 10)})
    with pytest.raises(DataError, match=says):
        prepare(Run(data=str(file), group_column="patient"), frozenset({"group_column"}))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained by a pattern, on data with a part to validate with."""
    root = tmp_path_factory.mktemp("groups")
    photos(root / "data", PARTS, each=4)
    resnetkit.train(root / "data", group_pattern=PATTERN, out=str(root / "run"), **SHORT)
    return root / "run"


def test_a_run_with_its_own_validation_part_takes_a_pattern(run: Path) -> None:
    spans = json.loads((run / "metrics.json").read_bytes())["intervals"]
    assert (spans["over"], spans["units"]) == ("groups", 6)


def test_the_pattern_of_a_run_is_remembered(run: Path, tmp_path: Path) -> None:
    data = run.parent / "data"
    done = resnet("eval", run, data, "--out", tmp_path / "eval", "--json")
    spans = done.document["intervals"]
    assert (spans["over"], spans["units"]) == ("groups", 6)
    (done,) = [load(run).evaluate(data, "val")]
    assert done.intervals["units"] == 4
    again = resnet("eval", run, data, "--out", tmp_path / "eval")
    refused(again, 2, "eval holds an evaluation already", "name another folder with --out")
    others = tmp_path / "others"
    for name in ("cat", "dog"):
        noise(others / name / "unnamed.png", len(name))
    assert load(run).evaluate(others).intervals["over"] == "pictures"  # remembered, not asked for
    with pytest.raises(DataError, match=r"the group pattern .* is not in") as error:
        load(run).evaluate(others, group_pattern=PATTERN)
    assert error.value.fix


@pytest.fixture(scope="module")
def plain_run(run: Path) -> Path:
    """The same network, that knows no groups."""
    model = load(run)
    about = {name: value for name, value in model.card.run.items() if not name.startswith("group_")}
    card = dataclasses.replace(model.card, run=about)
    out = run.parent / "plain.safetensors"
    modelfile.save(out, model.model.state_dict(), card)
    return out


def test_evaluation_is_asked_for_groups(plain_run: Path, tmp_path: Path) -> None:
    model, data = load(plain_run), plain_run.parent / "data"
    assert model.evaluate(data).intervals["over"] == "pictures"
    assert model.evaluate(data, group_pattern=PATTERN).intervals["units"] == 6
    file = listed(tmp_path / "list", PARTS)
    assert model.evaluate(file, columns=Columns(group="patient")).intervals["units"] == 6
    said = resnet("eval", plain_run, file, "--group-column", "patient", "--out", tmp_path / "eval", "--json")
    assert said.document["intervals"]["units"] == 6
    said = resnet("eval", plain_run, data, "--group-pattern", PATTERN, "--out", tmp_path / "again", "--json")
    assert said.document["intervals"]["units"] == 6
    shutil.copytree(data / "test", tmp_path / "alone" / "test")
    coarse = model.evaluate(tmp_path / "alone", group_pattern=r"p\d")  # of 20 pictures and more
    assert [(one.name, one.n) for one in coarse.slices() if one.kind == "group"] == [("p1", 48)]
    refused(resnet("eval", plain_run, file, "--group-column", "patiend"), 3, "no column patiend; did you mean patient")
    refused(resnet("eval", plain_run, data, "--group-column", "patient"), 2, "is not a list")
    both = ("--group-column", "patient", "--group-pattern", PATTERN)
    refused(resnet("eval", plain_run, file, *both), 2, "both say what belongs together")
    refused(resnet("eval", plain_run, data, "--group-pattern", "none"), 2, "--group-pattern none would have no effect")
    refused(resnet("eval", plain_run, data, "--group-pattern", "("), 2, "no regular expression")
    parted = photos(tmp_path / "parted", {"train": range(4), "test": range(3, 6)})
    with pytest.raises(DataError, match="1 group is in train and in test: p3"):
        model.evaluate(parted, group_pattern=PATTERN)
    with pytest.raises(UsageError, match="group_pattern is 3"):
        model.evaluate(data, group_pattern=3)  # type: ignore[arg-type]


def test_a_column_is_remembered_and_gives_way(tmp_path: Path) -> None:
    """Other groups may be asked for, and the validation part is still the one that was held out."""
    patients = {"train": range(12)}
    file = listed(tmp_path / "list", patients)
    lines = [line.split(",") for line in file.read_text().splitlines()]
    file.write_text("\n".join(f"{a},{b},{d},{e}" for a, b, _, d, e in lines) + "\n")
    resnetkit.train(file, group_column="patient", val_share=0.3, out=str(tmp_path / "run"), **SHORT)
    model = load(tmp_path / "run")
    own = model.evaluate(file, "val")
    assert own.intervals["over"] == "groups"
    other = model.evaluate(file, "val", columns=Columns(group="camera"))
    assert other.names == own.names
    assert other.intervals["units"] == 2
    by_name = model.evaluate(file, "val", group_pattern=r"_\d")
    assert (by_name.names, by_name.intervals["units"]) == (own.names, 2)
    assert model.evaluate(file, "val", columns=Columns(image="path")).intervals == own.intervals
    bare = tmp_path / "list" / "bare.csv"
    bare.write_text("path,label,split\ntrain/cat/p1_0.png,cat,test\ntrain/dog/p1_0.png,dog,test\n")
    assert model.evaluate(bare).intervals["over"] == "pictures"
    with pytest.raises(DataError, match="has no column patient"):
        model.evaluate(bare, columns=Columns(group="patient"))


def test_groups_that_are_only_remembered_are_not_parted_either(run: Path, tmp_path: Path) -> None:
    parted = photos(tmp_path / "parted", {"train": range(4), "test": range(2, 6)})
    says = "2 groups are in train and in test: p2, p3"
    with pytest.raises(DataError, match=says):
        load(run).evaluate(parted)
    with pytest.raises(DataError, match=says):
        resnetkit.compare(run, run, parted)
    file = listed(tmp_path / "list", {"train": range(4), "test": range(2, 6)})
    model = load(run)
    model.card = dataclasses.replace(
        model.card, run=model.card.run | {"group_pattern": None, "group_column": "patient"}
    )
    with pytest.raises(DataError, match=says):
        model.evaluate(file)
    assert model.evaluate(file, columns=Columns(group="camera")).intervals["units"] == 2


def test_groups_of_a_model_of_numbers_are_refused(plain_run: Path) -> None:
    model = load(plain_run)
    model.card = dataclasses.replace(model.card, task="numbers", temperature=1.0, scale=((0.0, 1.0),) * 2)
    file = plain_run.parent / "numbers.csv"
    file.write_text("path,cat,dog,split\ndata/test/cat/p12_0.png,1.5,2.5,test\n")
    with pytest.raises(UsageError, match="groups would have no effect"):
        model.evaluate(file, columns=Columns(label="cat,dog"), group_pattern=PATTERN)


def test_big_groups_that_hold_out_much_are_a_note(tmp_path: Path) -> None:
    data = photos(tmp_path / "data", {"train": range(3)}, each=8)
    job = prepare(Run(data=str(data), group_pattern=PATTERN, **SHORT), frozenset())
    assert [note for note in job.notes if "validate" in note] == [
        "groups are never parted, of which there are 3: 16 of 48 pictures validate (33.3%), where 10% were asked for"
    ]
    many = photos(tmp_path / "many", {"train": range(20)})
    job = prepare(Run(data=str(many), group_pattern=PATTERN, **SHORT), frozenset())
    assert not [note for note in job.notes if "validate" in note]


def test_grouped_gives_every_part_its_groups(tmp_path: Path) -> None:
    source = grouped(open_source(photos(tmp_path, PARTS)), PATTERN)
    assert {name: len(set(part.groups or ())) for name, part in source.parts.items()} == {
        "train": 8,
        "val": 4,
        "test": 6,
    }


# Two models


def evaluation(right: list[bool], groups: list[str] | None = None) -> Evaluation:
    """Of pictures of a cat, called a dog where they are wrong."""
    logits = np.array([[2, 0] if one else [0, 2] for one in right], np.float32)
    n, labels = len(right), np.zeros(len(right), np.int64)
    names = tuple(f"{i}.png" for i in range(n))
    answers = Answers(np.arange(n), logits, labels, [])
    return Evaluation("test", ("cat", "dog"), names, labels, answers, groups=None if groups is None else tuple(groups))


def test_whoever_knows_the_groups_both_are_judged_by_them() -> None:
    """One camera in six on which one of the two fails proves little, whichever comes first."""
    cameras = [f"camera {i // 100}" for i in range(600)]
    good, bad = [True] * 600, [i >= 100 for i in range(600)]
    one = Comparison(evaluation(good, cameras), evaluation(bad))
    other = Comparison(evaluation(bad), evaluation(good, cameras))
    assert one.better is other.better is None
    for found in (one, other):
        said = found.as_dict()
        assert (said["over"], said["units"], said["mcnemar_p"], said["verdict"]) == ("groups", 6, None, "unclear")
        assert all(row["p"] is None for row in said["classes"])
        assert "; p " not in found.headline()
        assert "cannot be told apart on so few groups" in found.headline()
        assert found.notes == []


def test_of_two_groupings_the_coarser_one_judges() -> None:
    few, many = [f"{i // 100}" for i in range(600)], [f"{i // 2}" for i in range(600)]
    good, bad = [True] * 600, [i >= 100 for i in range(600)]
    one = Comparison(evaluation(good, few), evaluation(bad, many))
    other = Comparison(evaluation(bad, many), evaluation(good, few))
    assert (one.units, other.units) == (6, 6)
    assert (one.verdict, other.verdict) == ("unclear", "unclear")
    assert one.notes == ["the two know different groups (A 6, B 300): both are judged by the coarser ones, those of A"]
    assert other.notes[0].endswith("those of B")
    same = Comparison(evaluation(good, few), evaluation(bad, [f"camera {name}" for name in few]))
    assert same.notes == []
    shifted = [f"{(i + 50) // 100 % 6}" for i in range(600)]
    assert (coarser(few, shifted), coarser(shifted, few)) in (("a", "b"), ("b", "a"))


def test_equal_is_said_only_where_it_is_known() -> None:
    def called(right: list[bool], other: list[bool]) -> tuple[str, str]:
        found = Comparison(evaluation(right), evaluation(other))
        return found.verdict, found.headline().partition(";")[0]

    unclear = ("unclear", "cannot be told apart on so few pictures")
    equal = ("equal", f"as good as equal: less than {100 * CLOSE:g} points apart")
    assert called([True], [True]) == unclear
    assert called([True] * 12, [True] * 12) == unclear
    assert called([True] * 9 + [False] * 3, [True] * 8 + [False] * 3 + [True]) == unclear
    assert called([True] * 1000, [True] * 1000) == equal
    part = [i % 100 != 0 for i in range(5000)]
    assert called(part, [*part[1:], part[0]]) == equal
    assert called([True] * 200, [True] * 150 + [False] * 50) == ("a", "A is better")
    assert verdict(Pairs(0, 1, 1, 0), None, 1, grouped=True) == "unclear"


def test_compare_takes_and_remembers_groups(run: Path, plain_run: Path, tmp_path: Path) -> None:
    data = run.parent / "data"
    for a, b in ((run, plain_run), (plain_run, run)):
        found = resnetkit.compare(a, b, data)
        assert (found.as_dict()["over"], found.units) == ("groups", 6)
    assert resnetkit.compare(plain_run, plain_run, data).as_dict()["over"] == "pictures"
    assert resnetkit.compare(plain_run, plain_run, data, group_pattern=PATTERN).units == 6
    done = resnet("compare", plain_run, plain_run, data, "--group-pattern", PATTERN)
    assert done.code == 0, done.err
    assert " in 6 groups of test" in done.out
    assert "p " not in done.out.splitlines()[-1].rpartition("groups of test")[2]
    file = listed(tmp_path / "list", PARTS)
    done = resnet("compare", plain_run, plain_run, file, "--group-column", "camera", "--json")
    assert (done.document["over"], done.document["units"]) == ("groups", 2)


# A model or its path, and what is neither


def test_a_model_or_its_path(run: Path, tmp_path: Path) -> None:
    model, data = load(run), run.parent / "data"
    assert resnetkit.embed(run, data).names == resnetkit.embed(model, data).names
    paths = sorted((data / "test").rglob("*.png"))[:8]
    lines = [f"{paths[i]},{paths[j]},{int(i < 4)}" for i, j in ((0, 1), (2, 3), (4, 5), (6, 7))]
    shutil.copy(paths[0], tmp_path)
    (tmp_path / "pairs.csv").write_text("\n".join(["first,second,same", *lines[:2], *lines[2:]]) + "\n")
    assert resnetkit.verify(str(run), tmp_path / "pairs.csv").auc == resnetkit.verify(model, tmp_path / "pairs.csv").auc


def wrong(model: Classifier, data: Path) -> Any:
    picture = next((data / "test").rglob("*.png"))
    yield lambda: resnetkit.check(data, workers="a"), "workers is 'a'"  # type: ignore[arg-type]
    yield lambda: resnetkit.check(data, model=3), "model is 3, which is no path"  # type: ignore[arg-type]
    yield lambda: resnetkit.check(None), "data is None, which is no path"  # type: ignore[arg-type]
    yield lambda: resnetkit.check(3), "data is 3, which is no path"  # type: ignore[arg-type]
    yield lambda: resnetkit.train(None), "data is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.load(None), "model is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.embed(None, data), "model is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.embed(model, None), "data is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.embed(model, data, workers=-1), "workers is -1"
    yield lambda: resnetkit.verify(model, None), "list of pairs is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.compare(model, None, data), "model is None"  # type: ignore[arg-type]
    yield lambda: resnetkit.compare(model, model, 3), "data is 3"  # type: ignore[arg-type]
    says = r"columns is 'site'; it takes a Columns \(from resnetkit.data.lists import Columns\)"
    yield lambda: resnetkit.compare(model, model, data, columns="site"), says  # type: ignore[arg-type]
    yield lambda: model.evaluate(data, columns="site"), says  # type: ignore[arg-type]
    yield lambda: resnetkit.embed(model, data, columns="site"), says  # type: ignore[arg-type]
    yield lambda: resnetkit.check(data, columns="site"), says  # type: ignore[arg-type]
    yield lambda: model.evaluate(None), "data is None"  # type: ignore[arg-type]
    yield lambda: model.explain(None), "picture is None"  # type: ignore[arg-type]
    yield lambda: model.explain([picture]), "picture is"  # type: ignore[arg-type]
    yield lambda: model.embed(None), "None is no picture"  # type: ignore[arg-type]
    yield lambda: model.embed([1, 2]), "picture is 1, which is no path"  # type: ignore[list-item]
    yield lambda: model.predict(None), "None is no picture"  # type: ignore[arg-type]
    yield lambda: model.predict(np.zeros((4, 4, 3), np.uint8)), "a picture is .*no path"
    yield lambda: model.predict(picture, workers="a"), "workers is 'a'"  # type: ignore[arg-type]


def test_what_is_neither_is_a_usage_error(run: Path) -> None:
    for ask, says in wrong(load(run), run.parent / "data"):
        with pytest.raises(UsageError, match=says) as error:
            ask()
        assert error.value.fix
