"""Pictures of a data set that an export is tried on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from resnetkit.data.lists import Columns
from resnetkit.errors import DataError, plain
from resnetkit.examining import part_of
from resnetkit.export.parted import left_out
from resnetkit.export.samples import Asked
from resnetkit.modelfile import Card

MOST = 200


def taken(
    card: Card, folder: Path | None, data: str | None, tell: Callable[[str], None], columns: Columns | None = None
) -> list[Asked]:
    """Up to 200 of the part that evaluate would choose, evenly; of those that cannot be read ``tell`` hears.

    Where there is a train part alone it has to do, and ``tell`` hears of it. None without data. ``folder`` is that of
    the run of the model. Raises DataError where none can be read.
    """
    if data is None:
        return []
    try:
        _, _, part = part_of(card, folder, data, columns=columns)
    except DataError as error:
        try:
            _, _, part = part_of(card, folder, data, "train", columns=columns)
        except DataError:
            raise error from None
        tell(f"{plain(data)} has a train part alone: the file was tried on pictures that the model may have learned")
    found: list[Asked] = []
    missed: list[int] = []
    for i in np.unique(np.linspace(0, len(part.names) - 1, MOST).astype(int)).tolist():
        try:
            pixels = part.read(i).pixels
        except DataError:
            missed.append(i)
            continue
        colour = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        found.append((part.names[i], colour[None], part.labels[i]))
    if not found:
        raise DataError(f"no picture of {plain(data)} can be read", "give other data, or leave it out")
    for text in left_out(part.name, part, missed):
        tell(text)
    return found
