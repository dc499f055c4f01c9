"""What becomes of a good network that is asked wrongly: the tables in mnist.py, cifar10_table.py, save_load_predict.py.

python examples/wrong_answers.py
"""

from collections.abc import Callable
from statistics import mean

import torch
from resnet_class import tensors, train
from torch import Tensor, nn

import resnetkit

SEEDS, EPOCHS = (0, 1, 2), 5
LISTED = (3, 0, 8, 1, 9, 2, 6, 5, 7, 4)  # ten class folders in the order that a disk might list them
Ask = Callable[[nn.Module, Tensor, Tensor], float]  # network, images, labels: share that is right


@torch.no_grad()
def share(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    return (model(images).argmax(1) == labels).float().mean().item()


def batches(model: nn.Module, order: Tensor, size: int, images: Tensor, labels: Tensor) -> float:
    """In training mode, where a norm takes mean and deviation from the batch at hand."""
    model.train()
    held = [buffer.clone() for buffer in model.buffers()]
    right = [share(model, images[some], labels[some]) * len(some) for some in order.split(size)]
    for buffer, value in zip(model.buffers(), held, strict=True):  # which would move with every batch
        buffer.copy_(value)
    model.eval()
    return sum(right) / len(labels)


def first_four(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """`for i in range(4)`, from a program for batches of 4, on batches of 64: a class is told of four pictures each."""
    right = model(images).argmax(1) == labels
    return sum(int(some[:4].sum()) for some in right.split(64)) / len(labels)


def renamed(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Class names from os.listdir, which has no order, beside a network that counts them sorted."""
    return share(model, images, torch.tensor(LISTED)[labels])


def grey(images: Tensor) -> Tensor:
    """Shares of the brightest value again, 0 to 1: what tensors() scaled with mean 0.5 and deviation 0.25."""
    return images * 0.25 + 0.5


IMAGENET = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
MEAN, DEVIATION = IMAGENET

WAYS: dict[str, Ask] = {
    "right": share,
    "not normalised, 0 to 1": lambda model, x, y: share(model, grey(x), y),
    "not normalised, 0 to 255": lambda model, x, y: share(model, grey(x) * 255, y),
    "ImageNet's mean, deviation": lambda model, x, y: share(model, (grey(x) - MEAN) / DEVIATION, y),
    "dark ink on white paper": lambda model, x, y: share(model, -x, y),
    "no eval(), 64 mixed": lambda model, x, y: batches(model, torch.arange(len(y)), 64, x, y),
    "no eval(), 4 mixed": lambda model, x, y: batches(model, torch.arange(len(y)), 4, x, y),
    "no eval(), class by class": lambda model, x, y: batches(model, y.argsort(stable=True), 36, x, y),
    "counted by range(4) of 64": first_four,
    "classes in another order": renamed,
}

if __name__ == "__main__":
    _, parts = tensors("digits")
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = resnetkit.create_model("resnet20", num_classes=10)
        list(train(network, *parts["train"], EPOCHS))
        network.eval()
        for name, ask in WAYS.items():
            found[name].append(ask(network, *parts["test"]))
    for name, shares in found.items():
        print(f"{name:27} {mean(shares):6.1%}  ({min(shares):.1%} to {max(shares):.1%})")
