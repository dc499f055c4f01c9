"""Names of other libraries: every tensor finds its place by name, there and back."""

import random
from typing import Any

import pytest
import torch
from peers import peer
from torch import Tensor, nn
from zoo_peers import filled, unbegun

from resnetkit import zoo
from resnetkit.create import create_model
from resnetkit.dialects import (
    MOBILE,
    TIMM_V2,
    TIMM_V2_DEEP,
    TRANSFORMERS,
    VIDEO,
    Dialect,
    recognise,
    to_ours,
    to_theirs,
)
from resnetkit.errors import WeightsError
from resnetkit.layout import lay_out
from resnetkit.walk import shapes

Shape = tuple[int, ...]


def numbered(wanted: dict[str, Shape]) -> dict[str, Tensor]:
    """A tensor of each name and shape that holds its own number, and takes no memory."""
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(wanted.items())}


def outline(network: nn.Module) -> dict[str, Shape]:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def peers_own(library: str, name: str) -> dict[str, Shape]:
    make = peer("timm").create_model if library == "timm" else peer("torchvision.models").get_model
    with torch.device("meta"):
        return outline(make(name))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    alike = one.keys() == other.keys() and all(one[name].shape == other[name].shape for name in one)
    return alike and all(one[name].flatten()[0] == other[name].flatten()[0] for name in one)


@pytest.mark.parametrize(
    ("library", "name", "dialect", "pairs"),
    [
        (
            "timm",
            "resnetv2_50",
            TIMM_V2,
            {
                "stem.conv.weight": "conv1.weight",
                "stages.0.blocks.0.norm1.running_var": "layer1.0.bn1.running_var",
                "stages.3.blocks.2.conv3.weight": "layer4.2.conv3.weight",
                "stages.2.blocks.0.downsample.conv.weight": "layer3.0.downsample.0.weight",
                "norm.bias": "norm.bias",
                "head.fc.weight": "fc.weight",
                "head.fc.bias": "fc.bias",
            },
        ),
        (
            "timm",
            "resnetv2_50d",
            TIMM_V2_DEEP,
            {
                "stem.conv1.weight": "conv1.0.weight",
                "stem.norm1.weight": "conv1.1.weight",
                "stem.conv2.weight": "conv1.3.weight",
                "stem.norm2.running_mean": "conv1.4.running_mean",
                "stem.conv3.weight": "conv1.6.weight",
                "stages.1.blocks.0.downsample.conv.weight": "layer2.0.downsample.1.weight",
                "norm.num_batches_tracked": "norm.num_batches_tracked",
            },
        ),
        (
            "torchvision",
            "r3d_18",
            VIDEO,
            {
                "stem.0.weight": "conv1.weight",
                "stem.1.running_mean": "bn1.running_mean",
                "layer1.0.conv1.0.weight": "layer1.0.conv1.weight",
                "layer1.0.conv1.1.weight": "layer1.0.bn1.weight",
                "layer4.1.conv2.1.bias": "layer4.1.bn2.bias",
                "layer2.0.downsample.0.weight": "layer2.0.downsample.0.weight",
                "fc.bias": "fc.bias",
            },
        ),
    ],
)
def test_real_networks_come_and_go(library: str, name: str, dialect: Dialect, pairs: dict[str, str]) -> None:
    theirs = numbered(peers_own(library, name))
    assert recognise(theirs) is dialect
    notes: list[str] = []
    ours = to_ours(theirs, notes)
    assert len(ours) == len(theirs)
    for there, here in pairs.items():
        assert ours[here].flatten()[0] == theirs[there].flatten()[0], there
    assert all(part.startswith(("conv1", "bn1", "layer", "norm", "fc")) for part in ours)
    assert ours["fc.weight"].ndim == 2
    assert len(notes) == 1
    assert f"the names are those of {dialect.name}: 'stem." in notes[0]
    assert recognise(ours) is None
    assert same(to_theirs(ours, dialect), theirs)


def test_order_says_nothing() -> None:
    theirs = numbered(peers_own("timm", "resnetv2_50"))
    names = list(theirs)
    random.Random(0).shuffle(names)
    assert same(to_ours({name: theirs[name] for name in names}, []), to_ours(theirs, []))


SHAPES: dict[str, dict[str, Any]] = {
    "resnet18": {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    "resnet50": {"depths": [3, 4, 6, 3]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_transformers(name: str) -> None:
    """Its own network, whose logits ours gives to the bit with its state dict as it is; and its body alone."""
    peer("torchvision")  # which transformers looks for
    resnet = peer("transformers.models.resnet")
    with unbegun():
        theirs = resnet.ResNetForImageClassification(resnet.ResNetConfig(num_labels=7, **SHAPES[name])).eval()
    state = filled(theirs.state_dict())
    assert recognise(state) is TRANSFORMERS
    theirs.load_state_dict(state, assign=True)
    ours = to_ours(state, [])
    assert same(to_theirs(ours, TRANSFORMERS), state)
    model = create_model(name, weights=state).double().eval()
    model.load_state_dict(ours)
    x = torch.randn(2, 3, 65, 49, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(model(x), theirs(x).logits)
    body = {key.removeprefix("resnet."): value for key, value in state.items() if "classifier" not in key}
    assert to_ours(body, []).keys() == ours.keys() - {"fc.weight", "fc.bias"}


@pytest.mark.parametrize(("name", "width"), [("mobilenetv2_100", 1.0), ("mobilenetv2_035", 0.35)])
def test_mobilenets_of_torchvision(name: str, width: float) -> None:
    """Its own network, whose logits ours gives to the bit with its state dict as it is, there and back."""
    models = peer("torchvision.models")
    with unbegun():
        theirs = models.mobilenet_v2(width_mult=width, num_classes=7).eval()
    state = filled(theirs.state_dict())
    assert recognise(state) is MOBILE
    theirs.load_state_dict(state, assign=True)
    notes: list[str] = []
    ours = to_ours(state, notes)
    assert notes == [f"the names are those of {MOBILE.name}: 'features.0.0.weight' is 'conv_stem.weight' here"]
    assert same(to_theirs(ours, MOBILE), state)
    model = create_model(name, weights=state).double().eval()
    model.load_state_dict(ours)
    x = torch.randn(2, 3, 65, 49, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(model(x), theirs(x))


def test_the_bias_of_a_first_convolution_alone() -> None:
    """As in Caffe's ResNet-50: what the network with it answers, the one without answers too."""
    source, biased = (create_model("resnet20", num_classes=3).double().eval() for _ in range(2))
    state = filled(source.state_dict())
    biased.load_state_dict(state)
    biased.get_submodule("conv1").bias = nn.Parameter(torch.randn(16, dtype=torch.float64))
    notes: list[str] = []
    ours = to_ours(biased.state_dict(), notes)
    assert notes == ["'conv1.bias' was taken off 'bn1.running_mean', which answers the same"]
    source.load_state_dict(ours)
    x = torch.randn(2, 3, 33, 33, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(source(x), biased(x), rtol=1e-12, atol=1e-12)
    assert not torch.equal(ours["bn1.running_mean"], state["bn1.running_mean"])
    kept = {**biased.state_dict(), "layer1.0.conv1.bias": torch.zeros(16)}
    assert to_ours(kept, []).keys() == kept.keys(), "where others have one too it stays"
    deep = create_model("resnet14t").state_dict()  # whose bn1 is behind another convolution
    with pytest.raises(WeightsError, match=r"conv1\.bias unexpected"):
        create_model("resnet14t", weights={**deep, "conv1.bias": torch.randn(64)})


def kuangliu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("fc.", "linear.").replace("downsample", "shortcut"): value for name, value in state.items()}


def test_a_state_dict_of_others_is_taken_as_it_is() -> None:
    source = create_model("resnet20", num_classes=3)
    model = create_model("resnet20", weights=kuangliu(source.state_dict()))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", zoo.names())
def test_our_own_names_are_left_alone(name: str) -> None:
    wanted = shapes(lay_out(zoo.find(name)))
    notes: list[str] = []
    assert recognise(wanted) is None
    assert list(to_ours(numbered(wanted), notes)) == list(wanted)
    assert notes == []
    if "cifar" in name:
        assert list(to_ours(kuangliu(numbered(wanted)), notes)) == list(wanted)
        assert len(notes) == 1


def test_pre_activation_networks_without_a_last_norm() -> None:
    """kuangliu's PreActResNet pools what its last block gives: no network here answers so."""
    source = kuangliu(create_model("preact_resnet18_cifar").state_dict())
    state = {name: value for name, value in source.items() if not name.startswith("norm.")}
    assert any("shortcut" in name for name in state)
    for classes in (None, 3):
        with pytest.raises(WeightsError, match=r"without a norm behind its last map.*kuangliu.*which this network has"):
            create_model("preact_resnet18_cifar", weights=state, num_classes=classes)
    halved = {name: value for name, value in source.items() if name != "norm.bias"}
    with pytest.raises(WeightsError, match=r"does not fit the network: \d+ of"):
        create_model("preact_resnet18_cifar", weights=halved)


def test_two_tensors_for_one_name() -> None:
    for there, here in (("linear.weight", "fc.weight"), ("stem.conv.weight", "conv1.weight")):
        with pytest.raises(WeightsError, match="two tensors for one name"):
            to_ours({there: torch.zeros(1), here: torch.zeros(1)}, [])


def test_numbers_are_numbers() -> None:
    """Odd spellings are no numbers of ours: they stay, and no network takes them."""
    odd = ["stages.01.blocks.0.conv1.weight", "stages.-1.blocks.0.conv1.weight", "stages.٣.blocks.0.conv1.weight"]
    odd += ["stages.0.blocks.0.conv1", "stages.999999.blocks.0.conv1.weight", "xstem.conv.weight"]
    state = {name: torch.zeros(1) for name in odd}
    assert list(to_ours({**state, "stem.conv.weight": torch.zeros(1)}, [])) == [*odd, "conv1.weight"]


def test_a_head_that_is_no_square_stays() -> None:
    state = {"stem.conv.weight": torch.zeros(1), "head.fc.weight": torch.zeros(4, 3, 2, 2)}
    assert to_ours(state, [])["fc.weight"].shape == (4, 3, 2, 2)
