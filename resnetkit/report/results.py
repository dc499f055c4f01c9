"""The files that an evaluation and a run leave for people and programs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnetkit import files, metrics
from resnetkit.evaluation import Evaluation
from resnetkit.report import tables


def write_evaluation(folder: Path, evaluation: Evaluation, **more: Any) -> list[Path]:
    """metrics.json, per_class.csv, predictions.csv and the confusion matrix as CSV and picture."""
    from resnetkit.report import pictures

    paths = {name: folder / name for name in ("metrics.json", "per_class.csv", "predictions.csv")}
    files.write_json(paths["metrics.json"], evaluation.as_dict() | more)
    tables.write_class_rows(paths["per_class.csv"], evaluation.rows, evaluation.total)
    tables.write_pictures(paths["predictions.csv"], picture_rows(evaluation))
    matrix = [folder / "confusion_matrix.csv", folder / "confusion_matrix.png"]
    tables.write_confusion(matrix[0], evaluation.confusion, evaluation.classes)
    pictures.confusion_picture(matrix[1], evaluation.confusion, evaluation.classes)
    return [*paths.values(), *matrix]


def write_curves(folder: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    """results.csv as a picture, curves.png."""
    from resnetkit.report import pictures

    pictures.curves_picture(folder / "curves.png", epochs)


def picture_notes(classes: Sequence[str]) -> list[str]:
    """What to say of the pictures beside them."""
    from resnetkit.report import fonts

    return fonts.note(classes)


def picture_rows(evaluation: Evaluation) -> list[tables.PictureRow]:
    """A row for each picture of the part, in its order, unreadable ones among them."""
    answers, classes = evaluation.answers, evaluation.classes
    probabilities = metrics.softmax(answers.logits, evaluation.temperature)
    predicted = metrics.ranking(answers.logits, 1)[:, 0]
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
