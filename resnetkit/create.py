"""Networks by name, with published weights, those of a file, or none: as timm's users make them."""

import logging
import os
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, overload

from torch import Tensor, nn

from resnetkit import modelfile, published, zoo
from resnetkit import pretrained as pretrained_files
from resnetkit.backbone import Backbone, with_output_stride
from resnetkit.dialects import to_ours
from resnetkit.dropping import drop
from resnetkit.errors import ResourceError, UsageError, WeightsError, plain, some
from resnetkit.foreign import read_foreign
from resnetkit.init import initialize
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.plan import with_io
from resnetkit.pretrained import Got
from resnetkit.published import LIST, Row
from resnetkit.safetensor import check_numbers
from resnetkit.specfile import find, says
from resnetkit.weights import adapt_first, fill, first_in, head_in, refuse_others, transfer

IO = "num_classes is a whole number from 0, in_chans one from 1"
log = logging.getLogger(__name__)


@overload
def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    weights: str | Path | Enum | Mapping[str, Tensor] | None = None,
    zero_init_last: bool = False,
    allow_unpinned: bool = False,
    global_pool: str = "avg",
    output_stride: int = 32,
    features_only: Literal[False] = False,
    out_indices: None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Network: ...
@overload
def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    weights: str | Path | Enum | Mapping[str, Tensor] | None = None,
    zero_init_last: bool = False,
    allow_unpinned: bool = False,
    global_pool: str = "avg",
    output_stride: int = 32,
    *,
    features_only: Literal[True],
    out_indices: Sequence[int] | int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Backbone: ...
def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    weights: str | Path | Enum | Mapping[str, Tensor] | None = None,
    zero_init_last: bool = False,
    allow_unpinned: bool = False,
    global_pool: str = "avg",
    output_stride: int = 32,
    features_only: bool = False,
    out_indices: Sequence[int] | int | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Network | Backbone:
    """A network of the zoo: images (n, in_chans, h, w) to logits (n, num_classes), or to features where that is 0.

    ``weights`` is a file or a state dict, which must fit whole, or names published ones: ``timm/resnet50.a1_in1k``,
    ``torchvision/resnet50``, ``IMAGENET1K_V2``, ``ResNet50_Weights.DEFAULT`` as a word or an enum. ``pretrained``
    takes the best that are published, or those of a tag, as in ``create_model("resnet50.a1_in1k", pretrained=True)``;
    ``allow_unpinned`` takes what is there today.
    Classes and channels that are not given are those of the weights, else of the zoo. Where given ones differ from the
    weights', the head is begun afresh and the first convolution adapted, as in timm, and the log says so. Features are
    the mean of the last map, or with ``global_pool`` "" the map itself. With ``features_only`` the maps of
    ``out_indices`` are the answer, and nothing is left of the head. ``drop_rate`` leaves out features before the
    head, ``drop_path_rate`` whole branches, rising from none in the first block: both in training mode alone.
    Raises UsageError for a name, a number or an argument that cannot be meant, WeightsError for weights that do not fit
    or are not what they should be, ResourceError for published ones that cannot be had.
    """
    if out_indices is not None and not features_only:
        raise UsageError("out_indices chooses maps, and logits are asked for", "give features_only=True")
    if features_only and (num_classes or global_pool != "avg" or drop_rate):
        raise UsageError("features_only leaves no head for num_classes, global_pool and drop_rate", "leave them out")
    if global_pool != "avg" and num_classes != 0:
        raise UsageError("global_pool is for networks without classes", "give num_classes=0, or leave it out")
    tagged = f"timm/{name}" in {row.name for row in published.of()}  # timm's words for a network and its weights
    if weights is not None and (pretrained or tagged):
        which = "pretrained=True" if pretrained else f"the tag in {name!r}"
        raise UsageError(f"weights have two sources: weights=..., and {which}", "leave one of them out")
    weights = weights_meant(weights)
    if tagged:
        weights = f"timm/{name}" if pretrained else None
        name = name.partition(".")[0]
    plan = lay_out(with_output_stride(find(name), output_stride))
    got = published_file(name, weights, pretrained, allow_unpinned)
    weights = got.path if got else weights
    state: Mapping[str, Tensor] = {}
    changed: list[str] = []
    if isinstance(weights, Mapping):
        state = weights
    elif weights is not None:
        state = read_foreign(weights, changed)
    what = str(weights) if isinstance(weights, str | Path) else "the state dict"
    refuse_others(state, what)
    for key, value in state.items() if isinstance(weights, Mapping) else ():  # reading a file looks at its numbers
        check_numbers(key, value, what)
    state = to_ours(state, changed, what=what)
    for text in changed:
        log.info("%s: %s", plain(what), text)
    if features_only:  # whose weights may come with a head or without
        state, num_classes = {key: value for key, value in state.items() if key not in head_in(state)}, 0
    classes, channels = io_of(state)
    in_chans = says(name, "channels") if in_chans is None else in_chans
    num_classes = says(name, "classes") if num_classes is None else num_classes
    try:
        plan = with_io(
            plan,
            channels=channels if in_chans is None else in_chans,
            classes=classes if num_classes is None else num_classes,
        )
    except ValueError as error:
        raise UsageError(f"num_classes or in_chans cannot be meant: {error}", IO) from error
    model = build(plan)
    initialize(model, seed=None, zero_last=zero_init_last)
    if isinstance(weights, str | Path) and model.in_chans == channels:
        model.seen = shown(got.wanted.row) if got else seen_by(weights)
    said: list[str] = []
    if weights is None:
        pass
    elif num_classes is None or num_classes == classes or features_only:
        state, said = adapt_first(state, plan.channels)
        fill(model, state, what=what)
    else:
        said = [str(transfer(model, state, old_classes=None, new_classes=(), what=what))]
    for text in said:
        log.warning("%s: %s", plain(what), text)
    if global_pool != "avg":
        model.reset_classifier(0, global_pool)
    drop(model, drop_rate, drop_path_rate)
    return Backbone(model, out_indices) if features_only else model


def weights_meant(weights: object) -> str | Path | Mapping[str, Tensor] | None:
    """What was given as ``weights``, an enum of torchvision as its name; UsageError for what cannot be meant."""
    if isinstance(weights, Enum):
        return str(weights)
    if isinstance(weights, nn.Module):
        fix = "give its state_dict(): weights=model.state_dict()"
        raise UsageError(f"weights are tensors by name, and this is a {type(weights).__name__}, a network", fix)
    if weights is None or isinstance(weights, str | Mapping):
        return weights
    path = os.fspath(weights) if isinstance(weights, os.PathLike) else None
    if not isinstance(path, str):
        fix = "give a file, a state dict or the name of published weights"
        raise UsageError(f"weights cannot be {some([repr(weights)])} ({type(weights).__name__})", fix)
    return Path(path)


def seen_by(path: str | Path) -> dict[str, Any]:
    """How the weights of a model file were trained to see, in timm's words; nothing for other files."""
    if not modelfile.is_ours(path):
        return {}
    card = modelfile.read_card(path).preprocess
    return {
        "input_size": (card.channels, *card.size),
        "mean": card.mean,
        "std": card.std,
        "crop_pct": card.crop,
        "interpolation": card.interpolation,
    }


def shown(row: Row) -> dict[str, Any]:
    """The same of published weights, as whoever published them says."""
    return {
        "input_size": (len(row.mean), row.size, row.size),
        "mean": row.mean,
        "std": row.std,
        "crop_pct": row.crop,
        "interpolation": row.interpolation,
    }


def published_file(
    name: str, weights: str | Path | Mapping[str, Tensor] | None, pretrained: bool, allow_unpinned: bool
) -> Got | None:
    """The published weights that are meant, or None where a file, a state dict or nothing is."""
    if isinstance(weights, str) and not Path(weights).exists():
        weights = published.named(name, weights) or weights
    if isinstance(weights, str) and published.is_name(weights) and not Path(weights).exists():
        return obtain(name, weights, allow_unpinned)
    if allow_unpinned:
        raise UsageError("allow_unpinned is for published weights that are named", "leave it out")
    return best(name) if pretrained and weights is None else None


def obtain(name: str, weights: str, allow_unpinned: bool) -> Got:
    """The file of published weights that were asked for, for the network of that name."""
    wanted = published.want(weights)
    if wanted.row.network != name:
        raise WeightsError(f"{weights} are of {wanted.row.network}, not of {name}", LIST)
    published.refuse_idle_unpinned(weights, allow_unpinned)
    return pretrained_files.obtain(wanted)


def best(name: str) -> Got:
    """The file of the best published weights of a network."""
    if not published.candidates(name):
        raise WeightsError(f"there are no published weights of {name} that can be checked here", LIST)
    got, why = pretrained_files.automatic(name)
    if got is None:
        raise ResourceError(f"{name}: {why}", "name a file, weights='FILE', or a mirror: HF_ENDPOINT, RESNETKIT_MIRROR")
    return got


def io_of(state: Mapping[str, Tensor]) -> tuple[int | None, int | None]:
    """The classes and channels of weights, where they have a head and a first convolution of the usual shape."""
    head, first = state.get(head_in(state)[0]), state.get(first_in(state))
    classes = head.shape[0] if head is not None and head.ndim == 2 else None
    channels = first.shape[1] if first is not None and first.ndim > 2 else None
    return classes or None, channels or None


def list_models(pattern: str | Sequence[str] = "*", pretrained: bool = False) -> list[str]:
    """The networks that ``create_model`` knows, by name; ``pattern`` has wildcards, or is a part of the name.

    Of several patterns in a list one is enough. With ``pretrained`` those that have published weights, as timm names
    them: ``resnet50.a1_in1k``, and the network alone where only torchvision has some. UsageError for other patterns.
    """
    patterns = [pattern] if isinstance(pattern, str) else pattern
    if not isinstance(patterns, list | tuple) or not all(isinstance(word, str) for word in patterns):
        raise UsageError(f"a pattern is a word, or a list of words, not {plain(repr(pattern))}", "give 'resnet*'")
    if not pretrained:
        return sorted({name for word in patterns for name in zoo.names(word)})
    rows = published.of()
    tagged = [row.name.removeprefix("timm/") for row in rows if row.name.startswith("timm/")]
    networks = {name.partition(".")[0] for name in tagged}
    alone = {row.network for row in rows if row.network not in networks and published.candidates(row.network)}
    return sorted({name for word in patterns for name in zoo.names(word, [*tagged, *alone])})
