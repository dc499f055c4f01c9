"""What a plan is said to cost is what its modules cost when they run."""

from dataclasses import replace
from math import prod
from typing import Any

import pytest
import torch
from peers import peer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from resnetkit.cost import brief, totals
from resnetkit.errors import UsageError
from resnetkit.layers import Blur, PadShortcut
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.model import ResNet
from resnetkit.network import Network
from resnetkit.plan import Plan
from resnetkit.spec import Spec
from resnetkit.units import Block, Layer, Shortcut
from resnetkit.walk import HEAD, rows
from resnetkit.zoo import ZOO, find

PUBLISHED = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet18_cifar": 11_173_962,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
}

# Everything that a layer can say and the zoo does not: groups, dilation, biases, no norm, another eps, odd zeros.
ODD = Plan(
    stem=(Layer(1, 6, 5, 3, padding=2, bias=True, eps=None),),
    pool=None,
    stages=(
        (
            Block(
                "basic",
                (
                    Layer(6, 9, 3, 2, dilation=2, padding=2, groups=3, bias=True),
                    Layer(9, 9, 1, eps=1e-3, act="none"),
                ),
                Shortcut("pad", None, 2, (1, 2)),
            ),
            Block(
                "bottleneck",
                (Layer(9, 4, 1, 3, eps=None), Layer(4, 4, 3, padding=1, groups=4), Layer(4, 9, 1, act="none")),
                Shortcut("project", Layer(9, 9, 1, 3, bias=True, eps=None, act="none"), 3),
            ),
        ),
    ),
    classes=5,
    size=64,
)


def meta(plan: Plan) -> Network:
    with torch.device("meta"):
        return build(plan).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert totals(lay_out(find(name))).parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_those_of_the_modules(name: str) -> None:
    plan = lay_out(find(name))
    model = meta(plan)
    assert totals(plan).parameters == sum(parameter.numel() for parameter in model.parameters())
    for row in rows(plan):
        own = model.get_submodule(row.name).parameters()
        assert row.parameters == sum(parameter.numel() for parameter in own), row.name


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_multiply_adds_are_what_torchvision_records(name: str) -> None:
    weights = peer("torchvision.models").get_model_weights(name).IMAGENET1K_V1
    assert round(totals(lay_out(find(name)), 224).macs / 1e9, 3) == weights.meta["_ops"]
    assert totals(lay_out(find(name))).parameters == weights.meta["num_params"]


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet18", 2.5), ("resnet34", 3.7), ("resnet50", 11.1), ("resnet101", 16.2), ("resnet152", 22.6)],
)
def test_activations_are_what_timm_publishes(name: str, millions: float) -> None:
    """The column ``macts`` of timm's benchmark tables at 224."""
    assert round(totals(lay_out(find(name))).activations / 1e6, 1) == millions


NETS = {
    "resnet18": lay_out(find("resnet18")),
    "resnet50": lay_out(find("resnet50")),
    "resnet18_cifar": lay_out(find("resnet18_cifar")),
    "resnet20": lay_out(find("resnet20")),
    "plain20": lay_out(find("plain20")),
    "wide pad": lay_out(Spec(depths=(2, 1, 1), widths=(4, 4, 7), shortcut="pad")),
    "resnet26t": lay_out(find("resnet26t")),
    "seresnet18": lay_out(find("seresnet18")),
    "resnetv2_18d": lay_out(find("resnetv2_18d")),
    "resnetrs50": lay_out(find("resnetrs50")),
    "resnet50_gn": lay_out(find("resnet50_gn")),
    "resnet8": lay_out(find("resnet8")),
    "wrn_16_4": lay_out(find("wrn_16_4")),
    "dilated": lay_out(Spec(block="basic", depths=(1, 1, 1, 1), widths=(4, 4, 4, 4), output_stride=8)),
    "blurred": lay_out(Spec(block="basic", depths=(1, 1), widths=(4, 4), stem="3x3", pool="none", blur=True)),
    "mobilenetv2_035": lay_out(find("mobilenetv2_035")),
    "shufflenet_v2_x0_5": lay_out(find("shufflenet_v2_x0_5")),
    "headless": lay_out(Spec(depths=(1,), widths=(4,), classes=0)),
    "odd": ODD,
}


SIZES = [(224, 224), (97, 65), (33, 250), (1, 1), (31, 2)]
# A filter needs a second point to reflect.
CASES = [(name, size) for name in NETS for size in SIZES if name != "blurred" or min(size) > 1]


@pytest.mark.parametrize(("name", "size"), CASES)
def test_every_row_is_what_hooks_measure(name: str, size: tuple[int, int]) -> None:
    plan = NETS[name]
    model = meta(plan)
    head = HEAD[plan.family]
    seen: dict[str, tuple[int, ...]] = {}

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _arguments: Any, output: Tensor) -> None:
            seen[name] = tuple(output.shape[1:])

        return hook

    counted = (
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.GroupNorm,
        nn.MaxPool2d,
        nn.AdaptiveAvgPool2d,
        nn.Linear,
        PadShortcut,
        Blur,
    )
    for module_name, module in model.named_modules():
        if isinstance(module, counted):
            module.register_forward_hook(watch(module_name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, plan.channels, *size, device="meta"))

    found = {row.name: row for row in rows(plan, size)}
    if plan.classes:
        assert found[head].shape == (*seen.pop(head), 1, 1)
    assert {row.name: row.shape for row in found.values() if row.name != head} == seen
    assert list(found) == [name for name, module in model.named_modules() if name in found]
    unpaid = 2 * sum(9 * prod(row.shape) for row in found.values() if row.kind == "blur")  # no weights are multiplied
    assert totals(plan, size).macs * 2 == counter.get_total_flops() - unpaid
    convolutions = [seen[name] for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    assert totals(plan, size).activations == sum(map(prod, convolutions))


def measured_field(plan: Plan) -> int:
    """Pixels in a row that reach one point of the last map: those which, not being numbers, make it no number.

    Unlike a gradient this also passes the windows of a maximum whole. In double precision torch multiplies plainly:
    a faster convolution could spread what is no number to neighbours that do not depend on it.
    """
    model = ResNet(plan).double().eval()
    width = 2 * totals(plan).receptive_field + 2 * plan.reduction
    point = model.forward_features(torch.zeros(1, plan.channels, 1, width).double()).shape[-1] // 2

    def depends(start: int, stop: int) -> bool:
        images = torch.zeros(1, plan.channels, 1, width).double()
        images[..., start:stop] = torch.nan
        return bool(model.forward_features(images)[0, :, 0, point].isnan().any())

    with torch.no_grad():
        first = search(lambda n: depends(0, n + 1), width)
        return search(lambda n: not depends(n, width), width) - first


def search(holds: Any, high: int) -> int:
    """The least number for which something holds that then holds for all above."""
    low = 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("resnet18", 435),
        ("resnet50", 427),  # 483 where the stride stands on the first 1x1, as in the paper
        ("plain18", 435),
        ("resnet20", 81),
    ],
)
def test_receptive_field_is_what_is_measured(name: str, field: int) -> None:
    spec = find(name)
    assert isinstance(spec, Spec)
    narrow = replace(spec, widths=(2, 4, 8, 16)[: len(spec.widths)])  # no width changes what a point depends on
    assert totals(lay_out(spec)).receptive_field == field == measured_field(lay_out(narrow))


def test_receptive_field_with_dilation() -> None:
    # 5, then 2 * 2 points 3 pixels apart, then nothing in the 1x1; stride 3 again, then 2 points 18 pixels apart
    assert totals(ODD).receptive_field == 5 + 4 * 3 + 2 * 18 == measured_field(ODD)


def test_receptive_field_on_the_way() -> None:
    field = {row.name: row.receptive_field for row in rows(lay_out(find("resnet18")))}
    assert [field[name] for name in ("conv1", "maxpool", "layer1.0.conv1", "layer1.1.bn2")] == [7, 11, 19, 43]
    assert (field["layer2.0.downsample.0"], field["layer2.0.conv2"]) == (43, 67)
    assert field["fc"] == field["avgpool"] == 435 + 6 * 32
    field = {row.name: row.receptive_field for row in rows(lay_out(find("resnet20")))}
    assert field["layer2.0.downsample"] == field["layer1.2.bn2"] == 15


def test_a_larger_picture_costs_more_and_weighs_the_same() -> None:
    plan = lay_out(find("resnet18"))
    assert totals(plan, (448, 448)) == totals(plan, 448)
    assert totals(plan, 448).parameters == totals(plan, 224).parameters
    assert totals(plan, 448).activations == 4 * totals(plan).activations
    assert totals(replace(plan, size=448)) == totals(plan, 448)


@pytest.mark.parametrize("size", [0, -1, 2.0, "224", (224,), (0, 5), (1, 2, 3), True])
def test_a_wrong_size_is_named(size: Any) -> None:
    with pytest.raises(UsageError, match=r"^size is "):
        rows(lay_out(find("resnet18")), size)


def test_few_multiply_adds_are_thousands() -> None:
    assert [brief(macs) for macs in (12_345, 999_499, 1_000_000, 1_814_073_344)] == ["12 K", "999 K", "1 M", "1,814 M"]


def test_totals_are_those_of_the_rows() -> None:
    """Equal blocks are counted together, but for those with a stride, whose maps differ."""
    plans = [lay_out(spec) for spec in ZOO.values()]
    plans += [lay_out(Spec(output_stride=8)), lay_out(Spec(blur=True, depths=(1, 3, 1, 5)))]
    thin = lay_out(Spec(block="basic", depths=(1, 2), widths=(64, 64)))
    first = thin.stages[1][0]  # with a stride, and as wide as it was before
    plans.append(replace(thin, stages=(thin.stages[0], (first, first, first, thin.stages[1][1]))))
    for plan in plans:
        every = rows(plan)
        whole = totals(plan)
        assert whole.parameters == sum(row.parameters for row in every)
        assert whole.macs == sum(row.macs for row in every)
        assert whole.activations == sum(row.activations for row in every)
        assert whole.receptive_field == max(row.receptive_field for row in every if row.kind == "conv")
