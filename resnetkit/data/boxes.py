"""Parts of a picture, drawn at random."""

import math

import numpy as np
from numpy.typing import NDArray

TRIES = 10  # shapes of a part that are tried
COLUMNS = 2 + 2 * TRIES  # numbers that a part takes: place down, place across, then size and ratio of each try

Box = tuple[int, int, int, int]  # left, top, right, bottom


def random_box(
    height: int, width: int, u: NDArray[np.float64], scale: tuple[float, float], ratio: tuple[float, float]
) -> Box | None:
    """A part with a share of the area in ``scale`` and a width by height in ``ratio``; None where no try fits.

    Shares are spread evenly, ratios on a scale of logarithms, as in Szegedy et al. 2015, section 6.
    """
    low, high = (math.log(end) for end in ratio)
    for size, shape in u[2:].reshape(TRIES, 2).tolist():
        area = height * width * (scale[0] + size * (scale[1] - scale[0]))
        aspect = math.exp(low + shape * (high - low))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top, left = int(u[0] * (height - h + 1)), int(u[1] * (width - w + 1))
            return left, top, left + w, top + h
    return None
