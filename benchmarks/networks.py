"""Fill the tables of docs/networks.md and its picture: what every network costs, and how far it is from its peer.

python -m benchmarks.networks          everything anew (minutes)
"""

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import matplotlib as mpl

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from zoo_peers import compared  # noqa: E402

from resnetkit.cost import totals  # noqa: E402
from resnetkit.layout import lay_out  # noqa: E402
from resnetkit.published import Row, rows  # noqa: E402
from resnetkit.run import notes  # noqa: E402
from resnetkit.spec import Spec  # noqa: E402
from resnetkit.units import each  # noqa: E402
from resnetkit.zoo import ZOO, find  # noqa: E402

DOCS = ROOT / "docs"
PAGES = (DOCS / "networks.md", DOCS / "networks.zh-CN.md")
HEADS = {
    "networks.md": "network | input | parameters | multiply-adds | activations | field | top-1 "
    "| equals | float64 | float32",
    "networks.zh-CN.md": "网络 | 输入 | 参数 | 乘加 | 激活 | 感受野 | top-1 | 相同 | float64 | float32",
}
ENTRIES = "entry | ResNet-50 | what it is"
PLACE = re.compile(r"(<!-- made by benchmarks/networks.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    lines = []
    for name in ZOO:
        lines.append(line(name))
        print(lines[-1], file=sys.stderr, flush=True)
    for page in PAGES:
        tables = {"networks": table(HEADS[page.name], lines), "entries": table(ENTRIES, entries())}
        text = page.read_text(encoding="utf-8")
        text = PLACE.sub(lambda found, made=tables: found[1] + made[found[2]] + found[3], text)
        page.write_text(text, encoding="utf-8")
    draw()


def table(head: str, lines: list[str]) -> str:
    rule = "|---" * (head.count("|") + 1) + "|"
    return "\n".join([f"| {head} |", rule, *lines]) + "\n"


def entries() -> list[str]:
    """What a Spec can say, from its own comments."""
    says, lines = notes(Spec), []
    for field in fields(Spec):
        words = [json.dumps(word) for word in get_args(get_type_hints(Spec)[field.name]) if isinstance(word, str)]
        choice = f": {', '.join(words)}" if words else ""
        lines.append(f"| `{field.name}` | `{json.dumps(field.default)}` | {says[field.name]}{choice} |")
    return lines


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
    """Accuracy against multiply-adds, at the size that each accuracy was measured at; names where there is room."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 8), layout="constrained")
    every = []
    for word, colour in FAMILIES.items():
        points = [point for name in ZOO if family(name) == word for point in placed(name)]
        axes.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=28, color=colour, label=word)
        every += points
    axes.set_xscale("log")
    axes.margins(x=0.09)
    axes.set_xlabel("multiply-adds, billions, at the size of the published figure")
    axes.set_ylabel("published top-1, percent (weights differ in data and recipe)")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    figure.draw_without_rendering()
    named: list[tuple[float, float]] = []
    for x, y, name in sorted(every, key=lambda point: len(point[2])):  # short names are those that people know
        right, up = axes.transData.transform((x, y))
        if all(abs(right - other) > 115 or abs(up - above) > 10 for other, above in named):
            named.append((right, up))
            axes.annotate(name, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6.5, color="#444444")
    figure.savefig(DOCS / "networks.png", dpi=130)


def placed(name: str) -> list[tuple[float, float, str]]:
    """Where a network with published weights stands: billions of multiply-adds, top-1, name."""
    row = best(name)
    if row is None or row.top1 is None:
        return []
    return [(totals(lay_out(find(name)), row.measured_at or row.size).macs / 1e9, row.top1, name)]


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
