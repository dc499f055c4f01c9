"""The first steps of `--recipe paper-cifar` on resnet20, beside the script of akamaster/pytorch_resnet_cifar10.

The script is not part of this project: clone it, and name the clone. It trains on the same pictures, unchanged but for
where it reads them from, for the CPU, and for channels last, which is quicker there.

    python -m benchmarks.paper_cifar ours DATA --seed 0 --out ours0.csv
    python -m benchmarks.paper_cifar script DATA --clone pytorch_resnet_cifar10 --seed 0 --out script0.csv
    python -m benchmarks.paper_cifar compare ours*.csv --with script*.csv
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers import peer

from resnetkit.data.examples import eval_batches, examples
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.job import prepare
from resnetkit.recipes import RECIPES
from resnetkit.run import Run

BLOCK = 100  # steps whose mean loss is compared


class Enough(Exception):
    """The script has taken all the steps that are compared."""


def ours(data: str, seed: int) -> Iterator[float]:
    """The loss of each step; nearly all pictures learn, as all do in the script."""
    changes = dict(RECIPES["paper-cifar"].changes)
    run = Run(data=data, model="resnet20", seed=seed, val_share=0.01, **changes)
    job = prepare(run, frozenset({"model", "val_share", *changes}))
    state = State.start(job.model, job.settings, job.machine)
    batches = stream(job.settings, job.sets["train"], 0, job.settings.steps, job.workers)
    for tick in train(state, batches, job.settings, job.machine, job.sets["train"].names):
        yield tick.loss


def script(data: str, clone: str, seed: int, steps: int) -> Iterator[float]:
    """The loss of each step of the script's own main()."""
    torchvision = {name: peer(f"torchvision.{name}") for name in ("transforms", "datasets")}
    sys.path.insert(0, clone)
    losses: list[float] = []

    class Recorded(nn.CrossEntropyLoss):
        def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  torch calls it so
            if len(losses) == steps:
                raise Enough
            loss = super().forward(input, target)
            losses.append(float(loss.detach()))
            return loss

    pictures = Pictures(data)

    def cifar10(*, transform: Any, **_: Any) -> Any:
        return pictures.seen_through(transform)

    torchvision["datasets"].CIFAR10 = cifar10  # type: ignore[attr-defined]
    nn.Module.cuda = lambda self, *_: self.to(memory_format=torch.channels_last)  # type: ignore[method-assign, assignment]
    Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign, assignment]
    nn.CrossEntropyLoss = Recorded  # type: ignore[misc]
    import trainer  # type: ignore[import-not-found]

    trainer.validate = lambda *_: 0.0  # it changes no weight
    sys.argv = ["trainer.py", "--arch=resnet20", "--workers=1", "--epochs=200", "--print-freq=1000", "--save-dir=saved"]
    torch.manual_seed(seed)
    try:
        trainer.main()
    except Enough:
        yield from losses


class Pictures:
    """The training pictures, for a torchvision transform."""

    def __init__(self, data: str) -> None:
        from PIL import Image

        part = open_source(data).parts["train"]
        raw = Preprocess(size=(32, 32), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, channels=3)
        pixels = np.concatenate([images for _, images, _, _ in eval_batches(examples(part, raw), batch=500, workers=1)])
        self.images = [Image.fromarray(image) for image in pixels]
        self.labels = [int(label) for label in part.labels]
        self.transform: Any = None

    def seen_through(self, transform: Any) -> "Pictures":
        self.transform = self.transform or transform  # the first asked for are those that learn
        return self

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def compare(first: list[str], second: list[str]) -> None:
    """Mean loss of each hundred steps over the seeds, both sides, and how far apart they are in standard errors."""
    sides = [np.array([np.loadtxt(file) for file in files]) for files in (first, second)]
    steps = min(side.shape[1] for side in sides)
    blocks = [side[:, : steps - steps % BLOCK].reshape(len(side), -1, BLOCK).mean(2) for side in sides]
    print("steps        ours            script          difference  standard errors")
    for i in range(blocks[0].shape[1]):
        a, b = (block[:, i] for block in blocks)
        error = (a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b)) ** 0.5
        gap = a.mean() - b.mean()
        print(f"{i * BLOCK:5}-{(i + 1) * BLOCK:<5} {a.mean():7.4f} +-{a.std(ddof=1):.4f} {b.mean():7.4f} "
              f"+-{b.std(ddof=1):.4f} {gap:+8.4f} {gap / error:+6.1f}")  # fmt: skip
    apart = [block.mean(1) for block in blocks]
    print(f"all steps: ours {apart[0].mean():.4f}, script {apart[1].mean():.4f}, between seeds "
          f"{statistics.stdev(apart[0]):.4f} and {statistics.stdev(apart[1]):.4f}")  # fmt: skip


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("side", choices=["ours", "script", "compare"])
    reader.add_argument("data", nargs="+")
    reader.add_argument("--clone", default="pytorch_resnet_cifar10")
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--steps", type=int, default=2000)
    reader.add_argument("--with", dest="other", nargs="+", default=[])
    reader.add_argument("--out", type=Path, default=Path("losses.csv"))
    asked = reader.parse_args()
    if asked.side == "compare":
        compare(asked.data, asked.other)
        return
    data = asked.data[0]
    losses = ours(data, asked.seed) if asked.side == "ours" else script(data, asked.clone, asked.seed, asked.steps)
    np.savetxt(asked.out, list(islice(losses, asked.steps)))


if __name__ == "__main__":
    main()
