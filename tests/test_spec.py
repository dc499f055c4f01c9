"""A spec says what is wrong with it; the zoo holds the networks of the papers."""

import re
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from resnetkit.errors import UsageError
from resnetkit.layout import lay_out
from resnetkit.spec import Spec
from resnetkit.zoo import ZOO, find, names


def test_the_defaults_are_resnet50() -> None:
    assert Spec() == find("resnet50")
    with pytest.raises(FrozenInstanceError):
        Spec().classes = 2  # type: ignore[misc]


WRONG: list[tuple[str, Any]] = [
    ("block", "Basic"),
    ("block", None),
    ("depths", ()),
    ("depths", [3, 4, 6, 3]),
    ("depths", 4),
    ("depths", (3, 4, 0, 3)),
    ("depths", (3, 4, 2.0, 3)),
    ("depths", (3, 4, True, 3)),
    ("widths", (64, 128, 256)),
    ("widths", (64, 128, -256, 512)),
    ("widths", "64"),
    ("stem", "5x5"),
    ("stem", 7),
    ("pool", True),
    ("pool", "no"),
    ("stem", "3x7x7"),  # of clips
    ("stem_width", 0),
    ("cardinality", 0),
    ("base_width", 64.0),
    ("stride", (2, 2, 2)),
    ("stride_at", "1x1"),
    ("kernel", 4),
    ("output_stride", 4),
    ("preact", 1),
    ("down", "max"),
    ("attention", "SE"),
    ("reduction", 0),
    ("reduction", 8),  # without an attention
    ("blur", "yes"),
    ("norm", "layer"),
    ("eps", 0.0),
    ("eps", 1),
    ("bias", 0),
    ("bare", None),
    ("activation", "none"),
    ("shortcut", "A"),
    ("shortcut", ["pad"]),
    ("channels", 0),
    ("channels", "3"),
    ("classes", -1),
    ("classes", True),
    ("classes", 10**9),
    ("size", 0),
    ("size", 224.0),
    ("size", (224, 224, 3)),
    ("ndim", 4),
    ("ndim", False),
    ("ndim", 0),  # with the stem, the pool and the size of pictures
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_field_is_named(field: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        replace(Spec(), **{field: value})
    assert caught.value.what.startswith(f"{field} ")
    assert field in caught.value.fix


@pytest.mark.parametrize("change", [{"stem": "3x3"}, {"pool": "max"}, {"size": 8}], ids=str)
def test_vectors_have_no_sides(change: dict[str, Any]) -> None:
    points = Spec(ndim=0, stem="1x1", pool="none", size=1)
    assert all(layer.kernel == layer.stride == 1 for block in lay_out(points).stages[1] for layer in block.branch)
    with pytest.raises(UsageError, match="ndim 0 is for vectors"):
        replace(points, **change)


def test_zeros_cannot_take_channels_away() -> None:
    falling = Spec(depths=(1, 1), widths=(64, 32))
    assert lay_out(falling).features == 128
    with pytest.raises(UsageError, match=r"widths .* fall"):
        replace(falling, shortcut="pad")


def test_a_plain_network_is_made_of_basic_blocks() -> None:
    with pytest.raises(UsageError, match="shortcut 'none'"):
        Spec(shortcut="none")


PAPER = [name for name in ZOO if re.fullmatch(r"(resnet|plain|preact_resnet)\d+(_cifar)?", name) and name != "resnet8"]


@pytest.mark.parametrize("name", PAPER)
def test_the_name_counts_the_layers(name: str) -> None:
    """A network is called by its layers with weights: the stem, the branches and the head, not the projections."""
    plan = lay_out(find(name))
    layers = 1 + sum(len(block.branch) for stage in plan.stages for block in stage) + 1
    assert layers == int(re.sub(r"\D", "", name))


@pytest.mark.parametrize("name", PAPER)
def test_the_name_says_what_it_is_for(name: str) -> None:
    spec = find(name)
    assert isinstance(spec, Spec)
    small = name.endswith("_cifar") or len(spec.depths) == 3
    assert (spec.size, spec.classes, spec.stem, spec.pool) == (
        (32, 10, "3x3", "none") if small else (224, 1000, "7x7", "max")
    )
    thin = spec.widths == (16, 32, 64) and not spec.preact
    assert spec.shortcut == ("none" if name.startswith("plain") else "pad" if thin else "project")


def test_names_are_found_by_pattern() -> None:
    assert names() == list(ZOO)
    assert len(names()) == 127
    assert names("resnet1?") == ["resnet18"]
    assert names("resnet*_cifar") == [f"resnet{n}_cifar" for n in (18, 34, 50, 101, 152)]
    assert names("plain1") == ["plain18", "plain110"]
    assert names("n18") == ["plain18"]
    assert names("vgg") == []


def test_an_unknown_name_is_answered_with_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"there is no network 'resnet51'; did you mean .*resnet50") as caught:
        find("resnet51")
    assert "resnet models" in caught.value.fix
    with pytest.raises(UsageError, match="there is no network 'vgg'") as caught:
        find("vgg")
    assert "did you mean" not in caught.value.what
