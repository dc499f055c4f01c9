"""Light networks for phones, which the words of a Spec cannot say: depthwise convolutions and shuffled channels."""

from dataclasses import dataclass
from typing import Literal, get_args

from resnetkit.plan import Plan
from resnetkit.spec import choice, whole
from resnetkit.units import Act, Block, Layer, Pool, Shortcut

MobileName = Literal["mobilenetv2", "shufflenetv2"]

# Sandler et al. 2018 (arXiv:1801.04381), table 2: how much a block expands, its channels, how many, its first stride.
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# Ma et al. 2018 (arXiv:1807.11164), table 5: channels of the three stages and of the last convolution.
SHUFFLENET = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


@dataclass(frozen=True, kw_only=True)
class Mobile:
    """A light network, whole."""

    family: MobileName = "mobilenetv2"
    width: float = 1.0  # times the channels of the paper; 0.5, 1, 1.5 or 2 of a shufflenetv2
    channels: int = 3  # of the input
    classes: int = 1000  # of the answer; 0 leaves the pooled features as they are
    size: int = 224  # of the pictures it is meant for, in pixels along each side

    def __post_init__(self) -> None:
        choice("family", self.family, get_args(MobileName))
        widths = SHUFFLENET if self.family == "shufflenetv2" else (0.35, 0.5, 0.75, 1.0, 1.4)
        choice("width", self.width, tuple(widths))
        whole("channels", self.channels, 1, 65_536)
        whole("classes", self.classes, 0, 1_000_000)
        whole("size", self.size, 1, 65_536)

    @property
    def ndim(self) -> int:
        return 2


def lay_out_mobile(spec: Mobile) -> Plan:
    """Every layer of a light network."""
    return mobilenet(spec) if spec.family == "mobilenetv2" else shufflenet(spec)


def mobilenet(spec: Mobile) -> Plan:
    """MobileNetV2, with channels rounded as its authors' code and timm round them."""
    c = rounded(32 * spec.width)
    stem = layer(spec.channels, c, 3, 2, "relu6")
    stages = []
    for expansion, width, depth, first in MOBILENET:
        blocks = []
        for b in range(depth):
            blocks.append(inverted(c, rounded(width * spec.width), expansion, first if b == 0 else 1))
            c = blocks[-1].c_out
        stages.append(tuple(blocks))
    last = layer(c, max(1280, rounded(1280 * spec.width)), 1, 1, "relu6")
    return Plan((stem,), None, tuple(stages), spec.classes, spec.size, last=last)


def inverted(c_in: int, c_out: int, expansion: int, stride: int) -> Block:
    """Wide within and narrow at its ends, with nothing after the sum (figure 3b)."""
    inner = rounded(c_in * expansion)
    branch = [layer(inner, inner, 3, stride, "relu6", inner), layer(inner, c_out, 1, 1, "none")]
    if expansion > 1:
        branch.insert(0, layer(c_in, inner, 1, 1, "relu6"))
    same = stride == 1 and c_in == c_out
    return Block("inverted", tuple(branch), Shortcut("identity" if same else "none"), act="none")


def rounded(channels: float) -> int:
    """The nearest multiple of 8 that takes no more than a tenth away."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def shufflenet(spec: Mobile) -> Plan:
    """ShuffleNetV2, as torchvision has it."""
    *widths, features = SHUFFLENET[spec.width]
    c, stages = 24, []
    for width, depth in zip(widths, (4, 8, 4), strict=True):
        blocks = [thinning(c, width // 2)]
        blocks += [shuffled(width // 2) for _ in range(depth - 1)]
        c = width
        stages.append(tuple(blocks))
    stem, last = layer(spec.channels, 24, 3, 2, "relu"), layer(c, features, 1, 1, "relu")
    return Plan((stem,), Pool(3, 2, 1), tuple(stages), spec.classes, spec.size, last=last)


def shuffled(half: int) -> Block:
    """Half of the channels go by untouched (figure 3c)."""
    return Block("shuffle", crossing(half, half, 1), Shortcut("half"))


def thinning(c_in: int, half: int) -> Block:
    """Both ways see all channels and halve the resolution (figure 3d)."""
    lead, last = layer(c_in, c_in, 3, 2, "none", c_in), layer(c_in, half, 1, 1, "relu")
    return Block("shuffle", crossing(c_in, half, 2), Shortcut("branch", last, stride=2, lead=lead))


def crossing(c_in: int, half: int, stride: int) -> tuple[Layer, ...]:
    return (
        layer(c_in, half, 1, 1, "relu"),
        layer(half, half, 3, stride, "none", half),
        layer(half, half, 1, 1, "relu"),
    )


def layer(c_in: int, c_out: int, kernel: int, stride: int, act: Act, groups: int = 1) -> Layer:
    return Layer(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, act=act)
