"""The loss over the learning rate, as a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from resnetkit.engine.lrfinder import Curve
from resnetkit.report.pictures import BLUE, DPI, FAINT, INK, ORANGE, save


def rates_picture(path: Path, curve: Curve) -> None:
    """Draw the loss at each rate and smoothed, as PNG, the rate that is suggested marked where it falls steepest."""
    figure = Figure(figsize=(8, 4.6), dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.subplots()
    rates, losses = [point.rate for point in curve.points], [point.loss for point in curve.points]
    axes.set_xscale("log")
    axes.plot(rates, losses, "o", color=FAINT, markersize=3, alpha=0.6, label="loss of a step")
    axes.plot(rates, curve.smooth, color=BLUE, linewidth=1.8, label="smoothed")
    axes.axvline(curve.suggested, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
    low, start = min(*curve.smooth, *losses), max(losses[: max(1, len(losses) // 3)])
    edge = 0.15 * (start - low) or 1.0
    axes.set_ylim(low - edge, start + 2 * edge)  # what is lost at the end would leave no room for the rest
    axes.set_title("loss over learning rate", loc="left", color=INK, fontsize=11)
    axes.set_title(f"falls steepest at {curve.suggested:g}", loc="right", color=ORANGE, fontsize=10)
    axes.set_xlabel("learning rate", color=INK)
    axes.set_ylabel("loss", color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", color=FAINT, labelcolor=INK, labelsize=9)
    save(figure, path)
