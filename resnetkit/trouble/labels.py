"""Labels that may be wrong, by confident learning (Northcutt, Jiang & Chuang 2021, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import dice
from resnetkit.engine.losses import Loss
from resnetkit.engine.solve import FOLDS, ROUGH, STRENGTHS, Features, Problem
from resnetkit.trouble.finding import Album, Finding

NOBODY = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Suspects:
    """Pictures whose label and likeliest class disagree, the most suspicious first."""

    rows: NDArray[np.int64]  # (k,)
    better: NDArray[np.int64]  # (k,) the class that each may be
    margins: NDArray[np.float64]  # (k,) probability of the label less that of the likeliest other class, -1 to 1
    joint: NDArray[np.int64]  # (classes, classes) pictures that are sure of a class, by label and by that class


def doubts(features: Tensor, labels: NDArray[np.int64], alike: NDArray[np.int64], classes: int) -> Suspects:
    """Suspects in two rounds: of those of the first, the heads of the second do not learn."""
    first = suspects(out_of_fold(features, labels, alike, classes), labels)
    return suspects(out_of_fold(features, labels, alike, classes, first.rows), labels)


def suspects(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspects:
    """What probabilities (n, classes) of pictures that were not learned from say of their labels (n,).

    A picture is counted for the likeliest of the classes whose probability is at least the mean that they have over
    the pictures labelled so (equations 1 and 2). Brought to as many pictures as each label has (equation 3), these
    counts say how many labels are wrong. So many pictures with the lowest normalised margins are the suspects.
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
    margins = own - others.max(1)
    seen = joint.sum(1)
    wrong = (1 - np.divide(joint.diagonal(), seen, out=np.ones(classes), where=seen > 0)) @ counts
    rows = np.argsort(margins, kind="stable")[: round(float(wrong))]
    rows = rows[margins[rows] < 0]
    return Suspects(rows, others[rows].argmax(1), margins[rows], joint)


def out_of_fold(
    features: Tensor,
    labels: NDArray[np.int64],
    alike: NDArray[np.int64],
    classes: int,
    doubted: NDArray[np.int64] = NOBODY,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Probabilities (n, classes) from linear heads that were solved without the pictures they are asked about.

    ``features`` (n, d) are float32; pictures with one number in ``alike`` (n,), such as copies, are left out together.
    Of those whose labels are ``doubted`` (k,) no head learns. The strength of the heads is the one with the least loss
    on what was left out of them.
    """
    folds = torch.from_numpy(folded(labels, alike, seed))
    targets = torch.from_numpy(labels)
    objective = Loss("cross-entropy")
    problem = Problem.of(Features(features[None], targets), objective, classes)
    sure = torch.ones(len(labels))
    sure[doubted] = 0
    lanes = torch.stack([(folds != fold).float() * sure for fold in range(FOLDS)])
    place, best, least = problem.begin(FOLDS), torch.zeros(len(labels), classes, dtype=torch.float64), np.inf
    for strength in STRENGTHS:
        place = problem.least(place, lanes, strength, ROUGH)
        logits = torch.zeros(len(labels), classes, dtype=torch.float64)
        for fold, head in enumerate(problem.heads(place)):
            logits[folds == fold] = head(features[folds == fold]).double()
        loss = float(objective.each(logits, targets) @ sure.double())
        if loss > least:
            break
        best, least = logits, loss
    return best.softmax(1).numpy()


def folded(labels: NDArray[np.int64], alike: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The fold of each picture: of each class as many in each, and those that are alike in one."""
    _, first, group = np.unique(alike, return_index=True, return_inverse=True)
    order = dice.permutation(len(first), seed, "check folds")
    order = order[np.argsort(labels[first][order], kind="stable")]
    folds = np.empty(len(first), np.int64)
    folds[order] = np.arange(len(first)) % FOLDS
    return folds[group]


def label_findings(
    album: Album, classes: Sequence[str], rows: NDArray[np.int64], labels: NDArray[np.int64], found: Suspects
) -> list[Finding]:
    """``rows`` (n,) are the places in the album of the pictures whose ``labels`` (n,) were judged."""
    findings = []
    for place, better, margin in zip(found.rows.tolist(), found.better.tolist(), found.margins.tolist(), strict=True):
        words = f"labelled {classes[labels[place]]}, looks like {classes[better]}"
        score = round(-margin, 4)
        findings.append(album.finding("label", words, [rows[place]], score=score, better=classes[better]))
    return findings
