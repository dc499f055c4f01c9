"""Pictures that are bare arrays, held in memory: what IDX, npz and CIFAR files come down to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture
from resnetkit.data.parts import Kind, Part, PartName, Source, agree, left_out, ordered
from resnetkit.errors import DataError, some


def array_source(
    location: str,
    kind: Kind,
    images: Mapping[PartName, NDArray[np.uint8]],
    found: Mapping[PartName, Sequence[str]],
    known: Iterable[str],
    given: Sequence[str] | None,
    notes: Iterable[str] = (),
) -> Source:
    """A source over ``images`` (n, h, w, 1 or 3) of the classes ``found``; ``known`` is their order, if any."""
    known = list(dict.fromkeys(known))
    channels = {pictures.shape[-1] for pictures in images.values()}
    if len(channels) > 1:
        raise DataError(f"{location} has grey and colour pictures in different parts", "store all of them alike")
    names, labels = agree(location, found, given, lambda present: ordered(present, known))
    every = [*notes, *(left_out(known, names) if given is None else ())]
    parts = {part: array_part(part, images[part], labels[part]) for part in images}
    return Source(location, kind, names, parts, True, every, channels.pop())


def array_part(part: PartName, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Part:
    """A part over pictures (n, h, w, 1 or 3), which are named by their number."""
    width = len(str(len(images) - 1))
    names = tuple(f"{i:0{width}d}" for i in range(len(images)))
    images.flags.writeable = False
    return Part(part, names, labels, lambda i: Picture(images[i]), lambda i: images[i].tobytes())


def named(where: str, numbers: Sequence[int], known: Sequence[str], count: int | None = None) -> list[str]:
    """The class of each picture: its number, or what ``known`` calls that; DataError for a number that has no class."""
    count = len(known) or count
    for i, number in enumerate(numbers):
        if number < 0 or (count and number >= count):
            limit = f"there are {count} classes" if count else "labels begin at 0"
            raise DataError(f"{where}: picture {i} has the label {number}, but {limit}", "mend the labels")
    return [known[number] if known else str(number) for number in numbers]


def check_words(where: str, words: Sequence[object]) -> tuple[str, ...]:
    """Names of classes must be different words."""
    kept = tuple(word for word in words if isinstance(word, str) and word.strip())
    if len(kept) != len(words) or not kept:
        raise DataError(f"{where}: the names of the classes are not all words", "give each class a name")
    if len(set(kept)) != len(kept):
        twice = Counter(kept).most_common(1)[0][0]
        raise DataError(f"{where}: two classes are called {some([twice])}", "give each class a name of its own")
    return kept
