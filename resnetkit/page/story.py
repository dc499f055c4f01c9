"""Pages of an evaluation and of a look at the data, and what those of runs share with them."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from resnetkit import cost
from resnetkit.answers import Heat
from resnetkit.errors import plain
from resnetkit.evaluation import Evaluation, Examined
from resnetkit.measuring import NumberEvaluation
from resnetkit.modelfile import Card
from resnetkit.page.figures import figures, trust, unread
from resnetkit.page.mistakes import of_classes, of_numbers, of_tags
from resnetkit.page.page import Page, Section, write_page
from resnetkit.page.thumbs import Thumbs
from resnetkit.page.trouble import of_checkup
from resnetkit.page.verdict import of_data, verdict
from resnetkit.tagging import TagEvaluation
from resnetkit.trouble.finding import Checkup

Rows = Sequence[tuple[str, str]]  # a setting, by its name among the phrases, and its value


def eval_page(
    path: Path,
    evaluation: Examined,
    card: Card,
    names: tuple[str, str],
    machine: str,
    flags: Sequence[str] = (),
    heat: Heat | None = None,
) -> None:
    """Of an evaluation; ``names`` are those of model and data, as they were given, and ``flags`` the rest."""
    whose, data = (shlex.quote(plain(name)) for name in names)
    thumbs = Thumbs(evaluation.read, heat)
    repeat = plain(shlex.join(["--split", evaluation.split, *flags]))
    commands = [f"resnet eval {whose} {data} {repeat}", f"resnet predict {whose} FILE"]
    rows = [("model", plain(names[0])), ("data", plain(names[1])), *about(card), ("machine", machine)]
    sections = [*examined_sections(evaluation, thumbs), settings(rows, commands)]
    write_page(path, Page(f"{card.model}: {plain(names[1])}", verdict(evaluation), sections, thumbs))


def check_page(path: Path, found: Checkup, command: Sequence[str], heat: Heat | None = None) -> None:
    """Of what is wrong with the data; ``heat`` is that of the model which doubts labels."""
    thumbs = Thumbs(found.read, heat)
    sections = [*of_checkup(found, thumbs), settings([("data", plain(found.data))], [plain(shlex.join(command))])]
    write_page(path, Page(plain(found.data), of_data(found), sections, thumbs))


def examined_sections(evaluation: Examined, thumbs: Thumbs) -> Iterator[Section]:
    yield from figures(evaluation)
    if isinstance(evaluation, TagEvaluation):
        yield from of_tags(evaluation, thumbs)
    elif isinstance(evaluation, NumberEvaluation):
        yield from of_numbers(evaluation, thumbs)
    else:
        assert isinstance(evaluation, Evaluation)
        yield from of_classes(evaluation, thumbs)
        yield from trust(evaluation)
    yield from unread(evaluation)


def settings(rows: Rows, commands: Sequence[str], told: Rows = ()) -> Section:
    return Section("settings", {"rows": rows, "commands": commands, "told": told})


def about(card: Card) -> Rows:
    """The network of a model file, and the pictures as it takes them."""
    height, width = card.preprocess.size
    total = cost.totals(card.plan, card.preprocess.size)
    versions = " ".join(f"{name} {version}" for name, version in card.versions.items())
    return [
        ("network", card.model),
        ("parameters", f"{total.parameters:,}"),
        ("macs", f"{total.macs:,}"),
        ("picture", f"{width} x {height} x {card.preprocess.channels}, {card.preprocess.resize}"),
        *([("temperature", f"{card.temperature:g}")] if card.temperature != 1 else []),
        ("versions", versions),
    ]
