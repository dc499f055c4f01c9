"""resnet import, models, describe and doctor: networks and weights as such, and the machine they run on."""

import os
import re
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from resnetkit import published
from resnetkit.arguments import class_names, numbers, whole
from resnetkit.errors import ResourceError, UsageError, plain, some
from resnetkit.flags import DECIMAL, Parser, value_of
from resnetkit.recipes import RECIPES, said
from resnetkit.run import Run, show
from resnetkit.verbs.verb import IMPORT, say

ANYTHING = re.compile(".*", re.DOTALL)  # a class may be called anything


def import_flags(parser: Parser) -> None:
    parser.word(
        "src",
        "a state dict in .pth or .safetensors, read without running any code in it, or timm/NAME, torchvision/NAME",
    )
    parser.flag("model", "the network it belongs to, which published weights say; resnet models lists them", "NAME")
    parser.flag("out", "the model file to write", "FILE")
    parser.flag("classes", "the names of the classes in order, or a file with one a line", "LIST", many=ANYTHING)
    parser.flag("mean", "of each channel, in shares of the brightest value", "X,X,X", many=DECIMAL)
    parser.flag("std", "standard deviation of each channel, likewise", "X,X,X", many=DECIMAL)
    parser.flag("size", "side of the pictures that the network sees", "N")
    parser.flag("crop", "share of the short side that the centre crop keeps", "X")
    parser.flag("allow-partial", "take weights that fit in part; the rest is as at the start of training")
    parser.flag("allow-unpinned", "take published weights that no commit or hash pins; the SHA-256 found is said")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def import_weights(asked: Namespace, out: TextIO) -> int:
    needed = ("out",) if published.is_meant(asked.src) else ("model", "out")
    for name in needed:
        if getattr(asked, name) is None:
            raise UsageError(f"resnet import needs --{name}", f"write: resnet import {IMPORT}")
    network = None if asked.model is None else Run(model=asked.model).model  # which refuses unknown names
    classes = None if asked.classes is None else class_names(asked.classes)
    mean, std = numbers("--mean", asked.mean, 0, 1), numbers("--std", asked.std, 1e-6, 10)
    size = None if asked.size is None else value_of("size", asked.size)
    crop = numbers("--crop", asked.crop, 0.1, 1)
    if crop is not None and len(crop) > 1:
        raise UsageError(f"--crop is {show(asked.crop)}; it takes one number", "change --crop, or leave it out")

    from resnetkit import api
    from resnetkit.report import waiting

    done = api.import_weights(
        asked.src,
        model=network,
        out=asked.out,
        classes=classes,
        mean=mean,
        std=std,
        size=size,
        crop=None if crop is None else crop[0],
        allow_partial=asked.allow_partial,
        allow_unpinned=asked.allow_unpinned,
        fetching=waiting.fetching(),
    )
    card, found = done.card, done.match
    for text in done.assumed:
        print(f"assumed: {plain(text)}", file=sys.stderr)
    if asked.json:
        answer = {"out": plain(asked.out), "model": card.model, "classes": list(card.classes), "assumed": done.assumed}
        say(out, {**answer, "source": done.source or plain(asked.src), "tensors": asdict(found)})
    else:
        of = f" of {plain(done.said)}" if done.said else ""
        say(out, f"wrote {plain(asked.out)}: {card.model} for {len(card.classes)} classes; {found}{of}")
        for name in ("missing", "unexpected", "mismatched"):
            if names := getattr(found, name):
                print(f"{name}: {some(names)}", file=sys.stderr)
    return 0


def models_flags(parser: Parser) -> None:
    parser.word("pattern", "letters in the name, or a quoted pattern such as 'resnet*_cifar'", "maybe")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def models(asked: Namespace, out: TextIO) -> int:
    from resnetkit import describe

    found = describe.listing(asked.pattern)
    if not found:
        raise UsageError(f"no network is called {show(asked.pattern)}", "see them all with: resnet models")
    for row in found:
        row["weights"] = [one.name for one in published.of([row["name"]])]
    if asked.json:
        say(out, found)
        return 0
    rows = [("name", "input", "weights", "parameters", "multiply-adds")]
    for row in found:
        shape, count = "x".join(map(str, row["input"])), len(row["weights"])
        rows.append((row["name"], shape, str(count or ""), f"{row['parameters']:,}", f"{row['macs']:,}"))
    say(out, "\n".join(describe.columns(rows)))
    return 0


def describe_flags(parser: Parser) -> None:
    parser.word("model", "the name of a network, a JSON file that says one, a model file, or the folder of a run")
    parser.flag("size", "side of the pictures, 192x256 for height x width, or 16x64x64 for frames too", "N")
    parser.flag("mermaid", "print a flowchart that Markdown pages show as a picture")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def describe(asked: Namespace, out: TextIO) -> int:
    if asked.mermaid and (asked.json or asked.size is not None):
        raise UsageError("--mermaid goes with neither --json nor --size", "leave one of them out")
    size: int | tuple[int, ...] | None = None
    if asked.size is not None:
        words_of = asked.size.lower().split("x")
        if not all(map(str.isdecimal, words_of)):
            whole("--size", asked.size, 1, 65536)  # which names all that was typed
        sides = tuple(whole("--size", side, 1, 65536) for side in words_of)
        size = sides if len(sides) > 1 else sides[0]

    from resnetkit import describe as words
    from resnetkit.layout import lay_out
    from resnetkit.specfile import SUFFIX, find, title
    from resnetkit.units import each
    from resnetkit.zoo import ZOO

    name: str = asked.model
    if name.endswith(SUFFIX):
        name, plan = title(name), lay_out(find(name))
    elif name not in ZOO and (os.path.lexists(name) or Path(name).suffix == ".safetensors" or Path(name).name != name):
        from resnetkit.modelfile import read_card

        card = read_card(Path(name, "best.safetensors") if os.path.isdir(name) else Path(name))
        name, plan, size = card.model, card.plan, size or card.preprocess.size
    else:
        plan = lay_out(find(name))
    if isinstance(size, tuple) and len(size) != (plan.ndim or 2):
        raise UsageError(f"--size is {show(asked.size)}", f"give one number, or {plan.ndim or 2} for {name}")
    if isinstance(size, int) and plan.ndim == 3:
        size = (each(plan.size, 3)[0], size, size)  # a clip keeps its frames
    if asked.mermaid:
        say(out, words.mermaid(plan, name).rstrip())
    else:
        say(out, words.as_dict(plan, name, size) if asked.json else words.table(plan, name, size))
    return 0


def recipes_flags(parser: Parser) -> None:
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def list_recipes(asked: Namespace, out: TextIO) -> int:
    if asked.json:
        rows = [
            {"name": name, "says": one.says, "source": one.source, "changes": dict(one.changes), "lacks": one.lacks}
            for name, one in RECIPES.items()
        ]
        say(out, rows)
        return 0
    for name, one in RECIPES.items():
        changes = ", ".join(said(setting, value) for setting, value in one.changes.items())
        say(out, f"{name}: {one.says}\n  from     {one.source}\n  changes  {changes}")
        if one.lacks:
            say(out, f"  lacks    {one.lacks}")
    return 0


def doctor_flags(parser: Parser) -> None:
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def examine(asked: Namespace, out: TextIO) -> int:
    from resnetkit import doctor

    report = doctor.examine()
    say(out, report if asked.json else doctor.table(report))
    return 0 if report["device"] else ResourceError.code
