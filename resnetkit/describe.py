"""A network in words: a table for people, a dictionary for programs, a picture for Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, pairwise
from math import prod
from typing import Any

from resnetkit.cost import Row, rows, sides, totals
from resnetkit.errors import plain
from resnetkit.plan import Block, Layer, Plan, lay_out
from resnetkit.zoo import ZOO, names

Size = int | tuple[int, int] | None


def table(plan: Plan, name: str, size: Size = None) -> str:
    """The network as table 1 of the paper prints it, with what each part costs."""
    by_part = {part: list(group) for part, group in groupby(rows(plan, size), part_of)}
    lines = [("part", "gives", "layers", "shortcuts", "parameters", "multiply-adds")]
    for part, layers, shortcuts in parts(plan):
        own = by_part[part]
        parameters, macs = sum(row.parameters for row in own), sum(row.macs for row in own)
        lines.append((part, times(own[-1].shape), layers, shortcuts, f"{parameters:,}", f"{macs:,}"))
    whole = totals(plan, size)
    lines.append(("in all", "", "", "", f"{whole.parameters:,}", f"{whole.macs:,}"))
    return "\n".join(
        [
            f"{plain(name)} for pictures of {times(picture(plan, size))}",
            "",
            *columns(lines),
            "",
            f"receptive field {times([whole.receptive_field] * 2)} pixels, activations {whole.activations:,}",
        ]
    )


def as_dict(plan: Plan, name: str, size: Size = None) -> dict[str, Any]:
    """The same as plain values, ready for JSON."""
    layers = [asdict(row) | {"shape": list(row.shape)} for row in rows(plan, size)]
    return {"name": name, **asdict(totals(plan, size)), "input": picture(plan, size), "layers": layers}


def listing(pattern: str | None = None) -> list[dict[str, Any]]:
    """The named networks that match, each with what it costs at its own size."""
    found = []
    for name in names(pattern):
        plan = lay_out(ZOO[name])
        whole = totals(plan)
        found.append({"name": name, "parameters": whole.parameters, "macs": whole.macs, "input": picture(plan, None)})
    return found


def mermaid(plan: Plan, name: str) -> str:
    """A Mermaid flowchart: the stages in a row, then one block of each kind."""
    whole = f"{name}: {totals(plan).parameters:,} parameters"
    lines = ["flowchart TD", f"    subgraph network[{quote(whole)}]", "        direction LR"]
    lines += [f"        {line}" for line in network(plan)] + ["    end"]
    above = "network"
    for i, (title, block) in enumerate(kinds(plan).items(), start=1):
        lines += [f"    subgraph block{i}[{quote(title)}]", "        direction TB"]
        lines += [f"        {line}" for line in steps(block, f"b{i}")] + ["    end"]
        lines.append(f"    {above} ~~~ block{i}")  # an edge that is not drawn keeps them under one another
        above = f"block{i}"
    return "\n".join(lines) + "\n"


def network(plan: Plan) -> Iterator[str]:
    """The parts of a network, one after another, with the shape that each gives."""
    gives = {part_of(row): times(row.shape) for row in rows(plan)}
    labels = {"images": quote("images", times(picture(plan, None)))}
    labels |= {part: quote(part, layers, gives[part]) for part, layers, _ in parts(plan)}
    for part, label in labels.items():
        yield f"{part}[{label}]"
    for one, following in pairwise(labels):
        yield f"{one} --> {following}"


def steps(block: Block, at: str) -> Iterator[str]:
    """One block as its figure in the paper: the branch down, the shortcut beside it, the sum."""
    labels = {"x": f"[{quote('x', f'{block.c_in} channels')}]"}
    for i, layer in enumerate(block.branch, start=1):
        norm = [] if layer.eps is None else [f"bn{i}"]
        act = [] if layer.act == "none" else [layer.act]
        labels[f"conv{i}"] = f"[{quote(f'conv{i}: {say(layer)}', *norm, *act)}]"
    if block.kind != "plain":
        labels["sum"] = f"(({quote('+')}))"
    labels["relu"] = f"[{quote('relu', f'{block.c_out} channels')}]"
    for step, label in labels.items():
        yield f"{at}{step}{label}"
    for one, following in pairwise(labels):
        yield f"{at}{one} --> {at}{following}"
    if block.kind != "plain":
        yield f"{at}x -- {quote(bridge(block))} --> {at}sum"


def bridge(block: Block) -> str:
    shortcut = block.shortcut
    if shortcut.layer is not None:
        return f"project: {say(shortcut.layer)}"
    if shortcut.kind == "pad":
        before, after = shortcut.pad
        return f"pad: stride {shortcut.stride}, zeros for {before} channels before and {after} after"
    return "identity"


def kinds(plan: Plan) -> dict[str, Block]:
    """The first block of each kind, and where such blocks stand."""
    first: dict[str, Block] = {}
    where: dict[str, list[str]] = {}
    for s, stage in enumerate(plan.stages, start=1):
        for b, block in enumerate(stage):
            shortcut = "" if block.kind == "plain" else f", {block.shortcut.kind} shortcut"
            kind = f"{block.kind} block{shortcut}"
            first.setdefault(kind, block)
            where.setdefault(kind, []).append(f"layer{s}.{b}")
    return {f"{kind}: {among(where[kind])}": block for kind, block in first.items()}


def among(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"


def parts(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Each part of the network: its torch module, its layers, the kinds of its shortcuts."""
    yield "conv1", say(plan.stem[0]), ""
    if plan.pool:
        yield "maxpool", f"{plan.pool.kernel}x{plan.pool.kernel} largest, stride {plan.pool.stride}", ""
    for s, stage in enumerate(plan.stages, start=1):
        bodies = groupby(", ".join(shape(layer) for layer in block.branch) for block in stage)
        layers = [f"[{body}] x {len(list(same))}" for body, same in bodies]
        stride = prod(block.stride for block in stage)
        layers += [f"stride {stride}"] if stride > 1 else []
        yield f"layer{s}", ", ".join(layers), ", ".join(dict.fromkeys(block.shortcut.kind for block in stage))
    yield "avgpool", "mean of the map", ""
    if plan.classes:
        yield "fc", f"{plan.features} to {plan.classes}", ""


def say(layer: Layer) -> str:
    return shape(layer) + (f" stride {layer.stride}" if layer.stride > 1 else "")


def shape(layer: Layer) -> str:
    groups = f" groups {layer.groups}" if layer.groups > 1 else ""
    dilation = f" dilation {layer.dilation}" if layer.dilation > 1 else ""
    return f"{layer.kernel}x{layer.kernel} {layer.c_out}{groups}{dilation}"


def part_of(row: Row) -> str:
    part = row.name.split(".")[0]
    return "conv1" if part == "bn1" else part


def picture(plan: Plan, size: Size) -> list[int]:
    return [plan.channels, *sides(plan.size if size is None else size)]


def times(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def columns(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Cells under one another, words to the left and numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        words = [cell.ljust(width) for cell, width in zip(line[:-2], widths, strict=False)]
        numbers = [cell.rjust(width) for cell, width in zip(line[-2:], widths[-2:], strict=True)]
        yield "  ".join(words + numbers).rstrip()


def quote(*lines: str) -> str:
    """A Mermaid label: quoted, and with no sign in it that would end it or be taken for HTML."""
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
    return '"' + "<br>".join("".join(codes.get(sign, sign) for sign in plain(line)) for line in lines) + '"'
