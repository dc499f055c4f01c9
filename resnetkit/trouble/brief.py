"""What training says of its data in one line, from what it has seen of them anyway."""

from collections.abc import Sequence
from itertools import combinations

from resnetkit.data.parts import Source, shown
from resnetkit.data.skipped import readable_of
from resnetkit.data.survey import Survey
from resnetkit.errors import many, plain, some
from resnetkit.trouble.classes import LEAST, class_sizes
from resnetkit.trouble.finding import Finding


def troubles(source: Source, seen: Survey) -> tuple[Finding, ...]:
    """Files that are in two parts, and classes that a part does not have or hardly."""
    found: list[Finding] = []
    for one, other in combinations(seen.rows, 2):
        both = {digest for digest in seen.digests[seen.rows[one]] if digest}
        start, names = seen.rows[other].start, shown(source, source.parts[other])
        twice = [i for i, digest in enumerate(seen.digests[seen.rows[other]]) if digest in both]
        if twice:
            are, rows = "is" if len(twice) == 1 else "are", tuple(start + i for i in twice)
            words = f"{many(len(twice), 'picture')} of {other} {are} in {one} too"
            paths = tuple(names[i] for i in twice)
            found.append(Finding("leak", words, f"{one}, {other}", rows, paths))
    readable = readable_of(source, seen)
    for part, counts in class_sizes(readable.parts, source.task, source.classes).items():
        if missing := [name for name, count in counts.items() if not count]:
            words = f"no pictures of {some(missing, 3)} in {part}"
            found.append(Finding("missing-class", words, part, labels=tuple(missing)))
        few = [name for name, count in counts.items() if 0 < count < LEAST]
        if few and part in ("train", "all"):
            words = f"one picture only of {some(few, 3)} in {part}"
            found.append(Finding("tiny-class", words, part, labels=tuple(few)))
    return tuple(found)


def brief(source: Source, found: Sequence[Finding]) -> list[str]:
    """At most one note of them."""
    if not found:
        return []
    said = "; ".join(one.words for one in found)
    return [f"trouble in the data, of which resnet check {plain(source.location)} says more: {said}"]
