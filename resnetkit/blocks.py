"""The residual blocks, each as its figure in the paper.

He et al. 2015 (arXiv:1512.03385), figure 5; He et al. 2016 (arXiv:1603.05027), figure 4e. ``aa``, ``se`` and ``join``
are nothing but the sum where a plan asks for no more.
"""

from torch import Tensor, nn

from resnetkit import units
from resnetkit.attention import attend, joining
from resnetkit.layers import activation, blur, bridge, convolution, norm


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (figure 5, left)."""

    def __init__(self, block: units.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second = block.branch
        self.conv1, self.bn1, self.aa = convolution(first, ndim), norm(first, ndim), blur(first.c_out, first.blur)
        self.conv2, self.bn2 = convolution(second, ndim), norm(second, ndim)
        self.relu = activation(block.act)
        self.se = attend(block, ndim)
        self.downsample = bridge(block.shortcut, ndim)
        self.join = joining(block, ndim)

    def forward(self, x: Tensor) -> Tensor:
        out = self.aa(self.relu(self.bn1(self.conv1(x))))
        out = self.se(self.bn2(self.conv2(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.join(out, shortcut, x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, beside a shortcut (figure 5, right)."""

    def __init__(self, block: units.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second, third = block.branch
        self.conv1, self.bn1 = convolution(first, ndim), norm(first, ndim)
        self.conv2, self.bn2, self.aa = convolution(second, ndim), norm(second, ndim), blur(second.c_out, second.blur)
        self.conv3, self.bn3 = convolution(third, ndim), norm(third, ndim)
        self.relu = activation(block.act)
        self.se = attend(block, ndim)
        self.downsample = bridge(block.shortcut, ndim)
        self.join = joining(block, ndim)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.aa(self.relu(self.bn2(self.conv2(out))))
        out = self.se(self.bn3(self.conv3(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(self.join(out, shortcut, x))


class PlainBlock(nn.Module):
    """Two 3x3 convolutions and no shortcut (figure 3, middle): what residual learning is compared with."""

    def __init__(self, block: units.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second = block.branch
        self.conv1, self.bn1, self.aa = convolution(first, ndim), norm(first, ndim), blur(first.c_out, first.blur)
        self.conv2, self.bn2 = convolution(second, ndim), norm(second, ndim)
        self.relu = activation(block.act)

    def forward(self, x: Tensor) -> Tensor:
        out = self.aa(self.relu(self.bn1(self.conv1(x))))
        return self.relu(self.bn2(self.conv2(out)))


class PreactBasicBlock(nn.Module):
    """Norm and activation before each convolution, nothing after the sum (the second paper's figure 4e).

    Where the shape changes, the shortcut begins behind the first activation, as in the authors' code.
    """

    def __init__(self, block: units.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second = block.branch
        self.bn1, self.conv1 = norm(first, ndim, first=True), convolution(first, ndim)
        self.bn2, self.conv2 = norm(second, ndim, first=True), convolution(second, ndim)
        self.relu = activation(block.act)
        self.se = attend(block, ndim)
        self.downsample = bridge(block.shortcut, ndim)
        self.join = joining(block, ndim)

    def forward(self, x: Tensor) -> Tensor:
        begun = self.relu(self.bn1(x))
        out = self.conv1(begun)
        out = self.se(self.conv2(self.relu(self.bn2(out))))
        shortcut = x if self.downsample is None else self.downsample(begun)
        return self.join(out, shortcut, x)


class PreactBottleneck(nn.Module):
    """The same with a 3x3 convolution between two 1x1."""

    def __init__(self, block: units.Block, ndim: int = 2) -> None:
        super().__init__()
        first, second, third = block.branch
        self.bn1, self.conv1 = norm(first, ndim, first=True), convolution(first, ndim)
        self.bn2, self.conv2 = norm(second, ndim, first=True), convolution(second, ndim)
        self.bn3, self.conv3 = norm(third, ndim, first=True), convolution(third, ndim)
        self.relu = activation(block.act)
        self.se = attend(block, ndim)
        self.downsample = bridge(block.shortcut, ndim)
        self.join = joining(block, ndim)

    def forward(self, x: Tensor) -> Tensor:
        begun = self.relu(self.bn1(x))
        out = self.conv1(begun)
        out = self.conv2(self.relu(self.bn2(out)))
        out = self.se(self.conv3(self.relu(self.bn3(out))))
        shortcut = x if self.downsample is None else self.downsample(begun)
        return self.join(out, shortcut, x)


BLOCKS = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
    "plain": PlainBlock,
    "preact_basic": PreactBasicBlock,
    "preact_bottleneck": PreactBottleneck,
}
AnyBlock = type[BasicBlock] | type[Bottleneck] | type[PlainBlock] | type[PreactBasicBlock] | type[PreactBottleneck]
