"""resnet eval and resnet predict: what a model says of pictures, with and without labels."""

import csv
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any, TextIO

from resnetkit.arguments import lines_of, one_of, share, whole
from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.flags import Parser, given, value_of
from resnetkit.run import refuse_device
from resnetkit.spans import span
from resnetkit.verbs.verb import UNREADABLE, say, tell

ASKED = ("image_column", "label_column", "part_column", "task", "separator")  # of what a list's columns hold
GROUPED = ("group_column", "group_pattern")  # what belongs together
FEW = 4  # pictures that are answered before a runtime would have made itself ready for many
LARGEST_STDIN = 1 << 29  # bytes; no picture that is decoded has so many


def eval_flags(parser: Parser) -> None:
    parser.word("model", "a model file, the folder of a run, or an exported file")
    parser.word("data", "what resnet train takes, with the classes of the model")
    parser.flag("split", "train, val or test [test, else val]", "PART")
    parser.flag("mirror", "answer with the mean of each picture and its mirror image")
    parser.flag("max-risk", "call unknown what is so unsure that at most this share of the answers is wrong", "SHARE")
    parser.flag("save", "write the model with the threshold of --max-risk, which predict then keeps to", "FILE")
    parser.flag("out", "folder for metrics, predictions and the confusion matrix [a new one under runs/]", "DIR")
    parser.settings((*ASKED, *GROUPED))
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def device_flags(parser: Parser, precision: str = "fp32, bf16, fp16 or auto [fp32]") -> None:
    parser.flag("device", "auto, cpu, cuda, cuda:1 or mps [auto]", "NAME")
    parser.flag("precision", precision, "NAME")


def answer_flags(parser: Parser) -> None:
    device_flags(
        parser, "fp32, as torch does; bf16; fp16; or auto, for many pictures the fastest way that answers alike [auto]"
    )
    parser.flag("workers", "threads that read pictures; changes no result [auto]", "N")


def evaluate(asked: Namespace, out: TextIO) -> int:
    split = one_of("--split", asked.split, ("train", "val", "test"))
    machine, workers = machine_asked(asked)
    risk = share("--max-risk", asked.max_risk)
    if risk is not None and asked.mirror:
        raise UsageError("--max-risk chooses a threshold for one look at each picture", "leave --mirror out")
    if asked.save is not None and risk is None:
        raise UsageError("--save would have no effect: without --max-risk there is no threshold", "give --max-risk")

    named, pattern = told_of(asked)

    from resnetkit import loading, promise, runfolder
    from resnetkit.data.lists import Columns
    from resnetkit.page import story
    from resnetkit.report import results, waiting

    runfolder.check_out(asked.out)
    model, watch = loading.load(asked.model, **machine, tell=tell), waiting.counting("evaluated")
    waiting.fetch(asked.data)
    how: dict[str, Any] = {"workers": workers, "watch": watch, "group_pattern": pattern}
    how["columns"] = Columns(**named) if named else None
    if risk is not None:
        promise.check_out(asked.save, model)
        model = promise.promising(model, asked.data, risk, **how)
    evaluation = model.evaluate(asked.data, split, mirror=asked.mirror, **how)
    for note in [*evaluation.notes, *noted(model)]:
        tell(note)
    try:
        folder = runfolder.RunFolder.create(asked.out, "eval").path
        written = results.write_evaluation(folder, evaluation, **results.slices_of(evaluation))
        written.append(folder / "report.html")
        names = (asked.model, asked.data)
        story.eval_page(written[-1], evaluation, model.card, names, model.runs_on, flags_of(asked), model.heat())
        print(*(f"wrote {plain(path)}" for path in written), sep="\n", file=sys.stderr)
        print(
            *(f"note: {plain(note)}\n" for note in results.picture_notes(model.classes)),
            sep="",
            end="",
            file=sys.stderr,
        )
    except ResourceError as error:
        if asked.out is not None:
            raise
        print(f"note: nothing was written, since {error.what}; --out names another folder", file=sys.stderr)
    if asked.save is not None:
        promise.save(model, asked.save)
        print(f"wrote {plain(asked.save)}", file=sys.stderr)
    if asked.json:
        say(out, evaluation.as_dict() | results.slices_of(evaluation))
    else:
        lines = [results.table_of(evaluation), "", evaluation.headline(), *evaluation.asides()]
        say(out, "\n".join([*lines, *results.worst_of(evaluation)]))
    for path, why in evaluation.errors:
        print(f"not read: {plain(path)}: {plain(why)}", file=sys.stderr)
    return UNREADABLE if evaluation.errors else 0


def flags_of(asked: Namespace) -> list[str]:
    """What was asked beside the split, as it would be asked again."""
    words = [("max_risk", asked.max_risk), *(pair for pair in given(asked).items())]
    flags = [word for name, value in words if value is not None for word in (f"--{name.replace('_', '-')}", str(value))]
    return [*flags, *["--mirror"] * asked.mirror]


def told_of(asked: Namespace) -> tuple[dict[str, Any], str | None]:
    """What is said of the columns of a list, and the pattern that says what belongs together."""
    said = given(asked, (*ASKED, *GROUPED))
    off = [name for name in GROUPED if name in said and said[name] is None]
    if off:
        flag = f"--{off[0].replace('_', '-')}"
        raise UsageError(f"{flag} none would have no effect: groups that the model knows stay", "leave it out")
    columns = (*ASKED, "group_column")
    named = {name.removesuffix("_column"): word for name, word in said.items() if name in columns}
    return named, said.get("group_pattern")


def device_asked(asked: Namespace) -> dict[str, Any]:
    chosen = {
        name: value_of(name, text) for name in ("device", "precision") if (text := getattr(asked, name)) is not None
    }
    refuse_device(chosen.get("device", "auto"))
    return chosen


def machine_asked(asked: Namespace) -> tuple[dict[str, Any], int | None]:
    return device_asked(asked), None if asked.workers is None else value_of("workers", asked.workers)


def predict_flags(parser: Parser) -> None:
    parser.word("model", "a model file, the folder of a run, or an exported file")
    parser.word(
        "path",
        "pictures, videos, folders, quoted patterns such as 'photos/*.jpg', or - for one picture on stdin",
        "any",
    )
    parser.flag("top", "how many classes to name for each picture [5; of tags those that are likely]", "K")
    parser.flag("from", "take more paths from a file with one a line", "LIST")
    parser.flag("mirror", "answer with the mean of each picture and its mirror image")
    parser.flag("frames", "take each folder as one clip, its pictures as frames in natural order")
    parser.flag("every", "of a clip answer each Nth frame, or one in so many seconds: 5 or 0.5s [1]", "SPAN")
    parser.flag("smooth", "average a clip's answers over so many frames or seconds [1s; 25 for a folder]", "SPAN")
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")
    parser.flag("csv", "print one row a picture or frame, with commas")


def predict(asked: Namespace, out: TextIO) -> int:
    if asked.json and asked.csv:
        raise UsageError("--json and --csv are two forms of one answer", "give one of the two")
    top = None if asked.top is None else whole("--top", asked.top, 1, 1_000_000)
    listed = vars(asked)["from"]
    paths: list[str | bytes] = [*asked.path, *(lines_of(listed, "--from") if listed is not None else [])]
    if not paths:
        raise UsageError("resnet predict needs pictures", "name files, folders, patterns or -, or a list with --from")
    if paths.count("-") > 1:
        raise UsageError("- stands there twice, and stdin holds one picture", "write - once")
    machine, workers = machine_asked(asked)

    from resnetkit import opening

    few = len(paths) <= FEW and all(map(os.path.isfile, paths))
    begun = opening.Opening(asked.model, quick=few) if opening.is_exported(asked.model) else None

    from resnetkit import clips, loading
    from resnetkit.report import clips as said
    from resnetkit.report import tables

    inputs = list(clips.told_apart(paths, asked.frames))
    refuse_idle_clips(asked, inputs)
    if asked.mirror and any(clip for clip, _ in inputs):
        raise UsageError("--mirror is of pictures, and frames of clips are looked at once", "leave --mirror out")
    model = loading.load(asked.model, **machine, begun=begun, tell=tell)
    inputs = [(clip, sys.stdin.buffer.read(LARGEST_STDIN) if item == "-" else item) for clip, item in inputs]
    if any(clip for clip, _ in inputs):
        clips.refuse_task(model)  # before a header is printed
        if model.card.reject:
            print("note: frames are all answered: the threshold of the model is for pictures", file=sys.stderr)
    if asked.csv and model.card.task == "tags":
        if top is not None:
            raise UsageError("--top would have no effect: with --csv every tag has a column", "leave it out")
        top = len(model.classes)
    answers = clips.answers(
        model, inputs, every=asked.every or 1, smooth=asked.smooth, top=top, workers=workers, mirror=asked.mirror
    )
    if asked.mirror:
        print("note: each answer is the mean of those to the picture and to its mirror image", file=sys.stderr)
    unreadable = 0
    if asked.json:
        found = list(said.documents(answers))
        unreadable = sum("error" in one for one in found)
        say(out, found)
    elif asked.csv:
        where = ["frame", "seconds"] if any(clip for clip, _ in inputs) else []
        unknown = ["unknown"] if model.card.reject else []
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(tables.spell, ["path", *where, *said.header(model.card, top), *unknown, "error"]))
        for path, answer in answers:
            if isinstance(answer, clips.Summary):  # a table has one kind of row
                continue
            error = said.error_of(answer)
            unreadable += error is not None
            cells = said.cells(answer, model.card, top)
            marked = [said.unknown_of(answer)] if unknown else []
            writer.writerow(map(tables.spell, [path, *said.place_of(answer)[: len(where)], *cells, *marked, error]))
    else:
        for path, answer in answers:
            unreadable += said.error_of(answer) is not None
            for line in said.lines(answer):
                say(out, "  ".join([plain(path), *line]))
    for note in noted(model):
        tell(note)
    return UNREADABLE if unreadable else 0


def noted(model: Any) -> list[str]:
    """How it answered, where that was not as it is."""
    note = getattr(model, "note", None)
    return [note] if note else []


def refuse_idle_clips(asked: Namespace, inputs: Sequence[tuple[bool, Any]]) -> None:
    """Flags for clips, where they could change nothing or cannot be meant."""
    clips = [item for clip, item in inputs if clip]
    if asked.frames and not any(os.path.isdir(item) for item in clips):
        raise UsageError("--frames takes folders as clips, and no folder is given", "name a folder of frames")
    for flag, text, least in (("--every", asked.every, 1e-3), ("--smooth", asked.smooth, 0)):
        if text is not None and not clips:
            fix = "leave it out, or take a folder as one clip with --frames"
            raise UsageError(f"{flag} is of videos and folders of frames, and none is given", fix)
        if text is not None:
            span(text, flag, folder=asked.frames, least=least)
