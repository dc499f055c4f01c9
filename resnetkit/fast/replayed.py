"""A network on a GPU whose steps are recorded once and replayed, so that none waits for Python (CUDA graphs)."""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine, normalised

WARM = 3  # passes before a recording, in which cuDNN and torch make what they need


@dataclass(frozen=True)
class Recording:
    """The steps for so many pictures, with the memory that they read and write."""

    graph: torch.cuda.CUDAGraph
    pixels: Tensor  # uint8 (n, h, w, c)
    logits: Tensor  # (n, classes)


class Replayed:
    """A network ready to answer; a batch is filled up to the next power of two, and each of these is recorded once."""

    def __init__(self, network: nn.Module, preprocess: Preprocess, machine: Machine) -> None:
        self.network, self.machine, self.scale = network, machine, machine.scale(preprocess)
        self.recorded: dict[int, Recording] = {}
        self.turn = Lock()  # for threads that ask: a recording has one place for its answer

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 pictures (n, h, w, c) -> float32 logits (n, classes)."""
        if not len(images):
            return np.empty((0, 0), np.float32)
        count = filled(len(images))
        with self.turn, torch.cuda.device(self.machine.device):
            if count not in self.recorded:
                self.recorded[count] = self.record((count, *images.shape[1:]))
            found = self.recorded[count]
            found.pixels[: len(images)].copy_(torch.from_numpy(images))
            found.graph.replay()
            return found.logits[: len(images)].float().cpu().numpy()

    def record(self, shape: tuple[int, ...]) -> Recording:
        """As torch's notes on CUDA semantics have it: passes on a stream beside the usual one, then the recorded."""
        with torch.cuda.device(self.machine.device):
            pixels = torch.zeros(shape, dtype=torch.uint8, device=self.machine.device)
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM):
                    self.network(normalised(pixels, *self.scale))
            torch.cuda.current_stream().wait_stream(beside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = self.network(normalised(pixels, *self.scale))
        return Recording(graph, pixels, logits)


def filled(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()
