"""What a network is told of its answers: one number to make small, from logits and targets."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from resnetkit.resolve import Settings


@dataclass(frozen=True)
class Loss:
    """The mean over the pictures of a batch. Targets are labels (n,), int64, or shares of each class (n, classes)."""

    kind: str  # cross-entropy, bce or focal
    smoothing: float = 0.0  # share of each target spread evenly over all classes (Szegedy et al. 2015, section 7)
    gamma: float = 2.0  # of focal: how much less an easy picture counts
    weights: Tensor | None = None  # (classes,): how much a picture of each class counts

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Float32 logits (n, classes) -> a scalar, in nats."""
        if self.kind == "cross-entropy" and self.weights is None:
            return cross_entropy(logits, targets, label_smoothing=self.smoothing)
        if self.kind == "cross-entropy":
            losses = cross_entropy(logits, targets, label_smoothing=self.smoothing, reduction="none")
        elif self.kind == "bce":
            losses = bce(logits, softened(targets, logits, self.smoothing))
        else:
            losses = focal(logits, softened(targets, logits, self.smoothing), self.gamma)
        if self.weights is not None:
            losses = losses * (self.weights[targets] if targets.ndim == 1 else targets @ self.weights)
        return losses.mean()


def loss_of(settings: Settings, device: torch.device) -> Loss:
    run, weights = settings.run, settings.class_weights
    balance = None if weights is None else torch.tensor(weights, device=device)
    return Loss(run.loss, run.smoothing, run.focal_gamma, balance)


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


@torch.no_grad()
def add_l1(model: nn.Module, strength: float) -> None:
    """Add the slope of ``strength`` times the sum of absolute weights to the gradient; norms and biases are spared."""
    for parameter in model.parameters():
        if parameter.ndim > 1 and parameter.grad is not None:
            parameter.grad.add_(parameter.sign(), alpha=strength)
