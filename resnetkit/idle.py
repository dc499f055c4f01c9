"""Settings that could do nothing in a run, refused: what only its data and its weights can tell."""

import math

from resnetkit.effect import GIVEN
from resnetkit.errors import UsageError
from resnetkit.run import COLUMNS
from resnetkit.settings import Facts, Settings
from resnetkit.walk import shapes

SUMS = ("identity", "project", "pad")  # shortcuts that a branch is added to
HELD_OUT = ("val_share", "fold")  # say which pictures validate
DECODED = ("max_pixels", "on_bad")  # say what becomes of pictures in files


def refuse_idle(settings: Settings, given: frozenset[str], facts: Facts) -> None:
    """As effect.refuse_idle, for what only the data and the weights can tell."""
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
        **dict.fromkeys(DECODED, facts.arrays and "the data is bare arrays, which no decoder reads"),
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
