"""The public verbs: train, load, check and import, each a few lines over the rooms that do the work."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnetkit import foreign, modelfile, pretrained, published, rates, recipes, weights
from resnetkit.assumptions import amend, assume
from resnetkit.classifier import Classifier, ModelOrPath, load, model_of
from resnetkit.comparison import compare
from resnetkit.data.decode import MAX_PIXELS
from resnetkit.data.lists import columns_given
from resnetkit.data.sources import Columns, open_strange
from resnetkit.download import Watch
from resnetkit.engine.device import choose
from resnetkit.engine.solve import FOLDS
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.init import initialize
from resnetkit.inputs import path_of, usual_workers
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.pretrained import Got
from resnetkit.rates import Rates
from resnetkit.run import Run, override
from resnetkit.tasks import TASKS
from resnetkit.training import Done, resuming, training
from resnetkit.trouble import cleaned
from resnetkit.trouble.checkup import Trial, checkup
from resnetkit.trouble.cleaned import write_cleaned
from resnetkit.trouble.features import Judge
from resnetkit.trouble.finding import Checkup
from resnetkit.walk import shapes
from resnetkit.weights import Match, fill, head_in

__all__ = [
    "Imported",
    "Rates",
    "Result",
    "check",
    "compare",
    "find_lr",
    "import_weights",
    "load",
    "resuming",
    "train",
    "training",
]

MOST_FOLDS = 100


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, and the figures of its best network."""

    folder: Path
    metrics: dict[str, Any]  # of metrics.json: accuracy, loss, split and the rest

    @property
    def accuracy(self) -> float:
        """Of a network of classes; those of tags and numbers are judged by other figures: see ``metrics``."""
        if "accuracy" not in self.metrics:
            judge = TASKS[self.metrics["task"]].judge
            raise UsageError(f"a network of {self.metrics['task']} has no accuracy", f'read metrics["{judge}"]')
        return float(self.metrics["accuracy"])

    @property
    def model(self) -> Classifier:
        """The best network, ready to answer."""
        return load(self.folder)


@dataclass(frozen=True)
class Imported:
    """Weights of another library that became a model file."""

    card: Card
    match: Match  # of their tensors and those of the network
    assumed: list[str]  # what the weights did not say, and what was changed on the way
    source: str = ""  # the whole name of published weights, with the SHA-256 of their file
    said: str = ""  # what those are, and how sure that is


def train(data: str | os.PathLike[str], *, recipe: str | None = None, **settings: Any) -> Result:
    """Train on ``data`` with the settings of `resnet train`: ``train("photos", model="resnet18", epochs=20)``.

    A ``recipe`` says the settings that are not given.
    Raises UsageError for an unknown or useless setting, DataError for data that cannot be used,
    DivergedError when the loss is lost, Stopped after Ctrl-C or SIGTERM with everything saved.
    """
    changes = recipes.settings(recipe, settings) if recipe is not None else settings
    run = override(Run(), {"data": path_of(data), **changes})
    done = [event for event in training(run, frozenset(settings)) if isinstance(event, Done)]
    return Result(done[-1].folder, done[-1].metrics)


def check(
    data: str | os.PathLike[str],
    *,
    model: ModelOrPath | None = None,
    folds: int | None = None,
    device: str = "auto",
    fix: str | os.PathLike[str] | None = None,
    columns: Columns = Columns(),  # noqa: B008 (a frozen value)
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    watch: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Checkup:
    """What is wrong with the pictures of ``data``, as `resnet check` finds it.

    With a ``model``, labels that may be wrong are looked for by what its head sees, of each of so many ``folds`` [5]
    by a head that did not learn it; with ``folds`` alone by small networks that learn here, on ``device``, for which
    ``tell`` hears how long they will take. ``fix`` writes a list of the pictures without the worst of it: see
    ``Checkup.cleaned``. ``watch`` is told how many of how many pictures are done. Raises DataError where there is
    nothing to look at, UsageError where the list cannot be written or a setting can have no effect.
    """
    if folds is not None and (type(folds) is not int or not 2 <= folds <= MOST_FOLDS):
        raise UsageError(f"folds is {folds!r:.80}; it takes a whole number from 2 to {MOST_FOLDS}", "folds=5")
    if device != "auto" and (folds is None or model is not None):
        raise UsageError("device would have no effect: no network learns here", "leave it out, or load the model there")
    if fix is not None:
        cleaned.refuse(Path(fix))
    workers, columns = usual_workers(workers), columns_given(columns)
    source, strange = open_strange(path_of(data), columns, max_pixels)
    if source.kind != "list" and not columns.asked() <= set(source.columns):
        raise UsageError(f"{source.location} is not a list, and has no such columns", "leave the columns out")
    if fix is not None:
        cleaned.refuse(Path(fix), source)
    if (model is not None or folds is not None) and source.task != "classes":
        what = "a model judges" if model is not None else "folds judge"
        raise UsageError(f"{what} labels that are classes, and these are {source.task}", "leave it out")
    trial = Trial(choose(device), folds, tell) if folds is not None else None
    if model is not None:
        loaded = model_of(model)
        trial = Trial(Judge.of(loaded.model, loaded.machine, loaded.card.preprocess), folds or FOLDS)
    found = checkup(source, strange, workers, trial=trial, watch=watch)
    found = replace(found, remedies=cleaned.remedies(source, found))
    return found if fix is None else replace(found, cleaned=write_cleaned(source, found, Path(fix)))


def find_lr(data: str | os.PathLike[str], **settings: Any) -> Rates:
    """A learning rate for ``train(data, **settings)``: where the loss falls steepest, as `resnet lr` finds it.

    Takes at most a hundred steps of that run, and keeps nothing but, in a new folder ``out``, lr.png and lr.csv.
    Raises as train does, UsageError for a setting that plays no part, DivergedError where the loss falls at no rate.
    """
    run = override(Run(), {"data": path_of(data), **settings})
    return rates.search(rates.ready(run, frozenset(settings)))


def import_weights(
    source: str | os.PathLike[str],
    model: str | None = None,
    out: str | os.PathLike[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    crop: float | None = None,
    allow_partial: bool = False,
    allow_unpinned: bool = False,
    fetching: Watch | None = None,
) -> Imported:
    """Turn a state dict of another library into the model file ``out``.

    ``source`` is a file, whose network ``model`` says, or names published weights, such as ``timm/resnet50.a1_in1k``:
    those say their network and their preprocessing, and ``fetching`` hears how far they are where they have to be
    fetched; ``allow_unpinned`` takes what is there today under a name that may move.
    With ``allow_partial`` the tensors that fit are enough, and the rest of the network is as at the start of training.
    Raises WeightsError where the tensors are not those of ``model``, UsageError for values that do not fit, or for
    ``allow_partial`` where all tensors fit, ResourceError for published weights that cannot be had.
    """
    source = os.fspath(source)
    is_row = published.is_meant(source)
    if out is None or (model is None and not is_row):
        raise UsageError("weights of a file need a network and a file to write", "give model=NAME and out=FILE")
    if not is_row and modelfile.is_ours(Path(source)):
        raise UsageError(f"{plain(source)} is a model file already", "use it as it is, or copy it")
    if os.path.isfile(out) and not modelfile.is_ours(Path(out)):
        raise UsageError(f"{plain(out)} is there and is not a model file", "name another file to write")
    if allow_unpinned and not is_row:
        raise UsageError("--allow-unpinned would have no effect: the weights are a file", "leave it out")
    notes: list[str] = []
    got: Got | None = None
    if is_row:
        got = fetched(source, model, allow_unpinned, fetching)
        card, state = pretrained.read(got)
        card, said = amend(card, classes=classes, mean=mean, std=std, size=size, crop=crop)
    else:
        state = foreign.read_foreign(Path(source), notes)
        card, said = assume(
            state,
            model or "",
            what=source,
            classes=classes,
            mean=mean,
            std=std,
            size=size,
            crop=crop,
            partial=allow_partial,
        )
    found = weights.check(card.plan, state, source, partial=allow_partial)
    if allow_partial:
        found.refuse_idle()
    if head_in(shapes(card.plan))[0] in found.missing:
        said.append("the head is begun afresh and was never trained: train before you ask it")
    network = build(card.plan)
    if not found.whole:
        initialize(network, seed=0, zero_last=False)
    fill(network, state, what=source, partial=allow_partial)
    modelfile.save(Path(out), network.state_dict(), card)
    return Imported(card, found, [*notes, *said], got.name if got else "", got.said if got else "")


def fetched(source: str, model: str | None, allow_unpinned: bool, fetching: Watch | None) -> Got:
    """The file of published weights; what can be refused is refused before it is fetched."""
    wanted = published.want(source)
    network = wanted.row.network
    if model not in (None, network):
        fix = f"--model {network}, or leave --model out"
        raise WeightsError(f"{plain(source)} are of {network}, not of {plain(model)}", fix)
    published.refuse_idle_unpinned(source, allow_unpinned)
    published.refuse_clips(wanted.row)
    return pretrained.obtain(wanted, fetching)
