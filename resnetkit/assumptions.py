"""What a bare state dict does not say of itself, assumed as its makers usually mean it, and every assumption said."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.modelfile import Card
from resnetkit.plan import lay_out, with_io
from resnetkit.weights import shapes
from resnetkit.zoo import find

# What networks of public checkpoints were shown (torchvision's values, which nearly all others took over).
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


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
    may be ``partial``; UsageError for values that do not fit.
    """
    spec = find(model)
    usual = shapes(lay_out(spec))
    first, head = next(iter(usual)), "fc.weight"
    found = {}
    for name, axis in ((first, 1), (head, 0)):
        if name in state and state[name].ndim == len(usual[name]) and state[name].shape[axis] > 0:
            found[name] = int(state[name].shape[axis])
        elif not partial:
            raise WeightsError(
                f"{plain(what)} has no {name}, so it is not a {model}", "resnet models lists the networks"
            )
    said = []
    channels = found.get(first, spec.channels)
    count = found.get(head, spec.classes if classes is None else len(classes))
    if classes is None:
        classes = [str(i) for i in range(count)]
        said.append(f"classes: the numbers 0 to {count - 1}; --classes names them")
    if len(classes) != count:
        raise UsageError(f"{len(classes)} classes are named, but the weights have {count}", "name them all, in order")
    if size is None:
        size = spec.size
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
        plan = with_io(lay_out(spec), channels=channels, classes=count)
        return Card(model=model, plan=plan, classes=tuple(classes), preprocess=preprocess), said
    except ValueError as error:
        what = error.what if isinstance(error, UsageError) else str(error)
        raise UsageError(what, f"give {channels} values for --mean and --std, and each class once") from error
