"""resnet compare: two models on the same labelled pictures."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, TextIO

from resnetkit.arguments import one_of
from resnetkit.errors import plain
from resnetkit.flags import Parser, given
from resnetkit.verbs.answering import ASKED, answer_flags, machine_asked
from resnetkit.verbs.verb import UNREADABLE, say

if TYPE_CHECKING:
    from resnetkit.comparison import Comparison

PICTURES = 10  # that people are shown


def compare_flags(parser: Parser) -> None:
    parser.word("a", "a model file, or the folder of a run")
    parser.word("b", "another that knows the same classes")
    parser.word("data", "what resnet train takes, with the classes of the models")
    parser.flag("split", "train, val or test [test, else val]", "PART")
    parser.settings(ASKED)
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def compare(asked: Namespace, out: TextIO) -> int:
    split = one_of("--split", asked.split, ("train", "val", "test"))
    machine, workers = machine_asked(asked)

    from resnetkit import api
    from resnetkit.data.lists import Columns
    from resnetkit.report import progress

    models = [api.load(path, **machine) for path in (asked.a, asked.b)]
    progress.fetch(asked.data)
    named = {name.removesuffix("_column"): word for name, word in given(asked).items() if name in ASKED}
    columns, watch = Columns(**named) if named else None, progress.counting("evaluated")
    found = api.compare(models[0], models[1], asked.data, split, workers=workers, columns=columns, watch=watch)
    for note in found.a.notes:
        print(f"note: {plain(note)}", file=sys.stderr)
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
    rows = [["class", "both", "only A", "only B", "neither", "A less B", "p", "better"]]
    for one in found.classes:
        counts = [f"{count:,}" for count in vars(one.pairs).values()]
        rows.append([one.name, *counts, f"{one.pairs.difference:+.2%}", f"{one.p:.3g}", (one.better or "").upper()])
    apart = [["picture", "label", "A says", "B says", "A's probability of it less B's"]]
    apart += [[one.path, one.label, one.a, one.b, f"{one.lead:+.2%}"] for one in found.apart[:PICTURES]]
    lines = [f"A is {plain(a)}", f"B is {plain(b)}", "", *tables.line_up(table), "", *tables.line_up(rows), ""]
    if len(apart) > 1:
        lines += [*tables.line_up(apart, left=4), ""]
    return [*lines, found.headline()]
