"""A teacher: a trained network whose answers a run learns from, beside its labels or in their place."""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, kl_div, normalize

from resnetkit import modelfile
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.engine.losses import Loss
from resnetkit.errors import UsageError, WeightsError, plain, some
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.settings import Settings
from resnetkit.tasks import TASKS
from resnetkit.weights import check, fill

LUMA = (0.299, 0.587, 0.114)  # what red, green and blue give to grey: ITU-R 601-2, as decoding has it


@dataclass(frozen=True)
class Seen:
    """What a network makes of pictures."""

    logits: Tensor  # (n, classes), float32
    features: Tensor  # (n, c), float32: the mean of the last map, before the head


@dataclass(frozen=True)
class Teacher:
    """A network that answers and does not learn."""

    card: Card
    model: Network
    digest: str  # SHA-256 of its file

    @classmethod
    def read(cls, path: str) -> "Teacher":
        """That of a model file, or the best of a run folder. WeightsError where it is none or damaged."""
        file = Path(path) / "best.safetensors" if os.path.isdir(path) else Path(path)
        if file != Path(path) and not file.exists():
            raise UsageError(f"the teacher {plain(path)} is a folder without best.safetensors", "name a model file")
        card, state = modelfile.load(file)
        check(card.plan, state, str(file))  # before room is made for whatever the plan says
        model = build(card.plan)
        fill(model, state, what=str(file))
        with open(file, "rb") as opened:
            digest = sha256(opened.read()).hexdigest()
        return cls(card, model.eval().requires_grad_(False), digest)

    def refuse_other(self, settings: Settings) -> None:
        """WeightsError unless it answers the question of this run, for the same names in whatever order."""
        name, ours, theirs = plain(settings.run.teacher), settings.classes, self.card.classes
        kinds = TASKS[settings.task].name, TASKS[self.card.task].name
        fix = "name a teacher that was trained on the same labels, or leave it out"
        if kinds[0] != kinds[1]:
            raise WeightsError(f"the teacher {name} knows {kinds[1]}, and the labels are {kinds[0]}", fix)
        lacks, more = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
        if lacks or more:
            said = [f"it has no {some(lacks)}"] * bool(lacks) + [f"the data has no {some(more)}"] * bool(more)
            raise WeightsError(f"the teacher {name} knows other {kinds[0]}: {', '.join(said)}", fix)

    @torch.no_grad()
    def answer(self, images: Tensor, settings: Settings, machine: Machine) -> Seen:
        """What it makes of pictures (n, c, h, w) as the network that learns sees them, its logits in their terms."""
        seen = see(self.model, as_seen_by(self.card.preprocess, images, settings.preprocess), machine)
        order = [self.card.classes.index(name) for name in settings.classes]
        logits = seen.logits[:, order] / self.card.temperature
        if settings.task == "numbers":  # from its own deviations to those of this run
            old = torch.tensor([self.card.scale[i] for i in order], device=logits.device).T
            new = torch.tensor(settings.scale, device=logits.device).T
            logits = (logits * old[1] + old[0] - new[0]) / new[1]
        return Seen(logits, seen.features)


def see(model: nn.Module, images: Tensor, machine: Machine) -> Seen:
    """One pass of a network in the mode it is in."""
    assert isinstance(model, Network)
    with machine.autocast():
        features = model.forward_head(model.forward_features(images), pre_logits=True)
        logits = model.get_classifier()(features)
    return Seen(logits.float(), features.float())


def as_seen_by(other: Preprocess, images: Tensor, own: Preprocess) -> Tensor:
    """Pictures that are normalised as ``own`` says, as ``other`` has them: mean, deviation, channels and size."""
    pixels = images * column(own.std, images) + column(own.mean, images)
    if own.channels == 3 and other.channels == 1:
        pixels = (pixels * column(LUMA, images)).sum(1, keepdim=True)
    if pixels.shape[2:] != other.size:
        soft = other.interpolation != "nearest"
        pixels = interpolate(pixels, other.size, mode=other.interpolation, antialias=soft).clamp(0, 1)
    return (pixels - column(other.mean, images)) / column(other.std, images)  # grey becomes as many as there are means


def column(values: tuple[float, ...], like: Tensor) -> Tensor:
    """A number for each channel, as (1, c, 1, 1)."""
    return torch.tensor(values, device=like.device).view(1, -1, 1, 1)


def taught(
    settings: Settings, objective: Loss, own: Seen, told: Seen, targets: Tensor, counts: Tensor | None
) -> Tensor:
    """The loss of pictures beside a teacher, a scalar.

    Of the labels' loss and the teacher's a share each (Hinton et al. 2015, section 2), and how unlike the features are
    that the two have. A picture counts as much in each as it does for its label.
    """
    run = settings.run
    theirs = objective.mean(imitation(objective, own.logits, told.logits, run.teacher_temperature), targets, counts)
    loss = (1 - run.teacher_share) * objective(own.logits, targets, counts) + run.teacher_share * theirs
    if run.teacher_features:
        loss = loss + run.teacher_features * objective.mean(unlikeness(own.features, told.features), targets, counts)
    return loss


def imitation(objective: Loss, logits: Tensor, told: Tensor, temperature: float) -> Tensor:
    """How far answers (n, classes) are from a teacher's: (n,), 0 where they agree.

    The divergence of softened probabilities, times the temperature's square, so that its gradient is as long at every
    temperature (Hinton et al. 2015, arXiv:1503.02531, section 2.1); of tags each a yes or no, added up. Numbers have
    no probabilities: there it is the loss of the run, with the teacher's answers in place of the labels.
    """
    if objective.task == "numbers":
        return objective.each(logits, told)
    own, theirs = logits / temperature, told / temperature
    if objective.task == "tags":
        soft = theirs.sigmoid()
        cross = binary_cross_entropy_with_logits(own, soft, reduction="none")
        apart = cross - binary_cross_entropy_with_logits(theirs, soft, reduction="none")
    else:
        apart = kl_div(own.log_softmax(1), theirs.log_softmax(1), reduction="none", log_target=True)
    return temperature**2 * apart.sum(1)


def unlikeness(features: Tensor, told: Tensor) -> Tensor:
    """How differently two networks find pictures alike, (n,); its mean is equation 4 of Tung & Mori 2019.

    arXiv:1907.09682, section 3.1, on features (n, c) of any two widths: nothing has to be learned to compare them.
    """
    return (likeness(features) - likeness(told)).square().sum(1) / len(features)


def likeness(features: Tensor) -> Tensor:
    """How alike each picture is to each, (n, n), every row of the length 1."""
    return normalize(features @ features.T, dim=1)
