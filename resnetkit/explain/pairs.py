"""Verification: whether two pictures show the same, told by how alike their features are."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import dice
from resnetkit.data.lists import known, table
from resnetkit.errors import DataError, plain, some
from resnetkit.intervals import wilson

Likeness = NDArray[np.float64]  # (pairs,) cosine of the angle between the features of two pictures
Flags = NDArray[np.bool_]
FIRST = ("first", "a", "image1", "path1", "file1", "left")
SECOND = ("second", "b", "image2", "path2", "file2", "right")
SAME = ("same", "issame", "label", "match")
PART = ("part", "split", "set")
WORDS = {
    word: truth
    for words, truth in (("1 yes true same", True), ("0 no false different", False))
    for word in words.split()
}
RATES = (0.01, 0.001)  # of false acceptance, at which face recognition tells the share accepted rightly


@dataclass(frozen=True)
class Pair:
    """Two pictures, and whether they show the same."""

    first: str
    second: str
    same: bool
    fits: bool | None = None  # whether it is for choosing the threshold; None where the list leaves that open


@dataclass(frozen=True, eq=False)
class Verification:
    """How well likeness tells pairs of the same from others. The threshold comes from the pairs that fit alone."""

    likeness: Likeness
    same: Flags
    fits: Flags
    errors: tuple[tuple[str, str], ...] = ()  # pictures that could not be read, and why; their pairs are left out

    @cached_property
    def roc(self) -> tuple[Likeness, Likeness, Likeness]:
        """Shares of others accepted and of the same accepted, and the likeness from which on; from none to all."""
        return roc(self.likeness, self.same)

    @property
    def auc(self) -> float:
        """The chance that a pair of the same is more alike than one of others."""
        return float(np.trapezoid(self.roc[1], self.roc[0]))

    @property
    def eer(self) -> float:
        """The equal error rate: where as many of the same are refused as others are accepted."""
        accepted, rightly, _ = self.roc
        gap = accepted - (1 - rightly)  # rises from -1 to 1
        i = int(np.argmax(gap >= 0))
        share = gap[i - 1] / (gap[i - 1] - gap[i])
        return float(accepted[i - 1] + share * (accepted[i] - accepted[i - 1]))

    @cached_property
    def threshold(self) -> float:
        """The likeness from which on two are called the same, chosen by the pairs that fit."""
        return best_threshold(self.likeness[self.fits], self.same[self.fits])

    def as_dict(self) -> dict[str, Any]:
        """Every figure; what comes of the threshold is of the pairs that it was not chosen by."""
        left = ~self.fits
        right = ((self.likeness >= self.threshold) == self.same)[left]
        same, other = right[self.same[left]], right[~self.same[left]]
        accepted, rightly, _ = self.roc
        others = int((~self.same).sum())
        rates = {f"{rate:g}": float(rightly[accepted <= rate].max()) for rate in RATES if others * rate >= 1}
        return {
            "pairs": len(self.same),
            "same": int(self.same.sum()),
            "auc": self.auc,
            "eer": self.eer,
            "accepted_at_false_rate": rates,
            "threshold": self.threshold,
            "threshold_from": int(self.fits.sum()),
            "balanced_accuracy": float(same.mean() + other.mean()) / 2,
            "same_accepted": float(same.mean()),
            "same_accepted_of": len(same),
            "same_accepted_interval": list(wilson(int(same.sum()), len(same))),
            "others_refused": float(other.mean()),
            "others_refused_of": len(other),
            "others_refused_interval": list(wilson(int(other.sum()), len(other))),
            "accuracy": float(right.mean()),
        }


def roc(likeness: Likeness, same: Flags) -> tuple[Likeness, Likeness, Likeness]:
    """The receiver operating characteristic (Fawcett 2006, algorithm 1): equal likenesses are accepted together."""
    order = np.argsort(-likeness, kind="stable")
    alike, hits = likeness[order], same[order]
    last = np.append(np.diff(alike) != 0, True)
    rightly = np.concatenate([[0], np.cumsum(hits)[last] / hits.sum()])
    falsely = np.concatenate([[0], np.cumsum(~hits)[last] / (~hits).sum()])
    return falsely, rightly, np.concatenate([[np.inf], alike[last]])


def best_threshold(likeness: Likeness, same: Flags) -> float:
    """The place with the highest mean of the shares of the same accepted and of others refused, however many each are.

    It is between two neighbours; of equally good places it is the middle one.
    """
    values = np.unique(likeness)
    places = np.concatenate([[values[0]], (values[1:] + values[:-1]) / 2, [np.nextafter(values[-1], np.inf)]])
    others_below = np.searchsorted(np.sort(likeness[~same]), places, side="left")
    same_above = same.sum() - np.searchsorted(np.sort(likeness[same]), places, side="left")
    good = others_below * int(same.sum()) + same_above * int((~same).sum())  # whole numbers: equals are equal
    best = np.flatnonzero(good == good.max())
    return float(places[best[(len(best) - 1) // 2]])


def halves(same: Flags, seed: int = 0) -> Flags:
    """Which pairs choose the threshold: half of those of the same and half of the others."""
    fits = np.zeros(len(same), bool)
    for truth in (True, False):
        which = np.flatnonzero(same == truth)
        fits[which[dice.permutation(len(which), seed, "pairs", truth)[: len(which) // 2]]] = True
    return fits


def read_pairs(path: Path) -> list[Pair]:
    """The lines of a list with columns first, second and same, and perhaps part (train or test).

    Raises DataError naming what is wrong; both kinds of pair must be there twice in all, or once in each part, and no
    pair may be of both kinds.
    """
    rows = table(path)
    _, header = next(rows, (1, []))
    first, second, same = (column(path, header, words) for words in (FIRST, SECOND, SAME))
    part = next((i for i, word in enumerate(header) if known(word, PART)), None)
    pairs: list[Pair] = []
    told: dict[frozenset[str], tuple[bool, int]] = {}  # whether two are the same, and the line that says so
    for number, cells in rows:
        where = f"{plain(path)}: line {number}"
        if len(cells) != len(header):
            raise DataError(f"{where} has {len(cells)} cells, the first line {len(header)}", "mend that line")
        truth = WORDS.get(cells[same].lower())
        if truth is None or not cells[first] or not cells[second]:
            raise DataError(
                f"{where} lacks a picture, or says {plain(cells[same])} where 1 or 0 says whether the two are the same",
                "write first,second,1",
            )
        if part is not None and cells[part].lower() not in ("train", "test"):
            raise DataError(f"{where} is of the part {plain(cells[part])}", "write train or test")
        fits = None if part is None else cells[part].lower() == "train"
        one, other = (cells[place].replace("\\", "/") for place in (first, second))
        before, line = told.setdefault(frozenset((one, other)), (truth, number))
        if before != truth:
            what = f"{where} says that {plain(one)} and {plain(other)} are {'' if truth else 'not '}the same"
            raise DataError(f"{what}, and line {line} says otherwise", "remove the line that is wrong")
        pairs.append(Pair(one, other, truth, fits))
    refuse_few(str(path), pairs)
    return pairs


def refuse_few(path: str, pairs: list[Pair]) -> None:
    """DataError where there are too few pairs to choose a threshold by some and to judge it by others."""
    for truth, words in ((True, "the same"), (False, "others")):
        kind = [pair.fits for pair in pairs if pair.same is truth]
        if len(kind) < 2 or (None not in kind and len(set(kind)) < 2):
            raise DataError(f"{plain(path)} has too few pairs of {words}", "give at least one for train and for test")


def column(path: Path, header: list[str], words: tuple[str, ...]) -> int:
    """Which column is called by one of the ``words``."""
    for i, word in enumerate(header):
        if known(word, words):
            return i
    raise DataError(f"{plain(path)} has no column {words[0]}, only {some(header)}", "begin it with: first,second,same")
