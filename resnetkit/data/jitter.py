"""Colours of training pictures that waver."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetkit.data.operations import Operation, operate

FACTORS: tuple[Operation, ...] = ("brightness", "contrast", "color")
COLUMNS = 8  # how far brightness, contrast, color and hue go, then the order of the four


def jitter(image: Image.Image, u: NDArray[np.float64], strength: float, hue: float) -> Image.Image:
    """Brightness, contrast and color by factors within ``strength`` of 1, and hue by up to ``hue`` of the circle.

    One after the other in random order, as torchvision's ColorJitter does. Grey pictures have only the first two.
    """
    around = 2 * u[:4] - 1
    changes: list[tuple[Operation, float]] = [
        *((name, 1 + strength * float(far)) for name, far in zip(FACTORS, around[:3], strict=True)),
        ("hue", hue * float(around[3])),
    ]
    for k in np.argsort(u[4:]).tolist():
        name, amount = changes[k]
        used = hue > 0 if name == "hue" else strength > 0
        if used and (image.mode == "RGB" or name in {"brightness", "contrast"}):
            image = operate(image, name, amount, 0)
    return image
