"""Answers to one part of the data become the evaluation that their task asks for."""

from collections.abc import Sequence

from resnetkit.answers import Answers
from resnetkit.data.parts import Part
from resnetkit.errors import some
from resnetkit.evaluation import Evaluation, Examined
from resnetkit.measuring import NumberEvaluation
from resnetkit.modelfile import Card
from resnetkit.slices import Looks
from resnetkit.tagging import TagEvaluation

KINDS: dict[str, type[Examined]] = {"classes": Evaluation, "tags": TagEvaluation, "numbers": NumberEvaluation}


def examined(
    card: Card,
    split: str,
    part: Part,
    answers: Answers,
    notes: Sequence[str] = (),
    looks: Looks | None = None,
    mirror: bool = False,
) -> Examined:
    """What the network of ``card`` answered to the pictures of ``part``, as figures."""
    if card.task == "tags" and len(answers.labels):
        always = [tag for tag, has in zip(card.classes, answers.labels.T > 0, strict=True) if has.all()]
        if always:
            notes = [*notes, f"every picture of {split} has {some(always)}: average precision says nothing of that"]
    return KINDS[card.task](
        split,
        card.classes,
        part.names,
        part.labels,
        answers,
        card.temperature,
        tuple(notes),
        card.scale,
        part.groups,
        card.reject,
        looks,
        part.read,
        mirror,
    )
