"""A network in words: a table for people, a dictionary for programs, a picture for Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby, pairwise
from typing import Any

from resnetkit.cost import totals
from resnetkit.errors import plain
from resnetkit.layout import lay_out
from resnetkit.plan import Plan
from resnetkit.spec import Sides
from resnetkit.units import Block, Layer, Pool, each, product
from resnetkit.walk import HEAD, LAST, Row, branch_names, rows, sides_of, stage_name, stem_names
from resnetkit.zoo import ZOO, names

Size = Sides | None
INPUTS = {0: "vectors", 1: "series", 2: "pictures", 3: "clips"}
POINTS = {0: "numbers", 1: "points", 2: "pixels", 3: "pixels and frames"}


def table(plan: Plan, name: str, size: Size = None) -> str:
    """The network as table 1 of the paper prints it, with what each part costs."""
    by_part = parts_of(rows(plan, size))
    lines = [("part", "gives", "layers", "shortcuts", "parameters", "multiply-adds")]
    for part, layers, shortcuts in parts(plan):
        own = by_part[part]
        parameters, macs = sum(row.parameters for row in own), sum(row.macs for row in own)
        lines.append((part, times(given(plan, part, own)), layers, shortcuts, f"{parameters:,}", f"{macs:,}"))
    whole = totals(plan, size)
    lines.append(("in all", "", "", "", f"{whole.parameters:,}", f"{whole.macs:,}"))
    field = times([whole.receptive_field] * (2 if plan.ndim == 2 else 1))
    return "\n".join(
        [
            f"{plain(name)} for {INPUTS[plan.ndim]} of {times(picture(plan, size))}",
            "",
            *columns(lines),
            "",
            f"receptive field {field} {POINTS[plan.ndim]}, activations {whole.activations:,}",
        ]
    )


def as_dict(plan: Plan, name: str, size: Size = None) -> dict[str, Any]:
    """The same as plain values, ready for JSON."""
    layers = [asdict(row) | {"shape": list(row.shape)} for row in rows(plan, size)]
    for layer in layers:
        del layer["tensors"]  # whose numbers are in the parameters
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
        lines += [f"        {line}" for line in steps(block, f"b{i}", plan.ndim)] + ["    end"]
        lines.append(f"    {above} ~~~ block{i}")  # an edge that is not drawn keeps them under one another
        above = f"block{i}"
    return "\n".join(lines) + "\n"


def network(plan: Plan) -> Iterator[str]:
    """The parts of a network, one after another, with the shape that each gives."""
    gives = {part: times(given(plan, part, own)) for part, own in parts_of(rows(plan)).items()}
    labels = {"images": quote("images", times(picture(plan, None)))}
    labels |= {part: quote(part, layers, gives[part]) for part, layers, _ in parts(plan)}
    for part, label in labels.items():
        yield f"{part.replace('.', '')}[{label}]"
    for one, following in pairwise(labels):
        yield f"{one.replace('.', '')} --> {following.replace('.', '')}"


def steps(block: Block, at: str, ndim: int) -> Iterator[str]:
    """One block as its figure in the paper: the branch down, the shortcut beside it, the sum."""
    labels = {"x": f"[{quote('x', f'{block.c_in} channels')}]"}
    for i, (layer, (conv, norm)) in enumerate(zip(block.branch, branch_names(block), strict=True), start=1):
        norms = [] if layer.eps is None else [norm]
        acts = [] if layer.act == "none" else [layer.act]
        words = (
            [*norms, *acts, f"{conv}: {say(layer, ndim)}"]
            if block.preact
            else [f"{conv}: {say(layer, ndim)}", *norms, *acts]
        )
        labels[f"conv{i}"] = f"[{quote(*words)}]"
    if block.attention:
        labels["se"] = f"[{quote(f'se: {block.attention.kind}')}]"
    joined = {"shuffle": "join, shuffle"}.get(block.kind, "+" if block.scale is None else f"+ {block.scale}")
    if block.shortcut.kind != "none":
        labels["sum"] = f"(({quote(joined)}))"
    after = "x" if block.preact or block.act == "none" or block.kind == "shuffle" else block.act
    labels["relu"] = f"[{quote(after, f'{block.c_out} channels')}]"
    for step, label in labels.items():
        yield f"{at}{step}{label}"
    for one, following in pairwise(labels):
        yield f"{at}{one} --> {at}{following}"
    if block.shortcut.kind != "none":
        yield f"{at}x -- {quote(bridge(block, ndim))} --> {at}sum"


def bridge(block: Block, ndim: int) -> str:
    shortcut = block.shortcut
    if shortcut.layer is not None:
        pool = [pooled(shortcut.pool, ndim)] if shortcut.pool and shortcut.pool.kernel != 1 else []
        lead = [say(shortcut.lead, ndim)] if shortcut.lead else []
        return f"{shortcut.kind}: {', '.join([*pool, *lead, say(shortcut.layer, ndim)])}"
    if shortcut.kind == "pad":
        before, after = shortcut.pad
        return f"pad: stride {along(shortcut.stride)}, zeros for {before} channels before and {after} after"
    return shortcut.kind


def kinds(plan: Plan) -> dict[str, Block]:
    """The first block of each kind, and where such blocks stand."""
    first: dict[str, Block] = {}
    where: dict[str, list[str]] = {}
    for s, stage in enumerate(plan.stages):
        for b, block in enumerate(stage):
            kind = f"{block.kind} block" + ("" if block.kind == "plain" else f", {sum_of(block)} shortcut")
            first.setdefault(kind, block)
            where.setdefault(kind, []).append(f"{stage_name(plan.family, s)}.{b}")
    return {f"{kind}: {among(where[kind])}": block for kind, block in first.items()}


def among(places: list[str]) -> str:
    return places[0] if len(places) == 1 else f"{places[0]} and {len(places) - 1} more"


def parts(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """Each part of the network: its torch module, its layers, the kinds of its shortcuts."""
    yield part_of(stem_names(plan, 0)[0]), ", ".join(say(layer, plan.ndim) for layer in plan.stem), ""
    if plan.pool:
        yield "maxpool", pooled(plan.pool, plan.ndim), ""
    for s, stage in enumerate(plan.stages):
        bodies = groupby(branch(block, plan.ndim) for block in stage)
        layers = [f"[{body}] x {len(list(same))}" for body, same in bodies]
        stride = product(*(block.stride for block in stage))
        layers += [f"stride {along(stride)}"] if stride != 1 else []
        yield stage_name(plan.family, s), ", ".join(layers), ", ".join(dict.fromkeys(map(sum_of, stage)))
    if plan.norm:
        yield "norm", plan.norm.act, ""
    if plan.last:
        yield LAST[plan.family][0].split(".")[0], say(plan.last, plan.ndim), ""
    yield "avgpool", averaged(plan), ""
    if plan.classes:
        yield HEAD[plan.family], f"{plan.features} to {plan.classes}", ""


def averaged(plan: Plan) -> str:
    """What the head sees."""
    if plan.taps is None:
        return "mean of the map"
    each = "mean" if plan.taps.cells == 1 else f"means of {window(plan.taps.cells, plan.ndim)} cells"
    return f"{each} of each map from {stage_name(plan.family, plan.taps.first)} on"


def branch(block: Block, ndim: int) -> str:
    layers = [shape(layer, ndim) for layer in block.branch]
    return ", ".join(layers + ([block.attention.kind] if block.attention else []))


def sum_of(block: Block) -> str:
    """How a block comes to its sum."""
    return f"{block.shortcut.kind}, {block.scale}" if block.scale else block.shortcut.kind


def pooled(pool: Pool, ndim: int) -> str:
    word = {"max": "largest", "mean": "mean", "conv": "convolution"}[pool.kind]
    stride = f", stride {along(pool.stride)}" if pool.stride != 1 else ""
    return f"{window(pool.kernel, ndim)} {word}{stride}" + (f", blurred with stride {pool.blur}" if pool.blur else "")


def say(layer: Layer, ndim: int) -> str:
    return shape(layer, ndim) + (f" stride {along(layer.stride)}" if layer.stride != 1 else "")


def shape(layer: Layer, ndim: int) -> str:
    groups = f" groups {layer.groups}" if layer.groups > 1 else ""
    dilation = f" dilation {along(layer.dilation)}" if layer.dilation != 1 else ""
    blurred = f" blurred, stride {layer.blur}" if layer.blur else ""
    return f"{window(layer.kernel, ndim)} {layer.c_out}{groups}{dilation}{blurred}"


def window(kernel: Sides, ndim: int) -> str:
    """As 3x3, or 3x7x7."""
    return times_of(each(kernel, ndim if ndim == 3 else 2))


def along(sides: Sides) -> str:
    return str(sides) if isinstance(sides, int) else times_of(sides)


def times_of(sides: Iterable[int]) -> str:
    return "x".join(map(str, sides))


def part_of(name: str) -> str:
    """The part of a network that a module belongs to."""
    first, *rest = name.split(".")
    if first == "blocks":
        return f"blocks.{rest[0]}"
    return first


def parts_of(every: Iterable[Row]) -> dict[str, list[Row]]:
    """What belongs together; norms that stand beside the convolution before them belong to it."""
    found: dict[str, list[Row]] = {}
    part = ""
    for row in every:
        own = part_of(row.name)
        part = part if own in ("bn1", "bn2") else own
        found.setdefault(part, []).append(row)
    return found


def given(plan: Plan, part: str, own: Sequence[Row]) -> tuple[int, ...]:
    """The shape that a part ends with: attention looks at less, and half of a shuffle block is not all of it."""
    shape = [row.shape for row in own if ".se." not in row.name and ".join" not in row.name][-1]
    ends = {stage_name(plan.family, s): stage[-1].c_out for s, stage in enumerate(plan.stages)}
    return (ends.get(part, shape[0]), *shape[1:])


def picture(plan: Plan, size: Size) -> list[int]:
    return [plan.channels, *sides_of(plan.size if size is None else size, plan.ndim or 2)]


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
