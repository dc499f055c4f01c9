"""Every layer of a network, with its channels, stride and zeros counted out. Still no tensors.

A plan that exists is sound: its parts are checked as it is made, wherever they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from math import prod
from reprlib import repr as brief
from typing import Any, Literal, get_args

from resnetkit.spec import ShortcutName, Spec

Act = Literal["relu", "none"]
BlockKind = Literal["basic", "bottleneck", "plain"]
ShortcutKind = Literal["identity", "project", "pad", "none"]

CONVOLUTIONS = {"basic": 2, "bottleneck": 3, "plain": 2}  # in the branch of each kind of block
EXPANSION = 4  # a bottleneck ends in four times its width (He et al. 2015, table 1)


@dataclass(frozen=True)
class Layer:
    """One convolution, then its norm and its activation."""

    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = False
    eps: float | None = 1e-5  # of the norm; None where there is no norm
    act: Act = "relu"


@dataclass(frozen=True)
class Pool:
    """The largest of each window."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True)
class Shortcut:
    """How x comes to the sum."""

    kind: ShortcutKind
    layer: Layer | None = None  # of a projection
    stride: int = 1
    pad: tuple[int, int] = (0, 0)  # channels of zeros before and after


@dataclass(frozen=True)
class Block:
    """One residual step: a branch, and a shortcut beside it."""

    kind: BlockKind
    branch: tuple[Layer, ...]
    shortcut: Shortcut
    act: Act = "relu"  # after the sum

    @property
    def c_in(self) -> int:
        return self.branch[0].c_in

    @property
    def c_out(self) -> int:
        return self.branch[-1].c_out

    @property
    def stride(self) -> int:
        return prod(layer.stride for layer in self.branch)


@dataclass(frozen=True)
class Plan:
    """A network laid out: what the paper prints as a table. ValueError names the place that is wrong."""

    stem: tuple[Layer, ...]
    pool: Pool | None
    stages: tuple[tuple[Block, ...], ...]
    classes: int  # 0 where the pooled features are the answer
    size: int  # of the pictures it is meant for
    ndim: int = 2  # sides of the input: 0 where it is a vector, and a convolution of 1x1 is a linear layer

    def __post_init__(self) -> None:
        check(self)

    @property
    def channels(self) -> int:
        return self.stem[0].c_in

    @property
    def features(self) -> int:
        return self.stages[-1][-1].c_out

    @property
    def reduction(self) -> int:
        """Pixels between neighbours of the last map."""
        stem = prod(layer.stride for layer in self.stem) * (self.pool.stride if self.pool else 1)
        return stem * prod(block.stride for stage in self.stages for block in stage)


def lay_out(spec: Spec) -> Plan:
    """The network that ``spec`` means (He et al. 2015, arXiv:1512.03385, table 1 and section 4.2)."""
    c = spec.widths[0]
    stem = conv(spec.channels, c, int(spec.stem[0]), 2 if spec.stem == "7x7" else 1)
    stages = []
    for s, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        blocks = []
        for b in range(depth):
            blocks.append(lay_block(spec, c, width, stride=2 if s > 0 and b == 0 and spec.ndim else 1))
            c = blocks[-1].c_out
        stages.append(tuple(blocks))
    return Plan((stem,), Pool(3, 2, 1) if spec.pool else None, tuple(stages), spec.classes, spec.size, spec.ndim)


def lay_block(spec: Spec, c_in: int, width: int, stride: int) -> Block:
    branch: tuple[Layer, ...]
    k = 3 if spec.ndim else 1
    if spec.block == "basic":
        branch = (conv(c_in, width, k, stride), conv(width, width, k, act="none"))
    else:  # the stride stands on the 3x3, so that no pixel goes unread: torchvision's "v1.5", not the paper's 1x1
        c_out = EXPANSION * width
        branch = (conv(c_in, width, 1), conv(width, width, k, stride), conv(width, c_out, 1, act="none"))
    kind: BlockKind = "plain" if spec.shortcut == "none" else spec.block
    return Block(kind, branch, lay_shortcut(spec.shortcut, c_in, branch[-1].c_out, stride))


def lay_shortcut(kind: ShortcutName, c_in: int, c_out: int, stride: int) -> Shortcut:
    """Identity where the shape stays; else option B (project) or A (pad) of section 3.3."""
    if kind == "none":
        return Shortcut("none")
    if stride == 1 and c_in == c_out:
        return Shortcut("identity")
    if kind == "project":
        return Shortcut("project", conv(c_in, c_out, 1, stride, act="none"), stride)
    zeros = c_out - c_in
    return Shortcut("pad", None, stride, (zeros // 2, zeros - zeros // 2))


def conv(c_in: int, c_out: int, kernel: int, stride: int = 1, act: Act = "relu") -> Layer:
    return Layer(c_in, c_out, kernel, stride, padding=kernel // 2, act=act)


def with_io(plan: Plan, *, channels: int | None = None, classes: int | None = None) -> Plan:
    """The same network for other input channels or another number of classes."""
    first = plan.stem[0] if channels is None else replace(plan.stem[0], c_in=channels)
    return replace(plan, stem=(first, *plan.stem[1:]), classes=plan.classes if classes is None else classes)


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON has it: objects, lists, numbers and words."""
    about = asdict(plan, dict_factory=lambda pairs: {key: as_list(value) for key, value in pairs})
    if plan.ndim == 2:  # as it was written before there were others, so that equal networks give equal files
        del about["ndim"]
    return about


def as_list(value: Any) -> Any:
    return [as_list(item) for item in value] if isinstance(value, tuple) else value


def from_json(value: object) -> Plan:
    """The plan that ``to_json`` wrote; ValueError names the first place that is wrong."""
    plan = entries({"ndim": 2, **value} if isinstance(value, Mapping) else value, Plan, "plan")
    stem = items(plan["stem"], "plan.stem")
    stages = [
        [read_block(block, f"plan.stages[{s}][{b}]") for b, block in enumerate(items(stage, f"plan.stages[{s}]"))]
        for s, stage in enumerate(items(plan["stages"], "plan.stages"))
    ]
    return Plan(
        stem=tuple(Layer(**entries(layer, Layer, f"plan.stem[{i}]")) for i, layer in enumerate(stem)),
        pool=None if plan["pool"] is None else Pool(**entries(plan["pool"], Pool, "plan.pool")),
        stages=tuple(tuple(stage) for stage in stages),
        classes=plan["classes"],
        size=plan["size"],
        ndim=plan["ndim"],
    )


def read_block(value: object, where: str) -> Block:
    block = entries(value, Block, where)
    branch = enumerate(items(block["branch"], f"{where}.branch"))
    shortcut = entries(block["shortcut"], Shortcut, f"{where}.shortcut")
    if shortcut["layer"] is not None:
        shortcut["layer"] = Layer(**entries(shortcut["layer"], Layer, f"{where}.shortcut.layer"))
    shortcut["pad"] = tuple(items(shortcut["pad"], f"{where}.shortcut.pad"))
    layers = tuple(Layer(**entries(layer, Layer, f"{where}.branch[{i}]")) for i, layer in branch)
    return Block(block["kind"], layers, Shortcut(**shortcut), block["act"])


def entries(value: object, kind: type, where: str) -> dict[str, Any]:
    """The entries of a JSON object that has every field of ``kind`` and no other."""
    need(isinstance(value, Mapping), where, f"must be an object, not {brief(value)}")
    assert isinstance(value, Mapping)
    known = [field.name for field in fields(kind)]
    for name in known:
        need(name in value, where, f"has no {name!r}")
    for name in value:
        need(name in known, where, f"has an entry {brief(name)} that this version does not know")
    return dict(value)


def items(value: object, where: str) -> Sequence[Any]:
    need(isinstance(value, list | tuple), where, f"must be a list, not {brief(value)}")
    assert isinstance(value, list | tuple)
    return value


def check(plan: Plan) -> None:
    """ValueError unless every number is in range and the channels fit end to end."""
    need(len(plan.stem) == 1, "plan.stem", f"must hold one layer, not {len(plan.stem)}")
    check_layer(plan.stem[0], "plan.stem[0]", "relu")
    if plan.pool:
        whole(plan.pool.kernel, "plan.pool.kernel", 1, 64)
        whole(plan.pool.stride, "plan.pool.stride", 1, 64)
        same_size(plan.pool.padding, plan.pool.kernel - 1, "plan.pool.padding")
    need(len(plan.stages) > 0, "plan.stages", "must hold a stage")
    c = plan.stem[0].c_out
    for s, stage in enumerate(plan.stages):
        need(len(stage) > 0, f"plan.stages[{s}]", "must hold a block")
        for b, block in enumerate(stage):
            check_block(block, f"plan.stages[{s}][{b}]", c)
            c = block.c_out
    whole(plan.classes, "plan.classes", 0, 1_000_000)
    whole(plan.size, "plan.size", 1, 65_536)
    need(type(plan.ndim) is int and plan.ndim in (0, 2), "plan.ndim", f"must be 0 or 2, not {brief(plan.ndim)}")
    if plan.ndim == 0:
        check_points(plan)


def check_points(plan: Plan) -> None:
    """A vector has no sides for a window to move along."""
    need(plan.pool is None, "plan.pool", "must be nothing where vectors go in")
    whole(plan.size, "plan.size", 1, 1)
    places: dict[str, tuple[Layer | None, ...]] = {"plan.stem[0]": plan.stem}
    for s, stage in enumerate(plan.stages):
        places |= {f"plan.stages[{s}][{b}]": (*block.branch, block.shortcut.layer) for b, block in enumerate(stage)}
    for where, layers in places.items():
        one = all(layer.kernel == layer.stride == layer.groups == 1 for layer in layers if layer)
        need(one, where, "must have kernels, strides and groups of 1, since vectors go in")


def check_block(block: Block, where: str, c_in: int) -> None:
    word(block.kind, f"{where}.kind", get_args(BlockKind))
    count = CONVOLUTIONS[block.kind]
    need(len(block.branch) == count, f"{where}.branch", f"must hold {count} layers, not {len(block.branch)}")
    for i, layer in enumerate(block.branch):
        check_layer(layer, f"{where}.branch[{i}]", "relu" if i < count - 1 else "none")
    meets(block.c_in, f"{where}.branch[0].c_in", c_in)
    for i, (one, following) in enumerate(pairwise(block.branch)):
        meets(following.c_in, f"{where}.branch[{i + 1}].c_in", one.c_out)
    check_shortcut(block, f"{where}.shortcut")
    word(block.act, f"{where}.act", ("relu",))


def check_shortcut(block: Block, where: str) -> None:
    """Both ways to the sum must bring the same shape."""
    shortcut, kind = block.shortcut, block.shortcut.kind
    allowed = ("none",) if block.kind == "plain" else ("identity", "project", "pad")
    word(kind, f"{where}.kind", allowed)
    need(
        (shortcut.layer is not None) == (kind == "project"),
        f"{where}.layer",
        "is there for a projection, and only then",
    )
    need(len(shortcut.pad) == 2, f"{where}.pad", f"must hold two numbers, not {len(shortcut.pad)}")
    for i, zeros in enumerate(shortcut.pad):
        whole(zeros, f"{where}.pad[{i}]", 0, 65_536 if kind == "pad" else 0)
    whole(shortcut.stride, f"{where}.stride", 1, 64 if kind in ("project", "pad") else 1)
    if kind == "none":
        return
    meets(shortcut.stride, f"{where}.stride", block.stride)
    if shortcut.layer is not None:
        check_layer(shortcut.layer, f"{where}.layer", "none")
        meets(shortcut.layer.stride, f"{where}.layer.stride", block.stride)
        meets(shortcut.layer.c_in, f"{where}.layer.c_in", block.c_in)
        meets(shortcut.layer.c_out, f"{where}.layer.c_out", block.c_out)
    else:
        c = block.c_in + sum(shortcut.pad)
        need(c == block.c_out, where, f"brings {c} channels to a branch of {block.c_out}")


def check_layer(layer: Layer, where: str, act: Act) -> None:
    whole(layer.c_in, f"{where}.c_in", 1, 65_536)
    whole(layer.c_out, f"{where}.c_out", 1, 65_536)
    whole(layer.kernel, f"{where}.kernel", 1, 64)
    whole(layer.stride, f"{where}.stride", 1, 64)
    whole(layer.dilation, f"{where}.dilation", 1, 64)
    same_size(layer.padding, layer.dilation * (layer.kernel - 1), f"{where}.padding")
    whole(layer.groups, f"{where}.groups", 1, 65_536)
    fits = layer.c_in % layer.groups == 0 and layer.c_out % layer.groups == 0
    need(fits, f"{where}.groups", f"must divide {layer.c_in} and {layer.c_out}, not be {layer.groups}")
    need(type(layer.bias) is bool, f"{where}.bias", f"must be true or false, not {brief(layer.bias)}")
    sound = layer.eps is None or (type(layer.eps) is float and 0 < layer.eps <= 1)
    need(sound, f"{where}.eps", f"must be nothing or a number from 0 to 1, not {brief(layer.eps)}")
    word(layer.act, f"{where}.act", (act,))


def same_size(padding: int, reach: int, where: str) -> None:
    """Half the reach on each side: then a map of n points has ceil(n / stride) after it, by whatever way."""
    need(reach % 2 == 0, where, f"cannot be even on both sides of a window that reaches {reach} points")
    whole(padding, where, reach // 2, reach // 2)


def meets(value: int, where: str, other: int) -> None:
    need(value == other, where, f"must be {other} to fit what it meets, not {value}")


def word(value: object, where: str, allowed: tuple[str, ...]) -> None:
    words = " or ".join(map(repr, allowed))
    need(isinstance(value, str) and value in allowed, where, f"must be {words}, not {brief(value)}")


def whole(value: object, where: str, low: int, high: int) -> None:
    span = str(low) if low == high else f"a whole number from {low} to {high}"
    need(type(value) is int and low <= value <= high, where, f"must be {span}, not {brief(value)}")


def need(sound: bool, where: str, what: str) -> None:
    if not sound:
        raise ValueError(f"{where} {what}")
