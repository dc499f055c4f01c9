"""How other libraries name the tensors of a residual network, and a state dict from their names to ours and back.

Tensors are matched by name, never by order. Our names are torchvision's, and timm's where torchvision has none.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from resnetkit.errors import WeightsError
from resnetkit.mobile import MOBILENET

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")  # of DataParallel, torch.compile and other wrappings
SLOT = re.compile(r"<(\w)(\+1)?>")


@dataclass(frozen=True)
class Dialect:
    """The names of one library: each row is a module there, and the same module here.

    ``<s>`` stands for a number that both have, ``<s+1>`` for the same one counted from one. What no row names is
    called the same on both sides.
    """

    name: str
    signs: tuple[str, ...]  # modules there that nothing else has: one of them is enough
    rows: tuple[tuple[str, str], ...]
    square_head: bool = False  # the head is a 1x1 convolution: its weight is (n, c, 1, 1), and ours is (n, c)


CIFAR = Dialect(
    "kuangliu and akamaster",
    signs=("linear", "layer<s>.<b>.shortcut.<i>"),
    rows=(("linear", "fc"), ("layer<s>.<b>.shortcut.<i>", "layer<s>.<b>.downsample.<i>")),
)
TIMM_BLOCKS = (
    ("stages.<s>.blocks.<b>.conv<i>", "layer<s+1>.<b>.conv<i>"),
    ("stages.<s>.blocks.<b>.norm<i>", "layer<s+1>.<b>.bn<i>"),
    ("head.fc", "fc"),
)
TIMM_V2 = Dialect(
    "timm's resnetv2",
    signs=("stem.conv",),
    rows=(
        ("stem.conv", "conv1"),
        *TIMM_BLOCKS,
        ("stages.<s>.blocks.<b>.downsample.conv", "layer<s+1>.<b>.downsample.0"),
    ),
    square_head=True,
)
# Where timm gives these networks a deep stem, it also pools in the projections: ours then have a pool at 0.
TIMM_V2_DEEP = Dialect(
    "timm's resnetv2 with a deep stem",
    signs=("stem.conv1",),
    rows=(
        ("stem.conv1", "conv1.0"),
        ("stem.norm1", "conv1.1"),
        ("stem.conv2", "conv1.3"),
        ("stem.norm2", "conv1.4"),
        ("stem.conv3", "conv1.6"),
        *TIMM_BLOCKS,
        ("stages.<s>.blocks.<b>.downsample.conv", "layer<s+1>.<b>.downsample.1"),
    ),
    square_head=True,
)
TRANSFORMERS_BODY = (
    ("embedder.embedder.convolution", "conv1"),
    ("embedder.embedder.normalization", "bn1"),
    ("encoder.stages.<s>.layers.<b>.shortcut.convolution", "layer<s+1>.<b>.downsample.0"),
    ("encoder.stages.<s>.layers.<b>.shortcut.normalization", "layer<s+1>.<b>.downsample.1"),
    ("encoder.stages.<s>.layers.<b>.layer.<i>.convolution", "layer<s+1>.<b>.conv<i+1>"),
    ("encoder.stages.<s>.layers.<b>.layer.<i>.normalization", "layer<s+1>.<b>.bn<i+1>"),
)
TRANSFORMERS = Dialect(
    "Hugging Face transformers",
    signs=("resnet.embedder.embedder.convolution", "embedder.embedder.convolution"),
    rows=(
        *((f"resnet.{there}", here) for there, here in TRANSFORMERS_BODY),
        ("classifier.1", "fc"),
        *TRANSFORMERS_BODY,  # of a body saved without its head
    ),
)
VIDEO = Dialect(
    "torchvision's r3d_18",
    signs=("stem.0",),
    rows=(
        ("stem.0", "conv1"),
        ("stem.1", "bn1"),
        ("layer<s>.<b>.conv<i>.0", "layer<s>.<b>.conv<i>"),
        ("layer<s>.<b>.conv<i>.1", "layer<s>.<b>.bn<i>"),
    ),
)
# torchvision counts the blocks of a mobilenet_v2 through; features.0 is the stem, and the first block expands nothing.
BLOCKS = [f"blocks.{s}.{b}" for s, (_, _, depth, _) in enumerate(MOBILENET) for b in range(depth)]
NARROW = (("conv.0.0", "conv_dw"), ("conv.0.1", "bn1"), ("conv.1", "conv_pw"), ("conv.2", "bn2"))
WIDE = (
    *(("conv.0.0", "conv_pw"), ("conv.0.1", "bn1"), ("conv.1.0", "conv_dw"), ("conv.1.1", "bn2")),
    *(("conv.2", "conv_pwl"), ("conv.3", "bn3")),
)
MOBILE = Dialect(
    "torchvision's mobilenet_v2",
    signs=("features.1.conv.0.0",),
    rows=(
        ("features.0.0", "conv_stem"),
        ("features.0.1", "bn1"),
        *(
            (f"features.{i}.{there}", f"{block}.{here}")
            for i, block in enumerate(BLOCKS, start=1)
            for there, here in (NARROW if i == 1 else WIDE)
        ),
        (f"features.{len(BLOCKS) + 1}.0", "conv_head"),
        (f"features.{len(BLOCKS) + 1}.1", "bn2"),
        ("classifier.1", "classifier"),
    ),
)
CONV = re.compile(r"(?:.*\.)?conv\d+\.bias")  # the bias of a convolution in a residual network
DIALECTS = (CIFAR, TIMM_V2, TIMM_V2_DEEP, TRANSFORMERS, VIDEO, MOBILE)


def strip(state: "Mapping[str, Tensor]", notes: list[str]) -> "dict[str, Tensor]":
    """The names without what all of them begin with, if that is a known wrapping."""
    state = dict(state)
    for prefix in PREFIXES * 4:  # in whatever order they were put on
        if state and all(name.startswith(prefix) for name in state):
            notes.append(f"{prefix!r} was taken off the names")
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def recognise(names: Iterable[str]) -> Dialect | None:
    """Whose names these are, from the names alone; None where they are ours."""
    modules = {name.rpartition(".")[0] for name in names}
    for dialect in DIALECTS:
        if any(pattern(sign).fullmatch(module) for sign in dialect.signs for module in modules):
            return dialect
    return None


def to_ours(state: "Mapping[str, Tensor]", notes: list[str], *, what: str = "the state dict") -> "dict[str, Tensor]":
    """The same tensors under our names, whichever library named them, which is said in ``notes``.

    The bias of Caffe's first convolution becomes part of the norm behind it: see ``fold_bias``.
    Raises WeightsError where two of them would have one name.
    """
    dialect = recognise(state)
    if dialect is None:
        return fold_bias(state, notes)
    renamed = {translated(name, dialect.rows): value for name, value in state.items()}
    if len(renamed) != len(state):
        raise WeightsError(f"{what} has two tensors for one name", "keep those of one network")
    head = renamed.get("fc.weight")
    if dialect.square_head and head is not None and tuple(head.shape[2:]) == (1, 1):
        renamed["fc.weight"] = head.reshape(head.shape[:2])
    old, new = next((old, new) for old in state if (new := translated(old, dialect.rows)) != old)
    notes.append(f"the names are those of {dialect.name}: {old!r} is {new!r} here")
    return fold_bias(renamed, notes)


def fold_bias(state: "Mapping[str, Tensor]", notes: list[str]) -> "dict[str, Tensor]":
    """The bias b of a first convolution that alone has one, as in Caffe's ResNet-50, taken off the mean of its norm.

    (x + b) - mean is x - (mean - b): the answers are the same. Where all convolutions have one it stays.
    """
    bias, mean = state.get("conv1.bias"), state.get("bn1.running_mean")
    alone = [name for name in state if CONV.fullmatch(name)] == ["conv1.bias"] and "conv1.weight" in state
    if bias is None or mean is None or not alone or bias.shape != mean.shape:
        return dict(state)
    notes.append("'conv1.bias' was taken off 'bn1.running_mean', which answers the same")
    kept = {name: value for name, value in state.items() if name != "conv1.bias"}
    return {**kept, "bn1.running_mean": mean - bias}


def to_theirs(state: "Mapping[str, Tensor]", dialect: Dialect) -> "dict[str, Tensor]":
    """The same tensors under the names of another library, in our order: what to_ours undoes."""
    back = tuple((here, there) for there, here in dialect.rows)
    renamed = {translated(name, back): value for name, value in state.items()}
    head = translated("fc.weight", back)
    if dialect.square_head and head in renamed:
        renamed[head] = renamed[head][:, :, None, None]
    return renamed


def translated(name: str, rows: tuple[tuple[str, str], ...]) -> str:
    """The name by the first row that fits its module, or as it is."""
    module, _, leaf = name.rpartition(".")
    for source, target in rows:
        if found := pattern(source).fullmatch(module):
            numbers = {slot: int(found[slot]) - bool(one) for slot, one in SLOT.findall(source)}
            return f"{filled(target, numbers)}.{leaf}"
    return name


def filled(template: str, numbers: Mapping[str, int]) -> str:
    return SLOT.sub(lambda slot: str(numbers[slot[1]] + bool(slot[2])), template)


@cache
def pattern(template: str) -> re.Pattern[str]:
    """What modules a template of a row fits."""
    texts = SLOT.split(template)  # text, slot, +1 or None, text, ...
    parts = [re.escape(texts[0])]
    for slot, one, text in zip(texts[1::3], texts[2::3], texts[3::3], strict=True):
        digits = "[1-9][0-9]{0,4}" if one else "0|[1-9][0-9]{0,4}"
        parts += [f"(?P<{slot}>{digits})", re.escape(text)]
    return re.compile("".join(parts))
