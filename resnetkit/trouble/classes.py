"""What is wrong with the classes: missing in a part, hardly there, or of very different size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resnetkit.data.parts import Part
from resnetkit.trouble.finding import Album, Finding

FEW = 10  # pictures to learn a class from
LEAST = 2  # a class of one is learned by heart
UNEVEN = 10  # pictures of the largest class for each of the smallest

Sizes = Mapping[str, Mapping[str, int]]  # pictures of each class in each part


def class_sizes(parts: Mapping[Any, Part], task: str, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Pictures of each class in each part; of tags and numbers nothing."""
    if task != "classes":
        return {}
    counts = {name: np.bincount(part.labels, minlength=len(classes)).tolist() for name, part in parts.items()}
    return {name: dict(zip(classes, of, strict=True)) for name, of in counts.items()}


def class_findings(album: Album, sizes: Sizes, strange: tuple[str, ...] = ()) -> Iterator[Finding]:
    """``strange`` are classes that train does not have and another part does."""
    learned = "train" if "train" in sizes else "all"
    for part, counts in sizes.items():
        for name, count in counts.items():
            if part == learned and name not in strange:
                yield from learned_from(part, name, count, "val" not in sizes)
            elif name in strange and count:
                here = zip(album.parts, album.labels, strict=True)
                rows = [row for row, place in enumerate(here) if place == (part, name)]
                words = f"{name}: {count:,} in {part}, none in {learned}; training stops"
                yield album.finding("strange-class", words, rows)
    for name in sizes.get(learned, {}):
        without = [part for part, counts in sizes.items() if part != learned and not counts[name]]
        if without and name not in strange:
            words = f"{name}: none in {' and '.join(without)}, so that nothing is said of it there"
            yield Finding("missing-class", words, ", ".join(without), labels=(name,))
    counts = {name: count for name, count in sizes.get(learned, {}).items() if count}
    if counts and max(counts.values()) > UNEVEN * min(counts.values()):
        most, least = (choose(counts, key=counts.__getitem__) for choose in (max, min))
        words = f"{counts[most]:,} pictures of {most}, {counts[least]:,} of {least}; --class-weights balanced may help"
        share = counts[most] / counts[least]
        yield Finding("imbalance", words, learned, labels=(most, least), score=round(share, 2))


def learned_from(part: str, name: str, count: int, carved: bool) -> Iterator[Finding]:
    """About one class of the pictures to learn from; ``carved``: some of them are held out to validate with."""
    if carved and count == 1:
        words = f"{name}: 1 picture in {part}, of which none can be held out; training stops"
        yield Finding("lonely-class", words, part, labels=(name,))
    elif count < FEW:
        many = f"{count} picture{'s' * (count != 1)}"
        words = f"{name}: {many} in {part}" + (
            ", hardly to be learned" if count >= LEAST else ", which is learned by heart"
        )
        yield Finding("tiny-class", words, part, labels=(name,), score=float(FEW - count))
