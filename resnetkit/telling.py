"""What a run is going to do, in words."""

from collections.abc import Mapping

from resnetkit import cost
from resnetkit.effect import UNTUNED
from resnetkit.engine.device import Machine
from resnetkit.engine.teacher import Teacher
from resnetkit.errors import plain, some
from resnetkit.run import Run
from resnetkit.settings import Settings
from resnetkit.tasks import TASKS


def lines(
    settings: Settings,
    pictures: Mapping[str, int],
    machine: Machine,
    workers: int,
    teacher: Teacher | None,
    skipped: int = 0,
) -> list[tuple[str, str]]:
    """What is going to happen, for people."""
    s, why = settings, settings.reasons
    h, w = s.preprocess.size
    total = cost.totals(s.plan, s.preprocess.size)
    counts = ", ".join(f"{count:,} {name}" for name, count in pictures.items())
    rows = [
        ("data", f"{counts} pictures {of_what(s)}: {some(s.classes, 10)}{held_out(s.run, skipped)}"),
        (
            "network",
            f"{s.model}, {total.parameters:,} parameters, {cost.brief(total.macs)} multiply-adds a picture",
        ),
        (
            "picture",
            f"{h}x{w}, {s.preprocess.channels} channel{'s' * (s.preprocess.channels > 1)}, {s.preprocess.resize}",
        ),
        ("augment", variation(s)),
        ("fine-tune", tuning(s)),
        ("length", f"{s.steps:,} steps of {s.batch} pictures = {said_epochs(s.epochs)} of {s.epoch_steps:,} steps"),
        ("learning", ", ".join(extras(s))),
        ("teacher", heard(teacher, s.run) if teacher else ""),
        ("optimizer", f"{s.run.optimizer}, learning rate {s.lr:.4g} ({s.run.schedule}), decay {s.weight_decay:g}"),
        ("machine", f"{machine.device}, {machine.precision}, {workers} reading threads"),
    ]
    if s.mode.name == "head":  # no step is taken
        rows = [(name, text) for name, text in rows if name not in ("length", "learning", "optimizer")]
    if s.run.batch is not None and "batch" in why:
        rows.append(("batch", why["batch"]))
    reason = {"data": "", "network": "model", "picture": "size", "augment": "", "length": "steps"}
    reason |= {"optimizer": "lr", "machine": "", "batch": "", "learning": "", "fine-tune": "", "teacher": ""}
    told = [(name, text) for name, text in rows if text]
    return [(name, text + (f" ({why[reason[name]]})" if reason[name] in why else "")) for name, text in told]


def said_epochs(count: float) -> str:
    return "1 epoch" if count == 1 else f"{count:.4g} epochs"


def tuning(settings: Settings) -> str:
    """What learns of given weights, and of which looks, in words."""
    mode, stages = settings.mode, len(settings.plan.stages)
    last = stages - mode.frozen
    looks = f"of {mode.views} looks at each picture"
    said = {
        "none": "",
        "head": f"head: a linear head is solved on features {looks}",
        "stages": f"stages: head first, then the last {f'{last} stages' if last > 1 else 'stage'} too, on maps {looks}",
        "full": "full: head first, then all that there is",
    }[mode.name]
    return f"{said} ({mode.reason})" if mode.reason else said


def held_out(run: Run, skipped: int) -> str:
    """What is said of the pictures that validate, beside how many they are, and of those that are left out."""
    said = [f"fold {run.fold} validates"] if run.fold else []
    said += [f"groups by {plain(run.group_pattern)}"] if run.group_pattern else []
    said += [f"{skipped:,} cannot be read and {'is' if skipped == 1 else 'are'} skipped"] if skipped else []
    return f"; {', '.join(said)}" if said else ""


def of_what(settings: Settings) -> str:
    one, many = TASKS[settings.task].one, TASKS[settings.task].name
    count = len(settings.classes)
    return f"{'of' if one == 'class' else 'with'} {count} {one if count == 1 else many}"


def extras(settings: Settings) -> list[str]:
    """What a run does beside the usual, in words."""
    run = settings.run
    said = {
        f"loss {run.loss}": run.loss not in ("auto", "cross-entropy"),
        f"pictures count as {run.weight_column} says": run.weight_column is not None,
        "rare classes weigh more": run.class_weights == "balanced",
        "classes shown equally often": run.sampling == "balanced",
        f"dropout {run.dropout:g}": run.dropout > 0,
        f"inner-dropout {run.inner_dropout:g}": run.inner_dropout > 0,
        f"drop-path {run.drop_path:g}": run.drop_path > 0,
        f"layer decay {run.layer_decay:g}": run.layer_decay < 1,
        f"l1 {run.l1:g}": run.l1 > 0,
        f"batches in {run.accumulate} parts": (run.accumulate or 1) > 1,
        f"pull {run.pull:g} to the weights it begins with": run.pull > 0,
        "norms keep their statistics": settings.freeze_norms,
        f"mean of the weights ({run.ema})": run.ema is not None,
        f"patience {run.patience}": run.patience is not None,
    }
    return [text for text, holds in said.items() if holds]


def heard(teacher: Teacher, run: Run) -> str:
    """Who the teacher is and how it is heard, in words."""
    who = f"{teacher.card.model} of {plain(run.teacher)} (SHA-256 {teacher.digest[:12]}...)"
    warmth = f" at temperature {run.teacher_temperature:g}" if teacher.card.task != "numbers" else ""
    said = [f"{run.teacher_share:g} of the loss{warmth}"] if run.teacher_share else []
    said += [f"features {run.teacher_features:g}"] if run.teacher_features else []
    return f"{who}, {', '.join(said)}"


def variation(settings: Settings) -> str:
    """How training pictures vary: all that is on, in the order in which it happens."""
    run, augment, why = settings.run, settings.augment, settings.reasons.get("flip")
    said = [f"crop {augment.crop}", f"flip {'yes' if augment.flip else 'no'}" + (f" ({why})" if why else "")]
    if run.policy in UNTUNED:
        said += [run.policy] if run.policy != "none" else []
    else:
        said.append(f"{run.policy} {augment.policy_count} x {run.policy_strength:g}")
    said += [f"{name} {getattr(run, name):g}" for name in ("jitter", "hue", "cutout", "erase") if getattr(run, name)]
    said += [" or ".join(f"{name} {getattr(run, name):g}" for name in ("mixup", "cutmix") if getattr(run, name))]
    said += [f"each {run.repeats} times in a batch"] if run.repeats > 1 else []
    return ", ".join(filter(None, said))
