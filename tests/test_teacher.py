"""A teacher is heard as the papers say, sees what the student sees, and has to know the same names."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples import write_digits
from test_learning import run_on, weights, without_norms
from test_resume import SETTINGS, differing, stopped_at
from test_train import CPU, DIGITS, begin, settings, some_digits
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, kl_div

from resnetkit import modelfile
from resnetkit.answers import join
from resnetkit.data.examples import examples
from resnetkit.data.parts import subset
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.effect import refuse_idle
from resnetkit.engine import memory
from resnetkit.engine.evaluate import answer
from resnetkit.engine.losses import Loss, loss_of
from resnetkit.engine.state import State
from resnetkit.engine.step import train
from resnetkit.engine.teacher import Seen, Teacher, as_seen_by, imitation, likeness, see, taught, unlikeness
from resnetkit.engine.train import stream
from resnetkit.errors import UsageError, WeightsError
from resnetkit.init import initialize
from resnetkit.job import Job, prepare
from resnetkit.model import ResNet
from resnetkit.modelfile import Card
from resnetkit.run import Run
from resnetkit.settings import Settings
from resnetkit.training import resuming, training


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 3


def card_of(decided: Settings, **changes: Any) -> Card:
    about = Card(
        model=decided.model,
        plan=decided.plan,
        classes=decided.classes,
        preprocess=decided.preprocess,
        task=decided.task,
        scale=decided.scale,
    )
    return replace(about, **changes)


def teacher_of(decided: Settings, seed: int = 9, **changes: Any) -> Teacher:
    """A network that knows nothing yet answers as any."""
    card = card_of(decided, **changes)
    model = ResNet(card.plan)
    initialize(model, seed=seed, zero_last=False)
    with torch.no_grad():
        model.get_parameter("fc.weight").mul_(20)  # so that it is sure of what it says
    return Teacher(card, model.eval().requires_grad_(False), "0" * 64)


def with_teacher(decided: Settings, teacher: Teacher) -> State:
    model = ResNet(decided.plan)
    initialize(model, seed=decided.run.seed, zero_last=False)
    return State.start(model, decided, CPU, teacher)


# Formulas


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_classes_are_imitated_by_the_divergence_of_softened_probabilities(temperature: float) -> None:
    own, told = some(6, 5), some(6, 5, seed=1)
    found = imitation(Loss("cross-entropy"), own, told, temperature).mean()
    soft = (told / temperature).softmax(1)
    expected = kl_div((own / temperature).log_softmax(1), soft, reduction="batchmean") * temperature**2
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(imitation(Loss("bce"), told, told, temperature), torch.zeros(6))


def test_gradients_at_a_high_temperature_are_differences_of_logits() -> None:
    """Hinton et al. 2015, equation 4: (z - v) / N for each logit, where both have a mean of zero, times 1 / batch."""
    own, told = (logits - logits.mean(1, keepdim=True) for logits in (some(3, 5), some(3, 5, seed=1)))
    own.requires_grad_()
    (gradient,) = torch.autograd.grad(imitation(Loss("cross-entropy"), own, told, 1000.0).sum(), own)
    torch.testing.assert_close(gradient, (own - told).detach() / 5, rtol=0.02, atol=0.01)


def test_tags_are_imitated_one_by_one() -> None:
    own, told = some(6, 3).requires_grad_(), some(6, 3, seed=1)
    found = imitation(Loss("bce", task="tags"), own, told, 2.0)
    plain = binary_cross_entropy_with_logits(own / 2, (told / 2).sigmoid(), reduction="none").sum(1) * 4
    slopes = [torch.autograd.grad(loss.sum(), own, retain_graph=True)[0] for loss in (found, plain)]
    torch.testing.assert_close(slopes[0], slopes[1])
    torch.testing.assert_close(imitation(Loss("bce", task="tags"), told, told, 2.0), torch.zeros(6))


def test_numbers_are_imitated_by_the_loss_of_the_run() -> None:
    own, told = some(6, 2), some(6, 2, seed=1)
    torch.testing.assert_close(imitation(Loss("huber", task="numbers"), own, told, 4.0).mean(), huber_loss(own, told))


def test_likeness_is_that_of_the_paper_for_any_two_widths() -> None:
    """Equations 1 to 4 of Tung & Mori 2019, written out."""
    own, told = some(5, 7), some(5, 16, seed=1)
    grams = []
    for features in (own, told):
        gram = torch.tensor([[float(a @ b) for b in features] for a in features])
        grams.append(torch.stack([row / row.square().sum().sqrt() for row in gram]))
    expected = (grams[0] - grams[1]).square().sum() / 5**2
    torch.testing.assert_close(unlikeness(own, told).mean(), expected)
    torch.testing.assert_close(likeness(own), grams[0])
    torch.testing.assert_close(unlikeness(own, own * 3), torch.zeros(5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_shares_and_weights_make_up_the_loss(share: float) -> None:
    decided = settings(smoothing=0.0)
    run = replace(decided.run, teacher="t", teacher_share=share, teacher_features=2.0, teacher_temperature=3.0)
    decided = replace(decided, run=run)
    own, told = Seen(some(6, 10), some(6, 64, seed=2)), Seen(some(6, 10, seed=1), some(6, 32, seed=3))
    labels, counts = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1.0, 0.0, 2.0, 1.0, 0.5, 1.0])
    balance = torch.linspace(0.5, 1.5, 10)
    found = taught(decided, replace(loss_of(decided, torch.device("cpu")), weights=balance), own, told, labels, counts)
    each = cross_entropy(own.logits, labels, reduction="none") * (1 - share)
    each = each + share * imitation(Loss("cross-entropy"), own.logits, told.logits, 3.0)
    each = each + 2.0 * unlikeness(own.features, told.features)
    torch.testing.assert_close(found, (each * counts * balance[labels]).mean())


# What the teacher sees


def test_a_teacher_sees_the_same_pictures_in_its_own_terms() -> None:
    own = Preprocess(size=(8, 8), mean=(0.3,), std=(0.4,), channels=1)
    pixels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = (pixels - 0.3) / 0.4
    colour = Preprocess(size=(8, 8), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), channels=3)
    seen = as_seen_by(colour, images, own)
    mean, std = torch.tensor(colour.mean).view(1, 3, 1, 1), torch.tensor(colour.std).view(1, 3, 1, 1)
    torch.testing.assert_close(seen, (pixels.expand(4, 3, 8, 8) - mean) / std)
    torch.testing.assert_close(as_seen_by(own, seen, colour), images, atol=1e-5, rtol=1e-5)  # equal channels are grey
    torch.testing.assert_close(as_seen_by(own, images, own), images)


def test_grey_is_what_decoding_makes_of_colours() -> None:
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    plain = Preprocess(size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, channels=3)
    grey = Preprocess(size=(8, 8), mean=(0.0,), std=(1.0,), channels=1)
    seen = as_seen_by(grey, CPU.images(pixels[None], plain), plain)
    expected = np.asarray(Image.fromarray(pixels).convert("L")) / 255
    np.testing.assert_allclose(seen[0, 0].numpy(), expected, atol=0.6 / 255)


@pytest.mark.parametrize("way", ["bilinear", "bicubic", "nearest"])
def test_a_teacher_of_another_size_sees_them_resized(way: Any) -> None:
    own = Preprocess(size=(32, 32), mean=(0.3,), std=(0.4,), channels=1)
    other = Preprocess(size=(12, 16), mean=(0.5,), std=(0.25,), channels=1, interpolation=way)
    flat = as_seen_by(other, torch.zeros(2, 1, 32, 32), own)
    assert flat.shape == (2, 1, 12, 16)
    torch.testing.assert_close(flat, torch.full((2, 1, 12, 16), (0.3 - 0.5) / 0.25))


def test_classes_are_told_by_name_in_whatever_order() -> None:
    decided = settings()
    turned = tuple(reversed(DIGITS))
    teacher = teacher_of(decided, classes=turned, temperature=2.0)
    images = some(5, 1, 8, 8)
    with torch.no_grad():
        plain = teacher.model(images)
    told = teacher.answer(images, decided, CPU)
    torch.testing.assert_close(told.logits, plain.flip(1) / 2)
    assert told.features.shape == (5, 64)
    assert not told.logits.requires_grad


def test_numbers_are_told_in_deviations_of_the_run() -> None:
    base = settings()
    plan = replace(base.plan, classes=2)
    decided = replace(
        base, plan=plan, classes=("x", "y"), task="numbers", scale=((10.0, 2.0), (0.0, 5.0)), loss="huber"
    )
    teacher = teacher_of(decided, classes=("y", "x"), scale=((1.0, 4.0), (20.0, 3.0)))
    images = some(5, 1, 8, 8)
    with torch.no_grad():
        y, x = teacher.model(images).T
    told = teacher.answer(images, decided, CPU).logits
    torch.testing.assert_close(told, torch.stack([(x * 3 + 20 - 10) / 2, (y * 4 + 1) / 5], 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": tuple("012345678x")}, "it has no 9, the data has no x"),
        ({"task": "tags"}, "knows tags, and the labels are classes"),
    ],
)
def test_a_teacher_of_other_things_is_refused_by_their_names(changes: dict[str, Any], said: str) -> None:
    decided = settings()
    decided = replace(decided, run=replace(decided.run, teacher="their.safetensors"))
    with pytest.raises(WeightsError, match=rf"their\.safetensors .*{said}"):
        teacher_of(decided, **changes).refuse_other(decided)
    teacher_of(decided, classes=tuple(reversed(DIGITS))).refuse_other(decided)


# In a run


def test_a_step_learns_from_what_it_is_told_and_the_teacher_stays() -> None:
    decided = settings(steps=3, teacher="t", teacher_features=1.0, mixup=0.4, ema=0.9, dropout=0.2)
    teacher = teacher_of(decided)
    before = {name: value.clone() for name, value in teacher.model.state_dict().items()}
    state, alone = with_teacher(decided, teacher), begin(decided)
    run_on(state, decided, 3)
    run_on(alone, decided, 3)
    assert not torch.equal(weights(state)["fc.weight"], weights(alone)["fc.weight"])
    assert all(torch.equal(value, before[name]) for name, value in teacher.model.state_dict().items())
    assert not teacher.model.training
    assert state.average is not None
    assert len(list(state.average.parameters())) == len(list(state.model.parameters()))


def test_the_teacher_sees_the_mixed_pictures() -> None:
    decided = settings(steps=1, teacher="t", mixup=0.4)
    teacher, seen = teacher_of(decided), {"own": torch.empty(0), "told": torch.empty(0)}
    state = with_teacher(decided, teacher)
    for name, net in (("own", state.model), ("told", teacher.model)):
        net.get_submodule("conv1").register_forward_pre_hook(lambda _, given, n=name: seen.update({n: given[0]}))
    run_on(state, decided, 1)
    torch.testing.assert_close(seen["own"], seen["told"])


def test_parts_of_a_batch_are_taught_as_the_whole() -> None:
    ends = []
    for parts in (1, 3):
        decided = settings(steps=2, accumulate=parts, teacher="t", lr=0.01, batch=20)
        teacher = teacher_of(decided)
        decided = replace(decided, plan=without_norms(decided.plan))
        state = with_teacher(decided, teacher)
        ends.append((run_on(state, decided, 2), weights(state)))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    for name, value in ends[0][1].items():
        torch.testing.assert_close(value, ends[1][1][name], rtol=1e-4, atol=1e-6)


def test_memory_that_the_teacher_lacks_splits_the_batch_too() -> None:
    decided = settings(steps=1, teacher="t")
    teacher = teacher_of(decided)

    def short(_: nn.Module, given: tuple[Tensor]) -> None:
        if len(given[0]) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    teacher.model.get_submodule("conv1").register_forward_pre_hook(short)
    state = with_teacher(decided, teacher)
    run_on(state, decided, 1)
    assert state.parts == 4
    more = memory.need(replace(decided, teacher=teacher.card), CPU, 0)
    less = memory.need(decided, CPU, 0)
    assert more.fixed - less.fixed == 4 * sum(p.numel() for p in teacher.model.parameters())
    assert more.picture > less.picture


def test_a_student_sees_and_answers_as_ever() -> None:
    decided = settings()
    model = begin(decided).model.eval()
    images = some(5, 1, 8, 8)
    seen = see(model, images, CPU)
    torch.testing.assert_close(seen.logits, model(images))
    assert seen.features.shape == (5, 64)


def accuracy(model: nn.Module, decided: Settings) -> float:
    rest = examples(subset(open_source("digits").parts["train"], np.arange(900, 1400)), decided.preprocess)
    found = join(answer(model, rest, CPU, 0))
    return float((found.logits.argmax(1) == found.labels).mean())


def test_a_teacher_makes_up_for_wrong_labels() -> None:
    """Three times 160 pictures of which half have a label drawn by chance: alone, and from a network that saw 900."""
    torch.set_num_threads(1)
    well = settings(900, epochs=5, batch=64)
    master, pictures = begin(well), some_digits(well, 900)
    list(train(master, stream(well, pictures, 0, well.steps, 0), well, CPU, pictures.names))
    assert isinstance(master.model, ResNet)
    teacher = Teacher(card_of(well), master.model.eval().requires_grad_(False), "0" * 64)
    for seed in range(3):
        draws = np.random.default_rng(seed)
        few = some_digits(well, 160)
        chance = np.where(draws.random(160) < 0.5, draws.integers(0, 10, 160), few.labels)
        ends = []
        for more in ({}, {"teacher": "t"}):
            decided = settings(160, epochs=5, batch=20, seed=seed, lr=0.05, **more)
            state = with_teacher(decided, teacher) if more else begin(decided)
            wrong = replace(few, labels=chance)
            list(train(state, stream(decided, wrong, 0, decided.steps, 0), decided, CPU, few.names))
            ends.append(accuracy(state.model, decided))
        assert ends[1] > ends[0] + 0.1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def master(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was short."""
    out = tmp_path_factory.mktemp("runs") / "master"
    more: dict[str, Any] = {"model": "resnet32", "size": 16, "seed": 1, "epochs": 1}
    list(training(Run(data=str(data), out=str(out), workers=0, **{**SETTINGS, **more})))
    return out


def job(data: Path, **given: Any) -> Job:
    return prepare(Run(data=str(data), device="cpu", workers=0, **given), frozenset(given))


def test_a_taught_run_goes_on_to_the_same_end_with_the_same_teacher(data: Path, master: Path, tmp_path: Path) -> None:
    teacher = Path(shutil.copytree(master, tmp_path / "teacher")) / "best.safetensors"
    names = ("base", "straight", "twice", "other", "alone")
    base, straight, twice, other, alone = (tmp_path / name for name in names)
    more: dict[str, Any] = {"teacher": str(teacher), "teacher_features": 1.0, "mixup": 0.4, "accumulate": 2}
    list(training(Run(data=str(data), out=str(straight), **{**SETTINGS, **more})))
    list(training(Run(data=str(data), out=str(alone), **{**SETTINGS, "mixup": 0.4, "accumulate": 2})))
    stopped_at(training(Run(data=str(data), out=str(base), **{**SETTINGS, **more})), 10)
    for copied in (twice, other):
        shutil.copytree(base, copied)
    stopped_at(resuming(twice), 11)
    list(resuming(twice, workers=2))
    assert differing(twice, straight) == []
    assert "last.safetensors" in differing(alone, straight)

    digest = sha256(teacher.read_bytes()).hexdigest()
    assert modelfile.read_card(straight / "last.safetensors").run["teacher"] == digest
    journal = [json.loads(line) for line in (straight / "journal.jsonl").read_text().splitlines()]
    assert digest[:12] in journal[0]["lines"]["teacher"]
    card, state = modelfile.load(teacher)
    modelfile.save(teacher, {name: value * 1.1 for name, value in state.items()}, card)
    with pytest.raises(WeightsError, match="is not the one that this run began with, whose SHA-256 is " + digest):
        list(resuming(other))
    teacher.unlink()
    with pytest.raises(WeightsError, match=r"teacher.best\.safetensors"):
        list(resuming(other))


def test_a_job_says_who_teaches_and_how(data: Path, master: Path) -> None:
    found = job(data, model="resnet20", teacher=str(master), teacher_features=2.0)
    assert found.teacher is not None
    assert (found.settings.teacher, found.teacher.model.training) == (found.teacher.card, False)
    said = dict(found.lines())["teacher"]
    assert said.startswith("resnet32 of ")
    assert said.endswith("), 0.9 of the loss at temperature 4, features 2")
    alone = job(data, model="resnet20")
    assert alone.pass_macs < found.pass_macs
    assert "teacher" not in dict(alone.lines())


def test_what_is_no_teacher_is_refused(data: Path, master: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"without best\.safetensors"):
        job(data, teacher=str(tmp_path))
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "bare.pth")
    with pytest.raises(WeightsError, match=r"bare\.pth"):
        job(data, teacher=str(tmp_path / "bare.pth"))
    card, state = modelfile.load(master / "best.safetensors")
    modelfile.save(tmp_path / "other.safetensors", state, replace(card, classes=tuple("abcdefghij")))
    with pytest.raises(WeightsError, match="knows other classes: it has no 0, 1,"):
        job(data, teacher=str(tmp_path / "other.safetensors"))


def test_a_teacher_that_says_nothing_is_refused() -> None:
    run = Run(data="digits", teacher="t", teacher_share=0.0)
    with pytest.raises(UsageError, match="the teacher would have no effect"):
        refuse_idle(run, frozenset({"teacher", "teacher_share"}))
    refuse_idle(replace(run, teacher_features=1.0), frozenset({"teacher", "teacher_share", "teacher_features"}))
