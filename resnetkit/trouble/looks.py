"""Pictures that look or are stored as the rest does not: judged by themselves, and against all others."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.survey import MINORITY, Seen
from resnetkit.trouble.finding import Album, Finding
from resnetkit.trouble.prints import Prints

# By itself: grey levels are shares of white.
BLANK = 1 / 255  # deviation of the grey levels of what is called blank
DARK = 0.25  # 95 % of the pixels of a dark picture are below it
BRIGHT = 0.85  # 95 % of the pixels of a bright one are above it
BLURRED = 0.02  # variance of the Laplacian by that of the grey levels; sharp photographs have 0.1 and more
TINY = 8  # pixels of the shorter side
LONG = 3.0  # long side by short side
# Against the rest: distances from the median in deviations, as the median distance tells them.
FAR = 3.0
LEAST = {"light": 0.1, "sharp": 0.35, "size": 0.35, "aspect": 0.1}  # deviation, where all others are nearly alike


def looks(
    album: Album, prints: Prints, shapes: NDArray[np.int32], seen: list[Seen], good: NDArray[np.bool_]
) -> list[Finding]:
    """Findings about single pictures; those that are not ``good`` (n,) cannot be read, and are left out."""
    found = [*blank(album, prints, good)]
    full = good & (prints.contrast > BLANK)
    if full.any():
        found += [*light(album, prints, full), *blurred(album, prints, full)]
    if good.any():
        found += [*sizes(album, shapes, good)]
    return [*found, *stored(album, shapes, seen, good)]


def away(values: NDArray[np.float64], among: NDArray[np.bool_], least: float) -> NDArray[np.float64]:
    """How many deviations each value is above the median of those ``among``; the deviation is at least ``least``."""
    middle = np.median(values[among])
    spread = 1.4826 * np.median(np.abs(values[among] - middle))
    return (values - middle) / max(float(spread), least)


def blank(album: Album, prints: Prints, good: NDArray[np.bool_]) -> Iterator[Finding]:
    for row in np.flatnonzero(good & (prints.contrast <= BLANK)).tolist():
        yield album.finding("blank", f"grey level {prints.bright[row]:.0%} all over", [row])


def light(album: Album, prints: Prints, full: NDArray[np.bool_]) -> Iterator[Finding]:
    """Too dark or too bright to see much, and more so than the rest."""
    dark = away(prints.dark.astype(np.float64), full, LEAST["light"])
    for row in np.flatnonzero(full & (prints.dark < DARK) & (dark < -FAR)).tolist():
        words = f"95 % of it is darker than {prints.dark[row]:.0%} of white"
        yield album.finding("dark", words, [row], score=round(1 - float(prints.dark[row]), 4))
    bright = away(prints.bright.astype(np.float64), full, LEAST["light"])
    for row in np.flatnonzero(full & (prints.bright > BRIGHT) & (bright > FAR)).tolist():
        words = f"95 % of it is brighter than {prints.bright[row]:.0%} of white"
        yield album.finding("bright", words, [row], score=round(float(prints.bright[row]), 4))


def blurred(album: Album, prints: Prints, full: NDArray[np.bool_]) -> Iterator[Finding]:
    """Compared as logarithms, since the rest may be ten times as sharp or a hundred times."""
    sharp = np.log(np.maximum(prints.sharpness.astype(np.float64), 1e-9))
    below = away(sharp, full, LEAST["sharp"])
    middle = np.exp(np.median(sharp[full]))
    for row in np.flatnonzero(full & (prints.sharpness < BLURRED) & (below < -FAR)).tolist():
        words = f"sharpness {prints.sharpness[row]:.2g}, the middle one of all pictures {middle:.2g}"
        yield album.finding("blurred", words, [row], score=round(-float(below[row]), 4))


def sizes(album: Album, shapes: NDArray[np.int32], good: NDArray[np.bool_]) -> Iterator[Finding]:
    """Much smaller or larger than the rest, or of another shape."""
    height, width = np.maximum(shapes[:, :2], 1).astype(np.float64).T
    side, aspect = np.log(np.sqrt(height * width)), np.log(width / height)
    apart, bent = away(side, good, LEAST["size"]), away(aspect, good, LEAST["aspect"])
    usual = np.exp(np.median(side[good]))
    small = np.minimum(height, width) < TINY
    odd = (np.abs(apart) > FAR) | (small & (apart < -1))
    for row in np.flatnonzero(good & odd).tolist():
        words = f"{shapes[row, 1]} x {shapes[row, 0]}, where pictures have about {usual:.0f} a side"
        yield album.finding("size", words, [row], score=round(abs(float(apart[row])), 4))
    for row in np.flatnonzero(good & (np.abs(aspect) > np.log(LONG)) & (np.abs(bent) > FAR)).tolist():
        words = f"{shapes[row, 1]} x {shapes[row, 0]}"
        yield album.finding("aspect", words, [row], score=round(abs(float(bent[row])), 4))


def stored(album: Album, shapes: NDArray[np.int32], seen: list[Seen], good: NDArray[np.bool_]) -> Iterator[Finding]:
    """Grey among colours, 16 bits among 8, one PNG among JPEG files: what few pictures are."""
    kinds: dict[tuple[str, str], list[int]] = defaultdict(list)
    odd: dict[tuple[str, int], list[str]] = defaultdict(list)
    rows = np.flatnonzero(good).tolist()
    for row in rows:
        one = seen[row]
        kinds["mode", "in grey" if shapes[row, 2] == 1 else "in colour"].append(row)
        kinds["format", one.format].append(row)
        for note in one.notes:
            kinds["format" if note.endswith("file") else "mode", note].append(row)
    for (kind, words), which in kinds.items():
        if len(which) <= MINORITY * len(rows) or words.endswith("file"):
            for row in which:
                odd[kind, row].append(words)
    for (kind, row), said in sorted(odd.items()):
        yield album.finding(kind, ", ".join(said), [row])
