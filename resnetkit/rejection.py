"""Which answers to keep back: what is risked at each coverage, and a threshold that promises a risk."""

from math import ceil, log2
from typing import Any

import numpy as np
from scipy.special import betaincinv

from resnetkit.metrics import Counts, Shares
from resnetkit.reject import Reject

SURE = 0.95  # how often a promise is kept
POINTS = 101  # of the curve that metrics.json holds


def curve(confidence: Shares, right: Counts) -> tuple[Shares, Shares]:
    """Coverage and risk where the surest 1, 2, ... n pictures are answered: (n,) each (El-Yaniv and Wiener 2010).

    Of equal confidences each is wrong as often as all of them together.
    """
    _, place, times = np.unique(-confidence, return_inverse=True, return_counts=True)
    wrong = np.bincount(place, ~np.asarray(right, np.bool_)) / times
    count = np.arange(1, len(confidence) + 1)
    return count / len(confidence), np.repeat(wrong, times).cumsum() / count


def aurc(confidence: Shares, right: Counts) -> float:
    """The area under that curve: the mean risk over all coverages (Geifman, Uziel and El-Yaniv 2019, section 2)."""
    return float(curve(confidence, right)[1].mean())


def said(confidence: Shares, right: Counts) -> dict[str, Any]:
    """The area and some points of the curve, evenly over the coverage, for JSON."""
    coverage, risk = curve(confidence, right)
    places = np.unique(np.linspace(0, len(risk) - 1, POINTS).round().astype(np.int64))
    return {"aurc": float(risk.mean()), "coverage": coverage[places].tolist(), "risk": risk[places].tolist()}


def bounded(wrong: int, n: int, sure: float) -> float:
    """The highest risk at which so few wrong of ``n`` are no rarer than 1 - sure (Clopper and Pearson 1934)."""
    return 1.0 if wrong == n else float(betaincinv(wrong + 1, n - wrong, sure))


def threshold(confidence: Shares, right: Counts, risk: float, sure: float = SURE) -> Reject | None:
    """The threshold with the largest coverage that was found to promise ``risk``; None where none does.

    Selection with guaranteed risk (Geifman and El-Yaniv 2017, algorithm 1): a binary search over the confidences of
    pictures that the network did not learn from, (n,), each try bounded by the binomial tail at its share of 1 - sure.
    """
    n = len(confidence)
    ascending = np.sort(confidence)
    tries = tries_of(n)
    low, high, found = 0, n, None
    for _ in range(tries):
        place = (low + high) // 2
        at = float(ascending[place])
        kept = confidence >= at
        count, wrong = int(kept.sum()), int((kept & ~np.asarray(right, np.bool_)).sum())
        bound = bounded(wrong, count, 1 - (1 - sure) / tries)
        if bound <= risk:
            found = Reject(at, risk, sure, bound, count / n, n)
            high = place
        else:
            low = place
    return found


def least(n: int, sure: float = SURE) -> float:
    """The lowest risk that ``n`` pictures can promise: that of none wrong."""
    return bounded(0, n, 1 - (1 - sure) / tries_of(n))


def tries_of(n: int) -> int:
    """Steps of a binary search that may end at the first of ``n``, where all is answered."""
    return ceil(log2(n)) + 1


def kept(confidence: Shares, right: Counts, reject: Reject) -> dict[str, Any]:
    """What became of pictures under a threshold: how many were answered, and how many of those wrongly."""
    answered = confidence >= reject.threshold
    count, wrong = int(answered.sum()), int((answered & ~np.asarray(right, np.bool_)).sum())
    figures = {"answered": count, "unknown": len(answered) - count, "wrong": wrong}
    return figures | {"coverage": count / len(answered), "risk": wrong / count if count else 0.0}
