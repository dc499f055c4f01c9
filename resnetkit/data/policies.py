"""Policies: which operations a training picture meets, and how far they go."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetkit.data.operations import Colour, Operation, operate

Policy = Literal["none", "randaugment", "trivialaugment", "augmix"]

USUAL = {"none": 0, "randaugment": 2, "trivialaugment": 1, "augmix": 3}  # operations in a row; of augmix, chains
LEVELS = 30  # of trivialaugment, beside none at all
DEPTH = 3  # operations that a chain of augmix has at most

GEOMETRY: tuple[Operation, ...] = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
BLENDS: tuple[Operation, ...] = ("brightness", "color", "contrast", "sharpness")
VALUES: tuple[Operation, ...] = ("posterize", "solarize", "autocontrast", "equalize")


@dataclass(frozen=True, kw_only=True)
class Space:
    """The operations of a policy, and how far each goes at full strength."""

    operations: tuple[Operation, ...]
    shear: float  # slope
    shift: float  # share of the side
    pixels: float = math.inf  # that a shift has at most
    degrees: float
    blend: float = 0.0  # that a factor is away from 1
    bits: tuple[int, int]  # that posterize keeps at no and at full strength

    def amount(self, operation: Operation, strength: float, sign: int, size: tuple[int, int]) -> float:
        """The amount of an operation at a share ``strength`` of its range, for a picture of this width and height."""
        if operation.startswith("shear"):
            return sign * strength * self.shear
        if operation.startswith("translate"):
            side = size[0] if operation == "translate_x" else size[1]
            return sign * int(strength * min(self.shift * side, self.pixels))
        if operation == "rotate":
            return sign * strength * self.degrees
        if operation in BLENDS:
            return 1 + sign * strength * self.blend
        if operation == "posterize":
            return self.bits[0] - round(strength * (self.bits[0] - self.bits[1]))
        return 255 * (1 - strength)  # solarize; the others take no amount


# Cubuk et al. 2020, section 3, with the ranges of Cubuk et al. 2019, table 6, as torchvision has them.
RANDAUGMENT = Space(
    operations=("identity", *GEOMETRY, *BLENDS, *VALUES),
    shear=0.3,
    shift=150 / 331,
    degrees=30,
    blend=0.9,
    bits=(8, 4),
)
# Mueller & Hutter 2021, table 1, "wide". A shift of 32 pixels leaves nothing of pictures that are smaller.
TRIVIALAUGMENT = Space(
    operations=RANDAUGMENT.operations,
    shear=0.99,
    shift=1.0,
    pixels=32,
    degrees=135,
    blend=0.99,
    bits=(8, 2),
)
# Hendrycks et al. 2020, section 3 and their code: nothing that resembles the corruptions they test with.
AUGMIX = Space(operations=(*GEOMETRY, *VALUES), shear=0.3, shift=1 / 3, degrees=30, bits=(4, 1))


def columns(policy: Policy, count: int) -> int:
    """How many numbers in [0, 1) decide what a policy does to one picture."""
    return {"none": 0, "randaugment": 2 * count, "trivialaugment": 3, "augmix": 1 + count * (2 + 3 * DEPTH)}[policy]


def follow(
    image: Image.Image, u: NDArray[np.float64], policy: Policy, count: int, strength: float, fill: Colour
) -> Image.Image:
    """A picture ("L" or "RGB") after what a policy and the numbers ``u`` (columns(policy, count)) do to it."""
    if policy == "randaugment":
        for which, side in u.reshape(count, 2).tolist():
            image = drawn(image, RANDAUGMENT, which, side, strength, fill)
    elif policy == "trivialaugment":
        which, side, level = u.tolist()
        image = drawn(image, TRIVIALAUGMENT, which, side, int(level * (LEVELS + 1)) / LEVELS, fill)
    elif policy == "augmix":
        image = augmix(image, u[0], u[1:].reshape(count, -1), strength, fill)
    return image


def drawn(image: Image.Image, space: Space, which: float, side: float, strength: float, fill: Colour) -> Image.Image:
    """A picture after the operation that ``which`` picks; grey pictures know no color, so it is not among theirs."""
    operations = [name for name in space.operations if image.mode == "RGB" or name != "color"]
    operation = operations[int(which * len(operations))]
    return operate(image, operation, space.amount(operation, strength, 1 if side < 0.5 else -1, image.size), fill)


def augmix(image: Image.Image, share: float, chains: NDArray[np.float64], strength: float, fill: Colour) -> Image.Image:
    """The average of some chains of operations, ``share`` of it laid over the picture (their algorithm 1, alpha 1).

    A row of ``chains`` holds its weight, its length, and for each operation which, side and strength.
    The share is from Beta(1, 1), which is even; the weights are from Dirichlet(1, ..., 1).
    """
    original = np.asarray(image, np.float32)
    blend = (1 - share) * original
    for weight, chain in zip(weights(chains[:, 0]).tolist(), chains.tolist(), strict=True):
        varied = image
        for k in range(1 + int(chain[1] * DEPTH)):
            which, side, far = chain[2 + 3 * k : 5 + 3 * k]
            varied = drawn(varied, AUGMIX, which, side, far * strength, fill)
        blend += share * weight * np.asarray(varied, np.float32)
    return Image.fromarray(np.rint(blend).astype(np.uint8))


def weights(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positive numbers with the sum 1 from Dirichlet(1, ..., 1): shares of exponentially distributed ones."""
    lengths = -np.log1p(-u)
    return np.asarray(lengths / lengths.sum())
