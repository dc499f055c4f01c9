"""resnet bench: how fast a model is here, in every way there is to run it."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from resnetkit.arguments import whole
from resnetkit.errors import UsageError, many, plain
from resnetkit.flags import Parser, value_of
from resnetkit.run import show
from resnetkit.verbs.answering import ASKED, told_of
from resnetkit.verbs.verb import say, tell

if TYPE_CHECKING:
    from resnetkit.fast.bench import Row
    from resnetkit.fast.measured import Measured

COSTS = {  # what is held against the first line, by task
    "classes": ("a probability", "; same: pictures that keep their class"),
    "tags": ("a probability", "; same: pictures that keep all their tags"),
    "numbers": ("a number, in its deviations in train,", ""),
}


def bench_flags(parser: Parser) -> None:
    parser.word("what", "infer: how fast it answers")
    parser.word("model", "a model file, the folder of a run, or the name of a network")
    parser.flag("batch", "pictures at a time [1,32]", "N,N")
    parser.flag("rounds", "turns that every way takes [5]", "N")
    parser.flag("data", "pictures that say what each way costs; built-in ones if nothing is said", "DATA")
    parser.flag("pictures", "at most so many of --data, evenly [1000]", "N")
    parser.settings(ASKED)
    parser.flag("only", "runtimes and precisions, such as openvino,bf16 [all that are here]", "NAMES")
    parser.flag("size", "side of the pictures that the network sees [its own]", "N")
    parser.flag("threads", "that compute [as many as cores]", "N")
    parser.flag("device", "auto, cpu, cuda, cuda:1 or mps [auto]", "NAME")
    parser.flag("out", "folder for bench.json and pareto.png [a new one under runs/]", "DIR")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def bench(asked: Namespace, out: TextIO) -> int:
    if asked.what != "infer":
        raise UsageError(f"resnet bench measures infer, not {show(asked.what)}", "write: resnet bench infer MODEL")
    batches = [whole("--batch", one, 1, 4096) for one in ("1,32" if asked.batch is None else asked.batch).split(",")]
    if len(set(batches)) < len(batches):
        raise UsageError(f"--batch names {asked.batch}, one of them twice", "name each once")
    rounds = whole("--rounds", "5" if asked.rounds is None else asked.rounds, 1, 1000)
    pictures = whole("--pictures", "1000" if asked.pictures is None else asked.pictures, 1, 1_000_000)
    if asked.pictures is not None and asked.data is None:
        raise UsageError("--pictures is of --data, and none is given", "leave it out, or give --data")
    named, _ = told_of(asked)
    size = None if asked.size is None else value_of("size", asked.size)
    threads = None if asked.threads is None else whole("--threads", asked.threads, 1, 1024)
    only = [] if asked.only is None else [word.strip() for word in asked.only.split(",")]
    device = "auto" if asked.device is None else value_of("device", asked.device)

    from resnetkit import runfolder
    from resnetkit.data.lists import Columns
    from resnetkit.fast.bench import pareto
    from resnetkit.fast.measured import measure
    from resnetkit.files import write_json
    from resnetkit.report.pareto import pareto_picture

    runfolder.check_out(asked.out)
    done = measure(
        asked.model,
        batches=batches,
        rounds=rounds,
        data=asked.data,
        pictures=pictures,
        columns=Columns(**named) if named else None,
        only=only,
        size=size,
        threads=threads,
        device=device,
        watch=telling(),
    )
    folder = runfolder.RunFolder.create(asked.out, "bench").path
    write_json(folder / "bench.json", done.as_dict())
    most = max(batches)
    front = pareto(done.rows, most)
    title = f"{done.about['network']} at {done.about['size'][0]} px, {many(done.about['threads'], 'thread')}"
    pareto_picture(folder / "pareto.png", done.rows, front, most, title, done.task)
    for note in done.about["notes"]:
        tell(note)
    for name in ("bench.json", "pareto.png"):
        print(f"wrote {plain(folder / name)}", file=sys.stderr)
    if asked.json:
        say(out, done.as_dict())
    else:
        say(out, told(done, front))
    return 0


def telling() -> Callable[[str], None]:
    """A line on a terminal that says what is measured; silence elsewhere."""

    def watch(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{what}")
            sys.stderr.flush()

    return watch


def told(done: "Measured", front: Sequence["Row"]) -> str:
    """The table, for people."""
    from resnetkit.report.tables import line_up

    about, rows = done.about, [row for row in done.rows if row.speeds]
    best = {id(row) for row in front}
    names = [f"{row.name}{' *' if id(row) in best else ''}" for row in rows]
    sides = "x".join(map(str, about["size"]))
    found = [f"{about['model']}: {sides}, {many(about['threads'], 'thread')}, {about['processor']}", ""]
    for i, batch in enumerate(one.batch for one in rows[0].speeds):
        lines = [[f"{batch} at a time", "p50 ms", "p99 ms", "turns", "passes", "img/s", "ratio"]]
        for name, row in zip(names, rows, strict=True):
            one = row.speeds[i]
            turns, ratio = f"{1000 * one.low:.2f}-{1000 * one.high:.2f}", rows[0].speeds[i].p50 / one.p50
            p50, p99 = f"{1000 * one.p50:.2f}", f"{1000 * one.p99:.2f}"
            lines.append([name, p50, p99, turns, f"{one.passes:,}", f"{one.per_second:.1f}", f"{ratio:.2f}x"])
        found += [*line_up(lines, widest=60), ""]
    lines = [["what it costs", "opening", "memory", "weights", "change", "same", done.task.says]]
    for name, row in zip(names, rows, strict=True):
        cells = [
            name,
            f"{row.opening:.2f} s",
            *("" if n is None else f"{n / 2**20:.1f} MiB" for n in (row.memory, row.size)),
        ]
        cells += ["" if row.apart is None else f"{row.apart:.1g}"]
        cells += ["" if row.same is None else f"{row.same:.2%}"]
        cells += ["" if row.figure is None else f"{row.figure:{done.task.shown}}"]
        lines.append(cells)
    pictures = (
        f"{about['pictures']} pictures of {about['data']}"
        if about["data"]
        else f"{about['pictures']} built-in pictures"
    )
    what, kept = COSTS[done.task.name]
    found += [
        *line_up(lines, widest=60),
        "",
        "p50 and p99: of all passes; turns: lowest to highest median of a turn; ratio: to the first line",
        f"change: the largest of {what} to the first line, on {pictures}{kept}",
        "memory: of a process that does nothing else; *: no other is both faster and better",
    ]
    if about["rounds"] == 1:
        found += ["one round: nothing says how far another would be from it"]
    found += [f"not measured: {row.name}: {row.error}" for row in done.rows if row.error]
    return "\n".join(found)
