"""Data sets of the Hugging Face Hub by name, asked of a server of our own: found, pinned, kept, and never trusted."""

import contextlib
import io
import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import refused as refused_by
from command import resnet
from hubserver import Hub, branch_folder, commit, serving, use
from PIL import Image
from samples import folder, write_parquet

from resnetkit.data import hub as hub_room
from resnetkit.data import listing as listing_room
from resnetkit.data.hub import announce
from resnetkit.data.listing import look_up
from resnetkit.data.sources import open_source
from resnetkit.errors import DataError, KitError, ResourceError


def png(seed: int, size: int = 8) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def publish(root: Path, repo: str, files: Sequence[str], branch: str = "main", first: int = 0, size: int = 8) -> str:
    """Put parquet files of two cats and two dogs each on the hub; returns the commit."""
    at = branch_folder(root / "hub", repo, branch)
    for i, file in enumerate(files):
        rows = [(png(first + 4 * i + j, size), j % 2) for j in range(4)]
        write_parquet(at / file, rows, ["cat", "dog"])
    return commit(at)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    (tmp_path / "hub").mkdir()
    with serving(tmp_path / "hub") as served:
        use(served, tmp_path / "home", monkeypatch)
        yield served


def refused(name: str, *words: str) -> KitError:
    """Opening fails soon, as an error with a remedy that says the name."""
    look_up.cache_clear()
    begun = time.monotonic()
    with pytest.raises((DataError, ResourceError)) as caught:
        open_source(name)
    assert time.monotonic() - begun < 15
    error = caught.value
    assert isinstance(error, KitError)
    for word in words:
        assert word in str(error)
    assert error.fix
    assert "\n" not in error.what
    return error


def again(name: str) -> Any:
    """Open it as a new process would."""
    look_up.cache_clear()
    return open_source(name)


TRAIN, TEST = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ([TRAIN, TEST], {"train": 4, "test": 4}),
        (["plain_text/train-00000-of-00002.parquet", "plain_text/train-00001-of-00002.parquet"], {"train": 8}),
        (["default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet"], None),
        (["train/0000.parquet", "validation/0000.parquet"], {"train": 4, "val": 4}),
        (["data/train/0.parquet", "data/valid/0.parquet"], {"train": 4, "val": 4}),
        (["train.parquet", "val/0.parquet"], {"train": 4, "val": 4}),
        (["cifar10/train/0000.parquet", "cifar10/test/0000.parquet"], {"train": 4, "test": 4}),
        (["0000.parquet"], {"all": 4}),
        (["some/deep/folder/train-0.parquet"], {"train": 4}),
    ],
)
def test_where_the_files_are(tmp_path: Path, hub: Hub, files: list[str], parts: dict[str, int] | None) -> None:
    publish(tmp_path, "me/set", files)
    (branch_folder(tmp_path / "hub", "me/set") / "README.md").write_text("not fetched")
    sha = commit(branch_folder(tmp_path / "hub", "me/set"))
    source = open_source("hf:me/set")
    assert {name: len(part.names) for name, part in source.parts.items()} == (parts or {"train": 8, "test": 4})
    assert (source.location, source.kind, source.classes) == ("hf:me/set", "parquet", ("cat", "dog"))
    first = next(iter(source.parts.values()))
    assert first.encoded(3) == png(4 * min(range(len(files)), key=lambda i: "train" not in files[i]) + 3)
    assert source.notes[0].endswith(f"@{sha} will stay the same")
    assert not any("README" in line for line in hub.asked)


def test_configs(tmp_path: Path, hub: Hub) -> None:  # noqa: ARG001
    publish(tmp_path, "me/two", ["large/train/0.parquet", "small/train/0.parquet", "small/test/0.parquet"])
    refused("hf:me/two", "hf:me/two has several configs: large, small", "write hf:me/two/large")
    refused("hf:me/two/smal", "there is no config smal, only large, small; did you mean small?")
    source = again("hf:me/two/small")
    assert list(source.parts) == ["train", "test"]
    assert "hf:me/two/small@" in source.notes[0]
    publish(tmp_path, "me/three", [TRAIN, "extra/train-0.parquet"])
    source = again("hf:me/three")
    assert source.parts["train"].encoded(0) == png(0)
    assert again("hf:me/three/extra").parts["train"].encoded(0) == png(4)


def test_revisions(tmp_path: Path, hub: Hub) -> None:
    old = publish(tmp_path, "me/set", [TRAIN], "v1")
    publish(tmp_path, "me/set", [TRAIN], "refs/pr/1", first=200)
    new = publish(tmp_path, "me/set", [TRAIN], first=100)
    assert open_source("hf:me/set").parts["train"].encoded(0) == png(100)
    assert open_source("hf:me/set@v1").parts["train"].encoded(0) == png(0)
    assert open_source("hf:me/set@refs/pr/1").parts["train"].encoded(0) == png(200)
    assert open_source(f"hf:me/set@{old}").parts["train"].encoded(0) == png(0)
    assert open_source(f"hf:me/set/default@{new}").parts["train"].encoded(0) == png(100)
    refused("hf:me/set@v3", "hf:me/set@v3: there is no such revision")
    refused(f"hf:me/set@{'0' * 40}", "there is no such revision")
    hub.moved["set"] = "me/set"
    assert open_source("hf:set").parts["train"].encoded(0) == png(100)


def test_what_the_hub_has_converted(tmp_path: Path, hub: Hub) -> None:  # noqa: ARG001
    at = branch_folder(tmp_path / "hub", "me/zip")
    at.mkdir(parents=True)
    (at / "data.zip").write_bytes(b"x")
    refused("hf:me/zip", "has no parquet files, and the Hub has made none", "download it")
    refused("hf:me/zip@main", "has no parquet files at that revision")
    sha = publish(tmp_path, "me/zip", ["default/train/0000.parquet"], "refs/convert/parquet")
    source = again("hf:me/zip")
    assert list(source.parts) == ["train"]
    assert f"hf:me/zip/default@{sha}" in source.notes[0]
    assert list(again(f"hf:me/zip/default@{sha}").parts) == ["train"]
    (branch_folder(tmp_path / "hub", "me/big") / "x").mkdir(parents=True)
    files = ["default/partial-train/0000.parquet", "default/test/0000.parquet", "small/train/0000.parquet"]
    publish(tmp_path, "me/big", files, "refs/convert/parquet")
    refused("hf:me/big", "only a part of it")
    assert list(again("hf:me/big/small").parts) == ["train"]


def test_what_was_fetched_is_kept(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = publish(tmp_path, "me/set", [TRAIN, TEST])
    assert announce("hf:me/set") == (f"fetching 2 parquet files, 0.0 MB, of hf:me/set/default@{sha} from {hub.url}")
    assert announce(str(tmp_path)) is None
    first = again("hf:me/set")
    assert announce("hf:me/set") is None
    files = sorted(path for path in (tmp_path / "home/hub").rglob("*.parquet"))
    assert [
        path.relative_to(tmp_path / f"home/hub/datasets--me--set/snapshots/{sha}").as_posix() for path in files
    ] == [
        TEST,
        TRAIN,
    ]
    hub.asked.clear()
    again("hf:me/set")
    assert hub.asked == ["GET /api/datasets/me/set"]
    pinned = first.notes[0].split("; ")[1].split()[0]
    again(pinned)
    hub.asked.clear()
    again(pinned)
    assert hub.asked == []
    publish(tmp_path, "me/set", [TRAIN], first=50)
    assert again("hf:me/set").parts["train"].encoded(0) == png(50)
    assert again(pinned).parts["train"].encoded(0) == png(0)
    hub.status = 503
    source = again("hf:me/set")
    assert source.parts["train"].encoded(0) == png(50)
    assert source.notes[0].startswith(f"hf:me/set cannot be had from {hub.url}")
    assert source.notes[0].endswith("the files fetched before are used")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert again("hf:me/set").parts["train"].encoded(0) == png(50)
    refused("hf:me/other", "is not in the cache, and HF_HUB_OFFLINE is set")
    shutil.rmtree(tmp_path / "home/hub")
    refused("hf:me/set", "is not in the cache, and HF_HUB_OFFLINE is set")
    for bad in (b"", b"{}", b"[]", b'{"repo": 1}', json.dumps({"repo": "me/set"}).encode()):
        for path in (tmp_path / "home/assets/resnetkit").iterdir():
            path.write_bytes(bad)
        refused("hf:me/set", "is not in the cache")
    assert hub.asked == []


def test_a_note_of_before_leads_nowhere_else(tmp_path: Path, hub: Hub) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    again("hf:me/set")
    (path,) = (tmp_path / "home/assets/resnetkit").iterdir()
    found = json.loads(path.read_bytes())
    path.write_text(json.dumps({**found, "files": {"../../../evil.parquet": 3}}))
    hub.status = 503
    refused("hf:me/set", "cannot be had")


def test_names_that_stand_for_nothing(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    for name in (
        "hf:",
        "hf:a/b/c/d",
        "hf:me/se t",
        "hf:../x",
        "hf:me/set@",
        "hf:me/set@../../x y",
        "hf:é/x",
    ):
        refused(name, "is no name of a data set", "write hf:OWNER/NAME")
    for name in ("hf:/me/set", "hf://me/set", "hf://datasets/me/set/"):
        refused(name, "is no name of a data set", "write hf:me/set")
    assert hub.asked == []
    refused("hf:me/sett", f"hf:me/sett: {hub.url} has no such data set", "set HF_TOKEN")
    refused("hf:me/se--t", "is no name of a data set")
    hub.private.add("me/set")
    refused("hf:me/set", "has no such data set")
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert again("hf:me/set").kind == "parquet"
    publish(tmp_path, "me/closed", [TRAIN])
    hub.gated.add("me/closed")
    refused(
        "hf:me/closed", "is for those who accept its terms", f"do so at {hub.url}/datasets/me/closed, and set HF_TOKEN"
    )


def test_paths_before_names(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        open_source("uoft-cs/cifar10")
    assert caught.value.fix == "check the path, or write hf:uoft-cs/cifar10 for the data set on the Hugging Face Hub"
    with pytest.raises(DataError) as caught:
        open_source("https://huggingface.co/datasets/uoft-cs/cifar10")
    assert "hf:uoft-cs/cifar10" in caught.value.fix
    (tmp_path / "photos").mkdir()
    for path in ("photos/trian", "/uoft-cs/cifar10", "pictures", "a/b/c"):
        with pytest.raises(DataError) as caught:
            open_source(path)
        assert caught.value.fix == "check the path"
    if os.name != "nt":
        folder(tmp_path / "hf:me/set", "a/1.png", "b/1.png")
        assert open_source("hf:me/set").kind == "folder"
        assert announce("hf:me/set") is None
    assert hub.asked == []


@contextlib.contextmanager
def dripping() -> Iterator[str]:
    """A server that never ends its answer, and never stops giving some of it."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while not over.wait(0.05):
                        connection.sendall(b"X-A: b\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_servers_that_do_not_answer(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    for status in (403, 404, 418, 429, 500, 502, 503, 504):
        hub.status = status
        refused("hf:me/set", f"hf:me/set cannot be had from {hub.url}", str(status))
    hub.status = 0
    monkeypatch.setattr(listing_room, "SECONDS", 1.0)
    hub.wait = 4
    begun = time.monotonic()
    refused("hf:me/set", "cannot be had from", "set HF_ENDPOINT to a mirror")
    assert time.monotonic() - begun < 4
    with dripping() as url:
        use(Hub(tmp_path, url), tmp_path / "home", monkeypatch)
        begun = time.monotonic()
        refused("hf:me/set", f"cannot be had from {url}: no answer came in time")
        assert time.monotonic() - begun < 8
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    for url in (closed, "http://name.invalid", "nonsense", "http://["):
        use(Hub(tmp_path, url), tmp_path / "home", monkeypatch)
        refused("hf:me/set", "cannot be had from")


def tree(root: Path) -> set[str]:
    return {str(path) for path in root.rglob("*") if "home" not in path.parts}


@pytest.mark.parametrize(
    "file",
    [
        "../evil.parquet",
        "../../../../../../evil.parquet",
        "data/../../../../evil.parquet",
        "/tmp/evil.parquet",
        "//host/evil.parquet",
        "C:\\evil.parquet",
        "..\\..\\evil.parquet",
        "data//evil.parquet",
        "./evil.parquet",
        ".../evil.parquet",
        "a\0evil.parquet",
        "a\nevil.parquet",
        "/.parquet",
    ],
)
def test_lists_that_lead_elsewhere(tmp_path: Path, hub: Hub, file: str) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    hub.listed[file] = 3
    before = tree(tmp_path)
    refused("hf:me/set", "the server lists", "which is no file to fetch")
    assert tree(tmp_path) == before
    assert not (tmp_path / "home").exists()
    assert hub.asked == ["GET /api/datasets/me/set"]


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"ETag": '"../../../../../evil"'}, "which is no hash"),
        ({"ETag": f'"{"../" * 30}tmp/evil"'}, "which is no hash"),
        ({"ETag": '"/tmp/evil"'}, "which is no hash"),
        ({"ETag": ""}, "which is no hash"),
        ({"X-Repo-Commit": "../../../evil"}, "which is no hash"),
        ({"X-Repo-Commit": "0" * 40}, "which is no hash"),
        ({"sha": "../../evil"}, "the server names no revision"),
        ({"sha": None}, "the server names no revision"),
        ({"sha": 7}, "cannot be had"),
        ({"siblings": None}, "and the Hub has made none"),
        ({"siblings": 3}, "cannot be had"),
        ({"siblings": [{}]}, "cannot be had"),
        ({"siblings": [{"rfilename": ["a.parquet"]}]}, "and the Hub has made none"),
        ({"siblings": [{"rfilename": "a.parquet"}]}, "which is no file to fetch"),
        ({"siblings": [{"rfilename": "a.parquet", "size": "3"}]}, "which is no file to fetch"),
        ({"siblings": [{"rfilename": "a.parquet", "size": -3}]}, "which is no file to fetch"),
        ({"siblings": [{"rfilename": "a.parquet", "size": 3}]}, "cannot be had"),
        ({"siblings": [{"rfilename": TRAIN, "size": 3}]}, "bytes, not 3 as listed"),
    ],
)
def test_servers_that_lie(tmp_path: Path, hub: Hub, lies: dict[str, Any], words: str) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    hub.lies |= lies
    before = tree(tmp_path)
    refused("hf:me/set", words)
    assert tree(tmp_path) == before
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "home" in path.parts]


def test_a_fetch_that_breaks_off_goes_on(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "me/set", [TRAIN], size=64)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut = 20_000
    assert len(open_source("hf:me/set").parts["train"].names) == 4
    assert [line.rpartition(" ")[2] for line in hub.asked if "bytes=" in line] == ["bytes=20000-"]


def test_what_is_too_much(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, "me/set", [TRAIN])
    hub.listed["data/train-00001-of-00001.parquet"] = 17 << 30
    refused("hf:me/set", "hf:me/set holds 18,253,6", "kept in memory")
    hub.listed.clear()
    monkeypatch.setattr(hub_room.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    refused("hf:me/set", "has 1 left", "set HF_HOME elsewhere")
    assert all("resolve" not in line for line in hub.asked)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("hf:me/set", "pip install resnetkit[data]")


# All the way, in processes of their own


def test_train_and_eval(tmp_path: Path) -> None:
    sha = publish(tmp_path, "me/set", [TRAIN, TEST])
    with serving(tmp_path / "hub") as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}
        words = ["--model", "resnet20", "--steps", "2", "--batch", "4", "--out", str(tmp_path / "run")]
        done = resnet("train", "hf:me/set", *words, env=env, timeout=600)
        assert done.code == 0, done
        assert done.err.startswith(f"note: fetching 2 parquet files, 0.0 MB, of hf:me/set/default@{sha} from {hub.url}")
        assert f"note: hf:me/set is 2 parquet files, 0.0 MB; hf:me/set/default@{sha} will stay the same" in done.err
        asked = [line.partition(" /")[0] for line in hub.asked]
        assert (asked[0], asked.count("GET")) == ("GET", 3), hub.asked
        refused_by(resnet("train", "hf:me/set/other", env=env, timeout=600), 3, "there is no config other")
        done = resnet("train", "hf:me/set", "--group-column", "x", env=env, timeout=600)
        refused_by(done, 2, "--group-column would have no effect")
        refused_by(resnet("train", "hf:me/none", env=env, timeout=600), 3, "has no such data set")
    begun = time.monotonic()
    refused_by(resnet("train", "hf:me/none", env=env, timeout=600), 3, "cannot be had from", "set HF_ENDPOINT")
    assert time.monotonic() - begun < 60
    offline = {**env, "HF_HUB_OFFLINE": "1"}
    done = resnet("eval", tmp_path / "run", "hf:me/set", "--json", env=offline, cwd=tmp_path, timeout=600)
    assert done.code == 0, done
    assert done.document["n"] == 4
    refused_by(resnet("train", "hf:me/none", env=offline, timeout=600), 3, "HF_HUB_OFFLINE is set")
