"""A network of torch asked about pictures and maps that it does not learn from."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.answers import Answers, answered, at_once
from resnetkit.data.examples import Examples
from resnetkit.data.parts import Labels
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.network import Network


def answer(model: nn.Module, examples: Examples, machine: Machine, workers: int = 2) -> Iterator[Answers]:
    """Yield what each batch of ``examples`` brought; join() makes one of all."""
    model.eval()
    yield from answered(partial(forward, model, preprocess=examples.preprocess, machine=machine), examples, workers)


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
