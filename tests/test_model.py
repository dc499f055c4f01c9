"""The modules are those of the papers and of torchvision: names, order, answers, and how weights begin."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from peers import peer
from torch import Tensor, nn
from torch.nn import functional as F

from resnetkit.cost import totals
from resnetkit.errors import UsageError
from resnetkit.init import initialize
from resnetkit.layers import PadShortcut
from resnetkit.layout import lay_out
from resnetkit.model import BasicBlock, Bottleneck, PlainBlock, ResNet
from resnetkit.plan import Plan
from resnetkit.spec import Spec
from resnetkit.units import Block, Layer, Shortcut
from resnetkit.walk import shapes
from resnetkit.zoo import find

TINY = lay_out(Spec(block="basic", depths=(1, 2), widths=(8, 16), classes=5, size=32))


def dice(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(name: str, **changes: Any) -> ResNet:
    return ResNet(lay_out(replace(find(name), **changes)))


@torch.no_grad()
def shake(model: nn.Module, seed: int = 0) -> None:
    """Norms as they are after training: none of their numbers is 0 or 1, and no sign or scale is common to them."""
    random = dice(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.weight.uniform_(0.5, 1.5, generator=random)
            module.bias.normal_(0, 0.2, generator=random)
            module.running_mean.normal_(0, 0.2, generator=random)
            module.running_var.uniform_(0.5, 2, generator=random)


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=dice(1), dtype=torch.float64)


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.abs().max() > 0
    assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max()


POINTS = Spec(ndim=0, depths=(1, 2), widths=(8, 17), stem="1x1", pool="none", channels=7, classes=3, size=1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"block": "basic"}, {"block": "basic", "shortcut": "pad"}, {"block": "basic", "shortcut": "none"}],
    ids=str,
)
@pytest.mark.parametrize("training", [False, True])
def test_a_network_of_vectors_is_one_of_pictures_of_a_single_point(changes: dict[str, Any], training: bool) -> None:
    """Its linear layers are 1x1 convolutions with another shape, and the batch is all that its norms can look at."""
    plan = lay_out(replace(POINTS, **changes))
    vectors, pictures = ResNet(plan).double(), ResNet(replace(plan, ndim=2)).double()
    assert not any(isinstance(module, nn.Conv2d | nn.BatchNorm2d | PadShortcut) for module in vectors.modules())
    shake(pictures)
    wanted = vectors.state_dict()
    vectors.load_state_dict({name: value.reshape(wanted[name].shape) for name, value in pictures.state_dict().items()})
    assert {name: tuple(value.shape) for name, value in wanted.items()} == shapes(plan)
    assert sum(p.numel() for p in vectors.parameters()) == totals(plan).parameters
    x = images(5, 7)
    vectors.train(training)
    pictures.train(training)
    assert_near(vectors(x), pictures(x[:, :, None, None]))


def test_layers_of_vectors_begin_as_convolutions_do() -> None:
    net = ResNet(lay_out(replace(POINTS, block="basic", depths=(1,), widths=(256,))))
    initialize(net, seed=0, zero_last=True)
    hidden, head = net.get_parameter("layer1.0.conv1.weight"), net.get_parameter("fc.weight")
    assert hidden.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert head.abs().max().item() <= 256**-0.5
    assert not net.get_parameter("layer1.0.bn2.weight").any()
    assert net.get_parameter("layer1.0.bn1.weight").all()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", (97, 65)),
        ("resnet18", (128, 64)),
        ("resnet34", (97, 65)),
        ("resnet50", (97, 65)),
        ("resnet101", (65, 33)),
        ("resnet152", (33, 65)),
    ],
)
def test_logits_are_those_of_torchvision(name: str, size: tuple[int, int]) -> None:
    theirs = peer("torchvision.models").get_model(name).double().eval()
    shake(theirs)
    ours = build(name).double().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = images(2, 3, *size)
    with torch.no_grad():
        assert_near(ours(x), theirs(x))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_training_is_that_of_torchvision(name: str) -> None:
    """Gradients and running statistics after one step backwards."""
    theirs = peer("torchvision.models").get_model(name, num_classes=4).double().train()
    shake(theirs)
    ours = build(name, classes=4).double().train()
    ours.load_state_dict(theirs.state_dict())
    x = images(2, 3, 33, 49)
    for model in (ours, theirs):
        F.cross_entropy(model(x), torch.tensor([0, 3])).backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None, key
        assert_near(mine.grad, other.grad)
    for key, buffer in ours.named_buffers():
        assert_near(buffer.double(), theirs.get_buffer(key).double())


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_surface_is_that_of_timm(name: str) -> None:
    theirs = peer("timm").create_model(name, num_classes=7, in_chans=1).double().eval()
    shake(theirs)
    ours = build(name, classes=7, channels=1).double().eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = images(2, 1, 33, 65)
    for _ in range(2):
        assert (ours.num_features, ours.num_classes, ours.in_chans) == (
            theirs.num_features,
            theirs.num_classes,
            theirs.in_chans,
        )
        assert type(ours.get_classifier()) is type(theirs.get_classifier())
        with torch.no_grad():
            features = ours.forward_features(x)
            assert_near(features, theirs.forward_features(x))
            assert_near(ours.forward_head(features), theirs.forward_head(features))
            assert_near(ours.forward_head(features, pre_logits=True), theirs.forward_head(features, pre_logits=True))
            assert_near(ours(x), theirs(x))
        ours.reset_classifier(0)
        theirs.reset_classifier(0)
    assert ours.act1 is ours.relu
    assert ours.global_pool is ours.avgpool


def test_a_new_head_stands_where_the_network_stands() -> None:
    model = ResNet(TINY).double().eval()
    body = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("fc")}
    model.reset_classifier(3)
    assert model(images(2, 3, 32, 32)).shape == (2, 3)
    assert (model.plan.classes, model.num_classes) == (3, 3)
    assert not model.get_classifier().training
    assert all(torch.equal(model.state_dict()[key], value) for key, value in body.items())
    with pytest.raises(ValueError, match=r"plan.classes"):
        model.reset_classifier(-1)
    assert model.num_classes == 3


def test_a_head_is_replaced_as_in_torchvision() -> None:
    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10)
    assert isinstance(model.fc, nn.Linear)
    model.fc = nn.Linear(model.fc.in_features, 2)
    assert model.eval()(torch.zeros(1, 3, 40, 40)).shape == (1, 2)


@pytest.mark.parametrize(
    ("block", "layers", "name"),
    [
        (BasicBlock, [2, 2, 2, 2], "resnet18"),
        (BasicBlock, (3, 4, 6, 3), "resnet34"),
        (Bottleneck, [3, 4, 6, 3], "resnet50"),
        (PlainBlock, [2, 2, 2, 2], "plain18"),
    ],
)
def test_a_network_is_built_as_in_torchvision(block: Any, layers: Any, name: str) -> None:
    with torch.device("meta"):
        assert ResNet(block, layers).plan == lay_out(find(name))
        assert ResNet(block, layers, num_classes=10).plan == lay_out(replace(find(name), classes=10))
        assert ResNet(block=block, layers=layers, num_classes=0).fc.__class__ is nn.Identity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((find("resnet18"),), "ResNet cannot be built from Spec"),
        (("resnet18",), "ResNet cannot be built from 'resnet18'"),
        ((BasicBlock,), "ResNet does not know how deep to be"),
        ((BasicBlock, [2, 0]), "depths holds 0"),
        ((BasicBlock, [2, 2], -1), "classes holds -1"),
        ((TINY, [2, 2]), "a Plan brings its own layers"),
        ((TINY, None, 10), "a Plan brings its own layers"),
    ],
)
def test_what_cannot_be_built_is_said(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ResNet(*arguments)
    assert caught.value.what.startswith(message)


def test_option_a_is_that_of_the_paper() -> None:
    """Against the line that CIFAR users know, for what they build: half the points, twice the channels."""
    x = images(2, 16, 9, 7)
    assert torch.equal(PadShortcut(2, (8, 8))(x), F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 32 // 4, 32 // 4)))
    out = PadShortcut(1, (1, 2))(x)
    assert torch.equal(out[:, 1:-2], x)
    assert not out[:, 0].any()
    assert not out[:, -2:].any()


def reference(model: ResNet, x: Tensor) -> Tensor:
    """The CIFAR network of section 4.2, written down again from the paper over the tensors of ``model``."""
    state = model.state_dict()

    def unit(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, state[f"{conv}.weight"], stride=stride, padding=1)
        mean, var, weight, bias = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        column = (slice(None), None, None)
        return (x - mean[column]) / torch.sqrt(var[column] + 1e-5) * weight[column] + bias[column]

    x = F.relu(unit(x, "conv1", "bn1"))
    for stage in (1, 2, 3):
        for b in range(3):
            at = f"layer{stage}.{b}"
            stride = 2 if stage > 1 and b == 0 else 1
            out = F.relu(unit(x, f"{at}.conv1", f"{at}.bn1", stride))
            out = unit(out, f"{at}.conv2", f"{at}.bn2")
            if model.plan.stages[0][0].kind == "plain":
                x = F.relu(out)
            else:
                c = out.shape[1] - x.shape[1]
                x = F.relu(out + F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, c // 2, c // 2)))
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("name", ["resnet20", "plain20"])
def test_logits_are_those_of_the_paper(name: str) -> None:
    model = build(name).double().eval()
    shake(model)
    x = images(2, 3, 33, 18)
    with torch.no_grad():
        assert_near(model(x), reference(model, x))


def test_a_plain_network_has_no_sum() -> None:
    """Where the branch answers zero, a residual block hands on what it was asked and a plain one nothing."""
    residual, plain = build("resnet20").eval(), build("plain20").eval()
    x = torch.rand(1, 16, 8, 8, generator=dice(2))
    for model in (residual, plain):
        block = model.get_submodule("layer1.0")
        nn.init.zeros_(block.get_parameter("bn2.weight"))
    assert torch.equal(residual.get_submodule("layer1.0")(x), x)
    assert not plain.get_submodule("layer1.0")(x).any()
    assert not [key for key in plain.state_dict() if "downsample" in key]


def test_a_layer_is_built_as_planned() -> None:
    """Groups, dilation, bias, eps and a missing norm come from the plan; a norm keeps torch's momentum."""
    plan = Plan(
        stem=(Layer(1, 4, 5, 3, padding=2, bias=True, eps=None),),
        pool=None,
        stages=(
            (
                Block(
                    "basic",
                    (Layer(4, 6, 3, dilation=2, padding=2, groups=2, eps=1e-3), Layer(6, 6, 1, eps=None, act="none")),
                    Shortcut("project", Layer(4, 6, 1, eps=None, bias=True, act="none")),
                ),
            ),
        ),
        classes=2,
        size=32,
    )
    model = ResNet(plan, zero_init_residual=True)
    conv, norm = model.get_submodule("layer1.0.conv1"), model.get_submodule("layer1.0.bn1")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.groups, conv.dilation, conv.padding, conv.bias) == (2, (2, 2), (2, 2), None)
    assert isinstance(norm, nn.BatchNorm2d)
    assert (norm.eps, norm.momentum) == (1e-3, 0.1)
    assert isinstance(model.bn1, nn.Identity)
    assert isinstance(model.maxpool, nn.Identity)
    assert [key for key in model.state_dict() if key.endswith("bias")] == [
        "conv1.bias",
        "layer1.0.bn1.bias",
        "layer1.0.downsample.0.bias",
        "fc.bias",
    ]
    assert not model.get_parameter("conv1.bias").any()
    assert model.eval()(torch.zeros(1, 1, 20, 20)).shape == (1, 2)


@pytest.mark.parametrize("name", ["resnet18_cifar", "resnet20", "plain20"])
def test_one_picture_or_many_of_any_size(name: str) -> None:
    model = build(name).eval()
    for size in [(32, 32), (1, 1), (5, 31)]:
        assert model(torch.zeros(2, 3, *size)).shape == (2, 10)
    assert model(torch.zeros(0, 3, 32, 32)).shape == (0, 10)


def test_the_input_is_left_as_it_was() -> None:
    """Activations work in place, but never on what belongs to the caller."""
    model = build("resnet20").eval()
    x = torch.randn(1, 3, 32, 32, generator=dice(3))
    before = x.clone()
    model(x)
    assert torch.equal(x, before)
    block_input = torch.randn(1, 16, 8, 8, generator=dice(4))
    before = block_input.clone()
    model.get_submodule("layer1.0")(block_input)
    model.get_submodule("layer2.0")(block_input)
    assert torch.equal(block_input, before)


def test_a_copy_is_its_own() -> None:
    model = ResNet(TINY).eval()
    twin = copy.deepcopy(model)
    x = torch.randn(1, 3, 32, 32, generator=dice(5))
    assert torch.equal(twin(x), model(x))
    nn.init.zeros_(twin.get_parameter("conv1.weight"))
    assert not torch.equal(twin(x), model(x))


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ResNet(TINY)(torch.zeros(2, 3, 32, 32))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["resnet50_cifar", "resnet20"])
def test_torch_export(name: str) -> None:
    model = build(name, depths=(1, 1, 1), widths=(4, 8, 16)).eval()
    x = torch.randn(2, 3, 32, 32, generator=dice(6))
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=64)},))
    more = torch.randn(5, 3, 32, 32, generator=dice(7))
    for batch in (x, more):
        assert torch.allclose(exported.module()(batch), model(batch), rtol=1e-5, atol=1e-6)


# init.py


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return all(torch.equal(ours[key], theirs[key]) for key in ours)


def seeded(plan: Plan, seed: int | None, zero_last: bool = False) -> ResNet:
    model = ResNet(plan)
    shake(model)
    initialize(model, seed=seed, zero_last=zero_last)
    return model


def test_a_seed_says_every_bit() -> None:
    first = tensors(seeded(TINY, 7))
    torch.rand(3)
    assert same(first, tensors(seeded(TINY, 7)))
    other = tensors(seeded(TINY, 8))
    assert not any(torch.equal(first[key], other[key]) for key in first if "conv" in key or "fc" in key)


def test_a_seed_leaves_the_dice_of_torch_alone() -> None:
    model = ResNet(TINY)
    before = torch.get_rng_state()
    initialize(model, seed=7, zero_last=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_dice_of_torch_decide() -> None:
    def begun(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return tensors(ResNet(TINY))

    with torch.random.fork_rng(devices=[]):
        assert same(begun(1), begun(1))
        assert not same(begun(1), begun(2))


@pytest.mark.parametrize("seed", [None, 3])
def test_nothing_is_left_of_what_was(seed: int | None) -> None:
    model = ResNet(TINY)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.fill_(1000)
    initialize(model, seed=seed, zero_last=False)
    assert not any((tensor == 1000).any() for tensor in [*model.parameters(), *model.buffers()])


def test_a_tensor_begins_by_its_name_alone() -> None:
    """Another head or another input leaves the rest as it begins anyway."""
    one, other = tensors(seeded(TINY, 7)), tensors(seeded(replace(TINY, classes=9), 7))
    assert all(torch.equal(one[key], other[key]) for key in one if not key.startswith("fc"))
    assert not torch.equal(one["layer2.1.conv1.weight"], one["layer2.1.conv2.weight"])


def test_a_seed_means_the_same_in_every_precision() -> None:
    single, double = seeded(TINY, 7), ResNet(TINY).double()
    initialize(double, seed=7, zero_last=False)
    assert all(torch.equal(value.double(), tensors(double)[key].double()) for key, value in tensors(single).items())


@pytest.mark.parametrize("seed", [None, 3])
def test_the_paper_begins_by_the_inputs_of_each_layer(seed: int | None) -> None:
    """Delving deep into rectifiers, equation 10: deviation sqrt(2 / inputs), the head's too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ResNet(lay_out(find("resnet18_cifar")))
        initialize(model, seed=seed, zero_last=False, fan_in=True)
    for name in ("fc", "layer2.0.conv1", "layer2.0.downsample.0"):
        weight = model.state_dict()[f"{name}.weight"]
        deviation = (2 / weight[0].numel()) ** 0.5
        assert float(weight.std()) == pytest.approx(deviation, rel=0.05)
        assert float(weight.abs().max()) > 2.5 * deviation  # normal, not even


@pytest.mark.parametrize("seed", [None, 3])
def test_the_distributions_are_the_published_ones(seed: int | None) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = seeded(lay_out(find("resnet18_cifar")), seed)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            expected = (2 / (module.out_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.03), name
            assert abs(module.weight.mean().item()) < expected / 20, name
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            assert (module.weight == 1).all()
            assert (module.running_var == 1).all()
            assert not module.bias.any()
            assert not module.running_mean.any()
    assert isinstance(model.fc, nn.Linear)
    edge = 512**-0.5
    assert model.fc.weight.abs().max().item() == pytest.approx(edge, rel=0.01)
    assert model.fc.weight.abs().max() <= edge
    assert model.fc.weight.std().item() == pytest.approx(edge / 3**0.5, rel=0.05)
    assert 0 < model.fc.bias.abs().max() <= edge


def zeroed(model: nn.Module) -> set[str]:
    norms = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d))
    return {name for name, norm in norms if not norm.weight.any()}


@pytest.mark.parametrize(
    ("name", "build_in"),
    [("resnet18", True), ("resnet50", True), ("resnet20", False), ("plain20", False), ("plain18", True)],
)
def test_zero_last_silences_each_residual_branch(name: str, build_in: bool) -> None:
    spec = find(name)
    assert isinstance(spec, Spec)
    plan = lay_out(replace(spec, widths=(4, 8, 16, 32)[: len(spec.depths)]))
    model = ResNet(plan, zero_init_residual=True) if build_in else seeded(plan, 0, zero_last=True)
    last = {"basic": "bn2", "bottleneck": "bn3"}
    assert zeroed(model) == {
        f"layer{s}.{b}.{last[block.kind]}"
        for s, stage in enumerate(plan.stages, start=1)
        for b, block in enumerate(stage)
        if block.kind != "plain"
    }
    assert not zeroed(ResNet(plan))


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_zero_last_is_that_of_torchvision(name: str) -> None:
    theirs = peer("torchvision.models").get_model(name, zero_init_residual=True)
    assert zeroed(theirs) == zeroed(ResNet(lay_out(find(name)), zero_init_residual=True))


def test_a_network_begins_as_its_shortcuts() -> None:
    model = seeded(lay_out(find("resnet20")), 0, zero_last=True).eval()
    x = torch.rand(1, 16, 8, 8, generator=dice(8))
    stage: Callable[[Tensor], Tensor] = model.get_submodule("layer1")
    assert torch.equal(stage(x), x)
