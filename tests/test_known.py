"""Data sets by name: fetched once from a server of this machine, checked, kept, mended and opened."""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import idx_bytes, noise, old_pickle, picture, write_cifar
from serving import Server

from resnetkit import caching, cli
from resnetkit.data import cache
from resnetkit.data.archives import unpack
from resnetkit.data.flowers import FLOWERS, PARTS, vector
from resnetkit.data.known import CLOTHES, NETTE, TABLE, Known
from resnetkit.data.sources import KNOWN, fetch, open_source
from resnetkit.errors import DataError, ResourceError, UsageError

Put = Callable[[str, dict[str, bytes]], Known]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """An empty cache, a mirror, and a folder to stand in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RESNETKIT_MIRROR", server.url + "/")
    return tmp_path / "cache" / "data"


@pytest.fixture
def put(server: Server, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Let the mirror have small files of the right layout, and the table their hashes."""

    def publish(name: str, files: dict[str, bytes]) -> Known:
        known = TABLE[name]
        assert [file.name for file in known.files] == list(files)
        server.files |= {f"/{name}/{file}": data for file, data in files.items()}
        rows = [
            replace(file, size=len(files[file.name]), sha256=hashlib.sha256(files[file.name]).hexdigest())
            for file in known.files
        ]
        small = replace(known, files=tuple(rows))
        monkeypatch.setitem(TABLE, name, small)
        return small

    return publish


def digits_files(train: int = 40, test: int = 10) -> dict[str, bytes]:
    """What MNIST is made of, with pictures of noise; every class is in both parts."""
    files = {}
    for part, count in (("train", train), ("t10k", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(idx_bytes(images), mtime=0)
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(
            idx_bytes((np.arange(count) % 10).astype(np.uint8)), mtime=0
        )
    return {file.name: files[file.name] for file in TABLE["mnist"].files}


def packed(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    return out.getvalue()


def nette_files(tmp_path: Path, name: str) -> dict[str, bytes]:
    """Imagenette as fast.ai packs it, with the list that lies beside the pictures."""
    root = tmp_path / "made" / name.removesuffix(".tgz")
    for seed, (part, wnid) in enumerate((part, words[:9]) for part in ("train", "val") for words in NETTE):
        noise(root / part / wnid / f"{wnid}_{seed}.png", seed, (20, 16))
    (root / "noisy_imagenette.csv").write_text("path,noisy_labels_0\n")
    (root / ".DS_Store").write_bytes(b"\0")
    return {name: packed(root)}


def flowers_files(tmp_path: Path) -> dict[str, bytes]:
    """Six pictures of three kinds in the order of the kinds' numbers, not of their names."""
    from scipy.io import savemat

    for i in range(1, 7):
        Image.new("RGB", (12, 10), (i * 30, 0, 0)).save(picture(tmp_path / f"made/jpg/image_{i:05d}.jpg"))
    labels, setid = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.array([[102, 3, 1, 1, 3, 102]], np.uint8)}, do_compression=True)
    ids = {"trnid": [4, 2, 1], "valid": [3], "tstid": [6, 5]}
    savemat(setid, {key: np.array([value], np.uint16) for key, value in ids.items()})
    return {
        "102flowers.tgz": packed(tmp_path / "made/jpg"),
        "imagelabels.mat": labels.getvalue(),
        "setid.mat": setid.getvalue(),
    }


def clothes(data_dir: Path) -> dict[str, bytes]:
    """Fashion-MNIST as its authors published it: Debian's files, with the names and times back in the gzip headers."""
    files = {}
    for file in TABLE["fashion-mnist"].files:
        body = (data_dir / "fashion-mnist" / file.name).read_bytes()[10:]
        changed = 1504176606 if file.name.startswith("train") else 1504176627
        head = b"\x1f\x8b\x08\x08" + changed.to_bytes(4, "little") + b"\0\3" + file.name.removesuffix(".gz").encode()
        files[file.name] = head + b"\0" + body
    return files


def test_the_table() -> None:
    assert tuple(TABLE) == KNOWN[1:] == tuple(known.name for known in TABLE.values())
    files = [(known, file) for known in TABLE.values() for file in known.files]
    assert len({file.sha256 for _, file in files}) == len(files)
    for known, file in files:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.sha256 == file.sha256.lower()
        assert file.size > 500
        assert known.title
        assert known.licence
        for url in file.urls:
            assert url.startswith(("https://", "http://fashion-mnist.s3-website"))
            assert url.rpartition("/")[2] == file.name


def test_fashion_mnist_is_the_published_one(data_dir: Path, server: Server, place: Path) -> None:
    """The one data set of the table whose files are at hand: hashes, sizes, classes and pictures."""
    files = clothes(data_dir)
    for file in TABLE["fashion-mnist"].files:
        assert (len(files[file.name]), hashlib.sha256(files[file.name]).hexdigest()) == (file.size, file.sha256)
    server.files = {f"/fashion-mnist/{name}": data for name, data in files.items()}
    source = open_source("fashion-mnist")
    assert source.classes == CLOTHES
    assert [len(part.names) for part in source.parts.values()] == [60_000, 10_000]
    bare = open_source(data_dir / "fashion-mnist")
    assert bare.parts["test"].labels.tolist() == source.parts["test"].labels.tolist()
    assert bare.parts["test"].encoded(9) == source.parts["test"].encoded(9)
    assert CLOTHES[source.parts["test"].labels[0]] == "Ankle boot"
    assert (place / "fashion-mnist" / cache.SEAL).exists()


def test_mnist(put: Put, server: Server, place: Path) -> None:
    put("mnist", digits_files())
    source = open_source("mnist")
    assert (source.kind, source.classes, source.channels, source.notes) == ("idx", tuple("0123456789"), 1, [])
    assert [len(part.names) for part in source.parts.values()] == [40, 10]
    assert len(server.asked) == 4
    assert sorted(path.name for path in (place / "mnist").iterdir() if path.name != ".lock") == sorted(
        [cache.SEAL, *digits_files()]
    )


def test_models_that_know_numbers(put: Put) -> None:
    """A model of the bare files calls the classes by their numbers; it can be scored by the name all the same."""
    put("fashion-mnist", digits_files())
    assert open_source("fashion-mnist").classes == CLOTHES
    assert open_source("fashion-mnist", classes=tuple("0123456789")).classes == tuple("0123456789")
    assert open_source("fashion-mnist", classes=CLOTHES[::-1]).parts["test"].labels.tolist() == [*range(9, -1, -1)]


@pytest.mark.parametrize(("name", "folder"), [("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")])
def test_cifar(put: Put, tmp_path: Path, name: str, folder: str) -> None:
    fine = name == "cifar100"
    words = [f"word {i:03d}" for i in range(100 if fine else 10)]
    pixels = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), np.uint8)
    labels = [i % len(words) for i in range(200)]
    (tmp_path / "made").mkdir()
    made = write_cifar(
        tmp_path / "made" / folder,
        {"train": (pixels, labels), "test": (pixels[:7], labels[:7])},
        words,
        fine=fine,
        pickled=old_pickle,
    )
    (made / "readme.html").write_text("hello")
    put(name, {TABLE[name].files[0].name: packed(made)})
    source = open_source(name)
    assert source.classes == tuple(words)
    assert source.parts["train"].labels.tolist() == labels
    assert (source.parts["test"].read(3).pixels == pixels[3]).all()


@pytest.mark.parametrize(
    ("name", "archive"), [("imagenette", "imagenette2-320.tgz"), ("imagenette-160", "imagenette2-160.tgz")]
)
def test_imagenette(put: Put, tmp_path: Path, name: str, archive: str) -> None:
    put(name, nette_files(tmp_path, archive))
    source = open_source(name)
    assert source.classes == NETTE
    assert [*source.parts] == ["train", "val"]
    assert source.parts["val"].names[0] == "n01440764/n01440764_10.png"
    assert source.parts["val"].read(0).pixels.shape == (16, 20, 3)
    assert open_source(name, classes=[words[:9] for words in NETTE]).parts["val"].labels.tolist() == [*range(10)]
    assert open_source(name, classes=NETTE).parts["val"].labels.tolist() == [*range(10)]


def test_flowers(put: Put, tmp_path: Path) -> None:
    put("flowers", flowers_files(tmp_path))
    source = open_source("flowers")
    assert source.classes == ("pink primrose", "canterbury bells", "blackberry lily")
    assert {name: part.names for name, part in source.parts.items()} == {
        "train": ("image_00004.jpg", "image_00002.jpg", "image_00001.jpg"),
        "val": ("image_00003.jpg",),
        "test": ("image_00006.jpg", "image_00005.jpg"),
    }
    assert [part.labels.tolist() for part in source.parts.values()] == [[0, 1, 2], [0], [2, 1]]
    assert "left out" in source.notes[0]
    assert [round(int(source.parts["test"].read(i).pixels[0, 0, 0]) / 30) for i in range(2)] == [6, 5]


def test_the_names_of_the_flowers() -> None:
    assert len(set(FLOWERS)) == len(FLOWERS) == 102
    named = {
        1: "pink primrose",
        28: "stemless gentian",
        60: "pink-yellow dahlia?",
        77: "passion flower",
        102: FLOWERS[-1],
    }
    assert all(FLOWERS[number - 1] == name for number, name in named.items())
    assert [*PARTS.values()] == ["trnid", "valid", "tstid"]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "no readable labels"),
        (b"<html>" * 100, "no readable labels"),
        ({"other": np.ones((1, 3))}, "no readable labels"),
        ({"labels": np.array([[0, 1]])}, "from 1 to 102"),
        ({"labels": np.array([[103, 1]])}, "from 1 to 102"),
        ({"labels": np.array([[1.5, 1]])}, "from 1 to 102"),
        ({"labels": np.zeros((0, 0), np.uint8)}, "from 1 to 102"),
        ({"labels": "text"}, "from 1 to 102"),
    ],
)
def test_broken_matlab_files(tmp_path: Path, data: bytes | dict[str, Any], word: str) -> None:
    from scipy.io import savemat

    path = tmp_path / "imagelabels.mat"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        savemat(path, data)
    with pytest.raises(DataError, match=word):
        vector(path, "labels", 102)


def test_a_matlab_file_cut_anywhere(tmp_path: Path) -> None:
    whole = flowers_files(tmp_path)["imagelabels.mat"]
    for length in range(0, len(whole), 3):
        (tmp_path / "m").write_bytes(whole[:length])
        with pytest.raises(DataError, match="no readable"):
            vector(tmp_path / "m", "labels", 102)


def test_the_second_use_fetches_and_hashes_nothing(
    put: Put, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("imagenette", nette_files(tmp_path, "imagenette2-320.tgz"))
    first = open_source("imagenette")
    asked = len(server.asked)
    for name in ("digest", "unpack", "download"):
        monkeypatch.setattr(cache, name, lambda *_: pytest.fail("nothing is left to do"))
    monkeypatch.setenv("RESNETKIT_MIRROR", "http://127.0.0.1:9")
    assert open_source("imagenette").parts["val"].names == first.parts["val"].names
    assert len(server.asked) == asked


def test_what_a_system_puts_there_is_no_damage(put: Put, tmp_path: Path, place: Path) -> None:
    put("imagenette", nette_files(tmp_path, "imagenette2-320.tgz"))
    open_source("imagenette")
    inside = place / "imagenette/unpacked/imagenette2-320/val"
    for name in (".DS_Store", "Thumbs.db"):
        (inside / name).write_bytes(b"x")
    open_source("imagenette")
    assert (inside / "Thumbs.db").exists(), "or all would have been unpacked again"


def test_an_archive_with_another_folder_in_it(put: Put, tmp_path: Path) -> None:
    picture(tmp_path / "made/else/a.png")
    put("imagenette", {"imagenette2-320.tgz": packed(tmp_path / "made/else")})
    with pytest.raises(DataError, match="has no unpacked/imagenette2-320"):
        open_source("imagenette")


@pytest.mark.parametrize("harm", ["changed", "gone", "cut", "added", "unsealed", "bad seal", "moved"])
def test_a_damaged_folder_of_pictures_is_unpacked_again(
    put: Put, server: Server, tmp_path: Path, place: Path, harm: str
) -> None:
    put("imagenette", nette_files(tmp_path, "imagenette2-320.tgz"))
    val = open_source("imagenette").parts["val"]
    before = [val.encoded(i) for i in range(len(val.names))]
    folder = place / "imagenette"
    victim = folder / "unpacked/imagenette2-320/val" / val.names[0]
    match harm:
        case "changed":
            victim.write_bytes(bytes(len(before[0])))
        case "gone":
            victim.unlink()
        case "cut":
            victim.write_bytes(before[0][:-1])
        case "added":
            shutil.copy(victim, victim.with_name("another.png"))
        case "unsealed":
            (folder / cache.SEAL).unlink()
            victim.write_bytes(b"")
        case "bad seal":
            (folder / cache.SEAL).write_text("[" * 100_000)
            victim.write_bytes(b"")
        case "moved":
            shutil.move(folder / "unpacked", folder / ".unpacked.123.tmp")
    val = open_source("imagenette").parts["val"]
    assert [val.encoded(i) for i in range(len(val.names))] == before
    assert len(server.asked) == 1, "the archive was whole"
    assert sorted(path.name for path in folder.iterdir() if path.name != ".lock") == [
        cache.SEAL,
        "imagenette2-320.tgz",
        "unpacked",
    ]


def test_a_damaged_file_is_fetched_again(put: Put, server: Server, place: Path) -> None:
    put("mnist", digits_files())
    before = open_source("mnist").parts["train"].encoded(0)
    victim = place / "mnist" / "train-images-idx3-ubyte.gz"
    victim.write_bytes(bytes(victim.stat().st_size))
    assert open_source("mnist").parts["train"].encoded(0) == before
    assert [path for path, _ in server.asked[4:]] == ["/mnist/train-images-idx3-ubyte.gz"]


def test_a_new_table_checks_again(put: Put, server: Server) -> None:
    """What an older release fetched under the same name is not used for the newer one."""
    put("mnist", digits_files())
    open_source("mnist")
    put("mnist", digits_files(train=50))
    assert len(open_source("mnist").parts["train"].names) == 50
    assert len(server.asked) == 6


def test_offline(put: Put, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One message says which files to put where; put there by hand they are checked and used."""
    files = digits_files()
    known = put("mnist", files)
    monkeypatch.setenv("RESNETKIT_MIRROR", "http://127.0.0.1:9/mirror")
    assert cli.main(["train", "mnist"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(
        "error: mnist is not at hand: train-images-idx3-ubyte.gz could not be fetched: http://127"
    )
    assert said[1] == (
        f"fix: put these 4 files into {place / 'mnist'}, or name a mirror: RESNETKIT_MIRROR=https://HOST/DIR"
    )
    for line, file in zip(said[2:], known.files, strict=True):
        assert line.startswith(f"  {file.name}, {file.size:,} bytes, SHA-256 {file.sha256}, from https://storage.")

    for name, data in files.items():
        (place / "mnist" / name).write_bytes(data)
    assert len(open_source("mnist").parts["train"].names) == 40


def test_offline_with_some_of_the_files(put: Put, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = digits_files()
    put("mnist", files)
    monkeypatch.setenv("RESNETKIT_MIRROR", "http://127.0.0.1:9")
    (place / "mnist").mkdir(parents=True)
    first, second, *_ = files
    (place / "mnist" / first).write_bytes(files[first])
    (place / "mnist" / second).write_bytes(b"another file")
    with pytest.raises(DataError, match=f"by that name is another file: {second}") as caught:
        open_source("mnist")
    assert first not in caught.value.fix
    assert "these 3 files" in caught.value.fix
    assert (place / "mnist" / second).read_bytes() == b"another file", "what somebody put there is not thrown away"


def test_a_link_put_there_by_hand(put: Put, place: Path, tmp_path: Path, server: Server) -> None:
    files = digits_files()
    put("mnist", files)
    (place / "mnist").mkdir(parents=True)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        (place / "mnist" / name).symlink_to(tmp_path / name)
    assert len(open_source("mnist").parts["test"].names) == 10
    assert server.asked == []


def test_a_mirror_that_sends_another_file(put: Put, server: Server, place: Path) -> None:
    files = digits_files()
    put("mnist", files)
    name = next(iter(files))
    server.files[f"/mnist/{name}"] = bytes(len(files[name]))
    with pytest.raises(DataError, match=r"SHA-256 \w+, not \w+, and was removed"):
        open_source("mnist")
    assert {path.name for path in (place / "mnist").iterdir()} <= {".lock"}


def test_a_hostile_archive_with_the_right_hash(put: Put, tmp_path: Path, place: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"))
    put("cifar10", {"cifar-10-python.tar.gz": out.getvalue()})
    with pytest.raises(DataError, match="leads out of"):
        open_source("cifar10")
    assert not list(tmp_path.rglob("outside"))
    assert not (place / "cifar10" / cache.SEAL).exists()


@pytest.mark.parametrize("mirror", ["file:///data", "/data", "ftp://host"])
def test_mirrors_that_are_none(monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("RESNETKIT_MIRROR", mirror)
    with pytest.raises(UsageError, match="RESNETKIT_MIRROR is"):
        open_source("mnist")


def test_where_things_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caching.cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("RESNETKIT_CACHE", "~/mine")
    assert caching.cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("RESNETKIT_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert caching.cache_folder() == tmp_path / "xdg/resnetkit"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the standard says to ignore
    assert caching.cache_folder() == tmp_path / ".cache/resnetkit"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert caching.cache_folder() == tmp_path / "Library/Caches/resnetkit"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert caching.cache_folder() == tmp_path / "local/resnetkit/Cache"


def test_without_a_mirror_the_published_addresses_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESNETKIT_MIRROR")
    known = TABLE["cifar10"]
    assert cache.addresses(known, known.files[0]) == known.files[0].urls
    monkeypatch.setenv("RESNETKIT_MIRROR", "https://mirror.example/sets/")
    assert cache.addresses(known, known.files[0]) == ("https://mirror.example/sets/cifar10/cifar-10-python.tar.gz",)


def test_a_cache_that_cannot_be_written(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("mnist", digits_files())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="cannot be written") as caught:
        open_source("mnist")
    assert "RESNETKIT_CACHE" in caught.value.fix


def test_another_process_that_never_ends(put: Put, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("mnist", digits_files())
    monkeypatch.setattr(caching, "WAIT", 0.1)
    with caching.locked(place / "mnist"), pytest.raises(ResourceError, match="another process"):
        open_source("mnist")


def test_two_processes_at_once_fetch_once(data_dir: Path, server: Server) -> None:
    server.files = {f"/fashion-mnist/{name}": data for name, data in clothes(data_dir).items()}
    code = "from resnetkit.data.sources import open_source as o; print(len(o('fashion-mnist').parts['train'].names))"
    words = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    pair = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in pair] == ["60000", "60000"]
    assert sorted(path for path, _ in server.asked) == sorted(server.files)


def test_who_waited_leaves_what_is_there(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that want an archive at once the second finds it unpacked, and does not take it from under the first."""
    put("imagenette", nette_files(tmp_path, "imagenette2-320.tgz"))
    calls, first = [], threading.Event()

    def slowly(archive: Path, target: Path) -> None:
        calls.append(target)
        first.set()
        time.sleep(0.5)
        unpack(archive, target)

    monkeypatch.setattr(cache, "unpack", slowly)
    threads = [threading.Thread(target=open_source, args=["imagenette"]) for _ in range(2)]
    threads[0].start()
    assert first.wait(30)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_name_in_other_letters_is_guessed() -> None:
    with pytest.raises(DataError, match="CIFAR10 does not exist") as caught:
        open_source("CIFAR10")
    assert caught.value.fix == "write cifar10 for the data set of that name"


def test_a_folder_of_that_name(put: Put) -> None:
    put("mnist", digits_files())
    picture(Path("mnist/a/1.png"))
    picture(Path("mnist/b/1.png"))
    assert open_source("mnist").classes == ("a", "b")
    fetch("mnist")
    assert not any(caching.cache_folder().rglob("*.gz"))
    assert open_source("./mnist").classes == ("a", "b")
    with pytest.raises(DataError, match="did you mean cifar10"):
        open_source("cifar-10")


def test_the_command_line(put: Put, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """train, eval and sweep take the name; how the files come is told on stderr, once."""
    put("mnist", digits_files())
    quick = ["--model", "resnet20", "--steps", "2", "--batch", "8", "--device", "cpu"]
    assert cli.main(["train", "mnist", *quick, "--out", "run", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n"] == 10
    assert "fetching mnist: 70,000 handwritten digits" in err
    assert "licence: CC BY-SA 3.0" in err
    assert err.count("fetching t10k-labels-idx1-ubyte.gz, ") == 1
    assert cli.main(["eval", "run", "mnist", "--out", "scored"]) == 0
    assert cli.main(["sweep", "mnist", *quick, "--lr", "0.01,0.1", "--out", "swept"]) == 0
    assert "fetching" not in capsys.readouterr().err
    assert len(server.asked) == 4


def test_the_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(name in text.replace("- ", "-") for name in KNOWN)
