"""Models as files of ONNX and OpenVINO: picture in, answer out, the same answer, and nothing kept that differs."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from samples import noise

import resnetkit
from resnetkit import cli, files, modelfile
from resnetkit.data.decode import decode
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import ResourceError, UsageError, WeightsError
from resnetkit.export import modules, resizing
from resnetkit.export.graph import drawn
from resnetkit.export.nodes import Nodes
from resnetkit.export.resizing import laid, offset, prepared
from resnetkit.export.runtimes import FULL, RUNTIMES, loaded
from resnetkit.export.samples import samples
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.plan import with_io
from resnetkit.reject import Reject
from resnetkit.spec import Spec
from resnetkit.units import Taps
from resnetkit.zoo import find

MISSING = [name for name in ("onnx", "onnxruntime", "openvino") if importlib.util.find_spec(name) is None]
if MISSING and os.environ.get("CI") != "true":
    pytest.skip(f"{MISSING} are not installed", allow_module_level=True)
onnxruntime = importlib.import_module("onnxruntime")
GRAPHS = ("onnx", "openvino")  # test_export_torch has the programs of torch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EIGHT = "resnet20 resnet50 resnetv2_50 resnext50_32x4d seresnet18 mobilenetv2_050 shufflenet_v2_x0_5 wrn_16_4".split()
MORE = """resnet18d resnet26t plain20 preact_resnet18_cifar resnetv2_50d_gn resnet50_gn ecaresnet26t cbam_resnet18
cbam_resnet50 resnetblur50 resnet50_keras""".split()
SMALL = Spec(block="basic", depths=(1, 1), widths=(8, 16), stem="3x3", pool="none", classes=5, size=16)
MADE = {
    "frozen norms before": replace(SMALL, norm="frozen", preact=True),
    "biases": replace(SMALL, bias=True, bare=True),
    "dilated": replace(SMALL, depths=(1, 1, 1, 1), widths=(8, 8, 16, 16), output_stride=8),
    "silu": replace(SMALL, activation="silu"),
    "gelu": replace(SMALL, activation="gelu"),
    "leaky": replace(SMALL, activation="leaky_relu"),
    "rezero": replace(SMALL, shortcut="rezero"),
    "layerscale": replace(SMALL, shortcut="layerscale"),
    "gated": replace(SMALL, shortcut="gated"),
}
SEEN = {
    "crop": Preprocess(size=(64, 48), mean=MEAN, std=STD, channels=3),
    "crop bicubic": Preprocess(size=(48, 64), crop=0.95, interpolation="bicubic", mean=MEAN, std=STD, channels=3),
    "whole": Preprocess(size=(32, 32), crop=1.0, mean=MEAN, std=STD, channels=3),
    "letterbox": Preprocess(size=(40, 64), resize="letterbox", mean=MEAN, std=STD, channels=3),
    "letterbox bicubic": Preprocess(
        size=(33, 32), resize="letterbox", interpolation="bicubic", mean=MEAN, std=STD, channels=3
    ),
    "stretch grey": Preprocess(size=(32, 28), resize="stretch", mean=(0.5,), std=(0.25,), channels=1),
    "crop grey": Preprocess(size=(28, 28), interpolation="bicubic", mean=(0.5,), std=(0.25,), channels=1),
}
SIDES = [(1, 1), (1, 100), (100, 1), (2, 3), (16, 16), (7, 401), (401, 7), (64, 48), (48, 64), (128, 96), (333, 250)]
SIDES += [(250, 333), (31, 200), (200, 31), (199, 100), (96, 97), (301, 100), (75, 75)]


def network(kind: str, taps: Taps | None = None, channels: int = 3, classes: int = 7) -> Network:
    """With norms that do something, and statistics as training leaves them."""
    torch.manual_seed(0)
    plan = lay_out(MADE[kind] if kind in MADE else find(kind))
    model = build(replace(with_io(plan, channels=channels, classes=classes), taps=taps))
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
            elif tensor.ndim == 1 and not name.endswith("num_batches_tracked"):
                tensor.uniform_(0.5, 1.2)
    return model.eval()


def card_of(model: Network, seen: Preprocess = SEEN["crop"], **more: Any) -> Card:
    names = tuple("abcdefghij"[: model.num_classes])
    return Card(model="resnet20", plan=model.plan, classes=names, preprocess=seen, **more)


def saved(path: Path, seen: Preprocess = SEEN["whole"], **more: Any) -> Path:
    model = network("resnet8", channels=seen.channels, classes=5)
    modelfile.save(path, model.state_dict(), card_of(model, seen, **more))
    return path


def in_onnxruntime(data: bytes, x: NDArray[Any]) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def in_openvino(data: bytes, x: NDArray[Any]) -> list[NDArray[Any]]:
    core = loaded().Core()
    ready = core.compile_model(core.read_model(data), "CPU", FULL | {"INFERENCE_NUM_THREADS": 1})
    return [value.copy() for value in ready([x]).values()]


RUN: dict[str, Callable[[bytes, NDArray[Any]], list[NDArray[Any]]]] = {
    "onnxruntime": in_onnxruntime,
    "openvino": in_openvino,
}


@pytest.mark.parametrize("kind", [*EIGHT, *MORE, *MADE])
@torch.inference_mode()
def test_logits_are_those_of_torch(kind: str) -> None:
    model = network(kind)
    sides = (64, 64) if max(model.plan.stages[-1][-1].c_out, 0) > 256 else (64, 48)
    seen = Preprocess(size=sides, mean=MEAN, std=STD, channels=3)
    data = drawn(card_of(model, seen), model, "tensor", {})
    x = torch.randn(3, 3, *sides, generator=torch.Generator().manual_seed(1))
    wanted = model(x).numpy()
    for name, run in RUN.items():
        (found,) = run(data, x.numpy())
        assert np.abs(found - wanted).max() <= 1e-4 * max(1.0, np.abs(wanted).max()), name
        np.testing.assert_array_equal(found.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize("cells", [1, 2, 3])
@torch.inference_mode()
def test_a_head_that_sees_several_maps(cells: int) -> None:
    model = network("resnet20", Taps(first=1, cells=cells))
    data = drawn(card_of(model), model, "tensor", {})
    x = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    for run in RUN.values():
        np.testing.assert_allclose(run(data, x.numpy())[0], model(x).numpy(), atol=1e-4)


@pytest.mark.parametrize("way", SEEN)
def test_the_network_sees_the_picture_that_preprocess_makes(way: str) -> None:
    """In onnxruntime to the bit. In OpenVINO, which knows no float64, within a level of 255."""
    seen, g = SEEN[way], Nodes()
    prepared(g, "pictures", seen, "tensor")
    shape = ("n", seen.channels, *seen.size)
    data = g.to_bytes([("pictures", np.uint8, ("n", "height", "width", 3))], [("tensor", np.float32, shape)], {})
    dice = np.random.default_rng(1)
    asks = [opened(data, name) for name in RUN]
    for sides in SIDES:
        pictures = dice.integers(0, 256, (2, *sides, 3), np.uint8)
        wanted = seen.normalize(np.stack([seen.apply(one) for one in pictures]))
        one, other = (ask(pictures) for ask in asks)
        np.testing.assert_array_equal(one, wanted, err_msg=str(sides))
        levels = np.abs(other - wanted) * np.array(seen.std, np.float32)[:, None, None] * 255
        assert levels.max() < 1.001, sides


def opened(data: bytes, name: str) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """A graph that is asked many times."""
    if name == "onnxruntime":
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]
    core = loaded().Core()
    ready = core.compile_model(core.read_model(data), "CPU", FULL | {"INFERENCE_NUM_THREADS": 1})
    return lambda x: ready([x])[0].copy()


@pytest.mark.parametrize("name", RUN)
@pytest.mark.parametrize("way", ["crop", "crop bicubic", "letterbox", "stretch grey"])
def test_every_size_is_laid_as_preprocess_lays_it(way: str, name: str) -> None:
    """Thousands of sizes, also those that nobody has; the sides of each are all that the graph is given."""
    seen, g = SEEN[way], Nodes()
    height, width = (g.add("Gather", "sides", g.whole(i)) for i in (0, 1))
    out = laid(g, height, width, seen)
    begins = [offset(g, one, size, seen) for one, size in zip(out, seen.size, strict=True)]
    every = [g.add("Reshape", one, g.whole([1])) for one in (*out, *begins)]
    g.add("Add", g.add("Concat", *every, axis=0), g.whole(0), name="laid")
    ask = opened(g.to_bytes([("sides", np.int64, (2,))], [("laid", np.int64, (4,))], {}), name)
    dice = np.random.default_rng(1)
    sides = [(1, 1), (1, 3000), (3000, 1), (7, 4001), (4001, 7), (1, 100_000), (8191, 8192), (12000, 9000)]
    sides += [(i, j) for i in range(1, 40) for j in range(1, 40)]
    sides += [(int(i), int(j)) for i, j in dice.integers(1, 6000, (1500, 2))]
    for one in sides:
        resized, top, left = seen.laid(*one)
        assert ask(np.array(one)).tolist() == [*resized, top, left], one


@pytest.mark.parametrize("to", GRAPHS)
def test_a_picture_goes_in_and_the_answer_comes_out(
    to: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the file says is what predict says, from the command to the class, and the card is in it."""
    monkeypatch.chdir(tmp_path)
    reject = Reject(threshold=0.4, risk=0.1, sure=0.95, bound=0.05, coverage=0.9, n=100)
    model = saved(tmp_path / "m.safetensors", temperature=1.7, reject=reject)
    out = "o" + RUNTIMES[to].suffixes[0]
    assert cli.main(["export", str(model), "--to", to, "--out", out]) == 0
    said, err = capfd.readouterr()
    assert f"checked in {RUNTIMES[to].name}" in said
    assert f"wrote {out}: load it with" in said
    assert err == "note: call a picture unknown where no class has a probability of 0.4\n"
    picture = noise(tmp_path / "p.png", 3, (71, 50))
    (wanted,) = resnetkit.load(model, device="cpu").predict(picture, top=5)
    x = decode(picture, "p", channels=3).pixels[None]
    ask = RUNTIMES[to].open(Path(out), 1, None)
    answers = ask(np.concatenate([x, x]))
    says = texts(to, out)
    (p, same) = answers["probabilities"]
    np.testing.assert_array_equal(p, same)
    order = [says["classes"][i] for i in np.argsort(-p)]
    assert order == [name for name, _ in wanted.top]
    np.testing.assert_allclose(sorted(p, reverse=True), [value for _, value in wanted.top], atol=1e-5)
    card = resnetkit.load(model, device="cpu").card
    assert {name: says[name] for name in modelfile.to_json(card)} == json.loads(json.dumps(modelfile.to_json(card)))
    assert (says["input"], says["task"], says["format"]) == ("picture", "classes", 1)
    assert says["exported_by"] == f"resnetkit {resnetkit.__version__}"
    assert len(says["weights_sha256"]) == 64
    assert says["proof"]["pictures"] == sum(len(one) for one in samples((32, 32)))
    assert says["proof"]["same"] == 1
    assert says["proof"]["logits"] <= says["proof"]["tolerance"]
    assert says["proof"]["levels"] < 1.001
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix not in (".safetensors", ".png")) == sorted(
        "o" + suffix for suffix in RUNTIMES[to].suffixes
    )


def texts(to: str, path: str) -> dict[str, Any]:
    """The metadata of a file, as anybody reads it."""
    if to == "onnx":
        found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        return {name: json.loads(text) for name, text in found.items()}
    model = loaded().Core().read_model(path)
    names = model.get_rt_info(["resnetkit"]).astype(dict) if hasattr(model.get_rt_info(["resnetkit"]), "astype") else {}
    return {name: json.loads(str(model.get_rt_info(["resnetkit", name]).astype(str))) for name in names}


def test_a_tensor_goes_in_and_logits_come_out_as_json_says(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path / "m.safetensors", replace(SEEN["whole"], interpolation="nearest"), temperature=2.0)
    words = ["export", str(model), "--to", "onnx", "--out", str(tmp_path / "o.onnx"), "--json"]
    assert cli.main(words) == 4, "no graph resizes to the nearest point"
    assert "use --input tensor" in capfd.readouterr().err
    assert cli.main([*words, "--input", "tensor"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["notes"] == ["divide the logits by the temperature 2 before the softmax"]
    assert answer["proof"]["levels"] is None
    assert "onnxruntime.InferenceSession(" in answer["how"]
    session = onnxruntime.InferenceSession(tmp_path / "o.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("tensor", ["n", 3, 32, 32])]
    assert [(one.name, one.shape) for one in session.get_outputs()] == [("logits", ["n", 5])]


@pytest.mark.parametrize("to", GRAPHS)
def test_tags_and_numbers_are_answered_in_their_own_terms(to: str, tmp_path: Path) -> None:
    for name, more in (
        ("tags", {}),
        ("numbers", {"scale": ((1.0, 2.0), (-3.0, 0.5), (0.0, 1.0), (9.0, 4.0), (5.0, 3.0))}),
    ):
        model = resnetkit.load(saved(tmp_path / "m.safetensors", SEEN["stretch grey"], task=name, **more), device="cpu")
        out = tmp_path / f"o{RUNTIMES[to].suffixes[0]}"
        assert model.export(to=to, out=out).proof is not None
        picture = noise(tmp_path / "p.png", 3, (71, 50))
        (wanted,) = model.predict(picture, top=5 if name == "tags" else None)
        answers = RUNTIMES[to].open(out, 1, None)(decode(picture, "p", channels=3).pixels[None])
        (found,) = answers["probabilities" if name == "tags" else "numbers"]
        for tag, value in wanted.top:
            assert found["abcde".index(tag)] == pytest.approx(value, abs=2e-5)


def test_accuracy_of_data_is_told_for_both(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = saved(tmp_path / "m.safetensors", SEEN["crop"])
    for i, name in enumerate("aabbbcde"):
        noise(tmp_path / "data" / "test" / name / f"{i}.png", i, (40 + i, 60))
    (tmp_path / "data" / "test" / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    right = resnetkit.load(model, device="cpu").evaluate(tmp_path / "data").accuracy
    words = ["export", str(model), "--to", "onnx", "--out", str(tmp_path / "o.onnx"), "--data", str(tmp_path / "data")]
    assert cli.main(words) == 0
    said = capfd.readouterr().out
    assert "on 8 pictures of data:" in said
    assert f"accuracy {right:.2%} in the file, {right:.2%} in torch" in said
    assert cli.main([*words[:-1], str(tmp_path / "nowhere")]) == 3


BROKEN: dict[str, tuple[Any, str, Callable[..., Any], str]] = {
    "a weight": (modules, "weight", lambda real, g, value: real(g, value * 1.01), "a logit of"),
    "a size": (
        resizing,
        "offset",
        lambda real, g, *rest: g.add("Add", real(g, *rest), g.whole(1)),
        "what the network sees",
    ),
}


@pytest.mark.parametrize("to", GRAPHS)
@pytest.mark.parametrize("what", BROKEN)
def test_a_file_that_answers_otherwise_is_not_kept(
    what: str, to: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = saved(tmp_path / "m.safetensors")
    room, name, broken, says = BROKEN[what]
    real = getattr(room, name)
    out = tmp_path / f"o{RUNTIMES[to].suffixes[0]}"
    words = ["export", str(model), "--to", to, "--out", str(out)]
    assert cli.main(words) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(room, name, lambda *given: broken(real, *given))
    capfd.readouterr()
    assert cli.main(words) == 4
    err = capfd.readouterr().err
    assert says in err
    assert "built-in picture 0" in err
    assert "is not kept" in err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before, "an older one stays"


@pytest.mark.parametrize("to", GRAPHS)
def test_a_network_that_magnifies_rounding_is_told_so(to: str, tmp_path: Path) -> None:
    """Its logits of one picture are what is left of numbers a million times as large."""
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    seen = model.card.preprocess
    x = torch.from_numpy(seen.normalize(seen.apply(samples(seen.size)[0][0])[None]))
    head = model.model.get_classifier()
    assert isinstance(head, torch.nn.Linear)
    with torch.no_grad():
        features = model.model.forward_head(model.model.forward_features(x), pre_logits=True)[0]
        head.weight.mul_(1e6)
        head.bias.copy_(-(head.weight.double() @ features.double()))
    with pytest.raises(
        WeightsError, match=r"built-in picture 0 differs by .* torch itself is .* from float64"
    ) as error:
        model.export(to=to, out=tmp_path / f"o{RUNTIMES[to].suffixes[0]}")
    assert "magnifies rounding" in error.value.fix


@pytest.mark.parametrize("to", GRAPHS)
def test_a_file_that_cannot_be_run_is_not_kept(to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    real = modules.weight
    monkeypatch.setattr(modules, "weight", lambda g, value: real(g, value[..., None]))
    with pytest.raises(WeightsError, match=rf"cannot be run in {RUNTIMES[to].name} .*, and is not kept"):
        model.export(to=to, out=tmp_path / f"o{RUNTIMES[to].suffixes[0]}")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_full_disk_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("basic_ios::clear: iostream error")

    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    monkeypatch.setattr(loaded(), "serialize", full)
    with pytest.raises(ResourceError, match=r"o\.xml could not be written: OpenVINO gives no reason") as error:
        model.export(to="openvino", out=tmp_path / "o.xml")
    assert "free some space" in error.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_only_an_export_is_replaced(tmp_path: Path) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    for to, name in (("onnx", "a.onnx"), ("openvino", "a.xml"), ("openvino", "b.bin"), ("onnx", "m.onnx")):
        there = tmp_path / name
        there.write_bytes(drawn(model.card, model.model, "picture", {}) if name == "m.onnx" else b"years of work")
        out = there.with_suffix(RUNTIMES[to].suffixes[0])
        with pytest.raises(UsageError, match=f"{name} is there and is not an export"):
            model.export(to=to, out=out)
        there.unlink()
        there.symlink_to("nowhere")
        with pytest.raises(UsageError, match="is not an export"):
            model.export(to=to, out=out)
        there.unlink()
    with pytest.raises(UsageError, match=r"o\.pb would be a \.onnx file"):
        model.export(to="onnx", out=tmp_path / "o.pb")
    with pytest.raises(ResourceError, match="could not be written"):
        model.export(to="onnx", out=tmp_path / "nowhere" / "o.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    for to, name in (("onnx", "o.onnx"), ("openvino", "o.xml")):
        sums = []
        for _ in range(2):
            model.export(to=to, out=tmp_path / name)
            sums.append((tmp_path / name).read_bytes())
        assert sums[0] == sums[1] or to == "openvino", "which numbers its nodes anew each time"


def test_a_file_that_has_the_name_of_weights_is_not_written_over(tmp_path: Path) -> None:
    model, out, notes = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu"), tmp_path / "o.xml", "my notes"
    model.export(to="openvino", out=out)
    other = out.with_suffix(".bin").rename(tmp_path / "kept")
    out.with_suffix(".bin").write_text(notes)
    with pytest.raises(UsageError, match=r"o\.bin is there and is not part of .*o\.xml"):
        model.export(to="openvino", out=out)
    assert out.with_suffix(".bin").read_text() == notes
    other.replace(out.with_suffix(".bin"))
    model.export(to="openvino", out=out)


def test_of_two_files_both_are_there_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    real = files.write_bytes

    def full(path: Path, data: bytes) -> None:
        if path.suffix == ".xml":
            raise ResourceError("the disk is full", "free some space")
        real(path, data)

    monkeypatch.setattr("resnetkit.export.written.write_bytes", full)
    with pytest.raises(ResourceError, match="full"):
        model.export(to="openvino", out=tmp_path / "o.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_settings_that_do_nothing_are_errors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    for given in ({"input": "tensor"}, {"data": "digits"}):
        with pytest.raises(UsageError, match=r"an export to timm is weights alone \(fix: leave --(input|data) out"):
            model.export(to="timm", out=tmp_path / "o.safetensors", **given)  # type: ignore[arg-type]
    wrong: Any = "images"
    with pytest.raises(UsageError, match=r"input is images \(fix: use picture or tensor"):
        model.export(to="onnx", out=tmp_path / "o.onnx", input=wrong)
    words = ["export", str(tmp_path / "m.safetensors"), "--to", "onxx", "--out", str(tmp_path / "o.onnx")]
    assert cli.main(words) == 2
    assert "did you mean onnx?" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["onnx", "onnxruntime", "openvino"])
def test_a_missing_package_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    monkeypatch.setitem(sys.modules, name, None)
    to = "openvino" if name == "openvino" else "onnx"
    with pytest.raises(ResourceError, match=rf'export needs {name}.*\(fix: pip install "resnetkit\[export\]"'):
        model.export(to=to, out=tmp_path / f"o{RUNTIMES[to].suffixes[0]}")
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_openvino_tells_nobody() -> None:
    """Its telemetry is not loaded, and so sends nothing; who loads it himself keeps it."""
    code = (
        "import sys; from resnetkit.export.runtimes import loaded; loaded(); print('openvino_telemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_photographs_are_seen_to_the_bit(data_dir: Path) -> None:
    """All 150, as the network for photographs sees them."""
    seen, g = Preprocess(size=(224, 224), mean=MEAN, std=STD, channels=3), Nodes()
    prepared(g, "pictures", seen, "tensor")
    data = g.to_bytes(
        [("pictures", np.uint8, ("n", "height", "width", 3))], [("tensor", np.float32, ("n", 3, 224, 224))], {}
    )
    one, other = (opened(data, name) for name in RUN)
    paths = sorted((data_dir / "imagenet-samples").glob("*.JPEG"))
    assert len(paths) == 150
    for path in paths:
        pixels = decode(path, path.name, channels=3).pixels
        wanted = seen.normalize(seen.apply(pixels)[None])
        np.testing.assert_array_equal(one(pixels[None]), wanted, err_msg=path.name)
        levels = np.abs(other(pixels[None]) - wanted) * np.array(STD, np.float32)[:, None, None] * 255
        assert levels.max() < 1.001, path.name


@pytest.mark.parametrize("page", ["export.md", "export.zh-CN.md"])
def test_the_ten_lines_of_the_docs_run(page: str, tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / page).read_text(encoding="utf-8")
    code, *_ = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    model.export(to="onnx", out=tmp_path / "flowers.onnx")
    picture = noise(tmp_path / "photo.jpg", 3, (71, 50))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    (wanted,) = model.predict(picture, top=1)
    name, p = done.stdout.split()
    assert name == wanted.top[0][0]
    assert float(p) == pytest.approx(wanted.top[0][1], abs=0.01)  # decoders of JPEG differ a little


@pytest.mark.parametrize(("name", "most"), [("onnxruntime", 2**40), ("openvino", 2**24)])
def test_whole_numbers_are_divided_exactly(name: str, most: int) -> None:
    """As far as the sides of pictures go, times the size of a network."""
    g = Nodes()
    one, other = (g.add("Gather", "pair", g.whole([i])) for i in (0, 1))
    g.add("Concat", *g.divided(one, other), axis=0, name="found")
    ask = opened(g.to_bytes([("pair", np.int64, (2,))], [("found", np.int64, (2,))], {}), name)
    dice = np.random.default_rng(1)
    for below in dice.integers(1, 40_000, 300).tolist():
        times = int(dice.integers(0, most // below - 2))
        for above in (times * below + more for more in (-1, 0, 1, below // 2)):
            for signed in (above, -above):
                assert ask(np.array([signed, below])).tolist() == list(divmod(signed, below)), (signed, below)
