"""Heads that see the maps of several stages, cell by cell."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from resnetkit import Spec, cost, planfile
from resnetkit.describe import parts
from resnetkit.engine.solve import Head
from resnetkit.errors import UsageError
from resnetkit.finetuning import Mode, tapped
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.plan import Plan
from resnetkit.run import Run
from resnetkit.sights import sights
from resnetkit.units import Taps
from resnetkit.walk import shapes
from resnetkit.zoo import find

NAMES = ("resnet20", "preact_resnet18_cifar", "mobilenetv2_050", "shufflenet_v2_x0_5", "resnet18")


def plan_of(name: str, taps: Taps | None, classes: int = 7) -> Plan:
    return replace(lay_out(find(name)), taps=taps, classes=classes)


def made(name: str, taps: Taps | None) -> Network:
    torch.manual_seed(0)
    return build(plan_of(name, taps)).eval().double()


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("taps", [Taps(0, 1), Taps(1, 2), Taps(2, 4)])
def test_the_head_sees_cells_of_each_map(name: str, taps: Taps) -> None:
    model, x = made(name, taps), images()
    last, maps = model.forward_intermediates(x)
    stages = [m for m, level in zip(maps, model.feature_info, strict=True) if level["index"] > 0]
    if name.startswith("mobilenet"):  # whose pyramid has the last stage of each size alone
        stages = [model.forward_first(x, s + 1) for s in range(len(model.plan.stages))]
    seen = [*stages[taps.first : -1], last]
    wanted = torch.cat([nn.functional.adaptive_avg_pool2d(m, taps.cells).flatten(1) for m in seen], 1)
    torch.testing.assert_close(model.forward_features(x), wanted, atol=0, rtol=0)
    head = model.get_classifier()
    torch.testing.assert_close(model(x), head(wanted), atol=0, rtol=0)
    assert model.head_hidden_size == wanted.shape[1]
    assert model.num_features == last.shape[1]


@pytest.mark.parametrize("name", NAMES)
def test_it_can_go_on_from_the_first_map_that_it_sees(name: str) -> None:
    model, x = made(name, Taps(1, 2)), images()
    for stages in (1, 2, len(model.plan.stages)):
        first = model.forward_first(x, stages) if stages < len(model.plan.stages) else model.forward_features(x)
        torch.testing.assert_close(model.forward_rest(first, stages), model(x), atol=0, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_it_holds(name: str) -> None:
    model = made(name, Taps(1, 2))
    assert shapes(model.plan) == {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert cost.totals(model.plan).parameters == sum(p.numel() for p in model.parameters())
    assert planfile.from_json(planfile.to_json(model.plan)) == model.plan
    assert "taps" not in planfile.to_json(plan_of(name, None))
    said = {part: layers for part, layers, _ in parts(model.plan)}
    assert said["avgpool"].startswith("means of 2x2 cells of each map from ")


def test_new_classes_keep_what_it_sees_and_a_map_alone_does_not() -> None:
    model = made("resnet20", Taps(0, 2))
    model.reset_classifier(3)
    assert model(images()).shape == (2, 3)
    assert model.plan.taps == Taps(0, 2)
    model.reset_classifier(0, "")
    assert model(images()).shape == (2, 64, 16, 16)
    model.reset_classifier(5, "avg")
    assert model(images()).shape == (2, 5)
    assert model.head_hidden_size == 64


def test_half_floats_are_averaged_in_whole_ones_under_autocast() -> None:
    model = made("resnet20", Taps(0, 2))
    assert model.bfloat16()(images().bfloat16()).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert model.float().forward_features(images().float()).dtype == torch.float32


@pytest.mark.parametrize("taps", [Taps(3, 1), Taps(-1, 1), Taps(0, 0), Taps(0, 65), Taps(True, 1)])
def test_what_cannot_be_seen_is_refused(taps: Taps) -> None:
    with pytest.raises(ValueError, match=r"plan\.taps\.(first|cells) must be a whole number from"):
        plan_of("resnet20", taps)


def test_vectors_have_no_cells() -> None:
    plan = lay_out(Spec(ndim=0, stem="1x1", pool="none", size=1, block="basic", depths=(1,), widths=(8,), channels=4))
    with pytest.raises(ValueError, match=r"plan\.taps must be nothing where vectors go in"):
        replace(plan, taps=Taps(0, 1))


@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_scripting_says_what_to_do_instead() -> None:
    with pytest.raises(UsageError, match=r"torch\.jit\.trace or torch\.export"):
        torch.jit.script(made("resnet20", Taps(0, 1)))
    traced = torch.jit.trace(made("resnet20", Taps(0, 2)), images())
    torch.testing.assert_close(traced(images()), made("resnet20", Taps(0, 2))(images()))


@pytest.mark.parametrize(
    ("name", "pictures", "cells"), [("resnet20", 100, 4), ("resnet18", 100, 2), ("resnet50", 100, 1)]
)
def test_as_many_cells_as_a_head_can_be_solved_on(name: str, pictures: int, cells: int) -> None:
    plan = lay_out(find(name))
    assert tapped(Run(), plan, Mode("head", len(plan.stages), 4), pictures).taps == Taps(0, cells)


def test_who_sees_what_is_as_asked() -> None:
    plan = lay_out(find("resnet20"))
    assert tapped(Run(), plan, Mode("stages", 2, 4), 100).taps is None
    assert tapped(Run(), plan, Mode("full"), 100).taps is None
    assert tapped(Run(), plan, Mode("head", 3, 1), 10**6).taps == Taps(0, 1)  # more take too much memory
    assert tapped(Run(), plan, Mode("head", 3, 1), 10**7).taps is None
    assert tapped(Run(head_cells=0), plan, Mode("head", 3, 4), 100).taps is None
    assert tapped(Run(head_cells=8), plan, Mode("head", 3, 4), 100).taps == Taps(0, 8)
    assert tapped(Run(head_cells=2), plan, Mode("stages", 2, 4), 100).taps == Taps(1, 2)
    assert tapped(Run(head_cells=2), plan, Mode("full"), 100).taps == Taps(0, 2)
    with pytest.raises(UsageError, match="take more than 1 GB"):
        tapped(Run(head_cells=8), plan, Mode("head", 3, 4), 10_000)
    with pytest.raises(UsageError, match="--head-cells 64 is a head of 458,752 numbers, of which at most 16,384 are"):
        tapped(Run(head_cells=64), plan, Mode("head", 3, 4), 100)


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_a_head_of_the_last_map_is_one_of_all(ndim: int) -> None:
    spec = Spec(block="basic", depths=(1, 1), widths=(4, 8), size=16, ndim=ndim, classes=3, pool="none")  # type: ignore[arg-type]
    plan = replace(lay_out(spec), taps=Taps(0, 2))
    every, few = sights(plan)
    features = torch.randn(5, plan.features)
    head = Head(torch.randn(3, plan.width), torch.randn(3))
    assert few.seen(features).shape == (5, plan.width)
    torch.testing.assert_close(few.told(head, plan.features)(features), head(few.seen(features)))
    assert every.seen(features) is features
    model = build(plan).eval()
    x = torch.randn(2, 3, *[16] * ndim)
    mean = model.forward_intermediates(x)[0].flatten(2).mean(2)
    torch.testing.assert_close(few.seen(model.forward_features(x)), mean)


def test_of_one_map_there_is_one_sight() -> None:
    (only,) = sights(plan_of("resnet20", None))
    assert only.seen(torch.ones(2, 64)).shape == (2, 64)
