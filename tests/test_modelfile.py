"""The model file: whole or refused, whatever is done to it."""

import json
import os
import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from resnetkit import safetensor
from resnetkit.data.preprocess import Preprocess
from resnetkit.dice import uniform
from resnetkit.errors import UsageError, WeightsError
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.modelfile import Card, canonical, dump, is_ours, load, read_card, save
from resnetkit.spec import Spec
from resnetkit.weights import fill

GOLDEN = Path(__file__).parent / "golden" / "format1.safetensors"
SPEC = Spec(block="basic", depths=(1,), widths=(4,), stem="3x3", pool="none", channels=1, classes=2, size=8)
CARD = Card(
    model="tiny",
    plan=lay_out(SPEC),
    classes=("猫", "caf\udce9 dog"),
    preprocess=Preprocess(size=(8, 8), crop=1.0, mean=(0.5,), std=(0.25,), channels=1),
    temperature=1.25,
    metrics={"val": {"accuracy": 0.1 + 0.2, "n": 3}},
    data={"hash": "00ff", "seed": 7},
    run={"lr": 0.1},
    versions={"resnetkit": "0.1.0"},
)


def tiny_state() -> dict[str, Tensor]:
    """Weights that are the same for ever: looked up, not drawn."""
    state = ResNet(CARD.plan).state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            numbers = uniform(np.arange(value.numel()), 1, "golden", name)[:, 0].reshape(tuple(value.shape))
            low, high = (0.5, 1.5) if "bn" in name and not name.endswith("mean") else (-0.5, 0.5)
            state[name] = torch.from_numpy((low + (high - low) * numbers).astype(np.float32))
    return state


def tiny_picture() -> Tensor:
    return torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8) / 64 - 0.5


@pytest.fixture(scope="module")
def data() -> bytes:
    return dump(tiny_state(), CARD)


@pytest.fixture
def path(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return path


def pack(table: Any, tensors: bytes = b"") -> bytes:
    """A safetensors file by hand, with whatever header."""
    header = table if isinstance(table, bytes) else json.dumps(table, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + tensors


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def forge(data: bytes, change: dict[str, Any], *, drop: str = "", text: str | None = None) -> bytes:
    """The file with another card, whose SHA-256 is right again: what a program with other ideas would write."""
    table, tensors = parts(data)
    about = {**json.loads(table["__metadata__"]["resnetkit"]), **change}
    about.pop(drop, None)
    about.pop("sha256", None)
    total = sha256(json.dumps(about, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(set(table) - {"__metadata__"}):
        entry = table[name]
        total.update(f"\n{canonical([name, entry['dtype'], entry['shape']])}\n".encode())
        total.update(tensors[slice(*entry["data_offsets"])])
    about["sha256"] = change.get("sha256", total.hexdigest())
    written = json.dumps(about, sort_keys=True, separators=(",", ":"))
    table["__metadata__"]["resnetkit"] = written if text is None else text
    return pack(table, tensors)


def refused(path: Path, data: bytes | None = None) -> str:
    """What reading the file says against it; the error names the file and says what to do."""
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        load(path)
    assert str(path) in caught.value.what
    assert caught.value.fix
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")  # whose name may hold the words that are looked for


# Round trips


def test_what_is_saved_is_loaded(path: Path) -> None:
    card, state = load(path)
    assert card == CARD
    wanted = tiny_state()
    assert sorted(state) == sorted(wanted)
    assert all(torch.equal(state[name], wanted[name]) and state[name].dtype == wanted[name].dtype for name in wanted)
    model = ResNet(card.plan)
    fill(model, state, what=str(path))
    state["conv1.weight"].add_(1)  # ours alone, and may be written to
    assert not torch.equal(model.get_parameter("conv1.weight"), state["conv1.weight"])


def test_equal_models_give_equal_bytes(data: bytes) -> None:
    state = tiny_state()
    assert dump(dict(reversed(state.items())), CARD) == data
    assert dump({name: value.numpy() for name, value in state.items()}, CARD) == data
    last = {name: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for name, v in state.items()}
    assert not last["layer1.0.conv1.weight"].is_contiguous()
    assert dump(last, CARD) == data
    assert dump({name: torch.nn.Parameter(v, v.is_floating_point()) for name, v in state.items()}, CARD) == data
    mixed = {name: value.numpy() if "bn" in name else value for name, value in state.items()}
    assert dump(mixed, CARD) == data
    big = {name: v.numpy().astype(v.numpy().dtype.newbyteorder(">")) for name, v in state.items()}
    assert dump(big, CARD) == data
    assert dump(state, replace(CARD, metrics={"val": {"n": 3, "accuracy": 0.1 + 0.2}})) == data
    other = {**state, "fc.bias": state["fc.bias"].nextafter(torch.tensor(9.0))}
    assert dump(other, CARD) != data
    assert dump(state, replace(CARD, temperature=1.0)) != data


def test_dtypes_and_tied_weights(tmp_path: Path) -> None:
    one = torch.arange(6.0).reshape(2, 3)
    state = {"a": one, "b": one, "half": one.half(), "brain": one.bfloat16(), "flag": one > 2, "t": one.T}
    state |= {"count": torch.tensor(3), "none": torch.zeros(0, 3), "byte": one.to(torch.uint8), "double": one.double()}
    save(tmp_path / "m", state, CARD)
    loaded = load(tmp_path / "m")[1]
    assert {name: (value.dtype, value.shape) for name, value in loaded.items()} == {
        name: (value.dtype, value.shape) for name, value in state.items()
    }
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_other_libraries_read_it(path: Path) -> None:
    from safetensors.torch import load_file

    assert torch.equal(load_file(path)["fc.weight"], tiny_state()["fc.weight"])


def test_what_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    state = tiny_state()
    for kind in (torch.Tensor.clone, torch.Tensor.numpy):
        bad = {name: kind(value.clone()) for name, value in state.items()}
        bad["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
        with pytest.raises(WeightsError, match=r"layer1\.0\.conv1\.weight"):
            save(tmp_path / "m", bad, CARD)
    wrongs: list[dict[Any, Any]] = [{"accuracy": float("nan")}, {"accuracy": np.float32(1)}, {1: 2, "a": 3}]
    for wrong in wrongs:
        with pytest.raises(WeightsError, match="JSON"):
            save(tmp_path / "m", state, replace(CARD, metrics=wrong))
    with pytest.raises(WeightsError, match="F64"):
        save(tmp_path / "m", {"c": torch.zeros(2, dtype=torch.complex64)}, CARD)
    with pytest.raises(WeightsError, match="allowed"):
        save(tmp_path / "m", {"n" * 513: torch.zeros(2)}, CARD)
    with pytest.raises(WeightsError, match="longer"):
        save(tmp_path / "m", state, replace(CARD, data={"files": "x" * 2**24}))
    assert not list(tmp_path.iterdir())


def test_golden_file_of_format_1() -> None:
    assert GOLDEN.stat().st_size < 10_000
    card, state = load(GOLDEN)
    assert card == read_card(GOLDEN) == CARD
    model = ResNet(card.plan).eval()
    fill(model, state, what="golden")
    with torch.no_grad():
        logits = model(tiny_picture())
    torch.testing.assert_close(logits, torch.tensor([LOGITS]), rtol=0, atol=1e-5)


# The file on disk


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "m", tiny_state(), CARD)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == mode


def test_links_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "link").symlink_to("other")
    with pytest.raises(UsageError, match="link"):
        save(tmp_path / "link", tiny_state(), CARD)
    assert (tmp_path / "other").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "other"]


def test_a_card_is_read_from_the_header_alone(tmp_path: Path) -> None:
    table, tensors = parts(dump(tiny_state(), CARD))
    huge = 2**33
    table["huge"] = {"dtype": "U8", "shape": [huge], "data_offsets": [len(tensors), len(tensors) + huge]}
    path = tmp_path / "huge.safetensors"
    path.write_bytes(pack(table, tensors))
    os.truncate(path, path.stat().st_size + huge)  # a file of zeros that takes no room
    code = f"""
import sys
from resnetkit.modelfile import read_card
print(read_card({str(path)!r}).model, *{{"torch", "safetensors"}} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "tiny\n"


def test_is_ours(path: Path, tmp_path: Path) -> None:
    assert is_ours(path)
    torch.save({}, tmp_path / "a.pth")
    assert not is_ours(tmp_path / "a.pth")
    (tmp_path / "b").write_bytes(pack({"__metadata__": {"format": "pt"}}))
    assert not is_ours(tmp_path / "b")
    with pytest.raises(WeightsError, match="does not exist"):
        is_ours(tmp_path / "c")


# Damage


def test_every_flipped_bit_is_noticed(path: Path, data: bytes) -> None:
    dice = random.Random(1)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [(at, 1 << bit) for at in range(header) for bit in {5, dice.randrange(8)}]
    places += [(dice.randrange(len(data)), 1 << dice.randrange(8)) for _ in range(300)]
    places += [(at, 1 << dice.randrange(8)) for at in range(len(data) - 50, len(data))]
    file = os.open(path, os.O_WRONLY)
    try:
        for at, bit in places:
            os.pwrite(file, bytes([data[at] ^ bit]), at)
            refused(path)
            os.pwrite(file, data[at : at + 1], at)
    finally:
        os.close(file)
    assert load(path)[0] == CARD


def test_tensors_that_change_places_are_noticed(path: Path, data: bytes) -> None:
    """The tensors' bytes are as they were; only their names, shapes and dtypes say something else."""
    for change in (
        lambda t: t.update({"bn1.weight": t["bn1.bias"], "bn1.bias": t["bn1.weight"]}),
        lambda t: t["fc.weight"].update(shape=[4, 2]),
        lambda t: t["fc.weight"].update(dtype="I32"),
        lambda t: t.update(other=t.pop("fc.weight")),
    ):
        table, tensors = parts(data)
        change(table)
        assert "SHA-256" in refused(path, pack(table, tensors))


def test_fuzz(path: Path, data: bytes) -> None:
    """2,000 files with something wrong somewhere: refused or, if the change is none, read; never anything else."""
    dice = random.Random(2)
    header = 8 + int.from_bytes(data[:8], "little")
    words = [b"null", b"-1", b"1e999", b"[[", b"{", b'"', b"\\", b"\xff", b"9" * 5000, b"NaN", b"true", b"", b"\0"]
    read = 0
    for i in range(2000):
        changed = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(8 if i % 5 == 0 else header if i % 5 < 4 else len(data)) % (len(changed) or 1)
            match dice.randrange(5):
                case 0 if changed:
                    changed[at] = dice.randrange(256)
                case 1:
                    del changed[at : at + dice.randrange(1, 30)]
                case 2:
                    changed[at:at] = dice.choice(words)
                case 3:
                    changed[at : at + dice.randrange(1, 9)] = dice.choice(words)
                case 4:
                    del changed[dice.randrange(len(changed) + 1) :]
        if dice.random() < 0.5 and len(changed) > 9:  # the right length, so that the JSON is reached
            changed[:8] = max(0, header - 8 + len(changed) - len(data)).to_bytes(8, "little")
        path.write_bytes(changed)
        assert survives(path, load) <= (changed == data), "a changed file was loaded"
        read += survives(path, read_card)
    assert read < 400, "a card is read though the weights are damaged, but not often here"


def survives(path: Path, reader: Callable[[Path], object]) -> bool:
    """Whether a file is read; nothing but our own error may come out, and it names the file."""
    try:
        reader(path)
    except WeightsError as error:
        return str(path) not in error.what
    return True


def test_deep_nonsense(path: Path) -> None:
    for depth in (900, 5000, 200_000):
        refused(path, pack(b'{"a":' + b"[" * depth + b"]" * depth + b"}"))
        inner = '{"format":1,"model":' + "[" * depth + "]" * depth + "}"
        refused(path, pack({"__metadata__": {"resnetkit": inner}}))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\0" * 7, "not a model file"),
        (b"\0" * 100, "not a model file"),
        (b"<!DOCTYPE html><html>404</html>", "HTML page"),
        (b"\n\n<html><head>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"hello, this is text and no model", "not a model file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "HDF5"),
        ((2**40).to_bytes(8, "little") + b"{" + b" " * 99, f"header of {2**40} bytes"),
        ((2**64 - 1).to_bytes(8, "little") + b"{" + b" " * 99, "header of"),
        ((500).to_bytes(8, "little") + b"{" + b" " * 99, "truncated: 108 of at least 508"),
        (pack(b"{}"), "resnet import"),
        (pack(b"{}", b"12"), "2 bytes belong to no tensor"),
        (pack(b'{"a":' + b" " * 20), "not JSON"),
        (pack(b'{"\xff":1}'), "not UTF-8"),
        (pack(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":1}', b"1"), "'a' stands twice"),
        (pack(b'{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1"), "'dtype' stands twice"),
        (pack({"a": 1}), "must have a dtype"),
        (pack({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1], "b": 1}}, b"1"), "must have a dtype"),
        (pack({"a": {"dtype": "C64", "shape": [1], "data_offsets": [0, 8]}}, b"12345678"), "C64"),
        (pack({"a": {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]}}, b"1"), "dtype"),
        (pack({"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, b"1"), "shape"),
        (pack({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, b"1"), "shape"),
        (pack({"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}}, b"1"), "shape"),
        (pack({"a": {"dtype": "U8", "shape": [1] * 9, "data_offsets": [0, 1]}}, b"1"), "shape"),
        (
            pack({"a": {"dtype": "F64", "shape": [2**40, 2**40], "data_offsets": [0, 8]}}, b"12345678"),
            "shape and dtype",
        ),
        (pack({"a": {"dtype": "U8", "shape": [2**64 + 1], "data_offsets": [0, 1]}}, b"1"), "shape and dtype"),
        (pack({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}, b"1"), "bytes"),
        (pack({"a": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}}, b"123"), "truncated: 64 of 70 bytes"),
        (
            pack({n: {"dtype": "U8", "shape": [2], "data_offsets": [i, i + 2]} for i, n in enumerate("ab")}, b"123"),
            "overlaps",
        ),
        (
            pack(
                {n: {"dtype": "U8", "shape": [1], "data_offsets": [2 * i, 2 * i + 1]} for i, n in enumerate("ab")},
                b"123",
            ),
            "a hole",
        ),
        (pack({"n" * 513: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"1"), "513 characters"),
        (pack({"__metadata__": {"resnetkit": 1}}), "words"),
        (pack({"__metadata__": []}), "words"),
        (pack({"__metadata__": {"resnetkit": "{}"}}), "format"),
        (pack({"__metadata__": {"resnetkit": ""}}), "JSON"),
        (pack({"__metadata__": {"resnetkit": "[]"}}), "card"),
        (pack({"__metadata__": {"resnetkit": '{"format":1,"format":1}'}}), "'format' stands twice"),
        (pack({"__metadata__": {"resnetkit": '{"format":NaN}'}}), "not a number"),
        (pack({"__metadata__": {"resnetkit": '{"format": 2, "new": {}}'}}), "pip install --upgrade resnetkit"),
        (
            pack({"__metadata__": {"resnetkit": '{"format":2}'}, "a": {"dtype": "F4", "shape": [2], "bits": 4}}, b"1"),
            "of format 2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_model_file(path: Path, content: bytes, says: str) -> None:
    assert says in refused(path, content)


def test_truncated_anywhere(path: Path, data: bytes) -> None:
    for length in [*range(12), len(data) // 4, len(data) // 2, len(data) - 1]:
        refused(path, data[:length])
    assert f"truncated: {len(data) - 1} of {len(data)} bytes" in refused(path, data[:-1])
    assert "1 bytes belong to no tensor" in refused(path, data + b"\0")


def test_a_header_is_not_taken_for_a_pickle(tmp_path: Path) -> None:
    """Its length comes first, and some lengths are the bytes that a pickle begins with."""
    header = b'{"__metadata__":{"a":"' + b"x" * (0x280 - 25) + b'"}}'
    assert pack(header)[:2] == b"\x80\x02"
    assert "resnet import" in refused(tmp_path / "m", pack(header))
    assert "not what they are for" in refused(tmp_path / "m")


def test_very_many_tensors(tmp_path: Path) -> None:
    """Refused by the length of the header, or by counting them, and soon."""
    for count, says in ((1_000_000, "claims a header"), (250_000, "names 250000 tensors")):
        entries = ",".join(f'"{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for i in range(count))
        (tmp_path / "m").write_bytes(pack(b"{" + entries.encode() + b"}"))
        start = time.process_time()
        assert says in refused(tmp_path / "m")
        assert time.process_time() - start < 2


def test_large_weights_are_finite(path: Path) -> None:
    """Though their sum is not."""
    state = tiny_state() | {"conv1.weight": torch.full((4, 1, 3, 3), 3e38), "half": torch.full((9,), 6e4).half()}
    save(path, state, CARD)
    assert torch.equal(load(path)[1]["half"], state["half"])


def test_weights_that_are_not_finite(path: Path, data: bytes) -> None:
    for number in (float("nan"), float("inf")):
        table, tensors = parts(data)
        place = table["fc.bias"]["data_offsets"][0]
        bad = tensors[:place] + np.float32(number).tobytes() + tensors[place + 4 :]
        assert "fc.bias" in refused(path, forge(pack(table, bad), {}))


def test_files_that_are_not_opened(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "none")
    assert "is a folder" in refused(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"x")
    assert refused(tmp_path) == "FILE is a folder, not a model file (fix: name the file in it: FILE/best.safetensors)"
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refused(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    assert "does not exist" in refused(tmp_path / "broken")
    (tmp_path / "loop").symlink_to("loop")
    assert "cannot be read" in refused(tmp_path / "loop")
    with pytest.raises(WeightsError, match="cannot be read"):
        load("zero\0byte")
    with pytest.raises(WeightsError, match="cannot be read"):
        load("n" * 5000)
    with pytest.raises(WeightsError, match=r"a\\nb"):  # one line, whatever the name
        load("a\nb")


def test_files_of_others_say_import(tmp_path: Path) -> None:
    torch.save(tiny_state(), tmp_path / "a.pth")
    torch.save(tiny_state(), tmp_path / "b.pth", _use_new_zipfile_serialization=False)
    from safetensors.torch import save_file

    save_file(tiny_state(), tmp_path / "c.safetensors")
    for name in ("a.pth", "b.pth", "c.safetensors"):
        with pytest.raises(WeightsError) as caught:
            load(tmp_path / name)
        assert "resnet import" in caught.value.fix
        assert str(tmp_path / name) in caught.value.what


# Cards that are nonsense though their SHA-256 is right


def test_forge_forges(path: Path, data: bytes) -> None:
    path.write_bytes(forge(data, {"temperature": 2.0}))
    assert load(path)[0] == replace(CARD, temperature=2.0)


NONSENSE: list[Any] = [None, True, 0, -1, 2.5, "", "x", [], [1], ["a"], {}, {"a": 1}, [[]], [None], "\udcff", 10**400]


FIELDS = "model plan classes preprocess temperature metrics data run versions format sha256"


@pytest.mark.parametrize("field", FIELDS.split())
def test_nonsense_in_each_field(path: Path, data: bytes, field: str) -> None:
    sound = {"model": ("x", "\udcff"), "temperature": (2.5,), "format": ()}.get(field, ())
    objects = ("metrics", "data", "run", "versions")
    tried = 0
    for value in NONSENSE:
        if value in sound or (field in objects and isinstance(value, dict)):
            continue
        refused(path, forge(data, {field: value}))
        with pytest.raises(WeightsError):
            raise_unless_sha(field, path)
        tried += 1
    assert tried >= 12
    assert "card" in refused(path, forge(data, {}, drop=field) if field != "sha256" else forge(data, {"sha256": "0"}))


def raise_unless_sha(field: str, path: Path) -> None:
    """The card alone is refused as well, but for a SHA-256 that only the weights can contradict."""
    read_card(path)
    if field == "sha256":
        raise WeightsError("not looked at", "load it")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ["a", "b", "c"]}, "as many as the plan"),
        ({"classes": ["a", "a"]}, "twice"),
        ({"classes": ["a", ""]}, "names"),
        ({"temperature": 0.0}, "temperature"),
        ({"reject": None}, "damaged"),
        ({"reject": {"threshold": 0.5}}, "damaged"),
        ({"model": "m" * 513}, "model"),
        ({"extra": 1}, "must have model"),
        ({"format": 0}, "format"),
        ({"format": 2}, "upgrade"),
        ({"format": 10**30}, "upgrade"),
        ({"preprocess": {**CARD.preprocess.to_json(), "channels": 3, "mean": [0.5] * 3, "std": [1.0] * 3}}, "channels"),
        ({"preprocess": {**CARD.preprocess.to_json(), "std": [0.0]}}, "std"),
    ],
)
def test_cards_that_do_not_fit(path: Path, data: bytes, change: dict[str, Any], says: str) -> None:
    assert says in refused(path, forge(data, change))


def test_a_card_is_written_in_one_way(path: Path, data: bytes) -> None:
    """The same values in other letters are not the same file: otherwise a bit could change unnoticed."""
    text = parts(data)[0]["__metadata__"]["resnetkit"]
    for other in (text.replace("\\udce9", "\\uDCE9"), text.replace(":", ": ", 1), text.replace("1.25", "1.250")):
        assert other != text
        assert "as this format writes it" in refused(path, forge(data, {}, text=other))


def test_cards_made_wrong_in_python() -> None:
    wrong: dict[str, Any]
    for wrong in (
        {"classes": ["a", "b"]},
        {"temperature": 1},
        {"temperature": float("nan")},
        {"model": ""},
        {"run": []},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            replace(CARD, **wrong)


def test_a_network_of_vectors_has_no_model_file() -> None:
    """Its card would carry the preprocessing of pictures, which it does not take."""
    points = lay_out(replace(SPEC, ndim=0, stem="1x1", size=1))
    with pytest.raises(ValueError, match="plan must be of a network for pictures"):
        replace(CARD, plan=points)


LOGITS = (3.302429, 0.038523)


def make_golden() -> None:
    """python tests/test_modelfile.py: once for each format, and never again."""
    assert not GOLDEN.exists(), "a golden file is not made anew: files like it are out in the world"
    save(GOLDEN, tiny_state(), CARD)
    model = ResNet(CARD.plan).eval()
    model.load_state_dict(tiny_state())
    with torch.no_grad():
        print(model(tiny_picture()).tolist(), safetensor.FORMAT)


if __name__ == "__main__":
    make_golden()
