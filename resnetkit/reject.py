"""The probability below which a model says "unknown", and what that promises."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any


@dataclass(frozen=True)
class Reject:
    """Below ``threshold`` the probability of the likeliest class is too low for an answer: the picture is unknown."""

    threshold: float
    risk: float  # promised: at most this share of the answers that are given is wrong
    sure: float  # the share of such promises that are kept, on pictures like those it was chosen on
    bound: float  # what the pictures themselves allow to promise, at most ``risk``
    coverage: float  # share of those pictures that is answered
    n: int  # of those pictures

    def __post_init__(self) -> None:
        """ValueError names what is no share, for a file may hold anything."""
        for name in ("threshold", "risk", "sure", "bound", "coverage"):
            value = getattr(self, name)
            if type(value) is not float or not isfinite(value) or not 0 <= value <= 1:
                raise ValueError(f"reject: {name} must be a number from 0 to 1")
        if type(self.n) is not int or self.n < 1:
            raise ValueError("reject: n must be a whole number above 0")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
