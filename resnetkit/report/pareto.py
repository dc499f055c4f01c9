"""What speed costs, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, PercentFormatter

from resnetkit.fast.bench import Row
from resnetkit.report.pictures import BLUE, DPI, FAINT, INK, ORANGE, save
from resnetkit.tasks import Task


def pareto_picture(path: Path, rows: Sequence[Row], front: Sequence[Row], batch: int, title: str, task: Task) -> None:
    """Draw the time of a picture over the figure of its task, or over what an answer changes, as PNG.

    Those of ``front``, which no other beats in both, are joined by a line. Bars reach from the lowest to the highest
    median of a turn.
    """
    figure = Figure(figsize=(8, 5), dpi=DPI, facecolor="white", layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    known = [row for row in rows if row.speeds]
    right = all(row.figure is not None for row in known)
    best = {id(row) for row in front}

    def place(row: Row) -> tuple[float, float]:
        return 1000 * row.at(batch).p50 / batch, (row.figure if right else row.apart) or 0.0

    axes.plot(*zip(*map(place, front), strict=True), color=ORANGE, linewidth=1.4, zorder=0, drawstyle="steps-post")
    for row in known:
        x, y = place(row)
        one = row.at(batch)
        colour = ORANGE if id(row) in best else BLUE
        axes.hlines(y, 1000 * one.low / batch, 1000 * one.high / batch, color=colour, linewidth=1, alpha=0.6)
        axes.plot(x, y, "o", color=colour, markersize=6)
        axes.annotate(
            str(row.way),
            (x, y),
            (3, 6),
            textcoords="offset points",
            rotation=65,
            rotation_mode="anchor",
            fontsize=8,
            color=INK,
        )
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_title("orange: no other is both faster and better", loc="right", color=ORANGE, fontsize=9)
    axes.set_xlabel(f"milliseconds a picture, {batch} at a time", color=INK)
    if right:
        axes.set_ylabel(task.says, color=INK)
        if task.shown.endswith("%"):
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=2))
    else:
        axes.set_ylabel("largest change of an answer: lower is better", color=INK)
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for ticks in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        ticks(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.margins(x=0.15, y=0.5)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(which="both", color=FAINT, labelcolor=INK, labelsize=9)
    save(figure, path)
