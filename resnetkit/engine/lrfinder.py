"""The loss at every learning rate from a tiny to a huge one: where it falls steepest, a run can begin."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.examples import Examples
from resnetkit.engine.device import Machine
from resnetkit.engine.maps import Lessons
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.train import stream
from resnetkit.errors import DivergedError
from resnetkit.settings import Settings

STEPS, FEWEST = 100, 40  # of a search
EPOCHS = 10  # that a search takes at most, if that is no fewer than FEWEST steps: then pictures are known by heart
BELOW, ABOVE = 1e-4, 1e3  # of the usual rate of the run: the ends of the search
LOST = 2.0  # times the loss of the beginning: there is nothing to be seen behind
FEW = 5  # steps whose mean says what the loss is
CLEAR = 4.0  # standard deviations that are more than chance


@dataclass(frozen=True)
class Point:
    """What a step at one learning rate met: the loss before it."""

    rate: float
    loss: float


@dataclass(frozen=True)
class Curve:
    """A search, its losses smoothed, and the rate that it suggests."""

    points: tuple[Point, ...]
    smooth: tuple[float, ...]  # loss of each point
    suggested: float


def steps_of(settings: Settings) -> int:
    return min(STEPS, max(FEWEST, EPOCHS * settings.epoch_steps))


def rates_of(settings: Settings) -> list[float]:
    """The rate of each step, from small to large, each the same factor above the one before (Smith 2015, section 3.3).

    Smith's rise is straight (arXiv:1506.01186); this one is fastai's, which shows each power of ten alike.
    """
    steps = steps_of(settings)
    return [settings.lr * BELOW * (ABOVE / BELOW) ** (i / (steps - 1)) for i in range(steps)]


def search(
    state: State,
    settings: Settings,
    machine: Machine,
    train_set: Examples,
    workers: int,
    lessons: Lessons | None = None,
) -> Iterator[Point]:
    """Steps of a run that has just been begun, each at a larger rate, until the loss is lost. The state is used up."""
    rates, losses = rates_of(settings), list[float]()
    for rate, batch in zip(rates, stream(settings, train_set, 0, len(rates), workers, lessons), strict=True):
        # Plateau waits for epochs, of which none ends here: its rate stays what it is.
        steady = replace(settings, lr=rate, warmup=0.0, run=replace(settings.run, schedule="plateau"))
        try:
            tick = next(train(state, [batch], steady, machine, train_set.names))
        except DivergedError:
            return
        yield Point(rate, tick.loss)
        losses.append(tick.loss)
        if mean(losses[-FEW:]) > LOST * mean(losses[:FEW]):
            return


def suggest(points: Sequence[Point]) -> Curve:
    """The rate where the smoothed loss falls steepest for a power of ten, to two digits.

    It is looked for between where a third of the fall is done for good and the first valley: where the loss is lowest
    before it rises again by a third of its fall, and by more than chance. Raises DivergedError where it does not fall
    by more than chance.
    """
    slopes, smooth, chance = smoothed(points)
    side = reach(points)
    inner = smooth[side : len(smooth) - side]  # at the ends a line has neighbours on one side alone, and leans
    if len(inner):
        start = float(inner[: max(side, len(points) // 4)].mean())  # by rates that move next to nothing
        rise = max((start - inner.min()) / 3, CLEAR * chance)
        risen = np.flatnonzero(inner > np.minimum.accumulate(inner) + rise)
        valley = int(inner[: risen[0] if len(risen) else None].argmin())
        high = np.flatnonzero(inner[:valley] > start - (start - inner[valley]) / 3)
        down = slice(side + (int(high[-1]) if len(high) else 0), side + valley + 1)
        steepest = down.start + int(slopes[down].argmin())
        if start - inner[valley] > CLEAR * chance and slopes[steepest] < 0:
            return Curve(tuple(points), tuple(smooth.tolist()), float(f"{points[steepest].rate:.2g}"))
    tried = f"from {points[0].rate:.2g} to {points[-1].rate:.2g}" if points else "that was tried"
    raise DivergedError(
        f"the loss fell at no learning rate {tried} by more than chance",
        "try a larger --batch, or train without --lr",
    )


def reach(points: Sequence[Point]) -> int:
    """How many neighbours to each side a point is smoothed with: 5 of 100."""
    return max(3, round(len(points) / 20))


def smoothed(points: Sequence[Point]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Slope for a power of ten and height of a straight line through each point and its neighbours, and their chance.

    The last is by how much heights may be off: the deviation of losses around them, by the median, over the root of
    their number. What is lost is cut off, and counts in it for nothing. Nothing where there are too few points.
    """
    side = reach(points)
    if len(points) <= 2 * side:
        return np.empty(0), np.empty(0), 0.0
    x, y = np.array([(np.log10(point.rate), point.loss) for point in points]).T
    top = LOST * y[:FEW].mean()
    y = y.clip(max=top)
    near = [slice(max(0, i - side), i + side + 1) for i in range(len(points))]
    slopes, heights = np.array([np.polyfit(x[part] - x[i], y[part], 1) for i, part in enumerate(near)]).T
    return slopes, heights, float(1.4826 * np.median(abs(y - heights)[y < top]) / np.sqrt(2 * side + 1))
