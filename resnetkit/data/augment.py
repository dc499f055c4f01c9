"""How training pictures vary: where they are cut and whether they are mirrored, by numbers looked up for each."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from resnetkit import dice
from resnetkit.data.preprocess import Preprocess

TRIES = 10  # shapes of a crop that are tried before the middle is taken
DRAWS = 3 + 2 * TRIES  # mirror, place down, place across, then size and ratio of each try


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What may vary."""

    crop: Literal["resized", "pad", "none"] = "resized"
    flip: bool = True
    scale: tuple[float, float] = (0.35, 1.0)  # share of the picture's area that a resized crop keeps
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width by height of a resized crop


def draws(indices: NDArray[np.int64], *, seed: int, epoch: int) -> NDArray[np.float64]:
    """The numbers in [0, 1) that decide each picture's fate in an epoch: (n, DRAWS)."""
    return dice.uniform(indices, DRAWS, seed, "augment", epoch)


def crop_box(height: int, width: int, u: NDArray[np.float64], augment: Augment) -> tuple[int, int, int, int]:
    """A random part of a picture (left, top, right, bottom), as in Szegedy et al. 2015, section 6."""
    low, high = (math.log(ratio) for ratio in augment.ratio)
    for size, shape in u[3:].reshape(TRIES, 2).tolist():
        area = height * width * (augment.scale[0] + size * (augment.scale[1] - augment.scale[0]))
        ratio = math.exp(low + shape * (high - low))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(u[1] * (height - h + 1)), int(u[2] * (width - w + 1))
            return left, top, left + w, top + h
    w = max(1, min(width, round(height * augment.ratio[1])))
    h = max(1, min(height, round(width / augment.ratio[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def resized_crop(
    pixels: NDArray[np.uint8], u: NDArray[np.float64], augment: Augment, preprocess: Preprocess
) -> NDArray[np.uint8]:
    """A random part of a picture (h, w, c), brought to the size and the channels that the network sees."""
    height, width = preprocess.size
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    box = crop_box(pixels.shape[0], pixels.shape[1], u, augment)
    image = image.resize((width, height), Image.Resampling[preprocess.interpolation.upper()], box=box)
    image = image.convert("L" if preprocess.channels == 1 else "RGB")
    return np.asarray(image, np.uint8).reshape(height, width, preprocess.channels)


def pad_and_flip(
    images: NDArray[np.uint8], u: NDArray[np.float64], augment: Augment, fill: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Shift by up to an eighth of the size, as in He et al. 2015, section 4.2, and mirror half of them (n, h, w, c).

    What moves in from outside has the colour ``fill``: the mean, which is zero to the network, as in the paper.
    May write into ``images``.
    """
    n, height, width, channels = images.shape
    if augment.crop == "pad":
        down, across = max(1, height // 8), max(1, width // 8)
        wide = np.tile(np.tile(fill, (height + 2 * down, width + 2 * across, 1)), (n, 1, 1, 1))
        wide[:, down:-down, across:-across] = images
        top, left = (u[:, 1] * (2 * down + 1)).astype(int), (u[:, 2] * (2 * across + 1)).astype(int)
        lines = wide.reshape(n, height + 2 * down, -1)  # pixels lie in a row, so a window is whole lines of bytes
        windows = sliding_window_view(lines, (height, width * channels), (1, 2))
        images = windows[np.arange(n), top, left * channels].reshape(n, height, width, channels)
    if augment.flip:
        mirrored = u[:, 0] < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
    return images
