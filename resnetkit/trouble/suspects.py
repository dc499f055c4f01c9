"""Labels that may be wrong, by what was said of pictures that were not learned from (confident learning)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Suspects:
    """Pictures whose label and likeliest class disagree, the most suspicious first."""

    rows: NDArray[np.int64]  # (k,)
    better: NDArray[np.int64]  # (k,) the class that each may be
    own: NDArray[np.float64]  # (k,) probability of the label, rising
    joint: NDArray[np.int64]  # (classes, classes) pictures that are sure of a class, by label and by that class


def suspects(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspects:
    """What probabilities (n, classes) of pictures that were not learned from say of their labels (n,).

    By Northcutt, Jiang and Chuang 2021, section 3: a picture is counted for the likeliest of the classes whose
    probability is at least the mean that they have over the pictures labelled so (equations 1 and 2). Brought to as
    many pictures as each label has (equation 3), these counts say how many labels are wrong. So many pictures whose own
    label is least likely (section 3.2, by class) are the suspects, but for those of which no other class is likelier.
    """
    n, classes = probabilities.shape
    counts = np.bincount(labels, minlength=classes)
    own = probabilities[np.arange(n), labels]
    means = np.full(classes, np.inf)  # a class without pictures has no threshold, and no picture reaches it
    np.divide(np.bincount(labels, own, minlength=classes), counts, out=means, where=counts > 0)
    reached = np.where(probabilities >= means, probabilities, -1.0)
    meant = reached.argmax(1)
    confident = reached.max(1) >= 0
    joint = np.zeros((classes, classes), np.int64)
    np.add.at(joint, (labels[confident], meant[confident]), 1)
    others = probabilities.copy()
    others[np.arange(n), labels] = -np.inf
    seen = joint.sum(1)
    wrong = (1 - np.divide(joint.diagonal(), seen, out=np.ones(classes), where=seen > 0)) @ counts
    # Not by the margin to the likeliest other class: two classes that share what a picture looks like hide that the
    # label is neither of them.
    rows = np.argsort(own, kind="stable")[: round(float(wrong))]
    rows = rows[own[rows] < others[rows].max(1)]
    return Suspects(rows, others[rows].argmax(1), own[rows], joint)
