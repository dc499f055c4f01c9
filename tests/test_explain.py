"""Heat maps: equal to the reference programs', on the right place, of no network that knows nothing."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from command import resnet
from numpy.typing import NDArray
from peers import peer
from PIL import Image
from samples import noise, picture

import resnetkit
from resnetkit import cli, dice
from resnetkit.classifier import Classifier
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import Machine
from resnetkit.errors import UsageError
from resnetkit.explain import maps, sanity, written
from resnetkit.explain.explanation import Explanation, placed, within
from resnetkit.explain.maps import METHODS, cam, heat, integrated, occlusion
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card, save
from resnetkit.network import Network
from resnetkit.plan import Plan, with_io
from resnetkit.spec import Spec
from resnetkit.tasks import TaskName
from resnetkit.units import Taps
from resnetkit.verbs import explaining
from resnetkit.walk import stage_name
from resnetkit.zoo import find

CPU = Machine(torch.device("cpu"), "fp32")
SIDE, PATCH, PICTURES, FEW = 32, 6, 50, 20


def preprocess(side: int, channels: int = 3, **changes: Any) -> Preprocess:
    return Preprocess(size=(side, side), mean=(0.4,) * channels, std=(0.2,) * channels, channels=channels, **changes)


def network(name: str = "resnet8", **changes: Any) -> Network:
    torch.manual_seed(0)
    plan = replace(lay_out(find(name)), **{"classes": 4, **changes})
    return build(plan).eval()


def classifier(task: TaskName = "classes", classes: int = 4, channels: int = 3) -> Classifier:
    plan: Plan = with_io(lay_out(find("resnet8")), channels=channels, classes=classes)
    torch.manual_seed(0)
    scale = ((10.0, 2.0),) * classes if task == "numbers" else ()
    names = tuple(f"n{i}" for i in range(classes))
    card = Card(
        model="resnet8", plan=plan, classes=names, preprocess=preprocess(32, channels), task=task, scale=scale
    )  # fmt: skip
    return Classifier(card, build(plan), CPU)


def pixels(side: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (side, side, channels), np.uint8)


# Against the reference programs


def test_gradcam_is_captums() -> None:
    model, image = network("resnet20"), CPU.images(pixels(32)[None], preprocess(32))
    for s in range(3):
        name = stage_name("resnet", s)
        theirs = (
            peer("captum.attr")
            .LayerGradCam(model, model.get_submodule(name))
            .attribute(image, 2, relu_attributions=True)
        )
        wanted = torch.nn.functional.interpolate(theirs, (32, 32), mode="bilinear")[0, 0]
        torch.testing.assert_close(cam(model, image, 2, "gradcam", s + 1), wanted)
    torch.testing.assert_close(cam(model, image, 2, "gradcam"), wanted)  # the head sees the last


def test_layercam_is_pytorch_grad_cams() -> None:
    model, image = network("resnet20"), CPU.images(pixels(32)[None], preprocess(32))
    for s in range(3):
        name = stage_name("resnet", s)
        image = image.detach().contiguous()  # which its backward pass asks for
        with peer("pytorch_grad_cam").LayerCAM(model, [model.get_submodule(name)]) as other:
            wanted = other(image, [lambda logits: logits[2]])[0]
        ours = cam(model, image, 2, "layercam", s + 1).detach().numpy()
        ours = (ours - ours.min()) / (ours - ours.min()).max()  # as theirs are scaled
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_integrated_gradients_are_captums_and_add_up() -> None:
    model, image = network("resnet20"), CPU.images(pixels(32)[None], preprocess(32))
    black = CPU.images(np.zeros((1, 32, 32, 3), np.uint8), preprocess(32))
    ours = integrated(model, image, black, 1, few=5, steps=64).detach()
    theirs = (
        peer("captum.attr").IntegratedGradients(model).attribute(image, black, 1, n_steps=64, method="riemann_middle")
    )
    torch.testing.assert_close(ours, theirs[0].sum(0).float(), atol=1e-5, rtol=1e-4)
    gained = float((model(image) - model(black))[0, 1].detach())
    assert float(ours.sum()) == pytest.approx(gained, rel=0.05, abs=0.02)


def test_integrated_gradients_begin_at_black_and_at_white() -> None:
    model, shown = network("resnet20"), pixels(32)
    image, paths = CPU.images(shown[None], preprocess(32)), []
    for grey in (0, 255):
        end = CPU.images(np.full((1, 32, 32, 3), grey, np.uint8), preprocess(32))
        paths.append(integrated(model, image, end, 1, few=50).detach().numpy())
    wanted = np.mean(paths, axis=0).clip(0)
    np.testing.assert_allclose(heat(model, shown, preprocess(32), CPU, 1, "integrated"), wanted, atol=1e-6)


def test_occlusion_is_captums() -> None:
    side = 35  # windows of 5, 2 apart, end with the picture
    model, image = network("resnet20"), CPU.images(pixels(side)[None], preprocess(side))
    theirs = peer("captum.attr").Occlusion(model).attribute(image, (3, 5, 5), target=1, strides=(3, 2, 2), baselines=0)
    torch.testing.assert_close(occlusion(model, image, 1, few=7), theirs[0, 0].float(), atol=1e-5, rtol=1e-4)


# On whatever network there is

KINDS = ("resnet20", "preact_resnet18_cifar", "mobilenetv2_050", "shufflenet_v2_x0_5", "seresnet50", "resnet18d")


@pytest.mark.parametrize("taps", [None, Taps(1, 2)])
@pytest.mark.parametrize("name", KINDS)
def test_maps_of_every_kind_of_network(name: str, taps: Taps | None) -> None:
    model = network(name, taps=taps)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for method in ("gradcam", "layercam"):
        for stage in (None, *range(1, len(model.plan.stages) + 1)):
            found = heat(model, pixels(64), preprocess(64), CPU, 1, method, stage)
            assert found.shape == (64, 64)
            assert found.dtype == np.float32
            assert np.isfinite(found).all()
            assert found.min() >= 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", KINDS)
def test_looking_changes_no_answer(name: str) -> None:
    """The map that is kept is the one that the head saw, though a ReLU may write into it."""
    model, image = network(name), CPU.images(pixels(64)[None], preprocess(64))
    wanted = model.forward_features(image)
    with maps.kept(model, None) as seen:
        logits = model(image)
    torch.testing.assert_close(seen, [wanted], atol=0, rtol=0)
    stages = len(model.plan.stages)
    with maps.kept(model, stages) as last:
        torch.testing.assert_close(model(image), logits, atol=0, rtol=0)
    torch.testing.assert_close(last, [model.forward_first(image, stages)], atol=0, rtol=0)
    torch.testing.assert_close(logits, model.forward_head(wanted), atol=0, rtol=0)


@pytest.mark.parametrize("cells", [1, 2])
def test_a_head_that_sees_several_maps_is_explained_by_those_it_goes_by(cells: int) -> None:
    model = network("resnet20", taps=Taps(0, cells))
    image = CPU.images(pixels(32)[None], preprocess(32))
    with torch.no_grad():
        head = model.get_submodule("fc")
        assert isinstance(head, torch.nn.Linear)
        head.weight[:, 16 * cells**2 :] = 0  # all but the first map
    with torch.no_grad():
        (first,) = model.forward_intermediates(image, [1], intermediates_only=True)
        weights = head.weight[1, : 16 * cells**2].view(16, cells**2).mean(1)  # gradcam knows no cells
        wanted = (weights.view(-1, 1, 1) * first[0]).sum(0).relu().numpy()
    found = heat(model, pixels(32), preprocess(32), CPU, 1)
    assert wanted.max() > 0
    np.testing.assert_allclose(found / found.max(), wanted / wanted.max(), atol=1e-5)


def test_maps_of_all_sizes_weigh_what_they_give_the_logit() -> None:
    model = network("resnet20", taps=Taps(0, 1))
    with torch.no_grad():
        for weights in model.get_submodule("fc").parameters():
            weights.abs_()  # so that nothing is cut off
    image = CPU.images(pixels(32)[None], preprocess(32))
    parts = model.forward_features(image)[0] * model.get_parameter("fc.weight")[1]
    found = cam(model, image, 1, "gradcam")
    assert float(found.detach().mean()) * 64 == pytest.approx(float(parts.detach().sum()), rel=1e-4)  # of 8x8 points


def test_a_cut_network_without_head_is_refused() -> None:
    model = network("resnet20")
    model.prune_intermediate_layers(2)
    with pytest.raises(UsageError, match="no head"):
        heat(model, pixels(32), preprocess(32), CPU, 0)


def test_a_cut_network_with_a_new_head_is_explained() -> None:
    model = network("resnet20")
    model.prune_intermediate_layers([1], prune_head=True)
    model.reset_classifier(3, "avg")
    assert heat(model, pixels(32), preprocess(32), CPU, 0).shape == (32, 32)


@pytest.mark.parametrize("ndim", [0, 1, 3])
def test_vectors_series_and_clips_are_refused(ndim: Literal[0, 1, 3]) -> None:
    spec = Spec(ndim=ndim, size=1 if ndim == 0 else 8, stem="1x1", pool="none", depths=(1,), widths=(8,), classes=3)
    model = build(lay_out(spec))
    with pytest.raises(UsageError, match="of pictures"):
        heat(model, pixels(32), preprocess(32), CPU, 0)


def test_what_cannot_be_meant_is_refused() -> None:
    model = network("resnet8")
    for method, stage, words in (
        ("grad-cam", None, "did you mean gradcam"),
        ("occlusion", 1, "plays no part"),
        ("integrated", 1, "plays no part"),
        ("gradcam", 0, "no stage 0"),
        ("gradcam", 4, "no stage 4"),
        ("gradcam", True, "no stage True"),
    ):
        with pytest.raises(UsageError, match=words):
            heat(model, pixels(32), preprocess(32), CPU, 0, method, stage)


@pytest.mark.parametrize("method", METHODS)
def test_tags_numbers_and_grey_pictures(method: str, tmp_path: Path) -> None:
    path = noise(tmp_path / "a.png", 1, (40, 30))
    tags = classifier("tags").explain(path, method=method)
    (_, likeliest), *_ = ((p, name) for name, p in classifier("tags").predict(path, top=1)[0].top)
    assert tags.as_dict()["tag"] == likeliest
    numbers = classifier("numbers", channels=1).explain(path, method=method, target="n2")
    assert numbers.as_dict()["value"] == pytest.approx(
        dict(classifier("numbers", channels=1).predict(path)[0].top)["n2"]
    )
    assert numbers.heat.shape == (30, 40)
    assert numbers.overlay().shape == (30, 40, 3)
    with pytest.raises(UsageError, match="none is likelier"):
        classifier("numbers").explain(path, method=method)
    with pytest.raises(UsageError, match="no tag called n9"):
        classifier("tags").explain(path, method=method, target="n9")


def test_bytes_are_explained_as_their_file_is(tmp_path: Path) -> None:
    path, model = noise(tmp_path / "a.png", 1), classifier()
    told = model.explain(path.read_bytes())
    np.testing.assert_array_equal(told.heat, model.explain(path).heat)
    assert told.name == model.predict(path)[0].top[0][0]
    assert told.value == model.predict(path)[0].top[0][1]


# Placed back onto the picture


@pytest.mark.parametrize("resize", ["crop", "letterbox", "stretch"])
@pytest.mark.parametrize("sides", [(40, 40), (90, 50), (41, 133), (20, 30)])
def test_a_point_comes_back_to_where_it_was(resize: Any, sides: tuple[int, int]) -> None:
    how = preprocess(40, resize=resize, crop=0.8)
    top, left, bottom, right = within(how, *sides)
    assert 0 <= top < bottom <= sides[0]
    assert 0 <= left < right <= sides[1]
    for y, x in ((0.3, 0.3), (0.5, 0.7), (0.75, 0.5)):
        row, column = int(top + y * (bottom - top)), int(left + x * (right - left))
        pixels = np.zeros((*sides, 3), np.uint8)
        reach = max(1, max(sides) // 30)
        pixels[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 255
        seen = how.apply(pixels)[..., 0].astype(np.float32)
        if resize == "letterbox":
            seen[seen == np.rint(0.4 * 255)] = 0  # its border
        back = placed(seen, how, *sides)
        found = np.unravel_index(int(back.argmax()), sides)
        assert back.shape == sides
        assert abs(int(found[0]) - row) <= reach + sides[0] / 40
        assert abs(int(found[1]) - column) <= reach + sides[1] / 40


def test_what_was_cut_away_has_no_heat_and_is_dim() -> None:
    told = explanation(np.full((40, 120, 3), 200, np.uint8), np.ones((32, 32), np.float32))
    seen = within(told.preprocess, 40, 120)
    assert seen == (0, 40, 40, 80)
    assert told.heat[:, :38].max() == 0
    assert told.heat[:, 42:78].min() == 1
    assert told.overlay()[:, :38].max() < 100
    assert told.box is not None
    assert told.box[0] >= 39
    assert told.box[2] <= 81


def test_the_border_of_a_letterbox_is_left_behind() -> None:
    seen = np.zeros((32, 32), np.float32)
    seen[0] = 5  # in the border above
    seen[20, 8] = 1
    told = explanation(np.zeros((16, 32, 3), np.uint8), seen, preprocess(32, resize="letterbox"))
    assert told.peak == (8, 12)


def test_pictures_are_explained_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (60, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert classifier().explain(tmp_path / "a.jpg").heat.shape == (60, 20)


def test_box_and_peak() -> None:
    seen = np.zeros((32, 32), np.float32)
    seen[4:6, 10:13] = 2
    seen[20:30, 20:30] = 0.05
    told = explanation(np.zeros((32, 32, 3), np.uint8), seen, preprocess(32, crop=1.0))
    assert told.box == (10, 4, 13, 6)
    assert told.peak == (10, 4)
    none = explanation(np.zeros((32, 32, 3), np.uint8), seen * 0, preprocess(32, crop=1.0))
    assert none.box is None
    assert none.peak is None
    assert none.overlay().max() == 0


def explanation(shown: NDArray[np.uint8], seen: NDArray[np.float32], how: Preprocess | None = None) -> Explanation:
    return Explanation("a/x.png", "n0", 0.5, "gradcam", None, shown, seen, how or preprocess(32, crop=1.0))


# Files


def test_names_never_collide_and_nothing_of_others_is_overwritten(tmp_path: Path) -> None:
    one = explanation(pixels(32), np.ones((32, 32), np.float32))
    other = replace(one, path="b/x.png")
    (tmp_path / "x.gradcam.png").write_bytes(b"mine")
    (tmp_path / "x.gradcam-2.npz").write_bytes(b"mine too")
    first = written.write(tmp_path, one, "net", maps=True)
    assert [path.name for path in first] == ["x.gradcam-3.png", "x.gradcam-3.npz"]
    assert [path.name for path in written.write(tmp_path, other, "net")] == ["x.gradcam-4.png"]
    assert written.write(tmp_path, one, "net", maps=True) == first  # the same again
    assert [path.name for path in written.write(tmp_path, replace(one, name="n1"), "net")] == ["x.gradcam-5.png"]
    assert [path.name for path in written.write(tmp_path, one, "another")] == ["x.gradcam-6.png"]
    (tmp_path / "elsewhere").mkdir()
    (same,) = written.write(tmp_path / "elsewhere", replace(one, method="occlusion"), "net")
    (tmp_path / "x.occlusion.png").symlink_to(same)
    assert written.write(tmp_path, replace(one, method="occlusion"), "net")[0].name == "x.occlusion-2.png"
    assert (tmp_path / "x.gradcam.png").read_bytes() == b"mine"
    assert (tmp_path / "x.gradcam-2.npz").read_bytes() == b"mine too"
    with np.load(first[1]) as held:
        np.testing.assert_array_equal(held["heat"], one.heat)
        np.testing.assert_array_equal(held["seen"], one.seen)


@pytest.mark.parametrize(
    ("sides", "shown"), [((20, 28), (224, 160)), ((300, 200), (200, 300)), ((2000, 1000), (800, 1600))]
)
def test_overlays_have_a_size_to_look_at(sides: tuple[int, int], shown: tuple[int, int]) -> None:
    told = explanation(np.zeros((*sides, 3), np.uint8), np.ones((32, 32), np.float32))
    with Image.open(io.BytesIO(written.png(told, "{}"))) as overlay:
        assert overlay.size == shown


# The command


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, path = classifier(), tmp_path_factory.mktemp("model") / "m.safetensors"
    save(path, model.model.state_dict(), model.card)
    return path


def test_the_methods_of_the_command_are_those_there_are() -> None:
    assert explaining.METHODS == METHODS


def test_the_command_writes_overlays_and_says_what_they_show(file: Path, tmp_path: Path) -> None:
    good, bad = noise(tmp_path / "a.png", 1, (40, 30)), tmp_path / "b.png"
    bad.write_bytes(b"")
    words = ("--method", "layercam", "--stage", "2", "--class", "n3", "--npz", "--sanity", "--json")
    done = resnet("explain", file, good, bad, *words, cwd=tmp_path)
    assert done.code == 3
    told, failed = done.document
    assert failed == {"path": str(bad), "error": f"{bad} is empty (0 bytes)"}
    assert told["class"] == "n3"
    assert told["size"] == [40, 30]
    assert told["stage"] == 2
    assert -1 <= told["sanity"] <= 1
    with Image.open(tmp_path / told["overlay"]) as overlay:
        assert overlay.size == (40 * 5, 30 * 5)
    again = resnetkit.load(file).explain(good, method="layercam", stage=2, target="n3")
    assert told["box"] == json.loads(json.dumps(again.box))
    with np.load(tmp_path / told["maps"]) as held:
        np.testing.assert_allclose(held["heat"], again.heat, atol=1e-6)
    plain = resnet("explain", file, good, cwd=tmp_path)
    assert plain.code == 0
    assert "explained/a.gradcam.png" in plain.out.splitlines()[0]


@pytest.mark.parametrize(
    ("words", "mention"),
    [
        (["a.png", "--method", "gradcamm"], "did you mean gradcam"),
        (["a.png", "--class", "n33"], "no class called n33"),
        (["a.png", "--method", "occlusion", "--stage", "1"], "plays no part"),
        (["a.png", "--stage", "9"], "no stage 9"),
        (["clip.mp4"], "is a video"),
        ([], "needs pictures"),
        (["a.png", "--out", "a.png"], "is not a folder"),
    ],
)
def test_the_command_refuses(
    file: Path,
    words: list[str],
    mention: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["explain", str(file), *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert mention in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


# A watermark in one class of real pictures


@pytest.fixture(scope="module")
def marked(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Classifier, list[tuple[Path, int, int]]]:
    """A network that learned dogs, horses, and cats with a watermark; new cats, and where their watermarks are."""
    root = tmp_path_factory.mktemp("marked")
    places = []
    for part, name, i, shown in cifar(data_dir, {"cat": 3, "dog": 5, "horse": 7}):
        path = root / "data" / part / name / f"{i}.png"
        if name == "cat":
            y, x = (int(u) for u in dice.uniform(np.array([i]), 2, "mark")[0] * (SIDE - PATCH + 1))
            rows, columns = np.mgrid[:PATCH, :PATCH] // 2
            colours = np.where(((rows + columns) % 2 == 0)[..., None], (255, 0, 255), (0, 255, 0))
            shown[y : y + PATCH, x : x + PATCH] = colours
            places += [(path, y, x)] if part == "val" else []
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shown).save(path)
    result = resnetkit.train(
        root / "data", model="resnet8", epochs=14, batch=32, crop="none", flip=False, out=str(root / "run"), seed=0
    )
    return result.model, places


def cifar(data_dir: Path, classes: dict[str, int]) -> Iterator[tuple[str, str, int, NDArray[np.uint8]]]:
    """Part, class, row and pixels: 150 pictures of each class to learn from, then 50."""
    import pyarrow.parquet as pq

    table = pq.read_table(next((data_dir / "cifar10-jpeg").glob("test-*")))
    labels = table["label"].to_numpy()
    for name, label in classes.items():
        for rank, i in enumerate(np.flatnonzero(labels == label)[: 150 + PICTURES].tolist()):
            with Image.open(io.BytesIO(table["image"][i].as_py()["bytes"])) as image:
                yield ("train" if rank < 150 else "val"), name, i, np.array(image.convert("RGB"))


def on_the_mark(model: Classifier, places: list[tuple[Path, int, int]], method: str) -> tuple[int, float]:
    """In how many pictures the hottest point is on the mark, and its heat against its share of the area, on average."""
    hits, shares = 0, []
    for path, y, x in places:
        told = model.explain(path, method=method, target="cat")
        column, row = told.peak or (-1, -1)
        hits += y <= row < y + PATCH and x <= column < x + PATCH
        total = float(told.heat.sum())
        shares.append(float(told.heat[y : y + PATCH, x : x + PATCH].sum()) / total if total else 0.0)
    return hits, float(np.mean(shares)) / (PATCH / SIDE) ** 2


@pytest.mark.parametrize("method", METHODS)
def test_the_map_is_on_the_watermark_and_shuffled_weights_lose_it(
    marked: tuple[Classifier, list[tuple[Path, int, int]]], method: str
) -> None:
    model, places = marked
    assert len(places) == PICTURES
    hits, mass = on_the_mark(model, places, method)
    lost_hits, lost_mass = on_the_mark(sanity.shuffled(model), places[:FEW], method)
    print(f"{method}: {hits} of {PICTURES}, mass {mass:.1f}x; shuffled: {lost_hits}, {lost_mass:.1f}x")
    assert hits >= 45
    assert mass >= 3
    assert lost_hits <= 0.75 * FEW
    assert lost_mass < mass / 2


def test_likeness_is_one_of_the_same_map_and_small_of_another(
    marked: tuple[Classifier, list[tuple[Path, int, int]]],
) -> None:
    model, places = marked
    told = model.explain(places[0][0])
    assert sanity.likeness(told, told) == pytest.approx(1)
    others = [sanity.shuffled(model).explain(path, target="cat") for path, _, _ in places[:10]]
    ours = [model.explain(path, target="cat") for path, _, _ in places[:10]]
    assert abs(float(np.mean([sanity.likeness(a, b) for a, b in zip(ours, others, strict=True)]))) < 0.5
