"""Pictures of a data set that an export is tried on."""

from pathlib import Path

import numpy as np

from resnetkit.errors import DataError, plain
from resnetkit.examining import part_of
from resnetkit.export.samples import Asked
from resnetkit.modelfile import Card

MOST = 200


def taken(card: Card, folder: Path | None, data: str | None) -> list[Asked]:
    """Up to 200 of the part that evaluate would choose, evenly; those that cannot be read are not. None without data.

    ``folder`` is that of the run of the model. Raises DataError where none can be read.
    """
    if data is None:
        return []
    _, _, part = part_of(card, folder, data)
    found: list[Asked] = []
    for i in np.unique(np.linspace(0, len(part.names) - 1, MOST).astype(int)).tolist():
        try:
            pixels = part.read(i).pixels
        except DataError:
            continue
        colour = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        found.append((part.names[i], colour[None], int(part.labels[i]) if card.task == "classes" else None))
    if not found:
        raise DataError(f"no picture of {plain(data)} can be read", "give other data, or leave it out")
    return found
