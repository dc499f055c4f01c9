"""Models as programs of torch: plain torch gives the same answers, and no file makes us run what it says."""

import functools
import io
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
import torch
from command import refused, resnet
from samples import noise
from test_export import SEEN, SIDES, card_of, network, saved

import resnetkit
from resnetkit import cli, modelfile
from resnetkit.data.decode import decode
from resnetkit.deployed import load_export
from resnetkit.errors import UsageError, WeightsError
from resnetkit.export import archive, seeing, traced
from resnetkit.export.guard import sealed
from resnetkit.export.metadata import SEAL, BrokenError
from resnetkit.export.reopened import open_program
from resnetkit.export.samples import samples
from resnetkit.reject import Reject

KINDS = "resnetv2_50d_gn seresnet18 mobilenetv2_050 shufflenet_v2_x0_5 ecaresnet26t cbam_resnet18 resnetblur50".split()
KINDS += ["frozen norms before", "gelu", "gated", "layerscale"]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_torch(kind: str) -> None:
    model = network(kind).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as export has it
    data = traced.traced(card_of(model), model, "tensor", {})
    x = torch.randn(3, 3, 64, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(x)
        (name, found), *others = torch.export.load(archive.cleaned(data)).module()(x).items()
    assert (name, others) == ("logits", [])
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("way", SEEN)
def test_the_network_sees_the_picture_that_preprocess_makes(way: str) -> None:
    """To the bit, in every way, at every size that was thought of."""
    see, dice = seeing.Seeing(SEEN[way]), np.random.default_rng(1)
    for sides in SIDES:
        pictures = dice.integers(0, 256, (2, *sides, 3), np.uint8)
        wanted = SEEN[way].normalize(np.stack([SEEN[way].apply(one) for one in pictures]))
        np.testing.assert_array_equal(see(torch.from_numpy(pictures)).numpy(), wanted, err_msg=str(sides))


@pytest.mark.parametrize("way", ["crop", "crop bicubic", "letterbox", "stretch grey"])
def test_every_size_is_laid_as_preprocess_lays_it(way: str) -> None:
    seen, dice = SEEN[way], np.random.default_rng(1)
    sides = [(1, 1), (1, 3000), (3000, 1), (7, 4001), (4001, 7), (1, 100_000), (8191, 8192), (12000, 9000)]
    sides += [(i, j) for i in range(1, 40) for j in range(1, 40)]
    sides += [(int(i), int(j)) for i, j in dice.integers(1, 6000, (3000, 2))]
    for one in sides:
        out = seeing.laid(*one, seen)
        begins = [seeing.offset(*pair, seen) for pair in zip(out, seen.size, strict=True)]
        assert (out, *begins) == seen.laid(*one), one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with m.safetensors and o.pt2, which was made of it."""
    folder = tmp_path_factory.mktemp("made")
    reject = Reject(threshold=0.4, risk=0.1, sure=0.95, bound=0.05, coverage=0.9, n=100)
    model = resnetkit.load(saved(folder / "m.safetensors", SEEN["crop"], temperature=1.7, reject=reject), device="cpu")
    done = model.export(to="torch", out=folder / "o.pt2")
    assert done.notes == ("call a picture unknown where no class has a probability of 0.4",)
    assert done.proof is not None
    assert done.proof["pictures"] == sum(len(one) for one in samples((64, 48)))
    assert (done.proof["levels"], done.proof["same"]) == (0, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["m.safetensors", "o.pt2"]
    return folder


WITHOUT_US = """
import sys
sys.modules["resnetkit"] = None  # importing it fails
import json, numpy, torch
says = {"classes": ""}
model = torch.export.load(sys.argv[1], extra_files=says).module()
pictures = numpy.load(sys.argv[2])
asked = [model(torch.from_numpy(pictures[name])) for name in pictures]
answers = [{name: value.tolist() for name, value in one.items()} for one in asked]
moved = model.to("meta")(torch.empty(2, 9, 8, 3, dtype=torch.uint8, device="meta"))
assert [(one.device.type, one.shape) for one in moved.values()] == [("meta", (2, 5))] * 2
print(json.dumps([answers, says]))
"""


def test_plain_torch_gives_the_answers_of_the_model(made: Path, tmp_path: Path) -> None:
    """Of pictures of any number, height and width, and on a device that the file has never heard of."""
    dice, card = np.random.default_rng(2), resnetkit.load(made / "m.safetensors", device="cpu").card
    pictures = {f"{n} {sides}": dice.integers(0, 256, (n, *sides, 3), np.uint8) for n in (1, 3) for sides in SIDES}
    np.savez(tmp_path / "pictures.npz", **pictures)  # type: ignore[arg-type]
    call = [sys.executable, "-c", WITHOUT_US, str(made / "o.pt2"), str(tmp_path / "pictures.npz")]
    done = subprocess.run(call, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers, texts = json.loads(done.stdout)
    ours = resnetkit.load(made / "m.safetensors", device="cpu")
    for name, said in zip(pictures, answers, strict=True):
        seen = np.stack([card.preprocess.apply(one) for one in pictures[name]])
        assert list(said) == ["probabilities", "logits"]
        np.testing.assert_allclose(said["logits"], ours.ask(seen), atol=1e-5, err_msg=name)
        np.testing.assert_allclose(said["probabilities"], ours.probabilities(seen), atol=1e-5, err_msg=name)
    says = {name: json.loads(text) for name, text in texts.items()}
    assert {name: says[name] for name in modelfile.to_json(card)} == json.loads(json.dumps(modelfile.to_json(card)))
    assert (says["input"], says["task"], says["format"]) == ("picture", "classes", 1)
    assert says["exported_by"] == f"resnetkit {resnetkit.__version__}"
    assert len(says["weights_sha256"]) == len(says[SEAL]) == 64
    assert says["proof"]["runtime"].startswith("torch ")


def test_nothing_of_this_machine_is_in_it(made: Path) -> None:
    """No path, no line of code, no pickle; and the same file each time."""
    data = (made / "o.pt2").read_bytes()
    for word in (b"resnetkit/export", str(Path.cwd()).encode(), b".py", b"pickle", b"stack_trace"):
        assert word not in data.replace(b'"use_pickle": false', b""), word
    model = network("resnet8")
    one, other = (traced.traced(card_of(model), model, "picture", {}) for _ in range(2))
    assert one == other


def test_it_is_asked_as_other_exports(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = noise(tmp_path / "data/test/a/p.png", 3, (71, 50))
    noise(tmp_path / "data/test/b/q.png", 4, (20, 90))
    model, there = resnetkit.load(made / "m.safetensors", device="cpu"), load_export(str(made / "o.pt2"))
    assert there.card == model.card
    assert there.runs_on == f"torch {torch.__version__}, fp32"
    wanted, found = (each.predict(picture, top=5)[0] for each in (model, there))
    assert [name for name, _ in found.top] == [name for name, _ in wanted.top]
    np.testing.assert_allclose([p for _, p in found.top], [p for _, p in wanted.top], atol=1e-5)
    assert cli.main(["eval", str(made / "o.pt2"), str(tmp_path / "data"), "--out", str(tmp_path / "e"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["n"] == 2
    with pytest.raises(UsageError, match="exported files answer"):
        resnetkit.load(made / "o.pt2")


def test_tensors_go_in_and_tags_and_numbers_come_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    scale = ((1.0, 2.0), (-3.0, 0.5), (0.0, 1.0), (9.0, 4.0), (5.0, 3.0))
    more: Mapping[str, dict[str, Any]] = {"tags": {}, "numbers": {"scale": scale}}
    for task, given in more.items():
        path = saved(tmp_path / "m.safetensors", SEEN["stretch grey"], task=task, **given)
        model = resnetkit.load(path, device="cpu")
        program = traced.traced(model.card, model.model, "picture", {})
        picture = noise(tmp_path / "p.png", 3, (71, 50))
        (wanted,) = model.predict(picture, top=5 if task == "tags" else None)
        x = torch.from_numpy(decode(picture, "p", channels=3).pixels[None].copy())
        name = "numbers" if task == "numbers" else "probabilities"
        values = torch.export.load(io.BytesIO(program)).module()(x)[name][0]
        for one, value in wanted.top:
            assert values["abcde".index(one)].item() == pytest.approx(value, abs=2e-5)
    words = ["export", str(tmp_path / "m.safetensors"), "--to", "torch", "--out", str(tmp_path / "o.pt2")]
    assert cli.main([*words, "--input", "tensor", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["proof"]["levels"] is None
    assert answer["notes"] == [
        "each logit times its deviation, plus its mean, is the answer: see scale in the metadata"
    ]
    (found,) = load_export(str(tmp_path / "o.pt2")).predict(tmp_path / "p.png")
    assert dict(found.top) == pytest.approx(dict(wanted.top), abs=2e-5)


def test_a_file_that_answers_otherwise_is_not_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = saved(tmp_path / "m.safetensors"), tmp_path / "o.pt2"
    out.write_bytes(b'PK extra/exported_by"resnetkit 0"')  # an older one
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    words = ["export", str(path), "--to", "torch", "--out", str(out)]
    plainly, offset = traced.plainly, seeing.offset

    def heavier(model: Any) -> Any:
        copy = plainly(model)
        copy.get_parameter("fc.weight").mul_(1.01)
        return copy

    for room, name, broken, says in (
        (traced, "plainly", heavier, "a logit of built-in picture 0"),
        (seeing, "offset", lambda *given: offset(*given) + 1, "what the network sees of built-in picture 0"),
        (traced, "bared", lambda _: None, "holds what no file of ours does"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(room, name, broken)
            assert cli.main(words) == 4
        assert says in capfd.readouterr().err
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before, "an older one stays"
    out.write_bytes(b"years of work")
    assert cli.main(words) == 2
    assert out.read_bytes() == b"years of work"


@pytest.mark.parametrize("page", ["export.md", "export.zh-CN.md"])
def test_the_ten_lines_of_the_docs_run(page: str, made: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / "docs" / page).read_text(encoding="utf-8")
    (code,) = (
        one for one in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "torch.export" in one
    )
    (tmp_path / "flowers.pt2").write_bytes((made / "o.pt2").read_bytes())
    picture = noise(tmp_path / "photo.jpg", 3, (71, 50))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    (wanted,) = resnetkit.load(made / "m.safetensors", device="cpu").predict(picture, top=1)
    name, p = done.stdout.split()
    assert name == wanted.top[0][0]
    assert float(p) == pytest.approx(wanted.top[0][1], abs=0.01)  # decoders of JPEG differ a little


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.where),)


def hostile(where: Path) -> dict[str, tuple[bool, Callable[[dict[str, Any]], None]]]:
    """Whether torch.export.load then makes the folder ``where``, and what is done to the members, JSON as values."""
    pickled = io.BytesIO()
    torch.save(Bomb(where), pickled)
    code = f"__import__('os').mkdir({str(where)!r})"

    def nodes(held: dict[str, Any]) -> Any:
        return held[archive.PROGRAM]["graph_module"]["graph"]["nodes"]

    def a_weight(held: dict[str, Any]) -> Any:
        return next(iter(held[archive.TABLE]["config"].values()))

    def pickled_weight(held: dict[str, Any]) -> None:
        a_weight(held)["use_pickle"] = True
        held[f"data/weights/{a_weight(held)['path_name']}"] = pickled.getvalue()

    def old_weights(held: dict[str, Any]) -> None:
        held["data/weights/model.pt"] = pickled.getvalue()

    def sample(held: dict[str, Any]) -> None:
        held["data/sample_inputs/model.pt"] = pickled.getvalue()

    def constant(held: dict[str, Any]) -> None:
        one = {**a_weight(held), "path_name": "opaque_obj_0", "use_pickle": True}
        held["data/constants/model_constants_config.json"] = {"config": {"c": one}}
        held["data/constants/opaque_obj_0"] = pickle.dumps(Bomb(where))

    def formula(held: dict[str, Any]) -> None:
        values = held[archive.PROGRAM]["graph_module"]["graph"]["sym_int_values"]
        next(iter(values.values()))["as_expr"]["expr_str"] = code

    def operator(held: dict[str, Any]) -> None:
        node = {"name": "x", "target": "torch.os.mkdir", "metadata": {}, "outputs": []}
        given = {"name": "", "arg": {"as_string": str(where)}, "kind": 1}
        nodes(held).append({**node, "inputs": [given], "is_hop_single_tensor_return": None})

    def guards(held: dict[str, Any]) -> None:
        held[archive.PROGRAM]["guards_code"] = [f"{code} or True"]

    def library(held: dict[str, Any]) -> None:
        held["data/aotinductor/model/x.so"] = b"\x7fELF"

    def names(held: dict[str, Any]) -> None:
        text = json.dumps(held[archive.PROGRAM])
        held[archive.PROGRAM] = json.loads(text.replace('"tensor"', json.dumps(f"x = {code}; tensor")))

    def shape(held: dict[str, Any]) -> None:
        held[archive.PROGRAM]["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = (
            '[1, {"type": "collections.namedtuple", "context": "os", "children_spec": []}]'
        )

    def sizes(held: dict[str, Any]) -> None:
        a_weight(held)["tensor_meta"]["sizes"][0]["as_int"] = 2**40

    def nothing(held: dict[str, Any]) -> None:
        a_weight(held)["tensor_meta"]["sizes"][0]["as_int"] = 2**40
        held[f"data/weights/{a_weight(held)['path_name']}"] = b""

    def stack(held: dict[str, Any]) -> None:
        nodes(held)[0]["metadata"] = {"source_fn_stack": "x,torch.os.mkdir"}

    return {
        "a pickled weight": (True, pickled_weight),
        "weights of an old kind": (True, old_weights),
        "a pickled sample": (True, sample),
        "a pickled constant": (True, constant),
        "a formula": (True, formula),
        "an operator": (False, operator),
        "guards": (False, guards),
        "a library": (False, library),
        "names": (False, names),
        "a shape": (False, shape),
        "sizes": (False, sizes),
        "nothing": (False, nothing),
        "a stack": (False, stack),
    }


def changed(path: Path, out: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A file with its members changed, and sealed as if it were ours."""
    held: dict[str, Any] = archive.members(path.read_bytes())
    texts = {name[6:]: held.pop(name).decode() for name in list(held) if name.startswith("extra/")}
    texts.pop(SEAL)
    held |= {name: json.loads(held[name]) for name in (archive.PROGRAM, archive.TABLE)}
    change(held)
    with ZipFile(out, "w") as file:
        for name, value in held.items():
            file.writestr(f"model/{name}", value if isinstance(value, bytes) else json.dumps(value).encode())
    with suppress(WeightsError):  # then it is refused for more than its seal
        texts = sealed(out, texts)
    archive.note(out, texts)


@pytest.mark.parametrize("what", hostile(Path("x")))
def test_nothing_in_a_file_is_run(what: str, made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runs, change = hostile(tmp_path / "made")[what]
    path = tmp_path / "x.pt2"
    changed(made / "o.pt2", path, change)
    for take in (lambda: load_export(str(path)), lambda: open_program(path, 0, None)):
        with pytest.raises(WeightsError, match="holds what no file of ours does"):
            take()
    assert not (tmp_path / "made").exists()
    if runs:  # or the test would show nothing
        with suppress(Exception):
            torch.export.load(path)
        assert (tmp_path / "made").exists()
    capfd.readouterr()


def test_what_was_changed_or_broken_is_refused(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.pt2"
    data = (made / "o.pt2").read_bytes()
    changed(made / "o.pt2", path, lambda _: None)
    load_export(str(path))  # as it was, written by another hand

    def refused_for(why: str, content: bytes | None = None) -> None:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(WeightsError, match=why):
            load_export(str(path))

    for end in (0, 10, len(data) // 2, len(data) - 1):
        refused_for("is not a file of PyTorch, or is damaged|is no file of torch|holds what|has no", data[:end])
    refused_for("is no file of torch", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.")
    at = data.index(b"weight_0") + 400  # within its numbers
    refused_for("is no file of torch, or is damaged", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    held = archive.members(data)

    def packed(members: Mapping[str, bytes], how: int = ZIP_STORED) -> bytes:
        out = io.BytesIO()
        with ZipFile(out, "w", how) as file:
            for name, content in members.items():
                file.writestr(f"model/{name}", content)
        return out.getvalue()

    weight = held["data/weights/weight_0"]
    refused_for("SHA-256", packed({**held, "data/weights/weight_0": bytes(len(weight))}))
    refused_for("SHA-256", packed({**held, "extra/classes": held["extra/classes"].replace(b'"a"', b'"x"')}))
    refused_for("does not say", packed({name: value for name, value in held.items() if not name.startswith("extra/")}))
    refused_for("is packed", packed({**held, "extra/bomb": bytes(50 << 20)}, ZIP_DEFLATED))
    refused_for("has no archive_format", packed({name: held[name] for name in held if name != "archive_format"}))
    refused_for("its program is no JSON", packed({**held, archive.PROGRAM: b"[" * 100_000}))
    refused_for("holds what no file of ours does: 'models/other.json'", packed({**held, "models/other.json": b"{}"}))
    refused_for("holds what no file of ours does: '../x'", packed({**held, "../x": b""}))
    twice = io.BytesIO(packed(held))
    with ZipFile(twice, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr(ZipInfo("model/archive_format"), b"pt2")
    refused_for("two members", twice.getvalue())
    capfd.readouterr()

    def nowhere(members: dict[str, Any]) -> None:
        members[archive.PROGRAM]["graph_module"]["graph"]["nodes"][3]["inputs"][0]["arg"] = {"as_tensor": {"name": "y"}}

    changed(made / "o.pt2", path, nowhere)
    refused_for("torch .* cannot read")
    assert capfd.readouterr().err == "", "torch tells its tracebacks to nobody"
    refused(resnet("predict", path, tmp_path / "p.png"), 4, "x.pt2", "cannot read")


ODD: list[Any] = [None, True, 0, -1, 2**70, 1.5, "", "x", "__import__('os')", [], [None], {}, {"a": 1}, {"as_int": []}]
ODD += [{"as_tensor": None}, {"as_expr": {"expr_str": []}}, {"as_name": {}}, "weight_0", {"as_int": None}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything that stands in JSON."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in below:
        yield (*path, key)
        yield from places(held, (*path, key))


def test_odd_values_anywhere_are_refused_in_words(made: Path) -> None:
    """Whatever stands where a name, a number or a list should be, the walk ends with a reason of ours, or goes on."""
    held = archive.members((made / "o.pt2").read_bytes())
    dice, refusals = np.random.default_rng(1), 0
    for member in (archive.PROGRAM, archive.TABLE):
        whole = json.loads(held[member])
        every = list(places(whole))
        for i in dice.integers(0, len(every), 150):
            *way, last = every[i]
            inner = functools.reduce(lambda value, key: value[key], way, whole)
            before, inner[last] = inner[last], ODD[dice.integers(0, len(ODD))]
            try:
                archive.checked({**held, member: json.dumps(whole).encode()})
            except BrokenError:
                refusals += 1
            inner[last] = before
    assert refusals > 200
