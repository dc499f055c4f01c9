"""A network's answers on pictures it does not learn from, each picture once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.data.batches import Examples, eval_batches
from resnetkit.data.parts import Labels
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.network import Network

SMALL = 64  # pixels along the longer side
EVAL_BATCH = {True: 250, False: 32}  # small pictures, photographs: one value each, so that figures repeat to the bit
LARGE = 512  # pixels along a side: of larger pictures fewer go through at a time


@dataclass(frozen=True)
class Answers:
    """Logits for every readable picture of one part, in its order."""

    index: NDArray[np.int64]  # which pictures, n
    logits: NDArray[np.float32]  # n, classes
    labels: Labels  # of the same pictures
    errors: list[tuple[int, str]]  # pictures that could not be read, and why


def answer(
    model: nn.Module,
    examples: Examples,
    machine: Machine,
    workers: int = 2,
    ask: Callable[[nn.Module, NDArray[np.uint8], Preprocess, Machine], NDArray[np.float32]] | None = None,
) -> Iterator[Answers]:
    """Yield what each batch of ``examples`` brought; join() makes one of all. ``ask`` stands for ``forward``."""
    model.eval()
    ask = ask or forward
    for index, images, labels, errors in eval_batches(examples, batch=at_once(examples.preprocess), workers=workers):
        yield Answers(index, ask(model, images, examples.preprocess, machine), labels, errors)


@torch.inference_mode()
def answer_maps(
    network: Network, maps: Tensor, stages: int, labels: Labels, preprocess: Preprocess, machine: Machine
) -> Iterator[Answers]:
    """The same of pictures that have been through the first ``stages`` stages already: maps (n, ...)."""
    network.eval()
    batch = at_once(preprocess)
    for start in range(0, len(labels), batch):
        index = np.arange(start, min(start + batch, len(labels)), dtype=np.int64)
        with machine.autocast():
            logits = network.forward_rest(maps[index].to(machine.device), stages)
        yield Answers(index, logits.float().cpu().numpy(), labels[index], [])


def at_once(preprocess: Preprocess) -> int:
    """How many pictures are answered at a time: by their size alone, so that figures repeat to the bit."""
    height, width = preprocess.size
    most = EVAL_BATCH[max(height, width) <= SMALL]
    return max(1, min(most, most * LARGE**2 // (height * width)))


@torch.inference_mode()
def forward(
    model: nn.Module, images: NDArray[np.uint8], preprocess: Preprocess, machine: Machine
) -> NDArray[np.float32]:
    """uint8 pictures (n, h, w, c) -> float32 logits (n, classes)."""
    if not len(images):
        return np.empty((0, 0), np.float32)
    with machine.autocast():
        logits = model(machine.images(images, preprocess))
    return logits.float().cpu().numpy()


def join(parts: Iterable[Answers]) -> Answers:
    kept = list(parts)
    filled = [part.logits for part in kept if len(part.logits)]
    return Answers(
        np.concatenate([part.index for part in kept]) if kept else np.empty(0, np.int64),
        np.concatenate(filled) if filled else np.empty((0, 0), np.float32),
        np.concatenate([part.labels for part in kept]) if kept else np.empty(0, np.int64),
        [error for part in kept for error in part.errors],
    )
