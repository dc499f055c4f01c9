"""A linear head solved on features that stay as they are: the least of a convex loss, for one strength or another."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from resnetkit import dice
from resnetkit.engine.losses import Loss

STRENGTHS = tuple(10.0**k for k in range(1, -6, -1))  # 10 to 0.00001, as far as each is better than the one before
BETWEEN = (10**0.5, 10**-0.5)  # times the best of those: what is tried after them
ROUNDS = 200  # of L-BFGS for each strength, which begins where another ended
BEND = 0.3  # of the loss along a feature of variance 1, about
ROUGH, CLOSE = 1e-3, 1e-6  # slopes that are left: where heads are compared, and in the one that is kept
TINY = 1e-9  # of the largest variance: directions of less say nothing
MOST_AXES = 1024  # to find more takes longer than to do without
FOLDS = 5
FEW = 4000  # looks: of more, the validation part alone chooses, as where it has a fifth as many pictures


Place = tuple[Tensor, Tensor]  # weights (lanes, classes, r) and biases (lanes, 1, classes)


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
    """One strength, and the loss of each picture that its head was not solved on."""

    strength: float
    each: Tensor  # (m,)
    place: Place  # of the head of all pictures, about

    @property
    def unseen(self) -> float:
        """What the strength is chosen by."""
        return float(self.each.mean())

    def surely_better(self, other: "Tried") -> bool:
        """Whether the same pictures say so, by two standard errors."""
        gains = other.each - self.each
        return len(gains) > 1 and float(gains.mean()) > 2 * float(gains.std()) / len(gains) ** 0.5


def tried(problem: "Problem", val: Features, seed: int) -> list[Tried]:
    """Heads for strengths from strong to weak, then beside the best.

    The strength times half the squared weights, of features brought to mean 0 and deviation 1, is added to the mean
    loss (ridge or logistic regression; Hastie et al. 2009, sections 3.4.1 and 4.4.4), and the least is found by L-BFGS
    (Liu & Nocedal 1989). Unseen are the pictures of ``val`` and, where those are few beside few to learn from, fifths
    of all that are left out of a solution of their own (section 7.10).
    """
    train, objective = problem.train, problem.objective
    views, n, _ = train.values.shape
    folds = torch.from_numpy(dice.permutation(n, seed, "folds") % FOLDS)
    few = views * n <= FEW and len(val.targets) * FOLDS < n and n >= 2 * FOLDS
    lanes = torch.stack([torch.ones(n)] + [(folds != k).float() for k in range(FOLDS if few else 0)])
    found: list[Tried] = []

    def attempt(strength: float, place: Place) -> Place:
        """One more found, and where it is."""
        place = problem.least(place, lanes, strength, ROUGH)
        head, *others = problem.heads(place)
        apart = losses(head, train, objective)
        for k, other in enumerate(others):
            apart[folds == k] = losses(other, train, objective)[folds == k]
        each = torch.cat([losses(head, val, objective), apart]) if few else losses(head, val, objective)
        found.append(Tried(strength, each, (place[0][:1], place[1][:1])))
        return place

    places = [problem.begin(len(lanes))]
    for strength in STRENGTHS:
        places.append(attempt(strength, places[-1]))
        if len(found) > 1 and found[-1].unseen > found[-2].unseen:
            break
    middle = min(range(len(found)), key=lambda i: found[i].unseen)
    for factor in BETWEEN:
        attempt(found[middle].strength * factor, places[middle + 1])
    return found


def losses(head: Head, part: Features, objective: Loss) -> Tensor:
    """Of each picture of a part as it is, the first look: (n,)."""
    return objective.counted(objective.each(head(part.values[0]), part.targets), part.targets, part.counts)


@dataclass(frozen=True)
class Problem:
    """Looks along their principal axes, in which the least is soon found; heads are of the features as they came."""

    looks: Tensor  # (views * n, r) float32
    axes: Tensor | None  # (r, d): scaled features @ axes.T are the looks; None where they are so without
    middle: Tensor  # (d,) of the features
    spread: Tensor  # (d,)
    variances: Tensor  # (r,) of the looks
    train: Features
    objective: Loss
    classes: int

    @classmethod
    def of(cls, train: Features, objective: Loss, classes: int) -> "Problem":
        values = train.values.flatten(0, 1).double()
        middle, spread = values.mean(0), values.std(0, correction=0)
        spread = torch.where(spread > 1e-6 * (1 + middle.abs()), spread, 1)  # what never varies says nothing
        scaled = (values - middle) / spread
        if min(scaled.shape) > MOST_AXES:
            same = torch.ones_like(middle)
            return cls(scaled.float(), None, middle, spread, same, train, objective, classes)
        looks, axes, variances = principal(scaled)
        return cls(looks.float(), axes, middle, spread, variances, train, objective, classes)

    def begin(self, lanes: int) -> Place:
        """Nothing."""
        weight = torch.zeros(lanes, self.classes, len(self.variances), dtype=torch.float64)
        return weight, weight.new_zeros(lanes, 1, self.classes)

    def least(self, start: Place, lanes: Tensor, strength: float, tolerance: float) -> Place:
        """Where the loss is least for each lane, which is the pictures that count: 0 or 1 for each (lanes, n)."""
        kind = torch.float64 if tolerance < ROUGH else torch.float32
        train = self.train
        counts = lanes if train.counts is None else lanes * train.counts
        shares = (counts / lanes.mean(1, keepdim=True)).repeat(1, len(train.values)).flatten()  # of looks in their lane
        targets = train.targets.repeat(len(train.values) * len(lanes), *[1] * (train.targets.ndim - 1))
        targets = targets.to(kind) if targets.is_floating_point() else targets
        # In these units the loss bends alike along all axes, which L-BFGS needs few rounds for.
        unit = (BEND * self.variances + strength).rsqrt()
        looks, shape, unit = (self.looks.to(kind) * unit.to(kind)).T, start[0].shape, unit.to(kind)
        cut = start[0].numel()

        def ask(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            at = torch.from_numpy(point).to(kind).requires_grad_()
            weight, bias = at[:cut].view(shape), at[cut:].view(start[1].shape)
            products = (weight.flatten(0, 1) @ looks).view(*shape[:2], -1)  # of all lanes in one pass over the looks
            logits = (products.transpose(1, 2) + bias).flatten(0, 1)
            whole = self.objective(logits, targets, shares) * len(lanes) + strength / 2 * ((weight * unit) ** 2).sum()
            (slope,) = torch.autograd.grad(whole, at)
            return whole.item(), slope.double().numpy()

        begin = torch.cat([(start[0] / unit).flatten(), start[1].flatten()]).double().numpy()
        limits = {"maxiter": ROUNDS, "gtol": tolerance, "ftol": tolerance / 100}
        with threadpool_limits(1, user_api="blas"):  # scipy's threads would wait for torch's at every round
            end = torch.from_numpy(minimize(ask, begin, jac=True, method="L-BFGS-B", options=limits).x)
        return end[:cut].view(shape) * unit, end[cut:].view(start[1].shape)

    def head(self, strength: float, place: Place | None = None) -> Head:
        """That of all pictures, solved closely from ``place`` on, or from nothing."""
        everything = torch.ones(1, len(self.train.targets))
        return self.heads(self.least(place or self.begin(1), everything, strength, CLOSE))[0]

    def loss(self, head: Head) -> float:
        """The mean over all looks, without the penalty."""
        looks, targets, counts = self.train.values, self.train.targets, self.train.counts
        return sum(float(self.objective(head(look), targets, counts)) for look in looks) / len(looks)

    def heads(self, place: Place) -> list[Head]:
        weights = (place[0] if self.axes is None else place[0] @ self.axes) / self.spread
        biases = place[1][:, 0] - weights @ self.middle
        return [Head(w.float(), b.float()) for w, b in zip(weights, biases, strict=True)]


def principal(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows (n, d) as (n, r) along their principal axes (r, d), and their variances (r,) there.

    A head with the least weights is a sum of rows (representer theorem), so that r need not exceed n.
    """
    n, d = x.shape
    squares, turned = torch.linalg.eigh(x @ x.T if n < d else x.T @ x)
    kept = squares > TINY * squares[-1].clamp(min=1)
    squares, turned = squares[kept], turned[:, kept]
    if n < d:
        return turned * squares.sqrt(), (x.T @ turned / squares.sqrt()).T, squares / n
    return x @ turned, turned.T, squares / n
