"""Small pictures as a page holds them, and the heat of an answer over them."""

import base64
import io
from collections.abc import Callable

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from resnetkit.answers import Heat
from resnetkit.data.decode import Picture
from resnetkit.errors import DataError

SIDE = 112  # pixels of a small picture along its longer side, at most
SHARP = 40  # pixels up to which it is stored without loss
MOST = 400  # pictures of a page: it stays below 5 MB


class Thumbs:
    """The pictures of one page, each made when it is first wanted; beyond so many there are no more."""

    def __init__(self, read: Callable[[int], Picture] | None, heat: Heat | None = None) -> None:
        self.read, self.heat = read, heat
        self.kept: dict[str, str] = {}  # data URIs, by key
        self.large = False  # whether any is shown reduced

    def want(self, row: int, answer: str | None = None) -> str | None:
        """The key of picture ``row``, with ``answer`` under the heat of that; None where there is none."""
        key = f"{row}" if answer is None else f"{row} {answer}"
        if key in self.kept:
            return key
        if self.read is None or len(self.kept) >= MOST or (answer is not None and self.heat is None):
            return None
        try:
            pixels = self.read(row).pixels
        except DataError:  # it went away meanwhile
            return None
        if answer is not None and self.heat is not None:
            hot = self.heat(pixels, answer)
            if hot is None:  # the network does not know that answer
                return None
            pixels = hot
        self.large = self.large or max(pixels.shape[:2]) > SIDE
        self.kept[key] = small(pixels)
        return key

    def uri(self, key: str) -> Markup:
        return Markup(self.kept[key])  # noqa: S704 (base64)


def small(pixels: NDArray[np.uint8]) -> str:
    """Pixels (h, w, c) as a data URI."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3])
    picture.thumbnail((SIDE, SIDE))
    data, kind = io.BytesIO(), "png" if max(picture.size) <= SHARP else "jpeg"
    picture.save(data, kind.upper(), quality=80)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
