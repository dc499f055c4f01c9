"""A model that says "unknown" where it might be wrong too often."""

import os
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path

from resnetkit import modelfile, rejection
from resnetkit.classifier import Classifier
from resnetkit.data.sources import Columns
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.rejection import SURE


def promising(
    model: Classifier,
    data: str | os.PathLike[str],
    max_risk: float,
    *,
    sure: float = SURE,
    workers: int | None = None,
    columns: Columns | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Classifier:
    """The same network with the threshold above which, with probability ``sure``, at most ``max_risk`` are wrong.

    Chosen on the validation part of ``data``. What it promises is of pictures like those, each by itself: of pictures
    of other kinds, or in groups that err together, it promises nothing. Raises UsageError for a model of tags or
    numbers, DataError where those pictures cannot promise so little.
    """
    if model.card.task != "classes":
        raise UsageError(f"the model answers with {model.card.task}, and a threshold is of classes", "leave it out")
    seen = model.evaluate(data, "val", workers=workers, columns=columns, watch=watch)
    confidence, right = seen.probabilities.max(1), seen.predicted == seen.answers.labels
    found = rejection.threshold(confidence, right, max_risk, sure)
    if found is None:
        lowest = rejection.least(seen.n, sure)
        more = f"; were none of them wrong, {lowest:.2%} could be" if lowest > max_risk else ""
        raise DataError(
            f"a risk of {max_risk:.2%} cannot be promised from {seen.n:,} validation pictures{more}",
            "promise more, or hold more pictures out",
        )
    promised = copy(model)
    promised.card = replace(model.card, reject=found)
    return promised


def check_out(path: str | None) -> None:
    """UsageError where something is there that is no model file."""
    if path is not None and os.path.lexists(path) and not (os.path.isfile(path) and modelfile.is_ours(path)):
        raise UsageError(f"{plain(path)} is there and is not a model file", "name another file to write")


def save(model: Classifier, path: str) -> None:
    """Write the model with its threshold."""
    modelfile.save(Path(path), model.model.state_dict(), model.card)
