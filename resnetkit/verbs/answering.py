"""resnet eval and resnet predict: what a model says of pictures, with and without labels."""

import csv
import sys
from argparse import Namespace
from typing import TextIO

from resnetkit.arguments import lines_of, one_of, whole
from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.flags import Parser, given, value_of
from resnetkit.run import COLUMNS, Run
from resnetkit.verbs.verb import UNREADABLE, say

LARGEST_STDIN = 1 << 29  # bytes; no picture that is decoded has so many


def eval_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("data", "what resnet train takes, with the classes of the model")
    parser.flag("split", "train, val or test [test, else val]", "PART")
    parser.flag("out", "folder for metrics, predictions and the confusion matrix [a new one under runs/]", "DIR")
    parser.settings(COLUMNS[:3])
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
    from resnetkit.data import hub
    from resnetkit.data.lists import Columns
    from resnetkit.report import progress, results, tables

    runfolder.check_out(asked.out)
    model, watch = api.load(asked.model, **machine), progress.counting("evaluated")
    named = {name.removesuffix("_column"): word for name, word in given(asked).items() if name in COLUMNS}
    columns = Columns(**named) if named else None
    if text := hub.announce(asked.data):
        print(f"note: {plain(text)}", file=sys.stderr)
    evaluation = model.evaluate(asked.data, split, workers=workers, columns=columns, watch=watch)
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
