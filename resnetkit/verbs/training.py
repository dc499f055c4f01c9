"""resnet train: a run asked for, rehearsed, begun or gone on with, and what is in its folder."""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from resnetkit import recipes
from resnetkit.effect import refuse_idle
from resnetkit.errors import UsageError, many, plain
from resnetkit.flags import Parser, dashed, given
from resnetkit.run import HINTS, Run, override
from resnetkit.runfile import read_file
from resnetkit.tasks import TASKS
from resnetkit.verbs.verb import say

if TYPE_CHECKING:
    from resnetkit.job import Job

NAMES = "hf:OWNER/NAME, digits, mnist, fashion-mnist, cifar10, cifar100, imagenette, imagenette-160 or flowers"


def train_flags(parser: Parser) -> None:
    parser.word("data", f"class folders, a CSV list, IDX, parquet, npz, CIFAR or tar files, {NAMES}", "maybe")
    parser.settings(name for name in HINTS if name != "data")
    parser.flag("resume", "go on with a run that was stopped, to the same end; name DATA if it has moved", "RUN")
    parser.flag("run", "take the settings from a run.json, all but --out; other flags override it", "FILE")
    parser.flag("recipe", "settings that belong together; resnet recipes lists them; other flags override it", "NAME")
    parser.flag("dry-run", "say what would be done, and how long it would take")
    parser.flag("json", "print metrics.json, and nothing else on stdout")


def train(asked: Namespace, out: TextIO) -> int:
    resumed = asked.resume is not None
    run, chosen = (Run(), frozenset[str]()) if resumed else requested(asked)
    if resumed:
        refuse_beside_resume(asked)

    from resnetkit import training
    from resnetkit.report import progress, waiting
    from resnetkit.resolve import refuse_weights

    watch = waiting.counting("looked at")
    if not resumed:
        refuse_weights(run, chosen)
    waiting.fetch(run.data)
    if asked.recipe is not None:
        print(f"recipe    {recipes.line(asked.recipe, settings_given(asked))}", file=sys.stderr)
    if asked.dry_run:
        return rehearse(run, chosen, asked, out)
    if resumed:
        events = training.resuming(asked.resume, data=asked.data, workers=given(asked).get("workers"), watch=watch)
    else:
        events = training.training(run, chosen, watch=watch, fetching=waiting.fetching())
    done = progress.watch_run(events)
    if asked.json:
        say(out, json.loads((done.folder / "metrics.json").read_bytes()))
    for line in contents(done.folder, done.metrics):
        print(line, file=sys.stderr if asked.json else out)
    return 0


def rehearse(run: Run, chosen: frozenset[str], asked: Namespace, out: TextIO) -> int:
    """What a run would be, with nothing written."""
    from resnetkit.budget import planned
    from resnetkit.engine.memory import parted
    from resnetkit.forecast import forecast
    from resnetkit.job import prepare
    from resnetkit.report import waiting
    from resnetkit.runfolder import check_out
    from resnetkit.spans import clock

    check_out(run.out)
    job = prepare(run, chosen, watch=waiting.counting("looked at"), fetching=waiting.fetching())
    if run.budget is not None:
        plan = planned(job, chosen, 0.0)
        job = replace(plan.job, notes=[*job.notes, plan.said])
    lines, cost = dict(job.lines()), forecast(job)
    lines["time"] = f"about {clock(cost.seconds)} here ({cost.seconds_a_step:.3g} seconds a step)"
    lines["memory"] = f"about {cost.bytes / 2**20:,.0f} MiB"
    if run.accumulate is None and cost.parts > 1:
        job.notes.append(parted(job.settings, cost.parts))
    if asked.json:
        notes = [*job.gaps, *job.notes]
        lost = [{"part": one.part, "path": one.path, "error": one.why} for one in job.skipped]
        listed = {"skipped": lost} if lost else {}
        about = {"run": asdict(run), "resolved": resolved(job), "expected": asdict(cost), "notes": notes, **listed}
        say(out, about)
    else:
        say(out, "\n".join(f"{name:<10}{plain(text)}" for name, text in lines.items()))
        for note in [*job.gaps, *job.notes]:
            say(out, f"note: {plain(note)}")
        for one in job.skipped:
            say(out, f"not read: {plain(one.path)}: {plain(one.why)}")
        say(out, "nothing was written; leave out --dry-run to begin")
    return 0


def resolved(job: "Job") -> dict[str, Any]:
    """What was decided for the settings that were left open, and the rest beside it."""
    settings = job.settings
    return {
        "model": settings.model,
        "weights": settings.run.weights,
        "size": list(settings.preprocess.size),
        "channels": settings.preprocess.channels,
        "classes": list(settings.classes),
        "pictures": {name: len(examples.labels) for name, examples in job.sets.items()},
        "batch": settings.batch,
        "steps": settings.steps,
        "epochs": settings.epochs,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "warmup": settings.warmup,
        "task": settings.task,
        "loss": settings.loss,
        "smoothing": settings.smoothing,
        "crop": settings.crop,
        "flip": settings.flip,
        "policy_count": settings.augment.policy_count,
        "device": str(job.machine.device),
        "precision": job.machine.precision,
        "workers": job.workers,
        "reasons": settings.reasons,
    }


def settings_given(asked: Namespace) -> dict[str, Any]:
    """What was asked for that a recipe could say otherwise."""
    return {name: value for name, value in given(asked).items() if name not in ("data", "out")}


def requested(asked: Namespace) -> tuple[Run, frozenset[str]]:
    """The run that the words ask for, and the settings that somebody chose."""
    changes = given(asked)
    if asked.recipe is not None:
        if asked.run is not None:
            raise UsageError("--recipe and --run both say all settings", "give one of the two")
        changes = recipes.settings(asked.recipe, changes)
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
    others += [f"--{name}" for name in ("run", "recipe") if getattr(asked, name) is not None]
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
    "per_tag.csv": "the same for each tag",
    "per_number.csv": "the same for each number",
    "predictions.csv": "the answer to each picture",
    "predictions.png": "the same as a picture",
    "confusion_matrix.csv": "which class was taken for which",
    "confusion_matrix.png": "the same as a picture",
    "reliability.png": "how far probabilities are to be trusted",
    "results.csv": "a row an epoch",
    "curves.png": "the same as a picture",
    "report.html": "all of it on one page, with the worst mistakes",
    "tensorboard": "what happened; tensorboard --logdir shows it",
    "split.csv": "which pictures were trained on",
    "skipped.csv": "which could not be read, and why",
    "run.json": "every setting; resnet train --run repeats the run",
}


def contents(folder: Path, metrics: dict[str, Any]) -> Iterator[str]:
    """What came out of a run, and where everything is."""
    task, right = TASKS[metrics.get("task", "classes")], many(metrics["n"], "picture")
    if "correct" in metrics:
        right = f"{metrics['correct']:,} of {metrics['n']:,} {'with all tags ' if task.name == 'tags' else ''}right"
    yield f"{task.says} {metrics[task.judge]:{task.shown}} on {metrics['split']} ({right})"
    yield from (
        f"{plain(row['name'])}: MAE {row['mae']:.4g}, RMSE {row['rmse']:.4g}" for row in metrics.get("numbers", [])
    )
    yield f"in {plain(folder)}:"
    yield from (f"  {name:<22}{says}" for name, says in CONTENTS.items() if (folder / name).exists())
