"""A pretrained ResNet with a new head, for pictures in train/ and test/ (or val/) class folders.

    python examples/finetune_head.py resnet50-11ad3fa6.pth data/hymenoptera   # weights as torchvision publishes them
    python examples/finetune_head.py runs/insects/best.safetensors DATA       # or a model file of this library
    python examples/finetune_head.py          # offline: a network that knows the digits 0 to 4 learns 5 to 9

What such programs get wrong, measured on that offline task (seeds 0 to 2, mean, lowest and highest test accuracy; torch
2.13.0 on a CPU; python examples/wrong_finetuning.py):

| program | test accuracy, or what it says |
|---|---|
| right | 87.0 % (84.4 to 91.7) |
| no pretrained weights, for comparison | 73.9 % (73.3 to 74.4) |
| frozen, but in training mode: the norms of the body go on moving | 84.3 % (82.8 to 85.0) |
| the optimizer was made before the new head, and moves the old one | 24.6 % (19.4 to 33.9) |
| the head of the old classes is kept | 17.0 % (11.7 to 23.3) |
| requires_grad_(False) after the new head | element 0 of tensors does not require grad |
| the new head before load_state_dict | size mismatch for fc.weight: [1000, 64], not [2, 64] |
| Resize(224) on mixed shapes, which keeps their long sides | stack expects each tensor to be equal size |
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from resnet_class import accuracy, tensors, train
from torch import Tensor, nn

import resnetkit
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.modelfile import is_ours

NETWORK = "resnet50"  # what a bare state dict belongs to
IMAGENET = Preprocess(size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
EPOCHS, BATCH, LR, SEED = 10, 32, 0.02, 0

Parts = dict[str, tuple[Tensor, Tensor]]


def pretrained(weights: str) -> tuple[nn.Module, Preprocess]:
    """The network of a file, and how it wants its pictures: the model file says so, for a state dict we have to."""
    if is_ours(Path(weights)):
        model = resnetkit.load(weights, device="cpu")
        return model.model, model.card.preprocess
    return resnetkit.create_model(NETWORK, weights=weights), IMAGENET


def pictures(data: str, see: Preprocess) -> tuple[tuple[str, ...], Parts]:
    """Photographs of any shape, all brought to one: the short side resized, the middle cut out."""
    source, found = open_source(data), {}
    for name, part in source.parts.items():
        pixels = np.stack([see.apply(part.read(i).pixels) for i in range(len(part.labels))])
        found[str(name)] = torch.from_numpy(see.normalize(pixels)), torch.from_numpy(part.labels)
    return source.classes, found


def new_head(model: nn.Module, classes: int) -> nn.Linear:
    """Freeze what there is, and put a new head for ``classes`` in place of the old one."""
    assert isinstance(model.fc, nn.Linear)
    model.requires_grad_(False)  # first this, so that the new head is not frozen with the rest
    model.fc = head = nn.Linear(model.fc.in_features, classes)
    return head


def tune(model: nn.Module, head: nn.Module, images: Tensor, labels: Tensor) -> Iterator[float]:
    """Train the head alone; yields the mean loss of each epoch."""
    optimizer = torch.optim.SGD(head.parameters(), LR, momentum=0.9)
    model.eval()  # the norms of a frozen body must not move either
    for _ in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        yield total / len(images)


def digits() -> tuple[nn.Module, tuple[str, ...], Parts]:
    """A network trained on the digits 0 to 4, and the other five to learn."""
    classes, parts = tensors("digits")
    low = {name: (images[labels < 5], labels[labels < 5]) for name, (images, labels) in parts.items()}
    high = {name: (images[labels >= 5], labels[labels >= 5] - 5) for name, (images, labels) in parts.items()}
    model = resnetkit.create_model("resnet20", num_classes=5)
    losses = list(train(model, *low["train"], epochs=5))
    print(f"digits 0 to 4: loss {losses[-1]:.4f}, accuracy {accuracy(model, *low['test']):.2%} on test")
    return model, classes[5:], high


def main(weights: str | None = None, data: str = "data/hymenoptera") -> None:
    torch.manual_seed(SEED)
    if weights is None:
        model, classes, parts = digits()
    else:
        model, see = pretrained(weights)
        classes, parts = pictures(data, see)
    head = new_head(model, len(classes))
    free = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{' '.join(classes)}: {free:,} of {sum(p.numel() for p in model.parameters()):,} parameters learn")
    for epoch, loss in enumerate(tune(model, head, *parts["train"]), start=1):
        print(f"epoch {epoch:2d}  loss {loss:.4f}", flush=True)
    name = "test" if "test" in parts else "val"
    print(f"accuracy {accuracy(model, *parts[name]):.2%} on {name} ({len(parts[name][1]):,} pictures)")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except resnetkit.KitError as error:  # such as a path that is not there
        sys.exit(f"error: {error}")
