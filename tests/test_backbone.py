"""Our networks as backbones: timm's surface with timm's answers, maps by name, less memory with the same gradients."""

import copy
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import peer
from test_model import POINTS, TINY, assert_near, build, images, shake
from torch import nn

from resnetkit import api
from resnetkit.backbone import Backbone, features
from resnetkit.create import create_model
from resnetkit.errors import UsageError, WeightsError
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.spec import Spec


def both(name: str, **settings: Any) -> tuple[Any, Any]:
    """timm's network and ours, of the same weights."""
    theirs = peer("timm").create_model(name, **settings).double().eval()
    shake(theirs)
    ours = create_model(name, **settings).double().eval()
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def assert_same_maps(ours: Any, theirs: Any) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert_near(mine, other)


@pytest.mark.parametrize("out_indices", [None, (0,), (1, 2, 3, 4), (2, -1), 3], ids=str)
def test_the_pyramid_is_that_of_timm(out_indices: Any) -> None:
    chosen = {} if out_indices is None else {"out_indices": out_indices}
    theirs, ours = both("resnet18", features_only=True, **chosen)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    with torch.no_grad():
        assert_same_maps(ours(images(2, 3, 65, 97)), theirs(images(2, 3, 65, 97)))
    assert ours.feature_info.channels() == theirs.feature_info.channels()
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    assert ours.feature_info.channels(4) == 512
    assert ours.feature_info.reduction([0, 4]) == [2, 32]
    assert [
        name.replace("act1", "relu") for name in theirs.feature_info.module_name()
    ] == ours.feature_info.module_name()
    assert ours.feature_info.get_dicts(["num_chs"]) == theirs.feature_info.get_dicts(["num_chs"])
    assert len(ours.feature_info) == len(theirs.feature_info) == 5
    assert ours.feature_info[1]["num_chs"] == 64


def test_light_networks_have_the_maps_of_timm() -> None:
    theirs, ours = both("mobilenetv2_035", features_only=True, out_indices=(1, 2, -1))
    with torch.no_grad():
        assert_same_maps(ours(images(2, 3, 65, 97)), theirs(images(2, 3, 65, 97)))
    for answer in ("channels", "reduction", "module_name"):
        everything = [0, 1, 2, 3, 4]
        assert getattr(ours.feature_info, answer)(everything) == getattr(theirs.feature_info, answer)(everything)
    theirs, ours = both("mobilenetv2_035")
    assert ours.prune_intermediate_layers(3) == [2, 3, 4]
    with torch.no_grad():
        maps = ours.forward_intermediates(images(1, 3, 64, 64), intermediates_only=True)
    assert [m.shape[2] for m in maps] == [32, 16, 8, 4, 2]
    assert ours.prune_intermediate_layers((1, 2)) == [1, 2]
    assert len(ours.plan.stages) == 3


@pytest.mark.parametrize(
    ("name", "channels", "reductions"),
    [
        ("resnet50", [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32]),
        ("resnet20", [16, 16, 32, 64], [1, 1, 2, 4]),
        ("plain18", [64, 64, 128, 256, 512], [2, 4, 8, 16, 32]),
        ("resnet18_cifar", [64, 64, 128, 256, 512], [1, 1, 2, 4, 8]),
    ],
)
def test_maps_are_what_their_levels_say(name: str, channels: list[int], reductions: list[int]) -> None:
    net = create_model(name, features_only=True, in_chans=1).eval()
    assert (net.feature_info.channels(), net.feature_info.reduction()) == (channels, reductions)
    maps = net(torch.zeros(1, 1, 33, 65))
    assert [tuple(x.shape) for x in maps] == [
        (1, c, -(-33 // r), -(-65 // r)) for c, r in zip(channels, reductions, strict=True)
    ]


def test_maps_come_in_the_order_asked_for() -> None:
    net = Backbone(ResNet(TINY), (2, 0))
    assert [x.shape[1] for x in net(torch.zeros(1, 3, 32, 32))] == net.feature_info.channels() == [16, 8]
    assert net.out_indices == (2, 0)


def test_a_backbone_has_the_weights_of_the_network_with_or_without_a_head() -> None:
    whole = create_model("resnet18", num_classes=7)
    body = Backbone(whole).state_dict()
    for state in (whole.state_dict(), body):
        net = create_model("resnet18", weights=state, features_only=True)
        assert all(torch.equal(value, body[name]) for name, value in net.state_dict().items())
    with pytest.raises(WeightsError, match="does not fit the network"):
        create_model("resnet34", weights=body, features_only=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_indices": (1,)}, "out_indices chooses maps"),
        ({"features_only": True, "num_classes": 3}, "leaves no head"),
        ({"features_only": True, "global_pool": ""}, "leaves no head"),
        ({"features_only": True, "out_indices": (5,)}, "has 5 maps"),
        ({"features_only": True, "out_indices": (-6,)}, "has 5 maps"),
        ({"features_only": True, "out_indices": (1, 1)}, "has 5 maps"),
        ({"features_only": True, "out_indices": ()}, "has 5 maps"),
        ({"features_only": True, "out_indices": 0}, "has 5 maps"),
        ({"features_only": True, "out_indices": 6}, "has 5 maps"),
        ({"features_only": True, "out_indices": 10**6}, "has 5 maps, and these cannot be taken: the last 1000000"),
        ({"features_only": True, "out_indices": tuple(range(-99, 0))}, r"-95 and 94 more"),
        ({"features_only": True, "out_indices": True}, "by whole numbers, not True"),
        ({"features_only": True, "out_indices": (True, 2)}, "whole numbers"),
        ({"global_pool": ""}, "without classes"),
        ({"global_pool": "max", "num_classes": 0}, "global_pool cannot be 'max'"),
        ({"output_stride": 4}, "output_stride cannot be 4"),
        ({"output_stride": True}, "output_stride cannot be True"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_model("resnet18", **changes)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_an_output_stride_is_that_of_timm(name: str, output_stride: int) -> None:
    theirs, ours = both(name, features_only=True, output_stride=output_stride)
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    with torch.no_grad():
        assert_same_maps(ours(images(1, 3, 65, 97)), theirs(images(1, 3, 65, 97)))


def test_an_output_stride_that_changes_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="the last map has a stride of 4 already"):
        create_model("resnet20", output_stride=8)


@pytest.mark.parametrize("indices", [None, 2, (1, 3), (0, -1)], ids=str)
@pytest.mark.parametrize("stop_early", [False, True])
def test_intermediates_are_those_of_timm(indices: Any, stop_early: bool) -> None:
    theirs, ours = both("resnet18", num_classes=3)
    x = images(1, 3, 65, 33)
    with torch.no_grad():
        last, maps = ours.forward_intermediates(x, indices, stop_early=stop_early)
        wanted, others = theirs.forward_intermediates(x, indices, stop_early=stop_early)
        assert_near(last, wanted)
        assert_same_maps(maps, others)
        assert_same_maps(ours.forward_intermediates(x, indices, norm=True, intermediates_only=True), others)
    with pytest.raises(UsageError, match="NCHW"):
        ours.forward_intermediates(x, output_fmt="NLC")


@pytest.mark.parametrize("indices", [1, (1, 2), (-2,), 5], ids=str)
def test_pruning_is_that_of_timm(indices: Any) -> None:
    theirs, ours = both("resnet18", num_classes=3)
    assert ours.prune_intermediate_layers(indices) == theirs.prune_intermediate_layers(indices)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert (ours.num_features, ours.num_classes, ours.head_hidden_size) == (
        theirs.num_features,
        theirs.num_classes,
        theirs.head_hidden_size,
    )
    with torch.no_grad():
        assert_near(ours(images(1, 3, 65, 33)), theirs(images(1, 3, 65, 33)))


def test_pruning_keeps_the_head_where_it_may() -> None:
    model = ResNet(TINY).eval()
    model.prune_intermediate_layers(1, prune_head=False)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 5)
    model.prune_intermediate_layers((0,), prune_head=False)
    assert model.plan == lay_out(Spec(block="basic", depths=(1,), widths=(8,), classes=0, size=32))
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 8, 8)


def test_the_head_goes_and_comes_back() -> None:
    model = ResNet(TINY).eval()
    x = torch.ones(1, 3, 32, 32)
    model.reset_classifier(0, "")
    assert model(x).equal(model.forward_features(x))
    model.reset_classifier(0)
    assert model(x).shape == (1, 16, 4, 4)
    with pytest.raises(UsageError, match="a head of 2 classes needs a pool"):
        model.reset_classifier(2)
    for wrong in (-1, 2.5, "a", 10**9):
        with pytest.raises(UsageError, match=r"num_classes cannot be .*\(fix: use a whole number from 0"):
            model.reset_classifier(wrong, "avg")  # type: ignore[arg-type]
    model.reset_classifier(2, "avg")
    assert model(x).shape == (1, 2)
    assert model.get_classifier(name_only=True) == "fc"
    pool = model.avgpool = nn.AdaptiveMaxPool2d(1)
    model.reset_classifier(3)
    assert model.avgpool is pool, "a pool of the user's own stays"
    assert create_model("resnet20", num_classes=0, global_pool="")(x).shape == (1, 64, 8, 8)


@pytest.mark.parametrize("coarse", [False, True])
def test_parameters_are_grouped_as_in_timm(coarse: bool) -> None:
    group = peer("timm.models").group_parameters
    theirs, ours = both("resnet18")
    assert group(ours, ours.group_matcher(coarse)) == group(theirs, theirs.group_matcher(coarse))


def test_the_cfg_is_true(tmp_path: Path) -> None:
    """timm's words, and where the weights are of a model file what that says."""
    theirs = peer("timm").create_model("resnet18").pretrained_cfg
    ours = create_model("resnet18").pretrained_cfg
    same = ["num_classes", "input_size", "pool_size", "first_conv", "classifier", "mean", "std"]
    assert [ours[key] for key in same] == [theirs[key] for key in same]
    assert create_model("resnet18", in_chans=4, num_classes=2).default_cfg == {
        "num_classes": 2,
        "input_size": (4, 224, 224),
        "pool_size": (7, 7),
        "first_conv": "conv1",
        "classifier": "fc",
    }
    torch.save(create_model("resnet20").state_dict(), tmp_path / "a.pth")
    values: dict[str, Any] = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    api.import_weights(tmp_path / "a.pth", "resnet20", tmp_path / "a.safetensors", size=40, crop=1.0, **values)
    net = create_model("resnet20", weights=tmp_path / "a.safetensors", features_only=True)
    assert create_model("resnet20", weights=tmp_path / "a.safetensors", in_chans=4).pretrained_cfg["input_size"][0] == 4
    cfg = net.default_cfg
    assert {key: cfg[key] for key in values} == values
    assert (cfg["input_size"], cfg["pool_size"], cfg["crop_pct"]) == ((3, 40, 40), (10, 10), 1.0)
    assert "classifier" not in cfg
    resolved = peer("timm.data").resolve_model_data_config(net)
    assert (resolved["mean"], resolved["input_size"]) == (values["mean"], (3, 40, 40))


# Maps by name


def test_features_by_name_are_what_the_modules_answer() -> None:
    """A ReLU in place behind a norm or a sum changes nothing of them."""
    model = build("resnet18").double().eval()
    shake(model)
    x = images(2, 3, 33, 49)
    found = features(model, x, ["layer2.0.conv1", "bn1", "layer1", "layer2.0.bn1", "fc"])
    assert list(found) == ["layer2.0.conv1", "bn1", "layer1", "layer2.0.bn1", "fc"]
    normed = model.get_submodule("bn1")(model.conv1(x))
    assert found["bn1"].equal(normed)
    assert (found["bn1"] < 0).any()
    first = model.get_submodule("layer1")(model.maxpool(normed.relu()))
    assert found["layer1"].equal(first)
    inner = model.get_submodule("layer2.0.conv1")(first)
    assert found["layer2.0.conv1"].equal(inner)
    assert found["layer2.0.bn1"].equal(model.get_submodule("layer2.0.bn1")(inner))
    assert found["fc"].equal(model(x))
    assert not any(module._forward_hooks for module in model.modules())
    found["layer1"].sum().backward()
    assert model.conv1.weight.grad is not None
    assert model.get_parameter("layer2.0.conv1.weight").grad is None


def test_features_that_cannot_be_had_are_said() -> None:
    model = ResNet(TINY)
    x = torch.zeros(2, 3, 32, 32)
    with pytest.raises(UsageError, match=r"no module 'layer9'; did you mean layer[12]"):
        features(model, x, ["layer9"])
    with pytest.raises(UsageError, match=r"layer1.0.relu runs 2 times"):
        features(model, x, ["layer1.0.relu"])
    assert not any(module._forward_hooks for module in model.modules())


# Memory, graphs


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_recomputing_changes_no_number(name: str) -> None:
    """Gradients and running statistics to the bit; torch's checkpoint by itself would count each batch twice."""
    plain = create_model(name, num_classes=4).double().train()
    shake(plain)
    again = copy.deepcopy(plain)
    again.set_grad_checkpointing()
    runs = []
    again.get_submodule("layer2.0.conv1").register_forward_hook(lambda *_: runs.append(1))
    for model in (plain, again):
        model(images(2, 3, 33, 49)).square().sum().backward()
    assert len(runs) == 2
    for mine, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert mine.grad.equal(other.grad)
    for key, buffer in again.named_buffers():
        assert buffer.equal(plain.get_buffer(key)), key
        assert not key.endswith("tracked") or buffer == 1
    runs.clear()
    again.set_grad_checkpointing(False)
    again(images(2, 3, 33, 49)).sum().backward()
    assert len(runs) == 1


def test_recomputing_keeps_fewer_maps() -> None:
    """What a backbone holds between forward and backward, with and without."""
    kept = []
    for again in (False, True):
        net = create_model("resnet18", features_only=True)
        net.set_grad_checkpointing(again)
        alive: list[weakref.ref[torch.Tensor]] = []
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, answer, alive=alive: alive.append(weakref.ref(answer)))
        maps = net(torch.randn(1, 3, 64, 64))
        gc.collect()
        kept.append(sum(one() is not None for one in alive))
        sum(x.sum() for x in maps).backward()
        assert net.get_parameter("conv1.weight").grad is not None
    assert kept == [20, 1], "the stem's convolution is always kept"


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_torch_export(name: str) -> None:
    """One program for every size and number of pictures."""
    model = build(name, classes=3).double().eval()
    shake(model)
    some = torch.export.Dim.DYNAMIC
    program = torch.export.export(model, (images(2, 3, 64, 96),), dynamic_shapes=({0: some, 2: some, 3: some},))
    for shape in [(2, 3, 64, 96), (3, 3, 33, 50)]:
        assert_near(program.module()(images(*shape)), model(images(*shape)))


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_torch_compile(name: str) -> None:
    """One graph without a break."""
    model = build(name, classes=3).double().eval()
    shake(model)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    assert_near(compiled(images(2, 3, 33, 50)), model(images(2, 3, 33, 50)))


def test_backbones_are_graphs_too() -> None:
    net = Backbone(ResNet(TINY), (0, 2)).double().eval()
    shake(net)
    x = images(2, 3, 33, 50)
    assert_same_maps(torch.export.export(net, (x,)).module()(x), net(x))
    torch.compiler.reset()
    assert_same_maps(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))
    assert_same_maps(torch.fx.symbolic_trace(net)(x), net(x))


@pytest.mark.slow
def test_torch_compile_recomputes_as_well() -> None:
    model = build("resnet20", classes=3).double().train()
    shake(model)
    other = copy.deepcopy(model)
    other.set_grad_checkpointing()
    torch.compiler.reset()
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    for net in (model, compiled):
        net(images(2, 3, 17, 19)).square().sum().backward()
    for mine, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert_near(mine.grad, theirs.grad)
    for key, buffer in other.named_buffers():
        assert torch.allclose(buffer, model.get_buffer(key)), key


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", ["resnet18", "resnet20", "plain20"])
def test_torch_script(name: str) -> None:
    model = build(name, classes=3).double().eval()
    shake(model)
    script = torch.jit.script(model)
    assert list(script.state_dict()) == list(model.state_dict())
    assert_near(script(images(1, 3, 33, 50)), model(images(1, 3, 33, 50)))
    model.reset_classifier(0, "")
    assert_near(torch.jit.script(model)(images(1, 3, 33, 50)), model(images(1, 3, 33, 50)))


def test_a_network_of_vectors_has_levels_too() -> None:
    net = Backbone(ResNet(lay_out(POINTS)), (1, 2)).eval()
    assert [tuple(x.shape) for x in net(torch.zeros(5, 7))] == [(5, 32), (5, 68)]
    assert net.default_cfg["pool_size"] == ()


# Those who look inside


def test_grad_cam_takes_our_networks() -> None:
    """Its heat is that of its paper (Selvaraju et al. 2017, arXiv:1610.02391, equation 2), written down again."""
    theirs = peer("pytorch_grad_cam")
    targets = peer("pytorch_grad_cam.utils.model_targets")
    model = build("resnet18", classes=3).eval()
    shake(model)
    model.get_parameter("fc.weight").data.abs_()  # heat below zero is cut off, and all of it would be no test
    x = images(1, 3, 65, 97).float()
    with theirs.GradCAM(model=model, target_layers=[model.get_submodule("layer4")[-1]]) as cam:  # type: ignore[index]
        heat = cam(input_tensor=x, targets=[targets.ClassifierOutputTarget(2)])
    weights = model.get_parameter("fc.weight")[2]  # the head is linear behind a mean: its gradient is its weight
    wanted = (weights[:, None, None] * features(model, x, ["layer4"])["layer4"]).sum(1, keepdim=True)
    wanted = torch.nn.functional.interpolate(wanted - wanted.amin(), (65, 97), mode="bilinear")[0].detach()
    assert (torch.from_numpy(heat) - wanted / wanted.max()).abs().max() < 1e-3


def test_captum_takes_our_networks() -> None:
    """Integrated gradients add up to the change of the logit; a layer's Grad-CAM is that of the layer's name."""
    theirs = peer("captum.attr")
    model = build("resnet20", classes=3).double().eval()
    shake(model)
    x = images(2, 3, 32, 32)
    target = torch.tensor([0, 2])
    heat = theirs.IntegratedGradients(model).attribute(x, torch.zeros_like(x), target, n_steps=100)
    change = (model(x) - model(torch.zeros_like(x)))[[0, 1], target]
    assert torch.allclose(heat.sum((1, 2, 3)), change, rtol=0.05, atol=0.05)
    cam = theirs.LayerGradCam(model, model.get_submodule("layer3")).attribute(x, target)
    last = features(model, x, ["layer3"])["layer3"]
    wanted = (model.get_parameter("fc.weight")[target][:, :, None, None] * last).sum(1, keepdim=True) / last[
        0, 0
    ].numel()
    assert_near(cam, wanted)
