"""Files of 8 bits: whole numbers in both runtimes, a loss that val allows, layers in float32 where it does not."""

import csv
import importlib
import importlib.util
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import resnet
from numpy.typing import NDArray
from samples import folder, picture
from test_export import MADE, MEAN, SMALL, STD, card_of, network, saved, texts

import resnetkit
from resnetkit import cli
from resnetkit.classifier import Classifier
from resnetkit.data.decode import Picture
from resnetkit.data.lists import Columns
from resnetkit.data.parts import Part, subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.deployed import load_export
from resnetkit.errors import DataError, UsageError, WeightsError
from resnetkit.export import int8, quantizing
from resnetkit.export.calibrating import scale_between, showing, watched
from resnetkit.export.graph import LOGITS, TENSOR, drawing
from resnetkit.export.int8 import TAKERS, Lowering
from resnetkit.export.nodes import Nodes
from resnetkit.export.parted import Parted, parted
from resnetkit.export.quantizing import Graph, Scale, Seen, quantized, shifts
from resnetkit.export.runtimes import RUNTIMES, loaded
from resnetkit.reject import Reject
from resnetkit.tasks import TASKS
from resnetkit.units import Taps
from resnetkit.verbs import exporting

MISSING = [name for name in ("onnx", "onnxruntime", "openvino") if importlib.util.find_spec(name) is None]
if MISSING and os.environ.get("CI") != "true":
    pytest.skip(f"{MISSING} are not installed", allow_module_level=True)
onnx, onnxruntime = (importlib.import_module(name) for name in ("onnx", "onnxruntime"))

SUFFIX = {to: runtime.suffixes[0] for to, runtime in RUNTIMES.items()}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A small network that tells handwritten digits apart, and knows which of them it has not learned."""
    out = str(tmp_path_factory.mktemp("run") / "run")
    done = resnetkit.train("digits", model="resnet8", size=16, epochs=4, batch=32, weights="none", out=out)
    assert done.accuracy > 0.85
    return done.model


@pytest.mark.parametrize("to", TAKERS)
def test_real_pictures_lose_little(
    to: str, model: Classifier, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From the command to the answer: what is printed, what the file says, what it answers, and how large it is."""
    run, out = str(model.folder), tmp_path / f"o{SUFFIX[to]}"
    words = ["export", run, "--to", to, "--out", str(out), "--data", "digits", "--precision", "int8"]
    assert cli.main([*words, "--max-drop", "1"]) == 0  # a picture of val is 0.7 points
    said, noted = capfd.readouterr()
    assert "note: int8: 13 of 13 layers in 8 bits, " in noted
    assert "(int8) against torch, on" in said
    assert f"int8: {len(layers(model))} of {len(layers(model))} layers, with scales of 300 pictures of train" in said
    assert "accuracy on val: " in said
    proof = texts(to, str(out))["proof"]
    assert (proof["precision"], proof["tolerance"]) == ("int8", None)
    assert proof["levels"] < 1.001
    assert proof["same"] > 0.97
    found = proof["int8"]
    assert (found["max_drop"], found["scales_from"], found["float32"]) == (1.0, "train", [])
    there = load_export(str(out))
    assert there.runs_on == f"{RUNTIMES[to].says}, int8"
    for name in ("val", "test"):
        if (part := found[name]) is not None:
            one = there.evaluate("digits", name).accuracy
            assert part["int8"] == pytest.approx(one), "what is said is what anybody measures"
            assert part["float32"] == pytest.approx(model.evaluate("digits", name).accuracy)
            assert part["drop"] == pytest.approx(100 * (part["float32"] - part["int8"]))
            assert part["drop"] <= (1.0 if name == "val" else 1.5)
    size = weights(out, to)
    model.export(to=to, out=out)
    assert load_export(str(out)).runs_on == f"{RUNTIMES[to].says}, fp32"
    assert size < 0.4 * weights(out, to)


def weights(path: Path, to: str) -> int:
    return path.with_suffix(RUNTIMES[to].suffixes[-1]).stat().st_size


def layers(model: Classifier) -> list[quantizing.Layer]:
    return Graph(drawing(model.card, model.model, "picture").g, TENSOR, LOGITS).layers()


@pytest.mark.parametrize("to", TAKERS)
def test_trained_weights_lose_little_on_photographs(
    to: str, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published resnet20 on a tenth of CIFAR-10's val and test pictures; docs/export.md has all of them."""
    path, weights = tmp_path / "m.safetensors", data_dir / "cifar10-resnet-weights" / "resnet20-12fca82f.th"
    names = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
    words = ["import", str(weights), "--model", "resnet20", "--out", str(path), "--classes", names, "--size", "32"]
    assert cli.main([*words, "--crop", "1", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]) == 0

    def tenth(card: Any, *how: Any) -> Parted:
        found = parted(card, *how)
        assert found.test is not None
        val, test = (subset(part, np.arange(0, len(part.names), 10)) for part in (found.val, found.test))
        return replace(found, val=val, test=test)

    monkeypatch.setattr("resnetkit.classifier.parted", tenth)
    data = data_dir / "cifar10-jpeg"
    done = resnetkit.load(path, device="cpu").export(
        to=to, out=tmp_path / f"o{SUFFIX[to]}", data=data, precision="int8", max_drop=1
    )
    assert done.proof is not None
    found = done.proof["int8"]
    assert (found["layers"], len(found["float32"])) == (29, 0)
    assert found["test"]["pictures"] == 1000
    assert found["test"]["float32"] > 0.78
    assert abs(found["test"]["drop"]) < 1.5
    assert done.proof["same"] > 0.96


def test_pictures_that_cannot_be_read_are_not_counted_and_are_named(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of val is broken, and one of train."""

    def broken(card: Any, *how: Any) -> Parted:
        found = parted(card, *how)
        return replace(found, val=spoiled(found.val, 3), scales=spoiled(found.scales, 0))

    def spoiled(part: Part, row: int) -> Part:
        def read(i: int) -> Picture:
            if i == row:
                raise DataError("it is cut off", "copy it again")
            return part.read(i)

        return replace(part, read=read)

    whole = parted(model.card, model.folder, "digits").val
    monkeypatch.setattr("resnetkit.classifier.parted", broken)
    done = model.export(to="onnx", out=tmp_path / "o.onnx", data="digits", precision="int8", max_drop=2)
    assert done.proof is not None
    assert done.proof["int8"]["val"]["pictures"] == len(whole.names) - 1
    assert done.proof["int8"]["pictures"] == int8.PICTURES - 1
    said = sorted(note for note in done.notes if "cannot be read" in note)
    scales = parted(model.card, model.folder, "digits").scales
    assert said == [
        f"left out of train, for they cannot be read: {scales.names[0]}",
        f"left out of val, for they cannot be read: {whole.names[3]}",
    ]


def test_a_file_is_the_same_each_time(model: Classifier, tmp_path: Path) -> None:
    out, sums = tmp_path / "o.onnx", []
    for _ in range(2):
        done = model.export(to="onnx", out=out, data="digits", precision="int8")
        sums.append(out.read_bytes())
    assert sums[0] == sums[1]
    assert done.proof is not None
    assert done.proof["int8"]["max_drop"] == 0.5


def test_the_commands_take_it_without_torch(model: Classifier, tmp_path: Path) -> None:
    out = tmp_path / "o.onnx"
    model.export(to="onnx", out=out, data="digits", precision="int8")
    done = resnet("eval", out, "digits", "--out", tmp_path / "eval", "--json")
    assert done.code == 0, done.err
    assert "int8" in (tmp_path / "eval" / "report.html").read_text(encoding="utf-8")
    changed = out.read_bytes().replace(b'"precision":"int8"', b'"precision":"fp32"')
    assert changed != out.read_bytes()
    out.write_bytes(changed)
    assert resnet("eval", out, "digits").code == 4, "the seal holds what it says of its precision"


def eight(
    model: torch.nn.Module,
    card: Any,
    to: str,
    x: NDArray[np.uint8],
    left: Callable[[Graph], set[str]] = lambda _: set(),
) -> tuple[bytes, bytes, Seen]:
    """A network as ONNX from tensor to logits: in float32, in 8 bits, and its scales from the pictures ``x``."""
    drawn = drawing(card, model, "tensor")  # type: ignore[arg-type]
    graph, ends, data = Graph(drawn.g, TENSOR, LOGITS), to == "onnx", drawn.to_bytes({})
    names = graph.rounded(set(), ends)
    seen = watched(ask(showing(data, names), to), names, [card.preprocess.normalize(x)])
    return data, replace(drawn, g=quantized(graph, seen, left(graph), ends=ends)).to_bytes({}), seen


def ask(data: bytes, to: str) -> Callable[[NDArray[Any]], dict[str, NDArray[np.float32]]]:
    if to == "onnx":
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        names = [one.name for one in session.get_outputs()]
        return lambda x: dict(zip(names, session.run(names, {TENSOR: x}), strict=True))
    core = loaded().Core()
    ready = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: {port.get_any_name(): value.copy() for port, value in ready([x]).items()}


def operators(data: bytes, to: str, x: NDArray[np.float32], folder: Path) -> Counter[str]:
    """What a runtime really runs: in OpenVINO with the kind of numbers it works on."""
    if to == "onnx":
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath, options.log_severity_level = str(folder / "optimized.onnx"), 3
        onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
    core = loaded().Core()
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True}
    asked = core.compile_model(core.read_model(data), "CPU", hints).create_infer_request()
    asked.infer([x])
    ran = [one for one in asked.profiling_info if "NOT_RUN" not in str(one.status)]
    return Counter(f"{one.node_type} {one.exec_type.rsplit('_', 1)[-1]}" for one in ran)


PICTURES = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), np.uint8)
SEEN32 = Preprocess(size=(32, 32), crop=1.0, mean=MEAN, std=STD, channels=3)
FLOATS = {"DequantizeLinear", "QuantizeLinear", "GlobalAveragePool", "Flatten", "Transpose", "Slice", "Pad"}
WHOLE = {"QLinearConv", "QLinearAdd", "QGemm", "MaxPool", "NhwcMaxPool", "QLinearAveragePool", "QLinearConcat"}
WHOLE |= {"QLinearSigmoid", "QLinearMul", "QLinearLeakyRelu", "Reshape", "Shape"}
DEEP = replace(SMALL, depths=(1, 2), stem="deep", pool="max", down="mean", blur=True)
PREACT = replace(SMALL, preact=True, depths=(2, 2))
MIXED = {"deep": DEEP, "preact": PREACT, "se": replace(SMALL, attention="se", reduction=4)}
KINDS = "resnet8 deep preact mobilenetv2_050 shufflenet_v2_x0_5 silu leaky".split()


def of(kind: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, spec in MIXED.items():
        monkeypatch.setitem(MADE, name, spec)
    return network(kind)


@pytest.mark.parametrize("to", TAKERS)
@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_are_what_runs(kind: str, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every convolution and the head, with the sums, and nothing in float32 but the mean of the last map."""
    net = of(kind, monkeypatch)
    card = card_of(net, SEEN32)
    data, small, _ = eight(net, card, to, PICTURES)
    x = card.preprocess.normalize(PICTURES)
    one, other = (ask(each, to)(x)[LOGITS] for each in (data, small))
    assert np.sqrt(((one - other) ** 2).mean()) < 0.02 * one.std()
    count = sum(node.op_type == "Conv" for node in onnx.load_model_from_string(data).graph.node)
    ran = operators(small, to, x, tmp_path)
    if to == "onnx":
        assert ran["QLinearConv"] == count
        assert ran["QGemm"] == 1
        assert set(ran) <= FLOATS | WHOLE
        assert ran["GlobalAveragePool"] == 1
    else:
        assert ran["Convolution I8"] + ran["GroupConvolution I8"] == count
        assert sum(number for name, number in ran.items() if name.startswith("FullyConnected") and "I8" in name) == 1
        assert not any(name.startswith(("Add", "Eltwise", "Multiply")) or "Convolution f32" in name for name in ran)


@pytest.mark.parametrize("to", TAKERS)
@pytest.mark.parametrize("kind", ["se", "gated", "gelu", "layerscale"])
def test_what_no_runtime_has_stays_in_float32(
    kind: str, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention over means, and activations of other libraries, between convolutions of 8 bits."""
    net = of(kind, monkeypatch)
    card = card_of(net, SEEN32)
    data, small, _ = eight(net, card, to, PICTURES)
    x = card.preprocess.normalize(PICTURES)
    one, other = (ask(each, to)(x)[LOGITS] for each in (data, small))
    assert np.sqrt(((one - other) ** 2).mean()) < 0.02 * one.std()
    ran = operators(small, to, x, tmp_path)
    attention = 4 if kind == "se" else 0
    count = sum(node.op_type == "Conv" for node in onnx.load_model_from_string(data).graph.node)
    if to == "onnx":
        assert (ran["QLinearConv"], ran["Conv"]) == (count - attention, attention)
    else:
        assert (ran["Convolution I8"], ran["Convolution f32"]) == (count - attention, attention)


@pytest.mark.parametrize("cells", [1, 2])
def test_a_head_that_sees_several_maps(cells: int) -> None:
    net = network("resnet8", Taps(first=1, cells=cells))
    card = card_of(net, SEEN32)
    for to in RUNTIMES:
        data, small, _ = eight(net, card, to, PICTURES)
        one, other = (ask(each, to)(card.preprocess.normalize(PICTURES))[LOGITS] for each in (data, small))
        assert np.sqrt(((one - other) ** 2).mean()) < 0.02 * one.std()


@pytest.mark.parametrize("to", TAKERS)
def test_a_layer_that_is_left_is_as_it_was(to: str, tmp_path: Path) -> None:
    net = network("resnet8")
    card = card_of(net, SEEN32)
    every = lambda graph: {node.output for node in graph.nodes}  # noqa: E731
    data, same, _ = eight(net, card, to, PICTURES, every)
    x = card.preprocess.normalize(PICTURES)
    np.testing.assert_array_equal(ask(data, to)(x)[LOGITS], ask(same, to)(x)[LOGITS])
    head = lambda graph: {LOGITS}  # noqa: E731, ARG005
    _, most, _ = eight(net, card, to, PICTURES, head)
    ran = operators(most, to, x, tmp_path)
    assert ran["Gemm"] + ran["FullyConnected f32"] == 1
    assert ran["QLinearConv"] + ran["Convolution I8"] == sum(
        node.op_type == "Conv" for node in onnx.load_model_from_string(data).graph.node
    )


def test_two_products_fit_into_16_bits() -> None:
    """As processors without VNNI add them: what is too large there is cut off, and no error says so."""
    assert 2 * quantizing.LEVELS * quantizing.MOST < 2**15
    net = network("resnet8")
    _, small, _ = eight(net, card_of(net, SEEN32), "onnx", PICTURES)
    found = [
        onnx.numpy_helper.to_array(one)
        for one in onnx.load_model_from_string(small).graph.initializer
        if one.data_type == onnx.TensorProto.INT8
    ]
    largest = [np.abs(one.astype(int)).max() for one in found if one.ndim > 1]
    assert max(largest) == quantizing.MOST
    assert len(largest) == 10


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-1.0, 0.0), (-2.0, 5.0), (-1e-3, 40.0), (0.0, 0.0)])
def test_a_scale_reaches_from_end_to_end_and_has_a_zero(low: float, high: float) -> None:
    scale = scale_between(low, high)
    values = np.linspace(low, high, 1001)
    whole = np.clip(np.rint(values / scale.step) + scale.zero, 0, quantizing.LEVELS)
    assert np.abs((whole - scale.zero) * scale.step - values).max() <= 1.001 * scale.step
    assert 0 <= scale.zero <= quantizing.LEVELS
    assert scale.step > 0


def test_what_is_seen_is_of_all_pictures() -> None:
    maps = np.random.default_rng(0).normal(1, 1, (6, 3, 4, 4)).astype(np.float32)
    maps[0, 0, 0, 0], maps[1, 0, 0, 0] = -9, 9
    seen = watched(lambda x: {"a": x, "other": x}, ["a", TENSOR], [maps[:2], maps[2:]])
    for name in ("a", TENSOR):
        assert seen.scales[name] == scale_between(float(maps.min()), float(maps.max()))
        np.testing.assert_allclose(seen.means[name], maps.mean((0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_errors_of_weights_leave_means_where_they_were(groups: int) -> None:
    """What rounding adds to a channel on average is taken off its bias."""
    dice = np.random.default_rng(0)
    wrong, x = dice.normal(0, 1, (8, 4 // groups)), dice.uniform(0, 2, (50, 4))
    added = np.stack(
        [(x[:, g * (4 // groups) : (g + 1) * (4 // groups)] @ wrong[o]) for o in range(8) for g in [o * groups // 8]], 1
    )
    np.testing.assert_allclose(shifts(wrong, x.mean(0), groups), added.mean(0))


def test_a_bias_takes_back_what_rounded_weights_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "MOST", 3)
    dice, g = np.random.default_rng(0), Nodes()
    weight, bias = dice.normal(0, 1, (16, 8, 1, 1)).astype(np.float32), np.zeros(16, np.float32)
    g.add("Conv", TENSOR, g.constant(weight), g.constant(bias), kernel_shape=(1, 1), name="c")
    g.add("GlobalAveragePool", "c", name=LOGITS)
    x = dice.uniform(0, 1, (4, 8, 16, 16)).astype(np.float32)
    wanted = np.einsum("oc,nchw->no", weight[:, :, 0, 0], x) / 256
    seen = Seen({TENSOR: scale_between(0, 1)}, {TENSOR: x.mean((0, 2, 3), dtype=np.float64)})
    small = quantized(Graph(g, TENSOR, LOGITS), seen, set(), ends=False)
    data = small.to_bytes([(TENSOR, np.float32, ("n", 8, 16, 16))], [(LOGITS, np.float32, ("n", 16, 1, 1))], {})
    found = ask(data, "openvino")(x)[LOGITS].reshape(4, 16)
    assert np.abs(found - wanted).mean() < 0.03, "and 0.15 where the bias stays as it was"


def test_of_two_convolutions_that_are_summed_one_is_rounded() -> None:
    """OpenVINO adds the other within the pass of the one, and needs no third."""
    net = network("resnet8")
    graph = Graph(drawing(card_of(net, SEEN32), net, "tensor").g, TENSOR, LOGITS)
    some, every = graph.rounded(set(), False), graph.rounded(set(), True)
    sums = [node.inputs for node in graph.nodes if node.kind == "Add"]
    assert [len(set(pair) & set(some)) for pair in sums] == [1, 1, 1]
    assert [len(set(pair) & set(every)) for pair in sums] == [2, 2, 2]


def test_a_bias_of_a_dead_channel_fits() -> None:
    """Where weights are nothing their bias still has to be a whole number of 32 bits."""
    g = Nodes()
    weight, bias = np.zeros((2, 1, 1, 1), np.float32), np.array([5.0, -3.0], np.float32)
    g.add("Conv", TENSOR, g.constant(weight), g.constant(bias), kernel_shape=(1, 1), name="c")
    g.add("GlobalAveragePool", "c", name=LOGITS)
    seen = Seen({TENSOR: Scale(1e-3, 0), "c": Scale(0.05, 100)}, {TENSOR: np.zeros(1)})
    small = quantized(Graph(g, TENSOR, LOGITS), seen, set(), ends=True)
    data = small.to_bytes([(TENSOR, np.float32, (1, 1, 2, 2))], [(LOGITS, np.float32, (1, 2, 1, 1))], {})
    found = ask(data, "onnx")(np.ones((1, 1, 2, 2), np.float32))[LOGITS]
    np.testing.assert_allclose(found.reshape(-1), bias, atol=0.03)


def test_layers_that_cost_too_much_stay_in_float32(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Weights of three values alone cost far too much, and are not needed everywhere."""
    monkeypatch.setattr(quantizing, "MOST", 1)
    out = tmp_path / "o.onnx"
    words = ["export", str(model.folder), "--to", "onnx", "--out", str(out), "--data", "digits", "--precision", "int8"]
    assert cli.main([*words, "--max-drop", "1", "--input", "tensor", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["proof"]["int8"]
    assert 0 < len(found["float32"]) < found["layers"] == len(layers(model))
    assert found["val"]["drop"] <= 1
    assert found["val"]["int8"] == pytest.approx(load_export(str(out)).evaluate("digits", "val").accuracy)
    assert set(found["float32"]) <= {layer.says for layer in layers(model)}


def made(model: Classifier, tmp_path: Path, to: str = "onnx") -> Lowering:
    parts = parted(model.card, model.folder, "digits")
    return Lowering(model.card, drawing(model.card, model.model, "picture"), "picture", to, parts, tmp_path, 1)


@pytest.mark.parametrize("needed", [0, 1, 2, 3, 5, 8, 12])
def test_no_more_layers_stay_than_are_needed(
    needed: int, model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = made(model, tmp_path)
    assert len(work.layers) == 13
    order, tried = work.layers[::-1], list[int]()

    def scored(left: Any, *_: object) -> int8.Scored:
        tried.append(len(left))
        return int8.Scored(100, 1.0, 1.0, 0.5 if len(left) >= needed else 0.6)

    monkeypatch.setattr(work, "drawn", lambda left: left)
    monkeypatch.setattr(work, "scored", scored)
    monkeypatch.setattr(work, "ranked", lambda _: order)
    left, val = work.chosen(1.0, 0.5, [])
    assert left == order[:needed]
    assert val.drop == 0.5
    assert len(tried) <= 9


def test_the_layer_that_disturbs_most_is_ranked_first(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = made(model, tmp_path)
    bad = work.layers[4].output
    real = quantizing.parameters

    def broken(out: Nodes, node: Any, *rest: Any) -> list[str]:
        monkeypatch.setattr(quantizing, "MOST", 1 if node.output == bad else 64)
        return real(out, node, *rest)

    monkeypatch.setattr(quantizing, "parameters", broken)
    tensors = work.tensors()
    assert sum(map(len, tensors)) == 300
    work.seen = work.calibrated(tensors)
    assert work.ranked(tensors)[0].output == bad


def test_where_nothing_helps_nothing_is_kept(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lowering, "figure", lambda self, drawn, _: (float(drawn is self.drawing), 10))
    monkeypatch.setattr(Lowering, "ranked", lambda self, _: self.layers)
    with pytest.raises(
        WeightsError, match=r"loses 100\.00 points of accuracy on val in int8, even with 12 of 13 layers"
    ):
        model.export(to="onnx", out=tmp_path / "o.onnx", data="digits", precision="int8")
    assert not list(tmp_path.iterdir())


def test_test_decides_nothing_and_is_told(
    model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for part in ("train", "val", "test"):
        folder(data, *(f"{part}/{name}/{i}.png" for name in model.card.classes for i in range(2)))
    asked = []

    def figure(self: Lowering, drawn: Any, part: Any) -> tuple[float, int]:
        asked.append(part is self.parted.test)
        return 0.9 if drawn is self.drawing else 0.898 if part is self.parted.val else 0.85, len(part.names)

    monkeypatch.setattr(Lowering, "figure", figure)
    words = ["export", str(model.folder), "--to", "onnx", "--out", str(tmp_path / "o.onnx"), "--data", str(data)]
    assert cli.main([*words, "--precision", "int8"]) == 0
    said, err = capfd.readouterr()
    assert "accuracy on val: 90.00% in float32, 89.80% in int8, 0.20 points less (20 pictures)" in said
    assert "accuracy on test: 90.00% in float32, 85.00% in int8, 5.00 points less (20 pictures)" in said
    assert "note: on test int8 loses 5.00 points of accuracy, more than the 0.5 of val" in err
    assert asked == [False, False, True, True]


def test_what_is_val_where_nobody_said_so(tmp_path: Path) -> None:
    """A model of other data has learned none of these; a tenth of train decides, and data of test alone cannot."""
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    data = folder(
        tmp_path / "d", *(f"{part}/{name}/{i}.png" for part in ("train", "test") for name in "abcde" for i in range(4))
    )
    found = parted(model.card, None, str(data))
    assert (len(found.scales.names), len(found.val.names), found.scales_from) == (15, 5, "train")
    assert found.test is not None
    assert len(found.test.names) == 20
    assert "has no val part, and the model none of its own" in found.notes[0]
    whole = folder(tmp_path / "w", *(f"{name}/{i}.png" for name in "abcde" for i in range(4)))
    found = parted(model.card, None, str(whole))
    assert (len(found.scales.names), len(found.val.names), found.test) == (15, 5, None)
    only = folder(
        tmp_path / "v", *(f"{part}/{name}/{i}.png" for part in ("val", "test") for name in "abcde" for i in range(4))
    )
    found = parted(model.card, None, str(only))
    assert (found.scales_from, len(found.notes)) == ("val", 1)
    test = folder(tmp_path / "t", *(f"test/{name}/{i}.png" for name in "abcde" for i in range(4)))
    with pytest.raises(UsageError, match="has neither a val part nor a train part"):
        model.export(to="onnx", out=tmp_path / "o.onnx", data=test, precision="int8")
    few = folder(
        tmp_path / "f", *(f"{part}/{name}/{i}.png" for part in ("train", "val") for name in "ab" for i in "123")
    )
    assert parted(model.card, None, str(few)).notes == ("val has no picture of c, d, e",)


def test_a_train_part_alone_is_enough_and_said(tmp_path: Path) -> None:
    reject = Reject(threshold=0.4, risk=0.1, sure=0.95, bound=0.05, coverage=0.9, n=100)
    model = resnetkit.load(saved(tmp_path / "m.safetensors", reject=reject), device="cpu")
    data = folder(tmp_path / "d", *(f"train/{name}/{i}.png" for name in "abcde" for i in range(4)))
    for precision, drop in (("fp32", None), ("int8", 10.0)):
        out = tmp_path / f"{precision}.onnx"
        done = model.export(to="onnx", out=out, data=data, precision=precision, max_drop=drop)
        assert done.proof is not None
        assert done.proof["pictures"] == 20
        tried = "has a train part alone: the file was tried on pictures that the model may have learned"
        assert any(tried in note for note in done.notes)
        assert any("has no val part" in note for note in done.notes) == (precision == "int8")
        assert any("is not measured for those of int8" in note for note in done.notes) == (precision == "int8")
    with pytest.raises(UsageError, match="d is not a list, and has no such columns"):
        model.compiled("int8", data=data, columns=Columns(image="scan"))
    broken = folder(tmp_path / "b", "train/a/1.png", "train/f/2.png")
    with pytest.raises(DataError, match="class that the model does not have: f"):
        model.export(to="onnx", out=tmp_path / "no.onnx", data=broken)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"precision": "int8"}, "int8 takes pictures to choose its scales by .*--data DATA"),
        ({"max_drop": 1.0}, "max-drop is about files of int8"),
        ({"precision": "fp32", "max_drop": 1.0}, "max-drop is about files of int8"),
        ({"precision": "int4"}, "precision is int4 .*use fp32 or int8"),
        ({"precision": "int8", "data": "digits", "max_drop": -1}, "max-drop is -1 .*from 0 to 10"),
        ({"precision": "int8", "data": "digits", "max_drop": 50}, "max-drop is 50"),
        ({"precision": "int8", "data": "digits", "max_drop": float("nan")}, "max-drop is nan"),
        ({"precision": "int8", "data": "digits", "max_drop": True}, "max-drop is True"),
        ({"to": "timm", "precision": "int8"}, "an export to timm is weights alone .*leave --precision out"),
        (
            {"to": "timm", "max_drop": 0.5},
            "an export to timm is weights alone .*leave --max-drop out, or use --to onnx or openvino\\)",
        ),
    ],
)
def test_what_cannot_be_meant_is_said(given: dict[str, Any], says: str, tmp_path: Path) -> None:
    model = resnetkit.load(saved(tmp_path / "m.safetensors"), device="cpu")
    with pytest.raises(UsageError, match=says):
        model.export(**{"to": "onnx", "out": tmp_path / "o.onnx", **given})
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_points_are_a_number(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(saved(tmp_path / "m.safetensors")), "--to", "onnx", "--out", str(tmp_path / "o.onnx")]
    assert cli.main([*words, "--precision", "int8", "--data", "digits", "--max-drop", "half"]) == 2
    assert "--max-drop is 'half'; it takes points" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("task", "judge", "figure"), [("tags", "mean_ap", "mean average precision"), ("numbers", "r2", "R2")]
)
def test_other_tasks_are_judged_by_their_own_figure(task: str, judge: str, figure: str, tmp_path: Path) -> None:
    """Squares that are red, green, both or black: which, or how bright they are."""
    dice, rows = np.random.default_rng(0), []
    for i in range(160):
        red, green = dice.integers(0, 2, 2) * dice.integers(120, 256, 2)
        picture(tmp_path / f"{i}.png", (int(red), int(green), 40), (16, 16))
        tags = ";".join(name for name, value in (("red", red), ("green", green)) if value)
        rows.append([f"{i}.png", tags, red, green, "train" if i < 100 else "val" if i < 130 else "test"])
    with open(tmp_path / "list.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["image", "tags", "red", "green", "split"], *rows])
    column = "tags" if task == "tags" else "red,green"
    settings: dict[str, Any] = {"model": "resnet8", "size": 16, "epochs": 6, "batch": 8, "weights": "none"}
    out = str(tmp_path / "run")
    done = resnetkit.train(tmp_path / "list.csv", task=task, label_column=column, out=out, **settings)
    there = tmp_path / "o.onnx"
    proof = done.model.export(to="onnx", out=there, data=tmp_path / "list.csv", precision="int8", max_drop=5).proof
    assert proof is not None
    found = proof["int8"]
    assert (found["figure"], found["val"]["pictures"], found["test"]["pictures"]) == (figure, 30, 30)
    assert found["test"]["int8"] == pytest.approx(
        getattr(load_export(str(there)).evaluate(tmp_path / "list.csv"), judge)
    )
    assert found["test"]["float32"] > 0.3
    assert (proof["figure"], proof["pictures"]) == (figure, 30)
    assert proof["here"] == pytest.approx(found["test"]["float32"], abs=1e-4)
    assert proof["there"] == pytest.approx(found["test"]["int8"], abs=1e-4)
    said = exporting.told(proof, TASKS[task])
    assert f"{figure} {proof['there']:.4f} in the file, {proof['here']:.4f} in torch" in said
    assert f"{figure} on test: {found['test']['float32']:.4f} in float32" in said
    renamed = tmp_path / "renamed.csv"
    renamed.write_text((tmp_path / "list.csv").read_text("utf-8").replace("image,tags", "scan,tags"), "utf-8")
    words = ["export", out, "--to", "onnx", "--out", str(there), "--data", str(renamed)]
    words += ["--precision", "int8", "--max-drop", "5"]
    assert cli.main(words) == 3
    assert cli.main([*words, "--image-column", "scan"]) == 0
    with pytest.raises(UsageError, match="columns are of data"):
        done.model.export(to="onnx", out=there, columns=Columns(image="scan"))
    low = done.model.compiled("int8", data=renamed, max_drop=5, columns=Columns(image="scan"))
    assert re.search(rf"int8: {figure} [01]\.\d{{4}} on val", low.runs_on)
