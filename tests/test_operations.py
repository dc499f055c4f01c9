"""Each operation is torchvision's: to the bit on Pillow's pictures, within one step of 255 on tensors."""

import typing
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peers import peer
from PIL import Image

from resnetkit.data import policies
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
    "hue": (-0.4, -0.2, 0, 0.2, 0.4),  # whole steps of 255, so that nothing is rounded
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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("operation", [name for name in ALL if name not in {*policies.GEOMETRY, "identity"}])
def test_operations_are_those_of_arithmetic(operation: Operation, channels: int) -> None:
    """The same figures worked out in torch, which shares no code with Pillow."""
    f = peer("torchvision.transforms.v2.functional")
    pixels = some_pixels(32, 32, channels)
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    if operation in policies.BLENDS:
        name = {"color": "saturation"}.get(operation, operation)
        calls = [(amount, getattr(f, f"adjust_{name}")(tensor, amount)) for amount in AMOUNTS[operation]]
    elif operation == "hue":
        calls = [(amount, f.adjust_hue(tensor, amount)) for amount in AMOUNTS[operation]]
    elif operation in {"posterize", "solarize"}:
        calls = [(amount, getattr(f, operation)(tensor, amount)) for amount in AMOUNTS[operation]]
    else:
        calls = [(0, getattr(f, operation)(tensor))]
    for amount, wanted in calls:
        ours = as_pixels(operate(as_image(pixels), operation, amount, FILL[channels])).astype(int)
        off = np.abs(ours - wanted.permute(1, 2, 0).numpy())
        assert off.max() <= (16 if operation == "hue" else 1), amount  # Pillow's hues have 8 bits
        assert off.mean() < 3


@pytest.mark.parametrize("channels", [1, 3])
def test_shifts_and_shears_by_hand(channels: int) -> None:
    pixels, fill = some_pixels(9, 12, channels), np.array(FILL[channels], np.uint8)
    moved = as_pixels(operate(as_image(pixels), "translate_x", 5, FILL[channels]))
    assert np.array_equal(moved[:, 5:], pixels[:, :-5])
    assert (moved[:, :5] == fill).all()
    moved = as_pixels(operate(as_image(pixels), "translate_y", -2, FILL[channels]))
    assert np.array_equal(moved[:-2], pixels[2:])
    assert (moved[-2:] == fill).all()
    sheared = as_pixels(operate(as_image(pixels), "shear_x", 1.0, FILL[channels]))
    for y, row in enumerate(pixels.astype(int)):  # moved by y and a half, so that two neighbours are averaged
        assert np.abs(sheared[y, : 11 - y] - (row[y:-1] + row[y + 1 :]) / 2).max() <= 1
    turned = as_pixels(operate(as_image(pixels[:, :9]), "rotate", 90, FILL[channels]))
    assert np.array_equal(turned, np.rot90(pixels[:, :9]))


def test_a_grey_picture_has_neither_color_nor_hue() -> None:
    image = as_image(some_pixels(8, 8, 1))
    assert operate(image, "hue", 0.3, 0) is image
    assert np.array_equal(as_pixels(operate(image, "color", 0.3, 0)), as_pixels(image))


def test_operations_that_do_nothing() -> None:
    image = as_image(some_pixels(16, 16, 3))
    still: list[tuple[Operation, float]] = [
        *((name, 0.0) for name in policies.GEOMETRY),
        *((name, 1.0) for name in policies.BLENDS),
        ("posterize", 8),
        ("identity", 0),
    ]
    for operation, amount in still:
        assert np.array_equal(as_pixels(operate(image, operation, amount, 0)), as_pixels(image)), operation
