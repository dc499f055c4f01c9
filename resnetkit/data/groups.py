"""Which pictures belong together, such as those of one patient, and that no such group is in two parts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from resnetkit.data.parts import Part, PartName, Source
from resnetkit.errors import DataError, many, some

Groups = tuple[str, ...]


def groups_of(names: Sequence[str], pattern: str) -> Groups:
    """What of each name matches ``pattern``, or its first bracket: names with the same belong together."""
    found = matches(names, pattern)
    without = [name for name, group in zip(names, found, strict=True) if group is None]
    if without:
        fix = "change it so that every name has a group, or leave it out"
        raise DataError(f"the group pattern {pattern!r} is not in {some(without)}", fix)
    return tuple(group for group in found if group is not None)


def matches(names: Sequence[str], pattern: str) -> list[str | None]:
    """The group of each name; None where the pattern is not in it."""
    found = [re.search(pattern, name) for name in names]
    return [None if one is None else one[1 if one.re.groups else 0] or "" for one in found]


def grouped(source: Source, pattern: str) -> Source:
    """The source with the groups that its names tell of; DataError for a name without one, or a group in two parts."""
    groups = {name: groups_of(part.names, pattern) for name, part in source.parts.items()}
    refuse_parted(source.location, groups)
    return with_groups(source, groups)


def grouped_where_it_fits(source: Source, pattern: str) -> Source:
    """As grouped, by a pattern that a model remembers: a part with a name that it does not fit has no groups."""
    found = {name: matches(part.names, pattern) for name, part in source.parts.items()}
    fits = {name: tuple(map(str, groups)) for name, groups in found.items() if None not in groups}
    return with_groups(source, fits)


def with_groups(source: Source, groups: Mapping[PartName, Groups]) -> Source:
    parts: dict[PartName, Part] = {name: replace(part, groups=groups.get(name)) for name, part in source.parts.items()}
    return replace(source, parts=parts)


def refuse_parted(location: str, groups: Mapping[PartName, Sequence[str] | None]) -> None:
    """A group in two parts would be learned from in one and asked for in the other."""
    for one, other in combinations(groups, 2):
        if both := set(groups[one] or ()) & set(groups[other] or ()):
            are = "is" if len(both) == 1 else "are"
            raise DataError(
                f"{location}: {many(len(both), 'group')} {are} in {one} and in {other}: {some(sorted(both))}",
                "put every group into one part",
            )
