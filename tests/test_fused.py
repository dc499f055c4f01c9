"""A fused copy of a network answers as the network does, and leaves alone what is not its own."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnetkit import onednn
from resnetkit.fused import Convolution, FusedBlock, fused
from resnetkit.layers import BATCH_NORMS
from resnetkit.layout import lay_out
from resnetkit.mobile import Mobile
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.spec import Spec
from resnetkit.units import Taps
from resnetkit.zoo import find

SMALL = Spec(block="basic", depths=(2, 2), widths=(8, 16), stem="3x3", pool="none", classes=5, size=16)
# One of each kind of block, norm, shortcut, stem, attention, activation and number of sides.
KINDS: dict[str, Spec | Mobile] = {
    name: find(name)
    for name in """resnet20 resnet18 resnet50 resnet26t resnet26d plain20 preact_resnet18_cifar resnetv2_50
    resnetv2_50d_gn resnet50_gn wrn_16_4 resnext50_32x4d seresnet18 ecaresnet26t cbam_resnet18 cbam_resnet50
    resnetblur18 resnetblur50 mobilenetv2_050 shufflenet_v2_x0_5 r3d_18""".split()
}
KINDS |= {
    "vectors": replace(SMALL, ndim=0, channels=6, stem="1x1", size=1),
    "series": replace(SMALL, ndim=1),
    "series of zeros": replace(SMALL, ndim=1, shortcut="pad"),
    "equal stages": replace(SMALL, widths=(8, 8), stride=1, shortcut="pad"),
    "equal stages before": replace(SMALL, widths=(8, 8), stride=1, preact=True),
    "frozen norms": replace(SMALL, norm="frozen"),
    "frozen norms before": replace(SMALL, norm="frozen", preact=True),
    "biases": replace(SMALL, bias=True, bare=True),
    "dilated": replace(SMALL, depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), output_stride=8),
    "activation silu": replace(SMALL, activation="silu"),
    "activation gelu": replace(SMALL, activation="gelu"),
    "activation leaky_relu": replace(SMALL, activation="leaky_relu"),
    "shortcut rezero": replace(SMALL, shortcut="rezero"),
    "shortcut layerscale": replace(SMALL, shortcut="layerscale"),
    "shortcut gated": replace(SMALL, shortcut="gated"),
}


def network(kind: str, taps: Taps | None = None) -> Network:
    """With norms that do something, and statistics as training leaves them."""
    torch.manual_seed(0)
    model = build(replace(lay_out(KINDS[kind]), classes=7, taps=taps))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
            elif tensor.ndim == 1 and not name.endswith("num_batches_tracked"):
                tensor.uniform_(0.5, 1.2)
    return model.eval()


def images(model: Network, count: int = 3) -> Tensor:
    sides = {0: (), 1: (64,), 2: (64, 48), 3: (4, 32, 32)}[model.plan.ndim]
    x = torch.randn(count, model.in_chans, *sides, generator=torch.Generator().manual_seed(1))
    return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x


def apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference as a share of the largest number."""
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_it_answers_as_the_network_does(kind: str) -> None:
    model = network(kind)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copy, x = fused(model), images(model)
    given, wanted = x.clone(), model(x)
    assert apart(copy(x), wanted) < 5e-6
    assert apart(copy(x[:1]), wanted[:1]) < 5e-6  # other numbers of pictures than the first time
    torch.testing.assert_close(x, given, atol=0, rtol=0)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(tensor, before[name], atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_in_bfloat16_it_is_as_near_as_autocast(kind: str) -> None:
    model = network(kind)
    x = images(model, 8)
    wanted = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        usual = apart(model(x).float(), wanted)
    found = fused(model, torch.bfloat16)(x)
    assert found.dtype == torch.float32
    assert apart(found, wanted) < 1.5 * usual + 0.003


@pytest.mark.parametrize("kind", ["resnet20", "resnetv2_50", "mobilenetv2_050", "shufflenet_v2_x0_5", "series"])
@torch.inference_mode()
def test_without_operators_of_onednn_it_answers_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(kind)
    x = images(model)
    monkeypatch.setattr(onednn, "supported", lambda _: False)
    assert apart(fused(model)(x), model(x)) < 5e-6


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_its_maps_are_those_of_the_network(kind: str) -> None:
    """And no map that somebody holds is written over by what comes behind it."""
    model = network(kind)
    copy, x = fused(model), images(model)
    _, wanted = model.forward_intermediates(x)
    _, found = copy.forward_intermediates(x)
    for one, other in zip(found, wanted, strict=True):
        assert apart(one, other) < 5e-6
    for stages in range(1, len(model.plan.stages)):
        maps = copy.forward_first(x, stages)
        held = maps.clone()
        assert apart(copy.forward_rest(maps, stages), model(x)) < 5e-6
        torch.testing.assert_close(maps, held, atol=0, rtol=0)


@pytest.mark.parametrize("kind", ["resnet20", "wrn_16_4", "equal stages", "mobilenetv2_050"])
@torch.inference_mode()
def test_a_head_sees_the_same_of_all_maps(kind: str) -> None:
    model = network(kind, Taps(0, 2))
    x = images(model)
    assert apart(fused(model).forward_features(x), model.forward_features(x)) < 5e-6
    low = fused(model, torch.bfloat16).forward_features(x)
    assert low.dtype == torch.float32
    assert apart(low, model.forward_features(x)) < 0.03


@pytest.mark.parametrize("kind", ["resnet50", "resnet20", "wrn_16_4", "mobilenetv2_050"])
def test_blocks_are_nothing_but_convolutions(kind: str) -> None:
    copy = fused(network(kind))
    assert not [module for module in copy.modules() if isinstance(module, BATCH_NORMS)]
    blocks = [module for module in copy.modules() if isinstance(module, FusedBlock)]
    assert len(blocks) == sum(map(len, copy.plan.stages))
    for block in blocks:
        assert all(isinstance(step, Convolution) for step in (*block.before, *block.branch, block.last))
        assert block.adds == (block.join is not None)
        assert not len(block.after)


def test_what_the_network_learns_later_does_not_reach_it() -> None:
    model = network("resnet20")
    x = images(model)
    with torch.inference_mode():
        before = fused(model)
        first = before(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    with torch.inference_mode():
        torch.testing.assert_close(before(x), first, atol=0, rtol=0)
        assert apart(fused(model)(x), model(x)) < 5e-6
        assert apart(fused(model)(x), first) > 0.01
    assert not any(parameter.requires_grad for parameter in before.parameters())


def test_a_sum_is_written_over_only_what_nobody_else_holds() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    with torch.inference_mode():
        x, other = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
        one, held = Convolution(conv, torch.float32), other.clone()
        wanted = F.conv2d(x, conv.weight, conv.bias, padding=1) + other
        torch.testing.assert_close(one(x, other), wanted)
        torch.testing.assert_close(other, held, atol=0, rtol=0)
        torch.testing.assert_close(one(x, other, over=True), wanted)
        if onednn.has(x):
            torch.testing.assert_close(other, wanted)  # which is what makes it quick


def test_a_network_in_double_stays_so() -> None:
    model = network("resnet20").double()
    x = images(model).double()
    with torch.inference_mode():
        assert apart(fused(model, torch.float64)(x), model(x)) < 1e-13


@pytest.mark.parametrize(
    "act", [nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.LeakyReLU(0.3), nn.SiLU(), nn.GELU(), nn.GELU("tanh")], ids=str
)
@torch.inference_mode()
def test_activations_are_torchs_at_large_numbers_too(act: nn.Module) -> None:
    conv = nn.Conv2d(4, 8, 3)
    one, x = Convolution(conv, torch.float32), 20 * torch.randn(2, 4, 9, 9)
    assert one.take(act)
    torch.testing.assert_close(one(x), act(conv(x)), atol=1e-4, rtol=1e-5)


def test_a_convolution_takes_one_norm_and_then_one_activation() -> None:
    one = Convolution(nn.Conv2d(4, 4, 1), torch.float32)
    assert one.take(nn.BatchNorm2d(4))
    assert not one.take(nn.BatchNorm2d(4))
    assert not one.take(nn.GroupNorm(2, 4))
    assert one.take(nn.ReLU())
    assert not one.take(nn.ReLU())
    assert not Convolution(nn.Conv2d(4, 4, 1), torch.float32).take(nn.MaxPool2d(2))
    late = Convolution(nn.Conv2d(4, 4, 1), torch.float32)
    assert late.take(nn.ReLU())
    assert not late.take(nn.BatchNorm2d(4))


@torch.inference_mode()
def test_a_network_that_is_training_is_copied_as_it_evaluates() -> None:
    model = network("resnet20")
    x = images(model)
    wanted = model(x)
    assert apart(fused(model.train())(x), wanted) < 5e-6
    assert model.training
