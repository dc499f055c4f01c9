"""What speaks for one answer to a picture: its heat map as the network saw it, and placed back onto the picture."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnetkit import metrics
from resnetkit.answers import Heat
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import forward
from resnetkit.errors import UsageError, WeightsError, nearest, plain, some
from resnetkit.explain.maps import OF_A_STAGE, heat, refuse
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.tasks import TASKS, TaskName

HALF = 0.5  # of the heat is within the box
RAMP = np.array([(60, 20, 110), (200, 40, 90), (250, 140, 30), (255, 235, 120)], np.float32)  # from cool to hot
SHOWN = 448  # pixels of a picture under its heat beside others
UNSEEN = 0.45  # how bright the picture stays where the network saw nothing of it


@dataclass(frozen=True, eq=False)
class Explanation:
    """One answer, and where it comes from. Maps are from 0 up, in no unit: compare places, not pictures."""

    path: str
    name: str  # of the class, tag or number that is explained
    value: float  # its probability; of a number its value
    method: str  # of maps.METHODS
    stage: int | None  # of the map, from 1; None for what the head sees, or where the method looks at none
    picture: NDArray[np.uint8]  # (height, width, 1 or 3), upright
    seen: NDArray[np.float32]  # the heat on what the network saw, (h, w)
    preprocess: Preprocess
    task: TaskName = "classes"

    @cached_property
    def heat(self) -> NDArray[np.float32]:
        """The map on the upright picture as it was stored: (height, width); 0 where the network saw nothing of it."""
        return placed(self.seen, self.preprocess, *self.picture.shape[:2])

    @cached_property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom, in pixels of the picture, around its hottest points, which hold half the heat.

        Right and bottom are the first pixels outside. None where nothing speaks for the answer.
        """
        order = np.argsort(-self.heat, axis=None, kind="stable")
        sums = np.cumsum(self.heat.ravel()[order], dtype=np.float64)
        if sums[-1] == 0:
            return None
        hottest = order[: int(np.searchsorted(sums, HALF * sums[-1])) + 1]
        rows, columns = np.unravel_index(hottest, self.heat.shape)
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

    @property
    def peak(self) -> tuple[int, int] | None:
        """The column and the row of the hottest point, in pixels of the picture."""
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        return (int(column), int(row)) if self.heat[row, column] > 0 else None

    def overlay(self) -> NDArray[np.uint8]:
        """The picture in faint colours with the heat over it, (height, width, 3); dim where the network saw nothing."""
        heat, shown = self.heat, np.broadcast_to(self.picture, (*self.heat.shape, 3)).astype(np.float32)
        share = heat / (heat.max() or 1.0)
        faint = (shown + shown.mean(2, keepdims=True)) / 2
        places = np.linspace(0, 1, len(RAMP))
        hot = np.stack([np.interp(share, places, channel) for channel in RAMP.T], axis=-1)
        cover = 0.8 * (share**0.75)[..., None]
        top, left, bottom, right = within(self.preprocess, *heat.shape)
        faint *= UNSEEN
        faint[top:bottom, left:right] /= UNSEEN
        return np.rint(faint * (1 - cover) + hot * cover).clip(0, 255).astype(np.uint8)

    def as_dict(self) -> dict[str, Any]:
        one, value = {
            "classes": ("class", "probability"),
            "tags": ("tag", "probability"),
            "numbers": ("number", "value"),
        }[self.task]
        stage = {} if self.stage is None else {"stage": self.stage}
        return {
            "path": self.path,
            one: self.name,
            value: self.value,
            "method": self.method,
            **stage,
            "size": list(self.heat.shape[::-1]),
            "box": None if self.box is None else list(self.box),
            "peak": None if self.peak is None else list(self.peak),
        }


def explain(
    card: Card,
    model: Network,
    machine: Machine,
    path: str,
    picture: NDArray[np.uint8],
    method: str,
    target: str | None,
    stage: int | None,
) -> Explanation:
    """The explanation of one answer: of ``target``, or of what the model holds likeliest.

    Raises UsageError for a method, stage or target that cannot be meant, WeightsError for answers that overflow.
    """
    refuse(model, method, stage)
    refuse_target(card, target)
    pixels = card.preprocess.apply(picture)
    logits = forward(model, np.stack([pixels]), card.preprocess, machine)
    if not np.isfinite(logits / np.float32(card.temperature)).all():
        raise WeightsError(f"the answers of this {card.model} are not finite", "use another model file")
    chosen = int(logits[0].argmax()) if target is None else card.classes.index(target)
    if card.task == "classes":
        values = metrics.softmax(logits, card.temperature)
    else:
        values = metrics.sigmoid(logits) if card.task == "tags" else metrics.scaled(logits, card.scale)
    seen = heat(model, pixels, card.preprocess, machine, chosen, method, stage)
    if not np.isfinite(seen).all():
        raise WeightsError(f"the gradients of this {card.model} are not finite", "use --precision fp32, or occlusion")
    shown = stage if method in OF_A_STAGE else None
    value = float(values[0, chosen])
    return Explanation(path, card.classes[chosen], value, method, shown, picture, seen, card.preprocess, card.task)


def heating(card: Card, model: Network, machine: Machine) -> Heat | None:
    """Grad-CAM of a network of classes over a picture, which is made small; None for networks without such maps."""
    if card.task != "classes" or card.plan.ndim != 2:
        return None

    def heat(pixels: NDArray[np.uint8], answer: str) -> NDArray[np.uint8] | None:
        if answer not in card.classes:
            return None
        try:
            told = explain(card, model, machine, "", pixels, "gradcam", answer, None)
        except WeightsError:  # a picture less is no reason to lose the rest
            return None
        return replace(told, picture=reduced(pixels)).overlay()

    return heat


def reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (h, w, c) of at most 448 pixels a side: a heat map is coarser still."""
    if max(pixels.shape[:2]) <= SHOWN:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((SHOWN, SHOWN))
    return np.asarray(image).reshape(image.height, image.width, -1)


def refuse_target(card: Card, target: str | None) -> None:
    """UsageError for a class, tag or number that the model does not have, or for none of several numbers."""
    if target is None and card.task == "numbers" and len(card.classes) > 1:
        what = f"this model answers with {len(card.classes)} numbers, of which none is likelier"
        raise UsageError(what, f"say which one is to be explained: --class {plain(card.classes[0])}")
    if target is not None and target not in card.classes:
        known = nearest(target, card.classes)
        raise UsageError(
            f"the model has no {TASKS[card.task].one} called {plain(target)}{known}",
            f"use one that it was trained with: {some(card.classes, 5)}",
        )


def placed(seen: NDArray[np.float32], preprocess: Preprocess, height: int, width: int) -> NDArray[np.float32]:
    """A map (h, w) of what the network saw, on the picture that it was made of: (height, width)."""
    resized, top, left = preprocess.laid(height, width)
    canvas = np.zeros(resized, np.float32)
    y, x = max(top, 0), max(left, 0)
    shown = seen[y - top : resized[0] - top, x - left : resized[1] - left]
    canvas[y : y + shown.shape[0], x : x + shown.shape[1]] = shown
    if resized == (height, width):
        return canvas
    return np.asarray(Image.fromarray(canvas).resize((width, height), Image.Resampling.BILINEAR)).clip(0)


def within(preprocess: Preprocess, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what the network saw of a picture, in its pixels."""
    resized, top, left = preprocess.laid(height, width)
    ends = []
    for start, shown, inner, side in (
        (top, preprocess.size[0], resized[0], height),
        (left, preprocess.size[1], resized[1], width),
    ):
        ends.append((round(max(start, 0) * side / inner), round(min(start + shown, inner) * side / inner)))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]
