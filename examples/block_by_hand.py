"""A residual block and ResNet-18 by hand, in plain PyTorch, checked against the library with the same weights.

    python examples/block_by_hand.py

What such programs get wrong, measured on the built-in digits (enlarged to 32x32, the network below with width 8,
5 epochs, seeds 0 to 2, test accuracy from lowest to highest; torch 2.13.0 on a CPU; python examples/wrong_blocks.py):

| program | layers | training loss | test accuracy |
|---|---|---|---|
| right | 18 | 0.063 | 93.1 to 96.4 % |
| x + x: the branch was called x as well, so that nothing of the input comes through | 18 | 0.186 | 91.9 to 96.7 % |
| right | 66 | 0.284 | 79.4 to 89.7 % |
| x + x | 66 | 2.218 | 10.0 to 14.7 %: it does not learn |
| stride 2 in every block, so that the last stages see one point | 18 | 0.406 | 82.5 to 87.5 % |
| a shortcut that keeps the shape which its branch changes | 18 | RuntimeError | size of tensor a (28) must match ... |

Eighteen layers hide the first mistake: the program runs, learns, and is no residual network.
"""

import torch
from torch import Tensor, nn

import resnetkit

SIZE = 64  # of the pictures that both networks answer; 224 is what ResNet-18 is made for


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2015, arXiv:1512.03385, figure 5, left)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)  # the norm behind it has the bias
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:  # the branch changes the shape, so the shortcut has to change it too
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + self.downsample(x))  # x is still the input: the branch has a name of its own


class ResNet18(nn.Module):
    """Images (n, 3, height, width) in, logits (n, num_classes) out."""

    def __init__(
        self, num_classes: int = 1000, width: int = 64, depth: int = 2, block: type[BasicBlock] = BasicBlock
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        c = width
        for s in range(4):
            c_in, c = c, width * 2**s
            first = block(c_in, c, 2 if s > 0 else 1)  # stride 2 here alone, and not in the first stage
            self.add_module(f"layer{s + 1}", nn.Sequential(first, *(block(c, c, 1) for _ in range(depth - 1))))
        self.fc = nn.Linear(c, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, arXiv:1502.01852
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for s in range(4):
            x = self.get_submodule(f"layer{s + 1}")(x)
        return self.fc(x.mean(dim=(2, 3)))  # logits: cross_entropy does the softmax


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 3, SIZE, SIZE)
    for classes in (1000, 10):
        mine, theirs = ResNet18(classes), resnetkit.create_model("resnet18", num_classes=classes)
        mine(images)  # in training mode, so that the norms have seen something
        theirs.load_state_dict(mine.state_dict())  # strict: every name and every shape is the same
        mine.eval()
        theirs.eval()
        ours, reference = mine(images), theirs(images)
        parameters = [sum(p.numel() for p in net.parameters()) for net in (mine, theirs)]
        print(f"{classes} classes: {parameters[0]:,} parameters by hand, {parameters[1]:,} in the library")
        print(f"  logits {tuple(ours.shape)}, largest difference {(ours - reference).abs().max().item():.1e}")


if __name__ == "__main__":
    main()
