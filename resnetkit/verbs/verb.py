"""What a verb of the command is, and how it answers on stdout."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from resnetkit.errors import plain
from resnetkit.flags import Parser

# The words of verbs that are told in their errors too.
IMPORT = "SRC --model NAME --out FILE ..."
KINDS = "torchvision|timm|onnx|openvino|torch"  # the rows of resnetkit.targets, which would load torch
EXPORT = f"MODEL --to {KINDS} --out FILE"
BENCH = "WHAT MODEL [--batch 1,32] [--data DATA] [--out DIR] [--json]"
UNREADABLE = 3  # exit code: the answers are complete but for pictures that could not be read


@dataclass(frozen=True)
class Verb:
    """A word after ``resnet``, and what it does."""

    usage: str
    says: str
    flags: Callable[[Parser], None]
    act: Callable[[Namespace, TextIO], int]  # returns the exit code; the second argument is stdout


def say(out: TextIO, answer: Any) -> None:
    """A text for people as it is, anything else as one JSON document."""
    if not isinstance(answer, str):
        wide = (out.encoding or "").lower().replace("-", "") == "utf8"
        answer = json.dumps(answer, indent=2, ensure_ascii=not wide, allow_nan=False)
    print(answer, file=out)


def tell(what: str) -> None:
    """A line on stderr, at once."""
    print(f"note: {plain(what)}", file=sys.stderr, flush=True)
