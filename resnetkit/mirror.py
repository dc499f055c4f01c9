"""Answers from two looks at a picture: the mean of what is said of it and of its mirror image."""

import numpy as np
from numpy.typing import NDArray

from resnetkit import metrics
from resnetkit.answers import Ask, Pictures, stacked
from resnetkit.errors import UsageError
from resnetkit.modelfile import Card


def asking(card: Card, ask: Ask, mirror: bool) -> Ask:
    """``ask``, or with ``mirror`` two of them. UsageError for a model that has no use for the second."""
    if not mirror:
        return ask
    if card.task != "classes":
        raise UsageError(f"mirror images are for classes, and this model answers with {card.task}", "leave mirror out")
    if card.reject is not None:
        raise UsageError(
            "the threshold of this model was chosen for one look at a picture", "leave mirror out, or use another file"
        )
    return lambda images: looked_twice(ask, images, card.temperature)


def looked_twice(ask: Ask, images: Pictures, temperature: float) -> NDArray[np.float32]:
    """Logits (n, classes) of pictures (n, h, w, c) that, at this temperature, give the mean of the probabilities.

    As Krizhevsky, Sutskever and Hinton 2012 (section 4.1) average over reflections.
    """
    both = [ask(images), ask(stacked([one[:, ::-1] for one in images]))]
    if not len(images):
        return both[0]
    mean = (metrics.softmax(both[0], temperature) + metrics.softmax(both[1], temperature)) / 2
    return (temperature * np.log(np.maximum(mean, np.finfo(np.float64).tiny))).astype(np.float32)
