"""The files that an evaluation and a run leave for people and programs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnetkit import files, metrics
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Labels
from resnetkit.evaluation import Evaluation, Examined
from resnetkit.measuring import NumberEvaluation
from resnetkit.report import tables
from resnetkit.tagging import TagEvaluation

if TYPE_CHECKING:
    from resnetkit.engine.lrfinder import Curve

WORST = 5  # slices that people are shown


def write_evaluation(folder: Path, evaluation: Examined, **more: Any) -> list[Path]:
    """metrics.json, a row a picture in predictions.csv, and what else there is to say of the task."""
    if isinstance(evaluation, TagEvaluation):
        return write_tags(folder, evaluation, more)
    if isinstance(evaluation, NumberEvaluation):
        return write_numbers(folder, evaluation, more)
    assert isinstance(evaluation, Evaluation)
    return write_classes(folder, evaluation, more)


def table_of(evaluation: Examined) -> str:
    """The figures of each class, tag or number, for people."""
    if isinstance(evaluation, TagEvaluation):
        return tables.tag_table(evaluation.rows, evaluation.total)
    if isinstance(evaluation, NumberEvaluation):
        return tables.number_table(evaluation.rows)
    assert isinstance(evaluation, Evaluation)
    return tables.class_table(evaluation.rows, evaluation.total)


def slices_of(evaluation: Examined) -> dict[str, Any]:
    """What metrics.json says of parts of the pictures, where there is anything to say."""
    found = evaluation.slices() if isinstance(evaluation, Evaluation) else []
    return {"slices": [one.as_dict() for one in found]} if found else {}


def worst_of(evaluation: Examined) -> list[str]:
    """The same for people: the worst few, if any."""
    found = evaluation.slices() if isinstance(evaluation, Evaluation) else []
    return ["", "where it is worst:", tables.slice_table(found[:WORST])] if found else []


def write_classes(folder: Path, evaluation: Evaluation, more: Mapping[str, Any]) -> list[Path]:
    """With per_class.csv, the confusion matrix as CSV and picture, and a picture of how far to trust probabilities."""
    from resnetkit.report import pictures, reliability

    paths = {name: folder / name for name in ("metrics.json", "per_class.csv", "predictions.csv")}
    files.write_json(paths["metrics.json"], {**evaluation.as_dict(), **more})
    tables.write_rows(paths["per_class.csv"], evaluation.rows, evaluation.total)
    tables.write_pictures(paths["predictions.csv"], picture_rows(evaluation))
    matrix = [folder / "confusion_matrix.csv", folder / "confusion_matrix.png"]
    tables.write_confusion(matrix[0], evaluation.confusion, evaluation.classes)
    pictures.confusion_picture(matrix[1], evaluation.confusion, evaluation.classes)
    reliability.reliability_picture(folder / "reliability.png", evaluation.calibration)
    return [*paths.values(), *matrix, folder / "reliability.png"]


def write_tags(folder: Path, evaluation: TagEvaluation, more: Mapping[str, Any]) -> list[Path]:
    """With per_tag.csv."""
    paths = [folder / name for name in ("metrics.json", "per_tag.csv", "predictions.csv")]
    files.write_json(paths[0], {**evaluation.as_dict(), **more})
    tables.write_rows(paths[1], evaluation.rows, evaluation.total)
    header = ["path", "tags", "predicted", "correct", "loss", *evaluation.classes, "error"]
    tables.write_csv(paths[2], header, tag_rows(evaluation))
    return paths


def write_numbers(folder: Path, evaluation: NumberEvaluation, more: Mapping[str, Any]) -> list[Path]:
    """With per_number.csv, and what was said beside what is true as a picture."""
    from resnetkit.report import scatter

    names = ("metrics.json", "per_number.csv", "predictions.csv", "predictions.png")
    paths = [folder / name for name in names]
    files.write_json(paths[0], {**evaluation.as_dict(), **more})
    tables.write_rows(paths[1], evaluation.rows)
    header = ["path", *(f"{kind}{name}" for name in evaluation.classes for kind in ("", "predicted ")), "error"]
    tables.write_csv(paths[2], header, number_rows(evaluation))
    scatter.numbers_picture(paths[3], evaluation.said, evaluation.answers.labels, evaluation.rows)
    return paths


def write_curves(folder: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    """results.csv as a picture, curves.png, if there is more than the head that was solved."""
    from resnetkit.report import pictures

    if len(epochs) > 1 or epochs[0]["step"]:
        pictures.curves_picture(folder / "curves.png", epochs)


def write_rates(folder: Path, curve: "Curve") -> tuple[Path, Path]:
    """lr.csv, a row a step, and the same as a picture, lr.png."""
    from resnetkit.report import rates

    rows = ([point.rate, point.loss, smooth] for point, smooth in zip(curve.points, curve.smooth, strict=True))
    tables.write_csv(folder / "lr.csv", ["lr", "loss", "smooth"], rows)
    rates.rates_picture(folder / "lr.png", curve)
    return folder / "lr.csv", folder / "lr.png"


def picture_notes(classes: Sequence[str]) -> list[str]:
    """What to say of the pictures beside them."""
    from resnetkit.report import fonts

    return fonts.note(classes)


def picture_rows(evaluation: Evaluation) -> list[tables.PictureRow]:
    """A row for each picture of the part, in its order, unreadable ones among them."""
    answers, classes = evaluation.answers, evaluation.classes
    probabilities, predicted = evaluation.probabilities, evaluation.predicted
    losses = metrics.losses(answers.logits, answers.labels)
    rows = {}
    for place, index in enumerate(answers.index):
        label, answer = int(answers.labels[place]), int(predicted[place])
        rows[int(index)] = tables.PictureRow(
            evaluation.names[index],
            classes[label],
            classes[answer],
            label == answer,
            float(probabilities[place, answer]),
            float(losses[place]),
        )
    for index, why in answers.errors:
        label = evaluation.labels[index]
        rows[index] = tables.PictureRow(evaluation.names[index], classes[label], None, None, None, None, why)
    return [rows[index] for index in sorted(rows)]


def tag_rows(evaluation: TagEvaluation) -> Iterator[Iterable[tables.Cell]]:
    """The same for tags, with the probability of each."""
    answers, names = evaluation.answers, evaluation.classes
    truth, called = (tags_of(names, labels) for labels in (answers.labels, answers.logits >= 0))
    chances, losses = metrics.sigmoid(answers.logits), metrics.tag_losses(answers.logits, answers.labels)
    rows: dict[int, list[tables.Cell]] = {}
    for place, index in enumerate(answers.index.tolist()):
        same = truth[place] == called[place]
        rows[index] = [truth[place], called[place], same, float(losses[place]), *chances[place].tolist(), None]
    for index, why in answers.errors:
        rows[index] = [*tags_of(names, evaluation.labels[index : index + 1]), *[None] * (len(names) + 3), why]
    return ([evaluation.names[index], *rows[index]] for index in sorted(rows))


def tags_of(names: Sequence[str], labels: Labels) -> list[str]:
    """As a list has them: nothing where there is none."""
    return ["" if not row.any() else word for word, row in zip(words_of("tags", names, labels), labels, strict=True)]


def number_rows(evaluation: NumberEvaluation) -> Iterator[Iterable[tables.Cell]]:
    """The same for numbers: each true one, and beside it what was said."""
    answers = evaluation.answers
    rows: dict[int, list[tables.Cell]] = {}
    for index, truth, said in zip(answers.index.tolist(), answers.labels, evaluation.said, strict=True):
        rows[index] = [*(cell for pair in zip(truth.tolist(), said.tolist(), strict=True) for cell in pair), None]
    for index, why in answers.errors:
        rows[index] = [*(cell for true in evaluation.labels[index] for cell in (float(true), None)), why]
    return ([evaluation.names[index], *rows[index]] for index in sorted(rows))
