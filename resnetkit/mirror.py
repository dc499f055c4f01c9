"""Answers from two looks at a picture: the mean of what is said of it and of its mirror image."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import nn

from resnetkit import metrics
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import forward
from resnetkit.errors import UsageError
from resnetkit.modelfile import Card

Ask = Callable[[nn.Module, NDArray[np.uint8], Preprocess, Machine], NDArray[np.float32]]


def asking(card: Card, mirror: bool) -> Ask:
    """``forward``, or with ``mirror`` two of them. UsageError for a model that has no use for the second."""
    if not mirror:
        return forward
    if card.task != "classes":
        raise UsageError(f"mirror images are for classes, and this model answers with {card.task}", "leave mirror out")
    if card.reject is not None:
        raise UsageError(
            "the threshold of this model was chosen for one look at a picture", "leave mirror out, or use another file"
        )
    return partial(looked_twice, temperature=card.temperature)


def looked_twice(
    model: nn.Module, images: NDArray[np.uint8], preprocess: Preprocess, machine: Machine, temperature: float
) -> NDArray[np.float32]:
    """Logits (n, classes) of pictures (n, h, w, c) that, at this temperature, give the mean of the probabilities.

    As Krizhevsky, Sutskever and Hinton 2012 (section 4.1) average over reflections.
    """
    both = [forward(model, seen, preprocess, machine) for seen in (images, np.ascontiguousarray(images[:, :, ::-1]))]
    if not len(images):
        return both[0]
    mean = (metrics.softmax(both[0], temperature) + metrics.softmax(both[1], temperature)) / 2
    return (temperature * np.log(np.maximum(mean, np.finfo(np.float64).tiny))).astype(np.float32)
