"""Drawings as SVG, for a page that needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

import numpy as np
from markupsafe import Markup

from resnetkit.intervals import wilson
from resnetkit.metrics import Shares

WIDTH, HEIGHT, LEFT, ABOVE, BELOW = 560, 240, 52, 10, 26
SIDE = 320  # height of a drawing whose axes have one unit
DOTS = 2000  # of a cloud at most
Line = tuple[str, str, Sequence[float | None]]  # its name, its style (a class of the page), a number for each place
Span = tuple[float, float]


@dataclass(frozen=True)
class Frame:
    """Where numbers stand in a drawing."""

    across: Span
    up: Span
    width: int = WIDTH
    height: int = HEIGHT

    def x(self, value: float) -> float:
        low, high = self.across
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - 10)

    def y(self, value: float) -> float:
        low, high = self.up
        return ABOVE + (high - value) / (high - low) * (self.height - BELOW - ABOVE)

    def drawn(self, parts: Sequence[str], *, percent: bool = False, ends: str = "{:g}") -> Markup:
        """The parts over five lines of the grid, with the ends of the lower axis."""
        head = f'<svg viewBox="0 0 {self.width} {self.height}" role="img" class="chart">'
        grid = []
        for step in range(5):
            value = self.up[0] + (self.up[1] - self.up[0]) * step / 4
            said, y = f"{value:.0%}" if percent else f"{value:.3g}", self.y(value)
            grid.append(f'<line class="grid" x1="{LEFT}" x2="{self.width - 10}" y1="{y:.1f}" y2="{y:.1f}"/>')
            grid.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{said}</text>')
        for value, anchor in zip(self.across, ("start", "end"), strict=True):
            at = f'x="{self.x(value):.1f}" y="{self.height - 8}" text-anchor="{anchor}"'
            grid.append(f"<text {at}>{ends.format(value)}</text>")
        return Markup("".join([head, *grid, *parts, "</svg>"]))  # noqa: S704 (numbers, and escaped names)

    def line(self, name: str, style: str, points: Sequence[Span], *, dots: bool) -> str:
        places = [(self.x(a), self.y(b)) for a, b in points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        marks = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in places) if dots else ""
        return f'<g class="{style}"><title>{escape(name)}</title><polyline points="{path}"/>{marks}</g>'


def curves(epochs: Sequence[float], lines: Sequence[Line], *, percent: bool = False) -> Markup:
    """Lines over the epochs; points that are no numbers are left out.

    Raises ValueError where there is no number at all.
    """
    known = [value for *_, values in lines for value in values if value is not None and isfinite(value)]
    if not known:
        raise ValueError("nothing to draw")
    frame = Frame((epochs[0], max(epochs[-1], epochs[0] + 1e-9)), bounds(known, percent))
    parts = []
    for name, style, values in lines:
        pairs = zip(epochs, values, strict=True)
        points = [(epoch, value) for epoch, value in pairs if value is not None and isfinite(value)]
        parts.append(frame.line(name, style, points, dots=len(points) < 40))
    return frame.drawn(parts, percent=percent)


def reliability(calibration: Mapping[str, Any]) -> Markup:
    """Share of right answers over the probability that was said, with Wilson's intervals; on the diagonal both agree.

    ``calibration`` is that of metrics.json. What it was without the temperature is the other line.
    """
    now, before = calibration["bins"], calibration["before"]["bins"]
    lowest = min(min(one["confidence"], one["accuracy"]) for one in [*now, *before])
    span = (max(0.0, lowest - 0.05), 1.0)
    frame = Frame(span, span, SIDE + LEFT, SIDE)
    parts = [frame.line("", "diagonal", [(span[0], span[0]), (1.0, 1.0)], dots=False)]
    if calibration["temperature"] != 1:
        parts.append(frame.line("before", "train", [(one["confidence"], one["accuracy"]) for one in before], dots=True))
    for one in now:
        low, high = wilson(round(one["accuracy"] * one["n"]), one["n"])
        x = frame.x(one["confidence"])
        ends = (frame.y(max(value, span[0])) for value in (low, high))
        parts.append('<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'.format(x, *ends))
    parts.append(frame.line("now", "val", [(one["confidence"], one["accuracy"]) for one in now], dots=True))
    return frame.drawn(parts, percent=True, ends="{:.0%}")


def risks(selective: Mapping[str, Any]) -> Markup:
    """How many answers are wrong where only the surest share is given; ``selective`` is that of metrics.json."""
    points = list(zip(selective["coverage"], selective["risk"], strict=True))
    frame = Frame((0.0, 1.0), (0.0, max(0.01, *selective["risk"])), SIDE + LEFT, SIDE)
    return frame.drawn([frame.line("risk", "val", points, dots=False)], percent=True, ends="{:.0%}")


def cloud(truth: Shares, said: Shares) -> Markup:
    """What was said over what is true, (n,) each; on the diagonal both are the same. Of very many some are drawn."""
    every = np.unique(np.linspace(0, len(truth) - 1, DOTS).round().astype(int))
    span = bounds([*truth.tolist(), *said.tolist()], percent=False)
    frame = Frame(span, span, SIDE + LEFT, SIDE)
    dots = "".join(f'<circle cx="{frame.x(truth[i]):.1f}" cy="{frame.y(said[i]):.1f}" r="2.5"/>' for i in every)
    diagonal = frame.line("", "diagonal", [(span[0], span[0]), (span[1], span[1])], dots=False)
    return frame.drawn([diagonal, f'<g class="cloud">{dots}</g>'], ends="{:.3g}")


def bounds(values: Sequence[float], percent: bool) -> Span:
    """The least and the most that is drawn, with room for lines that are flat."""
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room
    return (max(low, 0.0), min(high, 1.0)) if percent and high - low > 0.05 else (low, high)
