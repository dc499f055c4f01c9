"""resnet export: a trained model for other programs."""

from argparse import Namespace
from typing import Any, TextIO

from resnetkit.arguments import points
from resnetkit.errors import UsageError, plain
from resnetkit.flags import Parser
from resnetkit.tasks import TASKS, Task
from resnetkit.verbs.answering import ASKED, told_of
from resnetkit.verbs.verb import EXPORT, KINDS, say, tell


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
    parser.flag("precision", "of onnx and openvino: fp32 (the default), or int8, which needs --data", "fp32|int8")
    parser.flag(
        "max-drop", "of int8: points that val may lose, 0 to 10; layers that cost more stay float32 [0.5]", "POINTS"
    )
    parser.settings(ASKED)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def export(asked: Namespace, out: TextIO) -> int:
    for name in ("to", "out"):
        if getattr(asked, name) is None:
            raise UsageError(f"resnet export needs --{name}", f"write: resnet export {EXPORT}")

    named, _ = told_of(asked)

    import resnetkit
    from resnetkit.data.lists import Columns

    model = resnetkit.load(asked.model, device="cpu")
    drop = points("--max-drop", asked.max_drop)
    done = model.export(
        to=asked.to,
        out=asked.out,
        input=asked.input,
        data=asked.data,
        precision=asked.precision,
        max_drop=drop,
        columns=Columns(**named) if named else None,
        tell=tell,
    )
    for text in done.notes:
        tell(text)
    if asked.json:
        answer = {"out": plain(done.out), "to": done.to, "model": done.model, "how": done.how}
        checked = {} if done.proof is None else {"proof": done.proof}
        say(out, {**answer, "notes": list(done.notes), **checked})
    else:
        if done.proof is not None:
            say(out, told(done.proof, TASKS[model.card.task]))
        say(out, f"wrote {plain(done.out)}: load it with {plain(done.how)}")
    return 0


def told(proof: dict[str, Any], task: Task) -> str:
    """How a file was checked, in two lines or three."""
    where = f"of {plain(proof['data'])}" if proof["data"] else "that are built in"
    lines = [
        f"checked in {proof['runtime']} ({proof['precision']}) against torch, on {proof['pictures']} pictures {where}:"
    ]
    seen = "" if proof["levels"] is None else f"what the network sees within {proof['levels']:.3g} of 255, "
    allowed = "" if proof["tolerance"] is None else f" (allowed {proof['tolerance']:.2g})"
    lines.append(f"  {seen}logits within {proof['logits']:.2g} of {proof['largest']:.3g}{allowed}")
    if proof["same"] is not None:
        lines[-1] += f", same {'tags' if task.name == 'tags' else 'class'} for {proof['same']:.1%}"
    if proof["here"] is not None:
        here, there = (f"{proof[side]:{task.shown}}" for side in ("here", "there"))
        lines.append(f"  {task.says} {there} in the file, {here} in torch")
    return "\n".join([*lines, *(lowered(proof["int8"], task) if proof["int8"] else ())])


def lowered(int8: dict[str, Any], task: Task) -> list[str]:
    """What 8 bits cost, and which layers stay in float32."""
    left = int8["float32"]
    count = f"{int8['layers'] - len(left)} of {int8['layers']} layers"
    lines = [f"int8: {count}, with scales of {int8['pictures']} pictures of {int8['scales_from']}"]
    for name, part in (("val", int8["val"]), ("test", int8["test"])):
        if part is not None:
            float32, low = (f"{part[precision]:{task.shown}}" for precision in ("float32", "int8"))
            figures = f"{float32} in float32, {low} in int8, {lost(part['drop'])}"
            lines += [f"  {task.says} on {name}: {figures} ({part['pictures']:,} pictures)"]
    return [*lines, *(f"  in float32: {name}" for name in left)]


def lost(drop: float) -> str:
    return f"{drop:.2f} points less" if drop >= 0 else f"{-drop:.2f} points more"
