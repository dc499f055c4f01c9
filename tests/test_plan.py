"""A plan counts every channel, and is sound wherever it comes from."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from resnetkit.layout import lay_out
from resnetkit.plan import Plan, with_io
from resnetkit.planfile import from_json, to_json
from resnetkit.spec import Spec
from resnetkit.units import Block, Layer, Pool, Shortcut
from resnetkit.zoo import ZOO, find

# One block of every kind of shortcut that a residual network can have, and the smallest of everything else.
SMALL = lay_out(Spec(block="basic", depths=(1, 1), widths=(4, 8), shortcut="pad", classes=2, size=16))
MIXED = lay_out(Spec(depths=(2, 1), widths=(2, 4), classes=2, size=16))
PLAIN = lay_out(Spec(block="basic", depths=(1, 1), widths=(4, 8), shortcut="none", stem="3x3", pool="none", classes=0))


def test_resnet50_is_counted_out() -> None:
    plan = lay_out(find("resnet50"))
    assert plan.stem == (Layer(3, 64, 7, 2, padding=3),)
    assert plan.pool == Pool(3, 2, 1)
    first, *_ = plan.stages[1]
    assert first == Block(
        "bottleneck",
        (Layer(256, 128, 1), Layer(128, 128, 3, 2, padding=1), Layer(128, 512, 1, act="none")),
        Shortcut("project", Layer(256, 512, 1, 2, act="none"), 2),
    )
    assert [block.shortcut.kind for block in plan.stages[1]] == ["project", "identity", "identity", "identity"]
    assert (plan.channels, plan.features, plan.reduction, plan.classes, plan.size) == (3, 2048, 32, 1000, 224)


def test_option_a_pads_half_before_and_half_after() -> None:
    kinds = [block.shortcut for block in lay_out(find("resnet20")).stages[1]]
    assert kinds[0] == Shortcut("pad", None, 2, (8, 8))
    assert kinds[1:] == [Shortcut("identity"), Shortcut("identity")]
    odd = lay_out(Spec(block="basic", depths=(1, 1), widths=(4, 7), shortcut="pad"))
    assert odd.stages[1][0].shortcut.pad == (1, 2)


def test_plain_blocks_have_no_shortcut() -> None:
    blocks = [block for stage in lay_out(find("plain20")).stages for block in stage]
    assert {(block.kind, block.shortcut) for block in blocks} == {("plain", Shortcut("none"))}


@pytest.mark.parametrize("name", ZOO)
def test_json_brings_every_plan_back(name: str) -> None:
    plan = lay_out(find(name))
    assert from_json(json.loads(json.dumps(to_json(plan), allow_nan=False))) == plan


def test_json_is_json_already() -> None:
    assert json.loads(json.dumps(to_json(MIXED))) == to_json(MIXED)


def places(value: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to everything in a document."""
    yield where
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*where, key))


def said(where: tuple[str | int, ...]) -> str:
    return "plan" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in where)


def changed(plan: Plan, where: tuple[str | int, ...], value: Any) -> Any:
    document = to_json(plan)
    if not where:
        return value
    inner = document
    for key in where[:-1]:
        inner = inner[key]  # type: ignore[index]
    inner[where[-1]] = value  # type: ignore[index]
    return document


def read(document: object) -> Plan | str:
    """A plan, or what is wrong."""
    try:
        return from_json(document)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("plan", [SMALL, MIXED, PLAIN], ids=["small", "mixed", "plain"])
def test_every_broken_entry_is_refused(plan: Plan) -> None:
    """Whatever stands anywhere, the answer is another sound plan or the name of the place."""
    wrong: list[Any] = [
        "",
        "x",
        "relu",
        "pad",
        None,
        True,
        -1,
        0,
        2,
        1.5,
        10**12,
        float("nan"),
        float("inf"),
        [],
        {},
        [[]],
        [None],
        [3, 3],
    ]
    refused = 0
    for where in places(to_json(plan)):
        for value in wrong:
            document = changed(plan, where, copy.deepcopy(value))
            answer = read(document)
            if isinstance(answer, Plan):
                assert json.dumps(to_json(answer)) == json.dumps(document)
                continue
            refused += 1
            part = ".".join(said(where).split(".")[:2])
            assert answer.startswith(part) or "to fit what it meets" in answer, (where, value)
    assert refused > 1000


@pytest.mark.parametrize("plan", [SMALL, MIXED, PLAIN], ids=["small", "mixed", "plain"])
def test_missing_and_unknown_entries_are_named(plan: Plan) -> None:
    for where in places(to_json(plan)):
        document = to_json(plan)
        inner: Any = document
        for key in where:
            inner = inner[key]
        if not isinstance(inner, dict):
            continue
        for key in list(inner):
            kept = inner.pop(key)
            with pytest.raises(ValueError) as caught:
                from_json(document)
            assert str(caught.value) == f"{said(where)} has no '{key}'"
            inner[key] = kept
        inner["colour"] = 1
        with pytest.raises(ValueError) as caught:
            from_json(document)
        assert str(caught.value) == f"{said(where)} has an entry 'colour' that this version does not know"


VECTORS = lay_out(Spec(depths=(1, 1), widths=(2, 4), ndim=0, stem="1x1", pool="none", classes=2, size=1))


def test_a_plan_says_where_its_input_has_no_sides_and_only_there() -> None:
    assert to_json(VECTORS)["ndim"] == 0
    assert from_json(to_json(VECTORS)) == VECTORS
    assert "ndim" not in to_json(SMALL), "files of before there were vectors stay as they are"
    assert from_json(to_json(SMALL)).ndim == 2


BROKEN: list[tuple[Plan, tuple[str | int, ...], Any, str]] = [
    (SMALL, ("stem", 0, "c_in"), 0, "plan.stem[0].c_in must be a whole number from 1 to 65536, not 0"),
    (SMALL, ("stem", 0, "c_out"), 5, "plan.stages[0][0].branch[0].c_in must be 5"),
    (SMALL, ("stem", 0, "padding"), 2, "plan.stem[0].padding must be 3, not 2"),
    (SMALL, ("stem", 0, "kernel"), 4, "plan.stem[0].padding cannot be even"),
    (SMALL, ("stem", 0, "groups"), 2, "plan.stem[0].groups must divide 3 and 4, not be 2"),
    (SMALL, ("stem", 0, "eps"), 0.0, "plan.stem[0].eps must be nothing or a number from 0 to 1, not 0.0"),
    (SMALL, ("stem", 0, "eps"), 1.5, "plan.stem[0].eps must be nothing or a number from 0 to 1, not 1.5"),
    (SMALL, ("stem", 0, "eps"), 1, "plan.stem[0].eps must be nothing or a number from 0 to 1, not 1"),
    (SMALL, ("stem", 0, "groups"), True, "plan.stem[0].groups must be a whole number from 1 to 65536, not True"),
    (SMALL, ("stem", 0, "bias"), 0, "plan.stem[0].bias must be true or false, not 0"),
    (SMALL, ("stem", 0, "act"), "none", "plan.stem[0].act must be 'relu' or 'relu6' or"),
    (SMALL, ("pool", "padding"), 0, "plan.pool.padding must be 1, not 0"),
    (SMALL, ("stages",), [], "plan.stages must hold a stage"),
    (SMALL, ("stages", 1), [], "plan.stages[1] must hold a block"),
    (SMALL, ("stages", 0, 0, "kind"), "bottleneck", "plan.stages[0][0].branch must hold 3 layers, not 2"),
    (SMALL, ("stages", 0, 0, "kind"), "plain", "plan.stages[0][0].shortcut.kind must be 'none', not 'identity'"),
    (SMALL, ("stages", 0, 0, "act"), "none", "plan.stages[0][0].act must be 'relu' or 'relu6' or"),
    (SMALL, ("stages", 0, 0, "branch", 1, "c_in"), 5, "plan.stages[0][0].branch[1].c_in must be 4"),
    (SMALL, ("stages", 0, 0, "branch", 1, "act"), "relu", "plan.stages[0][0].branch[1].act must be 'none', not 'relu'"),
    (SMALL, ("stages", 0, 0, "branch", 0, "stride"), 2, "plan.stages[0][0].shortcut.stride must be 2"),
    (
        SMALL,
        ("stages", 1, 0, "shortcut", "pad"),
        [2, 1],
        "plan.stages[1][0].shortcut brings 7 channels to a branch of 8",
    ),
    (
        SMALL,
        ("stages", 1, 0, "shortcut", "pad"),
        [2, 1, 1],
        "plan.stages[1][0].shortcut.pad must hold two numbers, not 3",
    ),
    (MIXED, ("stages", 0, 0, "shortcut", "pad"), [1, 1], "plan.stages[0][0].shortcut.pad[0] must be 0, not 1"),
    (SMALL, ("stages", 1, 0, "shortcut", "pad"), [4], "plan.stages[1][0].shortcut.pad must hold two numbers, not 1"),
    (SMALL, ("stages", 1, 0, "shortcut", "stride"), 1, "plan.stages[1][0].shortcut.stride must be 2"),
    (
        SMALL,
        ("stages", 1, 0, "shortcut", "kind"),
        "project",
        "plan.stages[1][0].shortcut.layer is there for a projection",
    ),
    (MIXED, ("stages", 0, 0, "shortcut", "layer"), None, "plan.stages[0][0].shortcut.layer is there for a projection"),
    (MIXED, ("stages", 1, 0, "shortcut", "layer", "stride"), 1, "plan.stages[1][0].shortcut.layer.stride must be 2"),
    (MIXED, ("stages", 1, 0, "shortcut", "layer", "c_out"), 8, "plan.stages[1][0].shortcut.layer.c_out must be 16"),
    (
        MIXED,
        ("stages", 0, 0, "shortcut", "layer", "act"),
        "relu",
        "plan.stages[0][0].shortcut.layer.act must be 'none'",
    ),
    (SMALL, ("classes",), -1, "plan.classes must be a whole number from 0 to 1000000, not -1"),
    (SMALL, ("size",), "16", "plan.size must be a whole number from 1 to 65536, not '16'"),
    (SMALL, (), [], "plan must be an object, not []"),
    (SMALL, ("ndim",), 0, "plan.pool must be nothing where vectors go in"),
    (VECTORS, ("ndim",), 4, "plan.ndim must be 0, 1, 2 or 3, not 4"),
    (VECTORS, ("ndim",), False, "plan.ndim must be 0, 1, 2 or 3, not False"),
    (VECTORS, ("pool",), {"kernel": 3, "stride": 2, "padding": 1}, "plan.pool must be nothing where vectors go in"),
    (VECTORS, ("size",), 8, "plan.size must be 1, not 8"),
    (VECTORS, ("stem", 0, "stride"), 2, "plan.stem[0] must have kernels, strides and groups of 1"),
    (VECTORS, ("stages", 0, 0, "branch", 1, "groups"), 2, "plan.stages[0][0] must have kernels, strides and groups"),
]


@pytest.mark.parametrize(("plan", "where", "value", "message"), BROKEN)
def test_the_place_is_named(plan: Plan, where: tuple[str | int, ...], value: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_json(changed(plan, where, value))
    assert str(caught.value).startswith(message)


def test_a_long_value_is_not_recited() -> None:
    with pytest.raises(ValueError) as caught:
        from_json(changed(SMALL, ("stages", 0, 0, "kind"), "x" * 10**6))
    assert len(str(caught.value)) < 200


def test_no_unsound_plan_can_be_made() -> None:
    with pytest.raises(ValueError, match=r"plan.stem must hold one layer or three, not 2"):
        replace(SMALL, stem=SMALL.stem * 2)


def test_input_and_classes_are_replaced() -> None:
    plan = lay_out(find("resnet18"))
    other = with_io(plan, channels=1, classes=7)
    assert (other.channels, other.classes) == (1, 7)
    assert other.stages == plan.stages
    assert with_io(other, channels=3, classes=1000) == plan == with_io(plan)
    assert with_io(plan, classes=0).classes == 0
    with pytest.raises(ValueError, match=r"plan.classes"):
        with_io(plan, classes=-1)
