"""Every network that has a name: the same answers as the public one, the same numbers as ever, and fit for all uses."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peers import peer
from torch import Tensor
from zoo_peers import compared, filled

from resnetkit.cost import totals
from resnetkit.data.preprocess import Preprocess
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card, load, save
from resnetkit.network import Network
from resnetkit.plan import Plan, with_io
from resnetkit.planfile import to_json
from resnetkit.spec import Spec
from resnetkit.weights import fill
from resnetkit.zoo import ZOO, find


def short(name: str) -> Plan:
    """The same network with at most two blocks a stage and, where its norms allow, a quarter of the width."""
    spec = find(name)
    if not isinstance(spec, Spec):
        return lay_out(spec)
    part = 1 if spec.norm == "group" else 4
    widths = tuple(width // part for width in spec.widths)
    stem = spec.stem_width and spec.stem_width // part
    return lay_out(replace(spec, depths=tuple(min(2, depth) for depth in spec.depths), widths=widths, stem_width=stem))


GOLDEN = Path(__file__).parent / "golden" / "zoo.json"
ALONE = {"resnet8", *(f"resnet{n}" for n in (20, 32, 44, 56, 110, 1202)), *(n for n in ZOO if n.startswith("plain"))}


def near(ours: Tensor, theirs: Tensor, most: float) -> None:
    assert ours.shape == theirs.shape
    largest = theirs.abs().max()
    assert torch.isfinite(largest)
    assert largest > 0
    assert (ours - theirs).abs().max() <= most * largest


@pytest.mark.parametrize("name", ZOO)
def test_a_network_is_the_one_that_has_its_name(name: str) -> None:
    """Parameters, cost and logits are what they always were, and logits those of the other library."""
    golden = json.loads(GOLDEN.read_text())[name]
    cost, found = totals(lay_out(find(name))), compared(name)
    assert [cost.parameters, cost.macs, cost.activations] == golden["cost"]
    near(found.logits.flatten()[:4], torch.tensor(golden["logits"], dtype=torch.float64), 1e-6)
    assert (not found.peer) == (name in ALONE)
    if found.peer:
        assert found.parameters == cost.parameters
        assert found.exact <= 1e-10
        assert found.single <= 1e-5


def test_networks_that_nobody_else_has_are_named() -> None:
    assert set(ZOO) >= ALONE


def gradients(model: Network, x: Tensor) -> dict[str, Tensor]:
    """Of every parameter, for one step of training; running statistics are left as they were."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    model.train()(x).square().sum().backward()
    model.load_state_dict(before)
    model.eval()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_every_network_of_timm_that_a_spec_can_say_is_here() -> None:
    """What is left has pools for filters, narrow first convolutions, mixed blocks, uneven widths or other norms."""
    timm = peer("timm")
    theirs = {*timm.list_models(module="resnet"), *timm.list_models(module="resnetv2")}
    left = {name for name in theirs - set(ZOO) if not re.search(r"aa\d|_bit$|_pruned$|_(evos|frn)$", name)}
    assert left == {"senet154", "test_resnet"}


# Depth and width change nothing in how a network is used: two narrow blocks a stage hold all that it is made of.
SHORT = {json.dumps(to_json(plan)): name for name in reversed(ZOO) for plan in [short(name)]}


@pytest.mark.parametrize("name", SHORT.values())
def test_a_network_is_fit_for_all_uses(name: str, tmp_path: Path) -> None:
    """Other sizes, channels and classes, low precision, a file and back, a program, and less memory."""
    for channels in (5, 1):
        plan = with_io(short(name), channels=channels, classes=7)
        model = build(plan)
        model.load_state_dict({key: value.float() for key, value in filled(model.state_dict()).items()}, strict=False)
        model.eval()
        for sides in ((40, 64), (32, 32)):
            x = torch.randn((2, channels, *((4,) if plan.ndim == 3 else ()), *sides))
            logits = model(x)
            assert logits.shape == (2, 7)
            assert torch.isfinite(logits).all()
    low = build(plan).eval()
    low.load_state_dict(model.state_dict())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        near(low(x).float(), model(x), 0.15)
    program = torch.export.export(model, (x,)).module()
    near(program(x), model(x), 1e-5)
    kept = gradients(model, x)
    model.set_grad_checkpointing()
    for name_of, gradient in gradients(model, x).items():
        assert torch.equal(gradient, kept[name_of])
    model.set_grad_checkpointing(False)
    if plan.ndim == 2:
        pixels = Preprocess(size=(32, 32), mean=(0.5,) * channels, std=(0.2,) * channels, channels=channels)
        card = Card(model=name, plan=plan, classes=tuple("abcdefg"), preprocess=pixels)
        save(tmp_path / "model.safetensors", model.state_dict(), card)
        again, state = load(tmp_path / "model.safetensors")
        assert again == card
        back = build(again.plan).eval()
        fill(back, state, what="the file")
        assert torch.equal(back(x), model(x))
