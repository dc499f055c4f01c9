"""Where a model can be taken: each a row of a table, with what it writes and how that is loaded there.

Only the card and the weights are used, so that whatever is written says the same as the model file.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

import resnetkit
from resnetkit.dialects import MOBILE, TIMM_V2, TIMM_V2_DEEP, VIDEO, Dialect, to_theirs
from resnetkit.errors import UsageError, WeightsError, nearest, plain
from resnetkit.export.metadata import MARK
from resnetkit.files import write_bytes
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.safetensor import open_regular, read_header, serialize, steady
from resnetkit.zoo import ZOO, find

RUNTIMES = ("onnx", "openvino", "torch")  # that resnetkit.export writes for
CROPS = {"crop": "center", "letterbox": "border", "stretch": "squash"}  # timm's words for ways to make it square


@dataclass(frozen=True)
class Packed:
    """A model as another program takes it."""

    data: bytes
    how: str  # it is loaded there; {file} stands for the file


@dataclass(frozen=True)
class Target:
    """A place that models can be taken to."""

    suffix: str  # of the file
    pack: Callable[[Card, Mapping[str, Tensor]], Packed]


@dataclass(frozen=True)
class Exported:
    """What was written, and how it is loaded."""

    out: Path
    to: str
    model: str
    how: str
    notes: tuple[str, ...]  # what a user there has to do
    proof: dict[str, Any] | None = None  # how it was checked; weights alone go to the bit and need none


@dataclass(frozen=True)
class Library:
    """A library of networks that has some of ours, with tensors that it may name otherwise."""

    name: str
    networks: tuple[str, ...]
    make: str  # how a network is made there
    channels: tuple[int, ...] = ()  # that its networks can take, where they cannot take any
    dialects: tuple[tuple[str, Dialect], ...] = ()  # how names begin whose tensors have other names
    called: tuple[tuple[str, str], ...] = ()  # our name, and the words that ask for the network, where it has another

    def asks(self, model: str) -> str:
        """The words that ask for a network there, as Python writes them."""
        return dict(self.called).get(model, repr(model))

    def dialect(self, model: str) -> Dialect | None:
        """How the tensors of a network are called there; None where they are called as here."""
        found = next((dialect for start, dialect in self.dialects if model.startswith(start)), None)
        return TIMM_V2_DEEP if found is TIMM_V2 and len(lay_out(find(model)).stem) > 1 else found


TORCHVISION = Library(
    "torchvision",
    tuple(
        """
        resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d
        wide_resnet50_2 wide_resnet101_2 shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0
        r3d_18 mobilenetv2_035 mobilenetv2_050 mobilenetv2_075 mobilenetv2_100 mobilenetv2_140
        """.split()
    ),
    make="torchvision.models.get_model({model}, num_classes={classes})",
    channels=(3,),
    dialects=(("r3d_", VIDEO), ("mobilenetv2_", MOBILE)),
    called=(
        ("mobilenetv2_035", "'mobilenet_v2', width_mult=0.35"),
        ("mobilenetv2_050", "'mobilenet_v2', width_mult=0.5"),
        ("mobilenetv2_075", "'mobilenet_v2', width_mult=0.75"),
        ("mobilenetv2_100", "'mobilenet_v2'"),
        ("mobilenetv2_140", "'mobilenet_v2', width_mult=1.4"),
    ),
)
# Networks of the papers for small pictures, of Keras, of clips, and those that only torchvision has.
ELSEWHERE = re.compile(
    r".*_cifar|plain.*|resnet(8|20|32|44|56|110|1202)|.*_v1|.*_keras|wrn_.*|preact_.*|resnext29_.*|cbam_.*|r3d_.*|shuffle.*"
)
TIMM = Library(
    "timm",
    tuple(name for name in ZOO if not ELSEWHERE.fullmatch(name)),
    make="timm.create_model({model}, num_classes={classes}, in_chans={channels})",
    dialects=(("resnetv2_", TIMM_V2),),
)


def export(card: Card, state: Mapping[str, Tensor], *, to: str, out: Path) -> Exported:
    """Write a model as another program takes it, in one step.

    Raises UsageError for a place that is not known, or an ``out`` that is there and was not exported; WeightsError for
    a model that does not exist there.
    """
    if to not in TARGETS:
        known = (*TARGETS, *RUNTIMES)
        raise UsageError(f"there is no export to {plain(to)}{nearest(to, known)}", f"--to {' or '.join(known)}")
    target = TARGETS[to]
    if out.suffix != target.suffix:
        raise UsageError(f"{plain(out)} would be a {target.suffix} file", f"name it so: --out NAME{target.suffix}")
    if not may_replace(out):
        raise UsageError(f"{plain(out)} is there and is not an export", "name another file to write")
    packed = target.pack(card, state)
    write_bytes(out, packed.data)
    return Exported(out, to, card.model, packed.how.replace("{file}", repr(str(out))), tuple(duties(card)))


def may_replace(out: Path) -> bool:
    """Whether nothing is there, or an earlier export: a model file is more than what is made of it."""
    try:
        out.lstat()
    except (OSError, ValueError):
        return True  # and if it cannot be written either, writing says so
    try:
        with open_regular(out) as file:
            return MARK in read_header(file, out).metadata
    except WeightsError:
        return False


def duties(card: Card, *, answers: bool = False) -> list[str]:
    """What a card says of answers that weights alone do not do; ``answers``: nor a file that goes on to answers."""
    said = []
    if card.temperature != 1 and not answers:
        said.append(f"divide the logits by the temperature {card.temperature:g} before the softmax")
    if card.reject is not None:
        said.append(f"call a picture unknown where no class has a probability of {card.reject.threshold:.4g}")
    if card.task == "tags" and not answers:
        said.append("each logit is a tag of its own: take the sigmoid, not the softmax")
    if card.task == "numbers" and not answers:
        said.append("each logit times its deviation, plus its mean, is the answer: see scale in the metadata")
    return said


def to_library(library: Library, card: Card, state: Mapping[str, Tensor]) -> Packed:
    """A bare safetensors file with the names and shapes of a library. The weights are to the bit what they were."""
    if card.model not in library.networks:
        others = [other.name for other in (TORCHVISION, TIMM) if card.model in other.networks and other != library]
        known = ", ".join(name for name in library.networks if name in ZOO)
        fix = f"use --to {others[0]}" if others else f"of the networks here it has {known}"
        raise WeightsError(f"{library.name} has no {card.model}", fix)
    usual = with_io(lay_out(find(card.model)), channels=card.plan.channels, classes=card.plan.classes)
    if card.plan.taps and replace(card.plan, taps=None) == usual:
        what = f"its head sees the maps of all stages, and that of {library.name} the last one"
        raise WeightsError(what, "train it with --head-cells 0, or use it here")
    if card.plan != usual:
        raise WeightsError(
            f"this {card.model} is not built as usual, and {library.name} has only the usual one", "use it here"
        )
    if library.channels and card.plan.channels not in library.channels:
        raise WeightsError(
            f"{library.name} has {card.model} for 3 channels, not for {card.plan.channels}", "use --to timm"
        )
    dialect = library.dialect(card.model)
    named = to_theirs(state, dialect) if dialect else dict(state)
    make = library.make.format(model=library.asks(card.model), classes=card.plan.classes, channels=card.plan.channels)
    how = f"{make}.load_state_dict(safetensors.torch.load_file({{file}}))"
    return Packed(steady(serialize(named, {**about(card), "library": library.name})), how)


def about(card: Card) -> dict[str, str]:
    """What the weights are for, in the words of timm's pretrained_cfg: each value is a word or JSON."""
    seen = card.preprocess
    words = {
        "format": "pt",
        MARK: f"resnetkit {resnetkit.__version__}",
        "architecture": card.model,
        "crop_mode": CROPS[seen.resize],
        "interpolation": seen.interpolation,
        "task": card.task,
    }
    values = {
        "num_classes": len(card.classes),
        "in_chans": seen.channels,
        "label_names": card.classes,
        "input_size": (seen.channels, *seen.size),
        "crop_pct": seen.crop,
        "mean": seen.mean,
        "std": seen.std,
        "temperature": card.temperature,
        "scale": card.scale,
    }
    return words | {name: json.dumps(value) for name, value in values.items()}


TARGETS = {
    "torchvision": Target(".safetensors", partial(to_library, TORCHVISION)),
    "timm": Target(".safetensors", partial(to_library, TIMM)),
}
