"""What the texts of a command line mean: each a value, or an error that names the flag and what it takes."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from resnetkit import files
from resnetkit.documents import decoded
from resnetkit.errors import DataError, UsageError, nearest, plain
from resnetkit.run import show


def one_of(flag: str, text: str | None, allowed: Sequence[str]) -> str | None:
    if text is None or text in allowed:
        return text
    raise UsageError(f"{flag} is {show(text)}{nearest(text, allowed, 1)}", f"{flag} takes one of {', '.join(allowed)}")


def whole(flag: str, text: str, low: int, high: int) -> int:
    with suppress(ValueError):
        if low <= (number := int(text)) <= high:
            return number
    raise UsageError(
        f"{flag} is {show(text)}; it takes a whole number from {low} to {high}", f"change {flag}, or leave it out"
    )


def numbers(flag: str, text: str | None, low: float, high: float) -> tuple[float, ...] | None:
    if text is None:
        return None
    with suppress(ValueError):
        parts = tuple(map(float, text.split(",")))
        if all(low <= part <= high for part in parts):
            return parts
    raise UsageError(
        f"{flag} is {show(text)}; it takes numbers from {low:g} to {high:g}, with commas",
        f"change {flag}, or leave it out",
    )


def share(flag: str, text: str | None) -> float | None:
    """A number above 0 and below 1."""
    if text is None:
        return None
    with suppress(ValueError):
        if 0 < (number := float(text)) < 1:
            return number
    raise UsageError(f"{flag} is {show(text)}; it takes a share above 0 and below 1", f"{flag} 0.05")


def points(flag: str, text: str | None) -> float | None:
    """A number of hundredths."""
    if text is None:
        return None
    with suppress(ValueError):
        return float(text)
    raise UsageError(f"{flag} is {show(text)}; it takes points", f"{flag} 0.5")


def class_names(text: str) -> tuple[str, ...]:
    """``a,b,c``, or the lines of a file."""
    if os.path.exists(text):
        found = decoded(bytes_of(text, "--classes"))
        if found is None:
            raise DataError(f"--classes {plain(text)} is not text in UTF-8, UTF-16 or GBK", "save it as UTF-8")
        names = lines(found)
    elif "," in text:
        names = [name.strip() for name in text.split(",")]
    else:
        raise UsageError(
            f"--classes {show(text)} is neither a file nor a list", "write a,b,c or name a file with one a line"
        )
    if twice := sorted({name for name in names if names.count(name) > 1 or not name}):
        raise UsageError(f"--classes names {show(twice[0])} twice or not at all", "give each class a name of its own")
    return tuple(names)


def lines_of(name: str, flag: str) -> list[str]:
    """The lines of a text file that are not empty: paths, which need not be text in any encoding."""
    text = bytes_of(name, flag).decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise DataError(f"{flag} {plain(name)} is not text", "name a text file with one entry a line")
    return lines(text)


def bytes_of(name: str, flag: str) -> bytes:
    try:
        if os.path.isfile(name):
            return Path(name).read_bytes()
    except OSError as error:
        raise DataError(f"{flag} {plain(name)} cannot be read: {error.strerror}", files.hint(error)) from None
    raise DataError(f"{flag} {plain(name)} is not a file", "name a text file with one entry a line")


def lines(text: str) -> list[str]:
    return [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
