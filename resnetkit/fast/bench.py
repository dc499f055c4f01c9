"""How fast a network answers in every way there is here: latency, throughput, memory, size, and what it costs.

Ways take turns, so that a busy minute of the machine is every way's, and each turn begins with a pass that is not
counted.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import likeness
from resnetkit.engine.device import Machine, half
from resnetkit.errors import LONGEST, UsageError, plain
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.ways import EAGER, OTHERS, Run, Way, eager, installed, opened, ways
from resnetkit.modelfile import Card
from resnetkit.network import Network

TURN = 0.5  # seconds that a way runs for at a time, and at least so many passes
PASSES = 3
REST = 0.05  # seconds before a turn, in which the threads of the way before come to rest
NOTHING = 1e-4  # a change as good as none
Watch = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """Passes over batches of one size."""

    batch: int
    p50: float  # seconds of a pass
    p99: float
    low: float  # the lowest and the highest median of a turn
    high: float
    passes: int

    @property
    def per_second(self) -> float:
        """Pictures."""
        return self.batch / self.p50


@dataclass
class Row:
    """One way, and all that is known of it."""

    way: Way
    opening: float = 0.0  # seconds until it is ready, with the network at hand
    speeds: list[Speed] = field(default_factory=list)
    memory: int | None = None  # bytes: the most that a process of its own held
    size: int | None = None  # bytes of the weights, as this precision holds them
    apart: float | None = None  # largest difference of a probability, or of a number in deviations, to torch in float32
    same: float | None = None  # share of pictures whose likeliest class, or tags, are those of torch in float32
    figure: float | None = None  # that the task is judged by
    pictures: int = 0  # that the last three are of
    error: str | None = None  # why there are no figures

    @property
    def name(self) -> str:
        return f"{self.way.says}, {self.way.precision}"

    def at(self, batch: int) -> Speed:
        """That of batches of a size, which was measured."""
        return next(one for one in self.speeds if one.batch == batch)

    def as_dict(self) -> dict[str, Any]:
        speeds = [asdict(one) | {"per_second": one.per_second} for one in self.speeds]
        way = {"way": str(self.way), "runtime": self.way.says, "precision": self.way.precision}
        return way | {name: value for name, value in asdict(self).items() if name != "way"} | {"speeds": speeds}


@dataclass(frozen=True)
class Pictures:
    """What the ways are asked, beside random pictures for the clock."""

    images: NDArray[np.uint8]  # (n, h, w, c), preprocessed
    labels: NDArray[Any] | None
    notes: tuple[str, ...] = ()  # what to say of them


def openers(
    card: Card, network: Network, machine: Machine, graphs: Graphs, only: Sequence[str], batch: int
) -> dict[Way, Callable[[], Run]]:
    """Every way by how it is opened; with ``only`` those of these runtimes or precisions, and the first in any case."""
    kinds = dict.fromkeys(["fp32", half(machine.device)])
    found: dict[Way, Callable[[], Run]] = {
        Way(EAGER, kind): partial(eager, card, network, machine, kind) for kind in kinds
    }
    for way in ways(machine, batch, int8=graphs.parts is not None):
        found[way] = partial(opened, way, card, network, machine, graphs)
    names = {way: way.runtime.partition(" ")[0] for way in found}  # "torch" of both its ways
    runtimes, precisions = {*names.values()}, {way.precision for way in found}
    if unknown := sorted({*only} - runtimes - precisions):
        what = f"there is no runtime or precision {plain(unknown[0]) or repr('')} here"
        if unknown[0] == "int8" and graphs.parts is None:
            raise UsageError("int8 has its scales from data, and none are given", "give some: --data DATA")
        more = "" if all(map(installed, OTHERS)) else ", or install resnetkit[export]"
        raise UsageError(what, f"use some of {', '.join(sorted(runtimes | precisions))}{more}")
    runtimes, precisions = runtimes & {*only} or runtimes, precisions & {*only} or precisions
    able = [way for way in found if names[way] in runtimes and way.precision in precisions]
    if not able:
        raise UsageError(f"no way here is of all that is asked for: {', '.join(only)}", "leave one of them out")
    first = next(iter(found))
    return {way: how for way, how in found.items() if way == first or way in able}


def bench(
    card: Card,
    network: Network,
    machine: Machine,
    graphs: Graphs,
    batches: Sequence[int],
    rounds: int,
    asked: Pictures,
    only: Sequence[str] = (),
    watch: Watch = lambda _: None,
) -> list[Row]:
    """A row for every way; one that does not run says why."""
    ready: list[tuple[Row, Run]] = []
    rows: list[Row] = []
    wanted: NDArray[np.float32] | None = None
    for way, how in openers(card, network, machine, graphs, only, max(batches)).items():
        row = Row(way)
        rows.append(row)
        watch(f"opening {row.name}")
        start, drawn = time.perf_counter(), sum(graphs.took.values())
        try:
            run = how()
            run(asked.images[:1])
            took = time.perf_counter() - start - (sum(graphs.took.values()) - drawn)
            row.opening = took + graphs.seconds(way.runtime, way.precision)  # which the first of several draws for all
            answers = whole(run, asked.images, max(batches))
        except Exception as error:  # noqa: BLE001  runtimes raise what they like, and the others go on
            row.error = plain(error)[:LONGEST]
            continue
        wanted = answers if wanted is None else wanted
        judge(row, card, answers, wanted, asked)
        row.size = bytes_of(network, way.precision if way.runtime != EAGER else "fp32")
        ready.append((row, run))
    times: dict[tuple[int, int], list[list[float]]] = {}
    random = np.random.default_rng(0)
    for batch in batches:
        images = random.integers(0, 256, (batch, *asked.images.shape[1:]), np.uint8)
        for turn in range(rounds):
            watch(f"batch {batch}: round {turn + 1} of {rounds}")
            for i, (_, run) in enumerate(ready):
                times.setdefault((i, batch), []).append(turned(run, images))
    for i, (row, _) in enumerate(ready):
        row.speeds = [speed(batch, times[i, batch]) for batch in batches]
    return rows


def turned(run: Run, images: NDArray[np.uint8]) -> list[float]:
    """The times of one turn."""
    time.sleep(REST)
    run(images)
    found: list[float] = []
    begun = time.perf_counter()
    while len(found) < PASSES or time.perf_counter() - begun < TURN:
        start = time.perf_counter()
        run(images)
        found.append(time.perf_counter() - start)
    return found


def speed(batch: int, turns: Sequence[Sequence[float]]) -> Speed:
    every = [one for turn in turns for one in turn]
    medians = [median(turn) for turn in turns]
    p50, p99 = np.quantile(every, [0.5, 0.99]).tolist()
    return Speed(batch, p50, p99, min(medians), max(medians), len(every))


def whole(run: Run, images: NDArray[np.uint8], batch: int) -> NDArray[np.float32]:
    return np.concatenate([run(images[i : i + batch]) for i in range(0, len(images), batch)])


def judge(row: Row, card: Card, answers: NDArray[np.float32], wanted: NDArray[np.float32], asked: Pictures) -> None:
    """What a way costs."""
    row.pictures = len(answers)
    row.apart = likeness.apart(card, answers, wanted)
    row.same = likeness.same(card, answers, wanted)
    if asked.labels is not None:
        row.figure = likeness.figure(card, answers, asked.labels)


def bytes_of(network: Network, precision: str) -> int:
    """Of the parameters and running statistics, at so many bytes a number."""
    width = {"fp32": 4, "bf16": 2, "fp16": 2, "int8": 1}[precision]
    return width * sum(tensor.numel() for tensor in network.state_dict().values())


def pareto(rows: Sequence[Row], batch: int) -> list[Row]:
    """Rows that no other beats in both speed and answers: fastest first."""
    able = [row for row in rows if row.speeds]
    cost = {
        id(row): -round(row.figure / NOTHING) if row.figure is not None else max(row.apart or 0.0, NOTHING)
        for row in able
    }
    clock = {id(row): row.at(batch).p50 for row in able}
    found = [
        row
        for row in able
        if not any(
            cost[id(o)] <= cost[id(row)]
            and clock[id(o)] <= clock[id(row)]
            and (cost[id(o)], clock[id(o)]) != (cost[id(row)], clock[id(row)])
            for o in able
        )
    ]
    return sorted(found, key=lambda row: clock[id(row)])
