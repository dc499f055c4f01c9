"""How often answers of each probability are right, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from resnetkit.intervals import wilson
from resnetkit.report.pictures import BLUE, DPI, FAINT, INK, ORANGE, save

Bins = Sequence[Mapping[str, Any]]  # each with confidence, accuracy and n


def reliability_picture(path: Path, calibration: Mapping[str, Any]) -> None:
    """Draw the share of right answers over the probability that was said, as PNG: on the line both are the same.

    ``calibration`` is that of metrics.json. Bars are Wilson's intervals of 95 % (Guo et al. 2017, figure 1, has bare
    shares); what it was without the temperature stands behind it in grey.
    """
    figure = Figure(figsize=(5.6, 5.6), dpi=DPI, facecolor="white", layout="constrained")
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    before, now, warm = calibration["before"], calibration, calibration["temperature"]
    if warm != 1:
        curve(panel, before["bins"], FAINT, f"as the network says: error {before['ece']:.2%}", bars=False)
    words = "as the network says" if warm == 1 else f"with temperature {warm:g}"
    curve(panel, now["bins"], BLUE, f"{words}: error {now['ece']:.2%}", bars=True)
    low = min(min(one["confidence"], one["accuracy"]) for one in [*before["bins"], *now["bins"]])
    panel.set(xlim=(max(0, low - 0.08), 1.015), ylim=(max(0, low - 0.08), 1.015), aspect="equal")
    panel.set_xlabel("probability of the likeliest class", color=INK)
    panel.set_ylabel("share of answers that are right", color=INK)
    panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.text(0.98, 0.03, "below the line: too sure", transform=panel.transAxes, ha="right", color=ORANGE, fontsize=9)
    panel.legend(frameon=False, fontsize=9, labelcolor=INK, loc="upper left")
    panel.grid(color="#e3e6ea", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(FAINT)
    panel.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    save(figure, path)


def curve(panel: Axes, bins: Bins, colour: str, label: str, *, bars: bool) -> None:
    """A point for each bin, its interval where ``bars`` are wanted."""
    at, share = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
    spans = [wilson(round(one["accuracy"] * one["n"]), one["n"]) for one in bins] if bars else []
    if bars:
        panel.vlines(
            at, [span.low for span in spans], [span.high for span in spans], color=colour, linewidth=1, alpha=0.6
        )
    panel.plot(at, share, color=colour, linewidth=1.4, marker="o", markersize=4, label=label)
