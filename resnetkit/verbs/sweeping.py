"""resnet sweep: the same run with several values of some settings, and which is best."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from resnetkit.arguments import one_of, whole
from resnetkit.errors import DivergedError, UsageError, plain
from resnetkit.flags import Parser, value_of
from resnetkit.run import HINTS, Run, kind_of, override, spell
from resnetkit.verbs.verb import say

if TYPE_CHECKING:
    from resnetkit.sweep import Search, Sweep
    from resnetkit.trials import Place, Trial

SEARCHES = "grid|random|optuna"
WHOLE = ("data", "out", "milestones", "label_column", "separator")  # what is written with commas in it, or never varies


def sweep_flags(parser: Parser) -> None:
    parser.word("data", "what resnet train takes", "maybe")
    parser.settings(name for name in HINTS if name != "data")
    parser.flag("folds", "cross-validation: every combination with each of so many equal parts to validate", "N")
    parser.flag("trials", "how many combinations to draw; spans such as --lr 0.001..0.3 need it [all of them]", "N")
    parser.flag("search", "all combinations, draws, or draws where Optuna expects more [draws if counted]", SEARCHES)
    parser.flag("resume", "go on with a sweep that was stopped", "DIR")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def sweep(asked: Namespace, out: TextIO) -> int:
    texts = {name: text for name, text in vars(asked).items() if name in HINTS and text is not None}
    if asked.resume is not None and (texts or any((asked.trials, asked.search, asked.folds))):
        raise UsageError(
            "--resume goes on with the settings of the sweep", f"write: resnet sweep --resume {plain(asked.resume)}"
        )
    if asked.resume is None and "data" not in texts:
        raise UsageError("resnet sweep needs DATA", "write: resnet sweep digits --lr 0.01,0.1")

    from resnetkit import study, trials
    from resnetkit.report import progress, waiting
    from resnetkit.sweep import said

    with ExitStack() as stack:
        if asked.resume is not None:
            plan, folder = stack.enter_context(trials.reopened(asked.resume))
            if plan.search == "optuna":
                study.require()
        else:
            plan = requested(texts, asked.trials, asked.search, asked.folds)
            if plan.search == "optuna":
                study.require()
            folder = stack.enter_context(trials.begun(plan, texts.get("out")))
        waiting.fetch(plan.run.data)
        every, failed = trials.trials_of(plan, folder), None
        count = plan.count
        for number in range(count):
            if number == len(every):
                every += trials.proposals(plan, every, folder)
            trial = every[number]
            if trial.metrics or trial.diverged:
                continue
            print(f"\ntrial {number + 1} of {count}: {said(trial.changes)}", file=sys.stderr)
            try:
                looking, fetching = waiting.counting("looked at"), waiting.fetching()
                progress.watch_run(trials.attempt(plan, trial, folder, looking, fetching))
            except (DivergedError, UsageError) as error:  # of this trial: others may do
                failed = error if isinstance(error, UsageError) else failed
                print(f"note: this trial ends here, since {plain(error.what)}", file=sys.stderr)
            trials.write_results(plan, every, folder)
        trials.write_results(plan, every, folder)
        places = trials.ranking(every)
        if not places and failed:
            raise failed
        answer(asked, out, plan, places, trials.best(places), folder)
    return 0


def requested(texts: dict[str, Any], count: str | None, search: str | None, folds: str | None) -> "Sweep":
    """The sweep that the words ask for: one value is a setting, several are tried."""
    from resnetkit.sweep import Span, Sweep

    fixed: dict[str, Any] = {}
    axes: dict[str, Any] = {}
    for name, text in texts.items():
        if name in WHOLE or not isinstance(text, str):
            fixed[name] = value_of(name, text)
        elif ".." in text and kind_of(name)[0] in (int, float):
            low, _, high = text.partition("..")
            axes[name] = Span(value_of(name, low), value_of(name, high))
        elif "," in text:
            axes[name] = tuple(value_of(name, part.strip()) for part in text.split(","))
        else:
            fixed[name] = value_of(name, text)
    number = None if count is None else whole("--trials", count, 1, 10_000)
    if folds is not None:
        if "fold" in fixed.keys() | axes.keys():
            raise UsageError("--folds takes all folds in turn, and --fold names some", "give one of the two")
        axes["fold"] = tuple(f"{k}/{folds}" for k in range(1, whole("--folds", folds, 2, 100) + 1))
    run = override(Run(), {**fixed, "out": None})
    way = cast("Search | None", one_of("--search", search, SEARCHES.split("|")))
    return Sweep(run=run, given=frozenset(fixed) - {"out"}, axes=axes, trials=number, search=way)


def answer(
    asked: Namespace, out: TextIO, plan: "Sweep", places: "Sequence[Place]", winner: "Trial", folder: Path
) -> None:
    """What came of a sweep: settings from the best to the worst on validation, and the best run's own figures."""
    metrics = winner.metrics
    assert metrics is not None  # only trials that are done have a place
    if asked.json:
        ranking = [
            {
                "changes": place.changes,
                f"val_{place.task.judge}": place.judged,
                "standard_deviation": place.spread,
                "runs": [str(trial.folder) for trial in place.trials],
            }
            for place in places
        ]
        say(out, {"ranking": ranking, "best": str(winner.folder), "metrics": metrics})
        return
    from resnetkit.report.tables import line_up
    from resnetkit.sweep import said

    names = list(plan.chosen)
    task = places[0].task
    header = [*names, f"val {task.says}", "spread", "runs"]
    rows = [
        [
            *(spell(place.changes[name], name) for name in names),
            f"{place.judged:{task.shown}}",
            f"{place.spread:{task.shown}}" if len(place.trials) > 1 else "",
            str(len(place.trials)),
        ]
        for place in places
    ]
    say(out, "\n".join(line_up([header, *rows], left=0)))
    if names:  # of seeds and folds none is better than the others, only luckier
        say(out, f"\nbest on validation: {plain(winner.folder)} ({said(winner.changes)})")
        say(out, f"its {task.says} on {metrics['split']}: {metrics[task.judge]:{task.shown}} of {metrics['n']:,}")
    say(out, f"every trial is in {plain(folder)}: sweep.csv, sweep.png and a folder each")
