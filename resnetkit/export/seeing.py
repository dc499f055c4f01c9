"""What Preprocess does to a picture, as a module of torch: the same products of matrices as in the graphs of ONNX.

See ``export.resizing``. Sides are whole numbers that torch.export follows as it traces; nothing here asks which of two
is larger, because tracing would settle the answer for all pictures, and no tensor is made from nothing, because its
device would be the one that the file was written on.
"""

import numpy as np
import torch
from PIL import __version__ as pillow
from torch import Tensor, nn

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import WeightsError
from resnetkit.export.resizing import GREY


class Seeing(nn.Module):
    """uint8 (n, height, width, 3), RGB, of any height and width to float32 (n, channels, *size), normalised.

    Raises WeightsError for the interpolation "nearest", which is no product of matrices in Pillow.
    """

    mean: Tensor
    std: Tensor
    border: Tensor

    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        if preprocess.interpolation == "nearest":
            raise WeightsError("no graph resizes to the nearest point as Pillow does", "use --input tensor")
        self.seen = preprocess
        for name, values in (("mean", preprocess.mean), ("std", preprocess.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])
        border = np.rint(np.asarray(preprocess.mean) * 255).astype(np.float32)
        self.register_buffer("border", torch.from_numpy(border)[:, None, None])

    def forward(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[1:3]
        shown = pictures.float()
        if self.seen.channels == 1:
            red, green, blue = shown.unbind(3)
            parts = red * GREY[0] + green * GREY[1] + blue * GREY[2]  # below 2^24: exact
            shown = ((parts + 32768) * (1 / 65536)).floor().unsqueeze(3)
        shown = shown.permute(0, 3, 1, 2).contiguous()
        rows, columns = laid(height, width, self.seen)
        high, wide = self.seen.size
        down, above = weights(pictures[0, :, 0, 0], height, rows, high, self.seen)
        along, left = weights(pictures[0, 0, :, 0], width, columns, wide, self.seen)
        shown = resampled(shown, down, along, tall(height - rows, width - columns))
        if self.seen.resize == "letterbox":
            shown = torch.where(above & left.transpose(0, 1), shown, self.border)
        return (shown / 255 - self.mean) / self.std


def laid(height: int, width: int, seen: Preprocess) -> tuple[int, int]:
    """The height and width to which a picture is resized, as ``Preprocess.laid`` says."""
    if seen.resize == "stretch":
        return seen.size
    share = seen.crop if seen.resize == "crop" else 1.0
    down, along = (round(side / share) for side in seen.size)
    if seen.resize == "crop":
        return torch.sym_max(height * along // width, down), torch.sym_max(width * down // height, along)
    return (
        torch.sym_max(1, torch.sym_min(down, nearest(height * along, width))),
        torch.sym_max(1, torch.sym_min(along, nearest(width * down, height))),
    )


def nearest(one: int, other: int) -> int:
    """The whole number nearest to a quotient, and of two the even one, as Python rounds; ``other`` is above 0."""
    twice = 2 * one + other
    up = twice // (2 * other)
    tie = 1 - torch.sym_min(1, twice % (2 * other))
    return up - tie * (up % 2)


def offset(out: int, size: int, seen: Preprocess) -> int:
    """The first row or column of the resized picture that is seen, below 0 where a border comes first."""
    if seen.resize == "stretch":
        return 0
    return nearest(out - size, 2) if seen.resize == "crop" else -((size - out) // 2)


def weights(points: Tensor, given: int, out: int, size: int, seen: Preprocess) -> tuple[Tensor, Tensor]:
    """How much each of ``given`` points counts for each of ``size`` that are seen, of ``out`` that there are.

    float64 (size, given), each row adding up to 1; and (size, 1), whether such a point lies in the picture.
    ``points`` are any numbers, one for each of ``given``, on the device where the answer is to be.
    """
    one = torch.ones_like(points[:1], dtype=torch.int64)
    place = one.expand(size).cumsum(0)[:, None] - 1 + offset(out, size, seen)
    inside = (place >= 0) & (place < out)
    # Points are counted from the middle of the picture, and half of them at a time, in whole numbers.
    place = (place * 2 + 1 - out) * given
    whole = place.div(2 * out, rounding_mode="floor")
    part = (place - whole * (2 * out)).double() / (2 * out)
    index = torch.ones_like(points, dtype=torch.int64).cumsum(0)[None, :] - 1
    apart = (index * 2 + 1 - given - whole * 2).double() * 0.5 - part
    near = (apart * (one.double() * out / given).clamp(max=1)).abs()  # the filter widens when it shrinks
    value = triangle(near) if seen.interpolation == "bilinear" else cubic(near)
    total = value.sum(1, keepdim=True)
    return value / torch.where(inside, total, torch.ones_like(total)), inside  # outside there may be nothing


def triangle(near: Tensor) -> Tensor:
    return (1 - near).clamp(min=0)


def cubic(near: Tensor) -> Tensor:
    """Keys 1981, with a = -0.5."""
    inner = (near * 1.5 - 2.5) * near * near + 1
    outer = ((near * -0.5 + 2.5) * near - 4) * near + 2
    return torch.where(near < 1, inner, torch.where(near < 2, outer, torch.zeros_like(near)))


def tall(rows: int, columns: int) -> int:
    """1 where so many more rows than columns go that Pillow takes rows first: never before its version 13; else 0."""
    if int(pillow.partition(".")[0]) < 13:
        return 0
    return torch.sym_max(0, torch.sym_min(1, rows - torch.sym_max(0, 2 * columns)))


def resampled(shown: Tensor, rows: Tensor, columns: Tensor, first: int) -> Tensor:
    """float32 (n, c, height, width) times both weights: rows first where ``first`` is 1, columns first where it is 0.

    Where Pillow asks for either, both ways are gone: one whose sides depend on the picture's would tie the graph to
    the pictures that it was traced with.
    """
    down, along = parts(rows), parts(columns.transpose(0, 1))
    across = product([(shown, part) for part in along])
    out = product([(part, across) for part in down])
    if isinstance(first, int) and not first:
        return out
    across = product([(part, shown) for part in down])
    other = product([(across, part) for part in along])
    return torch.where(shown.new_ones(()) * first > 0, other, out)


def parts(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weights in whole numbers of 2^-22, as Pillow has them, in two parts: 2048 times the first, plus the second."""
    whole = (weights * 2.0**22 + 0.5).floor()
    high = (whole * (1 / 2048) + 0.5).floor()
    return high.float(), (whole - high * 2048).float()


def product(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The product of matrices in two parts, to the nearest whole number, halves up, within 0..255.

    Each sum stays below 2^24, where float32 holds every whole number, so that the order of adding changes nothing.
    """
    high, low = (one @ other for one, other in pairs)
    return ((high + 1024 + (low * (1 / 2048)).floor()) * (1 / 2048)).floor().clamp(0, 255)
