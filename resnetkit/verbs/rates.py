"""resnet lr: the learning rate that a run could take, from a few of its steps."""

import shlex
import sys
from argparse import Namespace
from typing import Any, TextIO

from resnetkit.errors import UsageError, plain
from resnetkit.flags import Parser, dashed, given
from resnetkit.run import HINTS, Run, override, spell
from resnetkit.verbs.verb import say, tell


def lr_flags(parser: Parser) -> None:
    parser.word("data", "what resnet train takes", "maybe")
    parser.settings(name for name in HINTS if name != "data")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def find_lr(asked: Namespace, out: TextIO) -> int:
    changes = given(asked)
    run = override(Run(), changes)
    if not run.data:
        raise UsageError("resnet lr needs DATA", "name a folder of class folders, or try it with: resnet lr digits")

    from resnetkit import rates
    from resnetkit.report import waiting

    rates.refuse_unused(changes)
    waiting.fetch(run.data)
    watch, fetching = waiting.counting("looked at"), waiting.fetching()
    job = rates.ready(run, frozenset(changes), watch=watch, fetching=fetching)
    for note in [*job.gaps, *job.notes]:
        tell(note)
    print(f"trying up to {rates.steps_of(job.settings)} rates, a step each", file=sys.stderr)
    found = rates.search(job)
    line = command(changes, found.suggested)
    if asked.json:
        say(out, found.as_dict() | {"command": line})
        return 0
    say(out, f"{found.suggested:g} is where the loss falls steepest: {line}")
    for path in found.files:
        say(out, f"in {plain(path)}")
    return 0


def command(changes: dict[str, Any], rate: float) -> str:
    """What to type for a run with this rate, and with what else was given."""
    words = ["resnet", "train", str(changes["data"])]
    for name, value in changes.items():
        if isinstance(value, bool):
            words.append(f"--{dashed(name)}" if value else f"--no-{dashed(name)}")
        elif name not in ("data", "out"):
            words += [f"--{dashed(name)}", spell(value, name)]
    return plain(shlex.join([*words, "--lr", f"{rate:g}"]))
