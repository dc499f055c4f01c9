"""Labels that may be wrong, by confident learning (Northcutt, Jiang & Chuang 2021, section 3)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnetkit import dice
from resnetkit.engine.losses import Loss
from resnetkit.engine.solve import ROUGH, STRENGTHS, Features, Problem
from resnetkit.trouble.finding import Album, Finding
from resnetkit.trouble.suspects import Suspects


def out_of_fold(
    features: Tensor, labels: NDArray[np.int64], folds: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Probabilities (n, classes) from linear heads, of which each was solved without the pictures it is asked about.

    ``features`` (n, d) are float32; the pictures of one number in ``folds`` (n,) are left out together. The strength
    of the heads is the one with the least loss on what was left out of them.
    """
    fold_of, targets = torch.from_numpy(folds), torch.from_numpy(labels)
    objective, count = Loss("cross-entropy"), int(folds.max()) + 1
    problem = Problem.of(Features(features[None], targets), objective, classes)
    lanes = torch.stack([(fold_of != fold).float() for fold in range(count)])
    place, best, least = problem.begin(count), torch.zeros(len(labels), classes, dtype=torch.float64), np.inf
    for strength in STRENGTHS:
        place = problem.least(place, lanes, strength, ROUGH)
        logits = torch.zeros(len(labels), classes, dtype=torch.float64)
        for fold, head in enumerate(problem.heads(place)):
            logits[fold_of == fold] = head(features[fold_of == fold]).double()
        loss = float(objective(logits, targets))
        if loss > least:
            break
        best, least = logits, loss
    return best.softmax(1).numpy()


def folded(labels: NDArray[np.int64], alike: NDArray[np.int64], count: int, seed: int = 0) -> NDArray[np.int64]:
    """Which of ``count`` folds each picture is in: of each class as many in each, and those of a family in one.

    ``alike`` (n,) is the number of its family.
    """
    _, first, family = np.unique(alike, return_index=True, return_inverse=True)
    order = dice.permutation(len(first), seed, "check folds")
    order = order[np.argsort(labels[first][order], kind="stable")]
    folds = np.empty(len(first), np.int64)
    folds[order] = np.arange(len(first)) % count
    return folds[family]


def label_findings(
    album: Album, classes: Sequence[str], rows: NDArray[np.int64], labels: NDArray[np.int64], found: Suspects
) -> list[Finding]:
    """``rows`` (n,) are the places in the album of the pictures whose ``labels`` (n,) were judged."""
    findings = []
    for place, better, own in zip(found.rows.tolist(), found.better.tolist(), found.own.tolist(), strict=True):
        words = f"labelled {classes[labels[place]]}, looks like {classes[better]}"
        score = round(1 - own, 4)
        findings.append(album.finding("label", words, [int(rows[place])], score=score, better=classes[better]))
    return findings
