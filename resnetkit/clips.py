"""What a model says of moving pictures: an answer for each frame, then one for each stretch and for the whole clip."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from resnetkit import metrics
from resnetkit.answerer import Answerer
from resnetkit.answers import EVAL_BATCH, SMALL
from resnetkit.data import video
from resnetkit.data.decode import MAX_PIXELS
from resnetkit.data.video import Frame
from resnetkit.errors import DataError, UsageError
from resnetkit.inputs import Input, usual_workers
from resnetkit.prediction import Prediction
from resnetkit.smoothing import Moment, Smoothing
from resnetkit.spans import span

Top = tuple[tuple[str, float], ...]  # class and probability, likeliest first
VIDEO_SMOOTH, FOLDER_SMOOTH = "1s", "25"  # frames, of which a second of most films has as many


@dataclass(frozen=True)
class FrameAnswer:
    """The answer to one frame."""

    number: int  # from 0, every frame of the clip counted
    seconds: float | None  # since the first frame; None in a folder of frames
    top: Top

    def as_dict(self) -> dict[str, Any]:
        return {"frame": self.number, **known(seconds=self.seconds), "top": listed(self.top)}


@dataclass(frozen=True)
class Stretch:
    """Answered frames in a row that the smoothed answers give to one class."""

    name: str
    first: Moment
    last: Moment
    frames: int
    probability: float  # of that class, the mean of the frames' own

    def as_dict(self) -> dict[str, Any]:
        return {
            "class": self.name,
            "first_frame": self.first.number,
            "last_frame": self.last.number,
            **known(begin_seconds=self.first.seconds, end_seconds=self.last.seconds),
            "frames": self.frames,
            "probability": self.probability,
        }


@dataclass(frozen=True)
class Summary:
    """What the answered frames of a clip say together."""

    frames: int
    top: Top  # of the mean of the frames' probabilities
    segments: tuple[Stretch, ...]

    def as_dict(self) -> dict[str, Any]:
        return {"top": listed(self.top), "segments": [segment.as_dict() for segment in self.segments]}


Answer = Prediction | FrameAnswer | Summary | DataError


def watch(
    model: Answerer,
    path: str | os.PathLike[str],
    *,
    every: int | str = 1,
    smooth: int | str | None = None,
    top: int | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[FrameAnswer | Summary]:
    """The answers to the frames of a video, or of a folder of frames in natural order, and last a Summary.

    ``every`` and ``smooth`` are frames, or seconds as in "0.5s"; ``smooth`` is the width of the window over which
    probabilities are averaged, without it a second, or 25 frames of a folder. Raises DataError where the clip cannot be
    read, or cannot be read further, after the answers to the frames before; ResourceError where a video is given and
    PyAV is missing; UsageError for spans that cannot be meant.
    """
    if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
        raise UsageError(f"top is {top!r}, not a whole number of at least 1", "leave it out for 5")
    refuse_task(model)
    folder = os.path.isdir(path)
    step = span(str(every), "every", folder=folder, least=1e-3)
    default = FOLDER_SMOOTH if folder else VIDEO_SMOOTH
    smoothing = Smoothing(span(str(default if smooth is None else smooth), "smooth", folder=folder))
    name = os.fspath(path)
    if folder:
        channels = model.card.preprocess.channels
        frames = video.read_folder(Path(path), name, every=step, channels=channels, max_pixels=max_pixels)
    else:
        threads = usual_workers(workers)
        frames = video.read_video(Path(path), name, every=step, threads=threads, max_pixels=max_pixels)
    top = min(top or 5, len(model.classes))
    for moments, images in batches(model, frames):
        probabilities = model.probabilities(np.stack(images))
        ranks = metrics.ranking(probabilities, top)
        for moment, row, best in zip(moments, probabilities, ranks, strict=True):
            smoothing.add(moment, row)
            yield FrameAnswer(moment.number, moment.seconds, tuple((model.classes[i], float(row[i])) for i in best))
    whole = smoothing.end()
    best = metrics.ranking(whole[None], top)[0]
    yield Summary(
        smoothing.frames,
        tuple((model.classes[i], float(whole[i])) for i in best),
        tuple(Stretch(model.classes[s.label], s.first, s.last, s.frames, s.probability) for s in smoothing.segments),
    )


def refuse_task(model: Answerer) -> None:
    """Stretches and their probabilities are of classes: UsageError for a model of tags or numbers."""
    if model.card.task != "classes":
        raise UsageError(
            f"clips are for models of classes, and this one says {model.card.task}", "give it single frames as pictures"
        )


def batches(model: Answerer, frames: Iterator[Frame]) -> Iterator[tuple[list[Moment], list[Any]]]:
    """Frames as the network takes them, a batch at a time; an error comes after the frames before it."""
    size = EVAL_BATCH[max(model.card.preprocess.size) <= SMALL]
    trouble: DataError | None = None
    while trouble is None:
        moments, images = [], []
        try:
            for frame in islice(frames, size):
                images.append(model.card.preprocess.apply(frame.pixels))
                moments.append(frame.moment)
        except DataError as error:
            trouble = error
        if images:
            yield moments, images
        elif trouble is None:
            return
    raise trouble


def told_apart(given: Iterable[Input], frames: bool) -> Iterator[tuple[bool, Input]]:
    """Each input, patterns resolved, and whether it is a clip; with ``frames`` folders are."""
    for item in given:
        if isinstance(item, bytes):
            yield False, item
        elif os.path.isdir(item):
            yield frames, item
        elif not os.path.lexists(item) and glob.has_magic(os.fspath(item)):
            matches = sorted(glob.glob(os.fspath(item), recursive=True))
            yield from told_apart(matches, frames) if matches else [(False, item)]
        else:
            yield os.path.splitext(item)[1].lower() in video.SUFFIXES, item


def answers(
    model: Answerer,
    inputs: Iterable[tuple[bool, Input]],
    *,
    every: int | str = 1,
    smooth: int | str | None = None,
    top: int | None = None,
    workers: int | None = None,
    mirror: bool = False,
) -> Iterator[tuple[str, Answer]]:
    """What model.predictions says of pictures and watch of clips, in order, each with its path.

    A clip that cannot be read, or not to its end, has the error as its last answer. ``mirror`` is of pictures alone.
    Raises as watch does else.
    """
    inputs = list(inputs)
    if any(is_clip and not os.path.isdir(item) for is_clip, item in inputs):
        video.require()  # before anything is answered
    for are_clips, some_inputs in groupby(inputs, key=lambda pair: pair[0]):
        items = [item for _, item in some_inputs]
        if not are_clips:
            for answer in model.predictions(items, top=top, workers=workers, mirror=mirror):
                yield answer.path, answer
            continue
        for item in items:
            assert not isinstance(item, bytes)
            path = os.fspath(item)
            try:
                for said in watch(model, path, every=every, smooth=smooth, top=top, workers=workers):
                    yield path, said
            except DataError as error:
                yield path, error


def known(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def listed(top: Top) -> list[dict[str, Any]]:
    return [{"class": name, "probability": probability} for name, probability in top]
