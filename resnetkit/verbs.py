"""What each verb of the command does: its words, its work, its answer on stdout."""

import csv
import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from resnetkit.arguments import class_names, lines_of, numbers, one_of, whole
from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.flags import DECIMAL, Parser, dashed, given, value_of
from resnetkit.run import HINTS, Run, override, read_file, refuse_idle, show

if TYPE_CHECKING:
    from resnetkit.job import Job

ANYTHING = re.compile(".*", re.DOTALL)  # a class may be called anything
UNREADABLE = 3  # exit code: the answers are complete but for pictures that could not be read
LARGEST_STDIN = 1 << 29  # bytes; no picture that is decoded has so many


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


def train_flags(parser: Parser) -> None:
    parser.word("data", "a folder of class folders, or of IDX, parquet, npz or CIFAR files, or digits", "maybe")
    parser.settings(name for name in HINTS if name != "data")
    parser.flag("resume", "go on with a run that was stopped, to the same end; name DATA if it has moved", "RUN")
    parser.flag("run", "take the settings from a run.json, all but --out; other flags override it", "FILE")
    parser.flag("dry-run", "say what would be done, and how long it would take")
    parser.flag("json", "print metrics.json, and nothing else on stdout")


def train(asked: Namespace, out: TextIO) -> int:
    resumed = asked.resume is not None
    run, chosen = (Run(), frozenset[str]()) if resumed else requested(asked)
    if resumed:
        refuse_beside_resume(asked)

    from resnetkit import training
    from resnetkit.report import progress

    watch = progress.counting("looked at")
    if asked.dry_run:
        return rehearse(run, chosen, asked, out)
    if resumed:
        events = training.resuming(asked.resume, data=asked.data, workers=given(asked).get("workers"), watch=watch)
    else:
        events = training.training(run, chosen, watch=watch)
    done = progress.watch_run(events)
    if asked.json:
        say(out, json.loads((done.folder / "metrics.json").read_bytes()))
    for line in contents(done.folder, done.metrics):
        print(line, file=sys.stderr if asked.json else out)
    return 0


def rehearse(run: Run, chosen: frozenset[str], asked: Namespace, out: TextIO) -> int:
    """What a run would be, with nothing written."""
    from resnetkit.forecast import forecast
    from resnetkit.job import prepare
    from resnetkit.report import progress
    from resnetkit.runfolder import check_out

    check_out(run.out)
    job = prepare(run, chosen, watch=progress.counting("looked at"))
    lines, cost = dict(job.lines()), forecast(job)
    lines["time"] = f"about {progress.clock(cost.seconds)} here ({cost.seconds_a_step:.3g} seconds a step)"
    lines["memory"] = f"about {cost.bytes / 2**20:,.0f} MiB"
    if asked.json:
        say(out, {"run": asdict(run), "resolved": resolved(job), "expected": asdict(cost), "notes": job.notes})
    else:
        say(out, "\n".join(f"{name:<10}{plain(text)}" for name, text in lines.items()))
        for note in job.notes:
            say(out, f"note: {plain(note)}")
        say(out, "nothing was written; leave out --dry-run to begin")
    return 0


def resolved(job: "Job") -> dict[str, Any]:
    """What was decided for the settings that were left open, and the rest beside it."""
    settings = job.settings
    return {
        "model": settings.model,
        "size": list(settings.preprocess.size),
        "channels": settings.preprocess.channels,
        "classes": list(settings.classes),
        "pictures": {name: len(examples.labels) for name, examples in job.sets.items()},
        "batch": settings.batch,
        "steps": settings.steps,
        "epochs": settings.epochs,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "crop": settings.crop,
        "flip": settings.flip,
        "device": str(job.machine.device),
        "precision": job.machine.precision,
        "workers": job.workers,
        "reasons": settings.reasons,
    }


def requested(asked: Namespace) -> tuple[Run, frozenset[str]]:
    """The run that the words ask for, and the settings that somebody chose."""
    changes = given(asked)
    run, chosen = (Run(), frozenset[str]()) if asked.run is None else read_file(Path(asked.run))
    for length, other in (("epochs", "steps"), ("steps", "epochs")):
        if length in changes and other not in changes:  # the new length takes the place of the file's
            changes[other], chosen = None, chosen - {other}
    run = override(run, {"out": None, **changes})
    if not run.data:
        raise UsageError(
            "resnet train needs DATA", "name a folder of class folders, or try it with: resnet train digits"
        )
    chosen = (chosen - {"out"}) | given(asked).keys()
    refuse_idle(run, chosen)
    return run, chosen


def refuse_beside_resume(asked: Namespace) -> None:
    others = [f"--{dashed(name)}" for name in given(asked) if name not in ("data", "workers")]
    others += ["--run"] if asked.run is not None else []
    others += ["--dry-run"] if asked.dry_run else []
    if others:
        raise UsageError(
            f"--resume goes on with the settings of {plain(asked.resume)}; {', '.join(others)} cannot change them",
            f"write: resnet train --resume {plain(asked.resume)}",
        )


CONTENTS = {
    "best.safetensors": "the best network: what eval and predict take",
    "last.safetensors": "the network at the end",
    "metrics.json": "the figures of the best network",
    "per_class.csv": "the same for each class",
    "predictions.csv": "the answer to each picture",
    "confusion_matrix.csv": "which class was taken for which",
    "confusion_matrix.png": "the same as a picture",
    "results.csv": "a row an epoch",
    "curves.png": "the same as a picture",
    "split.csv": "which pictures were trained on",
    "run.json": "every setting; resnet train --run repeats the run",
}


def contents(folder: Path, metrics: dict[str, Any]) -> Iterator[str]:
    """What came out of a run, and where everything is."""
    yield f"accuracy {metrics['accuracy']:.2%} on {metrics['split']} ({metrics['correct']:,} of {metrics['n']:,} right)"
    yield f"in {plain(folder)}:"
    yield from (f"  {name:<22}{says}" for name, says in CONTENTS.items() if (folder / name).exists())


def eval_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("data", "what resnet train takes, with the classes of the model")
    parser.flag("split", "train, val or test [test, else val]", "PART")
    parser.flag("out", "folder for metrics, predictions and the confusion matrix [a new one under runs/]", "DIR")
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def answer_flags(parser: Parser) -> None:
    parser.flag("device", "auto, cpu, cuda, cuda:1 or mps [auto]", "NAME")
    parser.flag("precision", "fp32, bf16, fp16 or auto [fp32]", "NAME")
    parser.flag("workers", "threads that read pictures; changes no result [auto]", "N")


def evaluate(asked: Namespace, out: TextIO) -> int:
    split = one_of("--split", asked.split, ("train", "val", "test"))
    machine, workers = machine_asked(asked)

    from resnetkit import api, runfolder
    from resnetkit.report import progress, results, tables

    runfolder.check_out(asked.out)
    model, watch = api.load(asked.model, **machine), progress.counting("evaluated")
    evaluation = model.evaluate(asked.data, split, workers=workers, watch=watch)
    for note in evaluation.notes:
        print(f"note: {plain(note)}", file=sys.stderr)
    try:
        folder = runfolder.RunFolder.create(asked.out, "eval").path
        written = results.write_evaluation(folder, evaluation)
        print(*(f"wrote {plain(path)}" for path in written), sep="\n", file=sys.stderr)
    except ResourceError as error:
        if asked.out is not None:
            raise
        print(f"note: nothing was written, since {error.what}; --out names another folder", file=sys.stderr)
    if asked.json:
        say(out, evaluation.as_dict())
    else:
        top5 = "" if evaluation.top5 is None else f", top-5 {evaluation.top5:.2%}"
        say(out, tables.class_table(evaluation.rows, evaluation.total))
        right = f"{evaluation.correct:,} of {evaluation.n:,} right"
        say(
            out,
            f"\naccuracy {evaluation.accuracy:.2%} on {evaluation.split} ({right}){top5}, loss {evaluation.loss:.4f}",
        )
    for path, why in evaluation.errors:
        print(f"not read: {plain(path)}: {plain(why)}", file=sys.stderr)
    return UNREADABLE if evaluation.errors else 0


def machine_asked(asked: Namespace) -> tuple[dict[str, str], int | None]:
    chosen = {
        name: value_of(name, text) for name in ("device", "precision") if (text := getattr(asked, name)) is not None
    }
    Run(**chosen)  # which knows what devices are called
    return chosen, None if asked.workers is None else value_of("workers", asked.workers)


def predict_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word(
        "path", "pictures, folders, quoted patterns such as 'photos/*.jpg', or - for one picture on stdin", "any"
    )
    parser.flag("top", "how many classes to name for each picture [5]", "K")
    parser.flag("from", "take more paths from a file with one a line", "LIST")
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")
    parser.flag("csv", "print one row a picture, with commas")


def predict(asked: Namespace, out: TextIO) -> int:
    if asked.json and asked.csv:
        raise UsageError("--json and --csv are two forms of one answer", "give one of the two")
    top = 5 if asked.top is None else whole("--top", asked.top, 1, 1_000_000)
    listed = vars(asked)["from"]
    paths: list[str | bytes] = [*asked.path, *(lines_of(listed, "--from") if listed is not None else [])]
    if not paths:
        raise UsageError("resnet predict needs pictures", "name files, folders, patterns or -, or a list with --from")
    if paths.count("-") > 1:
        raise UsageError("- stands there twice, and stdin holds one picture", "write - once")
    machine, workers = machine_asked(asked)

    from resnetkit import api
    from resnetkit.report import tables

    model = api.load(asked.model, **machine)
    if "-" in paths:
        paths[paths.index("-")] = sys.stdin.buffer.read(LARGEST_STDIN)
    predictions = model.predictions(paths, top=top, workers=workers)
    unreadable = 0
    if asked.json:
        rows = list(predictions)
        unreadable = sum(row.error is not None for row in rows)
        say(out, [row.as_dict() for row in rows])
    elif asked.csv:
        writer, width = csv.writer(out, lineterminator="\n"), min(top, len(model.classes))
        writer.writerow(
            ["path", *(f"{name}_{k}" for k in range(1, width + 1) for name in ("class", "probability")), "error"]
        )
        for row in predictions:
            unreadable += row.error is not None
            cells = [cell for pair in row.top for cell in pair] or [None] * 2 * width
            writer.writerow(map(tables.spell, [row.path, *cells, row.error]))
    else:
        for row in predictions:
            unreadable += row.error is not None
            answer = [f"{plain(name)} {probability:.2%}" for name, probability in row.top]
            say(out, "  ".join([plain(row.path), *(answer or [f"error: {plain(row.error)}"])]))
    return UNREADABLE if unreadable else 0


def import_flags(parser: Parser) -> None:
    parser.word("src", "a state dict in .pth or .safetensors, which is read without running any code in it")
    parser.flag("model", "the network it belongs to; resnet models lists them", "NAME")
    parser.flag("out", "the model file to write", "FILE")
    parser.flag("classes", "the names of the classes in order, or a file with one a line", "LIST", many=ANYTHING)
    parser.flag("mean", "of each channel, in shares of the brightest value", "X,X,X", many=DECIMAL)
    parser.flag("std", "standard deviation of each channel, likewise", "X,X,X", many=DECIMAL)
    parser.flag("size", "side of the pictures that the network sees", "N")
    parser.flag("crop", "share of the short side that the centre crop keeps", "X")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def import_weights(asked: Namespace, out: TextIO) -> int:
    for name in ("model", "out"):
        if getattr(asked, name) is None:
            raise UsageError(f"resnet import needs --{name}", f"write: resnet import {VERBS['import'].usage}")
    network = Run(model=asked.model).model  # which refuses unknown names
    classes = None if asked.classes is None else class_names(asked.classes)
    mean, std = numbers("--mean", asked.mean, 0, 1), numbers("--std", asked.std, 1e-6, 10)
    size = None if asked.size is None else value_of("size", asked.size)
    crop = numbers("--crop", asked.crop, 0.1, 1)
    if crop is not None and len(crop) > 1:
        raise UsageError(f"--crop is {show(asked.crop)}; it takes one number", "change --crop, or leave it out")

    from resnetkit import api

    card, assumed = api.import_weights(
        asked.src,
        model=network,
        out=asked.out,
        classes=classes,
        mean=mean,
        std=std,
        size=size,
        crop=None if crop is None else crop[0],
    )
    for text in assumed:
        print(f"assumed: {plain(text)}", file=sys.stderr)
    if asked.json:
        say(out, {"out": plain(asked.out), "model": card.model, "classes": list(card.classes), "assumed": assumed})
    else:
        say(out, f"wrote {plain(asked.out)}: {card.model} for {len(card.classes)} classes")
    return 0


def models_flags(parser: Parser) -> None:
    parser.word("pattern", "letters in the name, or a quoted pattern such as 'resnet*_cifar'", "maybe")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def models(asked: Namespace, out: TextIO) -> int:
    from resnetkit import describe

    found = describe.listing(asked.pattern)
    if not found:
        raise UsageError(f"no network is called {show(asked.pattern)}", "see them all with: resnet models")
    if asked.json:
        say(out, found)
        return 0
    rows = [("name", "input", "parameters", "multiply-adds")]
    for row in found:
        shape = "x".join(map(str, row["input"]))
        rows.append((row["name"], shape, f"{row['parameters']:,}", f"{row['macs']:,}"))
    say(out, "\n".join(describe.columns(rows)))
    return 0


def describe_flags(parser: Parser) -> None:
    parser.word("model", "the name of a network, a model file, or the folder of a run")
    parser.flag("size", "side of the pictures, or height x width as 192x256", "N")
    parser.flag("mermaid", "print a flowchart that Markdown pages show as a picture")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def describe(asked: Namespace, out: TextIO) -> int:
    if asked.mermaid and (asked.json or asked.size is not None):
        raise UsageError("--mermaid goes with neither --json nor --size", "leave one of them out")
    size: int | tuple[int, int] | None = None
    if asked.size is not None:
        sides = [whole("--size", side, 1, 65536) for side in asked.size.lower().split("x", 1)]
        size = (sides[0], sides[-1])

    from resnetkit import describe as words
    from resnetkit.plan import lay_out
    from resnetkit.zoo import ZOO, find

    name: str = asked.model
    if name not in ZOO and (os.path.lexists(name) or Path(name).suffix == ".safetensors" or Path(name).name != name):
        from resnetkit.modelfile import read_card

        card = read_card(Path(name, "best.safetensors") if os.path.isdir(name) else Path(name))
        name, plan, size = card.model, card.plan, size or card.preprocess.size
    else:
        plan = lay_out(find(name))
    if asked.mermaid:
        say(out, words.mermaid(plan, name).rstrip())
    else:
        say(out, words.as_dict(plan, name, size) if asked.json else words.table(plan, name, size))
    return 0


def doctor_flags(parser: Parser) -> None:
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def examine(asked: Namespace, out: TextIO) -> int:
    from resnetkit import doctor

    report = doctor.examine()
    say(out, report if asked.json else doctor.table(report))
    return 0 if report["device"] else ResourceError.code


VERBS = {
    "train": Verb("DATA [--model NAME] [--out DIR] ...", "learn to tell pictures apart", train_flags, train),
    "eval": Verb(
        "MODEL DATA [--split PART] [--out DIR] [--json]", "measure a model on labelled pictures", eval_flags, evaluate
    ),
    "predict": Verb("MODEL PATH... [--top K] [--json]", "name the classes of pictures", predict_flags, predict),
    "import": Verb(
        "SRC --model NAME --out FILE ...", "make a model file of foreign weights", import_flags, import_weights
    ),
    "models": Verb("[PATTERN] [--json]", "list the networks that have a name", models_flags, models),
    "describe": Verb(
        "MODEL [--size N] [--mermaid] [--json]", "show what a network is made of", describe_flags, describe
    ),
    "doctor": Verb("[--json]", "say what this machine offers", doctor_flags, examine),
}
SYNONYMS = {
    "fit": "train",
    "finetune": "train",
    "val": "eval",
    "validate": "eval",
    "evaluate": "eval",
    "test": "eval",
    "infer": "predict",
    "inference": "predict",
    "classify": "predict",
    "convert": "import",
    "list": "models",
    "ls": "models",
    "zoo": "models",
    "info": "describe",
    "show": "describe",
    "summary": "describe",
    "checks": "doctor",
    "env": "doctor",
    "version": "--version",
    "help": "--help",
}
