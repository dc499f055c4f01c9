"""Figures as pictures: what is taken for what, and how a run went."""

import io
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite, nan
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from resnetkit.files import write_bytes
from resnetkit.metrics import Counts
from resnetkit.report.fonts import labelled
from resnetkit.report.tables import Cell
from resnetkit.tasks import JUDGES, TASKS, Task

INK, FAINT, BLUE, ORANGE = "#1f2328", "#7d8590", "#0b62a8", "#c4570b"
RIGHT = LinearSegmentedColormap.from_list("right", ["#ffffff", "#c5ddf2", "#6aa7d8", "#1d6cb0", "#08406f"])
WRONG = LinearSegmentedColormap.from_list("wrong", ["#ffffff", "#fbd9b5", "#f2a65e", "#d96a14", "#8f3c03"])
NOTHING = (0.925, 0.93, 0.94)  # the row of a class without pictures
DPI = 120
COUNTED = 30  # up to so many classes each cell says its count
NAMED = 150  # up to so many classes each row says its name
CELLS = 250  # of a row; with more classes neighbours share one, or single mistakes would be too small to see
DRAWN = 1250  # pixels of the matrix where its rows say no names
PAIRS = 25  # of the classes most often taken for one another, listed where cells say no counts


def confusion_picture(path: Path, confusion: Counts, names: Sequence[str]) -> None:
    """Draw how many pictures of each class (row) were called what (column), as PNG.

    Few classes have their counts in the cells, more have their names beside them and the commonest
    mistakes in a list, many share a cell with their neighbours.
    """
    together = -(-len(names) // CELLS)
    colours = shaded(confusion, together)
    side = len(colours) * cell_inches(len(colours))
    labels, families = labelled(names)

    figure = Figure(figsize=(side + 4, side + 4), dpi=DPI, facecolor="white")
    axes = figure.add_axes((2 / (side + 4), 2 / (side + 4), side / (side + 4), side / (side + 4)))
    axes.imshow(colours, interpolation="nearest")
    axes.tick_params(length=0 if len(names) <= NAMED else 3, color=FAINT, labelcolor=INK)
    axes.spines[:].set_color(FAINT)
    axes.set_xlabel("predicted", color=INK, labelpad=8)
    axes.set_ylabel("true", color=INK, labelpad=8)
    name_ticks(axes, labels, families, together)
    if len(names) <= COUNTED:
        count_cells(axes, confusion)
    else:
        list_pairs(axes, confusion, labels, families, side)

    correct, pictures = int(confusion.trace()), int(confusion.sum())
    correct_share = f"{correct / pictures:.2%}" if pictures else "no pictures"
    above(axes, 24, f"{correct_share} right: {correct:,} of {pictures:,}", INK, 12)
    empty = ", grey: no pictures" if (confusion.sum(axis=1) == 0).any() else ""
    shared = f"; a cell is {together} x {together} classes" if together > 1 else ""
    above(axes, 9, f"blue: right, orange: wrong{empty}; darker: more of its row{shared}", FAINT, 8)
    save(figure, path)


def cell_inches(cells: int) -> float:
    if cells > NAMED:
        return DRAWN // cells / DPI  # whole pixels, so that no row is wider than its neighbour
    if cells > COUNTED:
        return max(0.13, 6 / cells)
    return 0.42 if cells > 15 else 0.55 if cells > 5 else 0.9


def shaded(confusion: Counts, together: int) -> NDArray[np.float64]:
    """The colour of each cell by its share of the row, small shares brought out: (cells, cells, 3)."""
    starts = np.arange(0, len(confusion), together)
    support = np.add.reduceat(confusion.sum(axis=1), starts)[:, None]
    counts = np.add.reduceat(np.add.reduceat(confusion, starts, axis=0), starts, axis=1)
    np.fill_diagonal(counts, np.add.reduceat(confusion.diagonal(), starts))  # right is right, not nearly right
    shares = np.divide(counts, support, out=np.zeros(counts.shape), where=support > 0) ** 0.5
    colours = np.where(np.eye(len(counts), dtype=bool)[:, :, None], RIGHT(shares)[:, :, :3], WRONG(shares)[:, :, :3])
    colours[support[:, 0] == 0] = NOTHING
    return colours


def name_ticks(axes: Axes, labels: Sequence[str], families: list[str], together: int) -> None:
    """Every class by its name, or from NAMED on about ten of them by number and name."""
    if len(labels) <= NAMED:
        places, texts = list(range(len(labels))), list(labels)
    else:
        step = round_step(len(labels))
        numbers = range(0, len(labels), step)
        places = [number // together for number in numbers]
        texts = [str(i) if labels[i] == f"#{i}" else f"{labels[i]}  {i}" for i in numbers]
    size = 9 if len(labels) <= COUNTED else 8 if len(labels) <= 60 else 6.5
    flat = len(labels) <= 5 and max(map(len, labels)) <= 8
    axes.set_xticks(places, texts, rotation=0 if flat else 90)
    axes.set_yticks(places, texts)
    for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
        literal(text, families, size)


def round_step(count: int) -> int:
    """1, 2 or 5 times a power of ten, so that about ten of them make ``count``."""
    power = 10 ** (len(str(count // 10)) - 1)
    return min((power, 2 * power, 5 * power, 10 * power), key=lambda step: abs(count / step - 10))


def count_cells(axes: Axes, confusion: Counts) -> None:
    classes = len(confusion)
    axes.set_xticks(np.arange(0.5, classes - 1), minor=True)
    axes.set_yticks(np.arange(0.5, classes - 1), minor=True)
    axes.grid(which="minor", color="#e3e6ea", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    support = confusion.sum(axis=1)
    digits = len(f"{confusion.max():,}")
    size = min(11, 0.85 * cell_inches(classes) * 72 / (0.64 * digits))
    for row, column in zip(*np.nonzero(confusion), strict=True):
        count = confusion[row, column]
        colour = "white" if count > 0.3 * support[row] else INK
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=size)


def list_pairs(axes: Axes, confusion: Counts, labels: Sequence[str], families: list[str], side: float) -> None:
    """Beside the matrix: which class is taken for which other, the most pictures first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    flat = wrong.ravel()
    order = np.argsort(-flat, kind="stable")[: min(PAIRS, int(side / 0.2) - 2)]
    pairs = [divmod(int(place), len(labels)) for place in order if flat[place] > 0]
    if not pairs:
        return
    x, line = 1 + 0.35 / side, 0.2 / side
    column = x + (0.12 + 0.075 * len(f"{flat.max():,}")) / side
    axes.text(x, 1, "most often taken for another", transform=axes.transAxes, va="top", color=INK, fontsize=9)
    for i, (true, predicted) in enumerate(pairs, start=1):
        y = 1 - (i + 0.4) * line
        count = f"{wrong[true, predicted]:,}"
        axes.text(
            column - 0.1 / side, y, count, transform=axes.transAxes, va="top", ha="right", color=ORANGE, fontsize=8
        )
        text = axes.text(
            column, y, f"{labels[true]}  \N{RIGHTWARDS ARROW}  {labels[predicted]}", transform=axes.transAxes
        )
        text.set(va="top", color=INK)
        literal(text, families, 8)


def above(axes: Axes, points: float, words: str, colour: str, size: float) -> None:
    """A line above the axes, from its left edge."""
    axes.annotate(words, (0, 1), (0, points), "axes fraction", "offset points", color=colour, fontsize=size)


def curves_picture(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Draw loss, what the task is judged by, and learning rate of each epoch as PNG, the best epoch marked.

    Each row holds ``epoch`` and any of train_loss, train_accuracy, val_loss, val_accuracy and lr; of other tasks their
    own judge in place of the accuracy.
    """
    task = next((task for name, task in JUDGES.items() if any(name in row for row in rows)), TASKS["classes"])
    figure = Figure(figsize=(10, 5.2), dpi=DPI, facecolor="white")
    panels = figure.subplot_mosaic(
        [["loss", "judge"], ["lr", "lr"]],
        height_ratios=[4, 1],
        gridspec_kw={"left": 0.07, "right": 0.97, "top": 0.92, "bottom": 0.1, "hspace": 0.35, "wspace": 0.2},
    )
    epochs = column(rows, "epoch")
    for panel, name, title in (("loss", "loss", "loss"), ("judge", task.judge, task.says)):
        for part, whose, colour in (("train", "training", FAINT), ("val", "validation", BLUE)):
            draw(panels[panel], epochs, column(rows, f"{part}_{name}"), colour, whose)
        panels[panel].set_title(title, loc="left", color=INK, fontsize=11)
        if panels[panel].lines:
            panels[panel].legend(frameon=False, fontsize=9, labelcolor=INK)
    if task.name == "classes":
        panels["judge"].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    draw(panels["lr"], epochs, column(rows, "lr"), ORANGE, "learning rate")
    panels["lr"].set_title("learning rate", loc="left", color=INK, fontsize=9)
    panels["lr"].set_ylim(bottom=0)
    panels["lr"].set_xlabel("epoch", color=INK)
    best = best_row(rows, task)
    for axes in panels.values():
        tidy(axes, epochs)
        if best is not None:
            axes.axvline(epochs[best], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    if best is not None:
        mark(panels["judge"], epochs[best], column(rows, f"val_{task.judge}")[best], task)
    save(figure, path)


def column(rows: Sequence[Mapping[str, Cell]], name: str) -> list[float]:
    """One figure over the epochs; what is absent or not finite is a gap."""
    values = (row.get(name) for row in rows)
    return [float(value) if isinstance(value, int | float) and isfinite(value) else nan for value in values]


def best_row(rows: Sequence[Mapping[str, Cell]], task: Task = TASKS["classes"]) -> int | None:
    """The row that the task judges highest, of equals the one of the lowest val_loss, then the first."""
    judged, losses = column(rows, f"val_{task.judge}"), column(rows, "val_loss")
    known = [
        (-figure, loss if isfinite(loss) else inf, i)
        for i, (figure, loss) in enumerate(zip(judged, losses, strict=True))
        if isfinite(figure)
    ]
    return min(known)[2] if known else None


def draw(axes: Axes, epochs: Sequence[float], values: Sequence[float], colour: str, label: str) -> None:
    if any(map(isfinite, values)):
        marker = "o" if len(values) <= 40 else None
        axes.plot(epochs, values, color=colour, linewidth=1.6, marker=marker, markersize=3.5, label=label)


def mark(axes: Axes, epoch: float, figure: float, task: Task) -> None:
    axes.plot([epoch], [figure], "o", color=BLUE, markersize=8, markerfacecolor="none", markeredgewidth=1.6)
    axes.set_title(f"best: {figure:{task.shown}} at epoch {epoch:g}", loc="right", color=BLUE, fontsize=10)


def tidy(axes: Axes, epochs: Sequence[float]) -> None:
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)


def literal(text: Text, families: Iterable[str], size: float) -> None:
    """Write a name as it stands: a dollar sign starts no formula."""
    text.set_parse_math(False)
    text.set_fontfamily(list(families))
    text.set_fontsize(size)


def save(figure: Figure, path: Path) -> None:
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", pad_inches=0.2, metadata={"Software": None})
    write_bytes(path, out.getbuffer())


def sweep_picture(
    path: Path, names: Sequence[str], points: Sequence[tuple[Mapping[str, Cell], float]], task: Task = TASKS["classes"]
) -> None:
    """Draw what each trial came to on validation over each setting that varied, as PNG, the best trial marked."""
    figure = Figure(figsize=(1.2 + 3.4 * len(names), 4), dpi=DPI, facecolor="white", layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    heights = [accuracy for _, accuracy in points]
    best = max(range(len(points)), key=heights.__getitem__)
    for name, axes in zip(names, panels, strict=True):
        values = [changes[name] for changes, _ in points]
        numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) < len(values):
            words = sorted({str(v) for v in values})
            numbers = [float(words.index(str(v))) for v in values]
            labels, families = labelled(words, 20)
            axes.set_xticks(range(len(words)), labels)
            for text in axes.get_xticklabels():
                literal(text, families, 10)
            axes.set_xlim(-0.5, len(words) - 0.5)
        elif min(numbers) > 0 and max(numbers) / min(numbers) >= 8:
            axes.set_xscale("log")
        axes.scatter(numbers, heights, s=28, color=BLUE, alpha=0.7, linewidths=0)
        axes.scatter([numbers[best]], [heights[best]], s=110, facecolors="none", edgecolors=ORANGE, linewidths=1.8)
        axes.set_xlabel(name, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(FAINT)
        axes.tick_params(color=FAINT, labelcolor=INK)
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
    if task.name == "classes":
        panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    panels[0].set_ylabel(f"validation {task.says}", color=INK)
    figure.suptitle(f"best: {heights[best]:{task.shown}}", x=0.99, ha="right", color=ORANGE, fontsize=10)
    save(figure, path)
