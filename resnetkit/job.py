"""What a run needs before its first step: data looked through, settings decided, network built."""

import dataclasses
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import resnetkit
from resnetkit import cost, download, effect, telling, weights
from resnetkit.answers import Answers
from resnetkit.data.examples import Examples, eval_batches, examples
from resnetkit.data.groups import grouped
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Part, Source, subset
from resnetkit.data.skipped import Skipped, counted, said, skip
from resnetkit.data.sources import open_source
from resnetkit.data.split import Row
from resnetkit.data.survey import data_hash, moments, refuse_bad, survey
from resnetkit.division import columns_of, facts_of, lay_parts, stack_of
from resnetkit.engine import memory
from resnetkit.engine.device import Machine, choose
from resnetkit.engine.maps import TOGETHER
from resnetkit.engine.teacher import Teacher
from resnetkit.errors import UsageError, plain, some
from resnetkit.init import initialize
from resnetkit.inputs import usual_workers
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.origin import Weights, find_weights, read_weights
from resnetkit.report import board
from resnetkit.resolve import network, refuse_weights, resolve
from resnetkit.run import Run
from resnetkit.settings import Facts, Settings
from resnetkit.trouble.brief import brief, troubles
from resnetkit.trouble.classes import class_sizes
from resnetkit.trouble.finding import Finding
from resnetkit.walk import strides_of_a_point

Watch = Callable[[int, int], None]

# Settings that change no weight: they stay out of the model file, so that equal networks give equal files.
ELSEWHERE = tuple("data out on_bad device workers weights allow_partial allow_unpinned save_every tensorboard".split())


FRESH = "fresh"  # what a start file calls the tensors that did not come with the weights

# torch 2.13 leaves parts of such gradients as they lay in memory: runs did not repeat, and some were lost.
UNDEFINED = "{0} makes a single point of pictures of {1}x{2} before its last stride, where CPUs have no bf16 gradients"


@dataclass(frozen=True)
class Job:
    """Data, network and machine of a run, ready to go."""

    settings: Settings
    machine: Machine
    model: Network
    parts: dict[str, Part]
    sets: dict[str, Examples]
    split: list[Row]
    card: Card  # of the files to come, without metrics
    workers: int
    passes: int  # parts in which a batch goes through the network, as far as can be told before
    notes: list[str]
    facts: Facts
    begun: Card | None  # of the weights that it begins with
    teacher: Teacher | None = None
    skipped: list[Skipped] = field(default_factory=list)  # pictures that cannot be read, of all parts
    # Parts that have such pictures, with them, and where the others are in those.
    whole: dict[str, tuple[Part, NDArray[np.int64]]] = field(default_factory=dict)
    troubles: tuple[Finding, ...] = ()  # of the data, as far as they show without a further look

    @property
    def skips(self) -> dict[str, dict[str, int]]:
        """How many pictures of each part are skipped, for what describes the data; nothing where none is."""
        return counted(self.skipped)

    @property
    def gaps(self) -> list[str]:
        """The same for people, with the first of them."""
        every = len(self.split) + len(self.skipped)
        return [said(self.skipped, every)] if self.skipped else []

    def with_skipped(self, name: str, answers: Answers) -> tuple[Part, Answers]:
        """A part with what is skipped, which is among the errors of the answers, as `resnet eval` has it."""
        if name not in self.whole:
            return self.parts[name], answers
        whole, kept = self.whole[name]
        lost = np.setdiff1d(np.arange(len(whole.names)), kept).tolist()
        why = [one.why for one in self.skipped if one.part == name]
        errors = [(int(kept[i]), reason) for i, reason in answers.errors] + list(zip(lost, why, strict=True))
        return whole, replace(answers, index=kept[answers.index], errors=sorted(errors))

    @property
    def start_card(self) -> Card:
        """Of the network as it begins: where some of it is pulled there, with what did not come with the weights."""
        fresh = {FRESH: list(self.settings.fresh)} if self.settings.run.pull else {}
        return replace(self.card, data=self.card.data | fresh)

    @property
    def pass_macs(self) -> int:
        """Multiply-adds of one pass forward: of a batch, or of each part of it; where no step is taken, of looks."""
        pictures = self.settings.batch // (self.settings.run.accumulate or 1) if self.settings.steps else TOGETHER
        told = self.settings.teacher
        more = cost.totals(told.plan, told.preprocess.size).macs if told else 0
        return (cost.totals(self.settings.plan, self.settings.preprocess.size).macs + more) * pictures

    @property
    def class_sizes(self) -> dict[str, dict[str, int]]:
        """Pictures of each class in each part; nothing for tags and numbers."""
        return class_sizes(self.parts, self.settings.task, self.settings.classes)

    def lines(self) -> list[tuple[str, str]]:
        """What is going to happen, for people."""
        pictures = {name: len(examples.labels) for name, examples in self.sets.items()}
        return telling.lines(self.settings, pictures, self.machine, self.workers, self.teacher, len(self.skipped))


def prepare(
    run: Run,
    given: frozenset[str],
    *,
    start: Path | None = None,
    begun_before: bool = False,
    watch: Watch | None = None,
    fetching: download.Watch | None = None,
) -> Job:
    """Look at the data, decide what is open, build the network. Nothing is written.

    ``start`` is the network a stopped run began with, in place of ``run.weights``. ``begun_before``: the settings of
    the run cannot be changed any more. ``fetching`` hears how far weights are that have to be fetched. The run of the
    settings names the weights exactly, or none.
    """
    effect.refuse_idle(run, given)
    if run.tensorboard:
        board.require()
    if start is None:
        refuse_weights(run, given)
    machine = choose(run.device, run.precision)
    teacher = Teacher.read(run.teacher) if run.teacher is not None else None
    source = open_source(run.data, max_pixels=run.max_pixels, columns=columns_of(run))
    if run.group_pattern is not None:
        source = grouped(source, run.group_pattern)
    workers = usual_workers(run.workers)
    begun = None if run.weights == "auto" else read_weights(run, start, fetching)
    seen = survey(source, workers, progress=watch)
    if run.on_bad == "stop":
        refuse_bad(seen, remedy(source, begun_before))
    laid = lay_parts(source, run)
    places, skipped = skip(source, seen, laid)
    facts = facts_of(source, seen, places)
    found: list[str] = []
    if run.weights == "auto":
        begun, found = find_weights(run, network(run, given, facts, None, {}), fetching)
    if begun is None or begun.name:
        run = replace(run, weights=begun.name if begun else "none", allow_unpinned=False)
    if run.allow_partial and begun is None:
        raise UsageError("--allow-partial would have no effect: there are no weights to begin with", "leave it out")
    card = begun.card if begun else None
    settings = resolve(run, given, facts, card)
    if teacher:
        teacher.refuse_other(settings)
        settings = replace(settings, teacher=teacher.card)
    undefined = machine.precision == "bf16" and machine.device.type == "cpu"
    if undefined and strides_of_a_point(settings.plan, settings.preprocess.size):
        if "precision" in given:
            raise UsageError(UNDEFINED.format(settings.model, *settings.preprocess.size), "--precision fp32")
        machine = choose(run.device, "fp32")
    fewest = memory.parts_for(settings, machine, workers)
    parts = {name: subset(source.parts[whole], index) for name, (whole, index) in places.items()}
    stacks = {name: stack_of(seen, whole, index, settings) for name, (whole, index) in places.items()}
    if settings.measure:
        train_set = examples(parts["train"], settings.preprocess, stack=stacks["train"])
        height, width = settings.preprocess.size
        few = max(1, min(256, 2**26 // (height * width)))  # 64 million pixels of each channel at a time
        mean, std = moments(images for _, images, _, _ in eval_batches(train_set, batch=few, workers=workers))
        settings = replace(settings, preprocess=replace(settings.preprocess, mean=mean, std=std))
    sets = {name: examples(part, settings.preprocess, stack=stacks[name]) for name, part in parts.items()}
    model = build(settings.plan)
    initialize(model, seed=run.seed, zero_last=run.zero_init, fan_in=run.init == "fan-in")
    wrong = troubles(source, seen)
    notes = [*source.notes, *seen.notes, *brief(source, wrong), *found]
    if begun and start:
        weights.fill(model, begun.state, what=plain(start))
        settings = replace(settings, fresh=tuple(begun.card.data.get(FRESH, ())))
    elif begun:
        other = begun.card.plan.taps != settings.plan.taps  # a head of other maps has no rows for this one
        known = None if begun.bare or other else begun.card.classes
        moved = weights.transfer(
            model,
            begun.state,
            old_classes=known,
            new_classes=settings.classes,
            what=run.weights,
            partial=run.allow_partial,
        )
        if run.allow_partial:
            moved.body.refuse_idle()
        settings = replace(settings, fresh=tuple(moved.missing))
        refuse_unknown_norms(settings)
        refuse_idle_decay(settings, given)
        said = str(moved)
        if settings.mode.name != "none" and moved.kept_classes:
            said = f"{replace(moved, kept_classes=[])}; the head is solved anew"
        notes += [*begun.notes, f"weights of {begun.said or plain(run.weights)}: {said}", *given_up(begun, settings)]
    split = [
        Row(name, label, path, seen.digests[seen.rows[whole]][i])
        for name, (whole, index) in places.items()
        for i, path, label in zip(index, parts[name].names, told(parts[name], settings), strict=True)
    ]
    about = {
        "hash": data_hash(source, seen),
        "seed": run.seed,
        "val_share": None if facts.has_val else run.val_share,
        "pictures": {name: len(part.labels) for name, part in parts.items()},
        **counted(skipped),
    }
    blank = Card(
        model=settings.model,
        plan=settings.plan,
        classes=settings.classes,
        preprocess=settings.preprocess,
        data=about,
        run=kept(run) | {"teacher": teacher.digest if teacher else None},
        versions=versions(),
        task=settings.task,
        scale=settings.scale,
    )
    return Job(
        settings,
        machine,
        model,
        parts,
        sets,
        split,
        blank,
        workers,
        fewest,
        notes,
        facts,
        card,
        teacher,
        skipped,
        {
            name: (subset(source.parts[of], index), np.flatnonzero(np.isin(index, places[name][1])))
            for name, (of, index) in laid.items()
            if len(index) > len(places[name][1])
        },
        wrong,
    )


def remedy(source: Source, begun: bool) -> str:
    """What else there is to do about pictures that cannot be read, but to mend them."""
    if begun:
        return "; or begin a new run, with --on-bad skip"
    listed = any(part.folder is None for part in source.parts.values())
    return f"; or leave them out: --on-bad skip{'' if listed else ', or the list that resnet check --fix writes'}"


def given_up(begun: Weights, settings: Settings) -> list[str]:
    """Said where the head of the weights saw more than that of the run will."""
    taps = begun.card.plan.taps
    if taps is None or settings.plan.taps is not None or settings.run.head_cells == 0:
        return []
    what = (
        f"the head of the weights saw {taps.cells} cells a side of each stage, and begins here on the mean of the last"
    )
    return [f"{what}: --head-cells {taps.cells} keeps what it saw"]


def refuse_unknown_norms(settings: Settings) -> None:
    """UsageError where batch norms would keep statistics that no weights brought: 0 and 1, whatever they see."""
    begun = [name for name in settings.fresh if name.endswith("running_mean")]
    if settings.freeze_norms and begun:
        raise UsageError(
            f"the weights bring no statistics of {some([name.rpartition('.')[0] for name in begun])}, which "
            "freeze_norms would keep as they begin",
            "--no-freeze-norms, or weights that fit the network whole",
        )


def refuse_idle_decay(settings: Settings, given: frozenset[str]) -> None:
    """As effect.refuse_idle, where all is pulled to what it began as and nothing to zero."""
    if settings.run.pull and not settings.fresh:
        for name in {"weight_decay", "decay_all"} & given:
            what = (
                f"--{name.replace('_', '-')} would have no effect: all came with the weights, and pull holds it there"
            )
            raise UsageError(what, "leave it out")


def told(part: Part, settings: Settings) -> list[str]:
    return words_of(settings.task, settings.classes, part.labels)


def kept(run: Run) -> dict[str, Any]:
    """The settings that a network depends on."""
    return {name: value for name, value in dataclasses.asdict(run).items() if name not in ELSEWHERE}


def versions() -> dict[str, str]:
    """What a network's figures may depend on beside its settings."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "pillow")}
    return {"resnetkit": resnetkit.__version__, **packages}
