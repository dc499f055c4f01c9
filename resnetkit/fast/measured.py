"""What `resnet bench infer` measures: a model and pictures become a table of ways."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from resnetkit import modelfile
from resnetkit.classifier import Classifier, load, refuse_columns
from resnetkit.data.lists import Columns
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import choose
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.examining import part_of
from resnetkit.export.parted import evenly, left_out, parted
from resnetkit.export.samples import samples
from resnetkit.fast.bench import Pictures, Row, bench
from resnetkit.fast.choice import refuse_large
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.remembered import hardware
from resnetkit.fast.ways import OTHERS
from resnetkit.init import initialize
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.specfile import find
from resnetkit.tasks import TASKS, Task
from resnetkit.units import each

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
WEIGHING = 600  # seconds


@dataclass(frozen=True)
class Measured:
    """Every way, and what was measured on what."""

    rows: list[Row]
    about: dict[str, Any]
    task: Task

    def as_dict(self) -> dict[str, Any]:
        return {**self.about, "figure": self.task.says, "ways": [row.as_dict() for row in self.rows]}


def measure(
    model: str | os.PathLike[str],
    *,
    batches: Sequence[int] = (1, 32),
    rounds: int = 5,
    data: str | os.PathLike[str] | None = None,
    pictures: int = 1000,
    columns: Columns | None = None,
    only: Sequence[str] = (),
    size: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    watch: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Time a model file, a run folder, or a network by name, in every runtime and precision there is here.

    ``pictures`` of ``data``, evenly taken from the part that evaluate would choose, say what each way costs; without
    data built-in pictures do, and nothing says how often each way is right. Raises UsageError for what cannot be meant.
    """
    refuse_columns(columns, data)
    with TemporaryDirectory() as folder:
        mine, name = model_at(str(model), size, device, data)
        before = torch.get_num_threads()
        try:
            if threads:
                torch.set_num_threads(threads)
            refuse_large(mine.card, max(batches), mine.machine)
            asked = pictures_of(mine, data, pictures, columns)
            parts = None if data is None else partial(parted, mine.card, mine.folder, str(data), columns)
            graphs = Graphs(mine.card, mine.model, parts)
            rows = bench(mine.card, mine.model, mine.machine, graphs, batches, rounds, asked, only, watch)
            if mine.machine.device.type == "cpu" and sys.platform != "win32":
                weigh(mine, graphs, rows, max(batches), Path(folder), watch)
            about = {
                "model": name,
                "network": mine.card.model,
                "size": list(mine.card.preprocess.size),
                "threads": torch.get_num_threads(),
                "data": None if data is None else plain(data),
                "pictures": len(asked.images),
                "rounds": rounds,
                "device": str(mine.machine.device),
                "processor": processor(),
                "notes": list(asked.notes),
            }
        finally:
            torch.set_num_threads(before)
    return Measured(rows, about, TASKS[mine.card.task])


def model_at(name: str, size: int | None, device: str, data: object) -> tuple[Classifier, str]:
    """A trained model, or a network with weights as at the start of training."""
    if os.path.exists(name) or name.endswith(".safetensors"):
        model = load(name, device=device)
        if size is not None:
            model.card = replace(model.card, preprocess=replace(model.card.preprocess, size=(size, size)))
        return model, plain(name)
    if data is not None:
        what = f"{plain(name)} is no trained model: it has learned no classes that data could be asked about"
        raise UsageError(what, "name a model file or the folder of a run, or leave the data out")
    plan = lay_out(find(name))
    if plan.ndim != 2:
        raise UsageError(f"{plain(name)} is not for pictures", "name another network: resnet models lists them")
    sides = (size, size) if size else each(plan.size, 2)
    seen = Preprocess(
        size=(sides[0], sides[1]), mean=MEAN[: plan.channels], std=STD[: plan.channels], channels=plan.channels
    )
    card = Card(model=name, plan=plan, classes=tuple(map(str, range(plan.classes))), preprocess=seen)
    network = build(plan)
    initialize(network, seed=0, zero_last=False)
    return Classifier(card, network, choose(device, "fp32")), f"{name}, weights as at the start of training"


def pictures_of(
    model: Classifier, data: str | os.PathLike[str] | None, most: int, columns: Columns | None = None
) -> Pictures:
    """Preprocessed, with their labels where they are of data."""
    seen = model.card.preprocess
    if data is None:
        return Pictures(np.stack([seen.apply(one) for some in samples(seen.size) for one in some]), None)
    _, _, part = part_of(model.card, model.folder, data, columns=columns)
    images, labels, missed = [], [], []
    for i in evenly(part, most):
        try:
            images.append(model.seen(part.read(i).pixels))
        except DataError:
            missed.append(i)
            continue
        labels.append(part.labels[i])
    if not images:
        raise DataError(f"no picture of {plain(data)} can be read", "give other data, or leave it out")
    return Pictures(np.stack(images), np.array(labels), left_out(part.name, part, missed))


def weigh(
    model: Classifier, graphs: Graphs, rows: Sequence[Row], batch: int, folder: Path, watch: Callable[[str], None]
) -> None:
    """The memory of a process of its own for every way that ran, as far as one can be started."""
    weights, graph = folder / "model.safetensors", folder / "graph.onnx"
    modelfile.save(weights, model.model.state_dict(), model.card)
    seen = model.card.preprocess
    shape = ",".join(map(str, (batch, *seen.size, seen.channels)))
    for row in rows:
        if not row.speeds:
            continue
        watch(f"weighing {row.name}")
        other = row.way.runtime in OTHERS
        if other:
            graph.write_bytes(graphs.of(row.way.runtime, row.way.precision))
        rest = "fp32" if row.way.precision == "int8" else row.way.precision
        words = [str(graph if other else weights), row.way.runtime, rest, str(torch.get_num_threads()), shape]
        words += ["streams"] if row.way.streams else []
        command = [sys.executable, "-m", "resnetkit.fast.weigh", *words]
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            done = subprocess.run(command, capture_output=True, text=True, timeout=WEIGHING, check=True)  # noqa: S603
            row.memory = int(done.stdout.split()[-1])


def processor() -> str:
    """Its name as the system says it, and what torch makes use of."""
    named = [line.partition(":")[2].strip() for line in hardware() if line.startswith("model name")]
    return f"{(named or [''])[0] or 'unnamed'}, {torch.backends.cpu.get_cpu_capability()}"
