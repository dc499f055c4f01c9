"""How a decoded picture becomes what the network sees: one size, one number of channels, one scale."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetkit.errors import UsageError

Resize = Literal["crop", "letterbox", "stretch"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
RESIZES = get_args(Resize)
RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What is done to every picture, in training, evaluation and wherever the model goes; kept in the model file."""

    size: tuple[int, int]  # height and width
    resize: Resize = "crop"  # cut the middle out, show the whole with a border, or change the shape
    crop: float = 0.875  # share of the resized short side that is kept, where resize is crop
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...]  # of each channel, 0..1
    std: tuple[float, ...]  # of each channel, 0..1
    channels: int  # 1 or 3

    def __post_init__(self) -> None:
        size, mean, std, channels = self.size, self.mean, self.std, self.channels
        sides = numbers(size, int) and len(size) == 2 and all(1 <= side <= 4096 for side in size)
        need(sides, "size", size, "a height and a width from 1 to 4096")
        need(self.resize in RESIZES, "resize", self.resize, f"one of {', '.join(RESIZES)}")
        need(numbers((self.crop,), float) and 0.25 <= self.crop <= 1, "crop", self.crop, "from 0.25 to 1")
        ways = self.interpolation in list(RESAMPLING)
        need(ways, "interpolation", self.interpolation, f"one of {', '.join(RESAMPLING)}")
        need(channels in (1, 3) and type(channels) is int, "channels", channels, "1 or 3")
        means = numbers(mean, float) and len(mean) == channels and all(0 <= value <= 1 for value in mean)
        need(means, "mean", mean, f"{channels} numbers from 0 to 1")
        stds = numbers(std, float) and len(std) == channels and all(value > 0 for value in std)
        need(stds, "std", std, f"{channels} numbers above 0")

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One picture (height, width, 1 or 3) at our size and with our channels.

        "crop" does on pictures what torchvision's Resize(round(size / crop)) and CenterCrop(size) do, "letterbox" puts
        a border of the mean colour around. What already has our size is not resampled.
        """
        if pixels.shape == (*self.size, self.channels) and (self.resize != "crop" or self.crop == 1):
            return pixels
        height, width = pixels.shape[:2]
        resized, top, left = self.laid(height, width)
        inner = self.scaled(pixels, resized)
        if self.resize == "stretch":
            return inner
        if self.resize == "letterbox":
            shown = np.empty((*self.size, self.channels), np.uint8)
            shown[:] = np.rint(np.asarray(self.mean) * 255)
            shown[-top : len(inner) - top, -left : inner.shape[1] - left] = inner
            return shown
        return np.ascontiguousarray(inner[top : top + self.size[0], left : left + self.size[1]])

    def laid(self, height: int, width: int) -> tuple[tuple[int, int], int, int]:
        """How a picture of these sides is laid under the window of our size: resized to what, and where that begins.

        The second and third number are rows and columns of the resized picture, below zero where a border comes first.
        """
        if self.resize == "stretch":
            return self.size, 0, 0
        if self.resize == "letterbox":
            inner = fitting(height, width, self.size)
            return inner, -((self.size[0] - inner[0]) // 2), -((self.size[1] - inner[1]) // 2)
        outer = covering(height, width, (round(self.size[0] / self.crop), round(self.size[1] / self.crop)))
        return outer, round((outer[0] - self.size[0]) / 2), round((outer[1] - self.size[1]) / 2)

    def scaled(self, pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        """At one size and with our channels; grey is what ITU-R BT.601 makes of colour."""
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        if self.channels == 1:
            image = image.convert("L")
        if image.size != size[::-1]:
            image = image.resize(size[::-1], RESAMPLING[self.interpolation])
        image = image.convert("RGB" if self.channels == 3 else "L")  # after the resizing, which is cheaper in grey
        return np.asarray(image).reshape(*size, self.channels)

    def normalize(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As the network takes them, (n, h, w, c) to (n, c, h, w): to the bit torchvision's ToTensor and Normalize."""
        mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        shown = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        shown /= np.float32(255)
        shown -= mean
        shown /= std
        return shown

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, about: Any) -> Self:
        """Every field, and no other, must be there; raises ValueError naming the one that is wrong."""
        known = [field.name for field in fields(cls)]
        if not isinstance(about, dict) or sorted(map(str, about)) != sorted(known):
            raise ValueError(f"preprocess must have {', '.join(known)}")
        for name in ("size", "mean", "std"):
            if not isinstance(about[name], list):
                raise ValueError(f"preprocess: {name} must be a list")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about.items()
        }
        return cls(**given)


def covering(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same shape that covers ``size``, its long side rounded down as torchvision does."""
    if size[0] * width >= size[1] * height:
        return size[0], int(size[0] * width / height)
    return int(size[1] * height / width), size[1]


def fitting(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape that fits into ``size``."""
    if size[0] * width <= size[1] * height:
        return size[0], max(1, round(size[0] * width / height))
    return max(1, round(size[1] * height / width)), size[1]


def need(good: bool, name: str, value: object, wanted: str) -> None:
    if not good:
        raise UsageError(f"preprocess: {name} must be {wanted}, not {value!r:.80}", f"give another {name}")


def numbers(value: object, kind: type[int | float]) -> bool:
    """Whether this is a tuple of finite numbers; true and false are none."""
    return isinstance(value, tuple) and all(
        isinstance(v, (int, kind)) and not isinstance(v, bool) and abs(v) < math.inf for v in value
    )
