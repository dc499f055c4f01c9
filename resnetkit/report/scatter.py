"""What was said of numbers beside what is true, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from resnetkit.metrics import NumberRow, Shares
from resnetkit.report.fonts import labelled
from resnetkit.report.pictures import BLUE, DPI, FAINT, INK, literal, save

PANELS = 12  # at most; of more numbers the first are drawn


def numbers_picture(path: Path, said: Shares, truth: Shares, rows: Sequence[NumberRow]) -> None:
    """Draw the answer to each picture over the true number, a panel a number, as PNG. On the line all is right."""
    shown = rows[:PANELS]
    labels, families = labelled([row.name for row in shown])
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(4.2 * across, 4.4 * down), dpi=DPI, facecolor="white", layout="constrained")
    for i, (panel, row) in enumerate(zip(figure.subplots(down, across, squeeze=False).flat, shown, strict=False)):
        low = float(min(truth[:, i].min(), said[:, i].min()))
        high = float(max(truth[:, i].max(), said[:, i].max()))
        edge = 0.04 * (high - low) or 1.0
        ends = [low - edge, high + edge]
        panel.plot(ends, ends, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
        size = 12 if len(truth) <= 1000 else 4
        panel.scatter(
            truth[:, i],
            said[:, i],
            s=size,
            color=BLUE,
            alpha=max(0.15, min(0.7, 60 / np.sqrt(len(truth)) / 2)),
            linewidths=0,
        )
        panel.set(xlim=ends, ylim=ends, aspect="equal")
        panel.set_xlabel("true", color=INK)
        panel.set_ylabel("predicted", color=INK)
        literal(panel.set_title(labels[i], loc="left", color=INK), families, 11)
        panel.set_title(f"MAE {row.mae:.4g}, R2 {row.r2:.3f}", loc="right", color=FAINT, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(FAINT)
        panel.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    for panel in figure.axes[len(shown) :]:
        panel.set_visible(False)
    save(figure, path)
