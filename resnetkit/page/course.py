"""How a run went: its figures over the epochs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnetkit.page.chart import curves
from resnetkit.page.page import Section

FIGURES = ("accuracy", "mean_ap", "r2", "loss")  # that an epoch may have, of train and of val
SHARES = ("accuracy", "mean_ap")


def course(history: Sequence[Mapping[str, Any]]) -> Iterator[Section]:
    """The curves of what there is more than one epoch of."""
    charts = []
    for name in FIGURES:
        rows = [row for row in history if f"val_{name}" in row]
        if len(rows) > 1:
            lines = [(kind, kind, [row.get(f"{kind}_{name}") for row in rows]) for kind in ("val", "train")]
            charts.append((name, curves([float(row["epoch"]) for row in rows], lines, percent=name in SHARES)))
    if charts:
        yield Section("course", {"charts": charts})
