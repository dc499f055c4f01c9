"""What becomes of ResNet-18 where its block is wrong: the table in block_by_hand.py.

python examples/wrong_blocks.py
"""

from statistics import mean

import torch
from block_by_hand import BasicBlock, ResNet18
from resnet_class import accuracy, tensors, train
from torch import Tensor, nn
from torch.nn.functional import interpolate

SEEDS, EPOCHS, WIDTH, SIZE = (0, 1, 2), 5, 8, 32


class AddsItself(BasicBlock):
    """``x`` is overwritten by the branch, and x + x is twice the branch: no input comes through."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return torch.relu(x + x)


class SameShortcut(BasicBlock):
    """The shortcut keeps the shape that its branch changes."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, stride)
        self.downsample = nn.Identity()


class AlwaysHalves(BasicBlock):
    """Stride 2 in every block, not only in the first of a stage."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__(c_in, c_out, max(stride, 2))


def digits() -> dict[str, tuple[Tensor, Tensor]]:
    _, parts = tensors("digits")
    return {name: (interpolate(images, size=SIZE), labels) for name, (images, labels) in parts.items()}


def measure(block: type[BasicBlock], depth: int) -> None:
    parts, losses, right = digits(), [], []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = ResNet18(10, WIDTH, depth, block)
        losses.append(list(train(model, *parts["train"], EPOCHS))[-1])
        right.append(accuracy(model, *parts["test"]))
    name = f"{block.__name__}, {8 * depth + 2} layers"
    print(f"{name:24} loss {mean(losses):.3f}  test {min(right):.1%} to {max(right):.1%}", flush=True)


if __name__ == "__main__":
    for depth in (2, 8):
        measure(BasicBlock, depth)
        measure(AddsItself, depth)
    measure(AlwaysHalves, 2)
    try:
        ResNet18(block=SameShortcut)(torch.zeros(2, 3, 224, 224))
    except RuntimeError as error:
        print(f"SameShortcut: {error}")
