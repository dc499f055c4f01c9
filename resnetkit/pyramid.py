"""The maps that a network makes on its way, from fine to coarse: their channels, reductions and names, as in timm."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, TypedDict

from resnetkit.errors import UsageError, some
from resnetkit.plan import Plan
from resnetkit.spec import Sides
from resnetkit.units import each, product
from resnetkit.walk import HEAD, first_name, stage_name

# What published weights of colour pictures are used with, unless they say otherwise.
COLOUR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "crop_pct": 0.875, "interpolation": "bilinear"}


class Level(TypedDict):
    """One map of the pyramid."""

    num_chs: int  # channels
    reduction: int  # pixels of the input between neighbours of the map
    module: str  # that answers it
    index: int  # in the pyramid


def pyramid(plan: Plan) -> list[Level]:
    """The map of the stem before its pool, then that of each stage; of light networks the last one of each size."""
    strides = [layer.stride for layer in plan.stem]
    # Pre-activation networks have no norm in the stem: there the bare convolution answers.
    bare = plan.stem[-1].act == "none" or plan.family == "shufflenetv2"
    name = "conv1" if bare else "act1" if plan.family == "mobilenetv2" else "relu"
    levels = [Level(num_chs=plan.stem[-1].c_out, reduction=coarsest(strides), module=name, index=0)]
    strides += [plan.pool.stride, plan.pool.blur or 1] if plan.pool else []
    for s, stage in enumerate(plan.stages):
        strides += [block.stride for block in stage]
        module = stage_name(plan.family, s)
        if plan.family == "mobilenetv2" and levels[-1]["reduction"] == coarsest(strides):
            levels.pop()
        levels.append(Level(num_chs=stage[-1].c_out, reduction=coarsest(strides), module=module, index=len(levels)))
    return levels


def coarsest(strides: Sequence[Sides]) -> int:
    """Pixels between neighbours along the side where they are furthest apart."""
    return max(each(product(*strides), 1))


def take(count: int, indices: Sequence[int] | int | None) -> list[int]:
    """Which of ``count`` maps are meant: all, the last n, or those of these indices, negative ones from the end.

    Raises UsageError for an index that is not there or stands twice.
    """
    if indices is None:
        return list(range(count))
    asked = ""
    if type(indices) is int:
        asked, indices = f"the last {indices}", range(-min(indices, count + 1), 0)
    if isinstance(indices, int) or not all(type(i) is int for i in indices):  # a bool is an int to isinstance alone
        raise UsageError(f"maps are taken by whole numbers, not {indices!r}", f"use numbers from 0 to {count - 1}")
    taken = [count + i if i < 0 else i for i in indices]
    if not taken or len(set(taken)) < len(taken) or not all(0 <= i < count for i in taken):
        raise UsageError(
            f"the network has {count} maps, and these cannot be taken: {asked or some(indices) or 'none'}",
            f"name each once, from 0 to {count - 1}, or from -{count} to -1",
        )
    return taken


class FeatureInfo:
    """What the chosen maps of a pyramid are. Without ``idx`` an answer is about those; with it, about any."""

    def __init__(self, info: list[Level], out_indices: Sequence[int]) -> None:
        self.info, self.out_indices = info, tuple(out_indices)

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        found: list[Any] = [dict(level)[key] for level in self.info]
        return found[idx] if isinstance(idx, int) else [found[i] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(self, keys: Sequence[str] | None = None, idx: Sequence[int] | None = None) -> list[dict[str, Any]]:
        levels = [dict(self.info[i]) for i in (self.out_indices if idx is None else idx)]
        return [{key: level[key] for key in keys or level} for level in levels]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        return self.get("module", idx)

    def __getitem__(self, index: int) -> Level:
        return self.info[index]

    def __len__(self) -> int:
        return len(self.info)


def default_cfg(plan: Plan, seen: Mapping[str, Any]) -> dict[str, Any]:
    """What timm's users ask a network: what it takes, where its head and its first convolution are.

    ``seen`` is what is known of how its weights were trained to see, in the same words.
    """
    about: dict[str, Any] = {
        "num_classes": plan.classes,
        "input_size": (plan.channels, *each(plan.size, plan.ndim)),
        "first_conv": first_name(plan),
        "classifier": HEAD[plan.family],
    }
    about |= (COLOUR if plan.channels == 3 and plan.ndim == 2 else {}) | dict(seen)
    return about | {"pool_size": tuple(ceil(side / plan.reduction) for side in about["input_size"][1:])}
