"""Each operation is torchvision's, to the bit where it works on Pillow's pictures; each policy is its paper's."""

import typing
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from peers import peer
from PIL import Image

from resnetkit import dice
from resnetkit.data import erase, jitter, operations, policies
from resnetkit.data.boxes import random_box
from resnetkit.data.operations import Operation, as_image, as_pixels, operate

MODES = {1: "L", 3: "RGB"}
FILL: dict[int, Any] = {1: 90, 3: (10, 120, 230)}
SIZES = [(32, 32), (28, 21), (7, 16), (1, 1)]
ALL: tuple[Operation, ...] = typing.get_args(Operation)
AMOUNTS: dict[Operation, tuple[float, ...]] = {
    "identity": (0,),
    "shear_x": (-0.987, -0.1234, 0, 0.2987),  # where no pixel falls on the border, where both round
    "shear_y": (-0.2987, 0.987),
    "translate_x": (-40, -3, 0, 9),
    "translate_y": (-9, 3, 40),
    "rotate": (-135, -30, 0, 12.5, 90),
    "brightness": (0.01, 0.4, 1, 1.99),
    "color": (0.01, 0.4, 1, 1.99),
    "contrast": (0.01, 0.4, 1, 1.99),
    "sharpness": (0.01, 0.4, 1, 1.99),
    "posterize": (8, 5, 2, 1),
    "solarize": (255, 127.5, 8, 0),
    "autocontrast": (0,),
    "equalize": (0,),
    "hue": (-0.5, -0.1, 0, 0.1, 0.5),
}


def some_pixels(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """A picture with soft shapes and a little noise, so that each operation has something to do."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(30, 200, (4, 4, 3), np.uint8)).resize((width, height))
    pixels = np.asarray(coarse)[..., :channels].astype(int) + rng.integers(-9, 10, shape)
    return pixels.clip(0, 255).astype(np.uint8)


def theirs(image: Image.Image, operation: Operation, amount: float, fill: Any) -> Image.Image:
    """The same by torchvision, which keeps the names of its paper."""
    f = peer("torchvision.transforms.v2.functional")
    bilinear = f.InterpolationMode.BILINEAR
    if operation == "hue":
        return f.adjust_hue(image, amount)
    if operation == "rotate":
        return f.rotate(image, amount, interpolation=bilinear, fill=fill)
    names = {"shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX", "translate_y": "TranslateY"}
    names |= {"autocontrast": "AutoContrast"}
    moved = amount - 1 if operation in policies.BLENDS else amount
    name = names.get(operation, operation.capitalize())
    return peer("torchvision.transforms.autoaugment")._apply_op(image, name, moved, bilinear, fill)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", ALL)
def test_operations_are_those_of_torchvision(operation: Operation, channels: int, size: tuple[int, int]) -> None:
    image = as_image(some_pixels(*size, channels))
    before = as_pixels(image).copy()
    for amount in AMOUNTS[operation]:
        ours = operate(image, operation, amount, FILL[channels])
        assert (ours.mode, ours.size) == (MODES[channels], size[::-1])
        assert np.array_equal(as_pixels(ours), as_pixels(theirs(image, operation, amount, FILL[channels]))), amount
    assert np.array_equal(as_pixels(image), before), "the picture that came in is left as it was"
