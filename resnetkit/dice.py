"""Randomness that is looked up, never used up: a number for each place in a run, on every machine the same."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def address(*place: object) -> int:
    """A seed of 63 bits for one place, such as ``address(seed, "order", epoch)``."""
    return int.from_bytes(blake2b(repr(place).encode(), digest_size=8).digest(), "big") >> 1


def uniform(indices: NDArray[np.int64], count: int, *place: object) -> NDArray[np.float64]:
    """``count`` numbers in [0, 1) for each index: (n, count), a function of place and index alone.

    SplitMix64 (Steele et al. 2014), with the index as its state: the n-th picture draws the same
    numbers in whatever batch, order or thread it is asked for.
    """
    state = mix(indices.astype(np.uint64) + np.uint64(address(*place)))
    with np.errstate(over="ignore"):
        steps = state[:, None] + GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
    return (mix(steps) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(n: int, *place: object) -> NDArray[np.int64]:
    """An order of ``n`` things, a function of place alone."""
    with np.errstate(over="ignore"):
        keys = mix(np.uint64(address(*place)) + GOLDEN * np.arange(1, n + 1, dtype=np.uint64))
    return np.argsort(keys, kind="stable").astype(np.int64)


def beta(alpha: float, *place: object) -> float:
    """A number in [0, 1] from Beta(alpha, alpha), a function of place alone."""
    return float(np.random.default_rng(address(*place)).beta(alpha, alpha))


def mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
