"""Every program in examples/ runs as it stands there, and its printed figures are those of a program that works."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command import environment
from peers import peer
from samples import idx_bytes, noise, write_parquet

import resnetkit
import resnetkit.api
from resnetkit.data.sources import open_source

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(path.name for path in EXAMPLES.glob("*.py") if not path.name.startswith("wrong_"))
READMES = ("README.md", "README.zh-CN.md")


def run(cwd: Path, *words: str) -> str:
    """What a program of the folder prints, started from another one."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment({}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout


def example(name: str, cwd: Path, *words: str | Path) -> str:
    return run(cwd, str(EXAMPLES / name), *map(str, words))


def beside_torchvision(name: str, cwd: Path, *packages: str) -> str:
    """What a program prints that uses torchvision, which a CPU build of torch loads only with the help of peers.py."""
    for package in packages:
        peer(package)  # skipped here, or failed in CI, where one is missing
    paths = [str(Path(__file__).parent), str(EXAMPLES)]
    code = f"import sys; sys.path[:0] = {paths!r}; from peers import peer; peer('torchvision'); import runpy; "
    return run(cwd, "-c", code + f"runpy.run_path({str(EXAMPLES / name)!r}, run_name='__main__')")


def percent(text: str, after: str = "accuracy ") -> list[float]:
    return [float(share) / 100 for share in re.findall(rf"{after}([\d.]+)%", text)]


def losses(text: str) -> list[float]:
    return [float(loss) for loss in re.findall(r"^epoch +\d+  loss ([\d.]+)$", text, re.MULTILINE)]


def digits_as_idx(root: Path) -> Path:
    """The built-in digits under the file names of MNIST."""
    root.mkdir()
    for name, part in open_source("digits").parts.items():
        pixels = np.stack([part.read(i).pixels[..., 0] for i in range(len(part.labels))])
        stem = "train" if name == "train" else "t10k"
        (root / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
        (root / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(part.labels.astype(np.uint8)))
    return root


def few_photographs(root: Path, data: Path, train: int, val: int) -> Path:
    for part, count in (("train", train), ("val", val)):
        for name in ("ants", "bees"):
            (root / part / name).mkdir(parents=True)
            for path in sorted((data / "hymenoptera" / part / name).glob("*.jpg"))[:count]:
                (root / part / name / path.name).symlink_to(path)
    return root


def test_a_block_by_hand_is_the_library_s(tmp_path: Path) -> None:
    out = example("block_by_hand.py", tmp_path)
    counts = re.findall(r"(\d+) classes: ([\d,]+) parameters by hand, ([\d,]+) in", out)
    assert counts == [("1000", "11,689,512", "11,689,512"), ("10", "11,181,642", "11,181,642")]
    differences = [float(number) for number in re.findall(r"largest difference (\S+)", out)]
    assert len(differences) == 2
    assert max(differences) < 1e-5


@pytest.mark.slow
def test_the_class_of_the_tutorials_learns(tmp_path: Path) -> None:
    out = example("resnet_class.py", tmp_path, digits_as_idx(tmp_path / "idx"), "3")
    assert "11,181,642 parameters, 10 classes" in out
    assert len(losses(out)) == 3
    assert losses(out)[-1] < 0.5 < losses(out)[0]
    assert percent(out)[0] > 0.75
    assert "on test (360 pictures)" in out


def test_a_new_head_learns_new_digits(tmp_path: Path) -> None:
    """An untrained body reaches 74 %, a head that stays as it was 17 %."""
    out = example("finetune_head.py", tmp_path)
    assert "5 6 7 8 9: 325 of 269,397 parameters learn" in out
    assert losses(out)[-1] < losses(out)[0]
    before, after = percent(out)
    assert before > 0.95
    assert after > 0.78


@pytest.mark.slow
def test_a_model_file_learns_ants_and_bees(tmp_path: Path, data_dir: Path) -> None:
    weights, model = data_dir / "cifar10-resnet-weights" / "resnet20-12fca82f.th", tmp_path / "resnet20.safetensors"
    classes = "airplane automobile bird cat deer dog frog horse ship truck".split()
    resnetkit.api.import_weights(weights, "resnet20", model, classes=classes, size=32)
    out = example("finetune_head.py", tmp_path, model, few_photographs(tmp_path / "data", data_dir, 60, 40))
    assert "ants bees: 130 of 269,202 parameters learn" in out
    assert percent(out)[0] > 0.55
    assert "on val (80 pictures)" in out


@pytest.mark.slow
def test_the_state_dict_of_a_resnet50_takes_a_new_head(tmp_path: Path) -> None:
    """As torchvision publishes it, on photographs of several shapes."""
    for i, size in enumerate([(300, 225), (225, 300), (260, 230), (230, 400)]):
        noise(tmp_path / "data" / ("train", "test")[i // 2] / "ab"[i % 2] / "one.png", i, size)
    network = resnetkit.create_model("resnet50", zero_init_last=True)  # the answers of untrained branches would explode
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    out = example("finetune_head.py", tmp_path, "resnet50.pth", "data")
    assert "a b: 4,098 of 23,512,130 parameters learn" in out
    assert losses(out)[-1] < losses(out)[0]
    assert "on test (2 pictures)" in out


def test_mnist(tmp_path: Path) -> None:
    out = example("mnist.py", tmp_path, digits_as_idx(tmp_path / "idx"), "run")
    assert percent(out)[0] > 0.85
    truth, first = re.findall(r"one.png is a (\d);.*\n +(\d) ", out)[0]
    assert truth == first
    assert (tmp_path / "run" / "best.safetensors").exists()


@pytest.mark.slow
def test_the_table_of_cifar10_adds_up(tmp_path: Path, data_dir: Path) -> None:
    source = open_source(data_dir / "cifar10-jpeg")
    for name, count in (("train", 1000), ("test", 300)):
        part = source.parts["train" if name == "train" else "test"]
        rows = [(part.encoded(i), int(part.labels[i])) for i in range(count)]
        write_parquet(tmp_path / "cifar" / f"{name}-00000-of-00001.parquet", rows, source.classes)
    out = example("cifar10_table.py", tmp_path, "cifar", "run")
    rows_shown = re.findall(r"^(\w+) +(\d+) +(\d+) +([\d.]+)% ", out, re.MULTILINE)
    assert [row[0] for row in rows_shown] == [*source.classes, "all"]
    table = np.array([[int(row[1]), int(row[2])] for row in rows_shown])
    labels = source.parts["test"].labels[:300]
    assert np.array_equal(table[:-1].sum(1), np.bincount(labels, minlength=10))
    assert np.array_equal(table[:-1].sum(0), table[-1])
    assert f"({table[-1][0]} of 300 right)" in out
    assert percent(out)[-1] > 0.17


def test_vectors(tmp_path: Path) -> None:
    out = example("vectors.py", tmp_path)
    assert "one linear layer: 22 parameters" in out
    assert "residual network: 34,690 parameters" in out
    straight, residual = percent(out)
    assert straight < 0.6
    assert residual > 0.8


def test_save_load_predict(tmp_path: Path) -> None:
    out = example("save_load_predict.py", tmp_path, "digits", "run")
    truth = re.findall(r"in truth (\d)", out)[0]
    assert f"model file: {truth} (" in out
    assert "it knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out
    assert "mean 0.304, deviation 0.375" in out
    assert "class number" in out


@pytest.mark.slow
def test_a_decoder_finds_the_digits(tmp_path: Path) -> None:
    """A network that answers ground everywhere has a mean IoU of 18 %."""
    out = example("segment.py", tmp_path)
    assert "maps of [16, 32, 64] channels, [2, 4, 8] apart" in out
    assert percent(out, "mean IoU ")[0] > 0.28


@pytest.mark.slow
def test_a_feature_pyramid_network_finds_the_digits(tmp_path: Path) -> None:
    out = beside_torchvision("fpn.py", tmp_path, "torchvision.ops")
    assert "layer3: 64 channels in, (2, 32, 6, 6) out" in out
    assert percent(out, "mean IoU ")[0] > 0.35


@pytest.mark.slow
def test_explainers_look_at_the_digit(tmp_path: Path) -> None:
    out = beside_torchvision("explain.py", tmp_path, "pytorch_grad_cam", "captum.attr")
    assert percent(out)[0] > 0.6
    cover = percent(out, "boxes cover ")[0]
    heat, gradients = percent(out, "Grad-CAM: ")[0], percent(out, "gradients: ")[0]
    assert min(heat, gradients) > 2.5 * cover
    assert float(re.findall(r"off by ([\d.]+)", out)[0]) < 0.5


def test_the_measuring_programs_still_fit_the_examples(tmp_path: Path) -> None:
    """They are too long to be run here; each builds on what it imports, and the heads name each."""
    peer("pytorch_grad_cam")
    names = sorted(path.stem for path in EXAMPLES.glob("wrong_*.py"))
    assert len(names) == 5
    check = "from wrong_blocks import *; SameShortcut(4, 4, 1)(torch.ones(2, 4, 8, 8)); "
    check += "print(*AlwaysHalves(4, 4, 1)(torch.ones(2, 4, 8, 8)).shape)"
    check += "; print(*wrong_backbones.CoarseToFine()(torch.ones(2, 1, 48, 48)).shape)"
    paths = [str(Path(__file__).parent), str(EXAMPLES)]
    shim = f"import sys; sys.path[:0] = {paths!r}; from peers import peer; peer('torchvision')"
    code = f"{shim}; import {', '.join(names)}; {check}"
    assert run(tmp_path, "-c", code).split() == [*"2444", *"25", "48", "48"]
    for name in names:
        assert any(f"examples/{name}.py" in (EXAMPLES / program).read_text(encoding="utf-8") for program in PROGRAMS)


@pytest.mark.parametrize(
    "words",
    [
        ("resnet_class.py", "gone"),
        ("finetune_head.py", "gone.pth", "gone"),
        ("finetune_head.py", "gone.safetensors"),
        ("mnist.py", "gone"),
        ("cifar10_table.py", "gone"),
        ("save_load_predict.py", "gone"),
    ],
    ids=" ".join,
)
def test_a_path_that_is_not_there_is_said_without_a_traceback(tmp_path: Path, words: tuple[str, ...]) -> None:
    command = [sys.executable, str(EXAMPLES / words[0]), *words[1:]]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment({}), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: gone"), done.stderr
    assert "(fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_head_says_how_to_run_it_and_what_goes_wrong(name: str) -> None:
    head = (EXAMPLES / name).read_text(encoding="utf-8").split('"""')[1]
    assert f"    python examples/{name}" in head
    assert "\n|---|" in head
    assert "seeds 0 to 2" in head or "seeds 0 and 1;" in head
    assert "python examples/wrong_" in head


def test_the_pages_name_every_program() -> None:
    texts = [(EXAMPLES / name).read_text(encoding="utf-8") for name in READMES]
    for text in texts:
        assert re.findall(r"^\| `(\w+\.py)` \|", text, re.MULTILINE) == [
            "block_by_hand.py",
            "resnet_class.py",
            "finetune_head.py",
            "mnist.py",
            "cifar10_table.py",
            "vectors.py",
            "save_load_predict.py",
            "segment.py",
            "fpn.py",
            "explain.py",
        ]
        assert len(PROGRAMS) == 10
    codes = [re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for text in texts]
    assert codes[0] == codes[1]
