"""How training pictures vary: within what was promised, and by looked-up numbers alone."""

from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from resnetkit.data.augment import DRAWS, Augment, crop_box, draws, pad_and_flip, resized_crop
from resnetkit.data.preprocess import Preprocess

GREY = Preprocess(size=(6, 5), mean=(0.5,), std=(0.5,), channels=1)
COLOUR = Preprocess(size=(6, 5), mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.5), channels=3)
FILL = np.array([10, 20, 30], np.uint8)


def some_images(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def test_draws_belong_to_a_picture_and_an_epoch() -> None:
    u = draws(np.arange(100), seed=1, epoch=2)
    assert u.shape == (100, DRAWS)
    assert (draws(np.array([70, 3]), seed=1, epoch=2) == u[[70, 3]]).all()
    others = [draws(np.arange(100), seed=seed, epoch=epoch) for seed, epoch in ((1, 3), (2, 2), (2, 1))]
    assert all(not np.isclose(u, other).any() for other in others)
    assert 0 <= u.min() < 0.01
    assert 0.99 < u.max() < 1


def test_the_numbers_are_what_they_were() -> None:
    """Crops and mirrors of old runs come back, whatever else may vary."""
    u = draws(np.arange(500), seed=1, epoch=2)
    assert blake2b(u[:50].tobytes(), digest_size=8).hexdigest() == "1e9008d21e2a4afc"
    boxes = np.array([crop_box(40 + i % 50, 60, row, Augment()) for i, row in enumerate(u)], np.int64)
    assert blake2b(boxes.tobytes(), digest_size=8).hexdigest() == "dc43c73781b3ef89"


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 2**40), st.sampled_from([0.01, 0.35, 1.0]))
def test_a_crop_lies_in_the_picture(height: int, width: int, index: int, least: float) -> None:
    augment = Augment(scale=(least, 1.0))
    left, top, right, bottom = crop_box(height, width, draws(np.array([index]), seed=0, epoch=0)[0], augment)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(height, width) > 100 and max(height, width) / min(height, width) < 1.3:
        assert 0.97 * least <= (right - left) * (bottom - top) / (height * width) <= 1
        assert 0.97 * 3 / 4 <= (right - left) / (bottom - top) <= 4 / 3 * 1.03


def test_crops_are_spread_evenly() -> None:
    boxes = np.array(
        [crop_box(400, 400, u, Augment(scale=(0.2, 0.4))) for u in draws(np.arange(2000), seed=0, epoch=0)]
    )
    left, top, right, bottom = boxes.T
    area, ratio = (right - left) * (bottom - top) / 160_000, np.log((right - left) / (bottom - top))
    assert abs(area.mean() - 0.3) < 0.005
    assert abs(ratio.mean()) < 0.02
    assert abs(ratio.std() - np.log(16 / 9) / 12**0.5) < 0.01
    assert abs((left / (400 - (right - left))).mean() - 0.5) < 0.02
    assert abs((top / (400 - (bottom - top))).mean() - 0.5) < 0.02
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.1
    assert np.unique(boxes, axis=0).shape[0] > 1900


@pytest.mark.parametrize(
    ("height", "width", "box"), [(10, 100, (43, 0, 56, 10)), (100, 10, (0, 43, 10, 56)), (1, 1, (0, 0, 1, 1))]
)
def test_where_no_crop_fits_the_middle_is_taken(height: int, width: int, box: tuple[int, ...]) -> None:
    assert crop_box(height, width, np.full(DRAWS, 0.999), Augment(scale=(1.0, 1.0))) == box


def test_a_crop_of_everything_is_the_whole_picture() -> None:
    pixels = some_images(30, 30, 3)
    augment = Augment(scale=(1.0, 1.0), ratio=(1.0, 1.0))
    whole = Preprocess(size=(6, 5), resize="stretch", mean=(0.5,) * 3, std=(1.0,) * 3, channels=3)
    assert (resized_crop(pixels, np.full(DRAWS, 0.5), augment, whole) == whole.apply(pixels)).all()


@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("preprocess", [GREY, COLOUR])
def test_a_crop_has_the_channels_of_the_network(stored: int, preprocess: Preprocess) -> None:
    u = draws(np.array([5]), seed=0, epoch=0)[0]
    crop = resized_crop(some_images(40, 30, stored), u, Augment(), preprocess)
    assert crop.shape == (6, 5, preprocess.channels)
    assert crop.dtype == np.uint8
    if stored == 1 and preprocess is COLOUR:
        assert (crop == crop[..., :1]).all()


def test_a_crop_shows_what_is_in_its_box() -> None:
    pixels = np.zeros((100, 100, 1), np.uint8)
    u = draws(np.array([3]), seed=0, epoch=0)[0]
    left, top, right, bottom = crop_box(100, 100, u, Augment(scale=(0.1, 0.3)))
    pixels[top:bottom, left:right] = 200
    crop = resized_crop(pixels, u, Augment(scale=(0.1, 0.3)), GREY)
    assert (crop[1:-1, 1:-1] == 200).all()  # at the border a smooth resize also sees what is beside the box
    assert crop.min() > 140


def by_hand(image: NDArray[np.uint8], u: NDArray[np.float64]) -> NDArray[np.uint8]:
    height, width, _ = image.shape
    down, across = max(1, height // 8), max(1, width // 8)
    wide = np.empty((height + 2 * down, width + 2 * across, image.shape[2]), np.uint8)
    wide[:] = FILL[: image.shape[2]]
    wide[down : down + height, across : across + width] = image
    top, left = int(u[1] * (2 * down + 1)), int(u[2] * (2 * across + 1))
    image = wide[top : top + height, left : left + width]
    return image[:, ::-1] if u[0] < 0.5 else image


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (8, 8, 1), (5, 17, 3), (1, 1, 1)])
def test_shift_and_mirror_picture_by_picture(shape: tuple[int, ...]) -> None:
    images, u = some_images(64, *shape), draws(np.arange(64), seed=3, epoch=0)
    varied = pad_and_flip(images.copy(), u, Augment(crop="pad"), FILL[: shape[2]])
    assert varied.shape == images.shape
    assert varied.dtype == np.uint8
    assert (varied == np.stack([by_hand(image, v) for image, v in zip(images, u, strict=True)])).all()
    assert varied.flags.c_contiguous


def test_all_shifts_come_about() -> None:
    image = np.zeros((1, 32, 32, 1), np.uint8)
    image[0, 16, 16] = 255
    u = draws(np.arange(3000), seed=0, epoch=0)
    varied = pad_and_flip(np.repeat(image, 3000, 0), u, Augment(crop="pad", flip=False), FILL[:1])
    _, down, across, _ = np.nonzero(varied == 255)
    assert set(zip(down.tolist(), across.tolist(), strict=True)) == {
        (y, x) for y in range(12, 21) for x in range(12, 21)
    }
    assert (np.sort(np.unique(varied))).tolist() == [0, 10, 255]


def test_half_are_mirrored_or_none() -> None:
    images, u = some_images(1000, 4, 4, 3), draws(np.arange(1000), seed=0, epoch=0)
    varied = pad_and_flip(images.copy(), u, Augment(crop="none"), FILL)
    mirrored = (varied == images[:, :, ::-1]).all((1, 2, 3))
    assert ((varied == images).all((1, 2, 3)) == ~mirrored).all()
    assert 440 < mirrored.sum() < 560
    assert (pad_and_flip(images.copy(), u, Augment(crop="none", flip=False), FILL) == images).all()
