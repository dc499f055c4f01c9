"""What the maps of a graph are like on real pictures, and the scales that fit them.

Scales reach from the least number to the largest, and so do those of weights. Clipping both where the square error is
least changed nothing that could be measured with 8 bits: see docs/export.md.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from resnetkit.export.quantizing import LEVELS, Scale, Seen
from resnetkit.export.runtimes import Ask

LEAST = 1e-6  # that a range spans, so that a map of zeros has one


class Watched:
    """What was seen of one map: its ends, and the sums of its channels."""

    def __init__(self) -> None:
        self.low = self.high = 0.0  # which every range has, for edges of zeros
        self.sums: NDArray[np.float64] | float = 0.0
        self.pictures = 0

    def see(self, maps: NDArray[np.float32]) -> None:
        """Maps (n, channels, ...) of some pictures."""
        self.low, self.high = min(self.low, float(maps.min())), max(self.high, float(maps.max()))
        self.sums = self.sums + maps.reshape(*maps.shape[:2], -1).mean(2, dtype=np.float64).sum(0)
        self.pictures += len(maps)


def watched(ask: Ask, names: Sequence[str], batches: Iterable[NDArray[np.float32]]) -> Seen:
    """The scales of the maps of these names, from what ``ask`` gives beside its answers."""
    found = {name: Watched() for name in names}
    for batch in batches:
        values = ask(batch)
        for name, one in found.items():
            one.see(values.get(name, batch))
    return Seen(
        {name: scale_between(one.low, one.high) for name, one in found.items()},
        {name: np.asarray(one.sums) / one.pictures for name, one in found.items()},
    )


def showing(graph: bytes, names: Sequence[str]) -> bytes:
    """A graph that gives its maps of these names beside its answers."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph))
    known = {value.name: value for value in model.graph.value_info}
    model.graph.output.extend(known[name] for name in names if name in known)
    return model.SerializeToString()


def scale_between(low: float, high: float) -> Scale:
    """The scale of numbers from ``low``, at most 0, to ``high``, at least 0, with a whole number for 0 itself."""
    step = max(high - low, LEAST) / LEVELS
    return Scale(step, int(np.clip(np.rint(-low / step), 0, LEVELS)))
