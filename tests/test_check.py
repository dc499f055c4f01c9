"""What is wrong with the data is found, said and left out of a list; what is right is left alone."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from command import resnet
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from samples import folder, noise, picture, write_digits
from torch import nn

import resnetkit
from resnetkit import cli
from resnetkit.answers import Answers, Ask, answered
from resnetkit.api import import_weights
from resnetkit.create import create_model
from resnetkit.data.examples import Examples
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Source
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.data.survey import survey
from resnetkit.engine.device import choose
from resnetkit.engine.state import State
from resnetkit.engine.step import Tick
from resnetkit.errors import DataError, UsageError
from resnetkit.job import prepare
from resnetkit.report.findings import lines as told_lines
from resnetkit.run import Run
from resnetkit.settings import Settings
from resnetkit.trouble.brief import troubles
from resnetkit.trouble.features import Judge
from resnetkit.trouble.finding import KINDS, STOPS, Album, Checkup
from resnetkit.trouble.labels import folded, out_of_fold
from resnetkit.trouble.learned import Course, learned
from resnetkit.trouble.prints import look
from resnetkit.trouble.suspects import suspects
from resnetkit.trouble.twins import RADIUS, alike, candidates, twins

GOOD = [f"{part}/{name}/{i}.png" for part in ("train", "val") for name in ("ants", "bees") for i in range(12)]


def photo(path: Path, seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    """A picture with structure: smooth shapes and some grain, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.integers(-25, 26, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(np.asarray(coarse, np.int64) + grain, 0, 255).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return image


def photos(root: Path, names: list[str] = GOOD) -> Path:
    for seed, name in enumerate(names):
        photo(root / name, seed)
    return root


def paths(found: Checkup, kind: str) -> list[tuple[str, ...]]:
    return [finding.paths for finding in found.of(kind)]


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def test_good_pictures_are_left_alone(tmp_path: Path) -> None:
    found = resnetkit.check(photos(tmp_path))
    assert (found.findings, found.counts, found.trainable) == ((), {}, True)
    assert found.sizes == {"train": 24, "val": 24}
    assert found.class_sizes["val"] == {"ants": 12, "bees": 12}
    assert found.notes == (
        "wrong labels are not looked for: that takes a network with --model, or time with --folds 5",
    )


def test_threads_change_nothing(tmp_path: Path) -> None:
    source = open_source(photos(tmp_path))
    one, other = look(source, 0)[1], look(source, 3)[1]
    assert all((getattr(one, name) == getattr(other, name)).all() for name in vars(one))


def test_copies(tmp_path: Path) -> None:
    root = photos(tmp_path)
    first = Image.open(root / "train/ants/0.png")
    first.save(root / "val/ants/same.bmp")  # the same pixels in other bytes
    first.resize((48, 48), Image.Resampling.BICUBIC).save(root / "val/ants/small.png")
    Image.open(root / "train/ants/1.png").save(root / "val/bees/again.jpg", quality=70)
    Image.open(root / "train/bees/2.png").save(root / "train/bees/twice.png", compress_level=1)
    found = resnetkit.check(root)
    assert paths(found, "leak") == [("train/ants/0.png", "val/ants/same.bmp")]
    assert ("train/ants/0.png", "val/ants/small.png") in paths(found, "near-leak")
    assert ("train/ants/1.png", "val/bees/again.jpg") in paths(found, "near-leak")
    assert paths(found, "two-labels") == [("train/ants/1.png", "val/bees/again.jpg")]
    assert found.of("two-labels")[0].labels == ("ants", "bees")
    assert paths(found, "duplicate") == [("train/bees/2.png", "train/bees/twice.png")]
    (leak,) = found.of("leak")
    assert (leak.part, leak.rows) == ("train, val", (0, 37))


def test_grey_stored_as_colour_is_the_same_picture(tmp_path: Path) -> None:
    root = photos(tmp_path)
    grey = photo(tmp_path / "train/ants/grey.png", 99).convert("L")
    grey.save(root / "train/ants/grey.png")
    grey.convert("RGB").save(root / "val/ants/colour.png")
    assert paths(resnetkit.check(root), "leak") == [("train/ants/grey.png", "val/ants/colour.png")]


def test_plain_pictures_are_no_twins_of_each_other(tmp_path: Path) -> None:
    root = photos(tmp_path)
    for level in (10, 120, 200):
        picture(root / f"train/ants/plain{level}.png", (level, level, level), (64, 64))
    found = resnetkit.check(root)
    assert len(found.of("blank")) == 3
    assert not found.of("near-duplicate")


def test_candidates_are_all_pairs_within_the_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetkit.trouble.twins.ROOM", 1000)  # many blocks
    rng = np.random.default_rng(0)
    waves = rng.integers(0, 2**63, 150, np.uint64)
    flips = [sum(1 << int(b) for b in rng.permutation(64)[:k]) for k in range(20)]
    waves = np.concatenate([waves, waves[:20] ^ np.array(flips, np.uint64), waves[:1], waves[:1]])
    found = sorted(tuple(pair) for some in candidates(waves) for pair in some.tolist())
    bits = [[(int(a) ^ int(b)).bit_count() for b in waves] for a in waves]
    n = len(waves)
    assert found == [(i, j) for i in range(n) for j in range(i + 1, n) if bits[i][j] <= RADIUS]
    assert len(found) >= RADIUS


def test_odd_pictures(tmp_path: Path) -> None:
    root = photos(tmp_path, [f"train/{name}/{i}.png" for name in ("ants", "bees") for i in range(30)])
    base = np.asarray(photo(tmp_path / "x.png", 500), np.float32)
    (tmp_path / "x.png").unlink()
    for name, pixels in {"dark": base * 0.1, "bright": 255 - base * 0.06}.items():
        Image.fromarray(pixels.astype(np.uint8)).save(root / f"train/ants/{name}.png")
    photo(root / "train/ants/blurred.png", 501).filter(ImageFilter.GaussianBlur(5)).save(
        root / "train/ants/blurred.png"
    )
    photo(root / "train/ants/large.png", 502, (500, 500))
    photo(root / "train/ants/long.png", 503, (200, 20))
    photo(root / "train/ants/grey.png", 504).convert("L").save(root / "train/ants/grey.png")
    photo(root / "train/bees/named.png", 505).save(root / "train/bees/named.jpg", "PNG")
    (root / "train/bees/named.png").unlink()
    deep = np.random.default_rng(1).integers(0, 65536, (64, 64)).astype(np.uint16)
    Image.fromarray(deep).save(root / "train/bees/deep.png")
    found = resnetkit.check(root)
    for kind in ("dark", "bright", "blurred"):
        assert paths(found, kind) == [(f"train/ants/{kind}.png",)]
    assert paths(found, "size") == [("train/ants/large.png",)]
    assert paths(found, "aspect") == [("train/ants/long.png",)]
    assert {path for (path,) in paths(found, "mode")} == {"train/ants/grey.png", "train/bees/deep.png"}
    assert [(f.paths, f.words) for f in found.of("format")] == [(("train/bees/named.jpg",), "PNG data in a .jpg file")]
    assert found.trainable


def test_what_all_pictures_have_is_not_odd(tmp_path: Path) -> None:
    for seed, name in enumerate(GOOD):
        image = photo(tmp_path / name, seed).convert("L").filter(ImageFilter.GaussianBlur(4))
        Image.fromarray((np.asarray(image) // 8).astype(np.uint8)).save(tmp_path / name)
    assert not resnetkit.check(tmp_path).findings


def test_where_all_are_blurred_none_is(tmp_path: Path) -> None:
    for seed, name in enumerate(GOOD):
        photo(tmp_path / name, seed).filter(ImageFilter.GaussianBlur(5)).save(tmp_path / name)
    assert not resnetkit.check(tmp_path).findings


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "train/ants/empty.jpg": lambda _: b"",
    "train/ants/cut.jpg": lambda data: data[: len(data) // 2],
    "train/bees/page.png": lambda _: b"<!DOCTYPE html><html>404</html>",
    "val/bees/text.jpg": lambda _: b"hello",
}


def broken(root: Path) -> Path:
    buffer = io.BytesIO()
    photo(root / "train/ants/0.png", 0).save(buffer, "JPEG")
    for name, spoil in BROKEN.items():
        (root / name).write_bytes(spoil(buffer.getvalue()))
    return root


def test_broken_files(tmp_path: Path) -> None:
    found = resnetkit.check(broken(photos(tmp_path)))
    assert {path for (path,) in paths(found, "unreadable")} == set(BROKEN)
    assert {f.paths[0]: f.words for f in found.of("unreadable")}["train/ants/empty.jpg"] == "is empty (0 bytes)"
    assert not found.trainable
    assert {f.kind for f in found.findings} == {"unreadable"}


def test_classes(tmp_path: Path) -> None:
    root = photos(tmp_path / "one")
    for i in range(130):
        noise(root / f"train/cows/{i}.png", 1000 + i)
    noise(root / "val/wasps/1.png", 3000)
    noise(root / "train/dogs/1.png", 3001)
    found = resnetkit.check(root)
    assert [(f.kind, f.part, f.labels) for f in found.findings if f.kind.endswith(("class", "imbalance"))] == [
        ("strange-class", "val", ("wasps",)),
        ("missing-class", "val", ("cows",)),
        ("missing-class", "val", ("dogs",)),
        ("tiny-class", "train", ("dogs",)),
        ("imbalance", "train", ("cows", "dogs")),
    ]
    assert not found.trainable
    found = resnetkit.check(folder(tmp_path / "two", "a/1.png", "a/2.png", "b/1.png"))
    assert [f.labels for f in found.of("lonely-class")] == [("b",)]  # none of it can be held out
    assert not found.trainable


def test_the_worst_comes_first(tmp_path: Path) -> None:
    root = broken(photos(tmp_path))
    picture(root / "val/ants/plain.png", 9, (64, 64))
    photo(root / "val/ants/copy.png", 1)
    found = resnetkit.check(root)
    order = [list(KINDS).index(finding.kind) for finding in found.findings]
    assert order == sorted(order)
    assert list(found.counts) == [kind for kind in KINDS if found.of(kind)]
    assert set(STOPS) <= set(KINDS)


def test_suspects_by_hand() -> None:
    """Thresholds 0.6, 0.6 and 0.475; pictures 3 and 6 are sure of another class than their label."""
    table = [
        ("a", 0.9, 0.1, 0.0),
        ("a", 0.8, 0.1, 0.1),
        ("a", 0.9, 0.0, 0.1),
        ("a", 0.2, 0.75, 0.05),  # counted for b, and by a larger margin than the other one for a
        ("b", 0.1, 0.8, 0.1),
        ("b", 0.1, 0.9, 0.0),
        ("b", 0.62, 0.1, 0.28),  # counted for a
        ("c", 0.35, 0.3, 0.35),  # counted for none; no class is likelier than its own
        ("c", 0.2, 0.2, 0.6),
        ("a", 0.5, 0.3, 0.2),  # counted for none, and so the next two
        ("a", 0.5, 0.3, 0.2),
        ("a", 0.4, 0.45, 0.15),
    ]
    labels = np.array(["abc".index(row[0]) for row in table])
    found = suspects(np.array([row[1:] for row in table], np.float64), labels)
    assert found.joint.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 1]]
    assert found.rows.tolist() == [6, 3]  # of the 7 * 1/4 + 3 * 1/3 whose label is least likely, but for picture 7
    assert found.better.tolist() == [0, 1]
    np.testing.assert_allclose(found.own, [0.1, 0.2])


def test_a_picture_does_not_vouch_for_itself() -> None:
    """With as many features as pictures a head could know all by heart; what it has not seen it can but guess."""
    rng = np.random.default_rng(0)
    labels, features = rng.integers(0, 2, 200), torch.from_numpy(rng.normal(size=(200, 300)).astype(np.float32))
    right = (out_of_fold(features, labels, folded(labels, np.arange(200), 5), 2).argmax(1) == labels).mean()
    assert 0.35 < right < 0.65
    twice = torch.cat([features[:100], features[:100]])
    both = np.concatenate([labels[:100], labels[:100]])
    right = (out_of_fold(twice, both, folded(both, np.arange(200) % 100, 5), 2).argmax(1) == both).mean()
    assert right < 0.7  # a copy does not vouch for it either


def test_a_judge_looks_at_what_the_last_two_stages_see() -> None:
    network = create_model("resnet20", num_classes=4).eval()
    preprocess = Preprocess(size=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3, channels=3)
    judge = Judge.of(network, choose("cpu", "fp32"), preprocess)
    images = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        second = network.forward_first(images, 2)
        maps = second, network.onward(second, 2)
        seen = torch.cat([nn.functional.adaptive_avg_pool2d(one, 2).flatten(1) for one in maps], 1)
    torch.testing.assert_close(judge.frozen(images), seen, rtol=1e-3, atol=1e-4)
    large = create_model("resnet50", num_classes=4).eval()  # of whose cells there are too many to be soon done
    assert Judge.of(large, choose("cpu", "fp32"), preprocess).frozen.network is large


def test_folds_have_the_same_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 10])
    folds = folded(labels, np.arange(85), 5)
    assert [np.bincount(folds[labels == label]).tolist() for label in (0, 1, 2)] == [[10] * 5, [5] * 5, [2] * 5]


def test_those_that_are_alike_are_in_one_fold(tmp_path: Path) -> None:
    root = photos(tmp_path)
    image = Image.open(root / "train/ants/0.png")
    image.save(root / "val/ants/same.bmp")
    image.save(root / "train/ants/again.jpg", quality=80)
    image.resize((48, 48), Image.Resampling.BICUBIC).save(root / "val/ants/small.png")
    source = open_source(root)
    _, prints = look(source, 0)
    album = Album.of(source)
    families = alike(twins(album, prints, np.ones(len(album.paths), bool)), len(album.paths))
    folds = folded(np.array([album.labels[row] == "bees" for row in range(len(families))], int), families, 5)
    same = [row for row, path in enumerate(album.paths) if Path(path).stem in ("same", "again", "small")]
    same.append(album.paths.index("train/ants/0.png"))
    assert len(set(folds[same])) == len(set(families[same])) == 1
    assert len(set(families)) == len(families) - 3


def tiles(path: Path, count: int = 120, wrong: int = 5) -> set[str]:
    """An npz of three kinds of stripes, 16x16, of which some have another's label: the names of those."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    row, column = np.mgrid[:16, :16]
    waves = np.stack([row, column, row + column])[labels] + rng.integers(0, 8, (count, 1, 1))
    images = np.clip(128 + 60 * np.sin(waves * np.pi / 2) + rng.normal(0, 40, waves.shape), 0, 255).astype(np.uint8)
    swapped = rng.permutation(count)[:wrong]
    labels[swapped] = (labels[swapped] + rng.integers(1, 3, wrong)) % 3
    np.savez(path, images=np.concatenate([images, images[:1]]), labels=np.append(labels, labels[0]))  # and a copy
    return {f"{row:03d}" for row in swapped.tolist()}


def test_no_network_learns_what_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (41, 8, 8, 1), np.uint8), np.arange(41) % 2
    folds = rng.integers(0, 4, 41)
    seen, asked = list[set[bytes]](), list[set[bytes]]()

    def told(kind: list[set[bytes]], examples: Examples) -> None:
        assert examples.stack is not None
        assert [pixels.tolist().index(one) % 2 for one in examples.stack.tolist()] == examples.labels.tolist()
        kind.append({one.tobytes() for one in examples.stack})

    def steps(_state: State, _course: Course, _settings: Settings, known: Examples, _workers: int) -> list[Tick]:
        told(seen, known)
        return []

    def answers(ask: Ask, examples: Examples, workers: int) -> Iterator[Answers]:
        told(asked, examples)
        return answered(ask, examples, workers)

    monkeypatch.setattr("resnetkit.trouble.learned.steps", steps)
    monkeypatch.setattr("resnetkit.trouble.learned.answered", answers)
    source = Source("here", "npz", ("a", "b"), {}, arrays=True, channels=1)
    course = Course.of(source, np.array([(8, 8, 1)] * 41, np.int32), 4, choose("cpu"))
    found = learned(course, pixels, labels, folds, 0)
    whole = {one.tobytes() for one in pixels}
    assert [one | other for one, other in zip(seen, asked, strict=True)] == [whole] * 4
    assert [one & other for one, other in zip(seen, asked, strict=True)] == [set()] * 4
    assert set().union(*asked) == whole
    np.testing.assert_allclose(found.sum(1), 1)


def test_wrong_labels_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetkit.trouble.learned.EPOCHS", (3, 12))
    known, told = tiles(tmp_path / "tiles.npz"), list[str]()
    heard, families = list[tuple[int, int]](), list[list[int]]()

    def parted(labels: NDArray[np.int64], alike: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        families.append(alike.tolist())
        return folded(labels, alike, count)

    monkeypatch.setattr("resnetkit.trouble.checkup.folded", parted)
    found = resnetkit.check(
        tmp_path / "tiles.npz", folds=3, tell=told.append, watch=lambda done, of: heard.append((done, of)), workers=0
    )
    assert len(known & {f.paths[0] for f in found.of("label")}) >= 4
    assert [finding["rows"] for finding in json.loads(json.dumps(found.as_dict()))["findings"]]
    assert (families[0][0], len(set(families[0]))) == (families[0][-1], 120)
    (said,) = told
    assert said.startswith("3 networks (resnet8, 16x16) learn from nothing to judge labels, ")
    assert heard[-1][0] == heard[-1][1]
    assert resnetkit.check(tmp_path / "tiles.npz", folds=3, workers=2) == found


def test_planted_trouble(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,000 CIFAR pictures with 20 exact and 20 near copies across parts, broken files, and 20 swapped labels."""
    monkeypatch.setenv("RESNETKIT_CACHE", str(tmp_path / "cache"))
    root, rng = tmp_path / "data", np.random.default_rng(0)
    source = open_source(data_dir / "cifar10-jpeg")
    part, names = source.parts["train"], source.classes
    chosen = rng.permutation(len(part.names))[:1000].tolist()
    labels, swapped = part.labels[chosen], set(rng.permutation(700)[:20].tolist())
    known, copies, near = set[str](), list[str](), list[str]()
    for k, i in enumerate(chosen):
        label = int(labels[k] + rng.integers(1, 10)) % 10 if k in swapped else int(labels[k])
        place = "train" if k < 700 or label == 3 else "test"
        file = root / place / names[label] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(part.read(i).pixels)
        image.save(file)
        known |= {f"{place}/{names[label]}/{k}.png"} if k in swapped else set()
        if 600 <= k < 640 and k not in swapped and label != 3:
            copy = root / "test" / names[label] / f"copy{k}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            if k < 620:
                image.save(copy, compress_level=1)
            elif k % 2:
                image.save(copy.with_suffix(".jpg"), quality=60)
            else:
                image.resize((48, 48), Image.Resampling.BICUBIC).save(copy)
            (copies if k < 620 else near).append(str(k))
    for k, data in enumerate((b"", b"\x89PNG\r\n\x1a\n", b"hello")):
        (root / "train" / names[0] / f"broken{k}.png").write_bytes(data)
    weights = data_dir / "cifar10-resnet-weights" / "resnet20-12fca82f.th"
    import_weights(weights, "resnet20", tmp_path / "m.safetensors")
    found = resnetkit.check(root, model=tmp_path / "m.safetensors")

    def told(kind: str) -> set[str]:
        return {Path(f.paths[0]).stem for f in found.of(kind)}

    assert len(found.of("unreadable")) == 3
    assert [(f.part, f.labels) for f in found.of("missing-class")] == [("test", (names[3],))]
    assert set(copies) <= told("leak")
    assert len(set(near) & (told("near-leak") | told("leak"))) >= 0.9 * len(near)
    assert len((told("leak") | told("near-leak") | told("near-duplicate")) - {*copies, *near}) <= 2
    suspected = [f.paths[0] for f in found.of("label")]
    assert len(known & set(suspected[:30])) >= 12
    again = [resnetkit.check(root, model=tmp_path / "m.safetensors", folds=folds) for folds in (5, 10)]
    assert again[0] == found
    assert again[1].of("label") != found.of("label")
    scores = [f.score for f in found.of("label")]
    assert scores == sorted(scores, key=lambda score: -(score or 0))


def test_a_list_without_the_worst(tmp_path: Path) -> None:
    root = broken(photos(tmp_path / "data"))
    photo(root / "test/ants/a, b.png", 1)  # which is train/ants/1.png
    photo(root / "test/bees/x.png", 77)
    photo(root / "train/bees/wobbly.png", 36).save(root / "train/bees/wobbly.jpg", quality=80)  # near val/bees/0.png
    (root / "train/bees/wobbly.png").unlink()
    noise(root / "val/wasps/1.png", 5)
    before = contents(root)
    found = resnetkit.check(root, fix=tmp_path / "clean.csv")
    assert contents(root) == before
    assert found.cleaned is not None
    left_out = dict(found.cleaned.left_out)
    assert left_out == {
        **{name: left_out[name] for name in BROKEN},
        "train/ants/1.png": "the same as test/ants/a, b.png",
        "train/bees/wobbly.jpg": "nearly the same as val/bees/0.png",
        "val/wasps/1.png": "train does not have its class",
    }
    listed = open_source(tmp_path / "clean.csv")
    kept = {
        f"{part.name}/{words_of('classes', listed.classes, part.labels)[i]}/{Path(name).name}"
        for part in listed.parts.values()
        for i, name in enumerate(part.names)
    }
    assert kept == {name for name in before if name not in left_out}
    assert found.cleaned.kept == len(kept)
    with open(tmp_path / "clean-left-out.csv", encoding="utf-8", newline="") as file:
        assert dict(csv.reader(file)) == {"image": "why", **left_out}
    again = resnetkit.check(tmp_path / "clean.csv")
    assert again.trainable
    assert not {"unreadable", "leak", "near-leak", "strange-class"} & set(again.counts)
    with pytest.raises(UsageError, match="is there already"):
        resnetkit.check(root, fix=tmp_path / "clean.csv")


def test_what_the_list_says_of_itself_holds(tmp_path: Path) -> None:
    """Classes that a list would leave too little of are left out of it."""
    names = [f"{name}/{i}.png" for name in ("ants", "bees") for i in range(6)]
    root = photos(tmp_path / "data", [*names, "cows/0.png", "dogs/0.png", "dogs/1.png", "emus/0.png"])
    shutil.copy(root / "dogs/0.png", root / "dogs/1.png")
    (root / "emus/1.png").write_bytes(b"")
    found = resnetkit.check(root, fix=tmp_path / "clean.csv")
    assert found.cleaned is not None
    assert (found.trainable, found.cleaned.trainable, found.cleaned.kept) == (False, True, 12)
    why = dict(found.cleaned.left_out)
    assert {why["cows/0.png"], why["dogs/0.png"], why["emus/0.png"]} == {
        "its class has one picture left, of which none can be held out"
    }
    assert list(told_lines(found))[-1] == f"training would stop on {root}; on {tmp_path / 'clean.csv'} it can begin"
    prepare(Run(data=str(tmp_path / "clean.csv"), model="resnet20", weights="none"), frozenset())
    parted = photos(tmp_path / "parted", [f"{part}/{name}" for part in ("train", "val") for name in names])
    photo(parted / "train/cows/0.png", 99)
    shutil.copytree(parted / "train/cows", parted / "val/cows")
    photo(parted / "val/cows/1.png", 98)
    found = resnetkit.check(parted, fix=tmp_path / "parted.csv")
    assert found.cleaned is not None
    assert dict(found.cleaned.left_out)["val/cows/1.png"] == "train has no picture of its class left"
    prepare(Run(data=str(tmp_path / "parted.csv"), model="resnet20", weights="none"), frozenset())
    alone = photos(tmp_path / "alone", ["ants/0.png", "ants/1.png", "bees/0.png"])
    found = resnetkit.check(alone, fix=tmp_path / "alone.csv")
    assert found.cleaned is not None
    assert not found.cleaned.trainable
    assert "would stop as well" in list(told_lines(found))[-1]


def advice(data: Path) -> str:
    return list(told_lines(resnetkit.check(data)))[-1]


def test_no_remedy_is_named_that_does_not_help(tmp_path: Path) -> None:
    stop, fix = "training would stop: mend what stands first", "--fix clean.csv leaves it out"
    add = "add pictures: without it there are too few to train on"
    lone = photos(tmp_path / "lone", ["ants/0.png", "bees/0.png"])
    assert advice(lone) == f"{stop}, or {add}"
    with pytest.raises(DataError, match=r"none of the 2 pictures of .*lone is left for .*clean.csv"):
        resnetkit.check(lone, fix=tmp_path / "clean.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["lone"]
    root = photos(tmp_path / "data")
    (root / "train/ants/0.png").write_bytes(b"")
    assert advice(root) == f"{stop}, or {fix}, or train with --on-bad skip"
    prepare(Run(data=str(root), model="resnet20", weights="none", on_bad="skip"), frozenset())
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"")
    assert advice(root) == f"{stop}, or {fix}"  # val would be empty
    for path in (root / "train/ants").iterdir():
        path.write_bytes(b"")
    assert advice(root) == f"{stop}, or {add}"
    few = photos(tmp_path / "few", [f"{name}/{i}.png" for name in ("ants", "bees") for i in range(6)] + ["cows/0.png"])
    assert advice(few) == f"{stop}, or {fix}"


def test_findings_are_of_a_kind(tmp_path: Path) -> None:
    found = resnetkit.check(photos(tmp_path / "data", GOOD[:24]))
    assert found.of("leak") == []
    with pytest.raises(UsageError, match="no kind of finding 'leek'") as error:
        found.of("leek")
    assert "leak, near-leak" in error.value.fix
    assert "format" in error.value.fix


def test_a_thing_is_counted_once_and_called_as_it_is(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", [*GOOD, *(f"{name[:-4]}b.png" for name in GOOD)])
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64) * 16).save(root / "train/ants/16.png")
    photo(root / "train/cows/0.png", 99)
    (root / "test").mkdir()
    photo(root / "test/ants/0.png", 97)
    photo(root / "test/bees/0.png", 96)
    found = resnetkit.check(root)
    assert [(one.paths, one.words.count(",")) for one in found.of("mode")] == [(("train/ants/16.png",), 1)]
    assert [(one.labels, one.part) for one in found.of("missing-class")] == [(("cows",), "val, test")]
    rows = [["image", "label", "part"]]
    rows += [[f"data/{name}", name.split("/")[1], name.split("/")[0]] for name in GOOD]
    (tmp_path / "list.csv").write_text("\n".join(map(",".join, rows)) + "\n", encoding="utf-8")
    shutil.copy(root / GOOD[0], root / GOOD[-1])
    (twice,) = resnetkit.check(tmp_path / "list.csv").of("leak")
    assert all((tmp_path / path).is_file() for path in twice.paths)


def test_a_list_of_pictures_without_parts(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", [f"{name}/{i}.png" for name in ("1.5", "2.5") for i in range(4)])
    photo(root / "1.5/copy.png", 0)
    photo(root / "2.5/other.png", 1)  # under another label: which is right is not for us to say
    found = resnetkit.check(root, fix=tmp_path / "clean.csv")
    assert found.cleaned is not None
    assert found.cleaned.left_out == (("1.5/copy.png", "the same as 1.5/0.png"),)
    assert found.cleaned.command[-2:] == ("--task", "classes")
    assert (tmp_path / "clean.csv").read_text().startswith("image,label\ndata/1.5/0.png,1.5\n")


def test_the_command(tmp_path: Path) -> None:
    root = broken(photos(tmp_path / "data"))
    photo(root / "val/ants/copy\n.png", 0)
    result = resnet("check", root, "--fix", "clean.csv", cwd=tmp_path)
    assert result.code == 3
    assert "pictures that cannot be read (4)\n" in result.out
    assert "train/ants/0.png = val/ants/copy\\n.png: are the same to the pixel" in result.out
    assert "wrote clean.csv: 48 pictures, 5 left out\n" in result.out


def test_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    root = photos(tmp_path / "data")
    assert cli.main(["check", "data"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["nothing wrong was found"]
    photo(root / "val/ants/copy.png", 0)
    assert cli.main(["check", "data"]) == 0  # training would begin
    capsys.readouterr()
    broken(root)
    assert cli.main(["check", "data", "--json", "--fix", "clean.csv"]) == 3
    document = json.loads(capsys.readouterr().out)
    assert document["counts"] == {"unreadable": 4, "leak": 1}
    assert not document["trainable"]
    assert len(document["cleaned"]["left_out"]) == 5
    wanted = {"kind", "words", "part", "rows", "paths", "labels", "score", "better"}
    assert all(set(finding) == wanted for finding in document["findings"])
    assert cli.main(["check", "clean.csv"]) == 0
    assert cli.main(["check", "data", "--fix", "clean.csv"]) == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["check", "gone"], 3, "gone does not exist"),
        (["check", "data", "--device", "cpu"], 2, "no model"),
        (["check", "data", "--folds", "1"], 2, "whole number from 2 to 100"),
        (["check", "data", "--folds", "many"], 2, "whole number from 2 to 100"),
        (["check", "data", "--folds", "5", "--device", "gpu"], 5, "no device gpu"),
        (["check", "data", "--fix", "clean.txt"], 2, "ends in .csv"),
        (["check", "data", "--page", "page.txt"], 2, "name a file that ends in .html"),
        (["check", "data", "--page", "clean.csv", "--fix", "clean.csv"], 2, "is no name of a page"),
        (["check", "data", "--fix", "train.csv"], 2, "list of one part"),
        (["check", "data", "--fix", "none/clean.csv"], 2, "is not a folder"),
        (["check", "digits", "--fix", "clean.csv"], 2, "holds none"),
        (["check", "data", "--label-column", "kind"], 2, "no such columns"),
        (["check", "data", "--model", "gone"], 4, "gone"),
    ],
)
def test_what_is_refused(
    words: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photos(tmp_path / "data", GOOD[:24]).parent)
    assert cli.main(words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "fix: " in err
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_arrays_are_checked_too(tmp_path: Path) -> None:
    found = resnetkit.check(write_digits(tmp_path))
    assert found.sizes == {"train": 200, "test": 60}
    assert found.trainable
    assert json.loads(json.dumps(found.as_dict()))["counts"] == found.counts


def test_findings_of_any_rows_are_json() -> None:
    album = Album(("a.png", "b.png"), ("ants", "bees"), ("all", "all"))
    found = album.finding("label", "looks like bees", np.flatnonzero([True, False]))
    assert json.loads(json.dumps(found.as_dict()))["rows"] == [0]


def test_training_says_it_in_a_line(tmp_path: Path) -> None:
    root = photos(tmp_path / "data")
    assert troubles(open_source(root), survey(open_source(root), 0)) == ()
    for i in range(3):
        photo(root / f"val/ants/copy{i}.png", i)
    photo(root / "train/cows/1.png", 200)
    job = prepare(Run(data=str(root), model="resnet20", weights="none"), frozenset())
    (said,) = [note for note in job.notes if "resnet check" in note]
    assert said.endswith(
        "3 pictures of val are in train too; one picture only of cows in train; no pictures of cows in val"
    )
