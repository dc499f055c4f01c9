"""A model asked of pairs of pictures whether they show the same."""

import os
from pathlib import Path

import numpy as np

from resnetkit.classifier import ModelOrPath, model_of
from resnetkit.data.decode import MAX_PIXELS
from resnetkit.errors import plain
from resnetkit.explain.pairs import Verification, halves, read_pairs, refuse_few
from resnetkit.inputs import path_of


def verify(
    model: ModelOrPath, pairs: str | os.PathLike[str], *, workers: int | None = None, max_pixels: int = MAX_PIXELS
) -> Verification:
    """Judge the list ``pairs`` (first, second, same, perhaps part), whose paths are as seen from its folder.

    ``model`` is one, or its path.
    Without parts a half of the pairs chooses the threshold, always the same half. Raises DataError for a list that
    cannot be used, and where too few pairs can be read.
    """
    model, path = model_of(model), Path(path_of(pairs, "the list of pairs"))
    listed = read_pairs(path)
    names = list(dict.fromkeys(name for pair in listed for name in (pair.first, pair.second)))
    found = model.embed([path.parent / name for name in names], workers=workers, max_pixels=max_pixels)
    place = {name: i for i, name in enumerate(found.names)}
    rows = [(place.get(str(path.parent / pair.first)), place.get(str(path.parent / pair.second))) for pair in listed]
    kept = [i for i, (one, other) in enumerate(rows) if one is not None and other is not None]
    listed, where = [listed[i] for i in kept], np.array([rows[i] for i in kept], np.int64).reshape(-1, 2)
    refuse_few(plain(path), listed)
    directions = found.directions().astype(np.float64)
    likeness = (directions[where[:, 0]] * directions[where[:, 1]]).sum(1)
    same = np.array([pair.same for pair in listed])
    fits = halves(same) if listed[0].fits is None else np.array([bool(pair.fits) for pair in listed])
    return Verification(likeness, same, fits, found.errors)
