"""Which pictures of a source are train, val and test, and what is known of them before anything is decided."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.parts import Labels, PartName, Source, subset
from resnetkit.data.sources import Columns
from resnetkit.data.split import carve, groups_of
from resnetkit.data.survey import Survey
from resnetkit.errors import DataError, some
from resnetkit.metrics import Scale
from resnetkit.run import Run, fold_of
from resnetkit.settings import Facts, Settings


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


def lay_parts(source: Source, seen: Survey, run: Run) -> tuple[Facts, dict[str, tuple[Any, NDArray[np.int64]]]]:
    """Which pictures of which part of the source are train, val and test."""
    whole: PartName = "train" if "train" in source.parts else "all"
    part = source.parts[whole]
    everything = np.arange(len(part.labels), dtype=np.int64)
    has_val = "val" in source.parts
    places: dict[str, tuple[Any, NDArray[np.int64]]] = {}
    if has_val:
        places["train"] = whole, everything
    else:
        train, val = carve(
            part.names,
            part.labels,
            source.classes,
            share=run.val_share,
            seed=run.seed,
            groups=groups_of(part.names, run.group_pattern) if run.group_pattern else part.groups,
            task=source.task,
            fold=fold_of(run.fold) if run.fold else None,
        )
        places |= {"train": (whole, train), "val": (whole, val)}
    for name in ("val", "test"):
        if name in source.parts:
            places[name] = name, np.arange(len(source.parts[name].labels), dtype=np.int64)
    learned = subset(part, places["train"][1])
    if learned.weights is not None and not learned.weights.any():
        raise DataError(f"{source.location}: every picture to train on has the weight 0", "give some a weight above 0")
    facts = Facts(
        pictures=len(places["train"][1]),
        classes=source.classes,
        uniform=None if seen.stack is None else seen.stack.shape[1:3],
        channels=source.channels,
        has_val=has_val,
        arrays=source.arrays,
        listed=source.kind == "list",
        grey=bool((seen.shapes[seen.rows[whole], 2] == 1).all()),
        columns=source.columns,
        counts=tuple(np.bincount(learned.labels, minlength=len(source.classes)).tolist())
        if source.task == "classes"
        else (),
        task=source.task,
        scale=scale_of(source, learned.labels) if source.task == "numbers" else (),
    )
    return facts, places


def scale_of(source: Source, numbers: Labels) -> Scale:
    """Mean and standard deviation of each number (column) over the pictures to train on."""
    mean, deviation = numbers.mean(0), numbers.std(0)
    same = [name for name, spread in zip(source.classes, deviation, strict=True) if not spread > 0]
    if same:
        raise DataError(f"{some(same)} never varies in the pictures to train on", "leave that column out")
    return tuple(zip(mean.tolist(), deviation.tolist(), strict=True))


def stack_of(seen: Survey, whole: Any, index: NDArray[np.int64], settings: Settings) -> NDArray[np.uint8] | None:
    """The pixels of one part, if all were kept, in the channels that the network takes."""
    if seen.stack is None:
        return None
    pixels = seen.stack[seen.rows[whole]][index]
    if pixels.shape[-1] < settings.preprocess.channels:
        pixels = np.repeat(pixels, settings.preprocess.channels, axis=-1)
    return pixels
