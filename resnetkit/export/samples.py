"""Pictures to try a file on: digits, noise, slopes, and sides and colours that no photograph has."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pictures = NDArray[np.uint8]  # (n, height, width, 3)
Asked = tuple[str, Pictures, Any]  # a name, pictures, and their label where it is known


def samples(size: tuple[int, int]) -> list[Pictures]:
    """The same on every call but for ``size``, the height and width that the network takes."""
    dice = np.random.default_rng(1)
    noise = [(224, 224), size, (2 * size[0], 2 * size[1]), (16, 16), (333, 500), (500, 333), (7, 640), (640, 7), (1, 1)]
    found = [dice.integers(0, 256, (1, *sides, 3), np.uint8) for sides in noise]
    found += [np.full((1, 48, 64, 3), value, np.uint8) for value in (0, 255)]
    slope = np.linspace(0, 255, 300).astype(np.uint8)
    found.append(np.ascontiguousarray(np.broadcast_to(slope[None, None, :, None], (1, 200, 300, 3))))
    found.append(np.stack([digit(value) for value in range(4)]))
    return found


def digit(value: int) -> NDArray[np.uint8]:
    """A digit (120, 90, 3), each on a ground of another colour."""
    image = Image.new("RGB", (90, 120), (60 * value, 200 - 50 * value, 30))
    ImageDraw.Draw(image).text((20, 10), str(value), fill=(250, 250, 240), font_size=90)
    return np.asarray(image)
