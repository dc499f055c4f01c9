"""A network as graphs for other runtimes, each drawn when it is first asked for."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from resnetkit.export.graph import Drawing, drawing
from resnetkit.export.int8 import DROP, Lowered, Lowering
from resnetkit.export.parted import Parted
from resnetkit.modelfile import Card
from resnetkit.network import Network

PLAIN = "plain"  # the graph of every precision but int8
KINDS = {"onnxruntime": "onnx", "openvino": "openvino"}  # what whole numbers are written for


class Graphs:
    """Bytes of ONNX: pictures as the preprocessing leaves them, uint8 (n, h, w, c), to logits.

    Those of int8 have their scales from the pictures that ``parts`` finds, and lose at most ``max_drop`` points on val.
    """

    def __init__(
        self, card: Card, network: Network, parts: Callable[[], Parted] | None = None, max_drop: float = DROP
    ) -> None:
        self.card, self.network, self.max_drop = card, network, max_drop
        self.parts = cache(parts) if parts else None
        self.drawing: Callable[[], Drawing] = cache(lambda: drawing(card, network, "seen"))
        self.plain: Callable[[], bytes] = cache(lambda: self.drawing().to_bytes({}))
        self.lowered: dict[str, tuple[bytes, Lowered]] = {}  # by runtime
        self.took: dict[str, float] = {}  # seconds that each took: a runtime's for int8, and PLAIN

    def of(self, runtime: str, precision: str) -> bytes:
        """Raises WeightsError where no graph of int8 keeps to ``max_drop``, DataError where there are no pictures."""
        begun = time.perf_counter()
        found = self.lower(runtime) if precision == "int8" else self.plain()
        self.took.setdefault(runtime if precision == "int8" else PLAIN, time.perf_counter() - begun)
        return found

    def seconds(self, runtime: str, precision: str) -> float:
        """How long the graph of a way took that was drawn."""
        return self.took.get(runtime if precision == "int8" else PLAIN, 0.0) if runtime in KINDS else 0.0

    def lower(self, runtime: str) -> bytes:
        if runtime not in self.lowered:
            assert self.parts is not None
            with TemporaryDirectory() as folder:
                to, threads = KINDS[runtime], torch.get_num_threads()
                work = Lowering(self.card, self.drawing(), "seen", to, self.parts(), Path(folder), threads)
                found, how = work.lowered(self.max_drop)
                self.lowered[runtime] = found.to_bytes({}), how
        return self.lowered[runtime][0]
