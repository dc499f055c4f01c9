"""Weights into networks: strictly, or for other classes and channels, and always with a reason."""

import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers import peer
from PIL import Image
from safetensors.torch import save_file
from samples import folder
from torch import Tensor, nn

from resnetkit import cli, modelfile, weights, zoo
from resnetkit import published as published_rows
from resnetkit.assumptions import assume
from resnetkit.create import create_model, list_models
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import UsageError, WeightsError
from resnetkit.job import prepare
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.model import ResNet
from resnetkit.modelfile import Card
from resnetkit.plan import Plan, with_io
from resnetkit.run import Run
from resnetkit.spec import Spec
from resnetkit.walk import shapes
from resnetkit.weights import fill, transfer
from resnetkit.zoo import find

TINY = Spec(block="basic", depths=(1, 1), widths=(4, 8), stem="3x3", pool="none", classes=3, size=8)


def tiny(channels: int = 3, classes: int = 3) -> ResNet:
    return ResNet(with_io(lay_out(TINY), channels=channels, classes=classes)).eval()


def outline(plan: Plan) -> dict[str, Tensor]:
    """A state dict of the right names and shapes that holds no numbers."""
    with torch.device("meta"):
        return build(plan).state_dict()


def copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", zoo.names())
def test_shapes_are_those_of_the_network(name: str) -> None:
    plan = lay_out(zoo.find(name))
    assert shapes(plan) == {key: tuple(value.shape) for key, value in outline(plan).items()}


def test_shapes_of_unusual_layers() -> None:
    plan = lay_out(replace(TINY, channels=4, classes=0))
    plan = replace(plan, stem=(replace(plan.stem[0], bias=True, eps=None, groups=2),))
    assert shapes(plan)["conv1.weight"] == (4, 2, 3, 3)
    assert "conv1.bias" in shapes(plan)
    assert shapes(plan) == {key: tuple(value.shape) for key, value in outline(plan).items()}


# All of them


def test_fill_is_strict_and_whole() -> None:
    one, other = tiny(), tiny()
    fill(other, one.state_dict(), what="weights.pth")
    assert unchanged(other, copy(one))
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(one(x), other(x))


def test_counters_of_norms_may_be_missing() -> None:
    """torch wrote none before 0.4.1, and nothing here reads them."""
    state = {name: value for name, value in tiny().state_dict().items() if "num_batches" not in name}
    model = tiny()
    fill(model, state, what="old.pth")
    assert torch.equal(model.get_parameter("fc.weight"), state["fc.weight"])


def test_fill_refuses_and_changes_nothing() -> None:
    model = tiny()
    before = copy(model)
    for change, says in (
        (
            lambda s: s.pop("bn1.weight"),
            "37 of 38 tensors fit, 1 missing, 0 unexpected, 0 mismatched (bn1.weight missing)",
        ),
        (
            lambda s: s.update({"bn9.weight": torch.zeros(1)}),
            "38 of 38 tensors fit, 0 missing, 1 unexpected, 0 mismatched (bn9.weight unexpected)",
        ),
        (lambda s: s.update({"bn1.bias": torch.zeros(5)}), "bn1.bias is 5 and should be 4"),
        (lambda s: s.update({"conv1.weight": torch.tensor(1.0)}), "conv1.weight is one number and should be 4x3x3x3"),
        (lambda s: s.clear(), "0 of 38 tensors fit"),
        (lambda s: s.update({"bn1.bias": [0, 0, 0, 0]}), "'bn1.bias' (list)"),
    ):
        state: dict[str, Tensor] = copy(tiny())
        change(state)
        with pytest.raises(WeightsError) as caught:
            fill(model, state, what="weights.pth")
        assert says in caught.value.what
        assert "weights.pth" in caught.value.what
        assert unchanged(model, before)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("fc.weight", torch.ones(3, 64, dtype=torch.int8), "fc.weight is int8: quantized numbers are no weights"),
        ("bn1.bias", torch.ones(16, dtype=torch.bool), "bn1.bias is bool: quantized numbers are no weights"),
        ("bn1.running_mean", torch.ones(16, dtype=torch.int64), "bn1.running_mean is int64: quantized numbers"),
        ("bn1.running_var", torch.ones(16) - 2, "bn1.running_var has a variance below 0"),
    ],
    ids=["int8", "bool", "int64", "negative"],
)
def test_numbers_that_are_no_weights_are_refused_wherever_they_come_in(
    name: str, value: Tensor, says: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path / "data", *(f"{label}/{i}.png" for label in "ab" for i in range(6)))
    state: dict[str, Tensor] = dict(create_model("resnet20", num_classes=3).state_dict())
    state["bn1.num_batches_tracked"] = torch.tensor(3, dtype=torch.int16)
    assert create_model("resnet20", weights=state).num_classes == 3, "a counter may be any whole number"
    state[name] = value
    paths = [tmp_path / "w.pth", tmp_path / "w.safetensors"]
    torch.save(state, paths[0])
    save_file(state, paths[1])
    for path in paths:
        code, _, err = imported(path, capfd)
        assert (code, says in err) == (4, True), err
        with pytest.raises(WeightsError, match=says):
            prepare(
                Run(data=str(tmp_path / "data"), model="resnet20", weights=str(path)), frozenset({"model", "weights"})
            )
    sources: list[Path | dict[str, Tensor]] = [*paths, state]
    for given in sources:
        for classes in (None, 5):
            with pytest.raises(WeightsError, match=says):
                create_model("resnet20", weights=given, num_classes=classes)


def test_five_names_at_most() -> None:
    with pytest.raises(WeightsError, match=r"bn9 unexpected.* and 95 more\)") as caught:
        fill(tiny(), copy(tiny()) | {f"bn{i}": torch.zeros(1) for i in range(9, 109)}, what="w")
    assert caught.value.what.count("unexpected") == 6
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("given", "wanted", "says", "fix"),
    [
        (
            "resnet18",
            "resnet50",
            "it is resnet18 or resnetblur18, not resnet50 or resnet50_v1",
            "use the network resnet18 (--model resnet18)",
        ),
        (
            "resnet50",
            "resnet18",
            "it is resnet50 or resnet50_v1, not resnet18 or resnetblur18",
            "use the network resnet50 (--model resnet50)",
        ),
        (
            "resnet18_cifar",
            "resnet18",
            "it is resnet18_cifar, not resnet18 or resnetblur18",
            "use the network resnet18_cifar (--model resnet18_cifar)",
        ),
        ("plain34", "resnet34", "it is plain34, not resnet34", "use the network plain34 (--model plain34)"),
        (
            "resnet152",
            "resnet20",
            "it is resnet152 or resnet152_v1, not resnet20 or plain20",
            "use the network resnet152 (--model resnet152)",
        ),
        (
            "resnet20",
            "resnet32",
            "it is resnet20 or plain20, not resnet32 or plain32",
            "use the network resnet20 (--model resnet20)",
        ),
    ],
)
def test_another_network_is_named(given: str, wanted: str, says: str, fix: str) -> None:
    for classes in (10, 77):
        state = outline(with_io(lay_out(zoo.find(given)), classes=classes, channels=1))
        with pytest.raises(WeightsError) as caught:
            weights.check(lay_out(zoo.find(wanted)), state, "w.pth")
        assert says in caught.value.what
        assert caught.value.fix == fix


def test_other_classes_and_channels_are_named() -> None:
    with pytest.raises(WeightsError, match=r"it is for 7 classes and the network for 3;.*fine-tune"):
        fill(tiny(), tiny(classes=7).state_dict(), what="w")
    with pytest.raises(WeightsError, match=r"it is for 1 channels and the network for 3;.*fine-tune"):
        fill(tiny(), tiny(channels=1).state_dict(), what="w")


def test_a_plan_from_a_file_is_checked_without_building_it() -> None:
    plan = lay_out(Spec(widths=(2**14,) * 4, classes=10**6))  # would take terabytes
    with pytest.raises(WeightsError, match="does not fit"):
        weights.check(plan, tiny().state_dict(), "w")


# All but the head


def test_classes_of_the_same_name_keep_their_rows() -> None:
    source, model = tiny(classes=4), tiny(classes=3)
    before, state = copy(model), copy(source)
    done = transfer(model, state, old_classes=("cat", "dog", "ant", "bee"), new_classes=("bee", "fox", "cat"))
    assert done.kept_classes == ["bee", "cat"]
    for row, old in ((0, 3), (2, 0)):
        assert torch.equal(model.get_parameter("fc.weight")[row], state["fc.weight"][old])
        assert torch.equal(model.get_parameter("fc.bias")[row], state["fc.bias"][old])
    assert torch.equal(model.get_parameter("fc.weight")[1], before["fc.weight"][1])
    assert model.get_parameter("fc.bias")[1] == before["fc.bias"][1]
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items() if "fc." not in name)
    assert done.missing == ["fc.weight", "fc.bias"]
    assert set(done.loaded) == set(state) - set(done.missing)
    assert done.adapted == []
    assert str(done) == "36 tensors taken; fc.weight, fc.bias begun afresh; the head keeps bee, cat"


def test_all_classes_the_same_is_everything() -> None:
    source, model = tiny(), tiny()
    done = transfer(model, source.state_dict(), old_classes=("a", "b", "c"), new_classes=("c", "b", "a"))
    assert (done.missing, done.kept_classes) == ([], ["c", "b", "a"])
    assert set(done.loaded) == set(model.state_dict())
    assert torch.equal(model.get_parameter("fc.weight"), source.get_parameter("fc.weight").flip(0))
    x = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(model(x), source(x).flip(1))


@pytest.mark.parametrize("old", [None, (), ("x", "y", "z")])
def test_no_class_the_same_is_a_new_head(old: tuple[str, ...] | None) -> None:
    model = tiny()
    before = copy(model)
    done = transfer(model, tiny().state_dict(), old_classes=old, new_classes=("a", "b", "c"))
    assert done.missing == ["fc.weight", "fc.bias"]
    assert done.kept_classes == []
    assert torch.equal(model.get_parameter("fc.weight"), before["fc.weight"])
    assert not torch.equal(model.get_parameter("conv1.weight"), before["conv1.weight"])


def test_weights_without_a_head_or_its_bias() -> None:
    state = copy(tiny())
    del state["fc.bias"]
    model = tiny()
    transfer(model, state, old_classes=("a", "b", "c"), new_classes=("a", "x", "b"))
    assert (
        model.get_parameter("fc.bias")[0] == model.get_parameter("fc.bias")[2] == 0 != model.get_parameter("fc.bias")[1]
    )
    del state["fc.weight"]
    assert transfer(model, state, old_classes=("a", "b", "c"), new_classes=("a", "x", "b")).kept_classes == []
    headless = tiny(classes=0)
    done = transfer(headless, tiny().state_dict(), old_classes=("a", "b", "c"), new_classes=())
    assert done.missing == []
    assert set(done.loaded) == set(headless.state_dict())


def test_transfer_refuses_and_changes_nothing() -> None:
    model = tiny()
    before = copy(model)
    with pytest.raises(WeightsError, match="it is resnet18_cifar"):
        transfer(model, outline(lay_out(zoo.find("resnet18_cifar"))), old_classes=None, new_classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="3 and 3 classes are given 2 and 3 names"):
        transfer(model, tiny().state_dict(), old_classes=("a", "b"), new_classes=("a", "b", "c"))
    state = copy(tiny()) | {"fc.weight": torch.zeros(3, 5)}
    with pytest.raises(WeightsError, match="3x5"):
        transfer(model, state, old_classes=("a", "b", "c"), new_classes=("a", "b", "c"), what="w")
    with pytest.raises(WeightsError, match="missing"):
        transfer(model, {}, old_classes=None, new_classes=("a", "b", "c"))
    assert unchanged(model, before)


@pytest.mark.parametrize(
    ("old", "new", "says"), [(3, 1, "summed into 1"), (1, 3, "by 1/3"), (3, 4, "by 3/4"), (4, 3, "by 4/3")]
)
def test_the_first_convolution_is_adapted(old: int, new: int, says: str) -> None:
    source, model = tiny(channels=old), tiny(channels=new)
    names = ("a", "b", "c")
    done = transfer(model, source.state_dict(), old_classes=names, new_classes=names)
    assert len(done.adapted) == 1
    assert says in done.adapted[0]
    assert says in str(done)
    assert done.missing == []
    if {old, new} == {1, 3}:  # a grey picture is answered as it was
        grey = torch.randn(2, 1, 8, 8)
        shown = {1: grey, 3: grey.expand(-1, 3, -1, -1)}
        torch.testing.assert_close(model(shown[new]), source(shown[old]))


def test_it_is_adapted_as_timm_adapts_it() -> None:
    theirs = peer("timm.models._manipulate").adapt_input_conv
    weight = torch.randn(4, 3, 7, 7)
    for channels in (1, 2, 4, 5, 9):
        ours = weights.adapt_first({"conv1.weight": weight}, channels)[0]["conv1.weight"]
        torch.testing.assert_close(ours, theirs(channels, weight), rtol=1e-6, atol=1e-6)


# In part, where that is allowed


def test_what_fits_is_taken_where_that_is_allowed() -> None:
    source, model = tiny(), tiny()
    before = copy(model)
    state = copy(source)
    del state["layer1.0.conv1.weight"]
    state |= {"bn1.bias": torch.zeros(5), "extra.weight": torch.zeros(1)}
    found = fill(model, state, what="w", partial=True)
    assert (found.missing, found.unexpected, found.mismatched) == (
        ["layer1.0.conv1.weight"],
        ["extra.weight"],
        ["bn1.bias"],
    )
    assert str(found) == "36 tensors loaded, 1 missing, 1 unexpected, 1 mismatched"
    for name, value in model.state_dict().items():
        kept = name in ("layer1.0.conv1.weight", "bn1.bias")
        assert torch.equal(value, before[name] if kept else source.state_dict()[name]), name
    with pytest.raises(WeightsError, match="0 of 38 tensors fit"):
        fill(model, {"bn1.bias": torch.zeros(5)}, what="w", partial=True)
    counters = {name: value for name, value in copy(source).items() if "num_batches" in name}
    with pytest.raises(WeightsError, match="6 of 38 tensors fit"):
        fill(model, counters, what="w", partial=True)


def test_a_transfer_in_part_says_what_was_left_out() -> None:
    source, model = tiny(), tiny()
    state = copy(source)
    del state["layer1.0.conv1.weight"]
    state |= {"bn1.bias": torch.zeros(5), "extra.weight": torch.zeros(1)}
    names = ("a", "b", "c")
    done = transfer(model, state, old_classes=names, new_classes=names, partial=True)
    assert done.missing == ["bn1.bias", "layer1.0.conv1.weight"]
    assert str(done) == (
        "36 tensors taken; bn1.bias, layer1.0.conv1.weight begun afresh; 1 unexpected left out; "
        "1 mismatched left out; the head keeps a, b, c"
    )
    assert not done.body.whole
    assert transfer(model, copy(source), old_classes=None, new_classes=names, partial=True).body.whole


def imported(path: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    code = cli.main(["import", str(path), "--model", "resnet20", "--out", str(path.parent / "o.safetensors"), *words])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out.startswith("{") else {"text": out}, err


def test_import_counts(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.pth"
    state = create_model("resnet20", num_classes=3).state_dict()
    torch.save(state, path)
    code, answer, _ = imported(path, capfd)
    assert code == 0
    assert "resnet20 for 3 classes; 116 tensors loaded, 0 missing, 0 unexpected, 0 mismatched" in answer["text"]
    code, answer, _ = imported(path, capfd, "--json")
    assert {name: len(names) for name, names in answer["tensors"].items()} == {
        "loaded": 116,
        "missing": 0,
        "unexpected": 0,
        "mismatched": 0,
    }
    code, _, err = imported(path, capfd, "--allow-partial")
    assert code == 2
    assert "--allow-partial would have no effect: all 116 tensors fit" in err


def test_five_channels_are_for_create_model(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(6)))
    path = tmp_path / "w.pth"
    torch.save(create_model("resnet20", num_classes=3, in_chans=5).state_dict(), path)
    code, _, err = imported(path, capfd)
    assert code == 4
    says = "is for 5 channels, and model files are for pictures of 1 or 3"
    fix = f"create_model('resnet20', in_chans=5, weights={str(path)!r}) takes them"
    assert says in err
    assert fix in err
    with pytest.raises(WeightsError, match=says):
        prepare(Run(data=str(tmp_path / "data"), model="resnet20", weights=str(path)), frozenset({"model", "weights"}))
    assert create_model("resnet20", in_chans=5, weights=str(path)).in_chans == 5


@pytest.mark.parametrize(
    ("words", "says", "fix"),
    [
        ("--mean .5", "mean must be 3 numbers", "give 3 values for --mean"),
        ("--std .5,.5", "std must be 3 numbers", "give 3 values for --std"),
        ("--crop .2", "crop must be from 0.25 to 1", "give another --crop"),
    ],
)
def test_values_that_do_not_fit_the_channels(
    words: str, says: str, fix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "w.pth"
    torch.save(create_model("resnet20", num_classes=3).state_dict(), path)
    code, _, err = imported(path, capfd, *words.split())
    assert code == 2
    assert says in err
    assert f"fix: {fix}\n" in err


def test_why_weights_do_not_fit_and_what_helps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each fix is tried."""
    model, path = create_model("resnet20", num_classes=3), tmp_path / "w.pth"
    whole: dict[str, Tensor] = dict(model.state_dict())
    body = {name: value for name, value in whole.items() if not name.startswith("fc.")}

    def said(state: dict[str, Tensor]) -> str:
        torch.save(state, path)
        code, _, err = imported(path, capfd)
        assert code == 4
        with pytest.raises(WeightsError) as caught:
            create_model("resnet20", weights=path)
        assert caught.value.fix in err
        return err

    for prefix in ("", "backbone."):
        err = said({prefix + name: value for name, value in body.items()})
        assert "it has no head; " in err
        assert "fix: begin a head afresh: --allow-partial --classes A,B,... (in Python num_classes=N)" in err
    assert imported(path, capfd, "--allow-partial", "--classes", "a,b")[0] == 0
    assert "never trained" in imported(path, capfd, "--allow-partial", "--classes", "a,b")[2]
    assert create_model("resnet20", weights=body, num_classes=2).num_classes == 2

    err = said(dict(model.named_parameters()))
    assert "it has no running means and variances, as dict(model.named_parameters()) has none; " in err
    assert "fix: where it was made, save model.state_dict(), which has them too" in err

    err = said(whole | {"extra.weight": torch.zeros(1)})
    assert "it has all that the network has, and more; " in err
    assert "fix: leave the rest out: --allow-partial, or in Python take it out of the state dict" in err
    assert imported(path, capfd, "--allow-partial")[0] == 0


def test_a_run_needs_no_head_to_begin_with(tmp_path: Path) -> None:
    """It begins its own in any case."""
    folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(6)))
    path = tmp_path / "w.pth"
    state = {k: v for k, v in create_model("resnet20").state_dict().items() if not k.startswith("fc.")}
    torch.save({f"backbone.{name}": value for name, value in state.items()}, path)
    run, given = Run(data=str(tmp_path / "data"), model="resnet20", weights=str(path)), frozenset({"model", "weights"})
    job = prepare(run, given)
    assert any("fc.weight, fc.bias begun afresh" in note for note in job.notes)
    assert any("has no head" in note for note in job.notes)
    assert torch.equal(job.model.get_parameter("layer1.0.conv1.weight"), state["layer1.0.conv1.weight"])
    with pytest.raises(UsageError, match="--allow-partial would have no effect: all 114 tensors fit"):
        prepare(replace(run, allow_partial=True), given | {"allow_partial"})
    del state["layer1.0.conv1.weight"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"113 of 114 tensors fit, 1 missing"):
        prepare(run, given)


def test_import_in_part(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "w.pth"
    state: dict[str, Tensor] = dict(create_model("resnet20", num_classes=3).state_dict())
    del state["fc.weight"], state["fc.bias"]
    state |= {"layer1.0.bn1.bias": torch.zeros(5), "extra.weight": torch.zeros(1)}
    torch.save(state, path)
    code, _, err = imported(path, capfd)
    assert code == 4
    assert "113 of 116 tensors fit, 2 missing, 1 unexpected, 1 mismatched" in err
    files = []
    for _ in range(2):
        code, answer, err = imported(path, capfd, "--allow-partial", "--classes", "a,b,c,d", "--json")
        assert code == 0
        files.append((tmp_path / "o.safetensors").read_bytes())
    assert files[0] == files[1], "what begins afresh begins alike"
    tensors = answer["tensors"]
    assert tensors["missing"] == ["fc.weight", "fc.bias"]
    assert tensors["unexpected"] == ["extra.weight"]
    assert tensors["mismatched"] == ["layer1.0.bn1.bias"]
    assert len(tensors["loaded"]) == 113
    card, kept = modelfile.load(tmp_path / "o.safetensors")
    assert card.classes == ("a", "b", "c", "d")
    assert torch.equal(kept["conv1.weight"], state["conv1.weight"])
    assert kept["fc.weight"].shape == (4, 64)
    assert kept["fc.weight"].abs().max() < 1
    code, answer, err = imported(path, capfd, "--allow-partial")
    assert "113 tensors loaded, 2 missing, 1 unexpected, 1 mismatched" in answer["text"]
    assert "missing: fc.weight, fc.bias\nunexpected: extra.weight\nmismatched: layer1.0.bn1.bias" in err


def test_training_from_weights_that_fit_in_part(tmp_path: Path) -> None:
    folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(6)))
    path = tmp_path / "w.pth"
    state: dict[str, Tensor] = dict(create_model("resnet20", num_classes=3).state_dict())
    torch.save(state, path)
    run = Run(data=str(tmp_path / "data"), model="resnet20", weights=str(path))

    def begun(**more: Any) -> list[str]:
        return prepare(replace(run, **more), frozenset({"model", "weights", *more})).notes

    assert any("114 tensors taken; fc.weight, fc.bias begun afresh" in note for note in begun())
    with pytest.raises(UsageError, match="--allow-partial would have no effect: all 116 tensors fit"):
        begun(allow_partial=True)
    del state["layer1.0.conv1.weight"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"115 of 116 tensors fit, 1 missing.*layer1\.0\.conv1\.weight missing"):
        begun()
    assert any("layer1.0.conv1.weight, fc.weight, fc.bias begun afresh" in note for note in begun(allow_partial=True))
    with pytest.raises(UsageError, match="--allow-partial would have no effect: weights that were not"):
        prepare(Run(data=run.data, allow_partial=True), frozenset({"allow_partial"}))


def test_a_run_goes_on_only_with_the_classes_that_it_began_with(tmp_path: Path) -> None:
    """What --weights adapts, --resume does not."""
    folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(6)))
    source, path = create_model("resnet20", num_classes=7), tmp_path / "start.safetensors"
    seen = Preprocess(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3, channels=3)
    card = Card(model="resnet20", plan=source.plan, classes=tuple("abcdefg"), preprocess=seen)
    modelfile.save(path, source.state_dict(), card)
    run, given = Run(data=str(tmp_path / "data"), weights=str(path), finetune="full"), frozenset({"weights"})
    assert any("weights of" in note for note in prepare(run, given).notes)
    assert not any("the head keeps" in note for note in prepare(run, given).notes)  # it is solved anew
    with pytest.raises(WeightsError, match="it is for 7 classes and the network for 2"):
        prepare(run, given, start=path)


def test_a_run_in_colour_from_weights_of_grey_says_so(tmp_path: Path) -> None:
    folder(tmp_path / "data", *(f"{name}/{i}.png" for name in "ab" for i in range(8)))
    state = build(with_io(lay_out(find("resnet20")), channels=1, classes=2)).state_dict()
    torch.save(state, tmp_path / "grey.pth")
    run = Run(data=str(tmp_path / "data"), model="resnet20", weights=str(tmp_path / "grey.pth"), size=16, device="cpu")
    job = prepare(run, frozenset())
    assert job.model.in_chans == 3
    assert any("the weights of 1 channel are repeated for 3" in note for note in job.notes)
    first = job.model.get_parameter("conv1.weight")
    torch.testing.assert_close(first[:, 1:2], state["conv1.weight"] / 3)


def test_a_network_of_somebodys_own_keeps_its_channels() -> None:
    own = '{"like": "resnet20", "channels": 1, "name": "mine"}'
    state = build(lay_out(find("resnet20"))).state_dict()
    assert create_model(own, weights=state).in_chans == 1
    assert create_model(own, weights=state, in_chans=4).in_chans == 4
    with pytest.raises(WeightsError, match="x is for 3 channels, and mine says 1"):
        assume(state, own, what="x")
    with pytest.raises(WeightsError, match="x is for 10 classes, and network says 7"):
        assume(state, '{"like": "resnet20", "classes": 7}', what="x")


def test_what_is_adapted_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """By create_model in the log, which Python shows on stderr unless told otherwise."""
    state = create_model("resnet20", num_classes=3).state_dict()
    assert create_model("resnet20", weights=state).num_classes == 3
    assert caplog.messages == []
    create_model("resnet20", weights=state, num_classes=5, in_chans=1)
    assert len(caplog.messages) == 1
    assert "summed into 1" in caplog.text
    assert "fc.weight, fc.bias begun afresh" in caplog.text
    create_model("resnet20", weights=state, in_chans=1)
    assert caplog.messages[1].startswith("the state dict: conv1.weight: the weights of 3 channels are summed into 1")


# Networks by name


def test_create_model() -> None:
    model = create_model("resnet20")
    assert (model.num_classes, model.in_chans) == (10, 3)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    model = create_model("resnet20", num_classes=7, in_chans=1)
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
    assert create_model("resnet20", num_classes=0)(torch.zeros(2, 3, 8, 8)).shape == (2, 64)
    assert not create_model("resnet20", zero_init_last=True).get_parameter("layer1.0.bn2.weight").any()
    assert create_model("resnet20").get_parameter("layer1.0.bn2.weight").all()


def test_create_model_refuses() -> None:
    with pytest.raises(UsageError, match=r"did you mean .*resnet50"):
        create_model("resnet51")
    with pytest.raises(WeightsError, match=r"no published weights of resnet20 that can be checked"):
        create_model("resnet20", pretrained=True)
    with pytest.raises(UsageError, match=r"cannot be meant.*num_classes is a whole number from 0, in_chans one from 1"):
        create_model("resnet20", num_classes=-1)
    with pytest.raises(UsageError, match=r"cannot be meant"):
        create_model("resnet20", in_chans=0)
    with pytest.raises(WeightsError, match="it is resnet20 or plain20, not resnet32"):
        create_model("resnet32", weights=create_model("resnet20").state_dict())
    with pytest.raises(WeightsError, match="does not exist"):
        create_model("resnet20", weights="nowhere.pth")
    with pytest.raises(WeightsError, match=r"'a' \(int\)"):
        create_model("resnet20", weights={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(WeightsError, match=r"3 \(Tensor\)"):
        create_model("resnet20", weights={3: torch.zeros(1)})  # type: ignore[dict-item]
    with pytest.raises(WeightsError, match="0 of 116 tensors fit"):
        create_model("resnet20", weights={})
    for number in (float("nan"), float("inf")):
        broken = create_model("resnet20").state_dict()
        broken["layer2.1.bn1.bias"][3] = number
        with pytest.raises(WeightsError, match=r"the state dict holds NaN or infinity in layer2\.1\.bn1\.bias"):
            create_model("resnet20", weights=broken)
    headless = create_model("resnet20", num_classes=0).state_dict()
    with pytest.raises(WeightsError, match=r"fc\.weight missing"):
        create_model("resnet20", weights=headless)
    assert create_model("resnet20", weights=headless, num_classes=5).num_classes == 5


def test_weights_come_from_one_source() -> None:
    state = create_model("resnet18", num_classes=3).state_dict()
    for settings in ({"pretrained": True}, {"name": "resnet18.a1_in1k"}, {"name": "resnet18.a1_in1k", "weights": "x"}):
        with pytest.raises(UsageError, match="two sources"):
            create_model(**{"name": "resnet18", "weights": state, **settings})  # type: ignore[call-overload]
    assert create_model("resnet18", pretrained=False, weights=state).num_classes == 3


def test_weights_of_another_kind() -> None:
    model = create_model("resnet20")
    with pytest.raises(UsageError, match=r"a ResNet, .*\(fix: give its state_dict\(\)"):
        create_model("resnet20", weights=model)  # type: ignore[call-overload]
    for other in (3, [torch.zeros(1)], b"w.pth", torch.zeros(2)):
        with pytest.raises(UsageError, match=rf"weights cannot be .*{type(other).__name__}"):
            create_model("resnet20", weights=other)  # type: ignore[call-overload]


def test_enums_of_torchvision_name_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    models = peer("torchvision").models
    asked: list[str] = []

    def obtain(wanted: published_rows.Wanted) -> None:
        asked.append(wanted.row.name)
        raise WeightsError("enough", "nothing")

    monkeypatch.setattr("resnetkit.pretrained.obtain", obtain)
    for weights_of, name in (
        (models.ResNet18_Weights.IMAGENET1K_V1, "resnet18"),
        (models.ResNet18_Weights.DEFAULT, "resnet18"),
        ("ResNet18_Weights.IMAGENET1K_V1", "resnet18"),
        ("ResNet18_Weights.DEFAULT", "resnet18"),
        (models.ResNeXt50_32X4D_Weights.IMAGENET1K_V2, "resnext50_32x4d"),
        (models.MobileNet_V2_Weights.IMAGENET1K_V2, "mobilenetv2_100"),
    ):
        with pytest.raises(WeightsError, match="enough"):
            create_model(name, weights=weights_of)
    assert asked[:4] == ["torchvision/resnet18.imagenet1k_v1"] * 4
    assert asked[4:] == ["torchvision/resnext50_32x4d.imagenet1k_v2", "torchvision/mobilenet_v2.imagenet1k_v2"]
    with pytest.raises(WeightsError, match="are of resnet18, not of resnet50"):
        create_model("resnet50", weights=models.ResNet18_Weights.IMAGENET1K_V1)
    with pytest.raises(WeightsError, match=r"there are no weights ResNet18_Weights\.IMAGENET1K_V9"):
        create_model("resnet18", weights="ResNet18_Weights.IMAGENET1K_V9")
    with pytest.raises(WeightsError, match=r"there are no weights VGG11_Weights\.DEFAULT"):
        create_model("resnet18", weights="VGG11_Weights.DEFAULT")


def test_create_model_with_weights(tmp_path: Path) -> None:
    source = create_model(
        "resnet20",
        num_classes=7,
        in_chans=1,
    ).eval()
    x = torch.randn(2, 1, 8, 8)
    pth, own = tmp_path / "a.pth", tmp_path / "b.safetensors"
    torch.save({"state_dict": source.state_dict()}, pth)
    card = Card(
        model="resnet20",
        plan=source.plan,
        classes=tuple("abcdefg"),
        preprocess=Preprocess(size=(32, 32), mean=(0.5,), std=(0.5,), channels=1),
    )
    modelfile.save(own, source.state_dict(), card)
    for given in (pth, str(pth), own, source.state_dict()):
        model = create_model("resnet20", weights=given).eval()
        assert torch.equal(model(x), source(x))
    other = create_model("resnet20", weights=own, num_classes=3, in_chans=3).eval()
    assert (other.num_classes, other.in_chans) == (3, 3)
    colour = x.expand(-1, 3, -1, -1)
    torch.testing.assert_close(other.forward_features(colour), source.forward_features(x))
    body = create_model("resnet20", weights=own, num_classes=0).eval()
    assert torch.equal(body(x), source.forward_head(source.forward_features(x), pre_logits=True))
    wide = create_model("resnet20", weights=own, in_chans=3).eval()
    torch.testing.assert_close(wide(colour), source(x))


def test_list_models() -> None:
    assert list_models() == sorted(zoo.ZOO)
    assert list_models("plain1*") == ["plain110", "plain18"]
    assert list_models("resnet18*") == ["resnet18", "resnet18_cifar", "resnet18d"]
    assert list_models("nothing") == []
    for both in (["plain1*", "resnet18d"], ("plain1*", "plain18", "resnet18d")):
        assert list_models(both) == ["plain110", "plain18", "resnet18d"]
    assert list_models([]) == []
    assert list_models(["resnet50.a1*", "resnet50.a2*"], pretrained=True) == [
        "resnet50.a1_in1k",
        "resnet50.a1h_in1k",
        "resnet50.a2_in1k",
    ]
    for other in (3, None, [3], {"resnet18": 1}):
        with pytest.raises(UsageError, match="a pattern is a word, or a list of words"):
            list_models(other)  # type: ignore[arg-type]


def test_list_models_with_published_weights() -> None:
    """As timm lists them, and beside them the networks that torchvision alone has weights of."""
    listed = list_models(pretrained=True)
    theirs = {name for name in peer("timm").list_models(pretrained=True) if name.partition(".")[0] in zoo.ZOO}
    alone = set(listed) - theirs
    assert theirs <= set(listed)
    assert alone <= set(zoo.ZOO)
    assert alone == {name for name in zoo.ZOO if name.startswith("shufflenet")}
    assert list_models("resnet50.a1*", pretrained=True) == ["resnet50.a1_in1k", "resnet50.a1h_in1k"]
    assert list_models("cifar", pretrained=True) == []


def test_features_are_dropped_before_the_head() -> None:
    model = create_model("resnet20", drop_rate=0.5).train()
    features = torch.ones(64, 64, 1, 1)
    kept = model.forward_head(features, pre_logits=True)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert 0.4 < kept.bool().float().mean() < 0.6
    model.reset_classifier(3)
    assert (model.forward_head(features, pre_logits=True) == 0).any()
    assert (model.eval().forward_head(features, pre_logits=True) == 1).all()
    assert (create_model("resnet20").train().forward_head(features, pre_logits=True) == 1).all()


@pytest.mark.parametrize("name", ["resnet18", "resnetv2_18", "seresnet18"])
def test_branches_are_dropped_as_timm_drops_them(name: str) -> None:
    """The same draws from torch's own generator, so the same answer in training to the bit that float64 allows."""
    theirs = peer("timm").create_model(name, num_classes=4, drop_path_rate=0.6, drop_rate=0.2).double()
    ours = create_model(name, weights=theirs.state_dict(), drop_path_rate=0.6, drop_rate=0.2).double()
    ours.load_state_dict(create_model(name, weights=theirs.state_dict()).double().state_dict())
    x = torch.randn(4, 3, 64, 64, dtype=torch.float64)
    for train in (True, False):
        answers = []
        for model in (theirs.train(train), ours.train(train)):
            torch.manual_seed(3)
            answers.append(model(x))
        torch.testing.assert_close(answers[1], answers[0], rtol=1e-6, atol=1e-6)


def test_droppings_that_cannot_be_meant() -> None:
    for words, says in (
        ({"drop_rate": 1.0}, "drop_rate is 1.0"),
        ({"drop_rate": -0.1}, "drop_rate is -0.1"),
        ({"drop_path_rate": 2}, "drop_path_rate is 2"),
        ({"drop_rate": "a"}, "drop_rate is 'a'"),
        ({"drop_path_rate": float("nan")}, "drop_path_rate is nan"),
        ({"drop_rate": 0.1, "features_only": True}, "no head for num_classes, global_pool and drop_rate"),
    ):
        with pytest.raises(UsageError, match=says):
            create_model("resnet20", **words)
    with pytest.raises(UsageError, match="drop_path_rate is for networks with several branches"):
        create_model("plain20", drop_path_rate=0.1)
    model = create_model("resnet20", features_only=True, drop_path_rate=0.9).train()
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(model(x)[-1], model(x)[-1])
    assert torch.equal(model.eval()(x)[-1], model(x)[-1])
    assert pickle.loads(pickle.dumps(create_model("resnet20", drop_path_rate=0.9)))


# The checkpoints of akamaster/pytorch_resnet_cifar10


PUBLISHED = {20: "12fca82f", 32: "d509ac18", 44: "014dd654", 56: "4bfd9763"}


def published(data_dir: Path, layers: int) -> Path:
    return data_dir / "cifar10-resnet-weights" / f"resnet{layers}-{PUBLISHED[layers]}.th"


@pytest.mark.parametrize("layers", PUBLISHED)
def test_published_checkpoints_fit_strictly(data_dir: Path, layers: int) -> None:
    model = create_model(f"resnet{layers}", weights=published(data_dir, layers))
    stored = torch.load(published(data_dir, layers), weights_only=True, map_location="cpu")["state_dict"]
    assert torch.equal(model.get_parameter("fc.weight"), stored["module.linear.weight"])
    last = f"layer3.{(layers - 2) // 6 - 1}.bn2.running_var"
    assert torch.equal(model.get_buffer(last), stored[f"module.{last}"])
    wrong = 32 if layers == 20 else 20
    with pytest.raises(WeightsError, match=f"it is resnet{layers} or plain{layers}, not resnet{wrong}"):
        create_model(f"resnet{wrong}", weights=published(data_dir, layers))


def test_a_published_checkpoint_answers_as_published(data_dir: Path) -> None:
    """Measured for ResNet-20 on all 10,000 of these JPEG pictures: 81.03 %; on 200, three sigma are 8 points."""
    parquet = pytest.importorskip("pyarrow.parquet")
    file = parquet.ParquetFile(next((data_dir / "cifar10-jpeg").glob("test-*.parquet")))
    rows = next(file.iter_batches(200)).to_pylist()
    preprocess = Preprocess(size=(32, 32), crop=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")) for row in rows])
    model = create_model("resnet20", weights=published(data_dir, 20)).eval()
    with torch.inference_mode():
        answers = model(torch.from_numpy(preprocess.normalize(pictures))).argmax(1).tolist()
    right = sum(answer == row["label"] for answer, row in zip(answers, rows, strict=True))
    assert 145 <= right <= 179
