"""Ways to train that have a name: the settings that each one changes, and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from resnetkit.errors import UsageError, nearest
from resnetkit.run import Run, show, spell


@dataclass(frozen=True)
class Recipe:
    """Settings that belong together. ``lacks`` names what the source does and this recipe cannot say."""

    says: str
    source: str
    changes: Mapping[str, Any]
    lacks: str = ""


def recipe(says: str, source: str, lacks: str = "", /, **changes: Any) -> Recipe:
    """A way to train from nothing, which is what all sources here are about."""
    return Recipe(says, source, MappingProxyType({"weights": "none", **changes}), lacks)


OF_OPTIMIZER = ("lr", "weight_decay", "momentum", "nesterov", "decay_all")
PLAIN = {
    "init": "fan-in",
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": False,
    "decay_all": True,
    "smoothing": 0.0,
    "warmup": 0.0,
}
STRIKES = {"optimizer": "lamb", "schedule": "cosine", "loss": "bce", "crop_scale": 0.08, "cutmix": 1.0}
STRIKES |= {"policy": "randaugment", "policy_count": 2, "batch": 2048}

RECIPES = {
    "quick": recipe(
        "a first look within minutes",
        "chosen here on the validation part of CIFAR-10 as JPEG",
        epochs=10,
        batch=64,
        lr=0.1,
        weight_decay=1e-3,
        smoothing=0.0,
    ),
    "paper-cifar": recipe(
        "the CIFAR networks of the paper, in 64,000 steps",
        "He et al. 2015, section 4.2",
        "the mean of every pixel, in place of which the mean and deviation of every channel are taken",
        **PLAIN,
        steps=64_000,
        batch=128,
        lr=0.1,
        weight_decay=1e-4,
        schedule="multistep",
        milestones=(0.5, 0.75),
        gamma=0.1,
        crop="pad",
        flip=True,
    ),
    "paper-imagenet": recipe(
        "ImageNet as in the paper, in the 90 epochs that became usual",
        "He et al. 2015, section 3.4; crop and length as in fb.resnet.torch",
        "the colour shift by principal components of Krizhevsky et al. 2012",
        **PLAIN,
        epochs=90,
        batch=256,
        lr=0.1,
        weight_decay=1e-4,
        schedule="multistep",
        milestones=(1 / 3, 2 / 3),
        gamma=0.1,
        crop_scale=0.08,
        flip=True,
    ),
    "bag-of-tricks": recipe(
        "large batches, cosine, smooth labels, blended pictures",
        "He et al. 2019, sections 3 and 5",
        "the colour shift by principal components, and distillation",
        optimizer="sgd",
        momentum=0.9,
        nesterov=True,
        epochs=200,
        batch=1024,
        lr=0.4,
        weight_decay=1e-4,
        schedule="cosine",
        warmup=5 / 200,
        smoothing=0.1,
        zero_init=True,
        mixup=0.2,
        jitter=0.4,
        crop_scale=0.08,
        flip=True,
    ),
    "strikes-back-a1": recipe(
        "600 epochs for the highest accuracy",
        "Wightman et al. 2021, table 2, A1",
        **STRIKES,
        epochs=600,
        lr=5e-3,
        weight_decay=0.01,
        warmup=5 / 600,
        smoothing=0.1,
        drop_path=0.05,
        policy_strength=0.7,
        repeats=3,
        mixup=0.2,
        flip=True,
    ),
    "strikes-back-a2": recipe(
        "300 epochs",
        "Wightman et al. 2021, table 2, A2",
        **STRIKES,
        epochs=300,
        lr=5e-3,
        weight_decay=0.02,
        warmup=5 / 300,
        smoothing=0.0,
        drop_path=0.05,
        policy_strength=0.7,
        repeats=3,
        mixup=0.1,
        flip=True,
    ),
    "strikes-back-a3": recipe(
        "100 epochs on smaller pictures",
        "Wightman et al. 2021, table 2, A3",
        "evaluation at 224 after training at 160",
        **STRIKES,
        size=160,
        epochs=100,
        lr=8e-3,
        weight_decay=0.02,
        warmup=5 / 100,
        smoothing=0.0,
        policy_strength=0.6,
        mixup=0.1,
        flip=True,
    ),
    "torchvision-v2": recipe(
        "600 epochs as torchvision trained its second weights",
        "Vryniotis 2021, How to train state-of-the-art models using TorchVision's latest primitives",
        "evaluation at 224 after training at 176",
        size=176,
        optimizer="sgd",
        momentum=0.9,
        nesterov=False,
        epochs=600,
        batch=1024,
        lr=0.5,
        weight_decay=2e-5,
        schedule="cosine",
        warmup=5 / 600,
        smoothing=0.1,
        mixup=0.2,
        cutmix=1.0,
        policy="trivialaugment",
        repeats=4,
        erase=0.1,
        ema=0.999966,  # of every step; there 0.00109 of the weights come in at every 32nd
        crop_scale=0.08,
        flip=True,
    ),
}


def find(name: str) -> Recipe:
    """The recipe of that name; UsageError with the nearest where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    raise UsageError(f"there is no recipe {show(name)}{nearest(name, RECIPES, 1)}", "see them all with: resnet recipes")


def settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's settings with the ``given`` ones before them. Of two ways to say a thing the given one holds."""
    changes = dict(find(name).changes)
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if one in given:
            changes.pop(other, None)
    usual = changes.get("optimizer", Run.optimizer)
    if given.get("optimizer", usual) != usual:  # whose rates mean something else
        for setting in OF_OPTIMIZER:
            changes.pop(setting, None)
    return {**changes, **given}


def line(name: str, given: Mapping[str, Any]) -> str:
    """A recipe in one line, with what was given in place of its own settings."""
    chosen, kept = find(name), settings(name, given)
    words = []
    for setting, value in chosen.changes.items():
        if setting not in kept:
            words.append(f"{setting} left open")  # by another length or optimizer that was given
        elif setting in given:
            words.append(f"{said(setting, given[setting])} (given, not {said('', value)})")
        else:
            words.append(said(setting, value))
    words += [f"{said(setting, value)} (given)" for setting, value in given.items() if setting not in chosen.changes]
    return f"{name} ({chosen.source}): {', '.join(words)}"


def said(setting: str, value: Any) -> str:
    """``lr 0.1``, to six digits."""
    parts = value if isinstance(value, tuple) else (value,)
    return f"{setting} {','.join(f'{v:.6g}' if isinstance(v, float) else spell(v, setting) for v in parts)}".strip()
