"""The machine is what was asked for or the best one here, and says so when it is not to be had."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from resnetkit.data.preprocess import Preprocess
from resnetkit.engine import device
from resnetkit.engine.device import Machine, available, best_precision, choose, half
from resnetkit.errors import ResourceError, UsageError
from resnetkit.job import prepare
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.run import Run
from resnetkit.walk import strides_of_a_point
from resnetkit.zoo import find

SEEN = Preprocess(size=(32, 32), crop=1.0, mean=(0.5,) * 3, std=(0.25,) * 3, channels=3)


def test_the_processor_is_always_there() -> None:
    assert available()[-1] == "cpu"
    assert choose("cpu", "fp32") == Machine(torch.device("cpu"), "fp32")
    assert str(choose().device) == available()[0]


@pytest.mark.parametrize(("asked", "precision"), [("cuda:99", "auto"), ("cpu", "fp16")])
def test_what_is_not_to_be_had_is_refused(asked: str, precision: str) -> None:
    with pytest.raises(ResourceError) as caught:
        choose(asked, precision)
    assert caught.value.code == 5


@pytest.mark.parametrize(
    ("amx", "avx", "best", "tried"),
    [(True, True, "bf16", "bf16"), (False, True, "fp32", "bf16"), (False, False, "fp32", "fp32")],
)
def test_a_processor_gets_bf16_only_if_it_is_made_for_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx: bool, best: str, tried: str
) -> None:
    """Where it is emulated, or multiplied by AVX-512 alone, it is slower than float32; the second may be measured."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    assert (best_precision(torch.device("cpu")), half(torch.device("cpu"))) == (best, tried)


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16"), (False, "fp16")])
def test_older_cards_get_fp16(monkeypatch: pytest.MonkeyPatch, native: bool, wanted: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    assert best_precision(torch.device("cuda")) == wanted
    assert Machine(torch.device("cpu"), "fp16").scaler().is_enabled()
    assert not Machine(torch.device("cpu"), "bf16").scaler().is_enabled()


def test_bf16_stays_near_float32_and_weights_stay_float32() -> None:
    torch.manual_seed(0)
    model = ResNet(lay_out(find("resnet20"))).eval()
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    answers = {}
    for precision in ("fp32", "bf16"):
        machine = Machine(torch.device("cpu"), precision)
        machine.prepare(model)
        with torch.inference_mode(), machine.autocast():
            answers[precision] = model(machine.images(images, SEEN)).float()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    spread = answers["fp32"].abs().max()
    assert 0 < (answers["fp32"] - answers["bf16"]).abs().max() < 0.1 * spread


def test_networks_and_pictures_are_channels_last() -> None:
    machine = Machine(torch.device("cpu"), "fp32")
    model = machine.prepare(ResNet(lay_out(find("resnet20"))))
    images = machine.images(np.zeros((2, 32, 32, 3), np.uint8), SEEN)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert next(model.parameters()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_memory_is_kept_between_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    libc = type("Libc", (), {"mallopt": staticmethod(lambda parameter, value: asked.append((parameter, value)))})
    monkeypatch.setattr("ctypes.CDLL", lambda _name: libc)
    device.keep_memory()
    assert dict(asked) == {-4: 0, -1: 2**31 - 1, -2: 512 * 2**20}


def test_the_fingerprint_tells_machines_apart() -> None:
    one, other = (Machine(torch.device("cpu"), precision).fingerprint() for precision in ("fp32", "bf16"))
    assert one != other
    assert {"device", "precision", "threads", "torch", "processor", "system"} <= one.keys()


@pytest.mark.parametrize(("macs", "wanted"), [(1.6e8, 1), (5.2e9, 2)])
def test_little_work_is_not_shared(macs: float, wanted: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with device.threads(macs):
            assert torch.get_num_threads() == wanted
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_pictures_that_become_a_point_before_the_last_stride_are_learned_in_float32() -> None:
    """A gradient of bf16 there holds whatever lay in memory, on CPUs."""
    plan = lay_out(find("resnet18"))
    assert strides_of_a_point(plan, 8)
    assert strides_of_a_point(plan, (8, 16))
    assert not strides_of_a_point(plan, 32)
    assert not strides_of_a_point(lay_out(find("resnet20")), 8)
    run = Run(data="digits", model="resnet18", weights="none", device="cpu", steps=2)
    assert prepare(run, frozenset({"model"})).machine.precision == "fp32"
    if choose("cpu").precision == "bf16":
        with pytest.raises(UsageError, match="resnet18 makes a single point of pictures of 8x8"):
            prepare(replace(run, precision="bf16"), frozenset({"model", "precision"}))
