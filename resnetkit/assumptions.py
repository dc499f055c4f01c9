"""What a bare state dict does not say of itself, assumed as its makers usually mean it, and every assumption said."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from torch import Tensor

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.layout import lay_out
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.specfile import find, says, title
from resnetkit.units import each
from resnetkit.walk import HEAD, first_name, shapes
from resnetkit.weights import check

# What networks of public checkpoints were shown (torchvision's values, which nearly all others took over).
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def named(count: int, classes: Sequence[str] | None, said: list[str]) -> tuple[str, ...]:
    """The names of ``count`` classes: those that are given, else numbers, which is ``said``."""
    if classes is None:
        said.append(f"classes: the numbers 0 to {count - 1}; --classes names them")
        return tuple(str(i) for i in range(count))
    if len(classes) != count:
        raise UsageError(f"{len(classes)} classes are named, but the weights have {count}", "name them all, in order")
    return tuple(classes)


def amend(
    card: Card,
    *,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    crop: float | None = None,
) -> tuple[Card, list[str]]:
    """The card of weights that say how they see, with what somebody says otherwise, and a sentence for what is open.

    Raises UsageError for values that do not fit.
    """
    said: list[str] = []
    seen, names = card.preprocess, named(len(card.classes), classes, said)
    try:
        seen = replace(
            seen,
            size=seen.size if size is None else (size, size),
            crop=seen.crop if crop is None else crop,
            mean=seen.mean if mean is None else tuple(mean),
            std=seen.std if std is None else tuple(std),
        )
        return replace(card, classes=names, preprocess=seen), said
    except ValueError as error:
        raise unfit(error, seen.channels) from error


def unfit(error: ValueError, channels: int) -> UsageError:
    if not isinstance(error, UsageError):  # of the card
        return UsageError(str(error), "give each class once")
    name = error.what.removeprefix("preprocess: ").partition(" ")[0]
    values = f"{channels} value{'s' * (channels > 1)} for" if name in IMAGENET else "another"
    return UsageError(error.what, f"give {values} --{name}")


def assume(
    state: Mapping[str, Tensor],
    model: str,
    *,
    what: str,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    crop: float | None = None,
    partial: bool = False,
) -> tuple[Card, list[str]]:
    """The card of a network whose weights came alone, and a sentence for all that nobody said.

    ``what`` names the weights in errors. Raises WeightsError where they have no first convolution or head, unless they
    may be ``partial``, or for another number of channels than 1 or 3; UsageError for values that do not fit.
    """
    spec = find(model)
    plan = lay_out(spec)
    usual = shapes(plan)
    first, head = f"{first_name(plan)}.weight", f"{HEAD[plan.family]}.weight"
    found = {
        name: int(state[name].shape[axis])
        for name, axis in ((first, 1), (head, 0))
        if name in state and state[name].ndim == len(usual[name]) and state[name].shape[axis] > 0
    }
    if len(found) < 2 and not partial:
        with suppress(ValueError):
            plan = with_io(plan, channels=found.get(first), classes=found.get(head))
        check(plan, state, what)  # which says what else does not fit
    for field, name in (("channels", first), ("classes", head)):
        if name in found and says(model, field) not in (None, found[name]):
            raise WeightsError(
                f"{plain(what)} is for {found[name]} {field}, and {title(model)} says {says(model, field)}",
                f"leave {field} out of the network",
            )
    said: list[str] = []
    channels = found.get(first, spec.channels)
    if channels not in (1, 3):
        fix = f"create_model({model!r}, in_chans={channels}, weights={what!r}) takes them"
        raise WeightsError(f"{plain(what)} is for {channels} channels, and model files are for pictures of 1 or 3", fix)
    count = found.get(head, spec.classes if classes is None else len(classes))
    names = named(count, classes, said)
    if size is None:
        size = max(each(spec.size, 2))
        said.append(f"size: {size}x{size}, which {model} is made for; --size changes it")
    if crop is None:
        crop = 0.875 if size > 64 else 1.0
        said.append(f"crop: the middle {crop:.1%} of the shorter side; --crop changes it")
    scale = {"mean": mean, "std": std}
    for name, values in IMAGENET.items():
        if scale[name] is None:
            scale[name] = values if channels == 3 else (sum(values) / 3,) * channels
            said.append(f"{name}: {' '.join(f'{v:.4g}' for v in scale[name] or ())}, ImageNet's; --{name} changes it")
    try:
        preprocess = Preprocess(
            size=(size, size),
            crop=crop,
            mean=tuple(scale["mean"] or ()),
            std=tuple(scale["std"] or ()),
            channels=channels,
        )
        plan = with_io(plan, channels=channels, classes=count)
        return Card(model=title(model), plan=plan, classes=names, preprocess=preprocess), said
    except ValueError as error:
        raise unfit(error, channels) from error
