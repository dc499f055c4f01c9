"""Which pictures of a source are train, val and test, and what is known of them before anything is decided."""

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.parts import Labels, PartName, Source, subset
from resnetkit.data.skipped import Places
from resnetkit.data.sources import Columns
from resnetkit.data.split import carve
from resnetkit.data.survey import Survey
from resnetkit.errors import DataError, some
from resnetkit.metrics import Scale
from resnetkit.run import Run, fold_of
from resnetkit.settings import Facts, Settings

FAR = 0.5  # of the share to validate with, by which groups may miss it before that is said


def columns_of(run: Run) -> Columns:
    """What the settings say of the columns of a list."""
    return Columns(
        image=run.image_column,
        label=run.label_column,
        part=run.part_column,
        group=run.group_column,
        weight=run.weight_column,
        task=run.task,
        separator=run.separator,
    )


def lay_parts(source: Source, run: Run) -> Places:
    """Which pictures of which part of the source are train, val and test.

    By their names alone, so that a file that breaks or is mended moves no other from part to part.
    """
    whole: PartName = "train" if "train" in source.parts else "all"
    part = source.parts[whole]
    everything = np.arange(len(part.labels), dtype=np.int64)
    places: Places = {}
    if "val" in source.parts:
        places["train"] = whole, everything
    else:
        train, val = carve(
            part.names,
            part.labels,
            source.classes,
            share=run.val_share,
            seed=run.seed,
            groups=part.groups,
            task=source.task,
            fold=fold_of(run.fold) if run.fold else None,
        )
        places |= {"train": (whole, train), "val": (whole, val)}
        if part.groups is not None and run.fold is None:
            source.notes.extend(far_from(run.val_share, len(val), len(part.labels), len(set(part.groups))))
    others: tuple[PartName, ...] = ("val", "test")
    for name in others:
        if name in source.parts:
            places[name] = name, np.arange(len(source.parts[name].labels), dtype=np.int64)
    return places


def facts_of(source: Source, seen: Survey, places: Places) -> Facts:
    """What the pictures say that a run learns from, and the files around them."""
    whole, index = places["train"]
    learned = subset(source.parts[whole], index)
    depths = seen.shapes[seen.rows[whole], 2]
    if learned.weights is not None and not learned.weights.any():
        raise DataError(f"{source.location}: every picture to train on has the weight 0", "give some a weight above 0")
    return Facts(
        pictures=len(index),
        classes=source.classes,
        uniform=None if seen.stack is None else seen.stack.shape[1:3],
        channels=source.channels,
        has_val="val" in source.parts,
        arrays=source.arrays,
        listed=source.kind == "list",
        grey=bool((depths[seen.readable[seen.rows[whole]]] == 1).all()),
        columns=source.columns,
        counts=tuple(np.bincount(learned.labels, minlength=len(source.classes)).tolist())
        if source.task == "classes"
        else (),
        task=source.task,
        scale=scale_of(source, learned.labels) if source.task == "numbers" else (),
    )


def far_from(share: float, held: int, count: int, groups: int) -> list[str]:
    """A note where whole groups hold out far more or fewer pictures than were asked for."""
    if abs(held - share * count) <= share * count * FAR:
        return []
    what = f"groups are never parted, of which there are {groups:,}: {held:,} of {count:,} pictures validate"
    return [f"{what} ({held / count:.1%}), where {share:.0%} were asked for"]


def scale_of(source: Source, numbers: Labels) -> Scale:
    """Mean and standard deviation of each number (column) over the pictures to train on."""
    mean, deviation = numbers.mean(0), numbers.std(0)
    same = [name for name, spread in zip(source.classes, deviation, strict=True) if not spread > 0]
    if same:
        raise DataError(f"{some(same)} never varies in the pictures to train on", "leave that column out")
    return tuple(zip(mean.tolist(), deviation.tolist(), strict=True))


def stack_of(seen: Survey, whole: PartName, index: NDArray[np.int64], settings: Settings) -> NDArray[np.uint8] | None:
    """The pixels of one part, if all were kept, in the channels that the network takes."""
    if seen.stack is None:
        return None
    pixels = seen.stack[seen.rows[whole]][index]
    if pixels.shape[-1] < settings.preprocess.channels:
        pixels = np.repeat(pixels, settings.preprocess.channels, axis=-1)
    return pixels
