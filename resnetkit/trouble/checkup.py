"""One look through a source of pictures, and all that is found wrong with it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture
from resnetkit.data.parts import Source
from resnetkit.data.survey import Seen
from resnetkit.engine.device import Machine
from resnetkit.errors import plain, some
from resnetkit.trouble.classes import class_findings, class_sizes
from resnetkit.trouble.features import Judge, Watch, features_of
from resnetkit.trouble.finding import Album, Checkup, Finding, ranked
from resnetkit.trouble.labels import folded, label_findings, out_of_fold
from resnetkit.trouble.learned import Course, Tell, learned, pixels_of
from resnetkit.trouble.looks import looks
from resnetkit.trouble.prints import look
from resnetkit.trouble.suspects import suspects
from resnetkit.trouble.twins import alike, twins

FEWEST = 10  # pictures of a class that is judged


@dataclass(frozen=True)
class Trial:
    """How labels are judged, each by what did not learn it: by heads on what a network sees, or by whole networks."""

    by: Judge | Machine  # on which those networks learn
    folds: int
    tell: Tell | None = None  # hears how long they will take


def checkup(
    source: Source,
    strange: tuple[str, ...],
    workers: int,
    *,
    trial: Trial | None = None,
    watch: Watch | None = None,
) -> Checkup:
    """Everything that is found; of labels where there is a ``trial``."""
    seen, prints = look(source, workers, progress=watch)
    good = np.array([one.error is None for one in seen], bool)
    shapes = np.array([one.shape for one in seen], np.int32).reshape(-1, 3)
    album, notes = Album.of(source), list(source.notes)
    found = [*unreadable(album, seen)]
    sizes = class_sizes(source.parts, source.task, source.classes)
    found += class_findings(album, sizes, strange)
    same = twins(album, prints, good)
    found += same
    found += looks(album, prints, shapes, seen, good)
    if source.task != "classes":
        notes.append(f"class sizes and wrong labels are not looked for: the labels are {source.task}")
    elif trial is None:
        notes.append("wrong labels are not looked for: that takes a network with --model, or time with --folds 5")
    else:
        found += judged(source, album, alike(same, len(seen)), shapes, seen, trial, workers, notes, watch)
    return Checkup(
        source.location,
        source.task,
        source.classes,
        {name: len(part.names) for name, part in source.parts.items()},
        sizes,
        ranked(found),
        tuple(notes),
        reading(source),
    )


def reading(source: Source) -> Callable[[int], Picture]:
    """What reads a picture by its row in the whole source, part after part."""
    places = [(part, i) for part in source.parts.values() for i in range(len(part.names))]

    def read(row: int) -> Picture:
        part, i = places[row]
        return part.read(i)

    return read


def unreadable(album: Album, seen: list[Seen]) -> Iterator[Finding]:
    for row, one in enumerate(seen):
        if one.error is not None:
            name = plain(album.paths[row].removeprefix(f"{album.parts[row]}/"))
            before, _, why = one.error.what.rpartition(f"{name} ")
            yield album.finding("unreadable", why if before or why else one.error.what, [row])


def judged(
    source: Source,
    album: Album,
    families: NDArray[np.int64],
    shapes: NDArray[np.int32],
    seen: list[Seen],
    trial: Trial,
    workers: int,
    notes: list[str],
    watch: Watch | None,
) -> list[Finding]:
    """Labels that may be wrong, of classes with enough pictures to leave some out; copies count once."""
    good = np.array([one.error is None for one in seen], bool)
    labels = np.concatenate([part.labels for part in source.parts.values()])
    _, first = np.unique(families[good], return_index=True)
    counts = np.bincount(labels[good][first], minlength=len(source.classes))
    least = max(FEWEST, trial.folds)
    enough = counts >= least
    if enough.sum() < 2:
        notes.append(f"wrong labels are not looked for: that takes two classes of {least} pictures or more")
        return []
    if not enough.all():
        few = [name for name, has in zip(source.classes, enough, strict=True) if not has]
        notes.append(f"wrong labels are not looked for in {some(few)}, of which there are under {least} pictures")
    chosen = good & enough[labels]
    rows = np.flatnonzero(chosen)
    folds = folded(labels[rows], families[rows], trial.folds)
    if isinstance(trial.by, Judge):
        features, said = features_of(trial.by, source, chosen, [one.digest for one in seen], workers, watch)
        notes += said
        probabilities = out_of_fold(features, labels[rows], folds, len(source.classes))
    else:
        course = Course.of(source, shapes[rows], trial.folds, trial.by)
        pixels = pixels_of(source, chosen, course.settings.preprocess, workers, watch)
        probabilities = learned(course, pixels, labels[rows], folds, workers, watch, trial.tell)
    return label_findings(album, source.classes, rows, labels[rows], suspects(probabilities, labels[rows]))
