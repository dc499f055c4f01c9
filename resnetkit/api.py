"""The public verbs: train, load and import, each a few lines over the rooms that do the work."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetkit import foreign, modelfile
from resnetkit.classifier import Classifier, load
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.model import ResNet
from resnetkit.modelfile import Card
from resnetkit.plan import lay_out, with_io
from resnetkit.run import Run, override
from resnetkit.training import Done, resuming, training
from resnetkit.weights import fill
from resnetkit.zoo import find

__all__ = ["Result", "import_weights", "load", "resuming", "train", "training"]

# What networks of public checkpoints were shown, unless somebody says otherwise (torchvision's values).
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, and the figures of its best network."""

    folder: Path
    metrics: dict[str, Any]  # of metrics.json: accuracy, loss, split and the rest

    @property
    def accuracy(self) -> float:
        return float(self.metrics["accuracy"])

    @property
    def model(self) -> Classifier:
        """The best network, ready to answer."""
        return load(self.folder)


def train(data: str | os.PathLike[str], **settings: Any) -> Result:
    """Train on ``data`` with the settings of `resnet train`: ``train("photos", model="resnet18", epochs=20)``.

    Raises UsageError for an unknown or useless setting, DataError for data that cannot be used,
    DivergedError when the loss is lost, Stopped after Ctrl-C or SIGTERM with everything saved.
    """
    run = override(Run(), {"data": os.fspath(data), **settings})
    done = [event for event in training(run, frozenset(settings)) if isinstance(event, Done)]
    return Result(done[-1].folder, done[-1].metrics)


def import_weights(
    source: str | os.PathLike[str],
    model: str,
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    crop: float | None = None,
) -> tuple[Card, list[str]]:
    """Turn a state dict of another library into a model file; returns its card and what had to be assumed.

    Raises WeightsError where the tensors are not those of ``model``, UsageError for values that do not fit.
    """
    spec = find(model)
    state = foreign.read_foreign(Path(source))
    if "conv1.weight" not in state or "fc.weight" not in state:
        lacks = "conv1.weight" if "conv1.weight" not in state else "fc.weight"
        raise WeightsError(
            f"{plain(source)} has no {lacks}, so it is not a {model}", "resnet models lists the networks"
        )
    channels, count = int(state["conv1.weight"].shape[1]), int(state["fc.weight"].shape[0])
    plan = with_io(lay_out(spec), channels=channels, classes=count)
    assumed = []
    if classes is None:
        classes = [str(i) for i in range(count)]
        assumed.append(f"classes: the numbers 0 to {count - 1}; --classes names them")
    if len(classes) != count:
        raise UsageError(f"{len(classes)} classes are named, but the weights have {count}", "name them all, in order")
    side = size or spec.size
    if size is None:
        assumed.append(f"size: {side}x{side}, which {model} is made for; --size changes it")
    if crop is None:
        crop = 0.875 if side > 64 else 1.0
        assumed.append(f"crop: the middle {crop:.1%} of the shorter side; --crop changes it")
    values = {"mean": mean, "std": std}
    for name, known in IMAGENET.items():
        if values[name] is None:
            usual = known if channels == 3 else (sum(known) / 3,) * channels
            values[name] = usual
            assumed.append(f"{name}: {' '.join(f'{v:.4g}' for v in usual)}, ImageNet's; --{name} changes it")
    try:
        preprocess = Preprocess(
            size=(side, side),
            crop=crop,
            mean=tuple(values["mean"] or ()),
            std=tuple(values["std"] or ()),
            channels=channels,
        )
        card = Card(model=model, plan=plan, classes=tuple(classes), preprocess=preprocess)
    except ValueError as error:
        raise UsageError(str(error), f"give {channels} values for --mean and --std, and each class once") from error
    network = ResNet(plan)
    fill(network, state, what=plain(source))
    modelfile.save(Path(out), network.state_dict(), card)
    return card, assumed
