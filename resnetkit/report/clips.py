"""The answers to pictures and clips, for people, for spreadsheets and for programs."""

from collections.abc import Iterable, Iterator
from typing import Any

from resnetkit.clips import Answer, FrameAnswer, Stretch, Summary, Top
from resnetkit.errors import DataError, plain
from resnetkit.modelfile import Card
from resnetkit.prediction import Prediction


def documents(answers: Iterable[tuple[str, Answer]]) -> Iterator[dict[str, Any]]:
    """One for each picture and for each clip, as JSON holds them."""
    frames: list[dict[str, Any]] = []
    for path, answer in answers:
        match answer:
            case FrameAnswer():
                frames.append(answer.as_dict())
                continue
            case Summary():
                yield {"path": path, "frames": frames, **answer.as_dict()}
            case DataError():
                yield {"path": path, "frames": frames, "error": str(answer)}
            case Prediction():
                yield answer.as_dict()
        frames = []


def header(card: Card, top: int | None) -> list[str]:
    """What stands above the cells of an answer: ranks of classes, or a column a tag or number."""
    if card.task != "classes":
        return [*card.classes]
    width = min(top or 5, len(card.classes))
    return [f"{name}_{k}" for k in range(1, width + 1) for name in ("class", "probability")]


def unknown_of(answer: Answer) -> bool | None:
    """Whether the likeliest class is too unlikely for an answer, of pictures and a model that has a threshold."""
    return answer.unknown if isinstance(answer, Prediction) else None


def cells(answer: Answer, card: Card, top: int | None) -> list[str | float | None]:
    """The cells of an answer, as many as the header has; tags without a probability were not asked for."""
    found = top_of(answer)
    if card.task != "classes":
        return [dict(found).get(name) for name in card.classes]
    return [cell for pair in found for cell in pair] or [None] * len(header(card, top))


def top_of(answer: Answer) -> Top:
    return () if isinstance(answer, DataError) else answer.top


def error_of(answer: Answer) -> str | None:
    if isinstance(answer, DataError):
        return str(answer)
    return answer.error if isinstance(answer, Prediction) else None


def place_of(answer: Answer) -> tuple[int | None, str | None]:
    """The frame's number and its time in seconds; None for what has none."""
    if not isinstance(answer, FrameAnswer):
        return None, None
    return answer.number, None if answer.seconds is None else f"{answer.seconds:.3f}"


def lines(answer: Answer) -> Iterator[list[str]]:
    """The same for people, a line's parts each time: a summary has one for each stretch and one for the whole."""
    if isinstance(answer, Summary):
        for stretch in answer.segments:
            yield [between(stretch), f"{plain(stretch.name)} {stretch.probability:.2%}"]
    where = {FrameAnswer: where_of(answer), Summary: ["whole clip"]}.get(type(answer), [])
    error = error_of(answer)
    shown = ".6g" if isinstance(answer, Prediction) and answer.task == "numbers" else ".2%"
    said = [f"{plain(name)} {value:{shown}}" for name, value in top_of(answer)] or ["no tag"]
    said = ["unknown", *said] if unknown_of(answer) else said
    yield [*where, *said] if error is None else [f"error: {plain(error)}"]


def where_of(answer: Answer) -> list[str]:
    number, seconds = place_of(answer)
    return [f"frame {number}", *([] if seconds is None else [f"{seconds} s"])]


def between(stretch: Stretch) -> str:
    first, last = stretch.first, stretch.last
    if first.seconds is None or last.seconds is None:
        return f"frames {first.number} to {last.number}"
    return f"{first.seconds:.3f} to {last.seconds:.3f} s"
