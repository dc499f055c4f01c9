"""Which pictures of a source a model is scored on: none that it learned from, unless that is asked for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnetkit.data.groups import grouped, grouped_where_it_fits, groups_of, refuse_parted
from resnetkit.data.lists import columns_given
from resnetkit.data.parts import Part, Source, subset
from resnetkit.data.sources import Columns
from resnetkit.data.split import Row, carve, read_split
from resnetkit.data.survey import data_hash, stored_digest
from resnetkit.errors import DataError, UsageError, many, plain, some
from resnetkit.modelfile import Card
from resnetkit.run import Run, fold_of


def scored(
    card: Card, source: Source, split: str | None, folder: Path | None, held_by: Sequence[str] | None = None
) -> tuple[str, Part]:
    """Which pictures are scored, and under what name: ``split``, else test, else val.

    Training pictures are never called validation; ``folder`` is that of the run of the model, where it is at hand, and
    ``held_by`` are the groups in its column, of the pictures that its validation part was carved from.
    Raises DataError where the part is not to be had.
    """
    parts, at = source.parts, plain(source.location)
    if split not in (None, "train", "val", "test"):
        raise UsageError(f"there is no split {split!r}", "split is train, val or test")
    whole = parts.get("all") or parts.get("train")
    carved = whole is not None and "val" not in parts and trained_on(card, source)
    has = {name for name in ("train", "val", "test") if name in parts} | ({"train", "val"} if carved else set())
    if "all" in parts and not carved:
        if split == "train":
            what = f"{at} is not the data this model was trained on"
            raise DataError(what + unread(parts["all"]), "leave --split out")
        if split == "val":
            what = f"{at} has no val part, and is not what the model was trained on"
            raise DataError(what + unread(parts["all"]), "leave --split out")
        return "test", unseen(source, folder)
    wanted = split or next((name for name in ("test", "val") if name in has), None)
    if wanted is None or wanted not in has:
        lacks = f"no {wanted} part" if wanted else "neither a test nor a val part"
        raise DataError(f"{at} has {lacks}, only {some(sorted(has))}", f"--split {max(has)}" if has else "add one")
    if wanted in parts and not (carved and wanted == "train"):
        return wanted, parts[wanted]
    assert whole is not None
    if (column := card.run.get("group_column")) and held_by is None:
        raise DataError(
            f"{at} has no column {plain(column)}, by which the validation part was made",
            "give the list that column",
        )
    pattern, fold = card.run.get("group_pattern"), card.run.get("fold")
    train, val = carve(
        whole.names,
        whole.labels,
        source.classes,
        share=card.data["val_share"],
        seed=card.data["seed"],
        groups=groups_of(whole.names, pattern) if pattern else held_by,
        task=source.task,
        fold=fold_of(fold) if fold else None,
    )
    return wanted, subset(whole, train if wanted == "train" else val)


def unseen(source: Source, folder: Path | None) -> Part:
    """The pictures of a folder without parts, but for those that the run of this model learned from or chose by."""
    whole, at = source.parts["all"], plain(source.location)
    known = {row.digest for row in split_of(folder) if row.part in ("train", "val")}
    fresh = [i for i in range(len(whole.names)) if not known or stored_digest(whole, i) not in known]
    left_out = len(whole.names) - len(fresh)
    if not fresh:
        raise DataError(
            f"the model was trained or chosen with every picture of {at}",
            "give pictures that it has not seen, or all the data of its run, whose validation part is then scored",
        )
    if left_out and not any(stored_digest(whole, i) for i in fresh):
        raise DataError(
            f"the model was trained or chosen with every picture of {at} that can be read{unread(whole)}",
            "put those pictures there, or take them out, and the validation part is scored",
        )
    if known:
        share = f"all but {many(left_out, 'picture')} of its train and val parts are" if left_out else "all of it is"
        source.notes.append(f"{at} has no parts and is not what the model was trained on: {share} the test part")
    else:
        what = "no run beside the model says whether it was trained on these pictures"
        source.notes.append(f"{at} has no parts, and {what}: all of it is the test part")
    return subset(whole, np.array(fresh))


def split_of(folder: Path | None) -> list[Row]:
    """Which pictures the model was trained with, where its run folder is at hand."""
    path = folder / "split.csv" if folder else None
    return read_split(path) if path and path.is_file() else []


def columns_of(card: Card) -> Columns:
    """What the columns of the list were called that the model was trained with, if it was one."""
    names = {name: card.run.get(f"{name}_column") for name in ("image", "label", "part", "group")}
    return Columns(**names, task=card.task, separator=card.run.get("separator"), must=False)


def told_of(card: Card, asked: Columns | None) -> Columns:
    """What columns are called: as is ``asked``, and what that leaves open as the model was trained.

    Raises UsageError for what is no Columns.
    """
    known = columns_of(card)
    if asked is None:
        return known
    asked = columns_given(asked)
    if asked.task not in ("auto", card.task):
        raise UsageError(f"task is {asked.task}, and the model says {card.task}", f"--task {card.task}")
    separator = known.separator if asked.label is None and asked.separator is None else asked.separator
    return replace(asked, task=card.task, separator=separator, known=known)


def grouped_as(card: Card, source: Source, asked: Columns | None, pattern: str | None) -> Source:
    """The source in the groups that are asked for, else in those that the model knows.

    Raises UsageError for what is no pattern, or where a column is asked for too, DataError where groups do not fit
    or one of them is in two parts, whether asked for or known.
    """
    column = asked.group if asked else None
    Run(group_column=column, group_pattern=pattern)  # which knows what a pattern is
    if card.task != "classes" and (column is not None or pattern is not None):
        what = f"groups would have no effect: intervals and slices are of classes, and the model says {card.task}"
        raise UsageError(what, "leave them out")
    if pattern is not None:
        return grouped(source, pattern)
    remembered = card.run.get("group_pattern")
    if column is None and remembered:
        source = grouped_where_it_fits(source, remembered)
    if card.task == "classes":  # no other task has a use for groups
        refuse_parted(source.location, {name: part.groups for name, part in source.parts.items()})
    return source


def trained_on(card: Card, source: Source) -> bool:
    """Whether this is the very data that the model's validation part was carved from."""
    about = card.data
    return about.get("val_share") is not None and about.get("hash") == data_hash(source)


def unread(part: Part) -> str:
    """``; 2 others cannot be read: a/1.png, a/2.png`` -- or nothing, where all pictures of a part can be."""
    lost = [name for i, name in enumerate(part.names) if not stored_digest(part, i)]
    return f"; {len(lost):,} cannot be read: {some(lost, 3)}" if lost else ""
