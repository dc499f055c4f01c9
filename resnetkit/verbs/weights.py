"""resnet weights: which published weights there are, and whether a file in the cache is what it should be."""

from argparse import Namespace
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any, TextIO

from resnetkit import published
from resnetkit.describe import columns
from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.flags import Parser
from resnetkit.published import LIST, Row
from resnetkit.verbs.verb import say


def weights_flags(parser: Parser) -> None:
    parser.word("pattern", "letters in the name, a quoted pattern such as 'timm/*_in1k', or a whole name", "maybe")
    parser.flag("verify", "check what is in the cache against its row")
    parser.flag("json", "print one JSON document, and nothing else on stdout")


def list_weights(asked: Namespace, out: TextIO) -> int:
    rows = matching(asked.pattern)
    if asked.verify:
        return verify(rows, asked, out)
    if asked.json:
        say(out, [about(row) for row in rows])
        return 0
    table = [("name", "preprocessing", "licence", "checked by", "top-1", "top-5")]
    for row in rows:
        about_it = (row.name, shown(row), row.licence or "not said", row.check or "unchecked")
        table.append((*about_it, percent(row.top1), percent(row.top5)))
    say(out, "\n".join(columns(table)))
    return 0


def matching(pattern: str | None) -> list[Row]:
    """The rows of networks that are in the zoo and match; UsageError where none does."""
    rows = published.of()
    if pattern is None:
        return rows
    if exact := [row for row in rows if row.name == pattern.partition("@")[0]]:
        return exact
    wild = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
    found = [row for row in rows if fnmatchcase(row.name, wild)]
    if not found:
        raise UsageError(f"no published weights are called {plain(pattern)}", LIST)
    return found


def about(row: Row) -> dict[str, Any]:
    return asdict(row) | {"checked": row.checked, "check": row.check or None}


def percent(score: float | None) -> str:
    return f"{score:.2f}" if score else ""


def shown(row: Row) -> str:
    usual = row.mean == (0.485, 0.456, 0.406) and row.std == (0.229, 0.224, 0.225)
    scale = "" if usual else f", mean {' '.join(f'{v:.3g}' for v in row.mean)}"
    return f"{row.size}x{row.size}, crop {row.crop:g}, {row.interpolation}{scale}"


def verify(rows: list[Row], asked: Namespace, out: TextIO) -> int:
    """Check the files of these rows that are in the cache. The first that is wrong is a WeightsError, and put away."""
    from resnetkit import pretrained

    wanted = [published.want(asked.pattern)] if "@" in (asked.pattern or "") else [published.usual(row) for row in rows]
    held = [one for one in wanted if not one.moving and pretrained.place(one).is_file()]
    if not held:
        where = "is at hand" if len(rows) > 1 else f"is at hand as {plain(pretrained.place(wanted[0]))}"
        raise ResourceError(f"no file of {plain(asked.pattern or 'any row')} {where}", "it is fetched by its first use")
    found = [pretrained.obtain(one) for one in held]
    if asked.json:
        rows_found = [
            {"name": got.wanted.row.name, "path": str(got.path), "sha256": got.sha256, "said": got.said}
            for got in found
        ]
        say(out, rows_found)
    else:
        say(out, "\n".join(f"{plain(got.path)}: {got.said}" for got in found))
    return 0
