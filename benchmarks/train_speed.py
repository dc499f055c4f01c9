"""Pictures a second in training, beside torchvision's resnet18 in a plain loop, bare and with its best flags.

All three learn from pictures in memory. Rounds are interleaved; ratios are taken within a round.

    python -m benchmarks.train_speed [--size 64] [--batch 32] [--steps 12] [--rounds 5]
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers import peer

from resnetkit.data.examples import Examples
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import choose
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.init import initialize
from resnetkit.model import ResNet
from resnetkit.resolve import resolve
from resnetkit.run import Run
from resnetkit.settings import Facts

PICTURES, CLASSES = 512, 10


def ours(size: int, batch: int) -> Iterator[None]:
    """The engine, with its batches and its augmentation."""
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (PICTURES, size, size, 3), np.uint8)
    facts = Facts(
        pictures=PICTURES,
        classes=tuple(f"class {i}" for i in range(CLASSES)),
        uniform=(size, size),
        channels=3,
        has_val=True,
        arrays=False,
    )
    run = Run(data="noise", model="resnet18", batch=batch, steps=10_000)
    settings = resolve(run, frozenset({"model", "batch", "steps"}), facts)
    preprocess = Preprocess(size=(size, size), crop=1.0, mean=(0.5,) * 3, std=(0.3,) * 3, channels=3)
    pictures = Examples(
        names=[str(i) for i in range(PICTURES)],
        labels=rng.integers(0, CLASSES, PICTURES),
        preprocess=preprocess,
        stack=stack,
    )
    machine = choose("cpu")
    model = ResNet(settings.plan)
    initialize(model, seed=0, zero_last=True)
    state = State.start(model, settings, machine)
    for _ in train(state, stream(settings, pictures, 0, 10_000, 2), settings, machine, pictures.names):
        yield


def plain(size: int, batch: int, *, best_flags: bool) -> Iterator[None]:
    """torchvision's network in the usual loop; its best flags are channels last and bf16 autocast."""
    model = peer("torchvision.models").resnet18(num_classes=CLASSES)
    images = torch.randn(PICTURES, 3, size, size)
    labels = torch.randint(CLASSES, (PICTURES,))
    if best_flags:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    while True:
        index = torch.randperm(PICTURES)[:batch]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=best_flags):
            logits = model(images[index])
        loss = loss_of(logits.float(), labels[index])
        loss.backward()
        optimizer.step()
        yield


def rate(steps: Iterator[None], count: int, batch: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        next(steps)
    return count * batch / (time.perf_counter() - begun)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    for name, default in (("size", 64), ("batch", 32), ("steps", 12), ("rounds", 5)):
        reader.add_argument(f"--{name}", type=int, default=default)
    asked = reader.parse_args()
    runners: dict[str, Callable[[], Iterator[None]]] = {
        "resnetkit": lambda: ours(asked.size, asked.batch),
        "torchvision, plain loop": lambda: plain(asked.size, asked.batch, best_flags=False),
        "torchvision, channels last + bf16": lambda: plain(asked.size, asked.batch, best_flags=True),
    }
    running = {name: begin() for name, begin in runners.items()}
    for steps in running.values():
        rate(steps, 3, asked.batch)
    rates: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(asked.rounds):
        for name, steps in running.items():
            rates[name].append(rate(steps, asked.steps, asked.batch))
    print(f"resnet18 @{asked.size}, batch {asked.batch}, {asked.rounds} interleaved rounds of {asked.steps} steps,")
    isa = torch.backends.cpu.get_cpu_capability()
    print(f"torch {torch.__version__}, {isa} {platform.machine()}, {torch.get_num_threads()} threads")
    for name, values in rates.items():
        ratios = [mine / other for mine, other in zip(rates["resnetkit"], values, strict=True)]
        ratio = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f}-{max(ratios):.2f})"
        print(f"{name:36s}{statistics.median(values):8.1f} pictures/s   resnetkit is {ratio}")


if __name__ == "__main__":
    main()
