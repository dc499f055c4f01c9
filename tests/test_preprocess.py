"""What the network sees is, to the bit, what torchvision's transforms make of the same picture."""

import dataclasses
import json
from typing import Any

import numpy as np
import peers
import pytest
from numpy.typing import NDArray
from PIL import Image

from resnetkit.data.preprocess import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SHAPES = [(50, 70), (70, 50), (64, 64), (37, 37), (32, 32), (9, 7), (1, 1), (300, 11), (33, 32), (101, 68), (255, 254)]


def picture(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Noise over a slope, so that both a shift of one pixel and a change of filter show."""
    noise = np.random.default_rng(height * 1000 + width).integers(0, 64, (height, width, channels))
    slope = np.linspace(0, 190, height * width).reshape(height, width, 1)
    return (slope + noise).astype(np.uint8)


def made(**changes: Any) -> Preprocess:
    """For colour unless the changes say otherwise."""
    return Preprocess(**{"size": (32, 32), "mean": MEAN, "std": STD, "channels": 3, **changes})


@pytest.mark.parametrize("crop", [0.875, 1.0, 0.9, 0.96])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_crop_is_torchvisions(crop: float, interpolation: str) -> None:
    transforms = peers.peer("torchvision.transforms")
    for size in (32, 33, 56):
        ours = made(size=(size, size), crop=crop, interpolation=interpolation)
        way = transforms.InterpolationMode(interpolation)
        theirs = transforms.Compose(
            [transforms.Resize(round(size / crop), interpolation=way), transforms.CenterCrop(size)]
        )
        for shape in SHAPES:
            pixels = picture(*shape)
            shown = ours.apply(pixels)
            assert shown.shape == (size, size, 3)
            assert shown.dtype == np.uint8
            assert np.array_equal(shown, np.asarray(theirs(Image.fromarray(pixels)))), (shape, size)


def test_the_whole_way_is_torchvisions() -> None:
    transforms = peers.peer("torchvision.transforms")
    theirs = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    ours = made(size=(224, 224))
    several = [picture(*shape) for shape in SHAPES]
    wanted = np.stack([theirs(Image.fromarray(pixels)).numpy() for pixels in several])
    assert np.array_equal(ours.normalize(np.stack([ours.apply(pixels) for pixels in several])), wanted)


def test_normalize_is_exact_for_every_value() -> None:
    transforms = peers.peer("torchvision.transforms")
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for mean, std in [(0.2860, 0.3530), (0.0, 1.0), (0.5, 0.5), (1 / 3, 0.1234567)]:
        ours = made(mean=(mean,), std=(std,), channels=1).normalize(every)
        theirs = transforms.Normalize((mean,), (std,))(transforms.ToTensor()(every[0]))
        assert np.array_equal(ours[0], theirs.numpy())
        assert ours.dtype == np.float32
        assert ours.flags.c_contiguous


def test_sizes_that_are_not_square() -> None:
    transforms = peers.peer("torchvision.transforms")
    ours = made(size=(32, 64), crop=1.0)
    for height, width, inner in [(50, 70, (45, 64)), (40, 200, (32, 160)), (32, 64, (32, 64)), (7, 14, (32, 64))]:
        pixels = picture(height, width)
        theirs = transforms.CenterCrop((32, 64))(transforms.Resize(inner)(Image.fromarray(pixels)))
        assert np.array_equal(ours.apply(pixels), np.asarray(theirs)), (height, width)
    stretched = made(size=(32, 64), resize="stretch").apply(picture(50, 70))
    assert np.array_equal(stretched, np.asarray(transforms.Resize((32, 64))(Image.fromarray(picture(50, 70)))))


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch"])
def test_a_picture_of_our_size_is_not_touched(resize: str) -> None:
    pixels = picture(32, 48)
    assert made(size=(32, 48), resize=resize, crop=1.0).apply(pixels) is pixels
    grey = picture(32, 48, 1)
    repeated = made(size=(32, 48), resize=resize, crop=1.0).apply(grey)
    assert np.array_equal(repeated, np.repeat(grey, 3, axis=2))


def test_crop_below_one_cuts_even_where_the_size_fits() -> None:
    pixels = picture(32, 32)
    assert not np.array_equal(made(crop=0.875).apply(pixels), pixels)


def test_letterbox_shows_the_whole_picture_on_the_mean_colour() -> None:
    ours = made(resize="letterbox", mean=(0.5, 0.25, 0.9))
    wide = ours.apply(np.full((20, 50, 3), 7, np.uint8))
    assert (wide[9:22] == 7).all()  # 32 * 20 / 50 = 12.8 rows, in the middle
    assert (wide[:9] == [128, 64, 230]).all()
    assert (wide[22:] == [128, 64, 230]).all()
    tall = ours.apply(np.full((50, 20, 3), 7, np.uint8))
    assert np.array_equal(tall, wide.transpose(1, 0, 2))
    thin = ours.apply(np.full((1000, 1, 3), 7, np.uint8))
    assert int((thin == 7).all(-1).sum()) == 32
    inner = np.asarray(Image.fromarray(picture(50, 20)).resize((13, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(ours.apply(picture(50, 20))[:, 9:22], inner)


def test_letterbox_border_is_near_zero_to_the_network() -> None:
    for channels, mean in [(3, MEAN), (1, (0.286,))]:
        ours = made(resize="letterbox", mean=mean, std=(0.25,) * channels, channels=channels)
        for stored in (1, 3):
            seen = ours.normalize(ours.apply(picture(10, 50, stored))[None])
            assert np.abs(seen[0, :, :5]).max() <= 0.5 / 255 / 0.25 + 1e-6


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch"])
def test_channels_are_converted(resize: str) -> None:
    colour, grey = picture(50, 70), picture(50, 70, 1)
    to_grey = made(resize=resize, mean=(0.5,), std=(0.5,), channels=1)
    luma = np.asarray(Image.fromarray(colour).convert("L"))[..., None]
    assert np.array_equal(to_grey.apply(colour), to_grey.apply(luma))
    to_colour = made(resize=resize, mean=(0.5,) * 3)
    assert np.array_equal(to_colour.apply(grey), to_colour.apply(np.repeat(grey, 3, axis=2)))


def test_json_comes_back_equal() -> None:
    for ours in (
        made(),
        made(size=(8, 4096), resize="letterbox", crop=0.25, interpolation="bicubic", mean=(0, 1, 0.5)),
    ):
        assert Preprocess.from_json(json.loads(json.dumps(ours.to_json(), allow_nan=False))) == ours


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("size", [32]), ("size", [32, 0]), ("size", [32, 4097]), ("size", [32.0, 32]), ("size", [True, 32]),
        ("size", 32), ("size", "ab"), ("resize", "squash"), ("resize", None), ("resize", ["crop"]), ("crop", 0),
        ("crop", 1.01), ("crop", float("nan")), ("crop", "1"), ("crop", True), ("interpolation", "lanczos"),
        ("interpolation", []),
        ("channels", 2), ("channels", 3.0), ("channels", True), ("mean", [0.5]), ("mean", [0.5, 0.5, 1.1]),
        ("mean", [0.5, 0.5, float("nan")]), ("mean", [10**400] * 3), ("mean", None), ("std", [1, 1, 0]),
        ("std", [1, 1, float("inf")]), ("std", [1, 1, "1"]), ("std", [1, 1, 1, 1]), ("std", {"a": 1}),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(name: str, wrong: object) -> None:
    with pytest.raises(ValueError, match=rf"\b{name} must"):
        Preprocess.from_json({**made().to_json(), name: wrong})


@pytest.mark.parametrize("about", [None, [], {"size": 1}, {**made().to_json(), "flip": 1}])
def test_fields_are_neither_missing_nor_new(about: object) -> None:
    with pytest.raises(ValueError, match="preprocess must have size"):
        Preprocess.from_json(about)


def test_it_is_a_value() -> None:
    assert hash(made()) == hash(made())
    with pytest.raises(dataclasses.FrozenInstanceError):
        made().size = (1, 1)  # type: ignore[misc]
