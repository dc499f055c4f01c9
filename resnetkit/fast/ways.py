"""The ways to run a network here: a runtime and a precision each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from numpy.typing import NDArray

from resnetkit.engine.device import DTYPES, Machine, half
from resnetkit.engine.evaluate import forward
from resnetkit.export.runtimes import RUNTIMES
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.replayed import Replayed
from resnetkit.fast.streams import Streams
from resnetkit.fused import fused
from resnetkit.modelfile import Card
from resnetkit.network import Network

Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]  # pictures (n, h, w, c), preprocessed, to logits (n, classes)
OTHERS = {runtime.name: runtime for runtime in RUNTIMES.values()}
EAGER = "torch eager"  # the network as it stands, which every other way is held against
FUSED = "torch fused"  # a copy whose convolutions do what follows them
REPLAYED = "torch replayed"  # that copy on a GPU, its steps recorded


@dataclass(frozen=True)
class Way:
    """One of them."""

    runtime: str  # FUSED, EAGER, REPLAYED, or the name of one of OTHERS
    precision: str
    streams: bool = False  # a stream for each thread, each with a part of the batch

    @property
    def says(self) -> str:
        if self.runtime in OTHERS:
            return f"{self.runtime} {version(self.runtime)}{' in streams' * self.streams}"
        return f"torch {torch.__version__} {self.runtime.removeprefix('torch ')}"

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}{' in streams' * self.streams}"


def ways(machine: Machine, batch: int = 1, *, int8: bool = False) -> list[Way]:
    """What there is for a machine, float32 first: other runtimes only on a CPU, where installed; graphs only on a GPU.

    Ways of int8 need pictures, and so are named only where they are asked for.
    """
    kinds = list(dict.fromkeys(["fp32", half(machine.device)]))
    found = [Way(FUSED, kind) for kind in kinds]
    if machine.device.type == "cuda":
        found += [Way(REPLAYED, kind) for kind in kinds]
    if machine.device.type == "cpu":
        streams = [False, True] if 1 < torch.get_num_threads() <= batch else [False]
        lower = ["int8"] if int8 else []
        found += [Way("openvino", kind, many) for kind in kinds + lower for many in streams if installed("openvino")]
        found += [Way("onnxruntime", kind) for kind in ["fp32", *lower] if installed("onnxruntime")]
    return sorted(found, key=lambda way: way.precision != "fp32")


def installed(name: str) -> bool:
    """Whether a runtime is here, and what writes graphs for it."""
    try:
        return bool(version(name) and version("onnx"))
    except PackageNotFoundError:
        return False


def eager(card: Card, network: Network, machine: Machine, precision: str) -> Run:
    """The network as it stands, by autocast where that is not in float32."""
    return partial(forward, network, preprocess=card.preprocess, machine=Machine(machine.device, precision))


def opened(way: Way, card: Card, network: Network, machine: Machine, graphs: Graphs) -> Run:
    """A copy of a network, ready to answer in one way; ``graphs`` draws it for another runtime.

    Raises ResourceError for a runtime that cannot be loaded, and what a runtime raises for what it cannot run.
    """
    if way.runtime in (FUSED, REPLAYED):
        full = Machine(machine.device, "fp32")
        copy = full.prepare(fused(network, DTYPES[way.precision]))
        if way.runtime == REPLAYED:
            return Replayed(copy, card.preprocess, full)
        return partial(forward, copy, preprocess=card.preprocess, machine=full)
    graph, threads = graphs.of(way.runtime, way.precision), torch.get_num_threads()
    rest = "fp32" if way.precision == "int8" else way.precision  # of what the graph does not say
    if way.streams:
        return Streams(graph, threads, rest)
    ask = OTHERS[way.runtime].open(graph, threads, precision=rest)
    return lambda images: next(iter(ask(images).values()))
