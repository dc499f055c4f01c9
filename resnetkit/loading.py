"""A model by its path, whatever it is: our own file, a run folder, or an exported file."""

import os
from collections.abc import Callable
from typing import NoReturn

from resnetkit.answerer import Answerer
from resnetkit.deployed import load_export
from resnetkit.errors import UsageError, plain
from resnetkit.inputs import path_of
from resnetkit.opening import Opening, is_exported


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    precision: str = "auto",
    begun: Opening | None = None,
    tell: Callable[[str], None] | None = None,
) -> Answerer:
    """A model ready to answer: an InTime, or for an exported file a Deployed, without torch unless it is a .pt2.

    With the precision "fp32" it is a Classifier, which answers as torch does, to the bit.
    ``begun`` is the opening of that exported file, where it has begun; ``tell`` hears what takes a while.
    Raises WeightsError where the file is damaged, UsageError for a device or precision that an exported file has not.
    """
    name = path_of(path, "the model")
    if is_exported(name):
        if device not in ("auto", "cpu"):
            refuse(name, "on the CPU", "device", device)
        model = load_export(begun or name)
        if precision not in ("auto", model.precision):
            refuse(name, f"in {model.precision}", "precision", precision)
        return model
    from resnetkit import classifier
    from resnetkit.fast.compiled import InTime

    ours = classifier.load(path, device=device, precision="fp32" if precision == "auto" else precision)
    return ours if precision == "fp32" else InTime(ours, precision, tell)


def refuse(name: str, how: str, flag: str, value: str) -> NoReturn:
    what = f"{plain(name)} runs {how}, not with {flag} {plain(value)}"
    raise UsageError(what, f"leave --{flag} out, or use the model file it was made of")
