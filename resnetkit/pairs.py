"""Two networks on the same pictures: whether one is better, or chance alone may have made the difference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import bdtr

from resnetkit.intervals import DRAWS, LEVEL, Interval, between, resampled, units_of, wilson

Flags = NDArray[np.bool_]
Verdict = Literal["a", "b", "equal", "unclear"]
CLOSE = 0.02  # of accuracy: two networks whose difference surely lies within it are as good as equal


@dataclass(frozen=True)
class Pairs:
    """How many pictures which of the two had right."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @classmethod
    def of(cls, a: Flags, b: Flags) -> "Pairs":
        """From whether each is right on each picture, (n,) both."""
        return cls(int((a & b).sum()), int((a & ~b).sum()), int((~a & b).sum()), int((~a & ~b).sum()))

    @property
    def n(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """The accuracy of A less that of B."""
        return (self.only_a - self.only_b) / self.n

    @property
    def p(self) -> float:
        """How often chance alone parts two equally good networks so far: McNemar's test in its mid-p form.

        Fagerland, Lydersen and Laake 2013, section 2: the exact test is too careful, the mid-p one hardly ever errs.
        """
        discordant = self.only_a + self.only_b
        if self.only_a == self.only_b:
            return 1.0
        few = min(self.only_a, self.only_b)
        below = float(bdtr(few - 1, discordant, 0.5)) if few else 0.0
        return float(bdtr(few, discordant, 0.5)) + below


def difference_interval(
    a: Flags, b: Flags, groups: Sequence[str] | None = None, level: float = LEVEL, draws: int = DRAWS
) -> Interval | None:
    """Of the accuracy of A less that of B, over the same draws of pictures, or of whole groups, for both."""
    units = units_of(len(a), groups)
    table = csr_array(np.stack([a.astype(np.float64) - b, np.ones(len(a))], axis=1))
    sums = resampled(table, units, draws)
    return between(sums[:, 0] / sums[:, 1], int(units.max()) + 1, level)


def adjusted(values: Sequence[float]) -> list[float]:
    """Each p for its being one of many, so that none is small by the number of them alone (Holm 1979)."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        found[place] = highest
    return found


def winner(pairs: Pairs, interval: Interval | None, *, grouped: bool, level: float = LEVEL) -> str | None:
    """``a``, ``b``, or None where chance alone may have parted them.

    By McNemar's p below 1 - level, or where pictures come in groups, which it knows nothing of, by the interval.
    """
    sure = interval is not None and not interval.low <= 0 <= interval.high if grouped else pairs.p < 1 - level
    return None if not sure or pairs.difference == 0 else "a" if pairs.difference > 0 else "b"


def verdict(pairs: Pairs, interval: Interval | None, units: int, *, grouped: bool, level: float = LEVEL) -> Verdict:
    """``a`` or ``b`` is better, the two are ``equal`` within CLOSE, or that is ``unclear`` from so few ``units``.

    Where no picture parts the two there is no interval to draw: then what is left open is how many do elsewhere.
    """
    better = winner(pairs, interval, grouped=grouped, level=level)
    if better is not None:
        return "a" if better == "a" else "b"
    if pairs.only_a == pairs.only_b == 0:
        return "equal" if wilson(0, units, level).high <= CLOSE else "unclear"
    return "equal" if interval is not None and max(map(abs, interval)) <= CLOSE else "unclear"


def coarser(a: Sequence[str] | None, b: Sequence[str] | None) -> Literal["a", "b"] | None:
    """Which of two groupings of the same pictures to judge by, the same whichever comes first.

    The one with fewer groups, which proves less; of as many, the one that opens its groups earlier.
    """
    if a is None or b is None:
        return "b" if b is not None else "a" if a is not None else None
    orders = [opened(one) for one in (a, b)]
    return "a" if (len(set(a)), orders[0]) <= (len(set(b)), orders[1]) else "b"


def opened(groups: Sequence[str]) -> list[int]:
    """The number of each picture's group, counted as they come: equal for equal groupings, whatever they are called."""
    places: dict[str, int] = {}
    return [places.setdefault(group, len(places)) for group in groups]


def as_json(interval: Interval | None) -> Any:
    return None if interval is None else list(interval)
