"""Networks that have a name, one line each. What a line leaves out is what ResNet-50 does.

He et al. 2015 (arXiv:1512.03385): table 1 for pictures of 224 pixels, section 4.2 for those of 32.
"""

from dataclasses import replace
from fnmatch import fnmatchcase

from resnetkit.errors import UsageError, nearest
from resnetkit.spec import Spec


def small(spec: Spec) -> Spec:
    """The same stages for pictures of 32 pixels: a 3x3 stem that keeps them whole, as CIFAR users build it."""
    return replace(spec, stem="3x3", pool=False, classes=10, size=32)


def thin(layers: int) -> Spec:
    """The paper's own CIFAR network of 6n + 2 layers, with option A shortcuts (section 4.2)."""
    depths = ((layers - 2) // 6,) * 3
    return small(Spec(block="basic", depths=depths, widths=(16, 32, 64), shortcut="pad"))


def plain(spec: Spec) -> Spec:
    """The same layers with no shortcut: what residual networks are compared with (sections 4.1 and 4.2)."""
    return replace(spec, shortcut="none")


R18 = Spec(block="basic", depths=(2, 2, 2, 2))
R34 = Spec(block="basic")
R50 = Spec()
R101 = Spec(depths=(3, 4, 23, 3))
R152 = Spec(depths=(3, 8, 36, 3))

ZOO: dict[str, Spec] = {
    "resnet18": R18,
    "resnet34": R34,
    "resnet50": R50,
    "resnet101": R101,
    "resnet152": R152,
    "resnet18_cifar": small(R18),
    "resnet34_cifar": small(R34),
    "resnet50_cifar": small(R50),
    "resnet101_cifar": small(R101),
    "resnet152_cifar": small(R152),
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
}


def names(pattern: str | None = None) -> list[str]:
    """The names that match ``resnet*cifar``, or hold the letters of a pattern without wildcards."""
    if pattern is None:
        return list(ZOO)
    if not any(sign in pattern for sign in "*?["):
        pattern = f"*{pattern}*"
    return [name for name in ZOO if fnmatchcase(name, pattern)]


def find(name: str) -> Spec:
    """The network called ``name``; UsageError where there is none."""
    if name not in ZOO:
        raise UsageError(
            f"there is no network {name!r}{nearest(name, ZOO)}", "choose a name that `resnet models` lists"
        )
    return ZOO[name]
