"""How far a figure may be off for want of pictures: intervals, by formula or by drawing the pictures again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtr, ndtri, stdtrit

from resnetkit import dice
from resnetkit.errors import UsageError, nearest, plain
from resnetkit.metrics import Counts, Shares

LEVEL = 0.95  # share of such intervals that hold the true figure
DRAWS = 1000
FEWEST = 8  # units that tell how far they are apart; of fewer even widened intervals were far too short
AT_ONCE = 1 << 22  # numbers drawn at a time


class Interval(NamedTuple):
    """Where the true figure is, as often as the level says."""

    low: float
    high: float


def wilson(right: int, n: int, level: float = LEVEL) -> Interval:
    """The interval of a share, ``right`` of ``n`` > 0 (Wilson 1927; Brown, Cai and DasGupta 2001, section 3.1.1)."""
    z = float(ndtri((1 + level) / 2))
    middle, half = (right + z * z / 2) / (n + z * z), z / (n + z * z) * (right * (n - right) / n + z * z / 4) ** 0.5
    return Interval(0.0 if right == 0 else middle - half, 1.0 if right == n else middle + half)


def units_of(n: int, groups: Sequence[str] | None) -> Counts:
    """Which unit each of ``n`` pictures belongs to, (n,): its group, since pictures of one err together, or itself."""
    if groups is None:
        return np.arange(n, dtype=np.int64)
    return np.unique(np.array(groups, object).astype(str), return_inverse=True)[1].astype(np.int64)


def resampled(figures: csr_array, units: Counts, draws: int = DRAWS) -> Shares:
    """Sums of ``figures`` (pictures, k) over ``draws`` samples of whole units, drawn with replacement: (draws, k).

    The bootstrap (Efron 1979), each draw a function of its number and the number of units alone.
    """
    count = int(units.max()) + 1
    member = csr_array((np.ones(len(units)), (units, np.arange(len(units)))), shape=(count, len(units)))
    table = (member @ figures).T.tocsr()
    step = max(1, AT_ONCE // count)
    sums = []
    for start in range(0, draws, step):
        index = np.arange(start, min(start + step, draws), dtype=np.int64)
        chosen = (dice.uniform(index, count, "bootstrap", count) * count).astype(np.int64)
        chosen += np.arange(len(index))[:, None] * count
        times = np.bincount(chosen.ravel(), minlength=len(index) * count).reshape(len(index), count)
        sums.append((table @ times.T.astype(np.float64)).T)
    return np.concatenate(sums)


def between(values: Shares, units: int, level: float = LEVEL) -> Interval | None:
    """The interval that bootstrapped ``values`` span; None where they cannot tell: of few units, or all alike.

    Its percentiles are widened as Student's t is wider than the normal, or few units would give intervals that are
    too short (Hesterberg 2015, What Teachers Should Know About the Bootstrap, the expanded percentile interval).
    """
    if units < FEWEST or values.min() == values.max():
        return None
    tail = float(ndtr((units / (units - 1)) ** 0.5 * stdtrit(units - 1, (1 - level) / 2)))
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))


def of_classes(
    labels: Counts,
    predicted: Counts,
    losses: Shares,
    classes: int,
    *,
    groups: Sequence[str] | None = None,
    level: float = LEVEL,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """The intervals of accuracy, balanced accuracy, macro F1 and loss: (n,) each in, name to Interval or None out.

    Without groups that of accuracy is Wilson's; all else is bootstrapped over pictures, or over whole groups.
    ``units`` says how many were drawn from.
    """
    n, units = len(labels), units_of(len(labels), groups)
    count = int(units.max()) + 1
    sums = resampled(tallies(labels, predicted, losses, classes), units, draws)
    right, support, called = (sums[:, i * classes : (i + 1) * classes] for i in range(3))
    seen, asked = support.sum(1), np.maximum((support > 0).sum(1), 1)
    found = {
        "accuracy": right.sum(1) / seen,
        "balanced_accuracy": ratio(right, support).sum(1) / asked,
        "macro_f1": np.where(support > 0, ratio(2 * right, called + support), 0).sum(1) / asked,
        "loss": sums[:, -1] / seen,
    }
    spans: dict[str, Any] = {name: between(values, count, level) for name, values in found.items()}
    if groups is None:
        spans["accuracy"] = wilson(int((labels == predicted).sum()), n, level)
    return {"level": level, "over": "pictures" if groups is None else "groups", "units": count, **spans}


def tallies(labels: Counts, predicted: Counts, losses: Shares, classes: int) -> csr_array:
    """Of each picture, by class, whether it is right, what it is and what it was called, and its loss: (n, 3 k + 1)."""
    n = len(labels)
    rows = np.arange(n)
    columns = np.concatenate([labels, classes + labels, 2 * classes + predicted, np.full(n, 3 * classes)])
    values = np.concatenate([labels == predicted, np.ones(2 * n), losses])
    return csr_array((values, (np.tile(rows, 4), columns)), shape=(n, 3 * classes + 1))


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> Shares:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def over_seeds(runs: Sequence[Mapping[str, Any]], figure: str, level: float = LEVEL) -> dict[str, Any]:
    """One figure of several runs that differ in their seed alone, each run's metrics.json: mean, deviation, interval.

    The interval is Student's, of the mean over all seeds; None for one run. Raises UsageError where there is no run,
    for a figure that one of them does not have, and for a level that is no share above 0 and below 1.
    """
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise UsageError(f"level is {level!r}, no share above 0 and below 1", "leave it out for 0.95")
    fix = 'give what json.load makes of the metrics.json of each: over_seeds([first, second], "accuracy")'
    if isinstance(runs, str | Mapping) or not isinstance(runs, Iterable):
        raise UsageError("these are not several runs", fix)
    runs = list(runs)
    if not runs:
        raise UsageError("there is no run to say something of", fix)
    for run in runs:
        if not isinstance(run, Mapping):
            raise UsageError(f"{plain(run)[:60]} is not the contents of a metrics.json", fix)
        known = [name for name, value in run.items() if is_number(value)]
        if figure not in known:
            what = f"{plain(figure)[:60]} is no figure of every run{nearest(plain(figure), known)}"
            raise UsageError(what, f"choose from {', '.join(known)}" if known else fix)
    values = np.array([run[figure] for run in runs], np.float64)
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return {"figure": figure, "runs": n, "mean": mean, "deviation": None, "level": level, "interval": None}
    deviation = float(values.std(ddof=1))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * deviation / n**0.5
    interval = Interval(mean - half, mean + half)
    return {"figure": figure, "runs": n, "mean": mean, "deviation": deviation, "level": level, "interval": interval}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
