"""Networks that have a name, one line each. What a line leaves out is what ResNet-50 does.

He et al. 2015 (arXiv:1512.03385): table 1 for pictures of 224 pixels, section 4.2 for those of 32. Each other family
names its paper. Names are those of timm and torchvision where they have the same network.
"""

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from resnetkit.errors import UsageError, nearest
from resnetkit.mobile import Mobile
from resnetkit.spec import Spec


def small(spec: Spec) -> Spec:
    """The same stages for pictures of 32 pixels: a 3x3 stem that keeps them whole, as CIFAR users build it."""
    return replace(spec, stem="3x3", pool="none", classes=10, size=32)


def thin(layers: int) -> Spec:
    """The paper's own CIFAR network of 6n + 2 layers, with option A shortcuts (section 4.2)."""
    depths = ((layers - 2) // 6,) * 3
    return small(Spec(block="basic", depths=depths, widths=(16, 32, 64), shortcut="pad"))


def plain(spec: Spec) -> Spec:
    """The same layers with no shortcut: what residual networks are compared with (sections 4.1 and 4.2)."""
    return replace(spec, shortcut="none")


def deep(spec: Spec, **changes: Any) -> Spec:
    """ResNet-D: three convolutions for a stem, means before projections (arXiv:1812.01187, figure 2)."""
    return replace(spec, stem="deep", down="mean", **changes)


def tiered(spec: Spec, **changes: Any) -> Spec:
    """timm's "t": a stem that grows from 24 to 32 to 64 channels, means before projections."""
    return replace(spec, stem="tiered", down="mean", **changes)


def rs(depths: tuple[int, ...]) -> Spec:
    """ResNet-RS (Bello et al. 2021, arXiv:2103.07579): ResNet-D with SE and a convolution for the first pool."""
    return deep(Spec(depths=depths, pool="conv", attention="se", reduction=4))


def grouped(spec: Spec, groups: int, width: int) -> Spec:
    """ResNeXt (Xie et al. 2017, arXiv:1611.05431): 3x3 convolutions in groups."""
    return replace(spec, cardinality=groups, base_width=width)


def wide(layers: int, factor: int) -> Spec:
    """Wide networks for CIFAR of 6n + 4 layers (Zagoruyko & Komodakis 2016, arXiv:1605.07146, table 1)."""
    widths = (16 * factor, 32 * factor, 64 * factor)
    depths = ((layers - 4) // 6,) * 3
    return small(Spec(block="basic", depths=depths, widths=widths, stem_width=16, preact=True))


def identity(layers: int) -> Spec:
    """Pre-activation bottlenecks for CIFAR of 9n + 2 layers (He et al. 2016, arXiv:1603.05027, section 5)."""
    return small(Spec(depths=((layers - 2) // 9,) * 3, widths=(16, 32, 64), preact=True))


def paper(spec: Spec) -> Spec:
    """The stride where the paper has it, on the first 1x1 of a bottleneck."""
    return replace(spec, stride_at="first")


def keras(spec: Spec) -> Spec:
    """The same as Keras applications have it: every convolution with a bias, norms with an epsilon of their own."""
    return replace(paper(spec), bias=True, eps=1.001e-5)


R10 = Spec(block="basic", depths=(1, 1, 1, 1))
R14 = Spec(depths=(1, 1, 1, 1))
R18 = Spec(block="basic", depths=(2, 2, 2, 2))
R26 = Spec(depths=(2, 2, 2, 2))
R34 = Spec(block="basic")
R50 = Spec()
R101 = Spec(depths=(3, 4, 23, 3))
R152 = Spec(depths=(3, 8, 36, 3))
R200 = Spec(depths=(3, 24, 36, 3))
R269 = Spec(depths=(3, 30, 48, 8))
X29 = small(Spec(depths=(3, 3, 3), widths=(64, 128, 256)))
LIGHT = Spec(depths=(1, 1, 11, 3), down="mean", attention="eca")

ZOO: dict[str, Spec | Mobile] = {
    "resnet18": R18,
    "resnet34": R34,
    "resnet50": R50,
    "resnet101": R101,
    "resnet152": R152,
    "resnet200": R200,
    "resnet26": R26,
    # deep stems and means (He et al. 2018, arXiv:1812.01187; timm)
    "resnet10t": tiered(R10),
    "resnet14t": tiered(R14),
    "resnet26t": tiered(R26),
    "resnet50t": tiered(R50),
    "resnet18d": deep(R18),
    "resnet26d": deep(R26),
    "resnet34d": deep(R34),
    "resnet50d": deep(R50),
    "resnet101d": deep(R101),
    "resnet152d": deep(R152),
    "resnet200d": deep(R200),
    "resnet50c": replace(R50, stem="deep"),
    "resnet101c": replace(R101, stem="deep"),
    "resnet152c": replace(R152, stem="deep"),
    "resnet50s": replace(R50, stem="deep", stem_width=128),
    "resnet101s": replace(R101, stem="deep", stem_width=128),
    "resnet152s": replace(R152, stem="deep", stem_width=128),
    # the paper's own stride, and Keras's biases and epsilon
    "resnet50_v1": paper(R50),
    "resnet101_v1": paper(R101),
    "resnet152_v1": paper(R152),
    "resnet50_keras": keras(R50),
    "resnet101_keras": keras(R101),
    "resnet152_keras": keras(R152),
    # convolutions in groups (Xie et al. 2017)
    "resnext50_32x4d": grouped(R50, 32, 4),
    "resnext50d_32x4d": grouped(deep(R50), 32, 4),
    "resnext101_32x4d": grouped(R101, 32, 4),
    "resnext101_32x8d": grouped(R101, 32, 8),
    "resnext101_32x16d": grouped(R101, 32, 16),
    "resnext101_32x32d": grouped(R101, 32, 32),
    "resnext101_64x4d": grouped(R101, 64, 4),
    "resnext29_8x64d": grouped(X29, 8, 64),
    "resnext29_16x64d": grouped(X29, 16, 64),
    # width (Zagoruyko & Komodakis 2016)
    "wide_resnet50_2": replace(R50, base_width=128),
    "wide_resnet101_2": replace(R101, base_width=128),
    "wrn_16_4": wide(16, 4),
    "wrn_28_10": wide(28, 10),
    "wrn_40_4": wide(40, 4),
    # pre-activation (He et al. 2016)
    "resnetv2_18": replace(R18, preact=True),
    "resnetv2_18d": deep(R18, preact=True),
    "resnetv2_34": replace(R34, preact=True),
    "resnetv2_34d": deep(R34, preact=True),
    "resnetv2_50": replace(R50, preact=True),
    "resnetv2_50d": deep(R50, preact=True),
    "resnetv2_50d_gn": deep(R50, preact=True, norm="group"),
    "resnetv2_50t": tiered(R50, preact=True),
    "resnetv2_101": replace(R101, preact=True),
    "resnetv2_101d": deep(R101, preact=True),
    "resnetv2_152": replace(R152, preact=True),
    "resnetv2_152d": deep(R152, preact=True),
    "preact_resnet18_cifar": small(replace(R18, preact=True)),
    "preact_resnet164": identity(164),
    "preact_resnet1001": identity(1001),
    # attention: squeeze and excitation (Hu et al. 2017), ECA (Wang et al. 2019), CBAM (Woo et al. 2018)
    "seresnet18": replace(R18, attention="se"),
    "seresnet34": replace(R34, attention="se"),
    "seresnet50": replace(R50, attention="se"),
    "seresnet50t": tiered(R50, attention="se"),
    "seresnet101": replace(R101, attention="se"),
    "seresnet152": replace(R152, attention="se"),
    "seresnet152d": deep(R152, attention="se"),
    "seresnet200d": deep(R200, attention="se"),
    "seresnet269d": deep(R269, attention="se"),
    "seresnext26d_32x4d": grouped(deep(R26, attention="se"), 32, 4),
    "seresnext26t_32x4d": grouped(tiered(R26, attention="se"), 32, 4),
    "seresnext50_32x4d": grouped(replace(R50, attention="se"), 32, 4),
    "seresnext101_32x4d": grouped(replace(R101, attention="se"), 32, 4),
    "seresnext101_32x8d": grouped(replace(R101, attention="se"), 32, 8),
    "seresnext101d_32x8d": grouped(deep(R101, attention="se"), 32, 8),
    "seresnext101_64x4d": grouped(replace(R101, attention="se"), 64, 4),
    "ecaresnet26t": tiered(R26, attention="eca"),
    "ecaresnet50d": deep(R50, attention="eca"),
    "ecaresnet50t": tiered(R50, attention="eca"),
    "ecaresnet101d": deep(R101, attention="eca"),
    "ecaresnet200d": deep(R200, attention="eca"),
    "ecaresnet269d": deep(R269, attention="eca"),
    "ecaresnetlight": LIGHT,
    "ecaresnext26t_32x4d": grouped(tiered(R26, attention="eca"), 32, 4),
    "ecaresnext50t_32x4d": grouped(tiered(R50, attention="eca"), 32, 4),
    "cbam_resnet18": replace(R18, attention="cbam"),
    "cbam_resnet50": replace(R50, attention="cbam"),
    # filters before strides (Zhang 2019, arXiv:1904.11486), group norm (Wu & He 2018), ResNet-RS
    "resnetblur18": replace(R18, blur=True),
    "resnetblur50": replace(R50, blur=True),
    "resnetblur50d": deep(R50, blur=True),
    "resnetblur101d": deep(R101, blur=True),
    "resnet50_gn": replace(R50, norm="group"),
    "resnetrs50": rs((3, 4, 6, 3)),
    "resnetrs101": rs((3, 4, 23, 3)),
    "resnetrs152": rs((3, 8, 36, 3)),
    "resnetrs200": rs((3, 24, 36, 3)),
    "resnetrs270": rs((4, 29, 53, 4)),
    "resnetrs350": rs((4, 36, 72, 4)),
    "resnetrs420": rs((4, 44, 87, 4)),
    # for CIFAR
    "resnet18_cifar": small(R18),
    "resnet34_cifar": small(R34),
    "resnet50_cifar": small(R50),
    "resnet101_cifar": small(R101),
    "resnet152_cifar": small(R152),
    "resnet8": small(Spec(block="basic", depths=(1, 1, 1), widths=(16, 32, 64), bias=True, bare=True)),
    "resnet20": thin(20),
    "resnet32": thin(32),
    "resnet44": thin(44),
    "resnet56": thin(56),
    "resnet110": thin(110),
    "resnet1202": thin(1202),
    "plain18": plain(R18),
    "plain34": plain(R34),
    "plain20": plain(thin(20)),
    "plain32": plain(thin(32)),
    "plain44": plain(thin(44)),
    "plain56": plain(thin(56)),
    "plain110": plain(thin(110)),
    # clips: every layer in three dimensions (Tran et al. 2018, arXiv:1711.11248)
    "r3d_18": replace(R18, ndim=3, stem="3x7x7", pool="none", classes=400, size=(16, 112, 112)),
    # for phones
    "mobilenetv2_035": Mobile(width=0.35),
    "mobilenetv2_050": Mobile(width=0.5),
    "mobilenetv2_075": Mobile(width=0.75),
    "mobilenetv2_100": Mobile(),
    "mobilenetv2_140": Mobile(width=1.4),
    "shufflenet_v2_x0_5": Mobile(family="shufflenetv2", width=0.5),
    "shufflenet_v2_x1_0": Mobile(family="shufflenetv2"),
    "shufflenet_v2_x1_5": Mobile(family="shufflenetv2", width=1.5),
    "shufflenet_v2_x2_0": Mobile(family="shufflenetv2", width=2.0),
}


def names(pattern: str | None = None, among: Iterable[str] = ZOO) -> list[str]:
    """The names that match ``resnet*cifar``, or hold the letters of a pattern without wildcards."""
    if pattern is None:
        return list(among)
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in among if fnmatchcase(name, pattern)]


def find(name: str) -> Spec | Mobile:
    """The network called ``name``; UsageError where there is none."""
    if name not in ZOO:
        raise UsageError(
            f"there is no network {name!r}{nearest(name, ZOO)}", "choose a name that `resnet models` lists"
        )
    return ZOO[name]
