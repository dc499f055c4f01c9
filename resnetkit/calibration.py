"""Whether probabilities are as often right as they say, and the one temperature that makes them so."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from resnetkit import metrics
from resnetkit.metrics import Counts, Logits, Shares

BINS = 15
WIDEST = float(np.log(20))  # a temperature is sought from 1/20 to 20; at an end of that there is none


@dataclass(frozen=True)
class Bin:
    """Pictures whose likeliest class has about the same probability."""

    confidence: float  # its mean
    accuracy: float  # share of them that are right
    n: int


def bins(confidence: Shares, right: Counts, *, mass: bool = False, count: int = BINS) -> list[Bin]:
    """Pictures by confidence, (n,) each: in ``count`` bins of equal width, or with ``mass`` of equally many pictures.

    Of equal width as Naeini, Cooper and Hauskrecht 2015 and Guo et al. 2017 (section 2) have them: (0, 1/count] is the
    first. Equal confidences share a bin, and empty bins are left out.
    """
    edges = np.arange(1, count) / count
    if mass:
        edges = np.unique(np.quantile(confidence, edges, method="inverted_cdf"))
    place = np.searchsorted(edges, confidence, side="left")
    n = np.bincount(place, minlength=count)
    sums, hits = (np.bincount(place, values, minlength=count) for values in (confidence, right))
    return [Bin(float(sums[i] / n[i]), float(hits[i] / n[i]), int(n[i])) for i in np.flatnonzero(n)]


def error(found: list[Bin]) -> float:
    """The expected calibration error: how far confidence and accuracy are apart on average over the pictures.

    Chance alone keeps it above 0, the more so the fewer pictures there are.
    """
    return sum(one.n * abs(one.accuracy - one.confidence) for one in found) / sum(one.n for one in found)


def said(logits: Logits, labels: Counts, temperature: float) -> dict[str, Any]:
    """Figures of the probabilities at a temperature: errors by both kinds of bins, and the loss in nats."""
    confidence, right = metrics.softmax(logits, temperature).max(1), logits.argmax(1) == labels
    wide, mass = bins(confidence, right), bins(confidence, right, mass=True)
    loss = metrics.cross_entropy(logits / temperature, labels)
    return {"ece": error(wide), "ece_equal_mass": error(mass), "loss": loss, "bins": [asdict(one) for one in mass]}


def temperature(logits: Logits, labels: Counts) -> float:
    """The number by which to divide ``logits`` so that the loss on unseen pictures is least (Guo et al. 2017, 4.2).

    The best of the logarithms of 1/20 to 20, in four digits. It is 1 where these pictures are too few to tell: where
    none is wrong, or all are, and the loss would fall for ever; and where the loss falls by less than one standard
    error of that fall, picture by picture, which is where the temperature is two of its own from 1.
    """
    if len(labels) < 2:
        return 1.0
    wide = logits.astype(np.float64)
    right = wide.argmax(1) == labels
    if right.all() or not right.any():
        return 1.0

    def loss(log: float) -> float:
        return metrics.cross_entropy(wide / np.exp(log), labels)

    log = float(minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded", options={"xatol": 1e-6}).x)
    found = float(f"{np.exp(log):.4g}")
    gain = metrics.losses(wide, labels) - metrics.losses(wide / found, labels)
    noise = gain.std(ddof=1) / len(gain) ** 0.5
    return found if abs(log) < WIDEST - 1e-3 and gain.mean() > noise else 1.0
