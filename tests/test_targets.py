"""Models that go out to other libraries, and come back to the bit."""

import importlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import peer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import resnetkit
from resnetkit import cli, modelfile, zoo
from resnetkit.data.preprocess import Preprocess
from resnetkit.dialects import to_theirs
from resnetkit.errors import UsageError, WeightsError
from resnetkit.foreign import read_foreign
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.targets import RUNTIMES, TARGETS, TIMM, TORCHVISION, Library, export, to_library
from resnetkit.verbs.verb import KINDS
from resnetkit.walk import shapes

LIBRARIES = (TORCHVISION, TIMM)
# A model file is of a network for pictures, so r3d_18 goes nowhere.
SHARED = [(library, name) for library in LIBRARIES for name in library.networks if zoo.ZOO[name].ndim == 2]


def card_of(name: str, classes: int = 3, channels: int = 3, **more: Any) -> Card:
    return Card(
        model=name,
        plan=with_io(lay_out(zoo.find(name)), classes=classes, channels=channels),
        classes=tuple("abcdefghij"[:classes]),
        preprocess=Preprocess(size=(64, 48), mean=(0.5,) * channels, std=(0.25,) * channels, channels=channels),
        **more,
    )


def drawn(card: Card) -> dict[str, Tensor]:
    """Weights for a network, each tensor other numbers; what must be above 0 is."""
    dice = torch.Generator().manual_seed(1)
    state = {name: torch.randn(shape, generator=dice) * 0.05 for name, shape in shapes(card.plan).items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            state[name] = value.abs() + 0.5
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(len(name))
    return state


def made(library: Library, card: Card) -> nn.Module:
    """The network of the library itself, without numbers."""
    with torch.device("meta"):
        if library is TIMM:
            theirs = peer("timm").create_model(
                card.model, num_classes=len(card.classes), in_chans=card.preprocess.channels
            )
        else:
            models = {"get_model": peer("torchvision.models").get_model}
            theirs = eval(f"get_model({library.asks(card.model)}, num_classes={len(card.classes)})", models)
    assert isinstance(theirs, nn.Module)
    return theirs


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one
    )


ROUND = [(library, name) for library in LIBRARIES for name in ("resnet18", "resnet50")]
ROUND += [(TIMM, name) for name in ("resnetv2_18", "resnetv2_18d", "seresnet18", "resnet50_gn", "mobilenetv2_035")]
ROUND += [(TORCHVISION, "shufflenet_v2_x0_5")]
ROUND += [(TORCHVISION, name) for name, _ in TORCHVISION.called]


@pytest.mark.parametrize(("library", "name"), ROUND, ids=[f"{library.name} {name}" for library, name in ROUND])
def test_out_and_back_is_equal_to_the_bit(library: Library, name: str, tmp_path: Path) -> None:
    card, out = card_of(name), tmp_path / "theirs.safetensors"
    state = drawn(card)
    export(card, state, to=library.name, out=out)
    theirs = made(library, card)
    theirs.load_state_dict(load_file(out), strict=True, assign=True)
    assert library.dialect(name) or equal(theirs.state_dict(), state)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "back.pth")
    assert equal(read_foreign(tmp_path / "back.pth"), state)
    assert equal(read_foreign(out), state)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_it_answers_there_as_here(
    library: Library, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the command line, which says how it is loaded."""
    monkeypatch.chdir(tmp_path)
    channels = 3 if library is TORCHVISION else 1
    card = card_of("resnet18", channels=channels)
    modelfile.save("m.safetensors", drawn(card), card)
    assert cli.main(f"export m.safetensors --to {library.name} --out o.safetensors".split()) == 0
    said, _ = capfd.readouterr()
    made_by = (
        "timm.create_model('resnet18', num_classes=3, in_chans=1)"
        if library is TIMM
        else "torchvision.models.get_model('resnet18', num_classes=3)"
    )
    loaded_by = "load_state_dict(safetensors.torch.load_file('o.safetensors'))"
    assert said == f"wrote o.safetensors: load it with {made_by}.{loaded_by}\n"
    theirs = made(library, card)
    theirs.load_state_dict(load_file("o.safetensors"), assign=True)
    images = torch.randn(2, channels, 64, 48)
    ours = resnetkit.load("m.safetensors", device="cpu").model
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(images), ours(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("library", "name"), SHARED, ids=[f"{library.name} {name}" for library, name in SHARED])
def test_every_network_of_both_has_the_same_tensors(library: Library, name: str) -> None:
    """A network that is added to the zoo and stands in the table is held against its peer here."""
    card = card_of(name)
    wanted = {name: tuple(value.shape) for name, value in made(library, card).state_dict().items()}
    bare = {name: torch.zeros(()).expand(shape) for name, shape in shapes(card.plan).items()}
    dialect = library.dialect(name)
    named = to_theirs(bare, dialect) if dialect else bare
    assert {name: tuple(value.shape) for name, value in named.items()} == wanted


def test_the_libraries_have_what_the_table_says() -> None:
    assert set(TIMM.networks) == set(peer("timm").list_models()) & set(zoo.ZOO)
    called = {name: eval(words.split(",")[0]) for name, words in TORCHVISION.called}
    theirs = {called.get(name, name) for name in TORCHVISION.networks}
    assert theirs <= set(peer("torchvision.models").list_models())


def test_metadata_says_what_the_card_says(tmp_path: Path) -> None:
    card = replace(card_of("resnet18", temperature=1.5), classes=("猫", "caf\udce9", "dog"))
    done = export(card, drawn(card), to="timm", out=tmp_path / "o.safetensors")
    assert done.notes == ("divide the logits by the temperature 1.5 before the softmax",)
    with safe_open(done.out, "pt") as file:
        about = file.metadata()
    assert about["format"] == "pt"
    assert (about["architecture"], about["library"]) == ("resnet18", "timm")
    assert json.loads(about["label_names"]) == ["猫", "caf\udce9", "dog"]
    assert json.loads(about["input_size"]) == [3, 64, 48]
    assert json.loads(about["mean"]) == [0.5, 0.5, 0.5]
    assert json.loads(about["std"]) == [0.25, 0.25, 0.25]
    assert json.loads(about["crop_pct"]) == 0.875
    assert json.loads(about["temperature"]) == 1.5
    assert (about["crop_mode"], about["interpolation"], about["task"]) == ("center", "bilinear", "classes")
    tags, numbers = card_of("resnet18", task="tags"), card_of("resnet18", task="numbers", scale=((1.0, 2.0),) * 3)
    for other, says in ((tags, "sigmoid"), (numbers, "deviation")):
        assert says in export(other, drawn(other), to="timm", out=tmp_path / "o.safetensors").notes[0]


def test_equal_models_are_equal_files_that_all_may_read(tmp_path: Path) -> None:
    card = card_of("resnet18")
    before = os.umask(0o022)
    try:
        for name in "ab":
            export(card, drawn(card), to="torchvision", out=tmp_path / f"{name}.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o644


def test_what_no_library_has_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "o.safetensors"
    small = card_of("resnet20")
    with pytest.raises(WeightsError, match=r"timm has no resnet20 \(fix: of the networks here it has .*resnet152"):
        export(small, {}, to="timm", out=out)
    with pytest.raises(WeightsError, match=r"torchvision has resnet18 for 3 channels, not for 1 \(fix: use --to timm"):
        export(card_of("resnet18", channels=1), {}, to="torchvision", out=out)
    with pytest.raises(UsageError, match=r"no export to tim; did you mean timm\? \(fix: --to torchvision or timm"):
        export(small, {}, to="tim", out=out)
    with pytest.raises(UsageError, match=r"out\.pth would be a \.safetensors file"):
        export(card_of("resnet18"), {}, to="timm", out=tmp_path / "out.pth")
    changed = card_of("resnet18")
    stages = changed.plan.stages
    pruned = replace(changed, plan=replace(changed.plan, stages=(*stages[:-1], (stages[-1][0],))))
    with pytest.raises(WeightsError, match="resnet18 is not built as usual"):
        export(pruned, {}, to="timm", out=out)
    assert not list(tmp_path.iterdir())


def test_another_library_is_named_that_has_it() -> None:
    few = replace(TORCHVISION, name="few", networks=("resnet50",))
    with pytest.raises(WeightsError, match=r"few has no resnet18 \(fix: use --to torchvision"):
        to_library(few, card_of("resnet18"), {})


def test_only_an_export_is_replaced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    card = card_of("resnet18")
    state = drawn(card)
    model = tmp_path / "m.safetensors"
    modelfile.save(model, state, card)
    letter, bare, link = (tmp_path / f"{name}.safetensors" for name in ("letter", "bare", "link"))
    letter.write_text("years of work")
    save_file({"a": torch.zeros(1)}, bare)
    link.symlink_to("nowhere")
    before = {path: path.read_bytes() for path in (model, letter, bare)}
    for target in (model, letter, bare, link):
        assert cli.main(["export", str(model), "--to", "timm", "--out", str(target)]) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert "is there and is not an export" in err
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(UsageError, match="is not an export"):
        export(card, state, to="timm", out=tmp_path / "folder.safetensors")
    assert {path: path.read_bytes() for path in before} == before
    assert link.is_symlink()
    out_file = tmp_path / "o.safetensors"
    for library in LIBRARIES:
        export(card, state, to=library.name, out=out_file)
    with safe_open(out_file, "pt") as file:
        assert file.metadata()["library"] == "timm"


def test_export_says_what_it_needs(capfd: pytest.CaptureFixture[str]) -> None:
    for words, says in (
        ("export m.safetensors --out o.safetensors", "resnet export needs --to"),
        ("export m.safetensors --to timm", "resnet export needs --out"),
        ("export --to timm --out o.safetensors", "resnet export needs MODEL"),
    ):
        assert cli.main(words.split()) == 2
        assert says in capfd.readouterr().err
    assert cli.main("export nowhere.safetensors --to timm --out o.safetensors".split()) == 4
    assert "does not exist" in capfd.readouterr().err


def test_the_best_network_of_a_run_is_exported_as_json_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    card = card_of("resnet18")
    with torch.device("meta"):
        assert ResNet(card.plan).plan == card.plan
    modelfile.save(tmp_path / "best.safetensors", drawn(card), card)
    out = tmp_path / "o.safetensors"
    assert cli.main(["export", str(tmp_path), "--to", "timm", "--out", str(out), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert (answer["out"], answer["to"], answer["model"], answer["notes"]) == (str(out), "timm", "resnet18", [])
    places = {"timm": peer("timm"), "safetensors": importlib.import_module("safetensors")}
    assert not any(eval(answer["how"], places)), "no key is missing, none unexpected"


def test_the_command_names_every_target() -> None:
    assert "|".join((*TARGETS, *RUNTIMES)) == KINDS
