"""Heat maps: how much each place of a picture speaks for one answer of a network. Four ways, each a few lines."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnetkit.answers import at_once
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.errors import UsageError, nearest
from resnetkit.network import Network
from resnetkit.walk import stage_name

METHODS = ("gradcam", "layercam", "integrated", "occlusion")
OF_A_STAGE = ("gradcam", "layercam")  # the others go by the picture itself
STEPS = 32  # of integrated gradients along each path; the paper has 20 to 300
WINDOWS = 7  # covers of occlusion that fit side by side; neighbours overlap by half


def heat(
    network: Network,
    pixels: NDArray[np.uint8],
    preprocess: Preprocess,
    machine: Machine,
    target: int,
    method: str = "gradcam",
    stage: int | None = None,
) -> NDArray[np.float32]:
    """What speaks for the logit ``target`` in a picture (h, w, c) as the preprocessing leaves it: (h, w), from 0 up.

    ``stage``, from 1, is the one whose map gradcam and layercam look at; without it they look at what the head sees.
    Raises UsageError for what refuse() refuses.
    """
    refuse(network, method, stage)
    image = machine.images(np.stack([pixels]), preprocess)  # a copy: a picture that fits is handed on read-only
    with torch.enable_grad(), machine.autocast():
        if method == "occlusion":
            found = occlusion(network, image, target, at_once(preprocess))
        elif method == "integrated":
            few = max(1, at_once(preprocess) // 4)  # gradients take several times the memory of answers
            ends = (np.full_like(pixels, grey)[None] for grey in (0, 255))
            paths = [integrated(network, image, machine.images(end, preprocess), target, few) for end in ends]
            found = torch.stack(paths).mean(0)
        else:
            found = cam(network, image, target, method, stage)
    return found.detach().float().clamp(min=0).cpu().numpy()


def refuse(network: Network, method: str, stage: int | None) -> None:
    """UsageError for a method or a stage that is not there, a stage that plays no part, a network without pictures."""
    if method not in METHODS:
        raise UsageError(f"there is no method {method!r}{nearest(method, METHODS)}", f"use {', '.join(METHODS)}")
    if network.plan.ndim != 2:
        raise UsageError("heat maps are of pictures, and this network takes none", "give a network for pictures")
    if network.plan.classes == 0:
        raise UsageError("this network has no head, and answers nothing that could be explained", "give it a head")
    if stage is None:
        return
    if method not in OF_A_STAGE:
        raise UsageError(f"{method} goes by the picture, and a stage plays no part", "leave the stage out")
    if type(stage) is not int or not 1 <= stage <= len(network.plan.stages):
        raise UsageError(f"there is no stage {stage!r}", f"use 1 to {len(network.plan.stages)}, or leave it out")


def cam(network: Network, image: Tensor, target: int, method: str, stage: int | None = None) -> Tensor:
    """Class activation by the map of a stage, or by those that the head sees, enlarged to the picture's size: (h, w).

    gradcam weighs each channel by the mean of its gradient (Selvaraju et al. 2017, arXiv:1610.02391, section 3).
    layercam weighs each point by its own gradient where that is positive, which stays sharp in early stages (Jiang et
    al. 2021, doi:10.1109/TIP.2021.3089943, section 3). Both keep what is positive of the sum over channels. Where the
    head sees several maps theirs are added up, each by its own way to the head alone.
    """
    with kept(network, stage) as maps:
        score = network(image.requires_grad_())[0, target]
    total = torch.zeros_like(image[0, 0])
    for seen, gradient in zip(maps, torch.autograd.grad(score, maps), strict=True):
        weights = gradient.mean((2, 3), keepdim=True) if method == "gradcam" else gradient.relu()
        found = (weights * seen).sum(1, keepdim=True).relu().float()
        points = seen[0, 0].numel() / maps[-1][0, 0].numel()  # of a fine map more come to lie on the same place
        total = total + points * nn.functional.interpolate(found, image.shape[2:], mode="bilinear")[0, 0]
    return total


@contextmanager
def kept(network: Network, stage: int | None) -> Iterator[list[Tensor]]:
    """The map behind a stage, or those that are averaged for the head, meanwhile.

    The head gets copies, so that the gradient of a map that later stages see too is that of its way to the head alone.
    """
    maps: list[Tensor] = []

    def after(_module: nn.Module, _inputs: object, answer: Tensor) -> None:
        maps.append(answer)  # into which nothing writes: every block begins with a convolution or a norm

    def before(_module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        maps.append(inputs[0].clone())
        return maps[-1]

    if stage is None:
        hook = network.avgpool.register_forward_pre_hook(before)
    else:
        name = stage_name(network.plan.family, stage - 1)
        hook = network.get_submodule(name).register_forward_hook(after)
    try:
        yield maps
    finally:
        hook.remove()


def integrated(
    network: nn.Module, image: Tensor, baseline: Tensor, target: int, few: int, steps: int = STEPS
) -> Tensor:
    """Integrated gradients along the straight path from ``baseline``, added up over channels: (h, w), of either sign.

    Sundararajan et al. 2017 (arXiv:1703.01365), sections 3 and 5. The sum over all points is what the logit gains on
    that path, up to the error of the midpoint rule. ``few`` points of the path go through at a time.
    """
    total = torch.zeros_like(image)
    for places in ((torch.arange(steps, device=image.device) + 0.5) / steps).split(few):
        points = (baseline + places.view(-1, 1, 1, 1) * (image.detach() - baseline)).requires_grad_()
        (gradient,) = torch.autograd.grad(network(points)[:, target].sum(), points)
        total += gradient.sum(0)
    return ((image - baseline) * total / steps)[0].sum(0)


@torch.no_grad()
def occlusion(network: nn.Module, image: Tensor, target: int, few: int) -> Tensor:
    """What the logit loses where a square of the mean colour covers a place, mean of all that cover it: (h, w).

    Zeiler & Fergus 2014 (arXiv:1311.2901), section 4.2. Windows are a seventh of each side, half a window apart.
    """
    sides = image.shape[2:]
    windows = [max(1, round(side / WINDOWS)) for side in sides]
    rows, columns = (starts(side, window) for side, window in zip(sides, windows, strict=True))
    places = [(y, x) for y in rows for x in columns]
    whole = network(image)[0, target].float()
    lost, covers = torch.zeros_like(image[0, 0]), torch.zeros_like(image[0, 0])
    for start in range(0, len(places), few):
        some_places = places[start : start + few]
        covered = image.repeat(len(some_places), 1, 1, 1)
        for picture, (y, x) in zip(covered, some_places, strict=True):
            picture[:, y : y + windows[0], x : x + windows[1]] = 0
        for (y, x), score in zip(some_places, network(covered)[:, target].float(), strict=True):
            lost[y : y + windows[0], x : x + windows[1]] += whole - score
            covers[y : y + windows[0], x : x + windows[1]] += 1
    return lost / covers


def starts(side: int, window: int) -> list[int]:
    """Where windows begin that are half a window apart, the last one at the edge."""
    return [*range(0, side - window, max(1, window // 2)), side - window]
