"""What training says of its data in one line, from what it has seen of them anyway."""

from itertools import combinations

from resnetkit.data.parts import Source
from resnetkit.data.survey import Survey
from resnetkit.errors import plain, some
from resnetkit.trouble.classes import LEAST, class_sizes


def brief(source: Source, seen: Survey) -> list[str]:
    """At most one note: files that are in two parts, and classes that a part does not have or hardly."""
    found = []
    for one, other in combinations(seen.rows, 2):
        both = {digest for digest in seen.digests[seen.rows[one]] if digest}
        count = sum(digest in both for digest in seen.digests[seen.rows[other]])
        if count:
            found.append(f"{count:,} pictures of {other} are in {one} too")
    for part, counts in (class_sizes(source) if source.task == "classes" else {}).items():
        if missing := [name for name, count in counts.items() if not count]:
            found.append(f"no pictures of {some(missing, 3)} in {part}")
        few = [name for name, count in counts.items() if 0 < count < LEAST]
        if few and part in ("train", "all"):
            found.append(f"one picture only of {some(few, 3)} in {part}")
    if not found:
        return []
    return [f"trouble in the data, of which resnet check {plain(source.location)} says more: {'; '.join(found)}"]
