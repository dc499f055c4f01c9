"""Curves of a run as SVG, for a page that needs nothing else."""

from collections.abc import Sequence
from html import escape
from math import isfinite

WIDTH, HEIGHT, LEFT, BELOW = 560, 240, 52, 26
Line = tuple[str, str, Sequence[float | None]]  # its name, its style (a class of the page), a number for each epoch


def curves(epochs: Sequence[float], lines: Sequence[Line], *, percent: bool = False) -> str:
    """Lines over the epochs as an SVG element; points that are no numbers are left out.

    Raises ValueError where there is no number at all.
    """
    known = [value for *_, values in lines for value in values if value is not None and isfinite(value)]
    if not known:
        raise ValueError("nothing to draw")
    low, high = bounds(known, percent)
    first, last = epochs[0], max(epochs[-1], epochs[0] + 1e-9)

    def x(epoch: float) -> float:
        return LEFT + (epoch - first) / (last - first) * (WIDTH - LEFT - 10)

    def y(value: float) -> float:
        return 10 + (high - value) / (high - low) * (HEIGHT - BELOW - 10)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" class="chart">']
    for step in range(5):
        value = low + (high - low) * step / 4
        said = f"{value:.0%}" if percent else f"{value:.3g}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 10}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{said}</text>')
    parts += [
        f'<text x="{x(epoch):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{epoch:g}</text>'
        for epoch in (epochs[0], epochs[-1])
    ]
    for name, style, values in lines:
        points = [
            (x(epoch), y(value))
            for epoch, value in zip(epochs, values, strict=True)
            if value is not None and isfinite(value)
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in points) if len(points) < 40 else ""
        parts.append(f'<g class="{style}"><title>{escape(name)}</title><polyline points="{path}"/>{dots}</g>')
    return "".join([*parts, "</svg>"])


def bounds(values: Sequence[float], percent: bool) -> tuple[float, float]:
    """The least and the most that is drawn, with room for lines that are flat."""
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room
    return (max(low, 0.0), min(high, 1.0)) if percent and high - low > 0.05 else (low, high)
