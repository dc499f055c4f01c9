"""What a network costs, layer by layer, read from its plan.

Multiply-adds are those of convolutions and of the head, one for each product, as torchvision records them for its
weights; activations are the numbers that convolutions give, as timm counts them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from reprlib import repr as brief

from resnetkit.errors import UsageError
from resnetkit.plan import Block, Layer, Plan, Pool


@dataclass(frozen=True)
class Row:
    """One module, and what it does to one picture."""

    name: str  # of the torch module
    kind: str  # conv, norm, pool, pad, mean or linear
    shape: tuple[int, int, int]  # channels, height and width that it gives
    parameters: int
    macs: int  # multiply-adds
    activations: int  # numbers that a convolution gives
    receptive_field: int  # pixels, along the longer side, that one of its numbers can depend on


@dataclass(frozen=True)
class Totals:
    """A whole network, for one picture."""

    parameters: int
    macs: int
    activations: int
    receptive_field: int  # of one point of the last map


@dataclass(frozen=True)
class Grid:
    """The points of a map, as the input sees them."""

    height: int
    width: int
    step: int = 1  # pixels between neighbours
    field: int = 1  # pixels that one point depends on

    def through(self, window: Layer | Pool) -> "Grid":
        """The grid after a window has moved over this one."""
        dilation = window.dilation if isinstance(window, Layer) else 1
        reach = dilation * (window.kernel - 1)
        height, width = ((n + 2 * window.padding - reach - 1) // window.stride + 1 for n in (self.height, self.width))
        return Grid(height, width, self.step * window.stride, self.field + reach * self.step)


def rows(plan: Plan, size: int | tuple[int, int] | None = None) -> list[Row]:
    """Every module with something to count, in the order of the state dict; ``size`` is (height, width) or both."""
    grid = Grid(*sides(plan.size if size is None else size)).through(plan.stem[0])
    found = list(layer_rows(plan.stem[0], grid, "conv1", "bn1"))
    if plan.pool:
        grid = grid.through(plan.pool)
        found.append(Row("maxpool", "pool", (plan.stem[0].c_out, grid.height, grid.width), 0, 0, 0, grid.field))
    for s, stage in enumerate(plan.stages, start=1):
        for b, block in enumerate(stage):
            found.extend(block_rows(block, grid, f"layer{s}.{b}"))
            for layer in block.branch:
                grid = grid.through(layer)
    field = grid.field + (max(grid.height, grid.width) - 1) * grid.step
    if plan.ndim:
        found.append(Row("avgpool", "mean", (plan.features, 1, 1), 0, 0, 0, field))
    if plan.classes:
        products = plan.features * plan.classes
        found.append(Row("fc", "linear", (plan.classes, 1, 1), products + plan.classes, products, 0, field))
    return found


def totals(plan: Plan, size: int | tuple[int, int] | None = None) -> Totals:
    every = rows(plan, size)
    return Totals(
        parameters=sum(row.parameters for row in every),
        macs=sum(row.macs for row in every),
        activations=sum(row.activations for row in every),
        receptive_field=max(row.receptive_field for row in every if row.kind == "conv"),
    )


def step_bytes(plan: Plan, size: int | tuple[int, int] | None = None, width: int = 4) -> int:
    """Bytes that one picture takes at most while a network learns from it, at ``width`` bytes a number.

    Of each convolution what it gives and what its norm makes of that are kept for the way back. There maps come and go
    beside them, of which six of the largest were seen at a time on a CPU.
    """
    maps = [row.activations for row in rows(plan, size) if row.kind == "conv"]
    return width * (2 * sum(maps) + 6 * max(maps))


def block_rows(block: Block, grid: Grid, name: str) -> Iterator[Row]:
    start = grid
    for i, layer in enumerate(block.branch, start=1):
        grid = grid.through(layer)
        yield from layer_rows(layer, grid, f"{name}.conv{i}", f"{name}.bn{i}")
    if block.shortcut.layer is not None:
        layer = block.shortcut.layer
        yield from layer_rows(layer, start.through(layer), f"{name}.downsample.0", f"{name}.downsample.1")
    elif block.shortcut.kind == "pad":
        shape = (block.c_out, grid.height, grid.width)
        yield Row(f"{name}.downsample", "pad", shape, 0, 0, 0, start.field)


def layer_rows(layer: Layer, grid: Grid, conv: str, norm: str) -> Iterator[Row]:
    """A convolution that gives ``grid``, and its norm."""
    shape = (layer.c_out, grid.height, grid.width)
    weights = layer.c_in * layer.c_out * layer.kernel**2 // layer.groups
    biases = layer.c_out if layer.bias else 0
    yield Row(conv, "conv", shape, weights + biases, weights * grid.height * grid.width, prod(shape), grid.field)
    if layer.eps is not None:
        yield Row(norm, "norm", shape, 2 * layer.c_out, 0, 0, grid.field)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
    for side in (height, width):
        if type(side) is not int or side < 1:
            raise UsageError(f"size is {brief(size)}", "give size as pixels, or as (height, width)")
    return height, width
