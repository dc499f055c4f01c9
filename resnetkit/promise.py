"""A model that says "unknown" where it might be wrong too often."""

import os
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from resnetkit import modelfile, rejection
from resnetkit.answerer import Answerer
from resnetkit.data.sources import Columns
from resnetkit.deployed import Deployed
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.metrics import Counts, Shares
from resnetkit.rejection import SURE

if TYPE_CHECKING:
    from resnetkit.classifier import Classifier
    from resnetkit.network import Network

Model = TypeVar("Model", bound=Answerer)


def promising(
    model: Model,
    data: str | os.PathLike[str],
    max_risk: float,
    *,
    sure: float = SURE,
    workers: int | None = None,
    columns: Columns | None = None,
    watch: Callable[[int, int], None] | None = None,
    group_pattern: str | None = None,
) -> Model:
    """The same network with the threshold above which, with probability ``sure``, at most ``max_risk`` are wrong.

    Chosen on the validation part of ``data``. What it promises is of pictures like those, each by itself: of pictures
    of other kinds, or in groups that err together, it promises nothing. Raises UsageError for a model of tags or
    numbers, DataError where those pictures cannot promise so little.
    """
    if model.card.task != "classes":
        raise UsageError(f"the model answers with {model.card.task}, and a threshold is of classes", "leave it out")
    seen = model.evaluate(data, "val", workers=workers, columns=columns, watch=watch, group_pattern=group_pattern)
    confidence, right = seen.probabilities.max(1), seen.predicted == seen.answers.labels
    found = rejection.threshold(confidence, right, max_risk, sure)
    if found is None:
        lowest = rejection.least(seen.n, sure)
        more = f"; were none of them wrong, {lowest:.2%} could be" if lowest > max_risk else ""
        raise DataError(
            f"a risk of {max_risk:.2%} cannot be promised from {seen.n:,} validation pictures{more}",
            reachable(confidence, right, max_risk, sure),
        )
    promised = copy(model)
    promised.card = replace(model.card, reject=found)
    return promised


def reachable(confidence: Shares, right: Counts, max_risk: float, sure: float) -> str:
    """What to do where a risk cannot be promised: the next that can, in whole percent."""
    more = (percent / 100 for percent in range(1, 51) if percent / 100 > max_risk)
    found = next((risk for risk in more if rejection.threshold(confidence, right, risk, sure)), None)
    held = "hold more pictures out for validation"
    return held if found is None else f"allow more, as in --max-risk {found:g}, or {held}"


def check_out(path: str | None, model: Answerer) -> None:
    """UsageError where no model file can be written, or where there is one."""
    if path is None:
        return
    network_of(model)
    target = Path(path)
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{plain(target.parent)} is not a folder", "name a file in a folder that exists")
    if target.suffix != ".safetensors":
        raise UsageError(f"{plain(path)} would be a model file", f"name it {plain(target.stem)}.safetensors")
    if os.path.lexists(target):
        raise UsageError(f"{plain(path)} is there already and is not replaced", "name another file to write")


def save(model: Answerer, path: str) -> None:
    """Write the model with its threshold."""
    modelfile.save(Path(path), network_of(model).state_dict(), model.card)


def network_of(model: Answerer) -> "Network":
    """UsageError for an exported file, which holds no network that a model file could."""
    if isinstance(model, Deployed):
        what = "--save writes a model file, and an exported one has no network for it"
        raise UsageError(what, "give the model file it was made of")
    return cast("Classifier", model).model
