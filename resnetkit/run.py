"""One training run, whole, as a value: made in Python, changed by flags, kept beside its weights."""

import dataclasses
import inspect
import json
import math
import numbers
import operator
import os
import re
import stat
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from resnetkit.errors import UsageError, nearest, plain, some
from resnetkit.zoo import find

FORMAT = 1
LARGEST_FILE = 1 << 20  # bytes of a run.json; ours have two thousand


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run. Equal runs on equal machines train equal networks."""

    data: str = ""  # a folder of class folders, or of IDX, parquet, npz or CIFAR files, or digits
    model: str = "resnet18"  # which network: resnet models lists them
    out: str | None = None  # folder of this run (auto: a new one under runs/)

    size: int | None = None  # side of the pictures that the network sees (auto: the network's own)
    resize: Literal["crop", "letterbox", "stretch"] = "crop"  # how a picture becomes square: cut, bordered or bent
    val_share: float = 0.1  # share of the training pictures kept for validation, where there is no val folder
    max_pixels: int = 50_000_000  # largest picture that is decoded

    epochs: int | None = None  # passes over the training pictures (auto: enough for the data)
    steps: int | None = None  # length of the run in steps of the optimizer, in place of epochs
    batch: int | None = None  # pictures for each step of the optimizer (auto: by the amount of data)

    weights: str = "none"  # model file or state dict to start from; the head is made anew
    zero_init: bool = False  # begin with silent residual branches (Goyal et al. 2017): slow at first, for long runs

    optimizer: Literal["sgd", "adamw"] = "sgd"  # how gradients become steps
    lr: float | None = None  # highest learning rate of the run (auto: by optimizer and batch)
    momentum: float = 0.9  # of SGD
    nesterov: bool = True  # SGD looks ahead along its momentum
    weight_decay: float | None = None  # pull towards zero; norms and biases are spared (auto: by optimizer)
    schedule: Literal["cosine", "multistep"] = "cosine"  # how the learning rate falls
    warmup: float = 0.05  # share of the run spent rising to the highest learning rate
    milestones: tuple[float, ...] = (0.5, 0.75)  # shares of the run after which multistep lowers the learning rate
    gamma: float = 0.1  # what multistep multiplies the learning rate by
    clip: float | None = None  # longest gradient allowed (none: any)
    smoothing: float = 0.1  # share of each label spread evenly over all classes

    crop: Literal["auto", "resized", "pad", "none"] = "auto"  # random cut (auto: resized for photographs, else pad)
    crop_scale: float = 0.35  # smallest share of a picture that a random resized crop keeps
    flip: bool | None = None  # mirror half of the pictures (auto: yes, unless classes are digits or letters)

    device: str = "auto"  # auto, cpu, cuda, cuda:1 or mps
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # of the forward pass
    save_every: float = 20.0  # seconds between checkpoints; changes no result
    workers: int | None = None  # threads that read pictures; changes no result (auto: by the machine)
    seed: int = 0  # of the weights, the order, the augmentation and the validation split

    def __post_init__(self) -> None:
        for name in HINTS:
            object.__setattr__(self, name, check(name, getattr(self, name)))
        find(self.model)
        if not DEVICE.fullmatch(self.device):
            raise UsageError(f"device is {show(self.device)}", "choose auto, cpu, cuda, cuda:1 (the second) or mps")
        if self.epochs is not None and self.steps is not None:
            raise UsageError("epochs and steps both say how long the run is", "give one of the two")
        if any(late <= early for early, late in zip(self.milestones, self.milestones[1:], strict=False)):
            raise UsageError(f"milestones {spell(self.milestones)} do not rise", "write the shares from small to large")


HINTS = typing.get_type_hints(Run)
OFF = {"clip"}  # where None means "not done"; elsewhere it means "decided for you"

LIMITS: dict[str, tuple[tuple[str, float], ...]] = {
    "size": ((">=", 8), ("<=", 4096)),
    "val_share": ((">", 0), ("<", 1)),
    "max_pixels": ((">=", 1024), ("<=", 10**10)),
    "epochs": ((">=", 1), ("<=", 10**6)),
    "steps": ((">=", 1), ("<=", 10**9)),
    "batch": ((">=", 1), ("<=", 10**6)),
    "lr": ((">", 0), ("<=", 10**6)),
    "momentum": ((">=", 0), ("<", 1)),
    "weight_decay": ((">=", 0), ("<=", 10**6)),
    "warmup": ((">=", 0), ("<", 1)),
    "milestones": ((">", 0), ("<", 1)),  # each of them
    "gamma": ((">", 0), ("<", 1)),
    "clip": ((">", 0),),
    "smoothing": ((">=", 0), ("<", 1)),
    "crop_scale": ((">", 0), ("<=", 1)),
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

# What other tools call these things: ours, then theirs. The first of ours that a verb has is suggested.
ALIASES = {
    "data": "data-dir data-path dataset train-dir train-data input root",
    "size": "imgsz img-size image-size input-size img resolution crop-size",
    "batch": "batch-size bs b per-device-train-batch-size train-batch-size",
    "epochs": "epoch num-epochs n-epochs max-epochs num-train-epochs e",
    "steps": "max-steps num-steps iterations iters max-iter",
    "lr": "lr0 learning-rate base-lr lr-base max-lr",
    "weight_decay": "wd decay l2",
    "optimizer": "opt optim",
    "schedule": "sched scheduler lr-scheduler lr-schedule cos-lr",
    "warmup": "warmup-epochs warmup-steps lr-warmup-epochs warmup-ratio",
    "milestones": "lr-steps lr-milestones decay-milestones decay-epochs",
    "gamma": "lr-gamma decay-rate lrf",
    "smoothing": "label-smoothing",
    "clip": "clip-grad grad-clip clip-norm max-grad-norm clip-grad-norm gradient-clip-val",
    "weights": "pretrained initial-checkpoint checkpoint checkpoint-path ckpt load",
    "model": "arch architecture network net backbone model-name checkpoint weights ckpt",
    "out": "output output-dir out-dir save-dir name project o experiment results-dir results-file output-file",
    "device": "gpu gpus cuda accelerator no-cuda use-gpu",
    "precision": "amp amp-dtype half fp16 bf16 fp32 dtype mixed-precision",
    "workers": "num-workers threads j n-workers",
    "seed": "random-seed random-state manual-seed",
    "val_share": "val-split val-pct valid-pct validation-split train-val-split val-ratio val-fraction",
    "zero_init": "zero-init-residual zero-init-last zero-gamma",
    "flip": "hflip fliplr horizontal-flip",
    "crop_scale": "scale min-scale",
    "resume": "continue",
    "run": "config cfg c",
    "top": "topk top-k k",
    "path": "source input image images img infer-imgs file files",
    "split": "subset",
    "json": "format",
    "src": "source input checkpoint weights pretrained",
}


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


def meant(name: str, known: Collection[str]) -> str | None:
    """Which of the ``known`` names somebody means who writes another tool's name, or other dashes."""
    same = (ours for ours in known if squash(ours) == squash(name))
    theirs = (ours for ours, others in ALIASES.items() if ours in known and squash(name) in map(squash, others.split()))
    return next(same, None) or next(theirs, None)


def guess(name: str, known: Collection[str]) -> str:
    """``; did you mean size?`` -- or nothing."""
    ours = meant(name, known)
    return f"; did you mean {ours}?" if ours else nearest(name, known)


def squash(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()


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


def refuse_idle(run: Run, given: Collection[str]) -> None:
    """A setting that was given and can change nothing in this run is an error, never silence."""
    idle = {
        "the schedule is cosine": ("milestones", "gamma") if run.schedule == "cosine" else (),
        f"the optimizer is {run.optimizer}": ("momentum", "nesterov") if run.optimizer != "sgd" else (),
        "there is no momentum": ("nesterov",) if run.momentum == 0 and run.nesterov else (),
        f"the random crop is {run.crop}": ("crop_scale",) if run.crop in ("pad", "none") else (),
        f"{run.model} has no shortcuts": ("zero_init",) if find(run.model).shortcut == "none" else (),
    }
    for why, names in idle.items():
        for name in names:
            if name in given:
                raise UsageError(f"--{name.replace('_', '-')} would have no effect: {why}", "leave it out")


def dumps(run: Run, given: Iterable[str]) -> str:
    """A run as JSON, with the names of the settings that somebody chose."""
    document = {"format": FORMAT, "settings": dataclasses.asdict(run), "given": sorted(given)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def loads(text: str, where: str = "run.json") -> tuple[Run, frozenset[str]]:
    """A run and what was given, from JSON. In a file without ``given`` every setting in it was."""
    fix = "compare it with a run.json that resnet train wrote"
    try:
        document = json.loads(text, object_pairs_hook=without_twins, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not proper JSON: {plain(error)[:200] or 'it is too deep'}", fix) from None
    if not isinstance(document, dict) or not isinstance(document.get("settings"), dict):
        raise UsageError(f'{where} has no "settings"', fix)
    if document.get("format") != FORMAT:
        raise UsageError(
            f'{where} has "format" {show(document.get("format"))}; this resnetkit reads {FORMAT}',
            "use the resnetkit that wrote it, or a newer one",
        )
    if extra := document.keys() - {"format", "settings", "given"}:
        raise UsageError(
            f"{where} has unknown entries: {some(sorted(extra))}", "remove them, or move settings to settings"
        )
    settings, given = document["settings"], document.get("given", list(document["settings"]))
    refuse_unknown(settings, f"{where}: ")
    if not isinstance(given, list) or not all(isinstance(name, str) and name in HINTS for name in given):
        raise UsageError(f'{where}: "given" is not a list of settings', fix)
    return Run(**{n: check(n, value, f"{where}: {n}") for n, value in settings.items()}), frozenset(given)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{some({show(n) for n in names if names.count(n) > 1})} stands there twice")
    return seen


def refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def read_file(path: Path) -> tuple[Run, frozenset[str]]:
    """The run in a file; whatever cannot be read as one is a UsageError naming the file."""
    where = plain(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{where} is a folder, not a run.json", f"name the file, such as {where}/run.json")
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise UsageError(f"{where} is not a run.json", "name the run.json of a run folder")
        return loads(path.read_bytes().decode("utf-8-sig"), where)
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not text", "name the run.json of a run folder") from None
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror}", "name the run.json of a run folder") from None


def notes(cls: type) -> dict[str, str]:
    """The comment at the end of each field's line: the one place that says what a field means."""
    try:
        source = inspect.getsource(cls)
    except OSError:  # a zipped app carries no source
        return {}
    return dict(re.findall(r"^    (\w+): .*?  # (.+)$", source, re.MULTILINE))
