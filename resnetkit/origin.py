"""The weights that a run begins with: a file, published ones, or none."""

import os
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resnetkit import download, foreign, modelfile, pretrained, published, weights
from resnetkit.assumptions import assume
from resnetkit.errors import WeightsError, plain
from resnetkit.modelfile import Card
from resnetkit.run import Run
from resnetkit.walk import shapes


@dataclass(frozen=True)
class Weights:
    """Weights to begin from."""

    card: Card
    state: dict[str, Tensor]
    notes: list[str]  # what was changed or assumed
    bare: bool = False  # without a card of their own, so that their classes have no names
    name: str = ""  # of published ones, with the SHA-256 of their file
    said: str = ""  # what published ones are


def read_weights(run: Run, start: Path | None, fetching: download.Watch | None = None) -> Weights | None:
    """What to begin from; where the file is a bare state dict, with an assumed card."""
    if start is not None or run.weights == "none":
        return Weights(*modelfile.load(start), []) if start else None
    path = Path(run.weights)
    if published.is_meant(run.weights):
        return weights_of(pretrained.obtain(published.want(run.weights), fetching))
    if os.path.isdir(path):
        path = path / "best.safetensors"
    if modelfile.is_ours(path):
        return Weights(*modelfile.load(path), [])
    notes: list[str] = []
    state = foreign.read_foreign(path, notes)
    headless = weights.head_in(state)[0] not in state
    card, said = assume(state, run.model, what=run.weights, partial=run.allow_partial or headless)
    wanted = shapes(card.plan)
    if headless:  # the run has classes of its own, for which a head begins in any case
        notes.append(f"{plain(path)} has no head: that of the run begins afresh")
        wanted = {name: shape for name, shape in wanted.items() if name not in weights.head_in(wanted)}
    found = weights.check(wanted, state, run.weights, partial=run.allow_partial)
    if run.allow_partial:
        found.refuse_idle()
    notes += [f"assumed of {plain(path)}: {text.partition(';')[0]}" for text in said if not text.startswith("classes")]
    return Weights(card, state, notes, bare=True)


def weights_of(got: pretrained.Got) -> Weights:
    card, state = pretrained.read(got)
    weights.check(card.plan, state, got.name)
    return Weights(card, state, [], bare=True, name=got.name, said=got.said)


def find_weights(run: Run, model: str, fetching: download.Watch | None) -> tuple[Weights | None, list[str]]:
    """Published weights for a run whose settings name none; where it has to go without those there are, why."""
    if not published.candidates(model):
        return None, []
    if run.zero_init or run.init != Run.init:
        return None, [f"begins from nothing, as its init asks, though there are published weights of {model}"]
    got, why = pretrained.automatic(model, fetching)
    try:
        if got:
            return weights_of(got), []
    except WeightsError as error:  # a whole file, of which we read too little
        why = error.what
    return None, [f"begins from nothing: {why}"]
