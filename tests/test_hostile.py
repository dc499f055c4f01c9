"""Hostile and broken files of weights, each given to the real command: refused with exit code 4, and nothing happens.

All go through one process of their own, which says how much memory they took. The rows are those of a list of things
that go wrong with weights in the world; what is not a file of weights (checkpoints, caches) is tested elsewhere.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from command import environment
from samples import folder
from test_foreign import archive, attacks, nested, old, saved, small, zipped
from test_modelfile import CARD, forge, pack, tiny_state
from torch import Tensor, nn

from resnetkit import zoo
from resnetkit.layout import lay_out
from resnetkit.modelfile import dump
from resnetkit.walk import shapes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")

IMPORT = "import {} --model resnet20 --out new.safetensors"
EVAL = "eval {} good"
Case = tuple[str, bytes, str, str]  # a row and what is wrong, the file, the command, what must be said
MEBIBYTE = 2**20
CHILD = r"""
import contextlib, io, json, re, sys, time
from pathlib import Path
from resnetkit import cli
warm, *lines = json.load(sys.stdin)
def peak():
    # Not getrusage, in which a child begins with the peak of its parent.
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])
def run(line):
    out, err, start = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(line.split())
    return code, out.getvalue(), err.getvalue(), time.process_time() - start
assert run(warm)[0] == 0, run(warm)
before, modules = peak(), set(sys.modules)
answers = [run(line) for line in lines]
strange = sorted({"antigravity", "pip", "idlelib.run", "runpy", "pdb", "cProfile"} & set(sys.modules) - modules)
json.dump({"answers": answers, "grown": peak() - before, "modules": strange}, sys.stdout)
"""


def resnet20(**changes: Tensor) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes(lay_out(zoo.find("resnet20"))).items()} | changes


def tensor(**entry: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [1], "data_offsets": [0, 1], **entry}


def programs(canary: Path) -> Iterator[Case]:
    for name, content in attacks(canary):
        says = {"tar": "tar archive", "torchscript": "TorchScript"}.get(name, "")
        says = "asks for" if name.startswith(("zip ", "old ")) and name != "zip in a member" else says
        row = {"tar": "W06", "torchscript": "W07"}.get(name, "W01")
        yield f"{row} {name}", content, IMPORT, says
    for how in (True, False):
        model = nn.Sequential(nn.Linear(2, 2))
        yield f"W02 a model {how}", saved(model, _use_new_zipfile_serialization=how), IMPORT, "whole pickled model"
    yield "W02 to begin with", saved({"model": nn.Linear(2, 2)}), "train good --out new --weights {}", "state_dict()"


def pickles() -> Iterator[Case]:
    """Checkpoints that are damaged, or mean more than they hold."""
    yield "W03 nothing", b"", IMPORT, "is empty"
    for how in (True, False):
        data = saved(small(), _use_new_zipfile_serialization=how)
        for length in (3, len(data) // 2, len(data) - 1):
            says = "" if length == 3 else "truncated"
            yield f"W04 {length} bytes {how}", data[:length], IMPORT, says
        wide = torch.zeros(1).expand(10**6, 10**6)
        bomb = saved({"a": wide}, _use_new_zipfile_serialization=how)
        yield f"W08 strides {how}", bomb, IMPORT, "means 4000000000000 bytes"
        bad = torch.sparse_coo_tensor(torch.tensor([[0, 99]]), torch.ones(2), (2,), check_invariants=False)
        yield f"W09 sparse {how}", saved({"a": bad}, _use_new_zipfile_serialization=how), IMPORT, "sparse"
        for kind, odd in {
            "complex": torch.zeros(2, dtype=torch.complex64),
            "unusual dtype": torch.zeros(2, dtype=torch.uint16),
            "without data": torch.zeros(2, device="meta"),
            "(dict)": {"b": torch.zeros(1)},
            "NaN": torch.tensor([1.0, float("nan")]),
            "infinity": torch.tensor([float("inf")]),
            "too many dimensions": torch.zeros((1,) * 9),
        }.items():
            row = "W16" if kind in ("NaN", "infinity") else "W10"
            yield f"{row} {kind} {how}", saved({"a": odd}, _use_new_zipfile_serialization=how), IMPORT, kind
    yield "W05 page", b"<!doctype html><title>404</title>", IMPORT, "HTML page"
    yield "W05 pointer", b"version https://git-lfs.github.com/spec/v1\n", IMPORT, "git lfs pull"
    yield "W05 text", b"weights\n", IMPORT, "holds no weights"
    yield "W05 HDF5", b"\x89HDF\r\n\x1a\n" + bytes(99), IMPORT, "HDF5"
    for kind in ("tuple", "marked", "list", "dict"):
        yield f"W11 {kind}", zipped(nested(2000, kind)), IMPORT, "nests more than 64"
        yield f"W11 {kind} old", old(nested(2000, kind)), IMPORT, "nests more than 64"
    real = {"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(2**24)}
    yield "W08 packed", archive(real, 8), IMPORT, "compressed member"
    yield "W08 long", archive({"a/data.pkl": b"\x80\x02" + b"N" * (2**24 + 1)}), IMPORT, "bytes of instructions"
    yield "W08 twice", archive({**real, "b/data.pkl": b""}), IMPORT, "two members"
    yield "W10 no names", saved([torch.zeros(1)]), IMPORT, "holds a list"
    yield "W10 no weights", saved({}), IMPORT, "holds nothing"
    yield "W17 another", saved(resnet20()), "import {} --model resnet32 --out new.safetensors", "not resnet32"
    two = resnet20(**{"linear.weight": torch.zeros(10, 64)})
    yield "W17 two heads", saved(two), IMPORT, "two tensors for one name"
    yield "W17 of nobody", saved({"a": torch.zeros(1)}), IMPORT + " --allow-partial", "0 of 116 tensors fit"
    lacking = resnet20()
    del lacking["layer1.0.conv1.weight"]
    yield "W17 one missing", saved(lacking), IMPORT, "layer1.0.conv1.weight missing"


def tables() -> Iterator[Case]:
    """safetensors that are no such thing, and model files that are not what they were."""
    empty = tensor(shape=[0], data_offsets=[0, 0])
    for name, data, says in (
        ("W12 cut", pack({"a": tensor()}), "truncated"),
        ("W12 a byte more", pack({"a": tensor()}, b"12"), "belong to no tensor"),
        ("W12 a header of a TiB", (2**40).to_bytes(8, "little") + b"{" + b" " * 99, "claims a header"),
        ("W12 overlap", pack({"a": tensor(), "b": tensor()}, b"1"), "overlaps"),
        ("W12 hole", pack({"a": tensor(data_offsets=[1, 2])}, b"12"), "hole"),
        ("W12 no UTF-8", pack(b'{"\xff":1}'), "not UTF-8"),
        ("W12 no JSON", pack(b'{"a":' + b" " * 20), "not JSON"),
        ("W12 a key twice", pack(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1"), "twice"),
        ("W12 deep", pack(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "damaged"),
        ("W12 a long number", pack(b'{"a":' + b"9" * 100_000 + b"}"), "damaged"),
        ("W10 dtype", pack({"a": tensor(dtype="C64", data_offsets=[0, 8])}, bytes(8)), "C64"),
        ("W13 many", pack({f"{i}": empty for i in range(200_000)}), "names 200000 tensors"),
        ("W13 a million", pack(b"{" + b'"a":{"dtype":"U8","shape":[0]},' * 10**6 + b"}"), "claims a header"),
        ("W14 overflow", pack({"a": tensor(shape=[2**40, 2**40])}, b"1"), "its shape and dtype mean"),
        ("W14 below", pack({"a": tensor(shape=[-1])}, b"1"), "shape"),
        ("W16 NaN", pack({"a": tensor(dtype="F32", data_offsets=[0, 4])}, b"\0\0\xc0\x7f"), "NaN or infinity in a"),
        ("W12 a long name", pack({"a" * 513: tensor()}, b"1"), "513 characters"),
    ):
        yield name, data, IMPORT, says
    ours = dump(tiny_state(), CARD)
    flipped = bytearray(ours)
    flipped[-3] ^= 1
    for command in (EVAL, "predict {} good/a/0.png", "export {} --to timm --out new.safetensors"):
        yield f"W15 {command}", bytes(flipped), command, "SHA-256"
    yield "W15 to begin with", bytes(flipped), "train good --out new --weights {}", "SHA-256"
    yield "W03 no model", b"", EVAL, "is empty"
    yield "W04 half a model", ours[: len(ours) // 2], EVAL, "truncated"
    yield "W23 newer", forge(ours, {"format": 2}), EVAL, "upgrade"
    yield "W23 nonsense", forge(ours, {"plan": {}}), EVAL, "the card of"
    state = tiny_state()
    head = {"fc.weight": torch.zeros(7, 4), "fc.bias": torch.zeros(7)}
    for command in (EVAL, "predict {} good/a/0.png", "export {} --to timm --out new.safetensors"):
        other = dump(state | head, CARD)
        yield f"W18 {command}", other, command, "it is for 7 classes and the network for 2"
        colour = dump(state | {"conv1.weight": torch.zeros(4, 3, 3, 3)}, CARD)
        yield f"W21 {command}", colour, command, "it is for 3 channels and the network for 1"
    yield "W17 ours for another", saved(resnet20()), EVAL, "resnet import"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Case], dict[str, Any]]:
    """The folder, what was tried in it, and what came of it."""
    root = tmp_path_factory.mktemp("hostile")
    folder(root / "good", *(f"{name}/{i}.png" for name in "ab" for i in range(6)))
    cases = [*programs(root / "canary"), *pickles(), *tables()]
    (root / "fine.pth").write_bytes(saved(resnet20()))
    lines = ["import fine.pth --model resnet20 --out fine.safetensors"]
    for i, (name, data, command, _) in enumerate(cases):
        suffix = "safetensors" if data[8:9] == b"{" else "pth"
        (root / f"{i}.{suffix}").write_bytes(data)
        assert "{}" in command, name
        lines.append(command.format(f"{i}.{suffix}"))
    before = listing(root)
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(lines).encode(),
        capture_output=True,
        cwd=root,
        env=environment({}),
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    after = listing(root)
    assert after.pop("fine.safetensors")
    assert after == before, "nothing is written, nothing is changed, and no canary is there"
    return root, cases, json.loads(done.stdout)


def listing(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): sha256(path.read_bytes()).hexdigest() for path in files}


World = tuple[Path, list[Case], dict[str, Any]]


def test_each_is_refused(world: World) -> None:
    root, cases, found = world
    assert not (root / "canary").exists()
    assert len({sha256(data).digest() for _, data, _, _ in cases}) >= 120
    for i, ((name, _, command, says), (code, out, err, seconds)) in enumerate(
        zip(cases, found["answers"], strict=True)
    ):
        lines = [line for line in err.splitlines() if not line.startswith("note: ")]
        assert code == 4, (name, err)
        assert out == "", name
        assert lines[0].startswith("error: "), (name, err)
        assert lines[-1].startswith("fix: "), (name, err)
        assert len(lines) == 2, (name, err)
        assert len(err) < 1500, (name, err)
        assert f"{i}." in lines[0], (name, err)
        assert says in err, (name, err)
        for word in ("Traceback", "weights_only", "safe_globals", "trust"):
            assert word not in err, (name, err)
        assert seconds < 5, (name, command, seconds)


def test_memory_is_flat_and_nothing_was_loaded(world: World) -> None:
    found = world[2]
    assert found["grown"] < 64 * MEBIBYTE, found["grown"]
    assert found["modules"] == []


def test_every_row_has_a_file(world: World) -> None:
    """Of W01 to W23: all that are refused with exit code 4."""
    rows = {name[:3] for name, *_ in world[1]}
    taken = {19, 20, 22}  # prefixes and halves are taken, other class names in data are the data's error
    assert rows == {f"W{i:02}" for i in range(1, 24) if i not in taken}
