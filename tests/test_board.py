"""What TensorBoard is told, read back with its own reader: every step once, also of a run that was stopped."""

import csv
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command import Result as Answer
from command import environment, refused
from samples import write_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_resume import differing

from resnetkit.engine import checkpoint
from resnetkit.engine.step import Tick
from resnetkit.run import Run
from resnetkit.training import resuming, training

RUN: dict[str, Any] = {"model": "resnet20", "epochs": 2, "batch": 32, "save_every": 0.0, "device": "cpu", "workers": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data"), 120, 30)


def read(out: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag by tag, what is shown for each step."""
    found = EventAccumulator(str(out / "tensorboard"), {"scalars": 0, "images": 0, "tensors": 0}).Reload()
    scalars = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert found.Tags()["images"] == ["confusion matrix"]
    (picture,) = found.Images("confusion matrix")
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    (text,) = found.Tensors("settings/text_summary")
    assert b"| model | resnet20 |" in text.tensor_proto.string_val[0]
    return scalars


def test_every_step_is_there_once_and_a_stopped_run_shows_as_a_whole_one(data: Path, tmp_path: Path) -> None:
    whole, silent, stopped = (tmp_path / name for name in ("whole", "silent", "stopped"))
    ticks = [e for e in training(Run(data=str(data), out=str(whole), tensorboard=True, **RUN)) if isinstance(e, Tick)]
    scalars = read(whole)
    steps = [tick.step for tick in ticks]
    assert steps == list(range(1, 9))
    for tag, value in (("loss", "loss"), ("learning rate", "lr"), ("gradient", "gradient")):
        assert [step for step, _ in scalars[f"step/{tag}"]] == steps
        assert dict(scalars[f"step/{tag}"]) == pytest.approx({t.step: getattr(t, value) for t in ticks})
    assert dict(scalars["step/accuracy"]) == pytest.approx({t.step: t.correct / t.pictures for t in ticks})
    with open(whole / "results.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name in ("train_loss", "val_accuracy"):
        wanted = {int(row["step"]): float(row[name]) for row in rows}
        assert dict(scalars[f"epoch/{name}"]) == pytest.approx(wanted, abs=1e-5)
    assert [step for step, _ in scalars["best/test_accuracy"]] == [9]

    with closing(training(Run(data=str(data), out=str(stopped), tensorboard=True, **RUN))) as run:
        next(event for event in run if isinstance(event, Tick) and event.step == 7)
    newest = checkpoint.found(stopped / "checkpoints")[0]
    assert newest.name == "step-000000006"
    shutil.rmtree(newest)  # so that steps 6 and 7 come again
    list(resuming(stopped))
    assert read(stopped) == scalars
    list(resuming(stopped))  # which is over, and ends once more
    assert read(stopped) == scalars

    list(training(Run(data=str(data), out=str(silent), **RUN)))
    assert differing(whole, silent) == differing(stopped, silent) == []
    assert not (silent / "tensorboard").exists()


def test_without_the_package_nothing_begins(tmp_path: Path) -> None:
    code = "import sys; sys.modules['tensorboard'] = None; from resnetkit.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", "digits", "--tensorboard", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment({}),
        timeout=300,
        check=False,
    )
    refused(Answer(done.returncode, done.stdout, done.stderr), 5, "tensorboard", 'pip install "resnetkit[tensorboard]"')
    assert not any(tmp_path.iterdir())
