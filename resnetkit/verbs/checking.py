"""resnet check: what is wrong with the data."""

import sys
from argparse import Namespace
from typing import TextIO

from resnetkit.errors import DataError, UsageError, plain
from resnetkit.flags import Parser, given
from resnetkit.run import COLUMNS
from resnetkit.verbs.verb import say

ASKED = (*COLUMNS, "max_pixels", "workers")


def check_flags(parser: Parser) -> None:
    parser.word("data", "what resnet train takes")
    parser.flag("model", "look for wrong labels too, by what this model file or run folder sees", "MODEL")
    parser.flag("fix", "write a list of the pictures without the worst trouble, for resnet train", "LIST.csv")
    parser.flag("device", "of the model: auto, cpu, cuda, cuda:1 or mps [auto]", "NAME")
    parser.settings(ASKED)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def check(asked: Namespace, out: TextIO) -> int:
    """The exit code is 3 where training would not begin."""
    if asked.device is not None and asked.model is None:
        raise UsageError("--device would have no effect: there is no model", "leave it out, or give --model")
    settings = {name: value for name, value in given(asked).items() if name in ASKED}

    from resnetkit import api
    from resnetkit.data.lists import Columns
    from resnetkit.report import findings, progress

    model = None if asked.model is None else api.load(asked.model, device=asked.device or "auto")
    progress.fetch(asked.data)
    columns = Columns(**{name.removesuffix("_column"): settings.pop(name) for name in COLUMNS if name in settings})
    found = api.check(
        asked.data, model=model, fix=asked.fix, columns=columns, watch=progress.counting("looked at"), **settings
    )
    for note in found.notes:
        print(f"note: {plain(note)}", file=sys.stderr)
    say(out, found.as_dict() if asked.json else findings.text_of(found))
    return 0 if found.trainable else DataError.code
