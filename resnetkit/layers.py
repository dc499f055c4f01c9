"""The layers of a plan as modules of torch: convolutions, norms, activations, pools and what stands on shortcuts."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetkit import units
from resnetkit.spec import NormName, Sides
from resnetkit.units import GROUPS, Taps, each, same

CONVS: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
LARGEST = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEANS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
WHOLE = {0: nn.Identity, 1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class FrozenNorm(nn.Module):
    """A batch norm whose four values a channel stay as they are: statistics and scale of somebody else's training."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float, ndim: int = 2) -> None:
        super().__init__()
        self.eps, self.shape = eps, [1, -1, *[1] * ndim]
        for name in ("weight", "bias", "running_mean", "running_var"):
            start = torch.ones if name in ("weight", "running_var") else torch.zeros
            self.register_buffer(name, start(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale.view(self.shape) + shift.view(self.shape)


class PadShortcut(nn.Module):
    """Every stride-th point, and zeros for the new channels: option A of section 3.3, which has no parameters."""

    def __init__(self, stride: Sides, pad: tuple[int, int]) -> None:
        super().__init__()
        self.stride, self.pad = each(stride, 2), pad

    def forward(self, x: Tensor) -> Tensor:
        before, after = self.pad
        down, along = self.stride
        return F.pad(x[:, :, ::down, ::along], (0, 0, 0, 0, before, after))

    def extra_repr(self) -> str:
        return f"stride={same(self.stride)}, pad={self.pad}"


class ZeroChannels(nn.Module):
    """Channels of zeros before and after those of series or clips."""

    def __init__(self, pad: tuple[int, int], ndim: int) -> None:
        super().__init__()
        self.pad = (0, 0) * ndim + pad

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.pad)


class Blur(nn.Module):
    """The weights 1 2 1 along each side before points are left out (Zhang 2019, arXiv:1904.11486, section 3.2)."""

    filter: Tensor

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride
        side = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("filter", (side[:, None] * side)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        window = self.filter.expand(self.channels, 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), window, stride=self.stride, groups=self.channels)

    def extra_repr(self) -> str:
        return f"{self.channels}, stride={self.stride}"


class SameMean(nn.Module):
    """The mean of each point and its neighbours behind it, zeros where there are none: timm's of dilated stages."""

    def __init__(self, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.kernel = kernel
        self.pool = MEANS[len(kernel)](kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.pad(x, [edge for side in reversed(self.kernel) for edge in (0, side - 1)]))


def conv_of(ndim: int, c_in: int, c_out: int, kernel: Any, **values: Any) -> nn.Conv1d | nn.Conv2d | nn.Conv3d:
    """A convolution whose windows may differ from side to side, which types of torch cannot say of all three."""
    return CONVS[ndim](c_in, c_out, kernel, **values)


def convolution(layer: units.Layer, ndim: int) -> nn.Module:
    if ndim == 0:
        return nn.Linear(layer.c_in, layer.c_out, bias=layer.bias)
    return conv_of(
        ndim,
        layer.c_in,
        layer.c_out,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias,
    )


def norm(layer: units.Layer, ndim: int, first: bool = False) -> nn.Module:
    """The norm after a convolution, or ``first`` before it."""
    if layer.eps is None:
        return nn.Identity()
    return norm_of(layer.norm, layer.c_in if first else layer.c_out, layer.eps, ndim)


def norm_of(kind: NormName, channels: int, eps: float, ndim: int) -> nn.Module:
    if kind == "group":
        return nn.GroupNorm(GROUPS, channels, eps=eps)
    return FrozenNorm(channels, eps, ndim) if kind == "frozen" else NORMS[ndim](channels, eps=eps)


def activation(act: units.Act) -> nn.Module:
    if act == "relu":
        return nn.ReLU(inplace=True)
    if act == "relu6":
        return nn.ReLU6(inplace=True)
    if act == "leaky_relu":
        return nn.LeakyReLU(inplace=True)
    if act == "silu":
        return nn.SiLU(inplace=True)
    return nn.GELU() if act == "gelu" else nn.Identity()


def blur(channels: int, stride: int) -> nn.Module:
    return Blur(channels, stride) if stride else nn.Identity()


def pooling(pool: units.Pool | None, channels: int, ndim: int) -> nn.Module:
    """What halves the resolution after the stem, or thins the map before a projection."""
    if pool is None:
        return nn.Identity()
    if pool.layer:
        return nn.Sequential(convolution(pool.layer, ndim), norm(pool.layer, ndim), activation(pool.layer.act))
    if pool.kind == "mean":
        kernel, stride = each(pool.kernel, ndim), each(pool.stride, ndim)
        if max(kernel) == 1:
            return nn.Identity()
        return SameMean(kernel) if max(stride) == 1 else mean(kernel, stride)
    largest = LARGEST[ndim](pool.kernel, pool.stride, pool.padding)
    return nn.Sequential(largest, blur(channels, pool.blur)) if pool.blur else largest


def mean(kernel: tuple[int, ...], stride: tuple[int, ...]) -> nn.Module:
    """Windows at the edge count the points that are there."""
    ndim = len(kernel)
    return MEANS[ndim](same(kernel), same(stride), ceil_mode=True, count_include_pad=False)


def bridge(shortcut: units.Shortcut, ndim: int) -> nn.Module | None:
    """What x goes through on its way to the sum; nothing where its shape stays."""
    if shortcut.layer is not None:
        steps = [pooling(shortcut.pool, shortcut.layer.c_in, ndim)] if shortcut.pool else []
        steps.append(convolution(shortcut.layer, ndim))
        if shortcut.layer.eps is not None:
            steps.append(norm(shortcut.layer, ndim))
        return nn.Sequential(*steps)
    if shortcut.kind != "pad":
        return None
    if ndim == 2:
        return PadShortcut(shortcut.stride, shortcut.pad)
    if ndim == 0:
        return nn.ZeroPad1d(shortcut.pad)
    # The largest of a window of one point is every stride-th point.
    return nn.Sequential(LARGEST[ndim](1, shortcut.stride), ZeroChannels(shortcut.pad, ndim))


def stem(layers: tuple[units.Layer, ...], ndim: int) -> nn.Module:
    """All of a stem but its last norm and activation."""
    *before, last = layers
    if not before:
        return convolution(last, ndim)
    steps = [module for one in before for module in (convolution(one, ndim), norm(one, ndim), activation(one.act))]
    return nn.Sequential(*steps, convolution(last, ndim))


def whole_map(ndim: int, taps: Taps | None = None) -> nn.Module:
    """The mean of a map; with ``taps`` that of each of its cells."""
    cells = taps.cells if taps else 1
    return WHOLE[ndim]() if ndim == 0 else WHOLE[ndim]((cells,) * ndim if ndim > 1 else cells)
