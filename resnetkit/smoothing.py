"""What many answers in a row say together: averages over a sliding window, stretches of one class, the mean of all."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetkit.spans import SLACK, Span

EXACT = 2.0**40  # probabilities are summed as whole multiples of its inverse, so that no sum drifts


@dataclass(frozen=True)
class Moment:
    """Which frame of a clip, and when it is shown."""

    number: int  # from 0, every frame counted
    seconds: float | None  # since the first frame; None where frames have no time


@dataclass(frozen=True)
class Segment:
    """Answered frames in a row that the smoothed answers give to one class."""

    label: int
    first: Moment
    last: Moment
    frames: int
    probability: float  # of that class, the mean of the frames' own


class Smoothing:
    """The sums of a clip, kept frame by frame; what it holds is as long as the window, never as the clip.

    The class of a frame is the one with the highest mean probability over all answered frames that are at most half a
    window before or after it.
    """

    def __init__(self, window: Span) -> None:
        self.window = window
        self.segments: list[Segment] = []
        self.frames = 0
        self._total = np.zeros(0, np.int64)  # of every frame
        self._inside = np.zeros(0, np.int64)  # of the frames in _held
        self._held: deque[tuple[float, NDArray[np.int64]]] = deque()
        self._waiting: deque[tuple[Moment, NDArray[np.int64]]] = deque()  # frames whose window may still grow

    def add(self, moment: Moment, probabilities: NDArray[np.float64]) -> None:
        """The next frame, not before the one before."""
        row = np.rint(probabilities * EXACT).astype(np.int64)
        if not self.frames:
            self._total, self._inside = np.zeros_like(row), np.zeros_like(row)
        place, reach = self._place(moment), self.window.amount / 2 + SLACK
        while self._waiting and self._place(self._waiting[0][0]) + reach < place:
            self._settle()
        self._held.append((place, row))
        self._waiting.append((moment, row))
        self._inside += row
        self._total += row
        self.frames += 1

    def end(self) -> NDArray[np.float64]:
        """The mean probability of each class over all frames, which are at least one; segments are complete then."""
        while self._waiting:
            self._settle()
        return self._total / (EXACT * self.frames)

    def _place(self, moment: Moment) -> float:
        return moment.seconds if self.window.seconds and moment.seconds is not None else moment.number

    def _settle(self) -> None:
        """Give the frame that has waited longest its class: all of its window is there."""
        moment, row = self._waiting.popleft()
        while self._held[0][0] < self._place(moment) - self.window.amount / 2 - SLACK:
            self._inside -= self._held.popleft()[1]
        label = int(self._inside.argmax())
        own = float(row[label] / EXACT)
        last = self.segments[-1] if self.segments else None
        if last is None or last.label != label:
            self.segments.append(Segment(label, moment, moment, 1, own))
        else:
            mean = (last.probability * last.frames + own) / (last.frames + 1)
            self.segments[-1] = Segment(label, last.first, moment, last.frames + 1, mean)
