"""A linear head solved on features that stay as they are: the least of a convex loss, for one strength or another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resnetkit import dice
from resnetkit.engine.losses import Loss

STRENGTHS = tuple(10.0 ** (-k / 2) for k in range(11))  # 1 to 0.00001
ROUNDS = 40  # of L-BFGS for each strength, which begins where the one before ended
WORSE = 2  # strengths in a row without a lower loss, after which no weaker one is tried
FOLDS = 5
FEW = 4000  # looks: of more, the validation part alone chooses


@dataclass(frozen=True)
class Head:
    """Logits are features @ weight.T + bias."""

    weight: Tensor  # (classes, features)
    bias: Tensor  # (classes,)

    def __call__(self, features: Tensor) -> Tensor:
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class Features:
    """What is known of the pictures of one part."""

    values: Tensor  # (views, n, d) float32
    targets: Tensor  # (n,) or (n, classes), as the loss takes them
    counts: Tensor | None = None  # (n,) how much each picture counts


@dataclass(frozen=True)
class Tried:
    """One strength, and what its head answers to."""

    strength: float
    loss: float  # on the looks it was solved on, without the penalty
    unseen: float  # on pictures that it was not solved on: what the strength is chosen by
    head: Head


def solved(train: Features, val: Features, objective: Loss, classes: int, seed: int) -> list[Tried]:
    """Heads for strengths from strong to weak, as far as it is worth while; that with the least ``unseen`` is best.

    The strength times half the squared weights, of features brought to mean 0 and deviation 1, is added to the mean
    loss (ridge or logistic regression; Hastie et al. 2009, sections 3.4.1 and 4.4.4), and the least is found by L-BFGS
    (Liu & Nocedal 1989). Unseen are the pictures of ``val`` and, where there are few to learn from, fifths of
    ``train`` that each are left out of a solution of their own (section 7.10).
    """
    views, n, _ = train.values.shape
    folds = torch.from_numpy(dice.permutation(n, seed, "folds") % FOLDS)
    few = views * n <= FEW and n >= 2 * FOLDS
    lanes = [torch.ones(n)] + [(folds != k).float() for k in range(FOLDS if few else 0)]
    found: list[Tried] = []
    for strength, heads in path(train, torch.stack(lanes), objective, classes):
        head = heads[0]
        total = len(val.targets) * mean_loss(head, val, objective)
        count = len(val.targets)
        for k, other in enumerate(heads[1:]):
            left = folds == k
            part = Features(
                train.values[:1, left], train.targets[left], None if train.counts is None else train.counts[left]
            )
            total += int(left.sum()) * mean_loss(other, part, objective)
            count += int(left.sum())
        found.append(Tried(strength, mean_loss(head, train, objective), total / count, head))
        least = min(range(len(found)), key=lambda i: found[i].unseen)
        if len(found) - 1 - least >= WORSE:
            break
    return found


def mean_loss(head: Head, part: Features, objective: Loss) -> float:
    """The mean over all looks at a part."""
    return sum(float(objective(head(view), part.targets, part.counts)) for view in part.values) / len(part.values)


def path(
    train: Features, lanes: Tensor, objective: Loss, classes: int, strengths: Sequence[float] = STRENGTHS
) -> Iterator[tuple[float, list[Head]]]:
    """For each strength a head of each lane, which is the pictures it is solved on: 0 or 1 for each (lanes, n)."""
    views, n, d = train.values.shape
    looks = train.values.reshape(views * n, d)
    middle, spread = looks.mean(0), looks.std(0, correction=0)
    spread = torch.where(spread > 1e-6 * (1 + middle.abs()), spread, 1)  # what never varies says nothing
    x = ((looks - middle) / spread).double()
    counts = lanes if train.counts is None else lanes * train.counts
    shares = (counts / lanes.mean(1, keepdim=True)).repeat(1, views).flatten()  # of each look in the loss of its lane
    targets = train.targets.repeat(views * len(lanes), *[1] * (train.targets.ndim - 1))
    targets = targets.double() if targets.is_floating_point() else targets
    weight = torch.zeros(len(lanes), classes, d, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(lanes), 1, classes, dtype=torch.float64, requires_grad=True)
    for strength in strengths:
        descent = torch.optim.LBFGS(
            [weight, bias], max_iter=ROUNDS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
        )

        def ask(descent: torch.optim.LBFGS = descent, strength: float = strength) -> Tensor:
            descent.zero_grad()
            logits = (x @ weight.transpose(1, 2) + bias).flatten(0, 1)
            whole = objective(logits, targets, shares) * len(lanes) + strength / 2 * (weight**2).sum()
            whole.backward()
            return whole

        descent.step(ask)
        scaled = weight.detach() / spread
        shifted = bias.detach()[:, 0] - scaled @ middle.double()
        yield strength, [Head(w.float(), b.float()) for w, b in zip(scaled, shifted, strict=True)]
