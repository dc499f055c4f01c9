"""Published weights: the table, how a file is had and checked, and what runs and networks begin from."""

import dataclasses
import hashlib
import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rows as source
import torch
from command import refused, resnet
from safetensors.torch import save_file
from samples import folder
from serving import Server

from resnetkit import (
    api,
    caching,
    cli,
    create_model,
    download,
    job,
    modelfile,
    pretrained,
    published,
    runfile,
    sweep,
    trials,
)
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import KitError, ResourceError, UsageError, WeightsError
from resnetkit.published import File, Row
from resnetkit.recipes import RECIPES
from resnetkit.run import Run, override
from resnetkit.training import Note, resuming, training
from resnetkit.zoo import ZOO

TV = ("torchvision/resnet20.imagenet1k_v1", "torchvision/resnet20.imagenet1k_v2")
TIMM, LOOSE = "timm/resnet20.a1_in1k", "timm/resnet20.b1_in1k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB_FILE = f"/timm/resnet20.a1_in1k/resolve/{COMMIT}/model.safetensors"
LOOSE_FILE = "/timm/resnet20.b1_in1k/resolve/main/model.safetensors"


# The table


def test_the_table_is_what_torchvision_and_timm_say() -> None:
    """All but the accuracies of timm's, which its package does not bring."""
    measured = ("top1", "top5", "measured_at")
    ours = {row["name"]: row for row in json.loads(source.TARGET.read_text(encoding="utf-8"))}
    theirs = {row["name"]: row for row in json.loads(json.dumps([*source.vision_rows(), *source.timm_rows([])]))}
    assert list(ours) == sorted(theirs)
    for name, row in theirs.items():
        if name.startswith("timm/"):
            row |= {key: ours[name][key] for key in measured}
        assert ours[name] == row


def test_nothing_in_the_table_contradicts_itself() -> None:
    assert len({row.name for row in published.rows()}) == len(published.rows()) > 180
    for row in published.rows():
        assert row.name.startswith(published.SOURCES)
        Preprocess.from_json(
            {"size": [row.size] * 2, "resize": "crop", "crop": row.crop, "interpolation": row.interpolation}
            | {"mean": list(row.mean), "std": list(row.std), "channels": 3}
        )
        for file in row.files:
            assert bool(file.hub) != bool(file.url)
            assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.revision is None or re.fullmatch(r"[0-9a-f]{40}", file.revision)
            assert file.digits is None or f"-{file.digits}" in file.name
            assert (file.sha256 or "").startswith(file.digits or "") or not file.sha256
            assert not (file.bytes and file.mib) or abs(file.bytes / 2**20 - file.mib) < 0.001
        assert row.checked == (row.check == "its SHA-256")


def test_what_may_be_taken_unasked() -> None:
    names = [row.name for row in published.candidates("resnet50")]
    assert names[:2] == ["torchvision/resnet50.imagenet1k_v2", "timm/resnet50.a1_in1k"]
    assert not any("fb_s" in name for name in names), "their licence bars some uses"
    assert "timm/resnet34.ra4_e3600_r224_in1k" in {row.name for row in published.rows()}
    assert "timm/resnet34.ra4_e3600_r224_in1k" not in {row.name for row in published.candidates("resnet34")}
    for name in ZOO:
        if name.endswith("_cifar") or ZOO[name].size == 32:
            assert published.candidates(name) == []


@pytest.mark.parametrize(
    ("text", "row", "revision", "sha256"),
    [
        ("torchvision/resnet50", "torchvision/resnet50.imagenet1k_v2", None, "11ad3fa62ca7"),
        ("torchvision/resnet18", "torchvision/resnet18.imagenet1k_v1", None, "f37072fd47e8"),
        ("timm/resnet18", "timm/resnet18.a1_in1k", "491b427b45c94c7fb0e78b5474cc919aff584bbf", "80c49dee3da4"),
        (f"timm/resnet18.a1_in1k@{COMMIT}", "timm/resnet18.a1_in1k", COMMIT, ""),
        (f"timm/resnet18.a1_in1k@{'d63eafa0' + '1' * 56}", "timm/resnet18.a1_in1k", None, "d63eafa01111"),
        (f"timm/resnet18.a1_in1k@{'2' * 64}", "timm/resnet18.a1_in1k", None, "222222222222"),
        (f"timm/resnet18.a1_in1k@{COMMIT}@{'3' * 64}", "timm/resnet18.a1_in1k", COMMIT, "333333333333"),
        ("timm/resnet34.a1_in1k", "timm/resnet34.a1_in1k", None, "46f8f793"),
    ],
)
def test_names_and_pins(text: str, row: str, revision: str | None, sha256: str) -> None:
    wanted = published.want(text)
    assert (wanted.row.name, wanted.revision, wanted.sha256[:12]) == (row, revision, sha256)
    assert not wanted.moving


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timm/resnet50.a1_in2k", "did you mean timm/resnet50.a1_in1k"),
        ("timm/resnext50_32x4d_nothing.x", "there are no published weights called"),
        ("timm/resnet50.a1_in1k@main", "main is no pin"),
        ("timm/resnet50.a1_in1k@", "nothing is no pin"),
        (f"torchvision/resnet50@{COMMIT}", "has a fixed address, and no commits"),
        (f"torchvision/resnet50@{'0' * 64}", "is a file with another SHA-256"),
        ("timm/resnet34.ra4_e3600_r224_in1k", "may be another file tomorrow"),
    ],
)
def test_names_that_mean_no_file(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        asked_for(text)
    assert caught.value.fix


def asked_for(text: str) -> None:
    published.want(text)
    published.refuse_idle_unpinned(text, False)


# Getting them


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of weights by what their address ends with; each of other bytes."""
    root, made = tmp_path_factory.mktemp("made"), {}
    for seed, name in enumerate((TV[0], TV[1], HUB_FILE, LOOSE_FILE)):
        torch.manual_seed(seed)
        state = create_model("resnet20", num_classes=7).state_dict()
        if "/resolve/" in name:
            save_file(state, root / "file")
        else:
            torch.save(state, root / "file")
        made[name] = (root / "file").read_bytes()
    return made


def sha(data: bytes | bytearray) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def table(made: dict[str, bytes], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Four rows for resnet20, served here: by all of the SHA-256, 8 digits of it, a commit, and nothing.

    Returns the SHA-256 of each file.
    """
    nothing = dict.fromkeys(("hub", "revision", "url", "digits", "sha256", "bytes", "mib"))
    usual: dict[str, Any] = {"network": "resnet20", "data": "ImageNet-1k", "classes": 7, "size": 32, "crop": 0.9}
    usual |= {"interpolation": "bicubic", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "licence": None}
    usual |= {"top5": None, "measured_at": 32}
    sums = {name: sha(data) for name, data in made.items()}
    about: dict[str, tuple[float, dict[str, Any]]] = {
        TV[0]: (60.0, {"sha256": sums[TV[0]], "bytes": len(made[TV[0]])}),
        TV[1]: (65.0, {"digits": sums[TV[1]][:8]}),
        TIMM: (62.0, {"hub": TIMM, "revision": COMMIT, "sha256": sums[HUB_FILE]}),
        LOOSE: (70.0, {"hub": LOOSE}),
    }
    for name in TV:
        address = f"https://download.example/models/{name[-2:]}-{sums[name][:8]}.pth"
        about[name][1]["url"] = address
        server.files[f"/weights/{name}/{address.rpartition('/')[2]}"] = made[name]
    server.files |= {HUB_FILE: made[HUB_FILE], LOOSE_FILE: made[LOOSE_FILE]}
    found = tuple(
        Row(name=name, top1=top1, files=(File(**{**nothing, **file}),), **usual) for name, (top1, file) in about.items()
    )
    monkeypatch.setattr(published, "rows", lambda: found)
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RESNETKIT_MIRROR", server.url)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    return {TV[0]: sums[TV[0]], TV[1]: sums[TV[1]], TIMM: sums[HUB_FILE], LOOSE: sums[LOOSE_FILE]}


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes every call and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def away(monkeypatch: pytest.MonkeyPatch, address: str = "http://127.0.0.1:9") -> None:
    """From now on there is no network."""
    for name in ("RESNETKIT_MIRROR", "HF_ENDPOINT"):
        monkeypatch.setenv(name, address)


def test_a_file_is_fetched_once_and_checked(
    table: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, int, int]] = []
    for name, words in ((TV[0], "checked by its SHA-256"), (TV[1], "by the first 8 digits"), (TIMM, "by its SHA-256")):
        got = pretrained.obtain(published.want(name), lambda *news: heard.append(news))
        assert (got.sha256, sha(got.path.read_bytes())) == (table[name], table[name])
        assert got.name == f"{name}{f'@{COMMIT}' if name == TIMM else ''}@{table[name]}"
        assert words in got.said
    assert server.asked[-1][0] == HUB_FILE
    assert heard
    away(monkeypatch)
    for name in (*TV, TIMM):
        assert pretrained.obtain(published.want(name)).path.is_file()
        assert pretrained.obtain(published.want(f"{name}@{table[name]}")).sha256 == table[name]


@pytest.mark.parametrize("name", [TV[0], TV[1], TIMM])
def test_a_byte_that_flipped_in_the_cache(table: dict[str, str], name: str) -> None:
    wanted = published.want(name)
    path = pretrained.obtain(wanted).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"{path} has the SHA-256 {sha(data)}, and {wanted.sha256}.* is expected"):
        pretrained.obtain(wanted)
    assert not path.exists()
    assert (pretrained.folder(wanted.row) / "quarantine" / path.name).read_bytes() == data
    assert pretrained.obtain(wanted).sha256 == table[name], "the next time it is fetched anew"


def test_a_server_that_sends_another_file(table: dict[str, str], server: Server) -> None:
    server.files = {path: data[:-9] + bytes(9) for path, data in server.files.items()}
    for name in (*TV, TIMM):
        with pytest.raises(WeightsError, match="is another file: http"):
            pretrained.obtain(published.want(name))
    away_to = list((caching.cache_folder() / "weights").rglob("quarantine/*"))
    assert len(away_to) == 3
    assert table


def test_a_moving_name_is_refused_or_said(
    table: dict[str, str], server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "digits", "--model", "resnet20", "--weights", LOOSE]) == 2
    assert f"fix: pin a commit: {LOOSE}@COMMIT" in capsys.readouterr().err
    got = pretrained.obtain(published.want(LOOSE))
    assert f"unchecked: it has the SHA-256 {table[LOOSE]}" in got.said
    server.files[LOOSE_FILE] = b"moved on"
    stale = pretrained.place(published.want(LOOSE))  # left by a process that was killed
    stale.write_bytes(b"of yesterday")
    assert pretrained.obtain(published.want(LOOSE)).sha256 == sha(b"moved on"), "it is asked anew each time"
    away(monkeypatch)
    assert pretrained.obtain(published.want(f"{LOOSE}@{table[LOOSE]}")).path == got.path
    assert cli.main(["weights", "resnet20"]) == 0
    assert next(line for line in capsys.readouterr().out.splitlines() if LOOSE in line).split()[-2] == "unchecked"


def test_a_commit_of_the_hub_is_asked_for(table: dict[str, str], server: Server, made: dict[str, bytes]) -> None:
    commit = "f" * 40
    server.files[f"/{LOOSE}/resolve/{commit}/model.safetensors"] = made[TV[0]]
    got = pretrained.obtain(published.want(f"{LOOSE}@{commit}"))
    assert got.name == f"{LOOSE}@{commit}@{table[TV[0]]}"
    with pytest.raises(WeightsError, match="is another file"):
        pretrained.obtain(published.want(f"{LOOSE}@{commit}@{'0' * 64}"))


@pytest.mark.parametrize("name", [TV[0], TIMM])
def test_without_a_network_it_is_said_what_to_put_where(
    table: dict[str, str], name: str, made: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    away(monkeypatch)
    began = time.monotonic()
    with pytest.raises(ResourceError, match=f"{name} is not at hand: http://127.0.0.1:9.*refused") as caught:
        pretrained.obtain(published.want(name))
    assert time.monotonic() - began < 30
    path = pretrained.place(published.want(name))
    for words in (f"put this file there as {path}", table[name], pretrained.address(published.want(name))):
        assert words in caught.value.fix
    path.parent.mkdir(parents=True)
    path.write_bytes(made[HUB_FILE if name == TIMM else name])
    assert pretrained.obtain(published.want(name)).path == path


def test_a_server_that_never_answers(table: dict[str, str], silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pretrained.PATIENCE < 30
    away(monkeypatch, silent)
    for seconds, asked in ((3.0, lambda: pretrained.automatic("resnet20")), (3.0, create_anew)):
        began = time.monotonic()
        asked()
        assert time.monotonic() - began < seconds + 0.9
    began = time.monotonic()
    with pytest.raises(ResourceError, match=r"not at hand: http.*(timed out|no answer within 0.5 seconds)"):
        pretrained.obtain(published.want(TV[0]), patience=0.5)
    assert time.monotonic() - began < 2
    assert table


def create_anew() -> None:
    with pytest.raises(ResourceError, match=r"resnet20: torchvision.* is not at hand"):
        create_model("resnet20", pretrained=True)


def test_offline_no_server_is_asked(table: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETKIT_OFFLINE", "1")
    asked: list[str] = []

    def note() -> None:
        asked.append("somebody")

    monkeypatch.setattr(download, "opener", note)
    with pytest.raises(ResourceError, match="RESNETKIT_OFFLINE is set"):
        pretrained.obtain(published.want(TV[0]))
    assert "RESNETKIT_OFFLINE" in pretrained.automatic("resnet20")[1]
    assert asked == []
    assert table


def test_a_cache_that_cannot_be_used(table: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match=f"{tmp_path / 'file'}"):
        pretrained.obtain(published.want(TV[0]))
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    wanted = published.want(TV[0])
    path = pretrained.obtain(wanted).path

    def refuse(place: Path) -> str:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(pretrained, "digest", refuse)  # as where another user's file may not be read
    with pytest.raises(ResourceError, match=f"{path} cannot be read: Permission denied"):
        pretrained.obtain(wanted)
    assert table


def test_the_best_that_can_be_had_is_taken(table: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    got, _ = pretrained.automatic("resnet20")
    assert got is not None
    assert got.wanted.row.name == TV[1], "the better one cannot be checked"
    shutil.rmtree(pretrained.folder(got.wanted.row))
    pretrained.obtain(published.want(TIMM))
    away(monkeypatch)
    got, _ = pretrained.automatic("resnet20")
    assert got is not None
    assert got.wanted.row.name == TIMM, "without a network, what is there"
    assert pretrained.automatic("resnet32") == (None, "no published weights of resnet32 can be checked here")
    assert table


# Runs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures of several sizes, so that their size is the network's."""
    names = [f"{'ab'[i % 2]}/{i}.png" for i in range(12)]
    folder(tmp_path / "photos", *names)
    return tmp_path / "photos"


def run_of(photos: Path, out: Path, **more: Any) -> Run:
    settings = {"model": "resnet20", "steps": 2, "batch": 4, "workers": 0, "save_every": 0.0, "precision": "fp32"}
    return override(Run(data=str(photos), out=str(out)), {**settings, **more})


def done(run: Run, given: frozenset[str] = frozenset()) -> list[str]:
    return [event.text for event in training(run, given) if isinstance(event, Note)]


def test_a_run_begins_from_the_best_and_can_be_repeated(
    table: dict[str, str], server: Server, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = done(run_of(photos, tmp_path / "run"))
    said = [note for note in notes if TV[1] in note]
    assert len(said) == 1
    assert re.search(
        r"65% on ImageNet-1k, licence not said; checked by the first 8 digits.*fc.bias begun afresh", said[0]
    )
    run, given = runfile.read_file(tmp_path / "run/run.json")
    assert run.weights == f"{TV[1]}@{table[TV[1]]}"
    assert not given
    asked, card = len(server.asked), job.prepare(run_of(photos, tmp_path / "x"), frozenset()).card
    assert len(server.asked) == asked, "the cache has it"
    shown = card.preprocess
    assert (shown.mean, shown.std, shown.interpolation) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "bicubic")
    whole = (tmp_path / "run/last.safetensors").read_bytes()

    events = training(run_of(photos, tmp_path / "cut"))
    for event in events:
        if getattr(event, "step", 0) == 1:
            break
    events.close()
    away(monkeypatch)
    shutil.rmtree(tmp_path / "cache")
    assert list(resuming(tmp_path / "cut"))
    assert (tmp_path / "cut/last.safetensors").read_bytes() == whole, "resume needs neither network nor cache"

    with pytest.raises(ResourceError, match="is not at hand"):
        done(override(run, {"out": str(tmp_path / "again")}), given)
    for name in ("RESNETKIT_MIRROR", "HF_ENDPOINT"):
        monkeypatch.setenv(name, server.url)
    rows = published.rows()
    better = dataclasses.replace(rows[0], name="torchvision/resnet20.imagenet1k_v9", top1=99.0)
    monkeypatch.setattr(published, "rows", lambda: (better, *rows))
    done(override(run, {"out": str(tmp_path / "again")}), given)
    assert (tmp_path / "again/last.safetensors").read_bytes() == whole


def test_without_a_network_a_run_says_so_in_one_line_and_begins_from_nothing(
    table: dict[str, str], server: Server, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away(monkeypatch)
    notes = done(run_of(photos, tmp_path / "run"))
    assert [note for note in notes if "begins from nothing" in note and "\n" not in note] == [
        n for n in notes if "not at hand" in n
    ]
    run, given = runfile.read_file(tmp_path / "run/run.json")
    assert run.weights == "none"
    assert not (tmp_path / "run/start.safetensors").exists()
    assert len(done(run_of(photos, tmp_path / "none", weights="none"))) == len(notes) - 1
    assert (tmp_path / "run/last.safetensors").read_bytes() == (tmp_path / "none/last.safetensors").read_bytes()
    for name in ("RESNETKIT_MIRROR", "HF_ENDPOINT"):
        monkeypatch.setenv(name, server.url)
    done(override(run, {"out": str(tmp_path / "again")}), given)
    assert (tmp_path / "again/last.safetensors").read_bytes() == (tmp_path / "none/last.safetensors").read_bytes()
    assert server.asked == [], "what it began from is settled"
    assert table


def test_named_weights_of_a_run(table: dict[str, str], server: Server, photos: Path, tmp_path: Path) -> None:
    notes = done(run_of(photos, tmp_path / "run", weights=LOOSE, allow_unpinned=True), frozenset({"allow_unpinned"}))
    assert any(table[LOOSE] in note and "unchecked" in note for note in notes)
    run, given = runfile.read_file(tmp_path / "run/run.json")
    assert (run.weights, run.allow_unpinned, given) == (f"{LOOSE}@{table[LOOSE]}", False, frozenset())
    with pytest.raises(WeightsError, match=f"{TIMM} holds a resnet20, not a resnet32"):
        job.prepare(run_of(photos, tmp_path / "x", weights=TIMM, model="resnet32"), frozenset({"model"}))
    assert HUB_FILE not in [path for path, _ in server.asked], "it is known before it is fetched"
    for weights in (TIMM, "none", "auto", f"{LOOSE}@{COMMIT}", str(photos)):
        with pytest.raises(UsageError, match="--allow-unpinned would have no effect"):
            job.prepare(run_of(photos, tmp_path / "x", weights=weights, allow_unpinned=True), frozenset())


def test_who_asks_for_a_beginning_gets_it(table: dict[str, str], server: Server, photos: Path, tmp_path: Path) -> None:
    for settings in ({"init": "fan-in"}, {"zero_init": True}):
        prepared = job.prepare(run_of(photos, tmp_path / "x", **settings), frozenset(settings))
        assert prepared.settings.run.weights == "none"
        assert any("as its init asks" in note for note in prepared.notes)
    assert server.asked == []
    for recipe in RECIPES.values():
        assert recipe.changes["weights"] == "none"
    assert table


def test_networks_without_rows_ask_nobody(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNETKIT_OFFLINE", raising=False)
    monkeypatch.setattr(pretrained, "answering", lambda *_: pytest.fail("nobody is to be asked"))
    for model in ("resnet20", "resnet18_cifar", "plain20"):
        prepared = job.prepare(run_of(photos, tmp_path / "x", model=model), frozenset({"model"}))
        assert prepared.settings.run.weights == "none"
        assert not any("begins" in note for note in prepared.notes)


def test_the_trials_of_a_sweep_begin_alike(
    table: dict[str, str], server: Server, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network comes back between the first trial and the second."""
    run = run_of(photos, tmp_path / "unused")
    asked = sweep.Sweep(run=override(run, {"out": None}), given=frozenset(), axes={"lr": (0.1, 0.2)})
    mine: dict[str, str] = {}
    for trial in trials.trials_of(asked, tmp_path / "sweep"):
        monkeypatch.setenv("RESNETKIT_OFFLINE", "" if mine else "1")
        list(trials.attempt(asked, trial, tmp_path / "sweep"))
        mine[trial.folder.name] = runfile.read_file(trial.folder / "run.json")[0].weights
    assert set(mine.values()) == {"none"}
    assert server.asked == []
    assert table


# Networks


def test_a_network_with_published_weights(
    table: dict[str, str], made: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "v2").write_bytes(made[TV[1]])
    expected = torch.load(tmp_path / "v2", weights_only=True)
    for ours in (
        create_model("resnet20", pretrained=True),
        create_model("resnet20", weights="IMAGENET1K_V2"),
        create_model("resnet20", weights="DEFAULT"),
        create_model("resnet20", weights="torchvision/resnet20"),
    ):
        assert ours.num_classes == 7
        row = published.want(TV[1]).row if "/" in TV[1] else published.candidates("resnet20")[0]
        assert ours.pretrained_cfg["crop_pct"] == row.crop
        assert ours.pretrained_cfg["mean"] == row.mean
        assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())
    other = create_model("resnet20.a1_in1k", pretrained=True, num_classes=3, in_chans=1)
    assert (other.num_classes, other.in_chans) == (3, 1)
    assert not torch.equal(other.state_dict()["layer1.0.conv1.weight"], expected["layer1.0.conv1.weight"])
    assert create_model("resnet20", weights=LOOSE, allow_unpinned=True).num_classes == 7
    failures: list[tuple[type[KitError], str, dict[str, Any]]] = [
        (UsageError, "may be another file tomorrow", {"weights": LOOSE}),
        (UsageError, "no effect", {"weights": TIMM, "allow_unpinned": True}),
        (UsageError, "allow_unpinned is for", {"allow_unpinned": True}),
        (
            WeightsError,
            "no weights IMAGENET1K_V7 of resnet20; IMAGENET1K_V1, IMAGENET1K_V2",
            {"weights": "IMAGENET1K_V7"},
        ),
    ]
    for kind, said, settings in failures:
        with pytest.raises(kind, match=said):
            create_model("resnet20", **settings)
    with pytest.raises(WeightsError, match="are of resnet20, not of resnet32"):
        create_model("resnet32", weights=TIMM)
    with pytest.raises(WeightsError, match="no weights IMAGENET1K_V1 of resnet32; none of torchvision's"):
        create_model("resnet32", weights="IMAGENET1K_V1")
    with pytest.raises(WeightsError, match="no published weights of resnet32"):
        create_model("resnet32", pretrained=True)
    away(monkeypatch)
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(ResourceError):
        create_model("resnet20", pretrained=True)
    assert table


# The command


def test_the_rows_are_listed() -> None:
    table = resnet("weights", "resnet50").out.splitlines()
    assert table[0].split() == ["name", "preprocessing", "licence", "checked", "by", "top-1", "top-5"]
    line = next(line for line in table if line.startswith("timm/resnet50.a1_in1k"))
    assert re.search(r"224x224, crop 0.95, bicubic +apache-2.0 +its SHA-256 +80.38 +94.60", line)
    bare = next(line for line in table if line.startswith("timm/resnet50.bamboo"))
    assert re.search(r"not said +unchecked$", bare)
    document = {row["name"]: row for row in resnet("weights", "--json").document}
    assert document["timm/resnet50.bamboo"]["checked"] is False
    assert document["timm/resnet50.bamboo"]["files"][0]["revision"] is None
    assert document["torchvision/resnet34.imagenet1k_v1"]["checked"] is True
    assert {row["network"] for row in document.values()} <= ZOO.keys()
    refused(resnet("weights", "nothing-like-it"), 2, "no published weights")


def test_a_file_is_verified(table: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weights", TV[0], "--verify"]) == 5
    path = pretrained.place(published.want(TV[0]))
    assert f"is at hand as {path}" in capsys.readouterr().err
    pretrained.obtain(published.want(TV[0]))
    pretrained.obtain(published.want(TIMM))
    assert cli.main(["weights", TV[0], "--verify"]) == 0
    assert f"{path}: {TV[0]} (60% on ImageNet-1k, licence not said; checked by its SHA-256)" in capsys.readouterr().out
    assert cli.main(["weights", "--verify", "--json"]) == 0
    assert {row["sha256"] for row in json.loads(capsys.readouterr().out)} == {table[TV[0]], table[TIMM]}
    path.write_bytes(b"another")
    assert cli.main(["weights", "--verify"]) == 4
    said = capsys.readouterr().err
    for words in (str(path), sha(b"another"), table[TV[0]], "quarantine"):
        assert words in said


def test_published_weights_become_a_model_file(
    table: dict[str, str],
    made: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("v2").write_bytes(made[TV[1]])
    expected = torch.load("v2", weights_only=True)
    assert cli.main(["import", "torchvision/resnet20", "--out", "m.safetensors"]) == 0
    said, news = capsys.readouterr()
    counts = f"{len(expected)} tensors loaded, 0 missing, 0 unexpected, 0 mismatched"
    assert said.startswith(f"wrote m.safetensors: resnet20 for 7 classes; {counts} of {TV[1]} (65% on ImageNet-1k, ")
    assert "checked by the first 8 digits" in said
    assert "assumed: classes: the numbers 0 to 6; --classes names them" in news
    card, state = modelfile.load("m.safetensors")
    assert all(torch.equal(value, expected[name]) for name, value in state.items())
    seen = card.preprocess
    assert (card.model, card.classes, seen.size, seen.crop) == ("resnet20", tuple("0123456"), (32, 32), 0.9)
    assert (seen.mean, seen.std, seen.interpolation) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "bicubic")

    words = f"import {TIMM} --model resnet20 --out t.safetensors --classes a,b,c,d,e,f,g --size 40 --crop 1 --json"
    assert cli.main([*words.split(), "--mean", "0.1,0.1,0.1"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["source"] == f"{TIMM}@{COMMIT}@{table[TIMM]}"
    assert (len(answer["tensors"]["loaded"]), answer["assumed"]) == (len(expected), [])
    card = modelfile.read_card(Path("t.safetensors"))
    assert (card.classes, card.preprocess.size, card.preprocess.crop) == (tuple("abcdefg"), (40, 40), 1.0)
    assert (card.preprocess.mean, card.preprocess.std) == ((0.1,) * 3, (0.2, 0.25, 0.3))

    assert cli.main(["import", LOOSE, "--out", "l.safetensors", "--allow-unpinned"]) == 0
    assert f"unchecked: it has the SHA-256 {table[LOOSE]}" in capsys.readouterr().out
    away(monkeypatch)
    assert cli.main(["import", TV[1], "--out", "m.safetensors"]) == 0, "the cache has it"


def test_published_weights_that_become_no_model_file(
    table: dict[str, str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    away(monkeypatch)
    for words, code, says in (
        (f"import {TIMM}", 2, "resnet import needs --out"),
        (f"import {TIMM} --out m.safetensors", 5, f"{TIMM} is not at hand: http://127.0.0.1:9"),
        (f"import {TIMM} --out m.safetensors --model resnet32", 4, f"{TIMM} are of resnet20, not of resnet32"),
        (f"import {TIMM} --out m.safetensors --allow-unpinned", 2, "--allow-unpinned would have no effect"),
        (f"import {LOOSE} --out m.safetensors", 2, f"fix: pin a commit: {LOOSE}@COMMIT"),
        ("import timm/resnet21.a1_in1k --out m.safetensors", 2, "did you mean timm/resnet20.a1_in1k"),
    ):
        assert cli.main(words.split()) == code, words
        out, err = capsys.readouterr()
        assert (out, says in err) == ("", True), err
    assert server.asked == []
    for name in ("RESNETKIT_MIRROR", "HF_ENDPOINT"):
        monkeypatch.setenv(name, server.url)
    for words, says in (("--classes a,b", "2 classes are named"), ("--mean 0.5", "--mean"), ("--allow-partial", "fit")):
        assert cli.main([*f"import {TIMM} --out m.safetensors".split(), *words.split()]) == 2
        assert says in capsys.readouterr().err
    assert not Path("m.safetensors").exists()

    Path("timm").mkdir()  # a file of that name is what is meant
    torch.save(create_model("resnet20", num_classes=4).state_dict(), TIMM)
    assert cli.main(["import", TIMM, "--out", "m.safetensors"]) == 2
    assert "resnet import needs --model" in capsys.readouterr().err
    assert cli.main(["import", TIMM, "--model", "resnet20", "--out", "m.safetensors", "--allow-unpinned"]) == 2
    assert "no effect: the weights are a file" in capsys.readouterr().err
    assert cli.main(["import", TIMM, "--model", "resnet20", "--out", "m.safetensors"]) == 0
    assert len(modelfile.read_card(Path("m.safetensors")).classes) == 4
    assert table


def test_weights_of_clips_are_refused_before_they_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "obtain", lambda *_: pytest.fail("nothing is to be fetched"))
    with pytest.raises(UsageError, match=r"r3d_18.* is not for pictures"):
        api.import_weights("torchvision/r3d_18.kinetics400_v1", out=tmp_path / "m.safetensors")
    with pytest.raises(UsageError, match="give model=NAME and out=FILE"):
        api.import_weights("torchvision/r3d_18")
