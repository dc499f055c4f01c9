"""Bad input meets the error contract: what is wrong, one fix, the right exit code, no traceback, nothing changed."""

import io
import os
import pickle
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from samples import folder, noise, picture

from resnetkit import cli, zoo
from resnetkit.data.preprocess import Preprocess
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.modelfile import Card, save

FORTY = [f"{name}/{i}.png" for name in ("ants", "bees") for i in range(4)]


class Harm:
    """Unpickling this would leave a mark."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm-was-done",)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that can be wrong, and good things beside it."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "good", *(f"{part}/{name}" for part in ("train", "val") for name in FORTY))
    folder(tmp_path / "one", *(f"ants/{i}.png" for i in range(4)))
    folder(tmp_path / "extra", *(f"train/{name}" for name in FORTY), "val/ants/1.png", "val/wasps/1.png")
    folder(tmp_path / "loose", "1.png", "2.png")
    (tmp_path / "empty").mkdir()
    for name, data in broken().items():
        folder(tmp_path / name, *FORTY)
        (tmp_path / name / "bees" / "broken.jpg").write_bytes(data)
    plan = lay_out(zoo.find("resnet20"))
    card = Card(
        model="resnet20",
        plan=plan,
        classes=tuple("0123456789"),
        preprocess=Preprocess(size=(32, 32), crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3, channels=3),
    )
    state = ResNet(plan).state_dict()
    save(tmp_path / "model.safetensors", state, card)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[-1000] ^= 4
    (tmp_path / "flipped.safetensors").write_bytes(flipped)
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (tmp_path / "nothing.safetensors").write_bytes(b"")
    torch.save(state, tmp_path / "resnet20.pth")
    with open(tmp_path / "harm.pth", "wb") as file:
        pickle.dump({"state_dict": Harm()}, file)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    return tmp_path


def broken() -> dict[str, bytes]:
    buffer = io.BytesIO()
    from PIL import Image

    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "JPEG")
    return {
        "truncated": buffer.getvalue()[: len(buffer.getvalue()) // 2],
        "zero": b"",
        "html": b"<html><head><title>404 Not Found</title></head></html>",
        "bomb": bomb(11_000, 8_000),
    }


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes with 88 million black pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height // 8), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


TRAIN = "train {} --model resnet20 --steps 2 --out out"
CASES = [
    # command, exit code, words that must be said
    (TRAIN.format("nowhere"), 3, "nowhere does not exist"),
    (TRAIN.format("empty"), 3, "empty has no pictures"),
    (TRAIN.format("one"), 3, "one class ants two"),
    (TRAIN.format("extra"), 3, "wasps val"),
    (TRAIN.format("loose"), 3, "loose class"),
    (TRAIN.format("truncated"), 3, "bees/broken.jpg"),
    (TRAIN.format("zero"), 3, "bees/broken.jpg empty"),
    (TRAIN.format("html"), 3, "bees/broken.jpg web page"),
    (TRAIN.format("bomb"), 3, "bees/broken.jpg 88,000,000 --max-pixels"),
    ("train good --epochz 3 --out out", 2, "--epochz --epochs"),
    ("train good --epochs ten --out out", 2, "--epochs ten whole number"),
    ("train good --lr nan --out out", 2, "--lr nan"),
    ("train good --lr 0 --out out", 2, "--lr 0"),
    ("train good --imgsz 64 --out out", 2, "--imgsz --size"),
    ("train good epochs=3 --out out", 2, "--epochs 3"),
    ("train good --model resnet51 --out out", 2, "resnet51 resnet50"),
    ("train good --epochs 2 --steps 3 --out out", 2, "epochs steps"),
    ("train good --device cuda --steps 2 --out out", 5, "cuda cpu"),
    ("train good --out mine", 2, "mine thesis.txt"),
    ("train good --weights harm.pth --out out", 4, "harm.pth"),
    ("train good --weights resnet20.pth --model resnet32 --out out", 4, "resnet20 resnet32"),
    ("train good --weights gone.pth --out out", 4, "gone.pth"),
    ("train --resume empty", 2, "empty run.json"),
    ("describe resnet51", 2, "resnet51 resnet50"),
    ("trian good", 2, "trian train"),
    ("eval model.safetensors good", 3, "ants"),
    ("eval cut.safetensors good", 4, "cut.safetensors"),
    ("eval flipped.safetensors good", 4, "flipped.safetensors"),
    ("eval page.safetensors good", 4, "page.safetensors"),
    ("eval nothing.safetensors good", 4, "nothing.safetensors"),
    ("eval gone.safetensors good", 4, "gone.safetensors"),
    ("eval resnet20.pth good", 4, "resnet20.pth import"),
    ("eval harm.pth good", 4, "harm.pth"),
    ("predict flipped.safetensors good", 4, "flipped.safetensors"),
    ("predict model.safetensors", 2, "pictures"),
    ("predict model.safetensors good --top none", 2, "--top"),
    ("import harm.pth --model resnet20 --out new.safetensors", 4, "harm.pth"),
    ("import resnet20.pth --model resnet50 --out new.safetensors", 4, "resnet20 resnet50"),
    ("import resnet20.pth --model resnet20 --out new.safetensors --classes a,b", 2, "10 2"),
    ("import nothing.safetensors --model resnet20 --out new.safetensors", 4, "nothing.safetensors"),
]


@pytest.mark.parametrize(("line", "code", "words"), CASES, ids=[case[0] for case in CASES])
def test_it_is_refused(world: Path, capfd: pytest.CaptureFixture[str], line: str, code: int, words: str) -> None:
    before = contents(world)
    assert cli.main(line.split()) == code
    out, err = capfd.readouterr()
    assert out == ""
    lines = [text for text in err.splitlines() if not text.startswith("note: ")]
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("fix: ")
    assert len(lines) <= 6
    assert "Traceback" not in err
    assert all(word in err for word in words.split()), err
    assert contents(world) == before
    assert not (world / "out").exists()
    assert not (world / "harm-was-done").exists()


@pytest.mark.usefixtures("world")
def test_predict_answers_the_others_and_ends_with_three(capfd: pytest.CaptureFixture[str]) -> None:
    import json

    assert cli.main(["predict", "model.safetensors", "bomb/bees", "gone.png", "--json"]) == 3
    rows = json.loads(capfd.readouterr().out)
    assert [Path(row["path"]).name for row in rows] == ["0.png", "1.png", "2.png", "3.png", "broken.jpg", "gone.png"]
    assert ["error" in row for row in rows] == [False] * 4 + [True] * 2


def test_one_note_names_the_odd_one_out(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A GIF among many JPEG is a picture like any other, and is mentioned."""
    for i in range(30):
        noise(world / "many" / "ants" / f"{i}.jpg", i)
        noise(world / "many" / "bees" / f"{i}.jpg", 100 + i)
    picture(world / "many" / "bees" / "odd.gif")
    assert cli.main("train many --model resnet20 --steps 1 --out out".split()) == 0
    err = capfd.readouterr().err
    assert "bees/odd.gif: GIF among 60 JPEG" in err
    assert "odd.gif" in (world / "out" / "split.csv").read_text()


@pytest.mark.parametrize("rate", ["1000", "1e6"])
def test_a_lost_run_ends_with_six_and_never_has_a_best(
    world: Path, capfd: pytest.CaptureFixture[str], rate: str
) -> None:
    line = f"train good --model resnet20 --size 32 --steps 6 --batch 4 --lr {rate} --save-every 0 --out out"
    assert cli.main(line.split()) == 6
    err = capfd.readouterr().err
    assert "error: " in err
    assert "fix: try a lower learning rate" in err
    assert not (world / "out" / "best.safetensors").exists()
    assert cli.main(["train", "--resume", "out"]) == 6


def test_a_signal_before_the_first_step_is_polite(world: Path) -> None:
    import signal
    import subprocess
    import sys

    from command import environment

    code = """
import time
from resnetkit import cli
from resnetkit.verbs.table import VERBS
object.__setattr__(VERBS["doctor"], "act", lambda *_: (print("ready", flush=True), time.sleep(60)))
raise SystemExit(cli.main(["doctor"]))
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment({}), cwd=world, stdout=-1, stderr=-1, text=True
    )
    assert child.stderr is not None
    child.stderr.readline()  # what is printed while a verb works goes there
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 75
    assert err.startswith("error: stopped by SIGTERM\nfix: ")
