"""The page of a run."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetkit.engine.device import Machine
from resnetkit.errors import plain
from resnetkit.evaluation import Examined
from resnetkit.explain.explanation import heating
from resnetkit.job import Job
from resnetkit.page.course import course
from resnetkit.page.page import Page, write_page
from resnetkit.page.story import Rows, about, examined_sections, settings
from resnetkit.page.thumbs import Thumbs
from resnetkit.page.trouble import beside_a_run
from resnetkit.page.verdict import verdict
from resnetkit.trouble.finding import Finding


def run_page(path: Path, job: Job, history: Sequence[Mapping[str, Any]], evaluation: Examined) -> None:
    """Of a finished run: its figures are those of its metrics.json."""
    run = job.settings.run
    place, data = shlex.quote(plain(path.parent)), shlex.quote(plain(run.data))
    commands = [f"resnet train --run {place}/run.json", f"resnet eval {place} {data}", f"resnet predict {place} FILE"]
    commands += [f"resnet check {data} --model {place}"] if job.settings.task == "classes" else []
    pictures = {name: len(part.names) for name, part in job.parts.items()}
    thumbs = Thumbs(evaluation.read, heating(job.card, job.model, Machine(job.machine.device, "fp32")))
    sections = [
        *course(history),
        *beside_a_run(job.class_sizes, pictures, [*unreadable(job), *job.troubles]),
        *examined_sections(evaluation, thumbs),
        settings(settings_of(job), commands, job.lines()),
    ]
    write_page(path, Page(f"{job.card.model}: {plain(run.data)}", verdict(evaluation), sections, thumbs))


def unreadable(job: Job) -> list[Finding]:
    """The pictures that were skipped, as a check finds them."""
    every = ((one, f"{one.part}/{one.path}") for one in job.skipped)
    return [Finding("unreadable", one.why, one.part, paths=(path,), labels=(one.label,)) for one, path in every]


def settings_of(job: Job) -> Rows:
    """What a run was made of, in names and numbers that every language shares."""
    s, run = job.settings, job.settings.run
    rows = [("data", plain(run.data)), *about(job.card), ("weights", plain(run.weights)), ("mode", s.mode.name)]
    if s.steps:
        rows += [("epochs", f"{s.epochs:.4g}"), ("steps", f"{s.steps:,}"), ("batch", f"{s.batch:,}")]
        rows += [
            ("optimizer", run.optimizer),
            ("rate", f"{s.lr:.4g} ({run.schedule})"),
            ("decay", f"{s.weight_decay:g}"),
        ]
    flags = ["--flip" if s.augment.flip else "--no-flip", "--crop", str(s.augment.crop), "--policy", str(run.policy)]
    for name in ("jitter", "hue", "cutout", "erase", "mixup", "cutmix", "smoothing"):
        flags += [f"--{name}", f"{value:g}"] if (value := getattr(s if name == "smoothing" else run, name)) else []
    machine = f"{job.machine.device}, {job.machine.precision}"
    return [*rows, ("variation", " ".join(flags)), ("seed", str(run.seed)), ("machine", machine)]
