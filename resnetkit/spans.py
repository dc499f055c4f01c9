"""So many frames or so many seconds of a clip, as people write them."""

import re
from dataclasses import dataclass

from resnetkit.errors import UsageError

SPAN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(s?)")
MOST = 1_000_000  # of either
SLACK = 1e-6  # seconds: times are fractions, and two that are equal may differ in the last digit


@dataclass(frozen=True)
class Span:
    """So many frames or seconds."""

    amount: float
    seconds: bool


UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
LONGEST = 365 * 24 * 3600


def duration(text: str, name: str) -> float:
    """``90``, ``90s``, ``5m`` or ``1.5h`` in seconds; raises UsageError naming ``name`` for anything else."""
    match = TIME.fullmatch(text.strip())
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not 1 <= seconds <= LONGEST:
        raise UsageError(f"{name} is {text!r}; it takes a time", "write 90s, 5m or 1.5h, for example")
    return seconds


def span(text: str, name: str, *, folder: bool = False, least: float = 0) -> Span:
    """``5`` is five frames, ``0.5s`` half a second; raises UsageError naming ``name`` for anything else.

    The frames of a ``folder`` have no time.
    """
    match = SPAN.fullmatch(text.strip())
    amount = float(match[1]) if match else -1.0
    seconds = bool(match and match[2])
    if not least <= amount <= MOST or not (seconds or amount.is_integer()):
        raise UsageError(
            f"{name} is {text!r}; it takes a number of frames, or of seconds with an s", "write 5 or 0.5s, for example"
        )
    if folder and seconds:
        raise UsageError(
            f"{name} is {text}, but the frames of a folder have no time", f"give {name} in frames, as in 5"
        )
    return Span(amount, seconds)


def clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
