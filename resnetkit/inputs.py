"""What a model is asked about: files, folders, patterns, bytes, and the threads that read them."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from resnetkit.data.decode import FORMAT_OF
from resnetkit.data.lists import SUFFIXES as LISTS
from resnetkit.errors import UsageError, plain
from resnetkit.run import check, show

Input = str | bytes | os.PathLike[str]  # a path or pattern, or the bytes of one picture


def path_of(given: Any, what: str = "data") -> str:
    """A path as a text; UsageError for what is none."""
    if isinstance(given, str | os.PathLike) and isinstance(path := os.fspath(given), str):
        if not path:
            raise UsageError(f"the path of {what} is empty", "give one, such as . for this folder")
        return path
    raise UsageError(f"{what} is {show(given)}, which is no path", "give a path, as a text or a pathlib.Path")


def each(given: Any) -> Iterable[Input]:
    """One picture, or every one of several; UsageError for what is neither."""
    if isinstance(given, str | bytes | os.PathLike):
        return [given]
    if isinstance(given, Iterable):
        return given
    raise UsageError(f"{show(given)} is no picture", "give a path or the bytes of a picture, or several of them")


def expand(given: Iterable[Input]) -> Iterator[tuple[str, Path | bytes | str]]:
    """Names and what to read for each; a reason instead of a source where there is nothing to read."""
    for item in given:
        if isinstance(item, bytes):
            yield "-", item
            continue
        if isinstance(item, str) and not item:
            yield "", "the path is empty"
            continue
        name = path_of(item, "a picture")
        path = Path(name)
        if os.path.isdir(path):  # which says no, where Path would raise, to a name that is too long
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in FORMAT_OF and not p.name.startswith("."))
            yield from ((str(p), p) for p in inside)
            if not inside:
                yield name, "the folder holds no pictures"
        elif path.suffix.lower() in LISTS and os.path.isfile(path):
            yield (
                name,
                f"{plain(name)} is a list: resnet eval takes it; paths, one a line, come by --from",
            )
        elif not os.path.lexists(path) and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))
            yield from expand(matches)
            if not matches:
                yield name, "no file has such a name"
        else:
            yield name, path


def usual_workers(workers: int | None) -> int:
    """Threads that read pictures: what was asked for, else one a core, at most 8. UsageError for what is no number."""
    if workers is not None:
        return check("workers", workers)
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, 8)
