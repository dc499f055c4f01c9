"""Parts of training pictures that lose their content: they take the mean colour, which is zero to the network."""

import numpy as np
from numpy.typing import NDArray

from resnetkit.data import boxes

CUTOUT_COLUMNS = 2  # middle of the square: down, across
ERASE_COLUMNS = 1 + boxes.COLUMNS  # whether, then the rectangle
SCALE, RATIO = (0.02, 1 / 3), (0.3, 1 / 0.3)  # of an erased rectangle, as in torchvision and timm; the paper: up to 0.4


def cutout(
    images: NDArray[np.uint8], u: NDArray[np.float64], share: float, fill: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A square in every picture (n, h, w, c), as in DeVries & Taylor 2017, section 3. Writes into ``images``.

    Its side is ``share`` of the shorter side; its middle is any pixel, so that some of it may lie outside.
    """
    _, height, width, _ = images.shape
    side = max(1, round(share * min(height, width)))
    for image, (down, across) in zip(images, u.tolist(), strict=True):
        top, left = int(down * height) - side // 2, int(across * width) - side // 2
        image[max(0, top) : top + side, max(0, left) : left + side] = fill
    return images


def erase(
    images: NDArray[np.uint8], u: NDArray[np.float64], share: float, fill: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A rectangle in a ``share`` of the pictures (n, h, w, c), as in Zhong et al. 2020, section 3. Writes into them."""
    _, height, width, _ = images.shape
    for k in np.flatnonzero(u[:, 0] < share).tolist():
        if box := boxes.random_box(height, width, u[k, 1:], SCALE, RATIO):
            left, top, right, bottom = box
            images[k, top:bottom, left:right] = fill
    return images
