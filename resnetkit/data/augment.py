"""How training pictures vary: crop and mirror, then policy, colours and holes, by numbers looked up for each."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from resnetkit import dice
from resnetkit.data import boxes, erase, jitter, policies
from resnetkit.data.operations import as_image, as_pixels
from resnetkit.data.policies import Policy
from resnetkit.data.preprocess import Preprocess

DRAWS = 1 + boxes.COLUMNS  # of crop and mirror: whether to mirror, then the crop


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What may vary."""

    crop: Literal["resized", "pad", "none"] = "resized"
    flip: bool = True
    scale: tuple[float, float] = (0.35, 1.0)  # share of the picture's area that a resized crop keeps
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width by height of a resized crop
    policy: Policy = "none"
    policy_strength: float = 0.3  # share of the farthest that operations go
    policy_count: int = 2  # operations in a row; of augmix, chains
    jitter: float = 0.0  # most that factors of brightness, contrast and color differ from 1
    hue: float = 0.0  # most that hues turn, as a share of the circle
    cutout: float = 0.0  # side of the square, as a share of the picture's
    erase: float = 0.0  # share of the pictures


def draws(indices: NDArray[np.int64], *, seed: int, epoch: int) -> NDArray[np.float64]:
    """The numbers in [0, 1) that decide how each picture is cut and mirrored in an epoch: (n, DRAWS)."""
    return dice.uniform(indices, DRAWS, seed, "augment", epoch)


def crop_box(height: int, width: int, u: NDArray[np.float64], augment: Augment) -> boxes.Box:
    """A random part of a picture; where none fits, as much of its middle as the ratio allows."""
    if box := boxes.random_box(height, width, u[1:], augment.scale, augment.ratio):
        return box
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


def repaint(
    images: NDArray[np.uint8],
    index: NDArray[np.int64],
    augment: Augment,
    fill: NDArray[np.uint8],
    *,
    seed: int,
    epoch: int,
) -> NDArray[np.uint8]:
    """Policy, jitter, cutout and erasing, in this order, each where it is on (n, h, w, c). Writes into ``images``."""
    colour = tuple(fill.tolist()) if len(fill) > 1 else int(fill[0])
    if augment.policy != "none":
        count, strength = augment.policy_count, augment.policy_strength
        u = dice.uniform(index, policies.columns(augment.policy, count), seed, "policy", epoch)
        for k, image in enumerate(map(as_image, images)):
            images[k] = as_pixels(policies.follow(image, u[k], augment.policy, count, strength, colour))
    if augment.jitter or augment.hue:
        u = dice.uniform(index, jitter.COLUMNS, seed, "jitter", epoch)
        for k, image in enumerate(map(as_image, images)):
            images[k] = as_pixels(jitter.jitter(image, u[k], augment.jitter, augment.hue))
    if augment.cutout:
        u = dice.uniform(index, erase.CUTOUT_COLUMNS, seed, "cutout", epoch)
        images = erase.cutout(images, u, augment.cutout, fill)
    if augment.erase:
        u = dice.uniform(index, erase.ERASE_COLUMNS, seed, "erase", epoch)
        images = erase.erase(images, u, augment.erase, fill)
    return images
