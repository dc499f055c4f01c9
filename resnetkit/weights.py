"""Weights into networks: all of them, or all but the head."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from resnetkit import zoo
from resnetkit.errors import UsageError, WeightsError, plain, some
from resnetkit.layout import lay_out
from resnetkit.network import Network
from resnetkit.plan import Plan
from resnetkit.walk import FIRST, HEAD, shapes

FIRSTS = tuple(f"{name}.weight" for name in FIRST.values())  # what meets the input: one of these
HEADS = tuple(dict.fromkeys(HEAD.values()))
COUNTER = ".num_batches_tracked"  # norms count their batches since torch 0.4.1; only their momentum=None uses it
RUNNING = (".running_mean", ".running_var")
ALONE = "use weights that were trained in this network"

Shapes = Mapping[str, tuple[int, ...]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Match:
    """Which tensors of a state dict a network can take, and which it lacks, by name."""

    loaded: list[str]  # those that fit, in name and shape
    missing: list[str] = field(default_factory=list)  # in the state dict, though the network has them
    unexpected: list[str] = field(default_factory=list)  # in the network, though the state dict has them
    mismatched: list[str] = field(default_factory=list)  # in shape

    @property
    def whole(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def refuse_idle(self) -> None:
        """UsageError where nobody needs to allow that weights fit in part."""
        if self.whole:
            why = f"all {len(self.loaded)} tensors fit"
            raise UsageError(f"--allow-partial would have no effect: {why}", "leave it out")

    @property
    def wrong(self) -> str:
        return f"{len(self.missing)} missing, {len(self.unexpected)} unexpected, {len(self.mismatched)} mismatched"

    def __str__(self) -> str:
        return f"{len(self.loaded)} tensors loaded, {self.wrong}"


@dataclass(frozen=True)
class Transfer:
    """What came over and what did not, by the names of tensors and classes."""

    loaded: list[str]  # tensors taken as they are
    missing: list[str]  # tensors begun afresh, wholly or for some classes
    adapted: list[str]  # what was changed to fit, a sentence each
    kept_classes: list[str]  # whose rows of the head came along
    body: Match  # of all but the head

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors taken", *self.adapted]
        parts += [f"{some(self.missing)} begun afresh"] if self.missing else []
        for count, kind in ((len(self.body.unexpected), "unexpected"), (len(self.body.mismatched), "mismatched")):
            parts += [f"{count} {kind} left out"] if count else []
        parts += [f"the head keeps {some(self.kept_classes)}"] if self.kept_classes else []
        return "; ".join(parts)


def fill(model: nn.Module, state: Mapping[str, Tensor], *, what: str, partial: bool = False) -> Match:
    """Put every tensor of ``state`` in its place: names and shapes must be the model's own, one for one.

    With ``partial`` those that fit are enough, and the others of the model stay as they are.
    ``what`` names the weights in errors. Raises WeightsError with counts, a few names and the likely cause, and has
    then changed nothing.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = check(own, state, what, partial=partial)
    put(model, {name: state[name] for name in found.loaded})
    return found


def check(wanted: Plan | Shapes, state: Mapping[str, Tensor], what: str, *, partial: bool = False) -> Match:
    """How ``state`` fits a plan, or these names and shapes; no network is built.

    Raises WeightsError unless it has every tensor and no other; with ``partial``, unless it has any.
    """
    wanted = shapes(wanted) if isinstance(wanted, Plan) else wanted
    refuse_others(state, what)
    given = {name: tuple(value.shape) for name, value in state.items()}
    found = match(wanted, given)
    if found.whole or (partial and not all(name.endswith(COUNTER) for name in found.loaded)):
        return found
    sample = [f"{name} is {size(given[name])} and should be {size(wanted[name])}" for name in found.mismatched]
    sample += [f"{name} missing" for name in found.missing] + [f"{name} unexpected" for name in found.unexpected]
    cause, fix = likely(wanted, given, found)
    counts = f"{len(found.loaded)} of {len(wanted)} tensors fit, {found.wrong}"
    raise WeightsError(f"{plain(what)} does not fit the network: {cause}{counts} ({some(sample)})", fix)


def match(wanted: Shapes, given: Shapes) -> Match:
    """Tensors that are wanted beside those that are given, by name and shape."""
    return Match(
        [name for name in given if name in wanted and given[name] == wanted[name]],
        [name for name in wanted if name not in given and not name.endswith(COUNTER)],
        [name for name in given if name not in wanted],
        [name for name in wanted if name in given and given[name] != wanted[name]],
    )


def refuse_others(state: Mapping[str, Tensor], what: str) -> None:
    sound = {name: isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()}
    others = [f"{name!r} ({type(value).__name__})" for name, value in state.items() if not sound[name]]
    if others:
        raise WeightsError(
            f"{plain(what)} holds what is not a tensor by its name: {some(others)}", "give a state dict of tensors"
        )


def likely(wanted: Shapes, given: Shapes, found: Match) -> tuple[str, str]:
    """Why weights do not fit, and what to do."""
    head, wrong = head_in(wanted), [*found.missing, *found.unexpected, *found.mismatched]
    for name, axis, thing in ((head[0], 0, "classes"), (first_in(wanted), 1, "channels")):
        has, wants = given.get(name, ()), wanted.get(name, ())
        fits = len(has) == len(wants) > axis and has[axis] != wants[axis]
        if fits and set(wrong) <= {name, *(head if axis == 0 else ())}:
            fix = "fine-tune: resnet train DATA --weights FILE"
            return f"it is for {has[axis]} {thing} and the network for {wants[axis]}; ", fix
    parts = {name.partition(".")[0] for name in wrong}
    if parts == {"norm"} and "norm.weight" in wanted and "norm.weight" not in given:
        cause = "it is of a network without a norm behind its last map (as kuangliu's pre-activation networks), which "
        return cause + "this network has: its answers would be others; ", ALONE
    these, those = alike(given), alike(wanted)
    if these and these != those:
        ours = f", not {' or '.join(those[:2])}" if those else ""
        return f"it is {' or '.join(these[:2])}{ours}; ", f"use the network {these[0]} (--model {these[0]})"
    if wrong == [name for name in head if name in wanted]:
        fix = "begin a head afresh: --allow-partial --classes A,B,... (in Python num_classes=N)"
        return "it has no head; ", fix
    if set(wrong) == {name for name in wanted if name.endswith(RUNNING)}:
        cause = "it has no running means and variances, as dict(model.named_parameters()) has none; "
        return cause, "where it was made, save model.state_dict(), which has them too"
    if wrong and wrong == found.unexpected:
        fix = "leave the rest out: --allow-partial, or in Python take it out of the state dict"
        return "it has all that the network has, and more; ", fix
    return "", ALONE


def alike(given: Shapes) -> list[str]:
    """The networks of the zoo that have these tensors, whatever their classes and channels."""
    body = essence(given)
    return [name for name, spec in zoo.ZOO.items() if body == essence(shapes(lay_out(spec)))]


def essence(given: Shapes) -> dict[str, tuple[int, ...]]:
    first, head = first_in(given), head_in(given)
    kept = {name: shape for name, shape in given.items() if name not in head and not name.endswith(COUNTER)}
    return {name: shape[:1] + shape[2:] if name == first else shape for name, shape in kept.items()}


def first_in(names: Collection[str]) -> str:
    """The weight of the first convolution among the tensors of a network."""
    return next((name for name in FIRSTS if name in names), FIRSTS[0])


def head_in(names: Collection[str]) -> tuple[str, str]:
    """Weight and bias of the head among the tensors of a network."""
    head = next((head for head in HEADS if f"{head}.weight" in names), HEADS[0])
    return f"{head}.weight", f"{head}.bias"


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
    model: Network,
    state: Mapping[str, Tensor],
    *,
    old_classes: Sequence[str] | None,
    new_classes: Sequence[str],
    what: str = "the weights",
    partial: bool = False,
) -> Transfer:
    """Weights to fine-tune: all but the head must fit; the head keeps the rows of classes that keep their names.

    ``old_classes`` are those of the weights, in order, or None where they are not known; ``new_classes`` those of the
    model, whose head is begun already and stays so where no row comes over. A first convolution for other channels is
    adapted. With ``partial`` the body need not fit whole: what does not stays begun.
    Raises WeightsError as ``fill`` does, UsageError where the names are not as many as the rows, and has then
    changed nothing.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    state, adapted = adapt_first(state, model.in_chans)
    name = HEAD[model.plan.family]
    ends = (f"{name}.weight", f"{name}.bias")
    body = {name: value for name, value in state.items() if name not in ends}
    wanted = {name: shape for name, shape in own.items() if name not in ends}
    found = check(wanted, body, what, partial=partial)
    kept = keep_rows(model.get_classifier(), state, old_classes or (), new_classes)
    put(model, {name: body[name] for name in found.loaded})
    head = [name for name in ends if name in own]
    afresh = head if len(kept) < len(new_classes) or not kept else []
    begun = [name for name in wanted if name not in found.loaded]
    taken = [*found.loaded, *(name for name in head if name not in afresh)]
    return Transfer(taken, [*begun, *afresh], adapted, kept, found)


def keep_rows(head: nn.Module, state: Mapping[str, Tensor], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Copy the head's rows of classes that keep their names, and say which. A head without bias has a bias of 0."""
    ends = head_in(state)
    if not isinstance(head, nn.Linear) or ends[0] not in state or not old or not new:
        return []
    weight = state[ends[0]]
    bias = state.get(ends[1], torch.zeros(len(weight)))
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
    first = first_in(state)
    weight = state.get(first)
    if weight is None or weight.ndim < 3 or weight.shape[1] in (0, channels):
        return dict(state), []
    old = weight.shape[1]
    if channels == 1:
        fitted, how = weight.sum(1, keepdim=True), "summed into 1"
    else:
        fitted = weight.repeat(1, -(-channels // old), *(1,) * (weight.ndim - 2))[:, :channels] * (old / channels)
        how = f"repeated for {channels} and scaled by {old}/{channels}"
    return {**state, first: fitted}, [f"{first}: the weights of {old} channel{'s' * (old > 1)} are {how}"]
