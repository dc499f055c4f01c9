"""The network of another library that each of ours must equal, and how its tensors are called here."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peers import peer
from torch import Tensor, nn

from resnetkit.dialects import to_ours
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.zoo import find

Build = Callable[[], nn.Module]
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def peer_of(name: str) -> Build | None:
    """How the same network is built elsewhere; None where nobody has it."""
    torchvision = peer("torchvision.models")
    if name in torchvision.list_models(module=torchvision):
        return partial(torchvision.get_model, name)
    if name == "r3d_18":
        return peer("torchvision.models.video").r3d_18
    if found := re.fullmatch(r"resnet(50|101|152)_(v1|keras)", name):
        return partial(first_stride, f"resnet{found[1]}", found[2] == "keras")
    if found := re.fullmatch(r"resnet(18|34|50|101|152)_cifar", name):
        layers = int(found[1])
        return partial(small, layers=DEPTHS[layers], block="BasicBlock" if layers < 50 else "Bottleneck")
    if found := re.fullmatch(r"resnext29_(8|16)x64d", name):
        groups = int(found[1])
        return partial(small, "Bottleneck", layers=(3, 3, 3), channels=(64, 128, 256), cardinality=groups)
    if found := re.fullmatch(r"cbam_resnet(18|50)", name):
        block = "BasicBlock" if found[1] == "18" else "Bottleneck"
        return partial(timm_resnet, block, layers=DEPTHS[int(found[1])], block_args={"attn_layer": "cbam"})
    if found := re.fullmatch(r"wrn_(\d+)_(\d+)", name):
        widths = tuple(int(found[2]) * c for c in (16, 32, 64))
        return partial(small_v2, layers=((int(found[1]) - 4) // 6,) * 3, channels=widths, basic=True, stem_chs=16)
    if found := re.fullmatch(r"preact_resnet(164|1001)", name):
        return partial(small_v2, layers=((int(found[1]) - 2) // 9,) * 3, channels=(64, 128, 256), stem_chs=16)
    if name == "preact_resnet18_cifar":
        return partial(small_v2, layers=(2, 2, 2, 2), channels=(64, 128, 256, 512), basic=True)
    timm = peer("timm")
    return partial(timm.create_model, name) if name in timm.list_models() else None


def timm_resnet(block: str, **values: Any) -> nn.Module:
    timm = peer("timm.models.resnet")
    model = timm.ResNet(getattr(timm, block), **values)
    assert isinstance(model, nn.Module)
    return model


def small(block: str, **values: Any) -> nn.Module:
    """With the stem of CIFAR users."""
    model = timm_resnet(block, num_classes=10, **values)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    if len(values["layers"]) == 3:
        model.layer4 = nn.Identity()
    return model


def small_v2(layers: Any, channels: Any, stem_chs: int = 64, basic: bool = False) -> nn.Module:
    timm, v2 = peer("timm.layers"), peer("timm.models.resnetv2")
    model = v2.ResNetV2(
        layers,
        channels,
        num_classes=10,
        stem_chs=stem_chs,
        basic=basic,
        bottle_ratio=1.0 if basic else 0.25,
        conv_layer=timm.create_conv2d,
        norm_layer=timm.BatchNormAct2d,
    )
    model.stem.conv = nn.Conv2d(3, stem_chs, 3, padding=1, bias=False)
    model.stem.pool = nn.Identity()
    assert isinstance(model, nn.Module)
    return model


def first_stride(name: str, keras: bool) -> nn.Module:
    """torchvision's network with its strides moved to the first 1x1, and what Keras has beside that."""
    model = peer("torchvision.models").get_model(name)
    assert isinstance(model, nn.Module)
    for module in model.modules():
        if hasattr(module, "conv3") and isinstance(module.conv2, nn.Conv2d) and isinstance(module.conv1, nn.Conv2d):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    for module in model.modules() if keras else ():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5
        if isinstance(module, nn.Conv2d):
            module.bias = nn.Parameter(torch.empty(module.out_channels))
    return model


@contextmanager
def unbegun() -> Iterator[None]:
    """Networks are built without numbers in them: they would be written over at once."""
    kept = {word: getattr(nn.init, word) for word in dir(nn.init) if word.endswith("_") and not word.startswith("_")}
    try:
        for word in kept:
            setattr(nn.init, word, lambda tensor, *_, **__: tensor)
        with torch.device("meta"):
            yield
    finally:
        for word, function in kept.items():
            setattr(nn.init, word, function)


def blank(name: str) -> Network:
    with torch.device("meta"):
        model = build(lay_out(find(name)))
    for module in model.modules():
        if getattr(module, "filter", None) is not None:
            side = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64)
            module.filter = (side[:, None] * side)[None, None]
    return model.eval()


def filled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Numbers as after training, the same on every machine: no norm is 0 or 1, and no two weights are alike."""
    noise = torch.randn(1 << 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = {}
    for place, (name, like) in enumerate(state.items()):
        part = name.rpartition(".")[2]
        if part == "num_batches_tracked":
            found[name] = torch.tensor(7)
            continue
        draw = noise.roll(37 * place).repeat(-(-like.numel() // len(noise)))[: like.numel()].view(like.shape)
        if part == "running_var" or (part == "weight" and like.ndim == 1):
            draw = 1 + 0.3 * draw.clamp(-2, 2)
        elif like.ndim > 1:
            draw = draw * (0.5 / like[0].numel()) ** 0.5
        else:
            draw = 0.2 * draw
        found[name] = draw
    return found


def sample(name: str, channels: int = 3) -> Tensor:
    """A little picture, or clip, whose sides are odd and uneven."""
    sides = {3: (5, 35, 33)}.get(find(name).ndim, (33, 49))
    return torch.randn((2, channels, *sides), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@dataclass(frozen=True)
class Compared:
    """A network of ours beside the same of another library, on the same weights and picture."""

    logits: Tensor  # ours, in float64
    peer: str  # whose the other is, or nothing where nobody has it
    exact: float  # largest difference of a logit in float64, in shares of the largest logit
    single: float  # the same in float32
    parameters: int  # the other's


@torch.no_grad()
def compared(name: str) -> Compared:
    """Both networks with all their numbers filled in; ValueError where their tensors are not the same by name."""
    ours, x = blank(name), sample(name)
    state = filled(ours.state_dict())
    ours.load_state_dict(state, assign=True)
    logits = ours(x)
    factory = peer_of(name)
    if factory is None:
        return Compared(logits, "", 0, 0, 0)
    with unbegun():
        theirs = factory().eval()
    called = to_ours(theirs.state_dict(), [])
    if called.keys() != state.keys():
        raise ValueError(f"{name}: {called.keys() ^ state.keys()}")
    pairs = zip(theirs.state_dict().items(), called, strict=True)
    theirs.load_state_dict({key: state[own].reshape(value.shape) for (key, value), own in pairs}, assign=True)
    for module in theirs.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # of timm's filters, which are no weights
            refill: Any = module
            refill.filt = torch.empty_like(refill.filt, device="cpu")
            refill.init_non_persistent_buffers()
    exact = apart(logits, theirs.double()(x))
    single = apart(ours.float()(x.float()), theirs.float()(x.float()))
    count = sum(p.numel() for p in theirs.parameters())
    return Compared(logits, type(theirs).__module__.partition(".")[0], exact, single, count)


def apart(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference in shares of the largest number; infinite where there is nothing to compare."""
    largest = theirs.abs().max()
    if ours.shape != theirs.shape or not torch.isfinite(largest) or not largest > 0:
        return float("inf")
    return float((ours - theirs).abs().max() / largest)
