"""Pictures mixed with one another, and labels with them: the last thing before the network, on whole batches."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from resnetkit import dice
from resnetkit.data.boxes import Box
from resnetkit.settings import Settings


def mixed(
    images: Tensor, labels: Tensor, settings: Settings, step: int, weights: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What a step learns from: images (n, c, h, w), labels int64 (n,) as given or float32 (n, classes) as shares.

    Labels that are float32 already, tags or numbers, are blended, and so are the ``weights`` of pictures. All pictures
    of a step are mixed in the same way, in pairs that with the way are a function of seed and step.
    Where mixup and cutmix are both on, each has half the steps.
    """
    run, (height, width) = settings.run, images.shape[2:]
    if not run.mixup and not run.cutmix:
        return images, labels, weights
    which, down, across = dice.uniform(np.array([step]), 3, run.seed, "mix")[0].tolist()
    partner = torch.from_numpy(dice.permutation(len(labels), run.seed, "partner", step)).to(images.device)
    if run.mixup and (not run.cutmix or which < 0.5):
        share = dice.beta(run.mixup, run.seed, "mixup", step)
        images = blend(images, partner, share)
    else:
        box = patch(height, width, 1 - dice.beta(run.cutmix, run.seed, "cutmix", step), down, across)
        left, top, right, bottom = box
        share = 1 - (right - left) * (bottom - top) / (height * width)
        images = paste(images, partner, box)
    if weights is not None:
        weights = weights * share + weights[partner] * (1 - share)
    return images, shares(labels, partner, share, len(settings.classes)), weights


def blend(images: Tensor, partner: Tensor, share: float) -> Tensor:
    """``share`` of each picture, and the rest of it from its partner: mixup (Zhang et al. 2018, section 2)."""
    return images * share + images[partner] * (1 - share)


def paste(images: Tensor, partner: Tensor, box: Box) -> Tensor:
    """Each picture with a part of its partner in it: cutmix (Yun et al. 2019, section 3.1)."""
    left, top, right, bottom = box
    pasted = images.clone()
    pasted[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    return pasted


def patch(height: int, width: int, area: float, down: float, across: float) -> Box:
    """A box of the picture's shape with a share ``area`` of it around any pixel, less what lies outside."""
    side = math.sqrt(area)
    h, w = int(height * side) // 2, int(width * side) // 2
    y, x = int(height * down), int(width * across)
    return max(0, x - w), max(0, y - h), min(width, x + w), min(height, y + h)


def shares(labels: Tensor, partner: Tensor, share: float, classes: int) -> Tensor:
    """How much of each class a mixed picture shows: float32 (n, classes), each row with the sum 1."""
    whole = one_hot(labels, classes).float() if labels.ndim == 1 else labels
    return whole * share + whole[partner] * (1 - share)


def main_class(labels: Tensor) -> Tensor:
    """The class that each picture shows most of, int64 (n,), from classes (n,) or shares (n, classes)."""
    return labels if labels.ndim == 1 else labels.argmax(1)
