"""How much memory a process needs that answers in one way and does nothing else: this one.

python -m resnetkit.fast.weigh FILE RUNTIME PRECISION THREADS N,H,W,C [streams] prints bytes; FILE is a model file
for torch, a graph else.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from resnetkit.export.runtimes import RUNTIMES
from resnetkit.fast.streams import Streams

OTHERS = {runtime.name: runtime for runtime in RUNTIMES.values()}


def main(file: str, runtime: str, precision: str, threads: str, shape: str, streams: str = "") -> None:
    images = np.zeros([int(side) for side in shape.split(",")], np.uint8)
    if runtime in OTHERS:
        ask: Callable[[Any], Any]
        if streams:
            ask = Streams(Path(file).read_bytes(), int(threads), precision)
        else:
            ask = OTHERS[runtime].open(Path(file), int(threads), precision=precision)
        for _ in range(2):
            ask(images)
    else:
        import torch

        from resnetkit.classifier import load
        from resnetkit.fast.graphs import Graphs
        from resnetkit.fast.ways import EAGER, Way, eager, opened

        torch.set_num_threads(int(threads))
        model = load(file, device="cpu")
        about = (model.card, model.model, model.machine)
        run = (
            eager(*about, precision)
            if runtime == EAGER
            else opened(Way(runtime, precision), *about, Graphs(*about[:2]))
        )
        for _ in range(2):
            run(images)
    sys.stdout.write(f"{peak()}\n")


def peak() -> int:
    """Bytes. Linux counts in getrusage what the process that started this one held, macOS does not."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text("ascii", "replace").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(*sys.argv[1:])
