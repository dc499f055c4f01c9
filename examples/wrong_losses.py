"""What becomes of a network with the wrong head or the wrong loss: the tables in resnet_class.py and vectors.py.

python examples/wrong_losses.py
"""

from collections.abc import Callable
from statistics import mean

import torch
from resnet_class import BATCH, LR, tensors
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from resnetkit import ResNet, Spec, lay_out

SEEDS, EPOCHS = (0, 1, 2), 5
Loss = Callable[[Tensor, Tensor], Tensor]


def softmax_twice(logits: Tensor, labels: Tensor) -> Tensor:
    """cross_entropy does the softmax; on probabilities it can fall to 1.46 for ten classes, and no lower."""
    return cross_entropy(logits.softmax(1), labels)


def two_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """One answer for yes or no, and labels that go from 0 to 9."""
    return binary_cross_entropy_with_logits(logits[:, 0], labels.float())


def of_ten(logits: Tensor) -> Tensor:
    return logits.argmax(1)


def of_two(logits: Tensor) -> Tensor:
    return (logits[:, 0] > 0).long()


def measure(name: str, outputs: int, loss_of: Loss, answer: Callable[[Tensor], Tensor]) -> None:
    """Train a ResNet of 8 layers on digits, seed by seed; print losses and accuracy."""
    _, parts = tensors("digits")
    (images, labels), (unseen, truth) = parts["train"], parts["test"]
    thin = Spec(block="basic", depths=(1, 1, 1), widths=(16, 32, 64), stem="3x3", pool="none", classes=outputs, size=8)
    first, last, right, outside = [], [], [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = ResNet(lay_out(thin))
        optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
        losses = []
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(images)).split(BATCH):
                optimizer.zero_grad()
                loss = loss_of(model(images[batch]), labels[batch])
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            logits = model(unseen)
        first.append(losses[0])
        last.append(mean(losses[-len(images) // BATCH :]))
        right.append((answer(logits) == truth).float().mean().item())
        outside.append(logits.softmax(1)[:, 10:].sum(1).mean().item())
    shown = f"loss {mean(first):5.2f} at first, {mean(last):8.3f} at last  test {min(right):.1%} to {max(right):.1%}"
    print(f"{name:24} {shown}  beyond the ten {mean(outside):.2%}", flush=True)


if __name__ == "__main__":
    measure("right", 10, cross_entropy, of_ten)
    measure("softmax before the loss", 10, softmax_twice, of_ten)
    measure("1000-way head", 1000, cross_entropy, of_ten)
    measure("two-class loss on ten", 1, two_classes, of_two)
