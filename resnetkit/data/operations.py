"""What can be done to a training picture that leaves its class alone: one operation, one amount."""

from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

Operation = Literal[
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "hue",
]
Colour = int | tuple[int, ...]  # as Pillow takes it: one number for grey pictures


def operate(image: Image.Image, operation: Operation, amount: float, fill: Colour) -> Image.Image:
    """A picture ("L" or "RGB") after one operation; what comes in from outside has the colour ``fill``.

    The amount: slope of a shear, whole pixels of a shift, degrees of a rotation against the clock, factor of
    brightness, color, contrast and sharpness (1 changes nothing), bits that posterize keeps, value from which solarize
    inverts, part of a circle for the hue. Cubuk et al. 2019, table 6; shears keep the upper left corner, as there.
    Grey pictures have neither color nor hue: these leave them as they are.
    """
    match operation:
        case "identity":
            return image
        case "shear_x":
            return sheared(image, (1, amount, 0, 0, 1, 0), fill)
        case "shear_y":
            return sheared(image, (1, 0, 0, amount, 1, 0), fill)
        case "translate_x":
            return shifted(image, (int(amount), 0), fill)
        case "translate_y":
            return shifted(image, (0, int(amount)), fill)
        case "rotate":
            return image.rotate(amount, Image.Resampling.BILINEAR, fillcolor=fill)
        case "brightness":
            return ImageEnhance.Brightness(image).enhance(amount)
        case "color":
            return ImageEnhance.Color(image).enhance(amount)
        case "contrast":
            return ImageEnhance.Contrast(image).enhance(amount)
        case "sharpness":
            return ImageEnhance.Sharpness(image).enhance(amount)
        case "posterize":
            return ImageOps.posterize(image, int(amount))
        case "solarize":
            return ImageOps.solarize(image, amount)  # type: ignore[arg-type]
        case "autocontrast":
            return ImageOps.autocontrast(image)
        case "equalize":
            return ImageOps.equalize(image)
        case "hue":
            return turned(image, amount)
    assert_never(operation)


def shifted(image: Image.Image, by: tuple[int, int], fill: Colour) -> Image.Image:
    """Everything moved to the right and down."""
    moved = Image.new(image.mode, image.size, fill)
    moved.paste(image, by)
    return moved


def sheared(image: Image.Image, where: tuple[float, ...], fill: Colour) -> Image.Image:
    """Each point (x, y) shows what was at (a x + b y + c, d x + e y + f)."""
    return image.transform(image.size, Image.Transform.AFFINE, where, Image.Resampling.BILINEAR, fillcolor=fill)


def turned(image: Image.Image, amount: float) -> Image.Image:
    """All hues moved along the circle, which has 255 steps in Pillow."""
    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([(step + round(amount * 255)) % 256 for step in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """A picture (h, w, c) as Pillow has it."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def as_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """What Pillow has as a picture (h, w, c)."""
    return np.asarray(image, np.uint8).reshape(image.height, image.width, -1)
