"""Weights into networks: all of them, or all but the head; and networks by name, as timm's users make them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from resnetkit import pretrained as pretrained_files
from resnetkit import published, zoo
from resnetkit.errors import ResourceError, UsageError, WeightsError, plain, some
from resnetkit.foreign import read_foreign
from resnetkit.init import initialize
from resnetkit.model import ResNet
from resnetkit.plan import Layer, Plan, lay_out, with_io
from resnetkit.published import LIST

FIRST, HEAD = "conv1.weight", ("fc.weight", "fc.bias")
COUNTER = ".num_batches_tracked"  # norms count their batches since torch 0.4.1; only their momentum=None uses it
ALONE = "use weights that were trained in this network"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Transfer:
    """What came over and what did not, by the names of tensors and classes."""

    loaded: list[str]  # tensors taken as they are
    missing: list[str]  # tensors begun afresh, wholly or for some classes
    adapted: list[str]  # what was changed to fit, a sentence each
    kept_classes: list[str]  # whose rows of the head came along

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors taken", *self.adapted]
        parts += [f"{some(self.missing)} begun afresh"] if self.missing else []
        parts += [f"the head keeps {some(self.kept_classes)}"] if self.kept_classes else []
        return "; ".join(parts)


def fill(model: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Put every tensor of ``state`` in its place: names and shapes must be the model's own, one for one.

    ``what`` names the weights in errors. Raises WeightsError with counts, a few names and the likely cause, and has
    then changed nothing.
    """
    check({name: tuple(value.shape) for name, value in model.state_dict().items()}, state, what)
    put(model, state)


def check(wanted: Plan | Shapes, state: Mapping[str, Tensor], what: str) -> None:
    """WeightsError unless ``state`` has the tensors of a plan, or of these names and shapes; no network is built."""
    wanted = shapes(wanted) if isinstance(wanted, Plan) else wanted
    refuse_others(state, what)
    given = {name: tuple(value.shape) for name, value in state.items()}
    missing = [name for name in wanted if name not in given and not name.endswith(COUNTER)]
    strange = [name for name in given if name not in wanted]
    other = [name for name in wanted if name in given and given[name] != wanted[name]]
    if not (missing or strange or other):
        return
    fitting = len(given) - len(strange) - len(other)
    wrong = f"{len(missing)} missing, {len(strange)} unknown, {len(other)} of other shape"
    sample = [f"{name} is {size(given[name])} and should be {size(wanted[name])}" for name in other]
    sample += [f"{name} missing" for name in missing] + [f"{name} unknown" for name in strange]
    cause, fix = likely(wanted, given, [*missing, *strange, *other])
    counts = f"{fitting} of {len(wanted)} tensors fit, {wrong}"
    raise WeightsError(f"{plain(what)} does not fit the network: {cause}{counts} ({some(sample)})", fix)


def refuse_others(state: Mapping[str, Tensor], what: str) -> None:
    sound = {name: isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()}
    others = [f"{name!r} ({type(value).__name__})" for name, value in state.items() if not sound[name]]
    if others:
        raise WeightsError(
            f"{plain(what)} holds what is not a tensor by its name: {some(others)}", "give a state dict of tensors"
        )


def likely(wanted: Shapes, given: Shapes, wrong: Sequence[str]) -> tuple[str, str]:
    """Why weights do not fit, and what to do."""
    for name, axis, thing in ((HEAD[0], 0, "classes"), (FIRST, 1, "channels")):
        has, wants = given.get(name, ()), wanted.get(name, ())
        fits = len(has) == len(wants) > axis and has[axis] != wants[axis]
        if fits and set(wrong) <= {name, *(HEAD if axis == 0 else ())}:
            fix = "fine-tune: resnet train DATA --weights FILE"
            return f"it is for {has[axis]} {thing} and the network for {wants[axis]}; ", fix
    these, those = alike(given), alike(wanted)
    if not these or these == those:
        return "", ALONE
    ours = f", not {' or '.join(those)}" if those else ""
    return f"it is {' or '.join(these)}{ours}; ", f"use --model {these[0]}"


def alike(given: Shapes) -> list[str]:
    """The networks of the zoo that have these tensors, whatever their classes and channels."""
    body = essence(given)
    return [name for name, spec in zoo.ZOO.items() if body == essence(shapes(lay_out(spec)))]


def essence(given: Shapes) -> dict[str, tuple[int, ...]]:
    kept = {name: shape for name, shape in given.items() if name not in HEAD and not name.endswith(COUNTER)}
    return {name: shape[:1] + shape[2:] if name == FIRST else shape for name, shape in kept.items()}


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The name and shape of every tensor in the state dict of ``ResNet(plan)``."""
    found = dict(unit("conv1", "bn1", plan.stem[0], plan.ndim))
    for s, stage in enumerate(plan.stages, start=1):
        for b, block in enumerate(stage):
            place = f"layer{s}.{b}"
            for i, layer in enumerate(block.branch, start=1):
                found.update(unit(f"{place}.conv{i}", f"{place}.bn{i}", layer, plan.ndim))
            if block.shortcut.layer:
                layer = block.shortcut.layer
                found.update(unit(f"{place}.downsample.0", f"{place}.downsample.1", layer, plan.ndim))
    if plan.classes:
        found |= {HEAD[0]: (plan.classes, plan.features), HEAD[1]: (plan.classes,)}
    return found


def unit(conv: str, norm: str, layer: Layer, ndim: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{conv}.weight", (layer.c_out, layer.c_in // layer.groups, *(layer.kernel,) * ndim)
    if layer.bias:
        yield f"{conv}.bias", (layer.c_out,)
    if layer.eps is not None:
        yield from ((f"{norm}.{part}", (layer.c_out,)) for part in ("weight", "bias", "running_mean", "running_var"))
        yield norm + COUNTER, ()


def size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


@torch.no_grad()
def put(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy what there is to where it belongs; what there is not stays as it is."""
    for name, value in model.state_dict().items():
        if name in state:
            value.copy_(state[name])


@torch.no_grad()
def transfer(
    model: ResNet,
    state: Mapping[str, Tensor],
    *,
    old_classes: Sequence[str] | None,
    new_classes: Sequence[str],
    what: str = "the weights",
) -> Transfer:
    """Weights to fine-tune: all but the head must fit; the head keeps the rows of classes that keep their names.

    ``old_classes`` are those of the weights, in order, or None where they are not known; ``new_classes`` those of the
    model, whose head is begun already and stays so where no row comes over. A first convolution for other channels is
    adapted. Raises WeightsError as ``fill`` does, UsageError where the names are not as many as the rows, and has then
    changed nothing.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    state, adapted = adapt_first(state, model.in_chans)
    body = {name: value for name, value in state.items() if name not in HEAD}
    check({name: shape for name, shape in own.items() if name not in HEAD}, body, what)
    kept = keep_rows(model.fc, state, old_classes or (), new_classes)
    put(model, body)
    head = [name for name in HEAD if name in own]
    afresh = head if len(kept) < len(new_classes) or not kept else []
    counters = [name for name in own if name.endswith(COUNTER) and name not in body]
    return Transfer([*body, *(name for name in head if name not in afresh)], [*counters, *afresh], adapted, kept)


def keep_rows(head: nn.Module, state: Mapping[str, Tensor], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Copy the head's rows of classes that keep their names, and say which. A head without bias has a bias of 0."""
    if not isinstance(head, nn.Linear) or HEAD[0] not in state or not old or not new:
        return []
    weight = state[HEAD[0]]
    bias = state.get(HEAD[1], torch.zeros(len(weight)))
    if len(old) != len(weight) or len(new) != len(head.weight):
        raise UsageError(
            f"heads of {len(weight)} and {len(head.weight)} classes are given {len(old)} and {len(new)} names",
            "name each class once",
        )
    if weight.shape[1:] != head.weight.shape[1:] or bias.shape != weight.shape[:1]:
        raise WeightsError(f"the head of the weights is {size(tuple(weight.shape))} and does not fit", ALONE)
    rows = {name: row for row, name in enumerate(old)}
    for row, name in enumerate(new):
        if name in rows:
            head.weight[row] = weight[rows[name]]
            head.bias[row] = bias[rows[name]]
    return [name for name in new if name in rows]


def adapt_first(state: Mapping[str, Tensor], channels: int) -> tuple[dict[str, Tensor], list[str]]:
    """The first convolution (out, in, k, k) for other channels, as timm adapts it, and a sentence where it was.

    Summed into one channel; else repeated and scaled, so that equal channels answer as one did before.
    """
    weight = state.get(FIRST)
    if weight is None or weight.ndim != 4 or weight.shape[1] in (0, channels):
        return dict(state), []
    old = weight.shape[1]
    if channels == 1:
        fitted, how = weight.sum(1, keepdim=True), "summed into 1"
    else:
        fitted = weight.repeat(1, -(-channels // old), 1, 1)[:, :channels] * (old / channels)
        how = f"repeated for {channels} and scaled by {old}/{channels}"
    return {**state, FIRST: fitted}, [f"{FIRST}: the weights of {old} channel{'s' * (old > 1)} are {how}"]


def create_model(
    name: str,
    pretrained: bool = False,
    num_classes: int | None = None,
    in_chans: int | None = None,
    weights: str | Path | Mapping[str, Tensor] | None = None,
    zero_init_last: bool = False,
    allow_unpinned: bool = False,
) -> ResNet:
    """A network of the zoo: images (n, in_chans, h, w) to logits (n, num_classes), or to features where that is 0.

    ``weights`` is a file or a state dict, which must fit whole, or names published ones: ``timm/resnet50.a1_in1k``,
    ``torchvision/resnet50``, ``IMAGENET1K_V2``. ``pretrained`` takes the best that are published, or those of a tag,
    as in ``create_model("resnet50.a1_in1k", pretrained=True)``; ``allow_unpinned`` takes what is there today.
    Classes and channels that are not given are those of the weights, else of the zoo. Where given ones differ from the
    weights', the head is begun afresh and the first convolution adapted, as in timm.
    Raises UsageError for a name or a number that cannot be meant, WeightsError for weights that do not fit or are not
    what they should be, ResourceError for published ones that cannot be had.
    """
    if pretrained and weights is None and f"timm/{name}" in {row.name for row in published.of()}:
        name, weights = name.partition(".")[0], f"timm/{name}"
    plan = lay_out(zoo.find(name))
    if isinstance(weights, str) and not Path(weights).exists():
        weights = published.named(name, weights) or weights
    if isinstance(weights, str) and published.is_name(weights) and not Path(weights).exists():
        weights = obtain(name, weights, allow_unpinned)
    elif allow_unpinned:
        raise UsageError("allow_unpinned is for published weights that are named", "leave it out")
    elif pretrained and weights is None:
        weights = best(name)
    state: Mapping[str, Tensor] = {}
    if isinstance(weights, Mapping):
        state = weights
    elif weights is not None:
        state = read_foreign(weights)
    what = str(weights) if isinstance(weights, str | Path) else "the state dict"
    refuse_others(state, what)
    classes, channels = io_of(state)
    try:
        plan = with_io(
            plan,
            channels=channels if in_chans is None else in_chans,
            classes=classes if num_classes is None else num_classes,
        )
    except ValueError as error:
        raise UsageError(f"num_classes or in_chans cannot be meant: {error}", "use whole numbers above 0") from error
    model = ResNet(plan)
    initialize(model, seed=None, zero_last=zero_init_last)
    if weights is None:
        return model
    if num_classes is None or num_classes == classes:
        fill(model, adapt_first(state, plan.channels)[0], what=what)
    else:
        transfer(model, state, old_classes=None, new_classes=(), what=what)
    return model


def obtain(name: str, weights: str, allow_unpinned: bool) -> Path:
    """The file of published weights that were asked for, for the network of that name."""
    wanted = published.want(weights)
    if wanted.row.network != name:
        raise WeightsError(f"{weights} are of {wanted.row.network}, not of {name}", LIST)
    published.refuse_idle_unpinned(weights, allow_unpinned)
    return pretrained_files.obtain(wanted).path


def best(name: str) -> Path:
    """The file of the best published weights of a network."""
    if not published.candidates(name):
        raise WeightsError(f"there are no published weights of {name} that can be checked here", LIST)
    got, why = pretrained_files.automatic(name)
    if got is None:
        raise ResourceError(f"{name}: {why}", "name a file, weights='FILE', or a mirror: HF_ENDPOINT, RESNETKIT_MIRROR")
    return got.path


def io_of(state: Mapping[str, Tensor]) -> tuple[int | None, int | None]:
    """The classes and channels of weights, where they have a head and a first convolution of the usual shape."""
    head, first = state.get(HEAD[0]), state.get(FIRST)
    classes = head.shape[0] if head is not None and head.ndim == 2 else None
    channels = first.shape[1] if first is not None and first.ndim == 4 else None
    return classes or None, channels or None


def list_models(pattern: str = "*") -> list[str]:
    """The networks that ``create_model`` knows, by name; ``pattern`` has wildcards, or is a part of the name."""
    return sorted(zoo.names(pattern))
