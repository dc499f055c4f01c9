"""What the maps of a graph are like on real pictures, and the scales that round them with the least error."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from resnetkit.export.quantizing import LEVELS, Scale, Seen
from resnetkit.export.runtimes import Ask

POINTS = 512  # of each map of each picture that are kept
BINS = 2048
SHARES = np.linspace(1, 0.2, 81)  # of the range, that are tried


class Watched:
    """What was seen of one map: its ends, points drawn from it, and the sums of its channels."""

    def __init__(self, place: int) -> None:
        self.dice = np.random.default_rng(place)
        self.low = self.high = 0.0  # which every range has, for edges of zeros
        self.drawn: list[NDArray[np.float32]] = []
        self.sums: NDArray[np.float64] | float = 0.0
        self.pictures = 0

    def see(self, maps: NDArray[np.float32]) -> None:
        """Maps (n, channels, ...) of some pictures."""
        self.low, self.high = min(self.low, float(maps.min())), max(self.high, float(maps.max()))
        flat = maps.reshape(-1)
        self.drawn.append(flat[self.dice.integers(0, flat.size, POINTS * len(maps))])
        self.sums = self.sums + maps.reshape(*maps.shape[:2], -1).mean(2, dtype=np.float64).sum(0)
        self.pictures += len(maps)

    @property
    def means(self) -> NDArray[np.float64]:
        return np.asarray(self.sums) / self.pictures

    @property
    def scale(self) -> Scale:
        return scale_of(self.low, self.high, np.concatenate(self.drawn))


def watched(ask: Ask, names: Sequence[str], batches: Iterable[NDArray[np.float32]]) -> Seen:
    """The scales of the maps of these names, from what ``ask`` gives beside its answers."""
    found = {name: Watched(i) for i, name in enumerate(names)}
    for batch in batches:
        values = ask(batch)
        for name, one in found.items():
            one.see(values.get(name, batch))
    return Seen(
        {name: one.scale for name, one in found.items()},
        {name: one.means for name, one in found.items()},
    )


def showing(graph: bytes, names: Sequence[str]) -> bytes:
    """A graph that gives its maps of these names beside its answers."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(graph))
    known = {value.name: value for value in model.graph.value_info}
    model.graph.output.extend(known[name] for name in names if name in known)
    return model.SerializeToString()


def scale_of(low: float, high: float, drawn: NDArray[np.float32]) -> Scale:
    """The scale with the least square error over ``drawn``, among those that clip both ends by the same share."""
    counts, edges = np.histogram(drawn[drawn != 0], BINS, (low, high)) if high > low else (np.zeros(1), np.zeros(2))
    middles = (edges[1:] + edges[:-1]) / 2
    best, least = scale_between(low, high), np.inf
    for share in SHARES:
        tried = scale_between(low * share, high * share)
        error = float((counts * (rounded(middles, tried) - middles) ** 2).sum())
        if error < least:
            best, least = tried, error
    return best


def scale_between(low: float, high: float) -> Scale:
    step = max(high - low, 1e-6) / LEVELS
    return Scale(step, int(np.clip(np.rint(-low / step), 0, LEVELS)))


def rounded(values: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    whole = np.clip(np.rint(values / scale.step) + scale.zero, 0, LEVELS)
    return (whole - scale.zero) * scale.step
