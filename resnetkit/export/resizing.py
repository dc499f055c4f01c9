"""What Preprocess does to a picture, as nodes of a graph: the same numbers in every runtime, for every size.

Runtimes differ in their own resizing: which filter, whether it widens when it shrinks, where points lie, how they
round. Here it is two products of matrices, columns first and then rows, as Pillow has it. Their weights are worked out
in the graph from the sides of the picture: places of points in whole numbers, exactly, and only what is left of them,
less than a pixel, as a real number. After each product the values are rounded to whole ones and kept in 0..255.
"""

import numpy as np
from PIL import __version__ as pillow

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import WeightsError
from resnetkit.export.nodes import DOUBLE, FLOAT, INT64, Nodes

GREY = (19595, 38470, 7471)  # ITU-R BT.601 of red, green and blue, in parts of 65536, as Pillow has it


def prepared(g: Nodes, pictures: str, preprocess: Preprocess, name: str) -> str:
    """uint8 (n, height, width, 3) of any height and width to float32 (n, channels, height, width), normalised.

    Raises WeightsError for the interpolation "nearest", which is no product of matrices in Pillow.
    """
    if preprocess.interpolation == "nearest":
        raise WeightsError("no graph resizes to the nearest point as Pillow does", "use --input tensor")
    sides = g.add("Shape", pictures)
    height, width = (g.add("Gather", sides, g.whole(i)) for i in (1, 2))
    shown = g.add("Cast", pictures, to=FLOAT)
    if preprocess.channels == 1:
        parts = g.add("MatMul", shown, g.constant(np.array(GREY, np.float32)[:, None]))  # below 2^24: exact
        half = g.add("Add", parts, g.real(32768))
        shown = g.add("Floor", g.add("Mul", half, g.real(1 / 65536)))
    shown = g.add("Transpose", shown, perm=(0, 3, 1, 2))
    resized = laid(g, height, width, preprocess)
    begins = [offset(g, out, size, preprocess) for out, size in zip(resized, preprocess.size, strict=True)]
    (rows, above), (columns, left) = (
        weights(g, given, out, begin, size, preprocess)
        for given, out, begin, size in zip((height, width), resized, begins, preprocess.size, strict=True)
    )
    shown = resampled(g, shown, (height, width), rows, columns, tall(g, (height, width), resized))
    if preprocess.resize == "letterbox":
        border = np.rint(np.asarray(preprocess.mean) * 255).astype(np.float32)[:, None, None]
        inside = g.add("And", above, g.add("Transpose", left, perm=(1, 0)))
        shown = g.add("Where", inside, shown, g.constant(border))
    return normalized(g, shown, preprocess, name)


def normalized(g: Nodes, shown: str, preprocess: Preprocess, name: str) -> str:
    """Values 0..255 of (n, channels, height, width) as the network takes them."""
    mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (preprocess.mean, preprocess.std))
    share = g.add("Div", shown, g.real(255))
    return g.add("Div", g.add("Sub", share, g.constant(mean)), g.constant(std), name=name)


def laid(g: Nodes, height: str, width: str, preprocess: Preprocess) -> tuple[str, str]:
    """The height and width to which a picture is resized: what ``Preprocess.laid`` says, in whole numbers."""
    if preprocess.resize == "stretch":
        return g.whole(preprocess.size[0]), g.whole(preprocess.size[1])
    share = preprocess.crop if preprocess.resize == "crop" else 1.0
    down, along = (round(side / share) for side in preprocess.size)
    if preprocess.resize == "crop":  # the side that would not cover takes its full length, and both round down
        rows, _ = g.divided(g.add("Mul", height, g.whole(along)), width)
        columns, _ = g.divided(g.add("Mul", width, g.whole(down)), height)
        return g.add("Max", rows, g.whole(down)), g.add("Max", columns, g.whole(along))
    found = []
    for given, other, most, much in ((height, width, down, along), (width, height, along, down)):
        nearest = nearest_whole(g, g.add("Mul", given, g.whole(much)), other)
        found.append(g.add("Max", g.whole(1), g.add("Min", g.whole(most), nearest)))
    return found[0], found[1]


def offset(g: Nodes, out: str, size: int, preprocess: Preprocess) -> str:
    """The first row or column of the resized picture that is seen, below 0 where a border comes first."""
    if preprocess.resize == "stretch":
        return g.whole(0)
    if preprocess.resize == "crop":
        return nearest_whole(g, g.add("Sub", out, g.whole(size)), g.whole(2))
    border, _ = g.divided(g.add("Sub", g.whole(size), out), g.whole(2))
    return g.add("Neg", border)


def nearest_whole(g: Nodes, one: str, other: str) -> str:
    """The whole number nearest to a quotient, and of two the even one, as Python rounds."""
    down, rest = g.divided(one, other)
    twice = g.add("Mul", rest, g.whole(2))
    more = g.add("Cast", g.add("Greater", twice, other), to=INT64)
    _, odd = g.divided(down, g.whole(2))
    tie = g.add("Mul", g.add("Cast", g.add("Equal", twice, other), to=INT64), odd)
    return g.add("Add", down, g.add("Add", more, tie))


def weights(g: Nodes, given: str, out: str, begin: str, size: int, preprocess: Preprocess) -> tuple[str, str]:
    """How much each of ``given`` points counts for each of ``size`` that are seen, of ``out`` that there are.

    (size, given), each row adding up to 1; and (size, 1), whether such a point lies in the picture.
    """
    place = g.add("Add", g.constant(np.arange(size, dtype=np.int64)[:, None]), begin)
    inside = g.add("And", g.add("GreaterOrEqual", place, g.whole(0)), g.add("Less", place, out))
    # Points are counted from the middle of the picture, so that products stay small enough for 32 bits.
    place = g.add("Sub", g.add("Add", g.add("Mul", place, g.whole(2)), g.whole(1)), out)
    whole, rest = g.divided(g.add("Mul", place, given), g.add("Mul", out, g.whole(2)))
    part = g.add("Div", wide(g, rest), wide(g, g.add("Mul", out, g.whole(2))))
    points = g.add("Range", g.whole(0), given, g.whole(1))
    points = g.add("Sub", g.add("Add", g.add("Mul", points, g.whole(2)), g.whole(1)), given)
    apart = g.add("Sub", points, g.add("Mul", whole, g.whole(2)))
    apart = g.add("Sub", g.add("Mul", wide(g, apart), g.double(0.5)), part)
    # The filter widens when it shrinks.
    near = g.add("Abs", g.add("Mul", apart, g.add("Min", g.double(1), g.add("Div", wide(g, out), wide(g, given)))))
    value = triangle(g, near) if preprocess.interpolation == "bilinear" else cubic(g, near)
    total = g.add("ReduceSum", value, g.whole([1]), keepdims=1)
    total = g.add("Where", inside, total, g.double(1))  # outside there may be nothing to divide by
    return g.add("Div", value, total), inside


def triangle(g: Nodes, near: str) -> str:
    return g.add("Max", g.double(0), g.add("Sub", g.double(1), near))


def cubic(g: Nodes, near: str) -> str:
    """Keys 1981, with a = -0.5."""
    inner = polynomial(g, near, (1.5, -2.5, 0.0, 1.0))
    outer = polynomial(g, near, (-0.5, 2.5, -4.0, 2.0))
    outer = g.add("Where", g.add("Less", near, g.double(2)), outer, g.double(0))
    return g.add("Where", g.add("Less", near, g.double(1)), inner, outer)


def polynomial(g: Nodes, x: str, factors: tuple[float, ...]) -> str:
    value = g.double(factors[0])
    for factor in factors[1:]:
        value = g.add("Add", g.add("Mul", value, x), g.double(factor))
    return value


def tall(g: Nodes, given: tuple[str, str], out: tuple[str, str]) -> str:
    """Whether so many more rows than columns go that Pillow takes rows first: never before its version 13."""
    if int(pillow.partition(".")[0]) < 13:
        return g.constant(np.array(False))
    rows, columns = (g.add("Sub", one, other) for one, other in zip(given, out, strict=True))
    return g.add("Greater", rows, g.add("Max", g.whole(0), g.add("Mul", columns, g.whole(2))))


def resampled(g: Nodes, shown: str, sides: tuple[str, str], rows: str, columns: str, first: str) -> str:
    """Both products, rows first where ``first`` says so.

    Both ways are gone, but the one that is not asked for with a single row or column of the picture. An operator If
    would say the same: OpenVINO 2026.4.1 hands on its answer before it is there, when it is asked for the first time.
    """
    height, width = sides
    one = g.whole([1])
    high, wide = (g.add("Reshape", side, g.whole([1])) for side in (height, width))
    high, wide = g.add("Where", first, one, high), g.add("Where", first, wide, one)
    across = g.add("Transpose", columns, perm=(1, 0))
    down, along = parts(g, rows), parts(g, across)
    some = upto(g, shown, wide, 3)
    whole = product(g, *((part, some) for part in down))
    rows_first = product(g, *((whole, upto(g, part, wide, 0)) for part in along))
    some = upto(g, shown, high, 2)
    whole = product(g, *((some, part) for part in along))
    columns_first = product(g, *((upto(g, part, high, 1), whole) for part in down))
    return g.add("Where", first, rows_first, columns_first)


def upto(g: Nodes, x: str, end: str, axis: int) -> str:
    """The first points along an axis."""
    return g.add("Slice", x, g.whole([0]), end, g.whole([axis]))


def parts(g: Nodes, weights: str) -> tuple[str, str]:
    """Weights in whole numbers of 2^-22, as Pillow has them, in two parts: 2048 times the first, plus the second."""
    whole = g.add("Floor", g.add("Add", g.add("Mul", weights, g.double(2.0**22)), g.double(0.5)))
    high = g.add("Floor", g.add("Add", g.add("Mul", whole, g.double(1 / 2048)), g.double(0.5)))
    low = g.add("Sub", whole, g.add("Mul", high, g.double(2048)))
    return g.add("Cast", high, to=FLOAT), g.add("Cast", low, to=FLOAT)


def product(g: Nodes, high: tuple[str, str], low: tuple[str, str]) -> str:
    """The product of matrices in two parts, to the nearest whole number, halves up, within 0..255.

    Each sum stays below 2^24, where float32 holds every whole number, so that the order of adding changes nothing.
    """
    rest = g.add("Floor", g.add("Mul", g.add("MatMul", *low), g.real(1 / 2048)))
    total = g.add("Add", g.add("Add", g.add("MatMul", *high), g.real(1024)), rest)
    return g.add("Clip", g.add("Floor", g.add("Mul", total, g.real(1 / 2048))), g.real(0), g.real(255))


def wide(g: Nodes, value: str) -> str:
    return g.add("Cast", value, to=DOUBLE)
