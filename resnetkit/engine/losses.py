"""What a network is told of its answers: one number to make small, from logits and targets."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, mse_loss, one_hot

from resnetkit.data.parts import Labels
from resnetkit.settings import Settings
from resnetkit.tasks import TaskName


@dataclass(frozen=True)
class Loss:
    """The mean over the pictures of a batch.

    Targets are labels (n,), int64, or shares of each class (n, classes); tags (n, tags) between 0 and 1; or numbers
    (n, numbers) in deviations from their mean.
    """

    kind: str  # cross-entropy, bce, focal, mse or huber
    smoothing: float = 0.0  # share of each target spread evenly over all classes (Szegedy et al. 2015, section 7)
    gamma: float = 2.0  # of focal: how much less an easy picture counts
    weights: Tensor | None = None  # (classes,): how much a picture of each class counts
    task: TaskName = "classes"

    def __call__(self, logits: Tensor, targets: Tensor, counts: Tensor | None = None) -> Tensor:
        """Float32 logits (n, classes) -> a scalar, in nats. ``counts`` (n,) says how much each picture counts."""
        if self.kind == "cross-entropy" and self.weights is None and counts is None:
            return cross_entropy(logits, targets, label_smoothing=self.smoothing)
        return self.mean(self.each(logits, targets), targets, counts)

    def mean(self, losses: Tensor, targets: Tensor, counts: Tensor | None) -> Tensor:
        """Of losses (n,), each counted as its class and its picture count."""
        return self.counted(losses, targets, counts).mean()

    def counted(self, losses: Tensor, targets: Tensor, counts: Tensor | None) -> Tensor:
        """Losses (n,) as much as each class and picture counts, (n,)."""
        if self.weights is not None:
            losses = losses * (self.weights[targets] if targets.ndim == 1 else targets @ self.weights)
        return losses if counts is None else losses * counts

    def each(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of each picture, (n,)."""
        if self.kind == "mse":
            return mse_loss(logits, targets, reduction="none").mean(1)
        if self.kind == "huber":
            return huber_loss(logits, targets, reduction="none").mean(1)
        if self.kind == "cross-entropy":
            return cross_entropy(logits, targets, label_smoothing=self.smoothing, reduction="none")
        if self.task == "tags":
            shares = targets * (1 - self.smoothing) + self.smoothing / 2
            return bce(logits, shares) if self.kind == "bce" else binary_focal(logits, shares, self.gamma)
        shares = softened(targets, logits, self.smoothing)
        return bce(logits, shares) if self.kind == "bce" else focal(logits, shares, self.gamma)


def loss_of(settings: Settings, device: torch.device) -> Loss:
    weights = settings.class_weights
    balance = None if weights is None else torch.tensor(weights, device=device)
    return Loss(settings.loss, settings.smoothing, settings.run.focal_gamma, balance, settings.task)


def targets_of(labels: Labels, settings: Settings) -> NDArray[np.int64] | NDArray[np.float32]:
    """Labels as a loss takes them: numbers in deviations from the mean of train."""
    if settings.task != "numbers":
        return labels
    mean, deviation = np.array(settings.scale).T
    return ((labels - mean) / deviation).astype(np.float32)


def softened(targets: Tensor, logits: Tensor, smoothing: float) -> Tensor:
    """Targets as shares of each class (n, classes), smoothed."""
    classes = logits.shape[1]
    shares = one_hot(targets, classes).to(logits.dtype) if targets.ndim == 1 else targets
    return shares * (1 - smoothing) + smoothing / classes


def bce(logits: Tensor, shares: Tensor) -> Tensor:
    """One yes or no for each class (Wightman et al. 2021, arXiv:2110.00476, section 3.2), added up: (n,).

    Their code takes the mean over the classes; the sum pulls at a logit as strongly as cross-entropy does, however many
    classes there are, so that the usual learning rates fit.
    """
    return binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(1)


def focal(logits: Tensor, shares: Tensor, gamma: float) -> Tensor:
    """Cross-entropy with (1 - p)^gamma before each term (Lin et al. 2017, arXiv:1708.02002, section 3.2): (n,)."""
    log_p = logits.log_softmax(1)
    rest = (-torch.expm1(log_p)).clamp_min(1e-12)  # at 0 a power below 1 has no slope
    return -(shares * rest**gamma * log_p).sum(1)


def binary_focal(logits: Tensor, shares: Tensor, gamma: float) -> Tensor:
    """The same for a yes or no a tag, as Lin et al. 2017 have it, without their alpha; added up: (n,)."""
    yes, no = logits.sigmoid(), (-logits).sigmoid()
    hard = shares * no.clamp_min(1e-12) ** gamma * nn.functional.softplus(-logits)
    easy = (1 - shares) * yes.clamp_min(1e-12) ** gamma * nn.functional.softplus(logits)
    return (hard + easy).sum(1)


@torch.no_grad()
def add_l1(model: nn.Module, strength: float) -> None:
    """Add the slope of ``strength`` times the sum of absolute weights to the gradient; norms and biases are spared."""
    for parameter in model.parameters():
        if parameter.ndim > 1 and parameter.grad is not None:
            parameter.grad.add_(parameter.sign(), alpha=strength)
