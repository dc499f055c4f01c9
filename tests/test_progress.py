"""A watcher sees the run go, on a bar or in plain lines, and the run does not depend on being watched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import environment, resnet
from samples import folder

from resnetkit.engine.maps import Looked
from resnetkit.report import progress
from resnetkit.spans import clock
from resnetkit.training import Done

WORDS = ["train", "data", "--model", "resnet20", "--size", "16", "--batch", "4", "--out", "run"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return folder(tmp_path / "data", *(f"{name}/{i}.png" for name in ("ants", "bees") for i in range(8)))


def test_plain_lines_without_a_terminal(data: Path) -> None:
    done = resnet(*WORDS, "--epochs", "2", cwd=data.parent)
    assert done.code == 0
    assert "\x1b" not in done.err
    assert "\r" not in done.err
    epochs = [line for line in done.err.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 2
    assert all(word in epochs[0] for word in ("train loss", "val loss", "accuracy"))
    assert "network   resnet20" in done.err
    assert "best.safetensors" in done.out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_a_bar_on_a_terminal(data: Path) -> None:
    import pty

    outer, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "resnetkit", *WORDS, "--epochs", "12"],
        cwd=data.parent,
        env=environment({"TERM": "xterm", "COLUMNS": "120"}),
        stdout=subprocess.DEVNULL,
        stderr=inner,
    )
    os.close(inner)
    seen = b""
    while True:
        try:
            seen += os.read(outer, 65536)
        except OSError:  # the other end is closed
            break
    os.close(outer)
    assert child.wait(timeout=60) == 0
    text = seen.decode("utf-8", "replace")
    assert "pictures/s" in text
    assert "left" in text
    assert "loss" in text


@pytest.mark.skipif(os.name == "nt", reason="a pipe without a reader is a matter of POSIX")
def test_a_run_outlives_its_reader(data: Path) -> None:
    """As in `resnet train ... 2>&1 | head -1`."""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "resnetkit", *WORDS, "--epochs", "2"],
        cwd=data.parent,
        env=environment({}),
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    child.wait(timeout=60)
    assert (data.parent / "run" / "metrics.json").exists()


def test_looks_before_the_first_step_are_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    progress.watch_run([Looked(3, 1000, 2), Done(Path("run"), {}, 1.0)])
    assert "3 of 1,000 looks, 2 of them kept from before" in capfd.readouterr().err


def test_time_is_spelt_for_people() -> None:
    assert [clock(seconds) for seconds in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
