"""resnet export: a trained model for other programs."""

import sys
from argparse import Namespace
from typing import TextIO

from resnetkit.errors import UsageError, plain
from resnetkit.flags import Parser
from resnetkit.verbs.verb import say

KINDS = "torchvision|timm"  # the rows of resnetkit.targets, which would load torch
EXPORT = f"MODEL --to {KINDS} --out FILE"


def export_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.flag("to", "the library that takes it", KINDS)
    parser.flag("out", "the file to write; one that is there is replaced only if it was exported too", "FILE")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def export(asked: Namespace, out: TextIO) -> int:
    for name in ("to", "out"):
        if getattr(asked, name) is None:
            raise UsageError(f"resnet export needs --{name}", f"write: resnet export {EXPORT}")

    import resnetkit

    done = resnetkit.load(asked.model, device="cpu").export(to=asked.to, out=asked.out)
    for text in done.notes:
        print(f"note: {plain(text)}", file=sys.stderr)
    if asked.json:
        answer = {"out": plain(done.out), "to": done.to, "model": done.model, "how": done.how}
        say(out, {**answer, "notes": list(done.notes)})
    else:
        say(out, f"wrote {plain(done.out)}: load it with {plain(done.how)}")
    return 0
