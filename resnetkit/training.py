"""A training run from its first step to its folder full of results: begun, or gone on with."""

import json
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import resnetkit.run as runs
from resnetkit import download, files, modelfile, runfile
from resnetkit.answers import Answers, join
from resnetkit.budget import planned
from resnetkit.calibration import temperature
from resnetkit.data.skipped import FILE as SKIPPED
from resnetkit.data.skipped import Skipped, read_skipped, write_skipped
from resnetkit.data.split import Row, read_split, write_split
from resnetkit.engine import checkpoint, memory
from resnetkit.engine.device import Machine, threads
from resnetkit.engine.evaluate import answer, answer_maps
from resnetkit.engine.maps import Lessons, Looked
from resnetkit.engine.state import State
from resnetkit.engine.step import Tick
from resnetkit.engine.stop import Stop, Stopped, listening, until
from resnetkit.engine.train import Epoch, Save, Split, fit, score
from resnetkit.errors import DataError, KitError, UsageError, WeightsError, many, plain, some
from resnetkit.examined import examined
from resnetkit.job import Job, Watch, kept, prepare
from resnetkit.lessons import begin
from resnetkit.page.runs import run_page
from resnetkit.report import board, tables
from resnetkit.report.results import picture_notes, write_curves, write_evaluation
from resnetkit.run import Run
from resnetkit.runfolder import RunFolder, check_out
from resnetkit.settings import Settings
from resnetkit.spans import duration
from resnetkit.tasks import TASKS


@dataclass(frozen=True)
class Note:
    """Something worth saying once."""

    text: str


@dataclass(frozen=True)
class Begin:
    """All is decided; the first step comes next."""

    job: Job
    folder: Path
    step: int  # done before, in a run that goes on


@dataclass(frozen=True)
class Done:
    """The run is over, and everything stands in its folder."""

    folder: Path
    metrics: dict[str, Any]
    seconds: float  # of this process


Event = Note | Begin | Looked | Tick | Epoch | Done


def training(
    run: Run,
    given: frozenset[str] = frozenset(),
    *,
    watch: Watch | None = None,
    fetching: download.Watch | None = None,
) -> Generator[Event]:
    """A new run. Nothing is written before the first event; raises Stopped after a polite signal."""
    check_out(run.out)
    began, until = time.monotonic(), None
    job = prepare(run, given, watch=watch, fetching=fetching)
    if run.budget is not None:
        until = began + duration(run.budget, "budget")
        plan = planned(job, given, time.monotonic() - began)
        job = replace(plan.job, notes=[*job.notes, plan.said])
    run = job.settings.run  # weights are named as they were found, and the length as it was planned, for all times
    given -= {"allow_unpinned", "budget"}
    folder = RunFolder.create(run.out, job.settings.model)
    with folder.locked(), threads(job.pass_macs):
        write_split(folder.path / "split.csv", job.split)
        if job.skipped:
            write_skipped(folder.path / SKIPPED, job.skipped)
        if run.weights != "none":
            modelfile.save(folder.start, job.model.state_dict(), job.start_card)
        files.write_text(folder.settings, runfile.dumps(run, given))  # last: with it the folder can be resumed
        yield from work(job, folder, until)


def resuming(
    path: str | Path, *, data: str | None = None, workers: int | None = None, watch: Watch | None = None
) -> Generator[Event]:
    """A run gone on with, where it was stopped or killed; its end is the end it would have had.

    ``data`` is where the pictures are now, should they have moved.
    """
    folder = RunFolder.open(path)
    with folder.locked():
        run, given = runfile.read_file(folder.settings)
        moved: dict[str, Any] = {
            name: value for name, value in (("data", data), ("workers", workers)) if value is not None
        }
        run = runs.override(run, moved)
        start = folder.start if run.weights != "none" else None
        job = prepare(run, given, start=start, begun_before=True, watch=watch)
        refuse_changes(job, read_split(folder.path / "split.csv"), read_skipped(folder.path / SKIPPED), folder)
        with threads(job.pass_macs):
            yield from work(job, folder)


def refuse_changes(job: Job, split: list[Row], left_out: list[Skipped], folder: RunFolder) -> None:
    """The data must be what it was, picture for picture: those that were skipped, too."""
    then, now = known(split, left_out), known(job.split, job.skipped)
    gone, new = then.keys() - now.keys(), now.keys() - then.keys()
    other = {place for place in then.keys() & now.keys() if then[place] != now[place]}
    if gone or new or other:
        broken = sum(then[place][0] and not now[place][0] for place in other)
        mended = sum(now[place][0] and not then[place][0] for place in other)
        said = [f"{len(other)} changed"]
        said += [f"{broken} of them cannot be read any more"] if broken else []
        said += [f"{mended} of them could not be read then"] if mended else []
        raise DataError(
            f"the data has changed since {plain(folder.path)} was begun: {many(len(gone), 'picture')} gone, "
            f"{len(new)} new, {', '.join(said)}: {some(sorted(name for _, _, name in gone | new | other))}",
            "put the data back as it was, or begin a new run",
        )


def known(split: list[Row], left_out: list[Skipped]) -> dict[tuple[str, str, str], tuple[bool, str]]:
    """Of each picture by part, class and name whether it can be read, and the hash of its bytes."""
    readable = {(row.part, row.label, row.name): (True, row.digest) for row in split}
    return readable | {(one.part, one.label, one.path): (False, one.digest) for one in left_out}


def refuse_other_run(snapshot: checkpoint.Snapshot, job: Job, folder: RunFolder) -> None:
    """A checkpoint belongs to the settings it was made with; one that it does not know yet was at its default."""
    before, now = snapshot.values.get("run"), json.loads(json.dumps(job.card.run))
    before = {**json.loads(json.dumps(kept(Run()))), **(before if isinstance(before, dict) else {})}
    teachers = [about.get("teacher") for about in (before, now)]
    if None not in teachers and teachers[0] != teachers[1]:
        raise WeightsError(
            f"the teacher {plain(job.settings.run.teacher)} is not the one that this run began with, whose SHA-256 is "
            f"{teachers[0]}",
            "put that file back, or begin a new run",
        )
    if before != now:
        names = [name for name in now if before.get(name) != now[name]]
        raise UsageError(
            f"{plain(folder.settings)} is not what it was when the checkpoint was made: {some(names)}",
            "put it back as it was, or begin a new run with resnet train --run",
        )


def work(job: Job, folder: RunFolder, until: float | None = None) -> Generator[Event]:
    """Train to the end, measure, and leave everything in the folder. The folder is locked already.

    ``until`` is when the clock ends a run that is slower than was planned, behind an epoch.
    """
    began, run, task = time.monotonic(), job.settings.run, TASKS[job.settings.task]
    yield from (Note(f"{text}; see {SKIPPED}") for text in job.gaps)
    yield from (Note(text) for text in job.notes)
    state = State.start(job.model, job.settings, job.machine, job.teacher)
    snapshot, damage = checkpoint.newest(folder.checkpoints)
    yield from (Note(text) for text in damage)
    if snapshot is None and folder.quarantine.exists():
        raise WeightsError(
            f"{plain(folder.path)} has no checkpoint that is whole; the damaged ones are in {plain(folder.quarantine)}",
            f"begin a new run: resnet train --run {plain(folder.settings)}",
        )
    if snapshot is not None:
        refuse_other_run(snapshot, job, folder)
        yield from (Note(text) for text in differences(snapshot, job.machine))
        try:
            state.restore(snapshot)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            what = f"the newest checkpoint of {plain(folder.path)} is not one of this run: {plain(error)[:200]}"
            raise WeightsError(what, "begin a new run") from error
        if run.accumulate is None and job.passes > state.parts:
            yield Note(f"memory is shorter than when this run began; it goes on in {state.parts} parts all the same")
    else:
        state.parts = job.passes
        if run.accumulate is None and state.parts > 1:
            yield in_parts(job, folder, state)
            save(job, folder, state)  # gone on with in as many parts, however much memory there is then
    folder.status("running", step=state.step, steps=job.settings.steps, **job.skips)
    folder.journal("begin", step=state.step, machine=job.machine.fingerprint(), lines=dict(job.lines()))
    yield Begin(job, folder.path, state.step)
    try:
        with (
            listening() as stop,
            board.opened(folder.path / "tensorboard", state.step, task, wanted=run.tensorboard) as shown,
        ):
            if shown and not state.step:
                shown.begin(dict(job.lines()) | asdict(run))
            lessons = yield from prepared(job, folder, state, stop)
            if not stop:
                yield from steps(job, folder, state, stop, shown, lessons, until)
            if not stop and state.step < job.settings.steps:
                yield Note(early(state, job.settings))
            metrics = None if stop else conclude(job, folder, state, stop, lessons)
            if shown and metrics is not None:
                shown.end(state.step, metrics, folder.path)
        if metrics is None:
            raise Stopped(
                f"stopped by {stop.reason} after step {state.step} of {job.settings.steps}; everything is saved",
                f"resnet train --resume {plain(folder.path)}",
                stop.code,
            )
    except BaseException as error:
        status = "stopped" if isinstance(error, Stopped | GeneratorExit) else "failed"
        why = (
            {"exit_code": error.code, "reason": error.what} if isinstance(error, KitError) else {"reason": repr(error)}
        )
        folder.status(status, step=state.step, **why, **job.skips)
        folder.journal(status, step=state.step, **why)
        raise
    yield from (Note(text) for text in picture_notes(job.settings.classes))
    folder.status("done", step=state.step, exit_code=0, **job.skips)
    folder.journal("done", step=state.step, seconds=time.monotonic() - began)
    yield Done(folder.path, metrics, time.monotonic() - began)


def in_parts(job: Job, folder: RunFolder, state: State) -> Note:
    """Written down and said: how batches go through the network where memory is short."""
    folder.journal("parts", step=state.step, parts=state.parts)
    return Note(memory.parted(job.settings, state.parts))


def prepared(
    job: Job, folder: RunFolder, state: State, stop: Stop
) -> Generator[Note | Looked | Epoch, None, Lessons | None]:
    """The maps that a fine-tuning run has in place of pictures, if they stay true; and first of all its head."""
    has_head = bool(state.history)
    found = yield from noted(begin(job, state, stop, has_head=has_head))
    if found is None:
        return None
    if not has_head:
        epoch = score(state, job.settings, job.machine, job.sets["val"], job.workers, stop, found)
        if epoch is None:
            return None
        record(folder, state, epoch)
        yield epoch
        if job.settings.steps or stop:  # a head alone is saved by fit, which has nothing else to do
            save(job, folder, state)
    return found if job.settings.mode.freezes else None


def noted(looks: Generator[Looked | str, None, Lessons | None]) -> Generator[Note | Looked, None, Lessons | None]:
    while True:
        try:
            event = next(looks)
        except StopIteration as end:
            return end.value
        yield Note(event) if isinstance(event, str) else event


def record(folder: RunFolder, state: State, epoch: Epoch) -> None:
    tables.write_epochs(folder.path / "results.csv", state.history)
    folder.journal("epoch", **epoch.row, best=epoch.best)


def steps(
    job: Job,
    folder: RunFolder,
    state: State,
    stop: Stop,
    shown: board.Board | None,
    lessons: Lessons | None,
    until: float | None,
) -> Iterator[Note | Tick | Epoch]:
    """fit(), with what it brings written down as it comes."""
    train_set, val_set = job.sets["train"], job.sets["val"]
    with closing(
        fit(
            state,
            job.settings,
            job.machine,
            train_set,
            val_set,
            workers=job.workers,
            stop=stop,
            lessons=lessons,
            until=until,
        )
    ) as events:
        for event in events:
            if isinstance(event, Save):
                if shown:
                    shown.flush()
                save(job, folder, state)
                continue
            if isinstance(event, Split):
                yield in_parts(job, folder, state)
                continue
            if isinstance(event, Epoch):
                record(folder, state, event)
            if shown:
                shown.take(event)
            yield event


def early(state: State, settings: Settings) -> str:
    """Why a run ends before its last step."""
    best, last = state.best, state.history[-1]["epoch"]
    assert best is not None
    if not state.over(settings):
        return f"ended after epoch {last}, step {state.step} of {settings.steps}: the time of the run is over"
    return f"ended after epoch {last}: none since epoch {best['epoch']} was better, and patience is over"


def save(job: Job, folder: RunFolder, state: State) -> None:
    """Keep what resume needs, and the model files as they are now."""
    snapshot = state.snapshot()
    snapshot.values["machine"] = job.machine.fingerprint()
    snapshot.values["run"] = job.card.run
    checkpoint.save(folder.checkpoints, snapshot)
    for name, row, tensors in (
        ("best", state.best, state.best_weights),
        ("last", last_row(state), state.judged.state_dict()),
    ):
        if row is not None:
            modelfile.save(folder.path / f"{name}.safetensors", tensors, replace(job.card, metrics=chosen_by(job, row)))
    folder.status("running", step=state.step, steps=job.settings.steps, **job.skips)


def chosen_by(job: Job, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a model file says of the epoch that it is of."""
    judge = TASKS[job.settings.task].judge
    return {"split": "val", judge: row[f"val_{judge}"], "loss": row["val_loss"], "epoch": row["epoch"]}


def last_row(state: State) -> Any:
    """The row of the newest epoch, if nothing was learned since."""
    return state.history[-1] if state.history and state.history[-1]["step"] == state.step else None


def conclude(
    job: Job, folder: RunFolder, state: State, stop: Stop, lessons: Lessons | None = None
) -> dict[str, Any] | None:
    """Measure the best network on test, where there is one, else on validation. None where a stop came first.

    ``lessons`` spare the validation pictures the way through the stages that did not learn. Of classes the validation
    pictures also give the temperature, which best.safetensors keeps.
    """
    best, card = state.best, job.card
    assert best is not None  # a run has at least one epoch
    job.model.load_state_dict(state.best_weights)
    split = "test" if "test" in job.sets else "val"
    answers = answered(job, split, stop, lessons)
    if stop:
        return None
    if card.task == "classes":
        val = answers if split == "val" else answered(job, "val", stop, lessons)
        if stop:
            return None
        card = replace(card, temperature=temperature(val.logits, val.labels))
        modelfile.save(
            folder.path / "best.safetensors", state.best_weights, replace(card, metrics=chosen_by(job, best))
        )
    part, answers = job.with_skipped(split, answers)
    evaluation = examined(card, split, part, answers)
    judge = f"val_{TASKS[job.settings.task].judge}"
    more = {"epoch": best["epoch"], judge: best[judge], "val_loss": best["val_loss"], **job.skips}
    write_evaluation(folder.path, evaluation, **more)
    write_curves(folder.path, state.history)
    run_page(folder.path / "report.html", replace(job, card=card), state.history, evaluation)
    return evaluation.as_dict() | more


def answered(job: Job, part: str, stop: Stop, lessons: Lessons | None) -> Answers:
    """What the network says of a part, in float32: to the bit what `resnet eval` hears."""
    seen, exact = job.sets[part], Machine(job.machine.device, "fp32")
    if lessons and part == "val":
        maps = answer_maps(job.model, lessons.val, lessons.stages, seen.labels, seen.preprocess, exact)
        return join(until(stop, maps))
    return join(until(stop, answer(job.model, seen, exact, job.workers)))


def differences(snapshot: checkpoint.Snapshot, machine: Machine) -> list[str]:
    """Why a resumed run may not end with the very same bits."""
    before, now = snapshot.values.get("machine"), machine.fingerprint()
    before = before if isinstance(before, dict) else {}
    changed = [f"{name} {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    return [f"not exact to the bit from here: {', '.join(changed)}"] if changed else []
