"""Exported files answer as the model does that they were made of, without torch, and only if they are as written."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import environment, refused, resnet
from PIL import Image
from test_classifier import photos

import resnetkit
from resnetkit import cli
from resnetkit.classifier import Classifier, load
from resnetkit.deployed import load_export
from resnetkit.errors import UsageError, WeightsError
from resnetkit.export.runtimes import RUNTIMES
from resnetkit.opening import Opening, is_exported

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes and one that is broken."""
    root = tmp_path_factory.mktemp("photos")
    photos(root / "train")
    photos(root / "test", each=6, first=200)
    rng = np.random.default_rng(0)
    for i, size in enumerate([(40, 30), (17, 60), (8, 8)]):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(root / f"test/red/odd{i}.png")
    Image.fromarray(rng.integers(0, 256, (20, 50), np.uint8)).save(root / "test/red/grey.png")
    (root / "test/red/broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def model(data: Path) -> Classifier:
    out = str(data.parent / f"{data.name}-run")
    return resnetkit.train(data, model="resnet20", size=16, epochs=2, batch=8, out=out, on_bad="skip").model


@pytest.fixture(scope="module")
def files(model: Classifier, data: Path) -> dict[str, Path]:
    folder = data.parent / f"{data.name}-files"
    folder.mkdir()
    found = {"onnx": folder / "m.onnx", "tensor": folder / "t.onnx", "openvino": folder / "m.xml"}
    for name, path in found.items():
        to = "openvino" if name == "openvino" else "onnx"
        model.export(to=to, out=path, input="tensor" if name == "tensor" else "picture")
    return found


@pytest.mark.parametrize("kind", ["onnx", "tensor", "openvino"])
def test_it_answers_as_its_model(kind: str, files: dict[str, Path], model: Classifier, data: Path) -> None:
    there = load_export(str(files[kind]))
    one, other = (each.evaluate(data, "test") for each in (model, there))
    assert (one.names, one.errors) == (other.names, other.errors)
    assert len(one.errors) == 1
    assert one.answers.index.tolist() == other.answers.index.tolist()
    np.testing.assert_allclose(other.answers.logits, one.answers.logits, atol=2e-2 if kind != "tensor" else 1e-4)
    assert one.predicted.tolist() == other.predicted.tolist()
    paths = [data / "test", data / "nothing.png"]
    here, said = (each.predict(paths, top=2) for each in (model, there))
    assert [(a.path, a.error, [name for name, _ in a.top]) for a in here] == [
        (b.path, b.error, [name for name, _ in b.top]) for b in said
    ]
    assert there.card == model.card
    two, twice = (each.evaluate(data, "test", mirror=True) for each in (model, there))
    np.testing.assert_allclose(twice.probabilities, two.probabilities, atol=1e-2)


def test_the_commands_take_it(files: dict[str, Path], model: Classifier, data: Path, tmp_path: Path) -> None:
    done = resnet("eval", files["onnx"], data, "--out", tmp_path / "eval", "--json")
    assert done.code == 3, done.err  # for the broken one
    assert done.document["accuracy"] == model.evaluate(data, "test").accuracy
    assert "onnxruntime" in (tmp_path / "eval/report.html").read_text(encoding="utf-8")
    picture = data / "test/red/odd0.png"
    (said,) = json.loads(resnet("predict", files["openvino"], picture, "--json").out)
    assert said["top"][0]["class"] == model.predict(picture)[0].top[0][0]


def test_what_opens_quickly_answers_alike(
    files: dict[str, Path], data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("onnx", "openvino"):
        one, other = (load_export(Opening(str(files[name]), quick=quick)) for quick in (True, False))
        pictures = sorted((data / "test/blue").iterdir())
        for a, b in zip(one.predict(pictures), other.predict(pictures), strict=True):
            assert [word for word, _ in a.top] == [word for word, _ in b.top]
            np.testing.assert_allclose([p for _, p in a.top], [p for _, p in b.top], atol=1e-5)
    asked: list[bool] = []
    runtime = RUNTIMES["onnx"]

    def opened(*words: Any, quick: bool = False, **others: Any) -> Any:
        asked.append(quick)
        return runtime.open(*words, quick=quick, **others)

    monkeypatch.setitem(RUNTIMES, "onnx", replace(runtime, open=opened))
    for words in ([pictures[0]], pictures[:5], [data / "test"]):
        assert cli.main(["predict", str(files["onnx"]), *map(str, words)]) in (0, 3)
    assert asked == [True, False, False]
    assert capsys.readouterr().out


def test_torch_is_not_loaded(files: dict[str, Path], data: Path, tmp_path: Path) -> None:
    """Neither to predict nor to evaluate, pages and figures and all."""
    program = (
        "import sys; from resnetkit import cli; codes = [cli.main(['predict', *sys.argv[1:3]]),"
        "cli.main(['eval', sys.argv[1], *sys.argv[3:]])]; assert codes == [0, 3], codes;"
        "assert 'torch' not in sys.modules"
    )
    words = [files["onnx"], data / "test/red/odd0.png", data, "--out", tmp_path / "eval"]
    call = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(call, env=environment({}), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eval/report.html").exists()


def test_what_cannot_be_meant(files: dict[str, Path], data: Path, tmp_path: Path) -> None:
    picture = data / "test/red/odd0.png"
    refused(resnet("predict", files["onnx"], picture, "--device", "cuda"), 2, "--device")
    refused(resnet("predict", files["onnx"], picture, "--precision", "bf16"), 2, "--precision")
    refused(resnet("explain", files["onnx"], picture), 2, "exported files")
    refused(resnet("predict", files["openvino"].with_suffix(".bin"), picture), 2, "m.xml")
    save = ["--max-risk", "0.4", "--save", str(tmp_path / "x.safetensors")]
    refused(resnet("eval", files["onnx"], data, *save), 2, "exported one")
    with pytest.raises(UsageError, match="load_export"):
        load(files["onnx"])
    for threads in (-1, 1.5, "two", True):
        with pytest.raises(UsageError, match="not a whole number from 0 to 1024"):
            load_export(files["onnx"], threads=threads)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("a.onnx", b"\x28\0\0\0\0\0\0\0{", "a file of safetensors"),
        ("a.onnx", b"PK\x03\x04", "a file of PyTorch"),
        ("a.onnx", b'<?xml version="1.0"?>\n<net name="x">', "an OpenVINO file"),
        ("a.onnx", b"\xff\xd8\xff\xe0", "a picture"),
        ("a.xml", b"\x08\x08\x12\x09resnetkit", "an ONNX file"),
        ("a.pt2", b"\x08\x08\x12\x09resnetkit", "an ONNX file"),
        ("a.safetensors", b"\x08\x08\x12\x09resnetkit", "an ONNX file"),
        ("a.safetensors", b'<?xml version="1.0"?>\n<net name="x">', "an OpenVINO file"),
        ("a.safetensors", b"\x89PNG", "a picture"),
    ],
)
def test_a_file_under_the_name_of_another_kind_is_told(name: str, start: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(start + bytes(600))
    with pytest.raises(WeightsError, match=f"{name} is {said}") as error:
        load_export(tmp_path / name) if is_exported(name) else load(tmp_path / name)
    suffix = {"a file of safetensors": ".safetensors", "an ONNX file": ".onnx", "an OpenVINO file": ".xml"}.get(said)
    assert suffix is None or error.value.fix == f"give it a name that ends in {suffix}"


def test_an_openvino_file_without_its_weights_is_told(files: dict[str, Path], tmp_path: Path) -> None:
    path = shutil.copy(files["openvino"], tmp_path / "alone.xml")
    with pytest.raises(WeightsError, match=r"alone\.xml has its weights in .*alone\.bin, which is not there"):
        load_export(path)
    (tmp_path / "text.onnx").write_text("hello\n")
    with pytest.raises(WeightsError, match=r"text\.onnx is not an ONNX file, or is damaged"):
        load_export(tmp_path / "text.onnx")


def test_other_files_are_named(model: Classifier, tmp_path: Path) -> None:
    assert model.folder
    for path in (model.folder / "best.safetensors", model.folder, tmp_path / "x.bin2"):
        with pytest.raises(UsageError, match="not a file of"):
            load_export(path)
    with pytest.raises(UsageError, match="no path"):
        load_export(1)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are no text")
def test_names_that_are_no_text(files: dict[str, Path], model: Classifier, data: Path, tmp_path: Path) -> None:
    name = tmp_path / "bad\udcff.onnx"
    model.export(to="onnx", out=name)
    one, other = (load_export(path).predict(data / "test/red/odd0.png") for path in (name, files["onnx"]))
    assert one[0].top == other[0].top


def damaged(data: bytes) -> dict[str, bytes]:
    """A file of ours with one thing wrong, by what it is."""
    middle, rng = len(data) // 2, np.random.default_rng(0)
    other = bytearray(data)
    other[middle] ^= 1
    return {
        "empty": b"",
        "one byte": data[:1],
        "half": data[:middle],
        "cut by two": data[:-2],
        "a changed weight": bytes(other),
        "text": b"hello",
        "page": b"<!doctype html><title>404</title>",
        "noise": rng.bytes(5000),
        "zeros": bytes(5000),
        "twice": data + data,
        "more behind": data + b"\x00\x01\x02",
        "another graph": data + bytes([7 << 3 | 2, 0]),
        "a long length": data[:8] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + data[8:],
        "an endless number": data + b"\x08" + b"\xff" * 20,
        "a group": data + bytes([1 << 3 | 3]),
        "training info": data + bytes([20 << 3 & 127 | 128, 20 >> 4, 0]) + b"\x00",
        "functions": data + bytes([(25 << 3 | 2) & 127 | 128, (25 << 3 | 2) >> 7, 0]),
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    }


def is_refused(path: str) -> bool:
    try:
        load_export(path)
    except WeightsError:
        return True
    return False


def test_broken_files_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    for name, data in damaged(files["onnx"].read_bytes()).items():
        (tmp_path / "x.onnx").write_bytes(data)
        assert is_refused(str(tmp_path / "x.onnx")), name
    done = resnet("predict", tmp_path / "x.onnx", tmp_path / "a.png")
    refused(done, 4, "x.onnx")
    text, weights = (files["openvino"].with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin"))
    path = tmp_path / "y.xml"
    for xml, binary in (
        *((bad, weights) for bad in damaged(text).values()),
        *((text, bad) for bad in (b"", weights[:-1], weights + b"\0", bytes([weights[0] ^ 1]) + weights[1:])),
        (text.replace(b"<net ", b"<!DOCTYPE x [<!ENTITY a 'b'>]><net ", 1), weights),
        (text.replace(b"Convolution", b"Nothing", 1), weights),
    ):
        path.write_bytes(xml)
        path.with_suffix(".bin").write_bytes(binary)
        assert is_refused(str(path)), str(xml[:60])


def test_files_from_elsewhere_are_refused(files: dict[str, Path], tmp_path: Path) -> None:
    """Weights in files beside it, other libraries' operators, graphs in graphs, no metadata."""
    onnx = pytest.importorskip("onnx")
    (tmp_path / "secret").write_bytes(bytes(400))

    def changed(kind: str) -> bytes:
        model = onnx.load(files["onnx"])
        weight = max(model.graph.initializer, key=lambda one: len(one.raw_data))
        if kind.startswith("outside"):
            weight.ClearField("raw_data")
            weight.data_location = onnx.TensorProto.EXTERNAL
            where = weight.external_data.add()
            where.key, where.value = "location", {"outside": "secret", "outside above": "../../etc/passwd"}[kind]
        elif kind == "library":
            model.graph.node[0].domain = "com.microsoft"
            model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        elif kind == "graph in graph":
            inner = onnx.helper.make_graph([], "inner", [], [])
            model.graph.node[0].attribute.append(onnx.helper.make_attribute("then_branch", inner))
        elif kind == "unmarked":
            del model.metadata_props[:]
        elif kind == "other classes":
            next(one for one in model.metadata_props if one.key == "classes").value = '["a"]'
        elif kind == "no JSON":
            next(one for one in model.metadata_props if one.key == "classes").value = "[["
        return bytes(model.SerializeToString())

    for kind in ("outside", "outside above", "library", "graph in graph", "unmarked", "other classes", "no JSON"):
        (tmp_path / "x.onnx").write_bytes(changed(kind))
        assert is_refused(str(tmp_path / "x.onnx")), kind
    (tmp_path / "link.onnx").symlink_to(tmp_path / "nowhere.onnx")
    with pytest.raises(WeightsError):
        load_export(str(tmp_path / "link.onnx"))


def test_the_seal_is_over_the_graph_too(files: dict[str, Path], tmp_path: Path) -> None:
    """What the walk cannot know to be wrong: another number among the attributes, a name, the order of nodes."""
    onnx = pytest.importorskip("onnx")

    def changed(what: str) -> bytes:
        model = onnx.load(files["onnx"])
        if what == "a number":
            conv = next(node for node in model.graph.node if node.op_type == "Conv")
            next(one for one in conv.attribute if one.name == "strides").ints[0] += 1
        elif what == "a version":
            model.opset_import[0].version += 1
        else:
            model.graph.name += "x"
        return bytes(model.SerializeToString())

    for what in ("a number", "a version", "a name"):
        (tmp_path / "x.onnx").write_bytes(changed(what))
        with pytest.raises(WeightsError, match="SHA-256"):
            load_export(str(tmp_path / "x.onnx"))


def test_the_seal_is_over_the_texts_too(files: dict[str, Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(files["onnx"])
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    load_export(str(tmp_path / "x.onnx"))  # as it was, written by another hand
    classes = next(one for one in model.metadata_props if one.key == "classes")
    classes.value = classes.value.replace("red", "rad")
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(WeightsError, match="SHA-256"):
        load_export(str(tmp_path / "x.onnx"))
