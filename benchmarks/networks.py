"""Write docs/networks.md and its picture: what every network costs, and how far it is from the same one elsewhere.

python -m benchmarks.networks          everything anew (minutes)
"""

import sys
from pathlib import Path

import matplotlib as mpl

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from zoo_peers import compared  # noqa: E402

from resnetkit.cost import totals  # noqa: E402
from resnetkit.layout import lay_out  # noqa: E402
from resnetkit.plan import each  # noqa: E402
from resnetkit.published import Row, rows  # noqa: E402
from resnetkit.zoo import ZOO, find  # noqa: E402

PAGE, PICTURE = ROOT / "docs" / "networks.md", ROOT / "docs" / "networks.png"
INTRO = """# Networks

Made by `python -m benchmarks.networks`. `resnet models` lists them, `resnet describe NAME` shows one layer by layer.

* **parameters**, **multiply-adds** (millions, of convolutions and of the head) and **activations** (millions, what
  convolutions give) at the input that is named; **field**: how many pixels along a side one point of the last map
  depends on, attention aside.
* **top-1**: the best published accuracy on ImageNet's validation pictures among the weights that
  [published weights](published.md) lists, with the weights' name. It is their authors' figure, not ours.
* **equals**: the library whose network of the same tensors was given the same numbers (norms as after training, one
  picture of odd sides), and the largest difference of a logit, in shares of the largest, in float64 and in float32.
  A dash: no library that we test against has it; its figures are kept in `tests/golden/zoo.json`.

![accuracy against cost](networks.png)

| network | input | parameters | multiply-adds | activations | field | top-1 | equals | float64 | float32 |
|---|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    lines = []
    for name in ZOO:
        lines.append(line(name))
        print(lines[-1], file=sys.stderr, flush=True)
    PAGE.write_text(INTRO + "\n".join(lines) + "\n", encoding="utf-8")
    draw()


def line(name: str) -> str:
    plan = lay_out(find(name))
    cost, found, row = totals(plan), compared(name), best(name)
    sides = "x".join(map(str, (plan.channels, *each(plan.size, plan.ndim))))
    top1 = f"{row.top1:.2f} ({row.name})" if row else ""
    equals = f"{found.peer} | {found.exact:.0e} | {found.single:.0e}" if found.peer else "- | |"
    figures = f"{cost.parameters:,} | {cost.macs / 1e6:,.0f} | {cost.activations / 1e6:.1f} | {cost.receptive_field:,}"
    return f"| {name} | {sides} | {figures} | {top1} | {equals} |"


def best(name: str) -> Row | None:
    """The weights of a network with the highest accuracy that is published on ImageNet-1k."""
    known = [row for row in rows() if row.network == name and row.top1 is not None and row.classes == 1000]
    return max(known, key=lambda row: row.top1 or 0, default=None)


def draw() -> None:
    """Accuracy against multiply-adds, at the size that each accuracy was measured at."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 7), layout="constrained")
    for word, colour in FAMILIES.items():
        points = []
        for name in ZOO:
            row = best(name)
            if row and family(name) == word:
                cost = totals(lay_out(find(name)), row.measured_at or row.size).macs / 1e9
                points.append((cost, row.top1, name))
        if points:
            axes.scatter(*zip(*[(x, y) for x, y, _ in points], strict=True), s=28, color=colour, label=word)
        for x, y, name in points:
            axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6.5, color="#444444")
    axes.set_xscale("log")
    axes.set_xlabel("multiply-adds, billions, at the size of the published figure")
    axes.set_ylabel("published top-1, percent (weights differ in data and recipe)")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    figure.savefig(PICTURE, dpi=130)


FAMILIES = {
    "resnet": "#1f77b4",
    "resnext, wide": "#ff7f0e",
    "attention": "#2ca02c",
    "pre-activation": "#9467bd",
    "blurred, group norm, rs": "#8c564b",
    "mobile": "#d62728",
}


def family(name: str) -> str:
    if name.startswith(("mobile", "shuffle")):
        return "mobile"
    if name.startswith(("se", "eca", "cbam")):
        return "attention"
    if name.startswith(("resnetv2", "preact", "wrn")):
        return "pre-activation"
    if name.startswith(("resnetblur", "resnetrs")) or name.endswith("_gn"):
        return "blurred, group norm, rs"
    return "resnext, wide" if name.startswith(("resnext", "wide")) else "resnet"


if __name__ == "__main__":
    main()
