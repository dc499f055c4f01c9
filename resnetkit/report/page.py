"""report.html: what a run came to, on one page that needs no connection."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from resnetkit import files
from resnetkit.data.parts import Part
from resnetkit.errors import DataError, plain
from resnetkit.evaluation import Evaluation
from resnetkit.intervals import wilson
from resnetkit.metrics import ranking, softmax
from resnetkit.report.chart import curves
from resnetkit.report.phrases import phrase

SIDE = 112  # pixels of a small picture along its longer side, at most
WORST = 24  # mistakes that are shown
A_CELL = 12  # pictures of a cell of the confusion matrix, at most
MOST_SHOWN = 400  # pictures in all: a page stays below 5 MB
CELLS = 30  # classes, up to which the confusion matrix is a table; of more the commonest mistakes are a list
PAIRS = 20


@dataclass(frozen=True)
class Story:
    """What a page says beside its evaluation."""

    title: str
    lines: Sequence[tuple[str, str]]  # settings, by name
    commands: Sequence[str]  # that do it again
    history: Sequence[Mapping[str, Any]] = ()  # a row an epoch


@dataclass(frozen=True)
class Shown:
    """One picture of the part, and what was said of it."""

    key: str
    name: str
    true: str
    said: str
    probability: float


def write_page(path: Path, story: Story, evaluation: Evaluation, part: Part) -> None:
    """The page of an evaluation of classes. Pictures that cannot be read any more are left out of it."""
    every = seen(evaluation)
    wrong = sorted((one for one in every if one.true != one.said), key=lambda one: -one.probability)
    cells = cells_of(evaluation, every) if len(evaluation.classes) <= CELLS else {}
    wanted = dict.fromkeys([one.key for one in wrong[:WORST]])
    wanted |= dict.fromkeys(key for cell in cells.values() for key, _ in cell["pictures"])
    thumbs = dict(small_pictures(part, list(wanted)[:MOST_SHOWN]))
    for cell in cells.values():
        cell["pictures"] = [(key, name) for key, name in cell["pictures"] if key in thumbs]
    environment = Environment(
        loader=PackageLoader("resnetkit", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("page.html").render(
        t=phrase,
        title=story.title,
        verdict=verdict(evaluation),
        charts=charts(story.history),
        rows=evaluation.rows,
        names=evaluation.classes,
        matrix=matrix(evaluation) if cells else [],
        pairs=[] if cells else [mistake(evaluation, *pair) for pair in pairs(evaluation)[:PAIRS]],
        worst=[one for one in wrong[:WORST] if one.key in thumbs],
        thumbs=thumbs,
        cells=cells,
        unread=[(plain(name), plain(why)) for name, why in evaluation.errors],
        lines=story.lines,
        commands=story.commands,
        small=all(max(part.read(int(key)).pixels.shape[:2]) <= 64 for key in list(thumbs)[:1]),
    )
    files.write_text(path, page)


def seen(evaluation: Evaluation) -> list[Shown]:
    """Every picture that was read."""
    answers, classes = evaluation.answers, evaluation.classes
    chances, first = softmax(answers.logits, evaluation.temperature), ranking(answers.logits, 1)[:, 0]
    return [
        Shown(
            str(int(index)),
            plain(evaluation.names[index]),
            classes[int(answers.labels[i])],
            classes[int(first[i])],
            float(chances[i, first[i]]),
        )
        for i, index in enumerate(answers.index)
    ]


def verdict(evaluation: Evaluation) -> list[Markup]:
    """Three sentences: how good, against what, and what goes wrong most."""
    n, correct = evaluation.n, evaluation.correct
    low, high = wilson(correct, n)
    counts = evaluation.confusion.sum(1)
    share = float(counts.max() / n)
    said = [
        phrase("right", n=n, split=evaluation.split, correct=correct, accuracy=correct / n, low=low, high=high),
        phrase("better" if low > share else "not better", name=evaluation.classes[int(counts.argmax())], share=share),
    ]
    found = pairs(evaluation)
    return [*said, mistake(evaluation, *found[0]) if found else phrase("no mistake")]


def pairs(evaluation: Evaluation) -> list[tuple[int, int]]:
    """Classes taken for one another, (true, said), the commonest first."""
    table = evaluation.confusion.copy()
    table[range(len(table)), range(len(table))] = 0
    order = table.ravel().argsort(kind="stable")[::-1][: int((table > 0).sum())]
    return [(int(place // len(table)), int(place % len(table))) for place in order]


def mistake(evaluation: Evaluation, true: int, said: int) -> Markup:
    row = evaluation.confusion[true]
    names = {"true": evaluation.classes[true], "said": evaluation.classes[said]}
    return phrase("mistake", **names, count=int(row[said]), support=int(row.sum()))


def charts(history: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """Accuracy and loss over the epochs, where there is more than one."""
    found = []
    for name in ("accuracy", "loss"):
        rows = [row for row in history if f"val_{name}" in row]
        if len(rows) > 1:
            lines = [(kind, kind, [row.get(f"{kind}_{name}") for row in rows]) for kind in ("val", "train")]
            drawn = curves([float(row["epoch"]) for row in rows], lines, percent=name == "accuracy")
            found.append((name, Markup(drawn)))  # noqa: S704
    return found


def matrix(evaluation: Evaluation) -> list[list[dict[str, Any]]]:
    """The confusion matrix as a table: counts, how dark, and what a cell is called."""
    table, names = evaluation.confusion, evaluation.classes
    return [
        [
            {
                "key": f"{i}-{j}",
                "count": int(count),
                "colour": f"rgba({'29,108,176' if i == j else '217,106,20'},{0.65 * count / max(1, row.sum()):.3f})",
                "said": f"{names[i]} → {names[j]}: {int(count):,} / {int(row.sum()):,}",
            }
            for j, count in enumerate(row)
        ]
        for i, row in enumerate(table)
    ]


def cells_of(evaluation: Evaluation, every: Sequence[Shown]) -> dict[str, Any]:
    """For each cell with pictures some of them: mistakes that are surest, and right ones that are least sure."""
    place = {name: i for i, name in enumerate(evaluation.classes)}
    found: dict[str, Any] = {}
    for one in sorted(every, key=lambda one: -one.probability if one.true != one.said else one.probability):
        cell = found.setdefault(f"{place[one.true]}-{place[one.said]}", {"pictures": []})
        if len(cell["pictures"]) < A_CELL:
            cell["pictures"].append((one.key, one.name))
    return dict(sorted(found.items(), key=lambda item: item[0].partition("-")[0] == item[0].partition("-")[2]))


def small_pictures(part: Part, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pictures of the part, by key, as the page holds them."""
    for key in keys:
        try:
            pixels = part.read(int(key)).pixels
        except DataError:  # it went away meanwhile
            continue
        picture = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels[..., :3])
        picture.thumbnail((SIDE, SIDE))
        data = io.BytesIO()
        picture.save(data, "PNG" if max(picture.size) <= 40 else "JPEG", quality=80)
        kind = "png" if max(picture.size) <= 40 else "jpeg"
        yield key, f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}"
