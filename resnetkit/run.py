"""One training run, whole, as a value: made in Python, changed by flags, kept beside its weights."""

import dataclasses
import inspect
import math
import numbers
import operator
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from resnetkit.aliases import guess
from resnetkit.errors import UsageError, plain
from resnetkit.spans import duration

Losses = Literal["auto", "cross-entropy", "bce", "focal", "mse", "huber"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run. Equal runs on equal machines train equal networks."""

    data: str = ""  # class folders, a CSV list, IDX, parquet, npz, CIFAR or tar files, hf:OWNER/NAME or a known name
    model: str = "resnet18"  # which network: a name that resnet models lists, or a JSON file that says one
    out: str | None = None  # folder of this run (auto: a new one under runs/)

    size: int | None = None  # side of the pictures that the network sees (auto: the network's own)
    resize: Literal["crop", "letterbox", "stretch"] = "crop"  # how a picture becomes square: cut, bordered or bent
    val_share: float = 0.1  # share of the training pictures kept for validation, where there is no val folder
    fold: str | None = None  # which of equal parts validates, such as 2/5; sweep --folds 5 takes all (none: val_share)
    group_pattern: str | None = None  # what names of one group have in common, such as patient\d+ (none: no groups)
    max_pixels: int = 50_000_000  # largest picture that is decoded
    on_bad: Literal["stop", "skip"] = "stop"  # pictures that cannot be read end the run, or are left out and listed

    image_column: str | None = None  # of a list, or parquet: the pictures (auto: by its name)
    label_column: str | None = None  # of a list (several with commas), parquet, or JSON in tars: labels (auto: by name)
    part_column: str | None = None  # of a list: train, val or test (auto: by its name, if there is one)
    group_column: str | None = None  # of a list: pictures of one group, such as a patient, are never parted (none: no)
    weight_column: str | None = None  # of a list: how much a picture counts while it is learned from (none: all alike)
    task: Literal["auto", "classes", "tags", "numbers"] = "auto"  # what labels of a list are (auto: as they look)
    separator: str | None = None  # of a list: what stands between the tags of a picture (auto: ; | or a comma)

    epochs: int | None = None  # passes over the training pictures (auto: enough for the data)
    steps: int | None = None  # length of the run in steps of the optimizer, in place of epochs
    budget: str | None = None  # time that the run may take here, such as 5m, in place of epochs (none: what it needs)
    patience: int | None = None  # end after so many epochs without a better validation (none: go on)
    batch: int | None = None  # pictures for each step of the optimizer (auto: by the amount of data)
    accumulate: int | None = None  # parts that a batch goes through the network in (auto: 1, more if memory is short)

    weights: str = "auto"  # to start from: a file, timm/NAME, torchvision/NAME or none (auto: published ones, if any)
    allow_partial: bool = False  # take weights that fit the network in part; the rest begins as without weights
    allow_unpinned: bool = False  # take published weights that no commit or hash pins; the SHA-256 found is said
    finetune: Literal["auto", "head", "stages", "full"] = "auto"  # what learns of given weights (auto: by the data)
    frozen: int | None = None  # stages that stay as they are where others learn (auto: all but the last)
    views: int | None = None  # looks at each picture that are kept for learning: as it is, then varied (auto: by data)
    head_cells: int | None = None  # the head sees every stage in so many cells a side; 0: the last one's mean (auto: 4)
    freeze_norms: bool | None = None  # batch norms keep the statistics that came with the weights (auto: no)
    init: Literal["fan-out", "fan-in"] = "fan-out"  # spread of the first weights (fan-in: as the paper, head and all)
    zero_init: bool = False  # begin with silent residual branches (Goyal et al. 2017): slow at first, for long runs

    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "lars", "lamb", "muon"] = "sgd"  # how gradients become steps
    lr: float | None = None  # highest learning rate of the run (auto: by optimizer and batch)
    momentum: float = 0.9  # of SGD, RMSprop, LARS and Muon
    nesterov: bool = True  # SGD and Muon look ahead along their momentum
    weight_decay: float | None = None  # pull to zero (L2 in SGD and Adam), norms and biases spared (auto: by optimizer)
    pull: float = 0.0  # alpha of a pull to the weights begun with, in place of their decay; a new head decays as usual
    decay_all: bool = False  # weight decay for norms and biases too, as the first papers have it
    schedule: Literal["cosine", "linear", "multistep", "onecycle", "plateau"] = "cosine"  # how the learning rate falls
    warmup: float | None = None  # share of the run spent rising to the highest rate (auto: 0.05, onecycle 0.3)
    milestones: tuple[float, ...] = (0.5, 0.75)  # shares of the run after which multistep lowers the learning rate
    plateau_epochs: int = 5  # epochs without a better validation after which plateau lowers the learning rate
    gamma: float = 0.1  # what multistep and plateau multiply the learning rate by
    layer_decay: float = 1.0  # what the rate is multiplied by from each block to the one before it (1: all learn alike)
    clip: float | None = None  # longest gradient allowed (none: any)
    ema: float | None = None  # keep a running mean of the weights; this share stays at each step (none: the weights)

    loss: Losses = "auto"  # what is made small (auto: cross-entropy; of tags bce, a yes or no each; of numbers huber)
    focal_gamma: float = 2.0  # how much less a picture counts for focal that is easy already
    smoothing: float | None = None  # share of each label spread evenly over all classes (auto: 0.1; of tags 0)
    teacher: str | None = None  # a model file or run folder of ours whose answers are learned from too (none: labels)
    teacher_share: float = 0.9  # of the loss that is the teacher's; the labels have the rest
    teacher_temperature: float = 4.0  # what softens the answers of both, so that unlikely classes show as well
    teacher_features: float = 0.0  # weight of a loss that finds pictures alike which the teacher finds alike
    class_weights: Literal["none", "balanced"] = "none"  # balanced: pictures of rare classes count more
    sampling: Literal["all", "balanced"] = "all"  # balanced: an epoch shows each class equally often
    l1: float = 0.0  # times the sum of all absolute weights, added to what is made small
    dropout: float = 0.0  # chance that a feature is left out before the head, while it learns
    inner_dropout: float = 0.0  # chance that a number is left out before the last convolution of a branch
    drop_path: float = 0.0  # chance that the last residual branch is left out, rising from the first

    crop: Literal["auto", "resized", "pad", "none"] = "auto"  # random cut (auto: resized for photographs, else pad)
    crop_scale: float = 0.35  # smallest share of a picture that a random resized crop keeps
    flip: bool | None = None  # mirror half of the pictures (auto: yes, unless classes are digits or letters)

    policy: Literal["none", "randaugment", "trivialaugment", "augmix"] = "none"  # random operations on each picture
    policy_strength: float = 0.3  # how far operations go, as a share of their range; of augmix at most
    policy_count: int | None = None  # operations in a row; of augmix, chains of them (auto: 2, augmix 3)
    jitter: float = 0.0  # brightness, contrast and, in colour, saturation vary by up to this share
    hue: float = 0.0  # how far hues turn at most, as a share of the circle
    cutout: float = 0.0  # side of a square wiped out of each picture, as a share of the picture's
    erase: float = 0.0  # share of the pictures that lose a random rectangle
    repeats: int = 1  # times that a batch has each picture, varied otherwise; an epoch then shows fewer of them
    mixup: float = 0.0  # alpha: blends pictures in pairs, and their labels (0: off)
    cutmix: float = 0.0  # alpha: pastes a part of one picture into another; beside mixup in half the batches (0: off)

    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # of the forward pass
    save_every: float = 20.0  # seconds between checkpoints; changes no result
    tensorboard: bool = False  # write what happens for TensorBoard too, which is an extra; changes no result
    workers: int | None = None  # threads that read pictures; changes no result (auto: by the machine)
    seed: int = 0  # of the weights, the order, the augmentation and the validation split

    def __post_init__(self) -> None:
        from resnetkit.specfile import find, settled, title

        for name in HINTS:
            object.__setattr__(self, name, check(name, getattr(self, name)))
        object.__setattr__(self, "model", settled(self.model))
        if find(self.model).ndim != 2:
            what = f"{title(self.model)} is not for pictures, which is what is read here"
            raise UsageError(what, "choose another network")
        refuse_device(self.device)
        if self.epochs is not None and self.steps is not None:
            raise UsageError("epochs and steps both say how long the run is", "give one of the two")
        if self.fold is not None:
            fold_of(self.fold)
        check_groups(self)
        if self.budget is not None:
            duration(self.budget, "budget")
            if self.epochs is not None or self.steps is not None:
                what = f"budget and {'steps' if self.epochs is None else 'epochs'} both say how long the run is"
                raise UsageError(what, "give one of the two")
        if any(late <= early for early, late in zip(self.milestones, self.milestones[1:], strict=False)):
            raise UsageError(f"milestones {spell(self.milestones)} do not rise", "write the shares from small to large")


def refuse_device(name: str) -> None:
    """UsageError for what no device is called; whether this machine has it, is found where it is taken."""
    if not DEVICE.fullmatch(name):
        raise UsageError(f"device is {show(name)}", "choose auto, cpu, cuda, cuda:1 (the second) or mps")


def fold_of(text: str) -> tuple[int, int]:
    """``2/5`` is the second of five equal parts. UsageError for another text."""
    found = re.fullmatch(r"(\d{1,3})/(\d{1,3})", text, re.ASCII)
    part, parts = map(int, found.groups()) if found else (0, 0)
    if not (1 <= part <= parts and 2 <= parts <= 100):
        raise UsageError(f"fold is {show(text)}, which is no part of 2 to 100", "write one such as 2/5")
    return part, parts


def check_groups(run: Run) -> None:
    """UsageError where it is not clear which pictures belong together."""
    if run.group_pattern is None:
        return
    if run.group_column is not None:
        raise UsageError("group_column and group_pattern both say what belongs together", "give one of the two")
    try:
        re.compile(run.group_pattern)
    except re.error as error:
        what = f"group_pattern {show(run.group_pattern)} is no regular expression: {error}"
        raise UsageError(what, r"write one such as patient\d+") from None


HINTS = typing.get_type_hints(Run)
COLUMNS = (
    "image_column",
    "label_column",
    "part_column",
    "group_column",
    "weight_column",
    "task",
    "separator",
)  # of a list
# Where None means "not done"; elsewhere it means "decided for you".
OFF = set("budget clip ema fold group_column group_pattern patience teacher weight_column".split())

LIMITS: dict[str, tuple[tuple[str, float], ...]] = {
    "size": ((">=", 8), ("<=", 4096)),
    "val_share": ((">", 0), ("<", 1)),
    "max_pixels": ((">=", 1024), ("<=", 10**10)),
    "epochs": ((">=", 1), ("<=", 10**6)),
    "steps": ((">=", 1), ("<=", 10**9)),
    "batch": ((">=", 1), ("<=", 10**6)),
    "patience": ((">=", 1), ("<=", 10**6)),
    "accumulate": ((">=", 1), ("<=", 10**6)),
    "ema": ((">", 0), ("<", 1)),
    "frozen": ((">=", 1), ("<=", 100)),
    "views": ((">=", 1), ("<=", 1000)),
    "head_cells": ((">=", 0), ("<=", 64)),
    "lr": ((">", 0), ("<=", 10**6)),
    "momentum": ((">=", 0), ("<", 1)),
    "weight_decay": ((">=", 0), ("<=", 10**6)),
    "pull": ((">=", 0), ("<=", 10**6)),
    "warmup": ((">=", 0), ("<", 1)),
    "milestones": ((">", 0), ("<", 1)),  # each of them
    "plateau_epochs": ((">=", 1), ("<=", 10**6)),
    "gamma": ((">", 0), ("<", 1)),
    "clip": ((">", 0),),
    "layer_decay": ((">", 0), ("<=", 1)),
    "dropout": ((">=", 0), ("<", 1)),
    "inner_dropout": ((">=", 0), ("<", 1)),
    "drop_path": ((">=", 0), ("<", 1)),
    "l1": ((">=", 0), ("<=", 10**6)),
    "focal_gamma": ((">", 0), ("<=", 100)),
    "teacher_share": ((">=", 0), ("<=", 1)),
    "teacher_temperature": ((">", 0), ("<=", 1000)),
    "teacher_features": ((">=", 0), ("<=", 10**6)),
    "smoothing": ((">=", 0), ("<", 1)),
    "crop_scale": ((">", 0), ("<=", 1)),
    "policy_strength": ((">=", 0), ("<=", 1)),
    "policy_count": ((">=", 1), ("<=", 10)),
    "jitter": ((">=", 0), ("<=", 1)),
    "hue": ((">=", 0), ("<=", 0.5)),
    "cutout": ((">=", 0), ("<", 1)),
    "erase": ((">=", 0), ("<=", 1)),
    "repeats": ((">=", 1), ("<=", 1000)),
    "mixup": ((">=", 0), ("<=", 100)),
    "cutmix": ((">=", 0), ("<=", 100)),
    "save_every": ((">=", 0),),
    "workers": ((">=", 0), ("<=", 256)),
    "seed": ((">=", 0), ("<=", 2**63 - 1)),
}
SIGNS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    ">": ("more than", operator.gt),
    ">=": ("at least", operator.ge),
    "<": ("less than", operator.lt),
    "<=": ("at most", operator.le),
}
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?", re.ASCII)


def check(name: str, value: Any, said: str = "") -> Any:
    """``value`` as field ``name`` keeps it. ``said`` is what the user calls the field, for the error."""
    kind, optional = kind_of(name)
    if value is None and optional:
        return None
    try:
        value = convert(kind, value)
        parts = value if isinstance(value, tuple) else (value,)
        if all(SIGNS[sign][1](part, end) for part in parts for sign, end in LIMITS.get(name, ())):
            return value
    except (TypeError, ValueError, OverflowError):
        pass
    default = spell(getattr(Run, name), name)
    raise UsageError(
        f"{said or name} is {show(value)}; it takes {wanted(name)}",
        f"change {said or name}, or leave it out: its default is {default or 'empty'}",
    )


def kind_of(name: str) -> tuple[Any, bool]:
    """The type of a field, and whether None is allowed beside it."""
    hint = HINTS[name]
    return (typing.get_args(hint)[0], True) if isinstance(hint, types.UnionType) else (hint, False)


def convert(kind: Any, value: Any) -> Any:
    """``value`` as the type of a field. Raises TypeError or ValueError where it is another thing."""
    if isinstance(value, bool) and kind is not bool:
        raise TypeError
    if typing.get_origin(kind) is tuple:
        if isinstance(value, str) or not (parts := tuple(value)):
            raise TypeError
        return tuple(convert(typing.get_args(kind)[0], part) for part in parts)
    if kind is str and isinstance(text := os.fspath(value), str) and "\0" not in text:
        return text
    if kind is int:
        return operator.index(value)
    if kind is float and isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    if (kind is bool and isinstance(value, bool)) or value in typing.get_args(kind):
        return value
    raise TypeError


def wanted(name: str) -> str:
    """What a field takes, in words: ``a whole number, at least 1, or auto``."""
    kind, optional = kind_of(name)
    if choices := typing.get_args(kind) if typing.get_origin(kind) is Literal else ():
        return "one of " + ", ".join(choices)
    text = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text"}.get(kind, "numbers")
    if limits := LIMITS.get(name):
        text += ", " + " and ".join(f"{SIGNS[sign][0]} {end}" for sign, end in limits)
    return text + (f", or {spell(None, name)}" if optional else "")


def spell(value: Any, name: str = "") -> str:
    """A value as a flag takes it: ``0.5,0.75`` or ``auto``."""
    match value:
        case None:
            return "none" if name in OFF else "auto"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ",".join(map(spell, value))
        case float():
            return f"{value:.12g}" if float(f"{value:.12g}") == value else repr(value)
    return str(value)


def show(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else plain(value)
    return text if len(text) <= 60 else text[:57] + "..."


def override(run: Run, changes: Mapping[str, Any]) -> Run:
    """A copy with some settings changed: ``override(run, {"lr": 0.2})``. An unknown name is an error."""
    refuse_unknown(changes)
    return dataclasses.replace(run, **changes)


def refuse_unknown(names: Iterable[str], where: str = "") -> None:
    for name in names:
        if name not in HINTS:
            raise UsageError(
                f"{where}there is no setting {show(name)}{guess(name, HINTS)}", f"choose from {', '.join(HINTS)}"
            )


def notes(cls: type) -> dict[str, str]:
    """The comment at the end of each field's line: the one place that says what a field means."""
    try:
        source = inspect.getsource(cls)
    except OSError:  # a zipped app carries no source
        return {}
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", source, re.MULTILINE))
