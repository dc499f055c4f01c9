"""The 1,797 handwritten digits that come with scikit-learn: 8x8, grey, at hand without a network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resnetkit import dice
from resnetkit.data.arrays import array_source
from resnetkit.data.parts import PartName, Source
from resnetkit.errors import ResourceError

TEST = 36  # test pictures of each digit, the same in every run


def open_digits(classes: Sequence[str] | None) -> Source:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ResourceError("digits comes with scikit-learn, which is missing", "pip install scikit-learn") from error
    pixels, numbers = load_digits(return_X_y=True)
    grey = np.rint(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    order = dice.permutation(len(numbers), "digits", "test")
    chosen = np.concatenate([order[numbers[order] == digit][:TEST] for digit in range(10)])
    test = np.isin(np.arange(len(numbers)), chosen)
    images: dict[PartName, NDArray[np.uint8]] = {"train": grey[~test, :, :, None], "test": grey[test, :, :, None]}
    found: dict[PartName, list[str]] = {
        "train": [str(n) for n in numbers[~test]],
        "test": [str(n) for n in numbers[test]],
    }
    return array_source("digits", "digits", images, found, (), classes)
