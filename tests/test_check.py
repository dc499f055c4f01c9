"""What is wrong with the data is found, said and left out of a list; what is right is left alone."""

import csv
import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from command import resnet
from PIL import Image, ImageFilter
from samples import folder, noise, picture, write_digits

import resnetkit
from resnetkit import cli
from resnetkit.api import import_weights
from resnetkit.data.labels import words_of
from resnetkit.data.sources import open_source
from resnetkit.data.survey import survey
from resnetkit.errors import UsageError
from resnetkit.job import prepare
from resnetkit.run import Run
from resnetkit.trouble.brief import brief
from resnetkit.trouble.finding import KINDS, STOPS, Checkup
from resnetkit.trouble.labels import folded, out_of_fold, suspects
from resnetkit.trouble.prints import look
from resnetkit.trouble.twins import RADIUS, candidates

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
    assert found.notes == ("wrong labels are not looked for: that takes a network, given with --model",)


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
    """Thresholds 0.6, 0.6 and 0.5; pictures 3 and 6 are sure of another class than their label."""
    table = [
        ("a", 0.9, 0.1, 0.0),
        ("a", 0.8, 0.1, 0.1),
        ("a", 0.9, 0.0, 0.1),
        ("a", 0.2, 0.7, 0.1),  # counted for b
        ("b", 0.1, 0.8, 0.1),
        ("b", 0.1, 0.9, 0.0),
        ("b", 0.8, 0.1, 0.1),  # counted for a
        ("c", 0.3, 0.3, 0.4),  # counted for none
        ("c", 0.2, 0.2, 0.6),
        ("a", 0.5, 0.3, 0.2),  # counted for none, and so the next two
        ("a", 0.5, 0.3, 0.2),
        ("a", 0.4, 0.45, 0.15),
    ]
    labels = np.array(["abc".index(row[0]) for row in table])
    found = suspects(np.array([row[1:] for row in table], np.float64), labels)
    assert found.joint.tolist() == [[3, 1, 0], [1, 2, 0], [0, 0, 1]]
    assert found.rows.tolist() == [6, 3, 11]  # 7 * 1/4 + 3 * 1/3 of them, by their margins
    assert found.better.tolist() == [0, 1, 1]
    np.testing.assert_allclose(found.margins, [-0.7, -0.5, -0.05])


def test_a_picture_does_not_vouch_for_itself() -> None:
    """With as many features as pictures a head could know all by heart; what it has not seen it can but guess."""
    rng = np.random.default_rng(0)
    labels, features = rng.integers(0, 2, 200), torch.from_numpy(rng.normal(size=(200, 300)).astype(np.float32))
    right = (out_of_fold(features, labels, np.arange(200), 2).argmax(1) == labels).mean()
    assert 0.35 < right < 0.65
    twice = torch.cat([features[:100], features[:100]])
    both = np.concatenate([labels[:100], labels[:100]])
    right = (out_of_fold(twice, both, np.arange(200) % 100, 2).argmax(1) == both).mean()
    assert right < 0.7  # a copy does not vouch for it either


def test_folds_have_the_same_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [50, 25, 10])
    folds = folded(labels, np.arange(85), 0)
    assert [np.bincount(folds[labels == label]).tolist() for label in (0, 1, 2)] == [[10] * 5, [5] * 5, [2] * 5]


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
    assert "      4  pictures that cannot be read\n" in result.out
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
        (["check", "data", "--fix", "clean.txt"], 2, "ends in .csv"),
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


def test_training_says_it_in_a_line(tmp_path: Path) -> None:
    root = photos(tmp_path / "data")
    assert brief(open_source(root), survey(open_source(root), 0)) == []
    for i in range(3):
        photo(root / f"val/ants/copy{i}.png", i)
    photo(root / "train/cows/1.png", 200)
    job = prepare(Run(data=str(root), model="resnet20", weights="none"), frozenset())
    (said,) = [note for note in job.notes if "resnet check" in note]
    assert said.endswith(
        "3 pictures of val are in train too; one picture only of cows in train; no pictures of cows in val"
    )
