"""The runs of a sweep: each one begun, gone on with or left as it is, and which is best on validation."""

import json
import shutil
import statistics
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnetkit import download, files, runfile, study
from resnetkit import sweep as sweeps
from resnetkit.engine.stop import Stopped
from resnetkit.errors import DivergedError, KitError, UsageError, plain
from resnetkit.job import Watch
from resnetkit.report import tables
from resnetkit.run import Run, override, spell
from resnetkit.runfolder import RUNS, RunFolder, check_out
from resnetkit.sweep import Sweep
from resnetkit.tasks import TASKS, Task, judged_by
from resnetkit.training import Event, resuming, training


@dataclass(frozen=True)
class Trial:
    """One run of a sweep, done or to come."""

    folder: Path
    changes: dict[str, Any]

    @property
    def metrics(self) -> dict[str, Any] | None:
        """What the run came to; None while it is not done."""
        if RunFolder(self.folder).read_status() != "done":
            return None
        metrics: dict[str, Any] = json.loads((self.folder / "metrics.json").read_bytes())
        return metrics

    @property
    def diverged(self) -> bool:
        status = RunFolder(self.folder).path / "status.json"
        return status.exists() and json.loads(status.read_bytes()).get("exit_code") == DivergedError.code


@dataclass(frozen=True)
class Place:
    """What equal settings came to, over their seeds and folds, on validation."""

    changes: dict[str, Any]  # without seed and fold
    trials: tuple[Trial, ...]  # that are done, the best first
    task: Task
    judged: float  # mean
    spread: float  # standard deviation over seeds and folds; 0 for one


@contextmanager
def begun(sweep: Sweep, out: str | None) -> Iterator[Path]:
    """A new folder for a sweep, locked. Gone again where the sweep ends in an error before any trial has begun."""
    check_out(out)
    before = {path for path in (RUNS, Path(out or RUNS)) if path.exists()}
    folder = RunFolder.create(out, "sweep")
    try:
        with folder.locked():
            files.write_text(folder.path / "sweep.json", sweeps.dumps(sweep))
            yield folder.path
    except KitError as error:
        if not isinstance(error, Stopped):
            leave_nothing(folder.path, before)
        raise


def leave_nothing(folder: Path, before: set[Path]) -> None:
    """Take back the folder of a sweep of which no trial has begun, such as one whose data cannot be read."""
    if {entry.name for entry in folder.iterdir()} <= {".lock", "sweep.json", "sweep.csv"}:
        for entry in folder.iterdir():
            entry.unlink()
        for made in (folder, RUNS):
            if made not in before:
                with suppress(OSError):  # there may be other runs by now
                    made.rmdir()


@contextmanager
def reopened(path: str | Path) -> Iterator[tuple[Sweep, Path]]:
    """The folder of a sweep that was begun, locked."""
    folder = RunFolder(Path(path))
    if not (folder.path / "sweep.json").is_file():
        raise UsageError(f"{plain(path)} holds no sweep: it has no sweep.json", "name the folder that --out named")
    with folder.locked():
        yield sweeps.read_file(folder.path / "sweep.json"), folder.path


def trials_of(sweep: Sweep, folder: Path) -> list[Trial]:
    """All trials of a sweep; of a search by Optuna, where each follows from those before, none yet."""
    every = sweep.changes()
    return [Trial(place(folder, i, len(every)), changes) for i, changes in enumerate(every)]


def place(folder: Path, number: int, count: int) -> Path:
    """The folder of one trial of ``count``."""
    return folder / f"{number:0{len(str(count - 1))}d}"


def proposals(sweep: Sweep, before: Sequence[Trial], folder: Path) -> list[Trial]:
    """What Optuna tries after the trials ``before``, which are over: the same settings with every seed and fold.

    It is told the mean accuracy on validation, or of settings of which a trial diverged or could not be, a failure.
    """
    repeats, past = sweep.repeats, []
    for start in range(0, len(before), len(repeats)):
        group = before[start : start + len(repeats)]
        figures = [metrics[judge(metrics)] for trial in group if (metrics := trial.metrics)]
        past.append((once(group[0]), statistics.mean(figures) if len(figures) == len(repeats) else None))
    folders = [place(folder, len(before) + i, sweep.count) for i in range(len(repeats))]
    begun = next((path / "run.json" for path in folders if (path / "run.json").is_file()), None)
    if begun is not None:  # by another version of Optuna, it may be
        run, _ = runfile.read_file(begun)
        changes = {name: getattr(run, name) for name in sweep.chosen}
    else:
        changes = study.proposed(sweep, past)
    return [Trial(path, {**changes, **again}) for path, again in zip(folders, repeats, strict=True)]


def attempt(
    sweep: Sweep, trial: Trial, folder: Path, watch: Watch | None = None, fetching: download.Watch | None = None
) -> Generator[Event]:
    """The events of one trial that is not done. What it stopped at before is gone on with."""
    try:
        if (trial.folder / "run.json").exists():
            yield from resuming(trial.folder, watch=watch)
            return
        shutil.rmtree(trial.folder, ignore_errors=True)  # begun, but without anything to go on from
        run = override(sweep.run, {**trial.changes, "out": str(trial.folder)})
        run = replace(run, weights=settled(run, folder))
        yield from training(run, sweep.given | trial.changes.keys(), watch=watch, fetching=fetching)
    except Stopped as stopped:
        raise Stopped(stopped.what, f"resnet sweep --resume {plain(folder)}", stopped.code) from stopped


def settled(run: Run, folder: Path) -> str:
    """What a trial begins from: where nobody says, what an earlier one of its network began from."""
    if run.weights != "auto":
        return run.weights
    for path in sorted(folder.glob("*/run.json")):
        before, _ = runfile.read_file(path)
        if (before.model, before.init, before.zero_init) == (run.model, run.init, run.zero_init):
            return before.weights
    return "auto"


def ranking(trials: Sequence[Trial]) -> list[Place]:
    """The best on validation first; of equals the one with the lower loss. Test figures play no part."""
    alike: dict[str, list[tuple[Trial, dict[str, Any]]]] = {}
    for trial in trials:
        metrics = trial.metrics
        if metrics is not None:
            alike.setdefault(sweeps.said(once(trial)), []).append((trial, metrics))
    places = []
    for group in alike.values():
        group.sort(key=lambda pair: (-pair[1][judge(pair[1])], pair[1]["val_loss"]))
        figures = [metrics[judge(metrics)] for _, metrics in group]
        loss = statistics.mean(metrics["val_loss"] for _, metrics in group)
        spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
        trials_of_it, task = tuple(trial for trial, _ in group), judged_by(group[0][1])
        place = Place(once(group[0][0]), trials_of_it, task, statistics.mean(figures), spread)
        places.append((-place.judged, loss, place))
    return [place for _, _, place in sorted(places, key=lambda item: item[:2])]


def judge(metrics: dict[str, Any]) -> str:
    """What the figure on validation is called that runs of this task are compared by."""
    return f"val_{judged_by(metrics).judge}"


def once(trial: Trial) -> dict[str, Any]:
    """What a trial has in common with those that repeat it."""
    return {name: value for name, value in trial.changes.items() if name not in sweeps.REPEATS}


def write_results(sweep: Sweep, trials: Sequence[Trial], folder: Path) -> None:
    """sweep.csv, a row a trial, and sweep.png."""
    from resnetkit.report import pictures

    done = [metrics for trial in trials if (metrics := trial.metrics)]
    task = judged_by(done[0]) if done else TASKS["classes"]
    header = ["run", *sweep.axes, "status", f"val_{task.judge}", "val_loss", "epoch"]
    rows = []
    for trial in trials:
        metrics, values = trial.metrics, [spell(trial.changes[name], name) for name in sweep.axes]
        figures = [None if metrics is None else metrics[name] for name in header[-3:]]
        status = "done" if metrics else "diverged" if trial.diverged else state_of(trial)
        rows.append([trial.folder.name, *values, status, *figures])
    tables.write_csv(folder / "sweep.csv", header, rows)
    points = [(trial.changes, metrics[judge(metrics)]) for trial in trials if (metrics := trial.metrics)]
    if points:
        pictures.sweep_picture(folder / "sweep.png", list(sweep.axes), points, task)


def state_of(trial: Trial) -> str:
    return RunFolder(trial.folder).read_status() if trial.folder.exists() else "none"


def best(places: Sequence[Place]) -> Trial:
    if not places:
        raise DivergedError("every trial of this sweep diverged", "try lower learning rates")
    return places[0].trials[0]
