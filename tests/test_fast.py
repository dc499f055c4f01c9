"""The fastest way to run a network: it answers alike, is the fastest that was measured, and is remembered."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import resnetkit
from resnetkit import cli, metrics
from resnetkit.api import import_weights
from resnetkit.classifier import Classifier
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine, choose
from resnetkit.errors import ResourceError, UsageError, WeightsError
from resnetkit.export import int8
from resnetkit.export.int8 import Lowering
from resnetkit.export.proof import limit
from resnetkit.fast import choice, compiled, remembered
from resnetkit.fast.choice import Chooser, Found
from resnetkit.fast.compiled import InTime
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.replayed import Replayed, filled
from resnetkit.fast.streams import Streams
from resnetkit.fast.ways import FUSED, OTHERS, REPLAYED, Run, Way, installed, opened, ways
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card, save
from resnetkit.plan import with_io
from resnetkit.tasks import TaskName
from resnetkit.zoo import find

SEEN = Preprocess(size=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.3), channels=3)
PLAIN = Way(FUSED, "fp32")


def model_of(name: str, task: TaskName = "classes", device: str = "cpu") -> Classifier:
    """A network whose norms do something, with answers that differ."""
    torch.manual_seed(0)
    plan = with_io(lay_out(find(name)), classes=3, channels=3)
    network = build(plan)
    with torch.no_grad():
        for key, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
        network.get_classifier().weight.mul_(10)  # type: ignore[operator]
    scale = ((1.0, 2.0),) * 3 if task == "numbers" else ()
    card = Card(model=name, plan=plan, classes=("a", "b", "c"), preprocess=SEEN, task=task, scale=scale)
    return Classifier(card, network, choose(device, "fp32"))


@pytest.fixture(scope="module")
def model() -> Classifier:
    return model_of("resnet20")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / remembered.FILE


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (20, 32, 32, 3), np.uint8)


def chooser(model: Classifier) -> Chooser:
    return Chooser(model.card, model.model, model.machine)


def clocked(monkeypatch: pytest.MonkeyPatch, times: dict[Way, float]) -> list[Way]:
    """Ways take as long as is said here; the list names those that were timed."""
    told: dict[int, Way] = {}
    tried: list[Way] = []
    true: Any = choice.__dict__["opened"]

    def opened(way: Way, *how: object) -> Run:
        run = true(way, *how)
        told[id(run)] = way
        return run

    def seconds(_images: object, _best: float, run: Run) -> float:
        tried.append(told[id(run)])
        return times.get(told[id(run)], 9.0)

    monkeypatch.setattr(choice, "opened", opened)
    monkeypatch.setattr(choice, "seconds", seconds)
    return tried


@pytest.mark.parametrize("name", ["resnet20", "preact_resnet18_cifar", "mobilenetv2_035"])
def test_every_way_answers_as_torch_does(name: str, images: NDArray[np.uint8]) -> None:
    model = model_of(name)
    wanted = model.ask(images)
    for way in ways(model.machine):
        found = chooser(model).tried(way, way.precision, None)
        assert found, way
        answers = found.run(images)
        if way.precision == "fp32":
            assert np.abs(answers - wanted).max() <= limit(wanted), way
        else:
            change = np.abs(metrics.softmax(answers, 1) - metrics.softmax(wanted, 1)).max()
            assert 0 < change < 0.2, way


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_streams_answer_the_parts_of_a_batch_in_order(count: int, model: Classifier, images: NDArray[np.uint8]) -> None:
    run = Streams(Graphs(model.card, model.model).plain(), 3, "fp32")
    for some in (images[:count], images[:count][::-1].copy()):
        answers = run(some)
        assert np.abs(answers - model.ask(some)).max() <= limit(model.ask(some))


@pytest.mark.parametrize("runtime", [FUSED, "onnxruntime", "openvino", "openvino in streams"])
def test_threads_get_the_answers_to_their_own_pictures(runtime: str, model: Classifier) -> None:
    """As of a server that asks one model from each of its threads."""
    way = Way(runtime.removesuffix(" in streams"), "fp32", streams=runtime.endswith("streams"))
    run = opened(way, model.card, model.model, model.machine, Graphs(model.card, model.model))
    pictures = np.random.default_rng(4).integers(0, 256, (200, 2, 32, 32, 3), np.uint8)
    wanted = [run(some) for some in pictures]
    with ThreadPoolExecutor(4) as pool:
        for answers, alone in zip(pool.map(run, pictures), wanted, strict=True):
            np.testing.assert_array_equal(answers, alone)


def test_streams_are_for_batches_of_at_least_as_many(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    many = Way("openvino", "fp32", streams=True)
    assert many in ways(model.machine, 4)
    assert many not in ways(model.machine, 3)
    assert str(many) == "openvino fp32 in streams"
    assert many.says.endswith(" in streams")


def test_graphs_are_for_gpus(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    some = ways(Machine(torch.device("cuda"), "fp32"))
    assert {way.runtime for way in some} == {FUSED, REPLAYED}
    assert REPLAYED not in {way.runtime for way in ways(model.machine)}
    assert [filled(count) for count in (1, 2, 3, 20, 64)] == [1, 2, 4, 32, 64]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_what_is_replayed_is_what_was_asked(images: NDArray[np.uint8]) -> None:
    model = model_of("resnet20", device="cuda")
    run = opened(Way(REPLAYED, "fp32"), model.card, model.model, model.machine, Graphs(model.card, model.model))
    for some in (images, images[:3], images[::-1].copy(), images[:1]):
        assert np.abs(run(some) - model.ask(some)).max() <= limit(model.ask(some))
    assert isinstance(run, Replayed)
    assert sorted(run.recorded) == [1, 4, filled(len(images))]


def test_the_fastest_is_taken_and_remembered(
    model: Classifier, cache: Path, monkeypatch: pytest.MonkeyPatch, images: NDArray[np.uint8]
) -> None:
    fast = Way("onnxruntime", "fp32")
    tried = clocked(monkeypatch, {fast: 0.1, PLAIN: 0.5})
    first = model.compiled(batch=7)
    assert first.found.way == fast
    assert PLAIN in tried
    assert np.abs(first.ask(images) - model.ask(images)).max() < 1e-4
    assert first.runs_on.startswith("onnxruntime ")
    tried.clear()
    again = model.compiled(batch=7)
    assert again.found.way == fast
    assert tried == []
    assert model.compiled(batch=8).found.way == fast
    assert tried  # of other batches nothing is known
    (one, _) = json.loads(cache.read_text()).values()
    assert one["way"] == "onnxruntime fp32"
    assert one["seconds"]["torch fused fp32"] == 0.5


@pytest.mark.parametrize(("lower", "elsewhere"), [(0.125, True), (0.14, False)])
def test_a_precision_that_loses_in_torch_is_not_tried_elsewhere(
    lower: float, elsewhere: bool, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = clocked(monkeypatch, {PLAIN: 0.1, Way(FUSED, "bf16"): lower})
    monkeypatch.setattr(Chooser, "good", lambda *_: True)
    monkeypatch.setattr("resnetkit.fast.ways.half", lambda _: "bf16")
    assert model.compiled().found.way == PLAIN
    assert Way(FUSED, "bf16") in tried
    assert (Way("openvino", "bf16") in tried) is elsewhere
    assert Way("openvino", "fp32") in tried


def test_a_long_pass_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    def run(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        passes.append(len(images))
        return np.zeros((len(images), 2), np.float32)

    images = np.zeros((3, 4, 4, 3), np.uint8)
    assert choice.seconds(images, np.inf, run) > 0
    assert len(passes) > choice.ROUNDS
    passes.clear()
    monkeypatch.setattr(choice, "LONG", 0.0)
    assert choice.seconds(images, np.inf, run) > 0
    assert passes == [3]


def test_what_is_remembered_is_of_this_hardware_and_these_versions(
    model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = clocked(monkeypatch, {PLAIN: 0.1})
    model.compiled()
    tried.clear()
    monkeypatch.setattr(remembered, "hardware", lambda: ["another"])
    model.compiled()
    assert tried
    tried.clear()
    monkeypatch.setattr(Way, "says", property(lambda way: f"{way.runtime} 0.0"))
    model.compiled()
    assert tried


@pytest.mark.parametrize("text", ["", "[]", "{", '{"KEY": 3}', '{"KEY": {"way": 3}}', '{"KEY": {"way": "cobol fp32"}}'])
def test_a_damaged_memory_is_measured_anew(
    text: str, model: Classifier, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "key_of", lambda *_: "KEY")
    cache.parent.mkdir()
    cache.write_text(text)
    tried = clocked(monkeypatch, {PLAIN: 0.1})
    assert model.compiled().found.way == PLAIN
    assert tried
    assert json.loads(cache.read_text())["KEY"]["way"] == "torch fused fp32"


def test_a_cache_that_cannot_be_written_costs_only_time(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNETKIT_CACHE", "/proc/nowhere")
    clocked(monkeypatch, {PLAIN: 0.1})
    assert model.compiled().found.way == PLAIN


@pytest.mark.parametrize("wrong", ["shifted", "not numbers", "raises"])
def test_a_way_that_answers_otherwise_is_not_taken(
    wrong: str, model: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = Way("onnxruntime", "fp32")
    true: Any = choice.__dict__["opened"]

    def opened(way: Way, *how: object) -> Run:
        run = true(way, *how)
        if way != fast:
            return run
        if wrong == "raises":
            raise RuntimeError("no such instruction")
        return lambda images: run(images) + (0.01 if wrong == "shifted" else np.nan)

    monkeypatch.setattr(choice, "opened", opened)
    clocked(monkeypatch, {fast: 0.1, PLAIN: 0.5})
    assert model.compiled().found.way == PLAIN


def test_a_remembered_way_that_has_gone_wrong_is_replaced(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = Way("onnxruntime", "fp32")
    clocked(monkeypatch, {fast: 0.1, PLAIN: 0.5})
    assert model.compiled().found.way == fast
    true = Chooser.tried

    def tried(self: Chooser, way: Way, *how: object) -> Found | None:
        return None if way == fast else true(self, way, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(Chooser, "tried", tried)
    assert model.compiled().found.way == PLAIN


def test_auto_takes_no_way_that_changes_a_probability_by_more_than_it_says(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights = data_dir / "cifar10-resnet-weights/resnet20-12fca82f.th"
    file = tmp_path / "c20.safetensors"
    import_weights(weights, model="resnet20", out=file, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    model = resnetkit.load(file)
    every = [Way(FUSED, "bf16"), Way("openvino", "bf16")]
    clocked(monkeypatch, dict.fromkeys(every, 0.1) | {PLAIN: 0.5})
    monkeypatch.setattr(choice, "ways", lambda *_, **_how: [PLAIN, *every])
    assert model.compiled().found.way == PLAIN
    asked = model.compiled("bf16")
    assert asked.found.way.precision == "bf16"
    assert choice.TOLERANCE / choice.MARGIN < asked.found.apart < 0.1
    assert f"{asked.found.apart:.1g}" in asked.runs_on


def test_tags_and_numbers_are_held_by_what_they_mean(images: NDArray[np.uint8]) -> None:
    for task in ("tags", "numbers"):
        model = model_of("resnet20", task)
        assert np.abs(model.compiled().ask(images) - model.ask(images)).max() <= limit(model.ask(images))


def test_what_cannot_be_meant_is_refused(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    for precision in ("int3", "", None, 3):
        with pytest.raises(UsageError):
            model.compiled(precision)  # type: ignore[arg-type]
    for batch in (0, -1, 2.0, True, "3", 4097):
        with pytest.raises(UsageError):
            model.compiled(batch=batch)  # type: ignore[arg-type]
    with pytest.raises(ResourceError):
        model.compiled("fp16")
    monkeypatch.setattr(choice, "free", lambda _: 2**30)
    with pytest.raises(ResourceError, match="pictures at a time take"):
        model.compiled(batch=4096)


def test_where_no_way_answers_as_it_should_it_is_said(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Chooser, "tried", lambda *_: None)
    with pytest.raises(WeightsError, match="no way"):
        model.compiled()


def test_int8_has_its_scales_from_data_and_says_what_it_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = str(tmp_path / "run")
    model = resnetkit.train("digits", model="resnet8", size=16, epochs=4, batch=32, weights="none", out=out).model
    plain = model.evaluate("digits", "val").accuracy
    fast = model.compiled("int8", data="digits")
    assert fast.found.way.precision == "int8"
    low = fast.evaluate("digits", "val").accuracy
    assert abs(low - plain) <= 0.005
    assert f"int8: accuracy {low:.2%} on val, {plain:.2%} in float32" in fast.runs_on
    seen = model.card.preprocess.size
    images = np.random.default_rng(0).integers(0, 256, (4, *seen, model.card.preprocess.channels), np.uint8)
    assert 1e-4 < np.abs(fast.ask(images) - model.ask(images)).max() < 2
    with pytest.raises(UsageError, match="takes pictures"):
        model.compiled("int8")
    with pytest.raises(UsageError, match="for the scales"):
        model.compiled(data="digits")
    with pytest.raises(UsageError, match="max-drop"):
        model.compiled(max_drop=1.0)
    monkeypatch.setattr(int8, "MOST_DROP", 100.0)
    monkeypatch.setattr(Lowering, "figure", lambda self, drawing, part: (drawing is self.drawing, len(part.names)))
    with pytest.raises(WeightsError, match="in int8"):
        model.compiled("int8", data="digits", max_drop=50.0)
    monkeypatch.setattr("resnetkit.fast.ways.installed", lambda _: False)
    with pytest.raises(ResourceError, match="int8"):
        model.compiled("int8", data="digits")


def test_without_other_runtimes_torch_is_left(model: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(installed(name) for name in OTHERS)
    assert not installed("no-such-runtime")
    monkeypatch.setattr("resnetkit.fast.ways.installed", lambda _: False)
    assert {way.runtime for way in ways(model.machine)} == {FUSED}
    assert model.compiled().found.way.runtime == FUSED


def test_a_compiled_copy_is_not_reached_by_what_the_model_learns(images: NDArray[np.uint8]) -> None:
    model = model_of("resnet20")
    copy = model.compiled()
    before = copy.ask(images)
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.zero_()
    assert np.array_equal(copy.ask(images), before)
    assert not np.array_equal(model.ask(images), before)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    dice = np.random.default_rng(0)
    for name in "abc":
        (folder / name).mkdir()
        for i in range(4):
            Image.fromarray(dice.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_few_pictures_are_answered_as_torch_does_and_many_compiled(
    model: Classifier, cache: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = model.predict(photographs)
    few = InTime(model)
    assert few.predict(photographs) == plain
    assert few.note is None
    assert not cache.exists()
    monkeypatch.setattr(compiled, "PASSES", 0)
    monkeypatch.setattr(compiled, "MUCH", 11 * 4.1e7)  # of which resnet20 takes 4.05e7 a picture
    many = InTime(model)
    found = many.predict(photographs)
    assert many.note
    assert [one.top[0][0] for one in found] == [one.top[0][0] for one in plain]
    for one, other in zip(found, plain, strict=True):
        assert abs(one.top[0][1] - other.top[0][1]) < 1e-4
    less = InTime(model)
    less.predict(photographs / "a")
    assert less.note is None
    less.evaluate(photographs)
    assert less.note


def test_the_command_says_how_it_answered(
    model: Classifier,
    photographs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "m.safetensors"
    save(file, model.model.state_dict(), model.card)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["predict", str(file), str(photographs)]) == 0
    plain = capsys.readouterr()
    assert "answered by" not in plain.err
    monkeypatch.setattr(compiled, "MUCH", 1.0)
    assert cli.main(["predict", str(file), str(photographs)]) == 0
    assert capsys.readouterr() == plain  # of fewer pictures than it would try every way on
    monkeypatch.setattr(compiled, "PASSES", 0)
    assert cli.main(["predict", str(file), str(photographs)]) == 0
    fast = capsys.readouterr()
    assert "note: finding the fastest way to run this resnet20 here" in fast.err
    assert re.search(r"note: answered by .*, (fp32|bf16): probabilities within", fast.err)  # whichever is faster here
    assert cli.main(["predict", str(file), str(photographs)]) == 0
    again = capsys.readouterr()
    assert "note: finding" not in again.err  # what is remembered is not sought
    assert again.out == fast.out
    assert cli.main(["predict", str(file), str(photographs), "--precision", "fp32"]) == 0
    assert capsys.readouterr() == plain
    shutil.copytree(photographs, tmp_path / "data" / "test")
    assert cli.main(["eval", str(file), str(tmp_path / "data"), "--out", str(tmp_path / "e")]) == 0
    assert "note: answered by " in capsys.readouterr().err
    assert ": probabilities within" in (tmp_path / "e/report.html").read_text("utf-8")
