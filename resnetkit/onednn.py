"""Convolutions of oneDNN that do what follows in the same pass over a map: operators that torch's compiler uses too.

torch names no public way to them, so that they are looked for before use, and this is the only room that names them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

# How the operators call an activation: a word, its numbers, its way.
Said = tuple[str, list[float], str]
WORDS: dict[type[nn.Module], Callable[[Any], Said]] = {
    nn.Identity: lambda _: ("none", [], ""),
    nn.ReLU: lambda _: ("relu", [], ""),
    nn.ReLU6: lambda _: ("hardtanh", [0.0, 6.0], ""),
    nn.LeakyReLU: lambda act: ("leaky_relu", [act.negative_slope], ""),
    nn.SiLU: lambda _: ("swish", [], ""),
    nn.GELU: lambda act: ("gelu", [], act.approximate),
}
SUMS = (nn.Identity, nn.ReLU)  # activations that can follow a sum in the same pass
NAMES = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


@dataclass(frozen=True)
class Window:
    """How a convolution moves over a map, as the operators take it."""

    padding: list[int]
    stride: list[int]
    dilation: list[int]
    groups: int

    @property
    def all(self) -> tuple[list[int], list[int], list[int], int]:
        return self.padding, self.stride, self.dilation, self.groups


def has(x: Tensor) -> bool:
    """Whether the operators are there for such maps."""
    return x.device.type == "cpu" and x.ndim in (4, 5) and supported(x.dtype)


@cache
def supported(dtype: torch.dtype) -> bool:
    found: Any = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not all(hasattr(found, name) for name in NAMES):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and found._is_mkldnn_bf16_supported())  # noqa: SLF001


def laid_out(weight: Tensor, window: Window, x: Tensor) -> Tensor:
    """A weight as a pass over maps like ``x`` reads it fastest; for others it may be reordered each time."""
    return torch.ops.mkldnn._reorder_convolution_weight(weight, *window.all, list(x.shape))  # noqa: SLF001


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, window: Window, act: nn.Module, other: Tensor | None, over: bool
) -> Tensor:
    """A convolution, the sum with ``other`` if there is one, and an activation; ``over`` writes into ``other``."""
    one = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001
    word: Any = WORDS[type(act)](act)
    if other is None:
        return one(x, weight, bias, *window.all, *word)
    behind = ("add", 1.0, *(word if isinstance(act, nn.ReLU) else (None, [], None)))
    if over:
        return torch.ops.mkldnn._convolution_pointwise_.binary(other, x, weight, bias, *window.all, *behind)
    return one.binary(x, other, weight, bias, *window.all, *behind)
