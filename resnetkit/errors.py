"""What a user did not expect, said so that it can be mended: what is wrong, where, and one thing to do."""

import difflib
from collections.abc import Iterable

LONGEST = 300  # letters of one name among several


class KitError(Exception):
    """An error with a remedy. ``code`` is the exit code of the command line."""

    code = 1

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what} (fix: {fix})")
        self.what, self.fix = what, fix

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.what, self.fix)


class UsageError(KitError, ValueError):
    """A setting or an argument that cannot be meant."""

    code = 2


class DataError(KitError, ValueError):
    """Pictures, labels or folders that cannot be used as they are."""

    code = 3


class WeightsError(KitError, ValueError):
    """A model file, checkpoint or state dict that cannot be used as it is."""

    code = 4


class ResourceError(KitError, RuntimeError):
    """Something the machine does not have: disk, memory, a device, a package."""

    code = 5


class DivergedError(KitError, ArithmeticError):
    """The loss is not a number any more."""

    code = 6


def nearest(name: str, known: Iterable[str], most: int = 3, likeness: float = 0.6) -> str:
    """``; did you mean a, b or c?`` -- or nothing, where nothing is near, whether letters are large or small."""
    spelt = {word.lower(): word for word in known}
    near = [spelt[word] for word in difflib.get_close_matches(name.lower(), list(spelt), n=most, cutoff=likeness)]
    if not near:
        return ""
    *firsts, last = near
    return f"; did you mean {', '.join(firsts) + ' or ' if firsts else ''}{last}?"


def plain(text: object) -> str:
    """``text`` fit for a terminal or a line of a file: control characters and stray bytes are spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))


def many(count: int, noun: str) -> str:
    """``1 picture`` or ``1,200 pictures``: so many of a noun that takes an s."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def some(items: Iterable[object], most: int = 5) -> str:
    """The first few of many, none of them endless, and how many there are."""
    names = [text if len(text := plain(item)) <= LONGEST else text[: LONGEST - 3] + "..." for item in items]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
