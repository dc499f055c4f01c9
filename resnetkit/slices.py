"""Accuracy by what pictures have in common: their group, the size of their file's picture, their brightness."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture
from resnetkit.data.parts import Part
from resnetkit.intervals import wilson
from resnetkit.metrics import Shares

Kind = Literal["group", "size", "brightness"]
LEAST = 20  # pictures of a slice: of fewer even all right says less than 84 %
QUARTERS = 4
SAMPLES = 64  # rows and columns of a picture that its brightness is taken from


@dataclass(frozen=True)
class Slice:
    """The pictures that have one thing in common."""

    kind: Kind
    name: str
    n: int
    accuracy: float
    low: float  # Wilson's interval of 95 %
    high: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Looks:
    """What was seen of the pictures of a part while they were read; not a number where one was not."""

    size: Shares  # (n,) the side in pixels of a square of the same area
    brightness: Shares  # (n,) mean over pixels and channels, from 0 black to 1 white

    @classmethod
    def at(cls, part: Part) -> "tuple[Looks, Part]":
        """Looks that fill while the part given back is read."""
        looks = cls(np.full(len(part.names), np.nan), np.full(len(part.names), np.nan))

        def read(i: int) -> Picture:
            picture = part.read(i)
            height, width = picture.pixels.shape[:2]
            some = picture.pixels[:: max(1, height // SAMPLES), :: max(1, width // SAMPLES)]
            looks.size[i], looks.brightness[i] = (height * width) ** 0.5, some.mean() / 255
            return picture

        return looks, replace(part, read=read)


def slices(right: NDArray[np.bool_], groups: Sequence[str] | None, looks: Looks | None) -> list[Slice]:
    """Every slice of at least 20 pictures, worst first, from whether each picture was right: (n,), as looks are.

    Sizes and brightness are cut in quarters, each of as many pictures; where all are alike there is nothing to cut.
    """
    found = [*by_group(right, groups)]
    if looks is not None:
        found += [*quarters("size", right, looks.size), *quarters("brightness", right, looks.brightness)]
    return sorted(found, key=lambda one: (one.accuracy, -one.n))


def by_group(right: NDArray[np.bool_], groups: Sequence[str] | None) -> Iterator[Slice]:
    names = np.array(groups if groups is not None else [], object)
    for name in dict.fromkeys(names.tolist()):
        yield from enough("group", str(name), right[names == name])


def quarters(kind: Kind, right: NDArray[np.bool_], values: Shares) -> Iterator[Slice]:
    """Equal values stay together, so that there may be fewer than four."""
    if not np.isfinite(values).all():
        return
    edges = np.unique(np.quantile(values, np.arange(1, QUARTERS) / QUARTERS, method="inverted_cdf"))
    place = np.searchsorted(edges, values, side="left")
    if len(np.unique(place)) < 2:
        return
    for i in np.unique(place):
        inside = values[place == i]
        shown = "{:.0f} to {:.0f} pixels a side" if kind == "size" else "{:.2f} to {:.2f} of white"
        yield from enough(kind, shown.format(inside.min(), inside.max()), right[place == i])


def enough(kind: Kind, name: str, right: NDArray[np.bool_]) -> Iterator[Slice]:
    if len(right) >= LEAST:
        span = wilson(int(right.sum()), len(right))
        yield Slice(kind, name, len(right), float(right.mean()), span.low, span.high)
