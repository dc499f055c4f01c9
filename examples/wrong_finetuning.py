"""What becomes of fine-tuning where a step is left out: the table in finetune_head.py.

python examples/wrong_finetuning.py
"""

import contextlib
import io
from collections.abc import Callable
from statistics import mean

import numpy as np
import torch
from finetune_head import BATCH, EPOCHS, LR, Parts, digits, new_head
from PIL import Image
from resnet_class import accuracy
from torch import nn
from torch.nn.functional import cross_entropy

import resnetkit

SEEDS = (0, 1, 2)


def learn(model: nn.Module, head: nn.Module, parts: Parts, training: bool) -> float:
    """As tune() of finetune_head.py, with the whole network in training mode where asked."""
    images, labels = parts["train"]
    optimizer = torch.optim.SGD(head.parameters(), LR, momentum=0.9)
    model.train(training)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return accuracy(model, *parts["test"])


def right(model: nn.Module, parts: Parts) -> float:
    head = new_head(model, 5)
    return learn(model, head, parts, training=False)


def not_pretrained(model: nn.Module, parts: Parts) -> float:
    """The same on a body that has seen nothing."""
    model.apply(begin_again)
    return right(model, parts)


def begin_again(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        module.reset_parameters()


def norms_move(model: nn.Module, parts: Parts) -> float:
    """requires_grad_(False) stops no running mean: only eval() does."""
    head = new_head(model, 5)
    return learn(model, head, parts, training=True)


def old_head_learns(model: nn.Module, parts: Parts) -> float:
    """An optimizer made before the head is replaced moves the head that was thrown away."""
    old = model.fc
    assert isinstance(old, nn.Module)
    new_head(model, 5)
    return learn(model, old, parts, training=False)


def old_head_stays(model: nn.Module, parts: Parts) -> float:
    """The head of the old classes, with no step of training: its five answers mean other things."""
    return accuracy(model, *parts["test"])


def measure(way: Callable[[nn.Module, Parts], float]) -> None:
    shares = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        with contextlib.redirect_stdout(io.StringIO()):
            model, _, parts = digits()
        shares.append(way(model, parts))
    print(f"{way.__name__:16} {mean(shares):6.1%}  ({min(shares):.1%} to {max(shares):.1%})", flush=True)


def say(name: str, act: Callable[[], object]) -> None:
    try:
        act()
    except RuntimeError as error:
        print(f"{name}: {' '.join(str(error).split())}")


def mixed_shapes() -> object:
    """Resize(224) makes the short side 224 and leaves the long one as it comes."""
    shown = [Image.new("RGB", size) for size in ((500, 375), (500, 333))]
    resized = [one.resize((round(224 * one.width / one.height), 224)) for one in shown]
    return torch.stack([torch.from_numpy(np.asarray(one).copy()) for one in resized])


def frozen_whole() -> object:
    model = resnetkit.create_model("resnet20", num_classes=5)
    new_head(model, 5)
    model.requires_grad_(False)  # after the new head, which is frozen with the rest
    return cross_entropy(model(torch.zeros(2, 3, 8, 8)), torch.zeros(2, dtype=torch.long)).backward()


def head_too_early() -> object:
    weights = resnetkit.create_model("resnet20", num_classes=1000).state_dict()
    return resnetkit.create_model("resnet20", num_classes=2).load_state_dict(weights)


if __name__ == "__main__":
    say("Resize(224) on mixed shapes", mixed_shapes)
    say("frozen after the new head", frozen_whole)
    say("new head before the weights", head_too_early)
    for way in (right, not_pretrained, norms_move, old_head_learns, old_head_stays):
        measure(way)
