"""What a run needs before its first step: data looked through, settings decided, network built."""

import dataclasses
import importlib.metadata
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

import resnetkit
import resnetkit.run as runs
from resnetkit import cost, download, foreign, modelfile, pretrained, published, weights
from resnetkit.assumptions import assume
from resnetkit.classifier import usual_workers
from resnetkit.data.batches import Examples, eval_batches, examples
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Labels, Part, PartName, Source, subset
from resnetkit.data.sources import Columns, open_source
from resnetkit.data.split import Row, carve
from resnetkit.data.survey import Survey, data_hash, moments, refuse_bad, survey
from resnetkit.engine import memory
from resnetkit.engine.device import Machine, choose
from resnetkit.engine.maps import TOGETHER
from resnetkit.engine.teacher import Teacher
from resnetkit.errors import DataError, UsageError, WeightsError, plain, some
from resnetkit.init import initialize
from resnetkit.metrics import Scale
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.report import board
from resnetkit.resolve import Facts, Settings, network, refuse_weights, resolve
from resnetkit.run import UNTUNED, Run
from resnetkit.tasks import TASKS
from resnetkit.walk import shapes, strides_of_a_point

Watch = Callable[[int, int], None]

# Settings that change no weight: they stay out of the model file, so that equal networks give equal files.
ELSEWHERE = tuple("data out device workers weights allow_partial allow_unpinned save_every tensorboard".split())


FRESH = "fresh"  # what a start file calls the tensors that did not come with the weights

# torch 2.13 leaves parts of such gradients as they lay in memory: runs did not repeat, and some were lost.
UNDEFINED = "{0} makes a single point of pictures of {1}x{2} before its last stride, where CPUs have no bf16 gradients"


@dataclass(frozen=True)
class Weights:
    """Weights to begin from."""

    card: Card
    state: dict[str, Tensor]
    notes: list[str]  # what was changed or assumed
    bare: bool = False  # without a card of their own, so that their classes have no names
    name: str = ""  # of published ones, with the SHA-256 of their file
    said: str = ""  # what published ones are


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

    def lines(self) -> list[tuple[str, str]]:
        """What is going to happen, for people."""
        s, why = self.settings, self.settings.reasons
        h, w = s.preprocess.size
        total = cost.totals(s.plan, s.preprocess.size)
        counts = ", ".join(f"{len(examples.labels):,} {name}" for name, examples in self.sets.items())
        rows = [
            ("data", f"{counts} pictures {of_what(s)}: {some(s.classes, 10)}"),
            (
                "network",
                f"{s.model}, {total.parameters:,} parameters, {cost.brief(total.macs)} multiply-adds a picture",
            ),
            (
                "picture",
                f"{h}x{w}, {s.preprocess.channels} channel{'s' * (s.preprocess.channels > 1)}, {s.preprocess.resize}",
            ),
            ("augment", variation(s)),
            ("fine-tune", tuning(s)),
            ("length", f"{s.steps:,} steps of {s.batch} pictures = {s.epochs:.4g} epochs of {s.epoch_steps:,} steps"),
            ("learning", ", ".join(extras(s))),
            ("teacher", heard(self.teacher, s.run) if self.teacher else ""),
            ("optimizer", f"{s.run.optimizer}, learning rate {s.lr:.4g} ({s.run.schedule}), decay {s.weight_decay:g}"),
            ("machine", f"{self.machine.device}, {self.machine.precision}, {self.workers} reading threads"),
        ]
        if s.mode.name == "head":  # no step is taken
            rows = [(name, text) for name, text in rows if name not in ("length", "learning", "optimizer")]
        if s.run.batch is not None and "batch" in why:
            rows.append(("batch", why["batch"]))
        reason = {"data": "", "network": "model", "picture": "size", "augment": "", "length": "steps"}
        reason |= {"optimizer": "lr", "machine": "", "batch": "", "learning": "", "fine-tune": "", "teacher": ""}
        told = [(name, text) for name, text in rows if text]
        return [(name, text + (f" ({why[reason[name]]})" if reason[name] in why else "")) for name, text in told]


def tuning(settings: Settings) -> str:
    """What learns of given weights, and of which looks, in words."""
    mode, stages = settings.mode, len(settings.plan.stages)
    last = stages - mode.frozen
    looks = f"of {mode.views} looks at each picture"
    said = {
        "none": "",
        "head": f"head: a linear head is solved on features {looks}",
        "stages": f"stages: head first, then the last {f'{last} stages' if last > 1 else 'stage'} too, on maps {looks}",
        "full": "full: head first, then all that there is",
    }[mode.name]
    return f"{said} ({mode.reason})" if mode.reason else said


def of_what(settings: Settings) -> str:
    one, many = TASKS[settings.task].one, TASKS[settings.task].name
    count = len(settings.classes)
    return f"{'of' if one == 'class' else 'with'} {count} {one if count == 1 else many}"


def extras(settings: Settings) -> list[str]:
    """What a run does beside the usual, in words."""
    run = settings.run
    said = {
        f"loss {run.loss}": run.loss not in ("auto", "cross-entropy"),
        f"pictures count as {run.weight_column} says": run.weight_column is not None,
        "rare classes weigh more": run.class_weights == "balanced",
        "classes shown equally often": run.sampling == "balanced",
        f"dropout {run.dropout:g}": run.dropout > 0,
        f"inner-dropout {run.inner_dropout:g}": run.inner_dropout > 0,
        f"drop-path {run.drop_path:g}": run.drop_path > 0,
        f"layer decay {run.layer_decay:g}": run.layer_decay < 1,
        f"l1 {run.l1:g}": run.l1 > 0,
        f"batches in {run.accumulate} parts": (run.accumulate or 1) > 1,
        f"pull {run.pull:g} to the weights it begins with": run.pull > 0,
        "norms keep their statistics": settings.freeze_norms,
        f"mean of the weights ({run.ema})": run.ema is not None,
        f"patience {run.patience}": run.patience is not None,
    }
    return [text for text, holds in said.items() if holds]


def heard(teacher: Teacher, run: Run) -> str:
    """Who the teacher is and how it is heard, in words."""
    who = f"{teacher.card.model} of {plain(run.teacher)} (SHA-256 {teacher.digest[:12]}...)"
    warmth = f" at temperature {run.teacher_temperature:g}" if teacher.card.task != "numbers" else ""
    said = [f"{run.teacher_share:g} of the loss{warmth}"] if run.teacher_share else []
    said += [f"features {run.teacher_features:g}"] if run.teacher_features else []
    return f"{who}, {', '.join(said)}"


def variation(settings: Settings) -> str:
    """How training pictures vary: all that is on, in the order in which it happens."""
    run, augment, why = settings.run, settings.augment, settings.reasons.get("flip")
    said = [f"crop {augment.crop}", f"flip {'yes' if augment.flip else 'no'}" + (f" ({why})" if why else "")]
    if run.policy in UNTUNED:
        said += [run.policy] if run.policy != "none" else []
    else:
        said.append(f"{run.policy} {augment.policy_count} x {run.policy_strength:g}")
    said += [f"{name} {getattr(run, name):g}" for name in ("jitter", "hue", "cutout", "erase") if getattr(run, name)]
    said += [" or ".join(f"{name} {getattr(run, name):g}" for name in ("mixup", "cutmix") if getattr(run, name))]
    said += [f"each {run.repeats} times in a batch"] if run.repeats > 1 else []
    return ", ".join(filter(None, said))


def prepare(
    run: Run,
    given: frozenset[str],
    *,
    start: Path | None = None,
    watch: Watch | None = None,
    fetching: download.Watch | None = None,
) -> Job:
    """Look at the data, decide what is open, build the network. Nothing is written.

    ``start`` is the network a stopped run began with, in place of ``run.weights``. ``fetching`` hears how far weights
    are that have to be fetched. The run of the settings names the weights exactly, or none.
    """
    runs.refuse_idle(run, given)
    if run.tensorboard:
        board.require()
    if start is None:
        refuse_weights(run, given)
    machine = choose(run.device, run.precision)
    teacher = Teacher.read(run.teacher) if run.teacher is not None else None
    source = open_source(run.data, max_pixels=run.max_pixels, columns=columns_of(run))
    workers = usual_workers(run.workers)
    begun = None if run.weights == "auto" else read_weights(run, start, fetching)
    seen = survey(source, workers, progress=watch)
    refuse_bad(seen)
    facts, places = lay_parts(source, seen, run)
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
    notes = [*source.notes, *seen.notes, *found]
    if begun and start:
        weights.fill(model, begun.state, what=plain(start))
        settings = replace(settings, fresh=tuple(begun.card.data.get(FRESH, ())))
    elif begun:
        known = None if begun.bare else begun.card.classes
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
        notes += [*begun.notes, f"weights of {begun.said or plain(run.weights)}: {moved}"]
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
    return Job(settings, machine, model, parts, sets, split, blank, workers, fewest, notes, facts, card, teacher)


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
    """As run.refuse_idle, where all is pulled to what it began as and nothing to zero."""
    if settings.run.pull and not settings.fresh:
        for name in {"weight_decay", "decay_all"} & given:
            what = (
                f"--{name.replace('_', '-')} would have no effect: all came with the weights, and pull holds it there"
            )
            raise UsageError(what, "leave it out")


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


def told(part: Part, settings: Settings) -> list[str]:
    return words_of(settings.task, settings.classes, part.labels)


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
            groups=part.groups,
            task=source.task,
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


def kept(run: Run) -> dict[str, Any]:
    """The settings that a network depends on."""
    return {name: value for name, value in dataclasses.asdict(run).items() if name not in ELSEWHERE}


def versions() -> dict[str, str]:
    """What a network's figures may depend on beside its settings."""
    packages = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "pillow")}
    return {"resnetkit": resnetkit.__version__, **packages}
