"""A polite way to stop: the first signal is a wish, the second one is obeyed at once."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from resnetkit.errors import KitError

T = TypeVar("T")
SIGNALS = {signal.SIGINT: ("Ctrl-C", 130), signal.SIGTERM: ("SIGTERM", 75)}


class Stopped(KitError):
    """The run was asked to stop and did, with everything saved."""

    def __init__(self, what: str, fix: str, code: int = 130) -> None:
        super().__init__(what, fix)
        self.code = code


class Stop:
    """Whether somebody asked for an end."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def reason(self) -> str:
        return SIGNALS[signal.Signals(self.signal or signal.SIGINT)][0]

    @property
    def code(self) -> int:
        return SIGNALS[signal.Signals(self.signal or signal.SIGINT)][1]


@contextmanager
def listening() -> Iterator[Stop]:
    """Turn Ctrl-C and SIGTERM into a flag while a run is under way; a second signal acts as it usually does."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def ask(number: int, _frame: FrameType | None) -> None:
        stop.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def until(stop: Stop, items: Iterable[T]) -> Iterator[T]:
    """``items`` up to the first one after which somebody asked for an end."""
    for item in items:
        yield item
        if stop:
            return
