"""resnet check: what is wrong with the data."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TextIO

from resnetkit.arguments import whole
from resnetkit.errors import DataError, UsageError, plain
from resnetkit.flags import Parser, given
from resnetkit.run import COLUMNS
from resnetkit.verbs.verb import say, tell

ASKED = (*COLUMNS, "max_pixels", "workers")


def check_flags(parser: Parser) -> None:
    parser.word("data", "what resnet train takes")
    parser.flag("model", "look for wrong labels too, by what this model file or run folder sees", "MODEL")
    parser.flag(
        "folds", "parts that are judged by what learned from the others: heads of the model [5], or small networks", "N"
    )
    parser.flag("fix", "write a list of the pictures without the worst trouble, for resnet train", "LIST.csv")
    parser.flag("page", "write all of it with the pictures as a page that needs no connection", "FILE.html")
    parser.flag("device", "of the network: auto, cpu, cuda, cuda:1 or mps [auto]", "NAME")
    parser.settings(ASKED)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def check(asked: Namespace, out: TextIO) -> int:
    """The exit code is 3 where training would not begin."""
    if asked.device is not None and asked.model is None and asked.folds is None:
        what = "--device would have no effect: there is no model, and none learns here"
        raise UsageError(what, "leave it out, or give --model or --folds")
    folds = None if asked.folds is None else whole("--folds", asked.folds, 2, 100)
    settings = {name: value for name, value in given(asked).items() if name in ASKED}

    from resnetkit import api
    from resnetkit.data.lists import Columns
    from resnetkit.page import page, story
    from resnetkit.report import findings, waiting

    if asked.page is not None:
        page.refuse(Path(asked.page))
    model = None if asked.model is None else api.load(asked.model, device=asked.device or "auto")
    waiting.fetch(asked.data)
    columns = Columns(**{name.removesuffix("_column"): settings.pop(name) for name in COLUMNS if name in settings})
    found = api.check(
        asked.data,
        model=model,
        folds=folds,
        device=(asked.device if model is None else None) or "auto",
        fix=asked.fix,
        columns=columns,
        watch=waiting.counting("looked at"),
        tell=tell,
        **settings,
    )
    for note in found.notes:
        tell(note)
    if asked.page is not None:
        command = ["resnet", "check", asked.data, *(["--model", asked.model] if asked.model else [])]
        command += ["--folds", str(folds)] if folds else []
        heat = None if model is None else model.heat()
        story.check_page(Path(asked.page), found, command, heat)
        print(f"wrote {plain(asked.page)}", file=sys.stderr)
    say(out, found.as_dict() if asked.json else findings.text_of(found))
    return 0 if found.trainable else DataError.code
