"""What a Spec can say beyond the networks that have a name: shortcuts that learn, other sides, dilation."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command import resnet
from peers import peer
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_peers import apart, filled, unbegun

from resnetkit.dialects import to_ours
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.layers import FrozenNorm
from resnetkit.layout import lay_out
from resnetkit.mobile import Mobile
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.spec import Spec
from resnetkit.specfile import find
from resnetkit.zoo import ZOO

TINY = Spec(block="basic", depths=(1, 2), widths=(8, 16), stem="3x3", pool="none", classes=5, size=16)


def whole(spec: Spec) -> Network:
    model = build(lay_out(spec)).double()
    model.load_state_dict(filled(model.state_dict()))
    return model.eval()


def picture(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@torch.no_grad()
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("preact", [False, True])
def test_rezero_begins_as_its_shortcuts_alone(block: Any, preact: bool) -> None:
    spec = replace(TINY, block=block, preact=preact, shortcut="rezero", widths=(8, 8), depths=(2, 2), stride=1)
    model = whole(spec)
    initialize(model, seed=0, zero_last=False)
    step = model.get_submodule("layer1.1")
    x = picture(2, 8 if block == "basic" else 32, 6, 6)
    assert torch.equal(step(x), x if preact else x.relu())
    weight = model.get_parameter("layer1.1.join.weight")
    assert weight.shape == (1,)
    weight.fill_(1)
    assert not torch.equal(step(x), x if preact else x.relu())


@torch.no_grad()
def test_layerscale_weighs_each_channel() -> None:
    scaled, plain = whole(replace(TINY, shortcut="layerscale")), whole(TINY)
    body = {name: value for name, value in scaled.state_dict().items() if "join" not in name}
    plain.load_state_dict(body)
    for name, parameter in scaled.named_parameters():
        if "join" in name:
            parameter.fill_(1)
    x = picture(2, 3, 16, 16)
    assert apart(scaled(x), plain(x)) < 1e-12
    initialize(scaled, seed=0, zero_last=False)
    assert scaled.get_parameter("layer2.0.join.weight").tolist() == [0.1] * 16


@torch.no_grad()
def test_a_gate_divides_between_branch_and_shortcut() -> None:
    """Equation of section 3.1 of the second paper, written out."""
    model = whole(replace(TINY, shortcut="gated"))
    step: Any = model.get_submodule("layer2.0")
    x = picture(2, 8, 6, 6)
    out = step.bn2(step.conv2(F.relu(step.bn1(step.conv1(x)))))
    gate = torch.sigmoid(F.conv2d(x, step.join.conv.weight, step.join.conv.bias, stride=2))
    assert apart(step(x), F.relu(gate * out + (1 - gate) * step.downsample(x))) < 1e-12
    initialize(model, seed=0, zero_last=False)
    assert set(model.get_parameter("layer2.0.join.conv.bias").tolist()) == {-6.0}


@torch.no_grad()
@pytest.mark.parametrize(
    "changes", [{}, {"preact": True}, {"block": "bottleneck"}, {"shortcut": "pad"}, {"down": "mean"}]
)
@pytest.mark.parametrize("attention", ["none", "se", "eca"])
@torch.no_grad()
def test_a_series_is_a_picture_of_one_line(changes: dict[str, Any], attention: Any) -> None:
    spec = replace(TINY, stem="1x1", attention=attention, **changes)
    line = whole(replace(spec, ndim=1))
    flat = build(lay_out(replace(spec, kernel=(1, 3), stride=(1, 2)))).double().eval()
    wanted = flat.state_dict()
    flat.load_state_dict({key: value.reshape(wanted[key].shape) for key, value in line.state_dict().items()})
    x = picture(2, 3, 19)
    assert apart(line(x), flat(x.unsqueeze(2))) < 1e-12


@torch.no_grad()
def test_a_clip_of_one_frame_is_a_picture() -> None:
    spec = replace(TINY, stem="1x1", down="mean", attention="cbam", reduction=4)
    clip = whole(replace(spec, ndim=3, kernel=(1, 3, 3), stride=(1, 2, 2)))
    flat = build(lay_out(spec)).double().eval()
    wanted = flat.state_dict()
    state = {key: value[:, :, 3] if "spatial.conv.conv" in key else value for key, value in clip.state_dict().items()}
    flat.load_state_dict({key: value.reshape(wanted[key].shape) for key, value in state.items()})
    x = picture(2, 3, 18, 17)
    assert apart(clip(x.unsqueeze(2)), flat(x)) < 1e-12


@pytest.mark.parametrize("width", [24, 48, 96, 192, 200, 320, 800])
@pytest.mark.parametrize("attention", ["se", "eca", "cbam"])
def test_attention_has_the_sizes_of_timm(width: int, attention: Any) -> None:
    """Also where channels are no power of two."""
    theirs = peer("timm.layers").create_attn(attention, width)
    ours = build(lay_out(replace(TINY, depths=(1,), widths=(width,), attention=attention))).get_submodule("layer1.0.se")
    shapes = {name: tuple(value.shape) for name, value in ours.state_dict().items()}
    assert shapes == {name: tuple(value.shape) for name, value in theirs.state_dict().items()}


@torch.no_grad()
def test_the_last_map_comes_with_its_norm_where_that_is_asked_for() -> None:
    model, x = whole(replace(TINY, preact=True)), picture(2, 3, 16, 16)
    features, maps = model.forward_intermediates(x, [-1], norm=True)
    assert torch.equal(maps[0], features)
    assert torch.equal(features, model.forward_features(x))
    assert not torch.equal(model.forward_intermediates(x, [-1])[1][0], features)


DILATED = [("resnet18", 8), ("resnet50", 16), ("resnet50d", 8), ("resnetblur50", 8), ("resnetv2_50d", 16)]


@torch.no_grad()
@pytest.mark.parametrize(("name", "stride"), DILATED)
def test_dilation_in_place_of_strides_is_that_of_timm(name: str, stride: int) -> None:
    spec = ZOO[name]
    assert isinstance(spec, Spec)
    plan = lay_out(replace(spec, output_stride=stride))
    assert plan.reduction == stride
    model = build(plan).double().eval()
    state = filled(model.state_dict())
    model.load_state_dict(state)
    with unbegun():
        theirs = peer("timm").create_model(name, output_stride=stride)
    pairs = zip(theirs.state_dict().items(), to_ours(theirs.state_dict(), []), strict=True)
    theirs.load_state_dict({key: state[own].reshape(value.shape) for (key, value), own in pairs}, assign=True)
    for module in theirs.modules():
        if hasattr(module, "init_non_persistent_buffers"):
            module.filt = torch.empty_like(module.filt, device="cpu")
            module.init_non_persistent_buffers()
    x = picture(1, 3, 65, 49)
    assert apart(model.forward_features(x), theirs.double().eval().forward_features(x)) < 1e-10


@torch.no_grad()
def test_frozen_norms_are_those_of_torchvision_and_never_learn() -> None:
    ours, theirs = FrozenNorm(7, 1e-5).double(), peer("torchvision.ops").FrozenBatchNorm2d(7).double()
    ours.load_state_dict(filled(ours.state_dict()))
    theirs.load_state_dict(ours.state_dict())
    x = picture(2, 7, 5, 4)
    assert apart(ours(x), theirs(x)) < 1e-12
    model = whole(replace(TINY, norm="frozen"))
    before = {name: value.clone() for name, value in model.named_buffers()}
    model.train()(picture(2, 3, 16, 16))
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())
    assert not any("bn" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("activation", ["relu", "relu6", "leaky_relu", "silu", "gelu"])
@pytest.mark.parametrize("preact", [False, True])
def test_gradients_pass_every_activation(activation: Any, preact: bool) -> None:
    model = whole(replace(TINY, activation=activation, preact=preact, depths=(1, 1), widths=(4, 4)))
    x = picture(1, 3, 6, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x).sum(), (x,))


def test_dropout_of_wide_networks_stands_between_the_convolutions() -> None:
    from resnetkit.init import last_convolutions

    model = whole(TINY)
    assert [name for name, module in model.named_modules() if module in last_convolutions(model)] == [
        "layer1.0.conv2",
        "layer2.0.conv2",
        "layer2.1.conv2",
    ]


def write(folder: Path, **about: Any) -> str:
    path = folder / "mine.json"
    path.write_text(json.dumps(about))
    return str(path)


def test_a_file_says_a_network(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stride of 4 already"):
        lay_out(find(write(tmp_path, like="resnet20", output_stride=8)))
    thin = ZOO["resnet20"]
    assert isinstance(thin, Spec)
    assert find(write(tmp_path)) == Spec()
    assert find(write(tmp_path, like="resnet20", attention="se", depths=[1, 1, 1])) == replace(
        thin, attention="se", depths=(1, 1, 1)
    )
    assert find(write(tmp_path, ndim=3, kernel=[1, 3, 3], stride=[1, 2, 2], stem="3x7x7")) == Spec(
        ndim=3, kernel=(1, 3, 3), stride=(1, 2, 2), stem="3x7x7"
    )
    assert find(write(tmp_path, family="shufflenetv2", width=0.5)) == Mobile(family="shufflenetv2", width=0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not proper JSON"),
        ("[]", "holds \\[\\]"),
        ('{"block": "basic", "block": "basic"}', "stands there twice"),
        ('{"blok": "basic"}', 'says "blok", which this network has not; did you mean block'),
        ('{"block": "Basic"}', 'block is "Basic" .fix: set block to "basic" or "bottleneck"'),
        ('{"block": null}', "block is null"),
        ('{"block": "it\'s (None)"}', r'block is "it\'s \(None\)"'),
        ('{"preact": 1}', "set preact to true or false"),
        ('{"depths": 3}', "depths is 3 .fix: give depths as a list"),
        ('{"depths": [3, [true, null]]}', r"depths holds \[true, null\]"),
        ('{"stride": [[1], 2, 3]}', r"stride is \[\[1\], 2, 3\]"),
        ('{"size": {"a": [null]}}', r'size holds {"a": \[null\]}'),
        ('{"like": "resnet51"}', "mine.json: there is no network 'resnet51'"),
        ('{"like": "other.json"}', r'mine.json: like takes a name, not a file: "other.json" .fix: write the entries'),
        ('{"like": "resnet20", "name": "resnet50"}', "mine.json calls resnet50 what is another network"),
        ('{"like": "resnet20", "name": "resnet20", "attention": "se"}', "mine.json calls resnet20 what is another"),
        ('{"like": 3}', "like is 3"),
        ('{"name": ""}', 'name is ""'),
        ('{"name": 7}', "name is 7"),
        ('{"name": "../x"}', 'name is "../x"'),
        ('{"eps": NaN}', "NaN is not a number"),
        ('{"family": "mobilenetv2", "width": 0.6}', "width is 0.6"),
        ("[" * 100_000, "is not proper JSON"),
    ],
)
def test_a_file_that_says_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        find(str(path))
    assert len(str(caught.value)) < 1200


def test_a_name_of_the_zoo_is_of_that_network_alone(tmp_path: Path) -> None:
    assert find(write(tmp_path, name="resnet50")) == Spec()
    ours = find(write(tmp_path, name="resnet20", like="resnet20", classes=3, channels=1, size=64))
    assert (ours.classes, ours.channels) == (3, 1)
    path = tmp_path / "resnet50.json"
    path.write_text('{"like": "resnet20"}')
    with pytest.raises(
        UsageError, match=r"resnet50.json calls resnet50 what is another.*fix: give it another \"name\""
    ):
        find(str(path))
    path.write_text('{"like": "resnet20", "name": "mine"}')
    assert find(str(path)) == ZOO["resnet20"]


def test_a_file_is_a_network_of_the_command(tmp_path: Path) -> None:
    path = write(tmp_path, like="resnet20", attention="se", reduction=4, depths=[1, 1, 1])
    assert "mine for pictures of 3 x 32 x 32" in resnet("describe", path).out
    done = resnet("train", "digits", "--model", path, "--steps", "2", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    Path(path).write_text('{"like": "resnet20", "shortcut": "gated"}')
    Path(path).unlink()  # the run has its network, whatever becomes of the file
    assert resnet("train", "--resume", tmp_path / "run").code == 0
    again = resnet("train", "--run", tmp_path / "run" / "run.json", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    one, other = (tmp_path / name / "best.safetensors" for name in ("run", "again"))
    assert one.read_bytes() == other.read_bytes()
    described = resnet("describe", tmp_path / "run").out
    assert described.startswith("mine for")
    assert ", se] x 1" in described
    refused = resnet("train", "digits", "--model", tmp_path / "none.json")
    assert refused.code == 2
    assert "none.json cannot be read" in refused.err
    refused = resnet("train", "digits", "--model", "r3d_18")
    assert refused.code == 2
    assert "r3d_18 is not for pictures" in refused.err


def test_every_network_begins_the_same_from_the_same_seed() -> None:
    spec = replace(TINY, attention="cbam", shortcut="gated", norm="group", widths=(32, 32))
    states = []
    for _ in range(2):
        model = build(lay_out(spec))
        initialize(model, seed=5, zero_last=True)
        states.append(model.state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not states[0]["layer1.0.bn2.weight"].any()
    assert isinstance(build(lay_out(spec)).get_submodule("layer1.0.bn1"), nn.GroupNorm)
