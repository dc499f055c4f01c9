"""What makes a plan sound: every number in range, every channel where the next one looks for it."""

from itertools import pairwise
from typing import Protocol, get_args

from resnetkit.sound import Place, whole, word
from resnetkit.spec import ActName, NormName, Sides
from resnetkit.units import (
    CONVOLUTIONS,
    FAMILIES,
    GROUPS,
    Attention,
    AttentionKind,
    Block,
    BlockKind,
    Layer,
    Norm,
    Pool,
    ScaleKind,
    Taps,
    each,
    product,
)


class Whole(Protocol):
    """What is looked at of a plan, which comes after this room."""

    @property
    def stem(self) -> tuple[Layer, ...]: ...
    @property
    def pool(self) -> Pool | None: ...
    @property
    def stages(self) -> tuple[tuple[Block, ...], ...]: ...
    @property
    def classes(self) -> int: ...
    @property
    def size(self) -> Sides: ...
    @property
    def ndim(self) -> int: ...
    @property
    def norm(self) -> Norm | None: ...
    @property
    def last(self) -> Layer | None: ...
    @property
    def taps(self) -> Taps | None: ...
    @property
    def family(self) -> str: ...


def check(plan: Whole) -> None:
    """ValueError unless every number is in range and the channels fit end to end."""
    top = Place("plan")
    top.need(type(plan.ndim) is int and 0 <= plan.ndim <= 3, ".ndim", "must be 0, 1, 2 or 3, not", plan.ndim)
    n = plan.ndim
    top.need(len(plan.stem) in (1, 3), ".stem", f"must hold one layer or three, not {len(plan.stem)}")
    top.need(len(plan.stages) > 0, ".stages", "must hold a stage")
    for s, stage in enumerate(plan.stages):
        top.need(len(stage) > 0, f".stages[{s}]", "must hold a block")
        for b, block in enumerate(stage):
            word(block.kind, top / f".stages[{s}][{b}].kind", get_args(BlockKind))
    preact = plan.stages[0][0].preact
    c = plan.stem[0].c_in
    for i, layer in enumerate(plan.stem):
        bare = preact and i == len(plan.stem) - 1
        check_layer(layer, top / f".stem[{i}]", n, ("none",) if bare else ACTS)
        top.need(
            not (bare and layer.eps is not None), f".stem[{i}].eps", "must be nothing: the blocks begin with norms"
        )
        top.meets(layer.c_in, f".stem[{i}].c_in", c)
        c = layer.c_out
    if plan.pool:
        check_pool(plan.pool, top / ".pool", n, ("max", "conv"))
        if plan.pool.layer:
            top.meets(plan.pool.layer.c_in, ".pool.layer.c_in", c)
            top.meets(plan.pool.layer.c_out, ".pool.layer.c_out", c)
    known: Block | None = None
    for s, stage in enumerate(plan.stages):
        for b, block in enumerate(stage):
            if block is known and block.c_in == c:  # as the one before it, which is sound
                continue
            known = block
            place = top / f".stages[{s}][{b}]"
            place.need(FAMILIES.get(block.kind, "resnet") == plan.family, ".kind", f"does not go with {plan.family}")
            place.need(block.preact == preact, ".kind", "mixes blocks with norms first and norms last")
            check_block(block, place, c, n)
            c = block.c_out
    top.need((plan.norm is not None) == preact, ".norm", "is there where blocks begin with norms, and only then")
    if plan.norm:
        check_norm(plan.norm, top / ".norm", c)
    top.need(plan.last is None or plan.family != "resnet", ".last", "is there in mobile networks only")
    if plan.last:
        check_layer(plan.last, top / ".last", n, ACTS)
        top.meets(plan.last.c_in, ".last.c_in", c)
    top.need(plan.family == "resnet" or n == 2, ".ndim", "must be 2 in mobile networks")
    if plan.taps:
        top.need(n > 0, ".taps", "must be nothing where vectors go in")
        whole(plan.taps.first, top / ".taps.first", 0, len(plan.stages) - 1)
        whole(plan.taps.cells, top / ".taps.cells", 1, 64)
    whole(plan.classes, top / ".classes", 0, 1_000_000)
    check_sides(plan.size, top / ".size", n, 1, 65_536)
    if n == 0:
        check_points(plan)


ACTS: tuple[str, ...] = get_args(ActName)


def check_points(plan: Whole) -> None:
    """A vector has no sides for a window to move along."""
    top = Place("plan")
    top.need(plan.pool is None, ".pool", "must be nothing where vectors go in")
    whole(plan.size, top / ".size", 1, 1)
    places: dict[str, tuple[Layer | None, ...]] = {".stem[0]": plan.stem}
    for s, stage in enumerate(plan.stages):
        for b, block in enumerate(stage):
            places[f".stages[{s}][{b}]"] = (*block.branch, block.shortcut.layer)
            top.need(
                not (block.attention or block.shortcut.pool),
                f".stages[{s}][{b}]",
                "must have neither attention nor pool, since vectors go in",
            )
    for where, layers in places.items():
        one = all(layer.kernel == layer.stride == layer.groups == 1 for layer in layers if layer)
        batch = all(layer.norm == "batch" and not layer.blur for layer in layers if layer)
        top.need(one and batch, where, "must have kernels, strides and groups of 1 and batch norm, since vectors go in")


def check_block(block: Block, place: Place, c_in: int, ndim: int) -> None:
    count = CONVOLUTIONS.get(block.kind, 0)
    counts = (count,) if count else (2, 3)
    place.need(
        len(block.branch) in counts,
        ".branch",
        f"must hold {' or '.join(map(str, counts))} layers, not {len(block.branch)}",
    )
    mobile = block.kind in FAMILIES
    word(block.act, place / ".act", ("none",) if block.kind == "inverted" else ACTS)
    for i, layer in enumerate(block.branch):
        acts = (
            (*ACTS, "none")
            if mobile
            else ("none",)
            if not block.preact and i == len(block.branch) - 1
            else (block.act,)
        )
        check_layer(layer, place / f".branch[{i}]", ndim, acts, block.preact)
        normed = layer.eps is not None or not block.preact
        place.need(normed, f".branch[{i}].eps", "must be a number: the block begins with a norm")
    place.meets(block.c_in, ".branch[0].c_in", c_in)
    for i, (one, following) in enumerate(pairwise(block.branch)):
        place.meets(following.c_in, f".branch[{i + 1}].c_in", one.c_out)
    check_shortcut(block, place / ".shortcut", ndim)
    if block.attention:
        check_attention(block.attention, place / ".attention")
    place.need(block.attention is None or not mobile, ".attention", "is not for mobile networks")
    if block.scale is not None:
        word(block.scale, place / ".scale", get_args(ScaleKind))
        place.need(block.kind not in ("plain", *FAMILIES), ".scale", "weighs a branch beside a shortcut")


SHORTCUTS: dict[str, tuple[str, ...]] = {
    "plain": ("none",),
    "inverted": ("identity", "none"),
    "shuffle": ("half", "branch"),
}


def check_shortcut(block: Block, place: Place, ndim: int) -> None:
    """Both ways to the sum must bring the same shape."""
    shortcut, kind = block.shortcut, block.shortcut.kind
    word(kind, place / ".kind", SHORTCUTS.get(block.kind, ("identity", "project", "pad")))
    layered = kind in ("project", "branch")
    place.need((shortcut.layer is not None) == layered, ".layer", "is there for a projection, and only then")
    place.need(
        (shortcut.lead is not None) == (kind == "branch"), ".lead", "is there for a second branch, and only then"
    )
    place.need(shortcut.pool is None or kind == "project", ".pool", "is there for a projection, and only then")
    place.need(len(shortcut.pad) == 2, ".pad", f"must hold two numbers, not {len(shortcut.pad)}")
    for i, zeros in enumerate(shortcut.pad):
        whole(zeros, place / f".pad[{i}]", 0, 65_536 if kind == "pad" else 0)
    check_sides(shortcut.stride, place / ".stride", ndim, 1, 64 if layered or kind == "pad" else 1)
    if kind == "none":
        return
    place.meets(shortcut.stride, ".stride", block.stride)
    if shortcut.layer is None:
        c = block.c_in + sum(shortcut.pad)
        place.need(c == block.c_out, "", f"brings {c} channels to a branch of {block.c_out}")
        return
    place.need(not shortcut.layer.blur, ".layer.blur", "must be 0")
    strides = [shortcut.layer.stride]
    if shortcut.pool:
        check_pool(shortcut.pool, place / ".pool", ndim, ("mean",))
        strides.append(shortcut.pool.stride)
    if shortcut.lead:
        check_layer(shortcut.lead, place / ".lead", ndim, (*ACTS, "none"))
        place.meets(shortcut.layer.c_in, ".layer.c_in", shortcut.lead.c_out)
        strides.append(shortcut.lead.stride)
    check_layer(shortcut.layer, place / ".layer", ndim, ACTS if kind == "branch" else ("none",))
    place.meets(product(*strides), ".layer.stride", block.stride)
    first = shortcut.lead or shortcut.layer
    place.meets(first.c_in, ".layer.c_in", block.c_in)
    if kind == "project":
        place.meets(shortcut.layer.c_out, ".layer.c_out", block.c_out)


def check_attention(attention: Attention, place: Place) -> None:
    word(attention.kind, place / ".kind", get_args(AttentionKind))
    inner = attention.kind != "eca"
    whole(attention.reduced, place / ".reduced", 1 if inner else 0, 65_536 if inner else 0)
    window = attention.kind != "se"
    whole(attention.kernel, place / ".kernel", 1 if window else 0, 63 if window else 0)
    place.need(not window or attention.kernel % 2 == 1, ".kernel", "must be odd, not", attention.kernel)


def check_pool(pool: Pool, place: Place, ndim: int, kinds: tuple[str, ...]) -> None:
    word(pool.kind, place / ".kind", kinds)
    check_sides(pool.kernel, place / ".kernel", ndim, 1, 64)
    check_sides(pool.stride, place / ".stride", ndim, 1, 64)
    whole(pool.blur, place / ".blur", 0, 2 if pool.kind == "max" and ndim == 2 else 0)
    place.need((pool.layer is not None) == (pool.kind == "conv"), ".layer", "is there for a convolution, and only then")
    if pool.kind == "mean":  # of windows that lie on the map as far as they can
        check_sides(pool.padding, place / ".padding", ndim, 0, 0)
        return
    check_sides(pool.padding, place / ".padding", ndim, 0, 65_536)
    for kernel, padding in zip(each(pool.kernel, ndim), each(pool.padding, ndim), strict=True):
        same_size(padding, kernel - 1, place / ".padding")
    if pool.layer:
        check_layer(pool.layer, place / ".layer", ndim, ACTS)
        for name in ("kernel", "stride", "padding"):
            place.meets(getattr(pool.layer, name), f".layer.{name}", getattr(pool, name))


def check_norm(norm: Norm, place: Place, c: int) -> None:
    place.meets(norm.channels, ".channels", c)
    check_eps(norm.eps, place)
    word(norm.norm, place / ".norm", get_args(NormName))
    word(norm.act, place / ".act", ACTS)


def check_layer(layer: Layer, place: Place, ndim: int, acts: tuple[str, ...], first: bool = False) -> None:
    """``first`` where the norm stands before the convolution."""
    whole(layer.c_in, place / ".c_in", 1, 65_536)
    whole(layer.c_out, place / ".c_out", 1, 65_536)
    for name in ("kernel", "stride", "dilation"):
        check_sides(getattr(layer, name), place / f".{name}", ndim, 1, 64)
    check_sides(layer.padding, place / ".padding", ndim, 0, 65_536)
    sides = (each(one, max(1, ndim)) for one in (layer.kernel, layer.dilation, layer.padding))
    for kernel, dilation, padding in zip(*sides, strict=True):
        same_size(padding, dilation * (kernel - 1), place / ".padding")
    whole(layer.groups, place / ".groups", 1, 65_536)
    fits = layer.c_in % layer.groups == 0 and layer.c_out % layer.groups == 0
    place.need(fits, ".groups", f"must divide {layer.c_in} and {layer.c_out}, not be {layer.groups}")
    place.need(type(layer.bias) is bool, ".bias", "must be true or false, not", layer.bias)
    if layer.eps is not None:
        check_eps(layer.eps, place)
    word(layer.act, place / ".act", acts)
    word(layer.norm, place / ".norm", get_args(NormName))
    if layer.norm == "group":
        c = layer.c_in if first else layer.c_out
        place.need(c % GROUPS == 0, ".norm", f"divides channels into {GROUPS} groups, not", c)
    whole(layer.blur, place / ".blur", 0, 2 if ndim == 2 else 0)


def check_eps(eps: object, place: Place) -> None:
    sound = type(eps) is float and 0 < eps <= 1
    place.need(sound, ".eps", "must be nothing or a number from 0 to 1, not", eps)


def check_sides(value: object, place: Place, ndim: int, low: int, high: int) -> None:
    if isinstance(value, tuple):
        place.need(ndim > 1 and len(value) == ndim, "", f"must be one number, or {ndim}, not", value)
        for number in value:
            whole(number, place, low, high)
    else:
        whole(value, place, low, high)


def same_size(padding: object, reach: int, place: Place) -> None:
    """Half the reach on each side: then a map of n points has ceil(n / stride) after it, by whatever way."""
    place.need(reach % 2 == 0, "", f"cannot be even on both sides of a window that reaches {reach} points")
    whole(padding, place, reach // 2, reach // 2)
