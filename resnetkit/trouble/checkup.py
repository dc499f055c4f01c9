"""One look through a source of pictures, and all that is found wrong with it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.parts import Source, StrangeClassError
from resnetkit.data.sources import Columns, open_source
from resnetkit.data.survey import Seen
from resnetkit.engine.solve import FOLDS
from resnetkit.errors import plain, some
from resnetkit.trouble.classes import class_findings, class_sizes
from resnetkit.trouble.features import Judge, Watch, features_of
from resnetkit.trouble.finding import Album, Checkup, Finding, ranked
from resnetkit.trouble.labels import doubts, label_findings
from resnetkit.trouble.looks import looks
from resnetkit.trouble.prints import Prints, look
from resnetkit.trouble.twins import twins


def opened(data: str, columns: Columns, max_pixels: int) -> tuple[Source, tuple[str, ...]]:
    """The source, and the classes that train does not have, which training would refuse to open it for."""
    strange: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    while True:
        try:
            return open_source(data, classes=classes, columns=columns, max_pixels=max_pixels), strange
        except StrangeClassError as error:
            if not error.extra or set(error.extra) <= set(strange):
                raise
            strange += error.extra
            classes = (*error.known, *error.extra)


def checkup(
    source: Source,
    strange: tuple[str, ...],
    workers: int,
    *,
    judge: Judge | None = None,
    watch: Watch | None = None,
) -> Checkup:
    """Everything that is found. Labels are judged where there is a ``judge``, by what its head sees."""
    seen, prints = look(source, workers, progress=watch)
    good = np.array([one.error is None for one in seen], bool)
    shapes = np.array([one.shape for one in seen], np.int32).reshape(-1, 3)
    album, notes = Album.of(source), list(source.notes)
    found = [*unreadable(album, seen)]
    sizes = class_sizes(source) if source.task == "classes" else {}
    found += class_findings(album, sizes, strange)
    found += twins(album, prints, good)
    found += looks(album, prints, shapes, seen, good)
    if source.task != "classes":
        notes.append(f"class sizes and wrong labels are not looked for: the labels are {source.task}")
    elif judge is None:
        notes.append("wrong labels are not looked for: that takes a network, given with --model")
    else:
        found += judged(source, album, prints, seen, good, judge, workers, notes, watch)
    return Checkup(
        source.location,
        source.task,
        source.classes,
        {name: len(part.names) for name, part in source.parts.items()},
        sizes,
        ranked(found),
        tuple(notes),
    )


def unreadable(album: Album, seen: list[Seen]) -> Iterator[Finding]:
    for row, one in enumerate(seen):
        if one.error is not None:
            name = plain(album.paths[row].removeprefix(f"{album.parts[row]}/"))
            before, _, why = one.error.what.rpartition(f"{name} ")
            yield album.finding("unreadable", why if before or why else one.error.what, [row])


def judged(
    source: Source,
    album: Album,
    prints: Prints,
    seen: list[Seen],
    good: NDArray[np.bool_],
    judge: Judge,
    workers: int,
    notes: list[str],
    watch: Watch | None,
) -> list[Finding]:
    """Labels that may be wrong, of classes with enough pictures to leave some out."""
    labels = np.concatenate([part.labels for part in source.parts.values()])
    counts = np.bincount(labels[good], minlength=len(source.classes))
    enough = counts >= 2 * FOLDS
    if enough.sum() < 2:
        notes.append(f"wrong labels are not looked for: that takes two classes of {2 * FOLDS} pictures or more")
        return []
    if not enough.all():
        few = [name for name, has in zip(source.classes, enough, strict=True) if not has]
        notes.append(f"wrong labels are not looked for in {some(few)}, of which there are under {2 * FOLDS} pictures")
    rows = np.flatnonzero(good & enough[labels])
    chosen = np.zeros_like(good)
    chosen[rows] = True
    features, said = features_of(judge, source, chosen, [one.digest for one in seen], workers, watch)
    notes += said
    _, alike = np.unique(prints.exact[rows].view("u8").reshape(-1, 2), axis=0, return_inverse=True)
    doubted = doubts(features, labels[rows], alike.ravel(), len(source.classes))
    return label_findings(album, source.classes, rows, labels[rows], doubted)
