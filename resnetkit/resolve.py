"""What a run leaves open, decided from what the data and the weights say; settings that could do nothing, refused."""

import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from resnetkit import modelfile, published
from resnetkit.data import policies
from resnetkit.data.augment import Augment
from resnetkit.data.batches import steps_per_epoch
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError
from resnetkit.finetuning import GENTLE, NONE, SOONER, Mode, mode_of, tapped
from resnetkit.layout import lay_out
from resnetkit.metrics import Scale
from resnetkit.modelfile import Card
from resnetkit.plan import Plan, with_io
from resnetkit.run import COLUMNS, GIVEN, Run
from resnetkit.spec import Sides
from resnetkit.specfile import find, says, title
from resnetkit.tasks import TASKS, TaskName
from resnetkit.units import each
from resnetkit.walk import shapes
from resnetkit.zoo import ZOO

SUMS = ("identity", "project", "pad")  # shortcuts that a branch is added to
Crop = Literal["resized", "pad", "none"]
SMALL = 64  # pixels: pictures all of one size up to this keep it
# At a batch of 128. Those of the last four were tried on digits, where a quarter of each learns visibly more slowly.
LR = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3, "rmsprop": 2e-4, "lars": 2.0, "lamb": 0.01, "muon": 4e-3}
DECAY = {"sgd": 5e-4, "adam": 1e-4, "adamw": 0.05, "rmsprop": 1e-5, "lars": 1e-4, "lamb": 0.02, "muon": 0.05}
ENOUGH_STEPS = 3000  # of training from nothing: below this the networks here are visibly not done
ENOUGH_EPOCHS = 30
MOST_EPOCHS = 200  # of little data: more looks at the same pictures stop helping
HELD_OUT = ("group_column", "group_pattern", "val_share", "fold")  # say which pictures validate


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the data says before anything is decided."""

    pictures: int  # to train on
    classes: tuple[str, ...]
    uniform: tuple[int, int] | None  # height and width, where all pictures share one of at most SMALL
    channels: int  # stored: 1 for arrays of grey pictures, else 3
    has_val: bool  # the data brings its own validation part
    arrays: bool  # bare arrays, which no decoder has to read
    listed: bool = False  # the pictures are named in a list, whose columns have to be told apart
    columns: tuple[str, ...] = ()  # settings that say so for other files
    counts: tuple[int, ...] = ()  # of each class, among the pictures to train on
    task: TaskName = "classes"
    scale: Scale = ()  # of the numbers, over the pictures to train on
    grey: bool = False  # every picture to train on is stored in grey, whatever the network is shown


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run with nothing left open. ``reasons`` says why, for each thing that was."""

    run: Run
    model: str
    plan: Plan
    classes: tuple[str, ...]
    preprocess: Preprocess  # mean 0 and deviation 1 until they are measured
    measure: bool  # whether mean and deviation come from the data
    batch: int
    epoch_steps: int
    steps: int
    lr: float  # the highest of the run
    weight_decay: float
    warmup: float
    loss: str
    smoothing: float
    class_weights: tuple[float, ...] | None  # how much a picture of each class counts
    crop: Crop
    flip: bool
    freeze_norms: bool = False  # batch norms answer with their own statistics while they learn
    fresh: tuple[str, ...] = ()  # tensors that did not come with the weights
    teacher: Card | None = None
    task: TaskName = "classes"
    scale: Scale = ()  # of the numbers
    mode: Mode = NONE  # of fine-tuning
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def epochs(self) -> float:
        return self.steps / self.epoch_steps

    def pulls(self, name: str) -> bool:
        """Whether this parameter is pulled to what it began as, rather than to zero."""
        return self.run.pull > 0 and name not in self.fresh

    @property
    def augment(self) -> Augment:
        """How each training picture varies; what mixes them with one another is engine.mix."""
        run = self.run
        return Augment(
            crop=self.crop,
            flip=self.flip,
            scale=(run.crop_scale, 1.0),
            policy=run.policy,
            policy_strength=run.policy_strength,
            policy_count=run.policy_count or policies.USUAL[run.policy],
            jitter=run.jitter,
            hue=run.hue,
            cutout=run.cutout,
            erase=run.erase,
        )


def resolve(run: Run, given: frozenset[str], facts: Facts, card: Card | None = None) -> Settings:
    """Every setting as it will be used. Raises UsageError for a given setting that can have no effect.

    ``card`` is that of the weights to start from, where they have one.
    """
    reasons: dict[str, str] = {}
    model = network(run, given, facts, card, reasons)
    preprocess = geometry(run, given, facts, card, model, reasons)
    base = lay_out(find(model)) if card is None else card.plan
    plan = with_io(base, channels=preprocess.channels, classes=len(facts.classes))
    scratch = card is None
    mode = NONE if scratch else mode_of(run, given, plan, facts.pictures, preprocess.size)
    plan = tapped(run, plan, mode, facts.pictures)
    batch = batch_size(run, facts, preprocess, mode, reasons)
    parts = run.accumulate or 1
    if run.repeats > batch:
        raise UsageError(
            f"a batch of {batch} has no room for {run.repeats} times a picture", f"--repeats {batch} or less"
        )
    if parts > batch:
        raise UsageError(f"a batch of {batch} has not {parts} parts", f"--accumulate {batch} or less")
    frozen = norms_frozen(run)
    few = batch == 1 or (parts > 1 and batch // parts < 3)  # some part may be a single picture
    if few and not frozen and all(math.ceil(side / plan.reduction) == 1 for side in preprocess.size):
        raise UsageError(
            f"so few pictures at a time leave batch normalisation one value a channel in {model}",
            "--batch 2 or more, and with --accumulate N at least 3 N",
        )
    epoch_steps = steps_per_epoch(facts.pictures, batch)
    kind = TASKS[facts.task]
    loss = kind.losses[0] if run.loss == "auto" else run.loss
    if loss not in kind.losses:
        raise UsageError(f"the loss {loss} is not for {kind.name}", f"--loss {' or '.join(kind.losses)}")
    # The squares of the first errors are large: at the full rate they throw a network off.
    usual = LR[run.optimizer] * batch / 128 * GENTLE[mode.name] * (0.1 if loss == "mse" else 1)
    crop = run.crop
    if crop == "auto":
        whole = preprocess.resize != "crop" or facts.task == "numbers"  # which may be places, sizes, or how many
        crop = "none" if whole else "pad" if facts.uniform else "resized"
    wary = why_not_mirrored(facts)
    if run.flip is None:
        reasons["flip"] = f"{wary}; --flip mirrors all the same" if wary else "a mirrored picture is as good"
    usual_smoothing = 0.1 if facts.task == "classes" else 0.0
    settings = Settings(
        run=run,
        model=title(model),
        plan=plan,
        classes=facts.classes,
        preprocess=preprocess,
        measure=scratch,
        batch=batch,
        epoch_steps=epoch_steps,
        steps=0 if mode.name == "head" else length(run, facts.pictures, epoch_steps, mode, reasons),
        lr=run.lr or usual,
        weight_decay=DECAY[run.optimizer] if run.weight_decay is None else run.weight_decay,
        warmup=(0.3 if run.schedule == "onecycle" else 0.05) if run.warmup is None else run.warmup,
        loss=loss,
        smoothing=usual_smoothing if run.smoothing is None or facts.task == "numbers" else run.smoothing,
        class_weights=balance(facts.counts) if run.class_weights == "balanced" else None,
        crop=crop,
        flip=run.flip if run.flip is not None else not wary,
        freeze_norms=frozen,
        task=facts.task,
        scale=facts.scale,
        mode=mode,
        reasons=reasons,
    )
    if run.lr is None:
        gentle = ["gentle with given weights"] if GENTLE[mode.name] < 1 else []
        gentle += ["a tenth for squares"] if loss == "mse" else []
        reasons["lr"] = ", ".join([f"{run.optimizer} at a batch of {batch}", *gentle])
    refuse_idle(settings, given, facts)
    return settings


def norms_frozen(run: Run) -> bool:
    """Whether batch norms keep their statistics: the one place where that is decided."""
    return bool(run.freeze_norms)


def why_not_mirrored(facts: Facts) -> str:
    """Why pictures are not mirrored where nobody says, or nothing."""
    if facts.task == "numbers":
        return "a number may depend on the side"
    signs = all(len(name) == 1 and name.isalnum() for name in facts.classes)
    return f"the {TASKS[facts.task].name} are digits or letters, which mirroring may change" if signs else ""


def network(run: Run, given: frozenset[str], facts: Facts, card: Card | None, reasons: dict[str, str]) -> str:
    if card is not None:
        refuse_other(run, given, card.model)
        reasons["model"] = "the network of the weights"
        return card.model
    find(run.model)  # refuses unknown names
    refuse_other_classes(run, facts)
    small = f"{run.model}_cifar"
    if "model" not in given and facts.uniform and small in ZOO:
        reasons["model"] = f"{run.model} with a 3x3 stem: the pictures are small"
        return small
    return run.model


def refuse_other_classes(run: Run, facts: Facts) -> None:
    """UsageError where a network of somebody's own says how many classes it has, and the data has others."""
    classes = says(run.model, "classes")
    if classes not in (None, len(facts.classes)):
        what = f"{title(run.model)} says classes {classes}, and the data has {len(facts.classes)}"
        raise UsageError(what, "leave classes out of the network: the data says how many there are")


def refuse_other(run: Run, given: frozenset[str], model: str) -> None:
    """WeightsError where a network was asked for that is not the ``model`` of the weights."""
    if "model" in given and title(run.model) != model:
        raise WeightsError(
            f"{run.weights} holds a {model}, not a {title(run.model)}", f"--model {model}, or leave --model out"
        )


def refuse_weights(run: Run, given: frozenset[str]) -> None:
    """What weights make useless or impossible, as far as a look at their name or card shows: before data is read.

    Raises UsageError for a setting without effect, WeightsError for weights of another network, or for no file.
    """
    if run.weights in ("none", "auto"):
        return
    if published.is_meant(run.weights):
        row = published.want(run.weights).row
        model, whole = row.network, "published weights fit whole"
        published.refuse_clips(row)
    else:
        path = Path(run.weights)
        path = path / "best.safetensors" if os.path.isdir(path) else path
        if not modelfile.is_ours(path):
            return
        model, whole = modelfile.read_card(path).model, "a model file fits whole"
    refuse_other(run, given, model)
    if run.allow_partial:
        raise UsageError(f"--allow-partial would have no effect: {whole}", "leave it out")


def geometry(
    run: Run, given: frozenset[str], facts: Facts, card: Card | None, model: str, reasons: dict[str, str]
) -> Preprocess:
    """How a picture becomes input: as asked for, else as it is if small, else as the weights or the network say."""
    if run.size is not None:
        size = (run.size, run.size)
    elif facts.uniform:
        size, reasons["size"] = facts.uniform, "all pictures have it"
    elif card is not None:
        size, reasons["size"] = card.preprocess.size, "the size of the weights"
    else:
        size, reasons["size"] = two_sides(find(model).size), f"the size {title(model)} is made for"
    known = card.preprocess if card else None
    colours = 1 if facts.grey else facts.channels
    channels = says(run.model, "channels") or (max(known.channels, colours) if known else facts.channels)
    if known and known.channels != channels:  # the first convolution is adapted, and says so
        known = replace(known, channels=channels, mean=spread(known.mean, channels), std=spread(known.std, channels))
    return Preprocess(
        size=size,
        resize=run.resize if known is None or "resize" in given else known.resize,
        crop=1.0 if max(size) <= SMALL else known.crop if known else 0.875,
        interpolation=known.interpolation if known else "bilinear",
        mean=known.mean if known else (0.0,) * channels,
        std=known.std if known else (1.0,) * channels,
        channels=channels,
    )


def spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """The same for another number of channels: their mean, in each."""
    return (sum(values) / len(values),) * channels


def two_sides(size: Sides) -> tuple[int, int]:
    height, width = each(size, 2)
    return height, width


def batch_size(run: Run, facts: Facts, preprocess: Preprocess, mode: Mode, reasons: dict[str, str]) -> int:
    if run.batch is not None:
        if run.batch > facts.pictures:
            stays = f", and the learning rate stays {run.lr:g}" if run.lr is not None else ""
            reasons["batch"] = f"there are only {facts.pictures} pictures: every step sees all of them{stays}"
        return min(run.batch, facts.pictures)
    most = 128 if max(preprocess.size) <= SMALL else 32
    least = 32 if mode.keeps_maps else 8  # steps behind maps are so short that few large ones are quicker
    batch = min(most, max(least, 2 ** int(math.log2(max(1, facts.pictures / 12)))), facts.pictures)
    reasons["batch"] = f"for {facts.pictures} pictures of {preprocess.size[0]}x{preprocess.size[1]}"
    return batch


def balance(counts: tuple[int, ...]) -> tuple[float, ...]:
    """Weights by which every class that has pictures counts the same, and a picture 1 on average."""
    present = sum(count > 0 for count in counts)
    return tuple(sum(counts) / (present * count) if count else 0.0 for count in counts)


def length(run: Run, pictures: int, epoch_steps: int, mode: Mode, reasons: dict[str, str]) -> int:
    if run.steps is not None:
        return run.steps
    if run.epochs is not None:
        return run.epochs * epoch_steps
    share = SOONER[mode.name]
    enough = math.ceil(ENOUGH_STEPS / share / epoch_steps)
    epochs = min(max(enough, ENOUGH_EPOCHS // share), MOST_EPOCHS // share)
    start = {"none": "from nothing", "full": "from weights"}.get(mode.name, "the last of it, from weights")
    reasons["steps"] = f"{epochs} epochs of {pictures} pictures: {start}, at least {ENOUGH_STEPS // share} steps or "
    reasons["steps"] += f"{ENOUGH_EPOCHS // share} epochs, at most {MOST_EPOCHS // share} epochs"
    return epochs * epoch_steps


def refuse_idle(settings: Settings, given: frozenset[str], facts: Facts) -> None:
    """As run.refuse_idle, for what only the data and the weights can tell."""
    run, size = settings.run, settings.preprocess.size
    grey = facts.grey or min(facts.channels, settings.preprocess.channels) == 1
    alone = "a step of one picture has no other to mix it with"
    idle = {
        "crop_scale": settings.crop != "resized" and f"the random crop of this run is {settings.crop!r}, not 'resized'",
        "repeats": run.repeats > 1
        and not varied(settings)
        and "nothing varies the pictures: all copies would be equal",
        "hue": run.hue > 0 and grey and "the pictures are grey",
        "mixup": run.mixup > 0 and settings.batch == 1 and alone,
        "cutmix": run.cutmix > 0 and settings.batch == 1 and alone,
        "loss": run.teacher is not None
        and run.teacher_share == 1
        and facts.task != "numbers"
        and "all of the loss is the teacher's",
        "teacher_temperature": facts.task == "numbers" and "numbers have no probabilities to soften",
        "teacher_features": run.teacher_features > 0
        and settings.batch <= (run.accumulate or 1)
        and "a picture alone is like no other",
        "class_weights": run.class_weights == "balanced" and even(facts),
        "patience": run.patience is not None
        and math.ceil(settings.epochs) <= run.patience + 1
        and f"the run has only {math.ceil(settings.epochs)} epochs",
        "sampling": run.sampling == "balanced" and even(facts),
        "smoothing": facts.task == "numbers" and "numbers are learned, not classes",
        "separator": facts.task != "tags" and "labels are not tags",
        **dict.fromkeys(HELD_OUT, facts.has_val and "the data brings its own validation part"),
        "drop_path": not any(b.shortcut.kind in SUMS for stage in settings.plan.stages for b in stage)
        and f"{settings.model} has no shortcuts",
        "zero_init": not settings.measure and GIVEN,
        "init": not settings.measure and GIVEN,
        "freeze_norms": why_no_norms(settings),
        "pull": settings.measure and "there are no weights to begin with",
        "resize": facts.uniform == size and f"every picture is {size[0]}x{size[1]} already",
        "plateau_epochs": never_flat(settings),
        "schedule": never_flat(settings),
        "gamma": never_flat(settings),
        **(
            {}
            if facts.listed
            else dict.fromkeys(set(COLUMNS) - set(facts.columns), "the data is not a list of pictures")
        ),
        "max_pixels": facts.arrays and "the data is bare arrays, which no decoder reads",
    }
    if facts.task != "classes" and "balanced" in (run.class_weights, run.sampling):
        name = "class-weights" if run.class_weights == "balanced" else "sampling"
        raise UsageError(f"--{name} balanced is for classes, and the labels are {facts.task}", "leave it out")
    for name, why in idle.items():
        if name in given and why:
            raise UsageError(f"--{name.replace('_', '-')} would have no effect: {why}", "leave it out")
    if run.schedule == "multistep" and run.milestones[0] < settings.warmup:
        raise UsageError(
            f"the first of the milestones, {run.milestones[0]:g}, lies within the warmup of {settings.warmup:g}",
            "a shorter --warmup, or later milestones",
        )


def varied(settings: Settings) -> bool:
    """Whether two looks at one picture may differ."""
    run = settings.run
    always = settings.crop != "none" or settings.flip or run.policy != "none"
    return always or any((run.jitter, run.hue, run.cutout, run.erase, run.mixup, run.cutmix))


def why_no_norms(settings: Settings) -> str:
    """Why there are no statistics of norms that could be kept, or nothing."""
    if settings.measure:
        return "there are no weights to begin with"
    kept = any(name.endswith("num_batches_tracked") for name in shapes(settings.plan))
    return "" if kept else f"{settings.model} has no batch norms"


def even(facts: Facts) -> str:
    """Why there are no rare classes, or nothing."""
    return "every class has as many pictures" if len(set(facts.counts) - {0}) == 1 else ""


def never_flat(settings: Settings) -> str:
    """Why plateau could not lower the learning rate in this run, or nothing."""
    epochs, wait = math.ceil(settings.epochs), settings.run.plateau_epochs
    if settings.run.schedule != "plateau" or wait + 1 < epochs:
        return ""
    return f"{wait} epochs without a better one are not over before the last epoch of {epochs}"
