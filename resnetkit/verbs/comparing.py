"""resnet compare: two models on the same labelled pictures."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, TextIO

from resnetkit.arguments import one_of
from resnetkit.errors import plain
from resnetkit.flags import Parser
from resnetkit.verbs.answering import ASKED, GROUPED, answer_flags, machine_asked, told_of
from resnetkit.verbs.verb import UNREADABLE, say, tell

if TYPE_CHECKING:
    from resnetkit.comparison import Comparison

PICTURES = 10  # that people are shown


def compare_flags(parser: Parser) -> None:
    parser.word("a", "a model file, or the folder of a run")
    parser.word("b", "another that knows the same classes")
    parser.word("data", "what resnet train takes, with the classes of the models")
    parser.flag("split", "train, val or test [test, else val]", "PART")
    parser.settings((*ASKED, *GROUPED))
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def compare(asked: Namespace, out: TextIO) -> int:
    split = one_of("--split", asked.split, ("train", "val", "test"))
    machine, workers = machine_asked(asked)
    named, pattern = told_of(asked)

    from resnetkit import api
    from resnetkit.data.lists import Columns
    from resnetkit.report import waiting

    models = [api.load(path, **machine) for path in (asked.a, asked.b)]
    waiting.fetch(asked.data)
    found = api.compare(
        models[0],
        models[1],
        asked.data,
        split,
        workers=workers,
        columns=Columns(**named) if named else None,
        watch=waiting.counting("evaluated"),
        group_pattern=pattern,
    )
    for note in found.notes:
        tell(note)
    if asked.json:
        say(out, found.as_dict())
    else:
        say(out, "\n".join(told(found, asked.a, asked.b)))
    for path, why in found.a.errors:
        print(f"not read: {plain(path)}: {plain(why)}", file=sys.stderr)
    return UNREADABLE if found.a.errors else 0


def told(found: "Comparison", a: str, b: str) -> list[str]:
    """For people: the paired table, each class, the pictures where they differ most, and the verdict."""
    from resnetkit.report import tables

    pairs = found.pairs
    table = [["", "B right", "B wrong"], ["A right", f"{pairs.both:,}", f"{pairs.only_a:,}"]]
    table += [["A wrong", f"{pairs.only_b:,}", f"{pairs.neither:,}"]]
    rows = [["class", "both", "only A", "only B", "neither", "A less B"]]
    rows[0] += ["p", "better"] if found.groups is None else []
    for one in found.classes:
        counts = [f"{count:,}" for count in vars(one.pairs).values()]
        chance = [] if one.p is None else [f"{one.p:.3g}", (one.better or "").upper()]
        rows.append([one.name, *counts, f"{one.pairs.difference:+.2%}", *chance])
    apart = [["picture", "label", "A says", "B says", "A's probability of it less B's"]]
    apart += [[one.path, one.label, one.a, one.b, f"{one.lead:+.2%}"] for one in found.apart[:PICTURES]]
    lines = [f"A is {plain(a)}", f"B is {plain(b)}", "", *tables.line_up(table), "", *tables.line_up(rows), ""]
    if len(apart) > 1:
        lines += [*tables.line_up(apart, left=4), ""]
    return [*lines, found.headline()]
