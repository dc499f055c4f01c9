"""What is wrong with the data: in few words beside a run, and picture by picture on a page of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from resnetkit.errors import plain
from resnetkit.page.page import Section
from resnetkit.page.phrases import phrase, saying
from resnetkit.page.thumbs import Thumbs
from resnetkit.trouble.finding import Checkup, Finding

CLASSES = 30  # rows of a table; of more the largest and the smallest are shown
ITEMS = 24  # findings of a kind that are shown
A_GROUP = 4  # pictures of one finding
WORDED = ("unreadable", "size", "aspect")  # whose words are shown
LISTED = ("mode", "format")  # of these there are several, with commas between them
Sizes = Mapping[str, Mapping[str, int]]  # pictures of each class in each part


def beside_a_run(sizes: Sizes, pictures: Mapping[str, int], found: Sequence[Finding]) -> Iterator[Section]:
    """The parts and their classes, and what is wrong with them without a further look."""
    kinds = [kind_of(kind, findings, None) for kind, findings in by_kind(found).items()]
    yield Section("data", {**table(sizes, pictures), "kinds": kinds, "whole": False})


def of_checkup(found: Checkup, thumbs: Thumbs) -> Iterator[Section]:
    """The same of all that was looked for, with the pictures."""
    yield Section("data", {**table(found.class_sizes, found.sizes), "kinds": [], "whole": True})
    for kind, findings in by_kind(found.findings).items():
        yield Section("findings", kind_of(kind, findings, thumbs))
    if found.notes:
        yield Section("notes", {"rows": [saying(plain(note)) for note in found.notes]})


def table(sizes: Sizes, pictures: Mapping[str, int]) -> dict[str, Any]:
    """Pictures of each class in each part; of very many classes those with most and with fewest."""
    parts = list(sizes)
    names = list(next(iter(sizes.values()), {}))
    names.sort(key=lambda name: -sum(sizes[part][name] for part in parts))
    left = len(names) - CLASSES
    if left > 0:
        names = [*names[: CLASSES // 2], *names[-CLASSES // 2 :]]
    rows = [(name, [sizes[part][name] for part in parts]) for name in names]
    shown = {"heads": [phrase(f"part {part}") for part in parts], "rows": rows, "left": max(0, left)}
    return shown | {"counts": [(phrase(f"part {part}"), count) for part, count in pictures.items()]}


def by_kind(found: Sequence[Finding]) -> dict[str, list[Finding]]:
    kinds: dict[str, list[Finding]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one)
    return kinds


def kind_of(kind: str, findings: Sequence[Finding], thumbs: Thumbs | None) -> dict[str, Any]:
    """One kind of trouble, as its templates take it."""
    items = [item_of(one, thumbs) for one in findings[:ITEMS]]
    return {"kind": kind, "count": len(findings), "items": items, "more": len(findings) - len(items)}


def item_of(one: Finding, thumbs: Thumbs | None) -> dict[str, Any]:
    rows = one.rows[:A_GROUP] if thumbs else ()
    keys = [key for row in rows if thumbs and one.kind != "unreadable" and (key := thumbs.want(row))]
    if thumbs and one.better is not None and (heat := thumbs.want(one.rows[0], one.better)):
        keys.append(heat)
    paths = [plain(path) for path in one.paths[:A_GROUP]]
    return {"keys": keys, "paths": paths, "more": len(one.paths) - len(paths), "words": words_of(one)}


def words_of(one: Finding) -> Markup:
    if one.kind == "label":
        return phrase("looks like", label=plain(one.labels[0]), better=plain(one.better or ""))
    if one.kind in WORDED:
        return saying(plain(one.words))
    if one.kind in LISTED:
        return Markup(", ").join(saying(words) for words in plain(one.words).split(", "))
    where = Markup(", ").join(phrase(f"part {part}") for part in one.part.split(", ")) if one.part else Markup("")
    names = ", ".join(dict.fromkeys(map(plain, one.labels)))
    return phrase("found", words=plain(one.words), names=names, where=where)
