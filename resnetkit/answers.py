"""A network's answers on pictures it does not learn from, each picture once, whatever it is run by."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.examples import Examples, ahead, eval_batches
from resnetkit.data.parts import Labels, Part
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import DataError

SMALL = 64  # pixels along the longer side
EVAL_BATCH = {True: 250, False: 32}  # small pictures, photographs: one value each, so that figures repeat to the bit
LARGE = 512  # pixels along a side: of larger pictures fewer go through at a time
WHOLE = 16  # pictures that are read at a time where each keeps its size
Pictures = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]  # (n, h, w, c), or (h, w, c) of each where sizes differ
Heat = Callable[[NDArray[np.uint8], str], NDArray[np.uint8] | None]  # a picture under that of an answer, by its name
Ask = Callable[[Pictures], NDArray[np.float32]]  # to logits (n, classes)


@dataclass(frozen=True)
class Answers:
    """Logits for every readable picture of one part, in its order."""

    index: NDArray[np.int64]  # which pictures, n
    logits: NDArray[np.float32]  # n, classes
    labels: Labels  # of the same pictures
    errors: list[tuple[int, str]]  # pictures that could not be read, and why


def answered(ask: Ask, examples: Examples, workers: int = 2) -> Iterator[Answers]:
    """Yield what each batch of ``examples`` brought; join() makes one of all."""
    for index, images, labels, errors in eval_batches(examples, batch=at_once(examples.preprocess), workers=workers):
        yield Answers(index, ask(images), labels, errors)


def answered_whole(ask: Ask, part: Part, workers: int) -> Iterator[Answers]:
    """The same of pictures as they are stored, in colour, which ``ask`` brings to size itself."""

    def read(start: int, _stop: threading.Event) -> tuple[list[int], list[NDArray[np.uint8]], list[tuple[int, str]]]:
        rows, pictures, errors = list[int](), list[NDArray[np.uint8]](), list[tuple[int, str]]()
        for i in range(start, min(start + WHOLE, len(part.names))):
            try:
                pictures.append(in_colour(part.read(i).pixels))
                rows.append(i)
            except DataError as error:
                errors.append((i, error.what))
        return rows, pictures, errors

    for rows, pictures, errors in ahead(read, range(0, len(part.names), WHOLE), workers):
        yield Answers(np.array(rows, np.int64), ask(stacked(pictures)), part.labels[rows], errors)


def in_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (height, width, 1 or 3) with three channels."""
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def stacked(images: Sequence[NDArray[np.uint8]]) -> Pictures:
    """Pictures (h, w, c) as one array where they are of one size."""
    return np.stack(images) if len({one.shape for one in images}) == 1 else images


def at_once(preprocess: Preprocess) -> int:
    """How many pictures are answered at a time: by their size alone, so that figures repeat to the bit."""
    height, width = preprocess.size
    most = EVAL_BATCH[max(height, width) <= SMALL]
    return max(1, min(most, most * LARGE**2 // (height * width)))


def join(parts: Iterable[Answers]) -> Answers:
    kept = list(parts)
    filled = [part.logits for part in kept if len(part.logits)]
    return Answers(
        np.concatenate([part.index for part in kept]) if kept else np.empty(0, np.int64),
        np.concatenate(filled) if filled else np.empty((0, 0), np.float32),
        np.concatenate([part.labels for part in kept]) if kept else np.empty(0, np.int64),
        [error for part in kept for error in part.errors],
    )
