"""resnet export: a trained model for other programs."""

import sys
from argparse import Namespace
from typing import Any, TextIO

from resnetkit.errors import UsageError, plain
from resnetkit.flags import Parser
from resnetkit.verbs.verb import EXPORT, KINDS, say


def export_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.flag("to", "the library or the runtime that takes it", KINDS)
    parser.flag("out", "the file to write; one that is there is replaced only if it was exported too", "FILE")
    parser.flag(
        "input",
        "of onnx, openvino and torch: pictures as they are (the default), or the network's tensor",
        "picture|tensor",
    )
    parser.flag(
        "data", "of onnx, openvino and torch: what the file is tried on; built-in pictures if nothing is said", "DATA"
    )
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def export(asked: Namespace, out: TextIO) -> int:
    for name in ("to", "out"):
        if getattr(asked, name) is None:
            raise UsageError(f"resnet export needs --{name}", f"write: resnet export {EXPORT}")

    import resnetkit

    model = resnetkit.load(asked.model, device="cpu")
    done = model.export(to=asked.to, out=asked.out, input=asked.input, data=asked.data)
    for text in done.notes:
        print(f"note: {plain(text)}", file=sys.stderr)
    if asked.json:
        answer = {"out": plain(done.out), "to": done.to, "model": done.model, "how": done.how}
        checked = {} if done.proof is None else {"proof": done.proof}
        say(out, {**answer, "notes": list(done.notes), **checked})
    else:
        if done.proof is not None:
            say(out, told(done.proof))
        say(out, f"wrote {plain(done.out)}: load it with {plain(done.how)}")
    return 0


def told(proof: dict[str, Any]) -> str:
    """How a file was checked, in two lines or three."""
    where = f"of {plain(proof['data'])}" if proof["data"] else "that are built in"
    lines = [
        f"checked in {proof['runtime']} ({proof['precision']}) against torch, on {proof['pictures']} pictures {where}:"
    ]
    seen = "" if proof["levels"] is None else f"what the network sees within {proof['levels']:.3g} of 255, "
    lines.append(
        f"  {seen}logits within {proof['logits']:.2g} of {proof['largest']:.3g} (allowed {proof['tolerance']:.2g})"
    )
    if proof["same"] is not None:
        lines[-1] += f", same class for {proof['same']:.1%}"
    if proof["accuracy_here"] is not None:
        lines.append(f"  accuracy {proof['accuracy_there']:.2%} in the file, {proof['accuracy_here']:.2%} in torch")
    return "\n".join(lines)
