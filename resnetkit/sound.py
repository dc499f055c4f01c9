"""Places in what somebody else wrote, and what is wrong there."""

from reprlib import repr as brief
from typing import NamedTuple


class Place(NamedTuple):
    """Where a value stands, as ``plan.stages[0][1].branch``."""

    path: str

    def __truediv__(self, inner: str) -> "Place":
        return Place(self.path + inner)

    def need(self, sound: bool, inner: str, what: str, *value: object) -> None:
        """ValueError that says ``what``, and the value that is there, unless all is well."""
        if not sound:
            raise ValueError(" ".join([self.path + inner, what, *map(brief, value)]))

    def meets(self, value: object, inner: str, other: object) -> None:
        self.need(value == other, inner, f"must be {other} to fit what it meets, not {value}")


def word(value: object, place: Place, allowed: tuple[str, ...]) -> None:
    if not (isinstance(value, str) and value in allowed):
        place.need(False, "", f"must be {' or '.join(map(repr, allowed))}, not", value)


def whole(value: object, place: Place, low: int, high: int) -> None:
    if not (type(value) is int and low <= value <= high):
        span = str(low) if low == high else f"a whole number from {low} to {high}"
        place.need(False, "", f"must be {span}, not", value)
