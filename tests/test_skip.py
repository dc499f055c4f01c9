"""Pictures that cannot be read are left out of a run where --on-bad skip says so, and all of them are listed."""

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import noise, picture, write_parquet, write_tar

from resnetkit import cli, modelfile
from resnetkit.api import load
from resnetkit.data.skipped import Skipped, read_skipped, write_skipped
from resnetkit.data.split import read_split
from resnetkit.data.survey import digest_of
from resnetkit.engine.step import Tick
from resnetkit.errors import DataError, KitError, UsageError
from resnetkit.job import prepare
from resnetkit.run import Run
from resnetkit.training import Note, resuming, training

QUICK: dict[str, Any] = {"model": "resnet20", "epochs": 2, "batch": 8, "device": "cpu", "seed": 3, "save_every": 0.0}
LOST = ["train/ants/02.jpg", "train/bees/03.jpg", "train/bees/05.jpg", "val/ants/00.png", "test/bees/03.jpg"]

Ran = tuple[Path, list[str]]  # a run's folder, and what it said


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("404: not found\n")


def packed(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "hello")


def nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("gone.jpg")


BREAK: list[tuple[Callable[[Path], None], str]] = [
    (half, "is damaged"),
    (empty, "is empty (0 bytes)"),
    (text, "is a text file"),
    (packed, "is an archive"),
    (nowhere, "is a link that leads nowhere"),
]


def photos(root: Path, *parts: str, each: int = 10, side: int = 16) -> Path:
    """As many pictures of ants and of bees in each part, JPEG but for the first, which is PNG."""
    for number, part in enumerate(parts or ("",)):
        for i in range(2 * each):
            name = f"{i // 2:02}.{'jpg' if i > 1 else 'png'}"
            noise(root / part / ("ants", "bees")[i % 2] / name, 100 * number + i, (side, side))
    return root


def parted(root: Path) -> Path:
    """Pictures in three parts, of which five cannot be read, each for another reason."""
    photos(root, "train", "val", "test")
    for name, (spoil, _) in zip(LOST, BREAK, strict=True):
        spoil(root / name)
    return root


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return parted(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run without the five, and what it said."""
    out = tmp_path_factory.mktemp("runs") / "run"
    events = list(training(Run(data=str(data), out=str(out), on_bad="skip", **QUICK)))
    return out, [event.text for event in events if isinstance(event, Note)]


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_where_nothing_is_bad_nothing_changes(tmp_path: Path) -> None:
    photos(tmp_path / "data")
    for on_bad in ("stop", "skip"):
        list(training(Run(data=str(tmp_path / "data"), out=str(tmp_path / on_bad), **(QUICK | {"on_bad": on_bad}))))
    for name in ("best.safetensors", "last.safetensors", "split.csv", "metrics.json", "results.csv", "predictions.csv"):
        assert (tmp_path / "stop" / name).read_bytes() == (tmp_path / "skip" / name).read_bytes(), name
    assert {path.name for path in (tmp_path / "stop").iterdir()} == {
        path.name for path in (tmp_path / "skip").iterdir()
    }
    for name in ("metrics.json", "status.json"):
        assert "skipped" not in json.loads((tmp_path / "skip" / name).read_bytes())
    settings = [json.loads((tmp_path / on_bad / "run.json").read_bytes())["settings"] for on_bad in ("stop", "skip")]
    assert {name for name in settings[0] if settings[0][name] != settings[1][name]} == {"on_bad", "out"}


def test_all_that_is_skipped_is_listed(run: Ran) -> None:
    out, notes = run
    assert notes[0].startswith("5 of 60 pictures cannot be read and are skipped: train/ants/02.jpg is damaged")
    assert notes[0].endswith("and 2 more; see skipped.csv")
    listed = rows(out / "skipped.csv")
    assert [f"{row['part']}/{row['path']}" for row in listed] == LOST
    assert [row["class"] for row in listed] == ["ants", "bees", "bees", "ants", "bees"]
    for row, name, (_, why) in zip(listed, LOST, BREAK, strict=True):
        assert row["why"].startswith(f"{name} {why}")
    assert [bool(row["digest"]) for row in listed] == [True, True, True, True, False]  # a link that leads nowhere
    assert listed[2]["digest"] == digest_of(b"404: not found\n")
    split = [f"{row.part}/{row.name}" for row in read_split(out / "split.csv")]
    assert len(split) == len(set(split)) == 55
    assert not set(split) & set(LOST)
    counts = {"train": 3, "val": 1, "test": 1}
    for name in ("metrics.json", "status.json"):
        assert json.loads((out / name).read_bytes())["skipped"] == counts
    card = modelfile.read_card(out / "best.safetensors")
    assert (card.data["pictures"], card.data["skipped"]) == ({"train": 17, "val": 19, "test": 19}, counts)
    begin = next(e for e in map(json.loads, (out / "journal.jsonl").read_text().splitlines()) if e["event"] == "begin")
    assert begin["lines"]["data"].endswith("bees; 5 cannot be read and are skipped")


def test_its_figures_are_those_of_eval(
    run: Ran, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same list of what could not be read, and the same row for it among the predictions."""
    out, _ = run
    metrics = json.loads((out / "metrics.json").read_bytes())
    assert metrics["errors"] == [{"path": "bees/03.jpg", "error": "test/bees/03.jpg is a link that leads nowhere"}]
    assert cli.main(["eval", str(out), str(data), "--json", "--out", str(tmp_path / "eval")]) == 3
    answered = json.loads(capsys.readouterr().out)
    answered.pop("slices", None)  # which a run does not have
    assert {name: metrics[name] for name in answered} == answered
    assert (tmp_path / "eval/predictions.csv").read_bytes() == (out / "predictions.csv").read_bytes()
    assert "test/bees/03.jpg is a link that leads nowhere" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "given",
    [{}, {"fold": "2/3"}, {"group_pattern": r"\d(?=\d\.)"}, {"seed": 9}],
    ids=["share", "fold", "group", "seed"],
)
def test_a_bad_file_moves_no_other_from_part_to_part(tmp_path: Path, given: dict[str, Any]) -> None:
    """So that a file that is mended later joins the part that it was in."""
    root = photos(tmp_path, each=30)
    settings: dict[str, Any] = {"data": str(root), "on_bad": "skip", "model": "resnet20", **given}
    before = prepare(Run(**settings), frozenset())
    lost = {"ants/03.jpg", "ants/04.jpg", "ants/21.jpg", "bees/00.png", "bees/07.jpg", "bees/28.jpg"}
    for name in lost:
        half(root / name)
    after = prepare(Run(**settings), frozenset())
    assert after.split == [row for row in before.split if row.name not in lost]
    was = {row.name: (row.part, row.label) for row in before.split}
    assert {(one.path, one.part, one.label) for one in after.skipped} == {(name, *was[name]) for name in lost}
    assert after.settings.classes == before.settings.classes
    assert after.settings.preprocess.size == (16, 16)  # as if none were bad, and not that of photographs


def test_what_is_known_of_the_pictures_is_of_those_that_can_be_read(tmp_path: Path) -> None:
    for i in range(40):
        picture(tmp_path / f"{('ants', 'bees')[i % 2]}/{i}.png", 5 * i, (16, 16))
    empty(tmp_path / "ants/0.png")  # the first of all
    half(tmp_path / "bees/21.png")
    run = Run(data=str(tmp_path), on_bad="skip", model="resnet20", hue=0.1)
    with pytest.raises(UsageError, match="--hue would have no effect: the pictures are grey"):
        prepare(run, frozenset({"hue"}))
    job = prepare(run, frozenset())
    assert (job.facts.uniform, job.facts.pictures, sum(job.facts.counts)) == ((16, 16), 34, 34)
    assert job.settings.batch == 8
    assert prepare(Run(data=str(tmp_path), on_bad="skip", model="resnet20", batch=64), frozenset()).settings.batch == 34


def listed(root: Path, task: str) -> Path:
    """A list of 24 pictures with tags or numbers, a folder and a file that is not there among them."""
    lines = ["image,label"]
    for i in range(24):
        noise(root / f"{i:02}.jpg", i, (16, 16))
        lines.append(f"{i:02}.jpg,{('red', 'red;round', 'round')[i % 3] if task == 'tags' else i / 2}")
    (root / "04.jpg").unlink()
    (root / "04.jpg").mkdir()
    (root / "09.jpg").unlink()
    half(root / "17.jpg")
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root / "list.csv"


@pytest.mark.parametrize("task", ["tags", "numbers"])
def test_lists_of_tags_and_numbers(tmp_path: Path, task: str) -> None:
    given: dict[str, Any] = {"data": str(listed(tmp_path / "data", task)), "task": task, **QUICK, "epochs": 1}
    with pytest.raises(DataError, match=r"3 pictures cannot be read: 04.jpg is a folder.* 09.jpg does not exist"):
        prepare(Run(**given), frozenset())
    list(training(Run(**given, on_bad="skip", out=str(tmp_path / "run"))))
    found = {row["path"]: row["why"] for row in rows(tmp_path / "run/skipped.csv")}
    assert sorted(found) == ["04.jpg", "09.jpg", "17.jpg"]
    assert found["04.jpg"] == "04.jpg is a folder, not a picture"
    metrics = json.loads((tmp_path / "run/metrics.json").read_bytes())
    again = load(tmp_path / "run").evaluate(given["data"], "val")
    assert (again.n + len(again.errors), sum(metrics["skipped"].values())) == (metrics["n"] + len(metrics["errors"]), 3)
    assert {name: metrics[name] for name in again.as_dict()} == again.as_dict()


def stored(colour: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(colour).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def tar_of(root: Path) -> Path:
    members = []
    for i in range(20):
        data = stored(i)[: 100 if i in (3, 8) else None]
        members += [(f"{i:02}.png", data), (f"{i:02}.cls", str(i % 2).encode())]
    return write_tar(root / "a.tar", members)


def table_of(root: Path) -> Path:
    whole = [(stored(i)[: 100 if i in (3, 8) else None], i % 2) for i in range(20)]
    return write_parquet(root / "train.parquet", whole, ["ants", "bees"])


@pytest.mark.parametrize("make", [tar_of, table_of])
def test_files_of_many_pictures(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError, match="2 pictures cannot be read") as caught:
        prepare(Run(data=str(path), model="resnet20"), frozenset())
    assert "--on-bad skip" in caught.value.fix
    assert "resnet check" not in caught.value.fix  # which lists files
    job = prepare(Run(data=str(path), model="resnet20", on_bad="skip"), frozenset({"on_bad"}))
    assert (len(job.skipped), len(job.split)) == (2, 18)
    assert sorted(one.path[-6:].strip("/0").removesuffix(".png") for one in job.skipped) == ["3", "8"]
    assert all(one.digest for one in job.skipped)


def test_bare_arrays_cannot_be_bad(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(20) % 2)
    run = Run(data=str(tmp_path / "a.npz"), on_bad="skip", model="resnet20")
    with pytest.raises(UsageError, match="--on-bad would have no effect: the data is bare arrays"):
        prepare(run, frozenset({"on_bad"}))


def test_nothing_left_of_a_class_or_a_part_is_an_error(tmp_path: Path) -> None:
    photos(tmp_path / "a", each=4)
    for path in (tmp_path / "a/bees").iterdir():
        half(path)
    with pytest.raises(DataError, match="none of the pictures of bees to train on can be read") as caught:
        prepare(Run(data=str(tmp_path / "a"), on_bad="skip"), frozenset())
    assert caught.value.fix == "mend them, add others, or take the class out of the data"
    photos(tmp_path / "b", "train", "val", each=4)
    for path in (tmp_path / "b/val").glob("*/*"):
        empty(path)
    with pytest.raises(DataError, match=r"none of the 8 pictures of val can be read: val/ants/00.png is empty"):
        prepare(Run(data=str(tmp_path / "b"), on_bad="skip"), frozenset())
    lines = ["image,label,part"]
    for i in range(10):
        noise(tmp_path / f"c/{i}.png", i)
        tags = "red;rare" if i == 3 else "red" if i % 2 else "blue"
        lines.append(f"{i}.png,{tags},{'val' if i > 7 else 'train'}")
    (tmp_path / "c/list.csv").write_text("\n".join(lines))
    half(tmp_path / "c/3.png")
    with pytest.raises(DataError, match="none of the pictures of rare to train on can be read") as caught:
        prepare(Run(data=str(tmp_path / "c/list.csv"), on_bad="skip", task="tags"), frozenset())
    assert "take the tag out" in caught.value.fix


def stopped(events: Any, step: int) -> None:
    """Leave a run at one of its steps."""
    with closing(events):
        next(event for event in events if isinstance(event, Tick) and event.step == step)


def test_a_run_that_goes_on_skips_the_same(run: Ran, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped(training(Run(data=str(data), out=str(out), on_bad="skip", **QUICK)), 4)
    list(resuming(out))
    for name in ("best.safetensors", "last.safetensors", "metrics.json", "predictions.csv", "split.csv", "skipped.csv"):
        assert (out / name).read_bytes() == (run[0] / name).read_bytes(), name


def mend(root: Path) -> None:
    noise(root / "train/bees/03.jpg", 7, (16, 16))


def spoil(root: Path) -> None:
    half(root / "test/ants/04.jpg")


def spoil_otherwise(root: Path) -> None:
    half(root / "train/ants/02.jpg")


def write_otherwise(root: Path) -> None:
    (root / "val/ants/00.png").write_bytes(b"PK no more")


def fill(root: Path) -> None:
    (root / "train/bees/03.jpg").write_text("404: not found\n")


def remove(root: Path) -> None:
    (root / "val/ants/00.png").unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (mend, "0 pictures gone, 0 new, 1 changed, 1 of them could not be read then: bees/03.jpg"),
        (spoil, "0 pictures gone, 0 new, 1 changed, 1 of them cannot be read any more: ants/04.jpg"),
        (spoil_otherwise, "0 pictures gone, 0 new, 1 changed: ants/02.jpg"),
        (write_otherwise, "0 pictures gone, 0 new, 1 changed: ants/00.png"),
        (fill, "0 pictures gone, 0 new, 1 changed: bees/03.jpg"),
        (remove, "1 picture gone, 0 new, 0 changed: ants/00.png"),
    ],
)
def test_a_run_does_not_go_on_where_a_file_broke_or_was_mended(
    run: Ran, data: Path, tmp_path: Path, change: Callable[[Path], None], says: str
) -> None:
    root, out = tmp_path / "photos", tmp_path / "run"
    shutil.copytree(data, root, symlinks=True)
    shutil.copytree(run[0], out)
    change(root)
    with pytest.raises(DataError, match=f"the data has changed since .* was begun: {says}") as caught:
        list(resuming(out, data=str(root)))
    assert "put the data back as it was" in caught.value.fix


def test_a_list_of_what_is_skipped_that_is_gone_or_damaged(run: Ran, tmp_path: Path) -> None:
    out = shutil.copytree(run[0], tmp_path / "run")
    content = (out / "skipped.csv").read_text()
    (out / "skipped.csv").write_text(content.replace("train,bees,bees/03.jpg,", "train,bees,"))
    with pytest.raises(DataError, match=r"skipped.csv: line 3 does not have 5 values"):
        list(resuming(out))
    (out / "skipped.csv").write_text(content.replace("train,bees,bees/03.jpg,", "train,bees,,"))
    with pytest.raises(DataError, match=r"skipped.csv: line 3 does not have 5 values"):
        list(resuming(out))
    (out / "skipped.csv").write_text(content.partition("\n")[2])
    with pytest.raises(DataError, match=r"skipped.csv: line 1 is not part,class,path,why,digest"):
        list(resuming(out))
    (out / "skipped.csv").unlink()
    with pytest.raises(DataError, match="0 pictures gone, 5 new, 0 changed"):
        list(resuming(out))


def test_any_name_comes_back_from_the_list(tmp_path: Path) -> None:
    one = Skipped("train", "=1+1", os.fsdecode(b"a\xff/b,\"'\n\\.jpg"), "-x is no picture, it says", "")
    write_skipped(tmp_path / "skipped.csv", [one])
    assert "'=1+1" in (tmp_path / "skipped.csv").read_text()
    assert read_skipped(tmp_path / "skipped.csv") == [one]


def test_a_file_that_breaks_during_training_stops_it(tmp_path: Path) -> None:
    """It is neither skipped nor replaced: pictures too large to be kept are read again at each step."""
    root, out = photos(tmp_path / "photos", side=70), tmp_path / "run"
    half(root / "bees/04.jpg")
    settings = QUICK | {"size": 16, "workers": 0, "epochs": 5}
    events = training(Run(data=str(root), out=str(out), on_bad="skip", **settings))
    next(event for event in events if isinstance(event, Tick))
    trained = [row.name for row in read_split(out / "split.csv") if row.part == "train"]
    empty(root / trained[0])
    with pytest.raises(DataError, match=f"{trained[0]} is empty"):
        list(events)
    status = json.loads((out / "status.json").read_bytes())
    assert (status["status"], status["exit_code"], sum(status["skipped"].values())) == ("failed", 3, 1)
    with pytest.raises(DataError, match="1 changed, 1 of them cannot be read any more"):
        list(resuming(out))


def test_what_stops_a_run_says_how_to_go_without(tmp_path: Path) -> None:
    root, out = photos(tmp_path / "photos"), tmp_path / "run"
    stopped(training(Run(data=str(root), out=str(out), **QUICK)), 2)
    half(root / "bees/04.jpg")
    with pytest.raises(DataError, match="one picture cannot be read") as caught:
        prepare(Run(data=str(root)), frozenset())
    assert caught.value.fix.endswith("; or leave them out: --on-bad skip, or the list that resnet check --fix writes")
    text(root / "bees/05.jpg")
    with pytest.raises(DataError, match="2 pictures cannot be read") as caught:
        prepare(Run(data=str(root)), frozenset())
    assert "--on-bad skip" in caught.value.fix
    with pytest.raises(DataError, match="2 pictures cannot be read") as caught:
        list(resuming(out))  # whose settings are what they are
    assert caught.value.fix.endswith("; or begin a new run, with --on-bad skip")


def test_the_model_knows_its_validation_part_among_bad_files(tmp_path: Path) -> None:
    """Whether the bytes of a bad file can be had or not; a file that is mended makes it other data."""
    root, out = photos(tmp_path / "photos"), tmp_path / "run"
    for name, (spoil, _) in zip(("ants/01.jpg", "ants/02.jpg", "ants/03.jpg"), BREAK[::2], strict=True):
        spoil(root / name)
    list(training(Run(data=str(root), out=str(out), on_bad="skip", **QUICK)))
    metrics = json.loads((out / "metrics.json").read_bytes())
    evaluation = load(out).evaluate(root)
    assert (evaluation.split, evaluation.n, evaluation.accuracy) == ("val", metrics["n"], metrics["accuracy"])
    noise(root / "ants/01.jpg", 55, (16, 16))
    mended = load(out).evaluate(root)
    assert (mended.split, mended.n) == ("test", 1)


@pytest.mark.parametrize("mode", ["head", "stages"])
def test_fine_tuning(run: Ran, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    more = {} if mode == "head" else {"epochs": 1, "batch": 8}
    given: dict[str, Any] = {"weights": str(run[0]), "finetune": mode, "views": 1, "device": "cpu", **more}
    list(training(Run(data=str(data), out=str(tmp_path / "skip"), on_bad="skip", **given)))
    clean = shutil.copytree(data, tmp_path / "clean", symlinks=True)
    for name in LOST:
        (clean / name).unlink()
    list(training(Run(data=str(clean), out=str(tmp_path / "stop"), **given)))
    for name in ("results.csv", "split.csv"):  # as if the bad ones had never been there
        assert (tmp_path / "skip" / name).read_bytes() == (tmp_path / "stop" / name).read_bytes()
    states = [modelfile.load(tmp_path / on_bad / "best.safetensors")[1] for on_bad in ("skip", "stop")]
    assert all((states[0][name] == states[1][name]).all() for name in states[1])
    assert len(rows(tmp_path / "skip/skipped.csv")) == 5


def test_a_sweep_of_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = photos(tmp_path / "photos")
    half(root / "bees/04.jpg")
    words = ["sweep", str(root), "--folds", "2", "--steps", "2", "--batch", "8", "--model", "resnet20", "--out"]
    assert cli.main([*words, str(tmp_path / "stop")]) == 3
    assert "--on-bad skip" in capsys.readouterr().err
    assert cli.main([*words, str(tmp_path / "skip"), "--on-bad", "skip"]) == 0
    assert capsys.readouterr().err.count("note: one of 20 pictures cannot be read and is skipped: bees/04.jpg") == 2
    held = []
    for fold in ("0", "1"):
        (one,) = rows(tmp_path / "skip" / fold / "skipped.csv")
        assert one["path"] == "bees/04.jpg"
        held.append(one["part"])
        assert len(read_split(tmp_path / "skip" / fold / "split.csv")) == 19
    assert sorted(held) == ["train", "val"]


def test_the_rehearsal_and_the_search_for_a_rate_say_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", str(data), "--model", "resnet20", "--steps", "2", "--on-bad", "skip", "--dry-run"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "5 cannot be read and are skipped" in out
    assert "note: 5 of 60 pictures cannot be read and are skipped: " in out
    told = [line.split(": ")[1] for line in out.splitlines() if line.startswith("not read: ")]
    assert told == [name.partition("/")[2] for name in LOST]
    assert cli.main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [f"{one['part']}/{one['path']}" for one in said["skipped"]] == LOST
    assert said["resolved"]["pictures"] == {"train": 17, "val": 19, "test": 19}
    assert any("5 of 60" in note for note in said["notes"])
    cli.main(["lr", str(data), "--model", "resnet20", "--on-bad", "skip", "--device", "cpu"])  # noise has no rate
    assert "note: 5 of 60 pictures cannot be read and are skipped: " in capsys.readouterr().err


def test_words_of_other_tools_and_wrong_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KitError, match="on_bad is 'ignore'; it takes one of stop, skip"):
        Run(on_bad="ignore")  # type: ignore[arg-type]
    assert cli.main(["train", str(tmp_path), "--skip-corrupt"]) == 2
    assert "--on-bad" in capsys.readouterr().err
