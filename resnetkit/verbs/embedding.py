"""resnet embed, nearest and verify: features of pictures, what lies near one, and which two show the same."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TextIO

from resnetkit.arguments import lines_of, whole
from resnetkit.errors import UsageError, many, plain
from resnetkit.flags import Parser, given
from resnetkit.verbs.answering import ASKED, answer_flags, machine_asked
from resnetkit.verbs.verb import UNREADABLE, say

TOP = 5


def embed_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("data", "what resnet train takes, of any classes, or a folder with pictures alone")
    parser.flag("out", "the file to write, .npz or .parquet", "FILE")
    parser.settings(ASKED)
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def embed(asked: Namespace, out: TextIO) -> int:
    if asked.out is None:
        raise UsageError("resnet embed needs --out", "write: resnet embed MODEL DATA --out FILE.npz")
    machine, workers = machine_asked(asked)
    named = {name.removesuffix("_column"): word for name, word in given(asked).items() if name in ASKED}

    from resnetkit import api
    from resnetkit.data.lists import Columns
    from resnetkit.explain import embedding, embeddings
    from resnetkit.report import waiting

    embeddings.refuse_out(Path(asked.out))
    if named and embedding.is_bare(asked.data):
        raise UsageError(f"{plain(asked.data)} is a folder of pictures, and has no columns", "leave the columns out")
    model, watch = api.load(asked.model, **machine), waiting.counting("looked at")
    waiting.fetch(asked.data)
    found = embedding.embed(model, asked.data, workers=workers, columns=Columns(**named), watch=watch)
    found.save(asked.out)
    count, numbers = found.features.shape
    if asked.json:
        errors = [{"path": name, "error": why} for name, why in found.errors]
        say(out, {"out": plain(asked.out), "pictures": count, "features": numbers, "errors": errors})
    else:
        say(out, f"wrote {plain(asked.out)}: {many(numbers, 'feature')} of {many(count, 'picture')}")
    return complain(found.errors)


def nearest_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("embeddings", "what resnet embed wrote with this model")
    parser.word("path", "pictures, folders, or quoted patterns such as 'photos/*.jpg'", "any")
    parser.flag("top", f"how many pictures to name for each [{TOP}]", "K")
    parser.flag("from", "take more paths from a file with one a line", "LIST")
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def nearest(asked: Namespace, out: TextIO) -> int:
    top = TOP if asked.top is None else whole("--top", asked.top, 1, 1_000_000)
    listed = vars(asked)["from"]
    paths = [*asked.path, *(lines_of(listed, "--from") if listed is not None else [])]
    if not paths:
        raise UsageError("resnet nearest needs pictures", "name files, folders or patterns, or a list with --from")
    machine, workers = machine_asked(asked)

    from resnetkit import api
    from resnetkit.explain import embeddings

    among = embeddings.read(asked.embeddings)
    found = api.load(asked.model, **machine).embed(paths, workers=workers)
    near = among.nearest(found, top)
    if asked.json:
        rows = zip(found.names, near, strict=True)
        told = [{"path": name, "nearest": [one.as_dict() for one in those]} for name, those in rows]
        say(out, [*told, *({"path": name, "error": why} for name, why in found.errors)])
    else:
        for name, those in zip(found.names, near, strict=True):
            for one in those:
                words = [one.label, one.part] if one.label or one.part else []
                say(out, "  ".join(map(plain, [name, f"{one.distance:.4f}", one.name, *words])))
    return complain(found.errors)


def verify_flags(parser: Parser) -> None:
    parser.word("model", "a model file, or the folder of a run")
    parser.word("pairs", "a list with the columns first, second and same (1 or 0), and perhaps part (train or test)")
    parser.flag("roc", "write the curve, a row a threshold, into this file", "FILE.csv")
    answer_flags(parser)
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def verify(asked: Namespace, out: TextIO) -> int:
    machine, workers = machine_asked(asked)

    from resnetkit import api
    from resnetkit.explain import verification
    from resnetkit.report import tables

    if asked.roc is not None and Path(asked.roc).exists():
        raise UsageError(f"{plain(asked.roc)} is there already", "name another file with --roc")
    found = verification.verify(api.load(asked.model, **machine), asked.pairs, workers=workers)
    about = found.as_dict()
    if asked.roc is not None:
        rows = zip(*(column.tolist() for column in found.roc), strict=True)
        tables.write_csv(Path(asked.roc), ["false_rate", "true_rate", "similarity"], rows)
    if asked.json:
        errors = [{"path": name, "error": why} for name, why in found.errors]
        say(out, {**about, "errors": errors})
    else:
        say(out, f"{about['pairs']:,} pairs, {about['same']:,} of the same")
        say(out, f"area under the ROC curve {about['auc']:.4f}, equal error rate {about['eer']:.2%}")
        for rate, share in about["accepted_at_false_rate"].items():
            say(out, f"{share:.2%} of the same accepted where {float(rate):.1%} of others are")
        say(out, f"threshold {about['threshold']:.4f}, chosen by {about['threshold_from']:,} pairs")
        for what, words in (("same_accepted", "of the same are accepted"), ("others_refused", "of others are refused")):
            low, high = about[f"{what}_interval"]
            of = f"{about[what]:.2%} of {about[f'{what}_of']:,} other pairs {words}"
            say(out, f"{of}, between {low:.2%} and {high:.2%} at 95%")
        say(out, f"balanced accuracy {about['balanced_accuracy']:.2%}, the mean of the two; 50% is chance")
    return complain(found.errors)


def complain(errors: tuple[tuple[str, str], ...]) -> int:
    """Say what could not be read, and the exit code that says so too."""
    for name, why in errors:
        print(f"not read: {plain(name)}: {plain(why)}", file=sys.stderr)
    return UNREADABLE if errors else 0
