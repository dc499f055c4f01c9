"""A sweep as a value: one run, the settings that vary in it, and the trials that follow."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

import resnetkit.run as runs
from resnetkit import dice, runfile
from resnetkit.effect import refuse_idle
from resnetkit.errors import UsageError, plain
from resnetkit.run import Run, override, spell

FORMAT = 1
FIXED = ("data", "out")  # one data set and one folder for all trials
REPEATS = ("seed", "fold")  # are no settings to choose from: the same with each of them, of which the mean counts
MOST = 10_000  # trials


@dataclass(frozen=True)
class Span:
    """Any number from ``low`` to ``high``: drawn by ratio above 0, evenly from 0 or below."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """The number at the share ``u`` of the way."""
        if self.low > 0:
            return math.exp(math.log(self.low) + u * math.log(self.high / self.low))
        return self.low + u * (self.high - self.low)


Axis = tuple[Any, ...] | Span
Search = Literal["grid", "random", "optuna"]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is tried. UsageError where a trial could not run as it is asked for."""

    run: Run
    given: frozenset[str]
    axes: Mapping[str, Axis]
    trials: int | None = None  # drawn by the seed of the run; None: every combination
    search: Search | None = None  # how trials are found (None: at random where they are counted, else all)

    def __post_init__(self) -> None:
        if not self.axes:
            raise UsageError("no setting varies", "give one several values, such as --lr 0.01,0.1")
        for name, axis in self.axes.items():
            if name in FIXED:
                raise UsageError(f"{name} cannot vary in a sweep", "make a sweep for each")
            if isinstance(axis, Span) and name in REPEATS:
                raise UsageError(f"{name} is a span", f"write {name}s with commas: all of them are tried")
            if isinstance(axis, Span) and not axis.low < axis.high:
                raise UsageError(f"{name} goes from {axis.low:g} to {axis.high:g}", "write LOW..HIGH")
            if not isinstance(axis, Span) and len(set(axis)) < len(axis):
                raise UsageError(f"{name} has a value twice", "write each value once")
        if self.search in ("random", "optuna") and self.trials is None:
            raise UsageError(f"a search by {self.search} has no end of its own", "say how many: --trials 20")
        if self.search == "grid" and self.trials is not None:
            raise UsageError("a grid tries every combination", "leave --trials out, or write --search random")
        if self.search == "optuna" and set(self.axes) <= set(REPEATS):
            raise UsageError(
                f"optuna has nothing to choose: only the {' and '.join(self.axes)} varies", "leave --search out"
            )
        spans = [name for name, axis in self.axes.items() if isinstance(axis, Span)]
        if spans and self.trials is None:
            raise UsageError(f"{spans[0]} is a span, which has no end of values", "say how many: --trials 20")
        if not spans and self.trials is not None and self.trials > self.size:
            raise UsageError(f"{self.trials} trials of {self.size} combinations", f"--trials {self.size}, or none")
        if (self.trials or self.size) > MOST:
            raise UsageError(f"{self.trials or self.size:,} trials are more than {MOST:,}", "draw some with --trials")
        if self.search == "optuna":  # a combination that cannot be is a trial that fails
            for name, axis in self.axes.items():
                for value in (axis.low, axis.high) if isinstance(axis, Span) else axis:
                    override(self.run, {name: value})
        for changes in self.changes():
            refuse_idle(override(self.run, changes), self.given | changes.keys())

    @property
    def size(self) -> int:
        """How many combinations there are, where every setting has a list of values; of drawn ones without the seed."""
        once = REPEATS if self.trials is not None else ()
        return math.prod(len(a) for name, a in self.axes.items() if not isinstance(a, Span) and name not in once)

    @property
    def count(self) -> int:
        """How many trials there are when all is done."""
        return self.trials * len(self.repeats) if self.search == "optuna" and self.trials else len(self.changes())

    @property
    def repeats(self) -> list[dict[str, Any]]:
        """With each of these seeds and folds every proposal is tried."""
        lists = {name: axis for name in REPEATS if isinstance(axis := self.axes.get(name), tuple)}
        return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]

    @property
    def chosen(self) -> dict[str, Axis]:
        """The settings that are to be chosen from."""
        return {name: axis for name, axis in self.axes.items() if name not in REPEATS}

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Of the settings that have a list of values, without seed and fold; none where one is a span."""
        lists = {name: axis for name, axis in self.chosen.items() if not isinstance(axis, Span)}
        if len(lists) == len(self.chosen):
            yield from (dict(zip(lists, values, strict=True)) for values in product(*lists.values()))

    def changes(self) -> list[dict[str, Any]]:
        """What each trial has of its own, in order. Settings that are drawn are tried with every seed.

        Of a search by Optuna none is known before: see study.proposed.
        """
        if self.search == "optuna":
            return []
        if self.trials is None:
            return self.settings(self.axes)
        return [{**changes, **again} for changes in self.settings(self.chosen) for again in self.repeats]

    def settings(self, axes: Mapping[str, Axis]) -> list[dict[str, Any]]:
        """All combinations of these axes, or as many draws as are asked for."""
        lists = {name: axis for name, axis in axes.items() if not isinstance(axis, Span)}
        if len(lists) == len(axes):
            grid = [dict(zip(lists, values, strict=True)) for values in product(*lists.values())]
            if self.trials is None:
                return grid
            return [grid[i] for i in sorted(dice.permutation(len(grid), self.run.seed, "sweep")[: self.trials])]
        shares = dice.uniform(np.arange(self.trials or 0), len(axes), self.run.seed, "sweep")
        return [
            {name: drawn(name, axis, float(u)) for (name, axis), u in zip(axes.items(), row, strict=True)}
            for row in shares
        ]


def drawn(name: str, axis: Axis, u: float) -> Any:
    """The value of a setting at the share ``u``: three digits are enough to try."""
    if not isinstance(axis, Span):
        return axis[int(u * len(axis))]
    value = axis.at(u)
    return round(value) if runs.kind_of(name)[0] is int else float(f"{value:.3g}")


def dumps(sweep: Sweep) -> str:
    """A sweep as JSON."""
    axes = {n: {"from": a.low, "to": a.high} if isinstance(a, Span) else list(a) for n, a in sweep.axes.items()}
    about = {
        "format": FORMAT,
        "trials": sweep.trials,
        "search": sweep.search,
        "axes": axes,
        "run": json.loads(runfile.dumps(sweep.run, sweep.given)),
    }
    return json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_file(path: Path) -> Sweep:
    """The sweep in a file that ``dumps`` made; UsageError naming it where it is another thing."""
    fix = "leave sweep.json as it was written, or begin a new sweep"
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise UsageError(f"{plain(path)} has format {plain(document['format'])}, not {FORMAT}", fix)
        run, given = runfile.loads(json.dumps(document["run"]), plain(path))
        axes: dict[str, Axis] = {}
        for name, axis in document["axes"].items():
            runs.refuse_unknown([name])
            if isinstance(axis, dict):
                axes[name] = Span(*(runs.check(name, axis[end]) for end in ("from", "to")))
            else:
                axes[name] = tuple(runs.check(name, value) for value in axis)
        search = document.get("search")  # sweeps from before it was there have none
        if search is not None and search not in get_args(Search):
            raise ValueError(f"search is {search!r}")
        return Sweep(run=run, given=given, axes=axes, trials=document["trials"], search=search)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{plain(path)} is not a sweep: {plain(error)[:200]}", fix) from None


def said(changes: Mapping[str, Any]) -> str:
    """``lr 0.1, batch 64``."""
    return ", ".join(f"{name} {spell(value, name)}" for name, value in changes.items())
