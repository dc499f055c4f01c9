"""Pictures that are there more than once: to the pixel, or nearly, as after saving or resizing them again."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from resnetkit.trouble.finding import Album, Finding
from resnetkit.trouble.prints import SIDE, Prints

# Measured on 4,000 copies of CIFAR and Fashion-MNIST pictures, saved as JPEG of quality 30 to 90 and resized by 0.6 to
# 2.3: 98 % of the copies are within these limits, and of four million pairs of other pictures one.
RADIUS = 8  # bits of the perceptual hash that may differ
GREY = 0.01  # difference of the thumbnails by the variance of their grey levels: mean squares
COLOUR = 14.0  # grey levels by which red and blue, less green, may differ: JPEG keeps colour coarsely
FLAT = 4.0  # standard deviation, of 255: thumbnails of less are all alike
ROOM = 1 << 22  # pairs that are compared at a time
CELLS = SIDE * SIDE
GREYS = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def exact_groups(prints: Prints, good: NDArray[np.bool_]) -> list[list[int]]:
    """Pictures with equal pixels, among those that are ``good`` (n,): rows, at least two a group."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for row in np.flatnonzero(good).tolist():
        alike[prints.exact[row].tobytes()].append(row)
    return [group for group in alike.values() if len(group) > 1]


def near_pairs(prints: Prints, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of these rows those that show the same with other pixels: (pairs, 2).

    Two perceptual hashes have to agree in all but a few bits, and then the thumbnails in grey and in colour.
    """
    thumbs = prints.thumbs[rows].reshape(-1, CELLS, 3)
    contrast = np.concatenate([(some @ GREYS).std(1) for some in np.array_split(thumbs, len(rows) // 4096 + 1)])
    rows = rows[contrast > FLAT]
    pairs = [found for some in candidates(prints.waves[rows]) if len(found := rows[some][same(prints, rows[some])])]
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)


def candidates(waves: NDArray[np.uint64]) -> Iterator[NDArray[np.int64]]:
    """Pairs (k, 2) of hashes that differ in few bits, a block of comparisons at a time."""
    n = len(waves)
    step = max(1, ROOM // max(1, n))
    for start in range(0, n, step):
        block = waves[start : start + step]
        apart = np.bitwise_count(block[:, None] ^ waves[None, start + 1 :])  # (block, later)
        first, second = np.nonzero(apart <= RADIUS)
        later = second >= first  # each pair once
        found = np.stack([first[later] + start, second[later] + start + 1], 1)
        yield from np.array_split(found, len(found) // 16384 + 1)


def same(prints: Prints, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the thumbnails of pairs (k, 2) say so too."""
    one, other = (prints.thumbs[side].reshape(-1, CELLS, 3).astype(np.float32) for side in pairs.T)
    grey, grey_other = one @ GREYS, other @ GREYS
    spread = (grey.var(1) + grey_other.var(1)) / 2
    shift = (one - other)[:, :, [0, 2]] - (one - other)[:, :, 1:2]
    close = ((grey - grey_other) ** 2).mean(1) <= GREY * spread
    return close & ((shift**2).mean((1, 2)) <= COLOUR**2)


def families(pairs: NDArray[np.int64], n: int) -> list[list[int]]:
    """Rows that pairs hold together, directly or through others."""
    family = linked(pairs, n)
    members: dict[int, list[int]] = defaultdict(list)
    for row in np.unique(pairs).tolist():
        members[int(family[row])].append(row)
    return list(members.values())


def linked(pairs: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The number of the family of each of n rows, by pairs (k, 2)."""
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, family = connected_components(links, directed=False)
    return family.astype(np.int64)


def alike(found: Iterable[Finding], n: int) -> NDArray[np.int64]:
    """A number for each of n rows, equal for those that ``twins`` found to be the same, exactly or nearly."""
    pairs = [(finding.rows[0], row) for finding in found for row in finding.rows[1:]]
    return linked(np.array(pairs, np.int64).reshape(-1, 2), n)


def twins(album: Album, prints: Prints, good: NDArray[np.bool_]) -> list[Finding]:
    """Findings about pictures with equal pixels, and about those that look the same."""
    groups = exact_groups(prints, good)
    once = good.copy()
    for _, *copies in groups:
        once[copies] = False
    nearly = families(near_pairs(prints, np.flatnonzero(once)), len(good))
    return [finding for group in groups for finding in told(album, group, "")] + [
        finding for group in nearly for finding in told(album, group, "near-")
    ]


def told(album: Album, group: Sequence[int], near: str) -> Iterator[Finding]:
    """What is wrong with pictures that are alike: their labels differ, they are in two parts, or just too many."""
    alike = "look the same" if near else "are the same to the pixel"
    labels = list(dict.fromkeys(album.labels[row] for row in group))
    parts = list(dict.fromkeys(album.parts[row] for row in group))
    if len(labels) > 1:
        yield album.finding("two-labels", f"{alike}, as {' and as '.join(labels)}", group)
    if len(parts) > 1:
        yield album.finding(f"{near}leak", f"{alike}, in {' and '.join(parts)}", group)
    elif len(labels) == 1:
        yield album.finding(f"{near}duplicate", alike, group)
