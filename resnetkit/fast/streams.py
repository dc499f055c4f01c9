"""OpenVINO with a stream for each thread: the parts of a batch are answered side by side."""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.export.runtimes import HINTS, loaded


class Streams:
    """A graph of one input, ready to answer; Intel's MLPerf runs have one core a stream too."""

    def __init__(self, graph: bytes, threads: int, precision: str) -> None:
        core = loaded().Core()
        how = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": str(threads),
        }
        model = core.compile_model(core.read_model(graph), "CPU", how)
        self.requests = [model.create_infer_request() for _ in range(threads)]
        self.turn = Lock()  # for threads that ask: each request has one place for its answer

    def __call__(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """What comes out first, (n, ...), of what goes in, (n, ...)."""
        parts = np.array_split(np.ascontiguousarray(x), min(len(self.requests), len(x)))
        begun = list(zip(self.requests, parts, strict=False))
        with self.turn:
            for request, part in begun:
                request.start_async({0: part}, share_inputs=True)
            for request, _ in begun:
                request.wait()
            return np.concatenate([request.get_output_tensor(0).data for request, _ in begun])
