"""Every module of a plan in the order of the state dict: its name, its tensors, what it costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from math import prod
from reprlib import repr as brief

from resnetkit.errors import UsageError
from resnetkit.plan import Plan
from resnetkit.spec import NormName, Sides
from resnetkit.units import Attention, Block, FamilyName, Layer, Pool, each

Tensors = tuple[tuple[str, tuple[int, ...]], ...]

# What follows a convolution: the tensors of a norm that are learned, then those that are counted or kept.
NORMS: dict[NormName, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "batch": (("weight", "bias"), ("running_mean", "running_var")),
    "group": (("weight", "bias"), ()),
    "frozen": ((), ("weight", "bias", "running_mean", "running_var")),
}
FIRST: dict[FamilyName, str] = {"resnet": "conv1", "mobilenetv2": "conv_stem", "shufflenetv2": "conv1.0"}
LAST: dict[FamilyName, tuple[str, str]] = {
    "mobilenetv2": ("conv_head", "bn2"),
    "shufflenetv2": ("conv5.0", "conv5.1"),
}
HEAD: dict[FamilyName, str] = {"resnet": "fc", "mobilenetv2": "classifier", "shufflenetv2": "fc"}


@dataclass(frozen=True)
class Row:
    """One module, and what it does to one picture."""

    name: str  # of the torch module
    kind: str  # conv, norm, pool, blur, pad, scale, mean or linear
    shape: tuple[int, ...]  # channels, height and width that it gives
    parameters: int
    macs: int  # multiply-adds
    activations: int  # numbers that a convolution gives
    receptive_field: int  # pixels, along the longer side, that one of its numbers can depend on
    tensors: Tensors = ()  # of its state dict, by name, with their shapes


@dataclass(frozen=True)
class Grid:
    """The points of a map, as the input sees them, along each side."""

    sides: tuple[int, ...]
    steps: tuple[int, ...]  # pixels between neighbours
    fields: tuple[int, ...]  # pixels that one point depends on

    @property
    def field(self) -> int:
        return max(self.fields)

    def moved(self, kernel: Sides, stride: Sides, dilation: Sides = 1) -> "Grid":
        """The grid after a window has moved over this one; windows reach past the edge by half their size."""
        if kernel == stride == 1:
            return self
        n = len(self.sides)
        reaches = [(k - 1) * d for k, d in zip(each(kernel, n), each(dilation, n), strict=True)]
        return Grid(
            tuple(-(-side // s) for side, s in zip(self.sides, each(stride, n), strict=True)),
            tuple(step * s for step, s in zip(self.steps, each(stride, n), strict=True)),
            tuple(field + reach * step for field, reach, step in zip(self.fields, reaches, self.steps, strict=True)),
        )

    def through(self, layer: Layer) -> "Grid":
        return self.moved(layer.kernel, layer.stride, layer.dilation)

    def past(self, layer: Layer) -> "Grid":
        """As ``through``, with the filter behind the layer."""
        return self.through(layer).moved(3, layer.blur) if layer.blur else self.through(layer)

    def repeated(self, block: Block, times: int) -> "Grid":
        """The grid after one block, or after several without a stride, each of which adds as much to the field."""
        if times == 0:
            return self
        grid = self
        for layer in block.branch:
            grid = grid.past(layer)
        if times == 1:
            return grid
        fields = tuple(old + (new - old) * times for old, new in zip(self.fields, grid.fields, strict=True))
        return Grid(grid.sides, grid.steps, fields)

    def pooled(self, pool: Pool) -> "Grid":
        grid = self.moved(pool.kernel, pool.stride)
        return grid.moved(3, pool.blur) if pool.blur else grid


def rows(plan: Plan, size: Sides | None = None) -> list[Row]:
    """Every module with something to count, in the order of the state dict; ``size`` is (height, width) or both."""
    return [row for row, _ in counted(plan, size, folded=False)]


def counted(plan: Plan, size: Sides | None = None, *, folded: bool = True) -> Iterator[tuple[Row, int]]:
    """The same, each with how many there are; ``folded`` shows of equal blocks in a row the last, which sees most."""
    n, family = plan.ndim, plan.family
    sides = sides_of(plan.size if size is None else size, n or 2)
    grid = Grid(sides, (1,) * len(sides), (1,) * len(sides))
    for i, layer in enumerate(plan.stem):
        grid = grid.through(layer)
        yield from once(layer_rows(layer, grid, *stem_names(plan, i), n))
    if plan.pool:
        grid = grid.pooled(plan.pool)
        yield from once(pool_rows(plan.pool, grid, plan.stem[-1].c_out, n))
    for s, stage in enumerate(plan.stages):
        b = -1
        for block, alike in runs(stage) if folded else [(block, 1) for block in stage]:
            b += alike
            grid = grid.repeated(block, alike - 1)
            for row in block_rows(block, grid, stage_name(family, s) + f".{b}", n):
                yield row, alike
            grid = grid.repeated(block, 1)
    if plan.norm:
        yield norm_row(plan.norm.norm, plan.norm.channels, grid, "norm"), 1
    if plan.last:
        grid = grid.through(plan.last)
        yield from once(layer_rows(plan.last, grid, *LAST[family], n))
    field = max(f + (side - 1) * step for f, side, step in zip(grid.fields, grid.sides, grid.steps, strict=True))
    ones = (1,) * len(sides)
    if n:
        yield Row("avgpool", "mean", (plan.features, *ones), 0, 0, 0, field), 1
    if plan.classes:
        shape, products = (plan.classes, plan.features), plan.features * plan.classes
        tensors = (("weight", shape), ("bias", shape[:1]))
        head, whole = HEAD[family], products + plan.classes
        yield Row(head, "linear", (plan.classes, *ones), whole, products, 0, field, tensors), 1


def runs(stage: tuple[Block, ...]) -> Iterator[tuple[Block, int]]:
    """The blocks of a stage, equal ones in a row together, and how many; one that has a stride stands alone."""
    for block, alike in groupby(stage):
        times = sum(1 for _ in alike)
        yield from [(block, times)] if times == 1 or block.stride == 1 else [(block, 1)] * times


def once(found: Iterator[Row]) -> Iterator[tuple[Row, int]]:
    return ((row, 1) for row in found)


def strides_of_a_point(plan: Plan, size: Sides | None = None) -> bool:
    """Whether a window wider than a point is moved by a stride over a map of a single point."""
    sides = sides_of(plan.size if size is None else size, plan.ndim or 2)
    grid = Grid(sides, (1,) * len(sides), (1,) * len(sides))
    moves: list[Layer | Pool] = [*plan.stem, *([plan.pool] if plan.pool else [])]
    moves += [layer for stage in plan.stages for block in stage for layer in block.branch]
    for move in moves:
        if max(grid.sides) == 1 and move.kernel != 1 and move.stride != 1:
            return True
        grid = grid.past(move) if isinstance(move, Layer) else grid.pooled(move)
    return False


def stem_names(plan: Plan, i: int) -> tuple[str, str]:
    """The convolution and the norm of a stem's layer; those of a deep stem stand in a row, the last norm beside it."""
    if len(plan.stem) == 1:
        first = FIRST[plan.family]
        return first, "conv1.1" if plan.family == "shufflenetv2" else "bn1"
    return f"conv1.{3 * i}", "bn1" if i == len(plan.stem) - 1 else f"conv1.{3 * i + 1}"


def first_name(plan: Plan) -> str:
    """The convolution that meets the input."""
    return stem_names(plan, 0)[0]


def stage_name(family: FamilyName, stage: int) -> str:
    """The module that holds the blocks of a stage, counted from 0."""
    words = {"resnet": f"layer{stage + 1}", "mobilenetv2": f"blocks.{stage}", "shufflenetv2": f"stage{stage + 2}"}
    return words[family]


def map_shape(plan: Plan, stages: int, size: Sides | None = None) -> tuple[int, ...]:
    """Of the map behind so many stages: channels, height and width."""
    prefix = f"{stage_name(plan.family, stages - 1)}."
    last = [row for row in rows(plan, size) if row.name.startswith(prefix) and len(row.shape) > 1][-1]
    return (plan.stages[stages - 1][-1].c_out, *last.shape[1:])


def branch_names(block: Block) -> list[tuple[str, str]]:
    """Each convolution of a branch, and its norm."""
    if block.kind == "inverted":
        convs = ("conv_pw", "conv_dw", "conv_pwl") if len(block.branch) == 3 else ("conv_dw", "conv_pw")
        return [(conv, f"bn{i}") for i, conv in enumerate(convs, start=1)]
    if block.kind == "shuffle":
        return [("branch2.0", "branch2.1"), ("branch2.3", "branch2.4"), ("branch2.5", "branch2.6")]
    return [(f"conv{i}", f"bn{i}") for i in range(1, len(block.branch) + 1)]


def block_rows(block: Block, grid: Grid, name: str, ndim: int) -> Iterator[Row]:
    start = grid
    if block.kind == "shuffle":
        yield from bridge_rows(block, start, name, ndim)
    for layer, (conv, norm) in zip(block.branch, branch_names(block), strict=True):
        if block.preact and layer.eps is not None:
            yield norm_row(layer.norm, layer.c_in, grid, f"{name}.{norm}")
        grid = grid.through(layer)
        yield from layer_rows(layer, grid, f"{name}.{conv}", f"{name}.{norm}", ndim, normed=not block.preact)
        if layer.blur:
            grid = grid.moved(3, layer.blur)
            yield Row(f"{name}.aa", "blur", (layer.c_out, *grid.sides), 0, 0, 0, grid.field)
    if block.attention:
        yield from attention_rows(block.attention, block.c_out, grid, f"{name}.se", ndim)
    if block.kind != "shuffle":
        yield from bridge_rows(block, start, name, ndim)
    if block.scale:
        yield scale_row(block, start, grid, f"{name}.join", ndim)


def bridge_rows(block: Block, grid: Grid, name: str, ndim: int) -> Iterator[Row]:
    """What stands on the shortcut, or in the second branch of a shuffle block."""
    shortcut = block.shortcut
    if shortcut.kind == "pad":
        grid = grid.moved(1, shortcut.stride)
        yield Row(f"{name}.downsample", "pad", (block.c_out, *grid.sides), 0, 0, 0, grid.field)
    if shortcut.layer is None:
        return
    if shortcut.lead:
        grid = grid.through(shortcut.lead)
        yield from layer_rows(shortcut.lead, grid, f"{name}.branch1.0", f"{name}.branch1.1", ndim)
        yield from layer_rows(shortcut.layer, grid, f"{name}.branch1.2", f"{name}.branch1.3", ndim)
        return
    at = 0
    if shortcut.pool:
        grid, at = grid.pooled(shortcut.pool), 1
    grid = grid.through(shortcut.layer)
    yield from layer_rows(shortcut.layer, grid, f"{name}.downsample.{at}", f"{name}.downsample.{at + 1}", ndim)


def layer_rows(layer: Layer, grid: Grid, conv: str, norm: str, ndim: int, normed: bool = True) -> Iterator[Row]:
    """A convolution that gives ``grid``, and its norm."""
    yield conv_row(conv, layer.c_in, layer.c_out, each(layer.kernel, ndim), grid, layer.groups, layer.bias)
    if normed and layer.eps is not None:
        yield norm_row(layer.norm, layer.c_out, grid, norm)


def conv_row(
    name: str, c_in: int, c_out: int, kernel: tuple[int, ...], grid: Grid, groups: int = 1, bias: bool = False
) -> Row:
    shape = (c_out, c_in // groups, *kernel)
    given = (c_out, *grid.sides)
    tensors: Tensors = (("weight", shape), ("bias", (c_out,))) if bias else (("weight", shape),)
    weights = prod(shape)
    macs = weights * prod(grid.sides)
    return Row(name, "conv", given, weights + bias * c_out, macs, prod(given), grid.field, tensors)


def norm_row(kind: NormName, c: int, grid: Grid, name: str) -> Row:
    learned, kept = NORMS[kind]
    tensors: Tensors = tuple((part, (c,)) for part in learned + kept)
    if kind == "batch":
        tensors += (("num_batches_tracked", ()),)
    return Row(name, "norm", (c, *grid.sides), len(learned) * c, 0, 0, grid.field, tensors)


def pool_rows(pool: Pool, grid: Grid, c: int, ndim: int) -> Iterator[Row]:
    if pool.layer:
        yield from layer_rows(pool.layer, grid, "maxpool.0", "maxpool.1", ndim)
    else:
        yield Row("maxpool", "pool", (c, *grid.sides), 0, 0, 0, grid.field)


def attention_rows(attention: Attention, c: int, grid: Grid, name: str, ndim: int) -> Iterator[Row]:
    """Convolutions that see the mean of the map: its field is not counted, or every layer after would see all."""
    point = Grid((1,) * len(grid.sides), grid.steps, grid.fields)
    ones = (1,) * ndim
    if attention.kind == "eca":
        tensors: Tensors = (("weight", (1, 1, attention.kernel)),)
        products = attention.kernel * c
        yield Row(f"{name}.conv", "conv", (c, *point.sides), attention.kernel, products, c, grid.field, tensors)
        return
    bias, inner = attention.kind == "se", attention.reduced
    where = name if bias else f"{name}.channel"
    yield conv_row(f"{where}.fc1", c, inner, ones, point, bias=bias)
    yield conv_row(f"{where}.fc2", inner, c, ones, point, bias=bias)
    if attention.kind == "cbam":
        yield conv_row(f"{name}.spatial.conv.conv", 2, 1, (attention.kernel,) * ndim, grid)
        yield norm_row("batch", 1, grid, f"{name}.spatial.conv.bn")


def scale_row(block: Block, start: Grid, grid: Grid, name: str, ndim: int) -> Row:
    """What the branch is weighed by."""
    if block.scale == "gated":
        return conv_row(f"{name}.conv", block.c_in, block.c_out, (1,) * ndim, grid, bias=True)
    c = block.c_out if block.scale == "layerscale" else 1
    return Row(name, "scale", (block.c_out, *grid.sides), c, 0, 0, start.field, (("weight", (c,)),))


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor in the state dict of the network."""
    return {f"{row.name}.{name}": shape for row in rows(plan) for name, shape in row.tensors}


def sides_of(size: Sides, ndim: int) -> tuple[int, ...]:
    """A size as one number for each side; UsageError where it is none."""
    found = each(size, ndim) if isinstance(size, int | tuple) else ()
    if len(found) != ndim or any(type(side) is not int or side < 1 for side in found):
        words = {2: "(height, width)", 3: "(frames, height, width)"}.get(ndim, "one number")
        raise UsageError(f"size is {brief(size)}", f"give size as pixels, or as {words}")
    return found
