"""What weighs a branch: its channels by what the whole map shows, its points, or all of it by a learned number."""

import torch
from torch import Tensor, nn

from resnetkit import units
from resnetkit.layers import CONVS, NORMS, conv_of


class SqueezeExcite(nn.Module):
    """Each channel (n, c, ...) times a number in 0..1 (Hu et al. 2017, arXiv:1709.01507, figure 2)."""

    def __init__(self, channels: int, reduced: int, ndim: int = 2) -> None:
        super().__init__()
        self.fc1 = CONVS[ndim](channels, reduced, 1)
        self.fc2 = CONVS[ndim](reduced, channels, 1)
        self.relu, self.points = nn.ReLU(inplace=True), points(ndim)

    def forward(self, x: Tensor) -> Tensor:
        out = x.mean(self.points, keepdim=True)
        return x * torch.sigmoid(self.fc2(self.relu(self.fc1(out))))


class EfficientChannels(nn.Module):
    """The same from a convolution along the channels (Wang et al. 2019, arXiv:1910.03151, figure 2)."""

    def __init__(self, kernel: int, ndim: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.points = points(ndim)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(self.points, keepdim=True)
        out = self.conv(means.flatten(1).unsqueeze(1))
        return x * torch.sigmoid(out).view_as(means)


class ChannelGate(nn.Module):
    """Channels by their mean and their largest point (Woo et al. 2018, arXiv:1807.06521, equation 2)."""

    def __init__(self, channels: int, reduced: int, ndim: int = 2) -> None:
        super().__init__()
        self.fc1 = CONVS[ndim](channels, reduced, 1, bias=False)
        self.fc2 = CONVS[ndim](reduced, channels, 1, bias=False)
        self.relu, self.points = nn.ReLU(inplace=True), points(ndim)

    def forward(self, x: Tensor) -> Tensor:
        means = self.fc2(self.relu(self.fc1(x.mean(self.points, keepdim=True))))
        largest = self.fc2(self.relu(self.fc1(x.amax(self.points, keepdim=True))))
        return x * torch.sigmoid(means + largest)


class SpatialGate(nn.Module):
    """Points by the mean and the largest of their channels (equation 3)."""

    def __init__(self, kernel: int, ndim: int = 2) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv", CONVS[ndim](2, 1, kernel, padding=kernel // 2, bias=False))
        self.conv.add_module("bn", NORMS[ndim](1))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.conv(out))


class Cbam(nn.Module):
    """Channels, then points (section 3)."""

    def __init__(self, channels: int, reduced: int, kernel: int, ndim: int = 2) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduced, ndim)
        self.spatial = SpatialGate(kernel, ndim)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))


class Sum(nn.Module):
    """Branch and shortcut, as they are; what both began with is of no use here."""

    def forward(self, out: Tensor, shortcut: Tensor, _x: Tensor) -> Tensor:
        out += shortcut
        return out


class WeighedSum(nn.Module):
    """A learned number for the whole branch, or one for each of its channels, that begins at ``start``.

    ReZero (Bachlechner et al. 2020, arXiv:2003.04887) and SkipInit (De & Smith 2020, arXiv:2002.10444) begin at 0;
    LayerScale (Touvron et al. 2021, arXiv:2103.17239, section 2.1) at 0.1 in networks that are not very deep.
    """

    def __init__(self, channels: int, start: float, ndim: int = 2) -> None:
        super().__init__()
        self.start, self.shape = start, [1, -1, *[1] * ndim]
        self.weight = nn.Parameter(torch.full((channels,), start))

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, self.start)

    def forward(self, out: Tensor, shortcut: Tensor, _x: Tensor) -> Tensor:
        return out * self.weight.view(self.shape) + shortcut


class GatedSum(nn.Module):
    """Branch times g and shortcut times 1 - g, point by point (He et al. 2016, arXiv:1603.05027, section 3.1).

    The bias of g begins at -6, with which the paper's network came nearest to one without gates (table 1).
    """

    def __init__(self, c_in: int, c_out: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = conv_of(len(stride), c_in, c_out, 1, stride=stride) if stride else nn.Linear(c_in, c_out)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        assert isinstance(self.conv.bias, Tensor)
        nn.init.constant_(self.conv.bias, -6.0)

    def forward(self, out: Tensor, shortcut: Tensor, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.conv(x))
        return gate * out + (1 - gate) * shortcut


def points(ndim: int) -> list[int]:
    """The axes along which a map lies."""
    return list(range(2, 2 + ndim))


def attend(block: units.Block, ndim: int) -> nn.Module:
    one = block.attention
    if one is None:
        return nn.Identity()
    if one.kind == "eca":
        return EfficientChannels(one.kernel, ndim)
    if one.kind == "se":
        return SqueezeExcite(block.c_out, one.reduced, ndim)
    return Cbam(block.c_out, one.reduced, one.kernel, ndim)


def joining(block: units.Block, ndim: int) -> nn.Module:
    """How branch and shortcut become one."""
    if block.scale is None:
        return Sum()
    if block.scale == "gated":
        return GatedSum(block.c_in, block.c_out, units.each(block.stride, ndim))
    return WeighedSum(1, 0.0, ndim) if block.scale == "rezero" else WeighedSum(block.c_out, 0.1, ndim)
