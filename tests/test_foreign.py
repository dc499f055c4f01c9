"""Files of others: nothing in them runs, and nothing in them is taken for more than it is."""

import ast
import contextlib
import io
import pickle
import random
import resource
import struct
import sys
import tarfile
import time
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL
import pytest
import torch
from torch import Tensor, nn

import resnetkit
from resnetkit import foreign, instructions
from resnetkit.errors import WeightsError
from resnetkit.foreign import read_foreign

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2)


def small() -> dict[str, Tensor]:
    return {"conv1.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "bn1.num_batches_tracked": torch.tensor(7)}


def saved(value: object, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **how)
    return stream.getvalue()


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def zipped(instructions: bytes, **more: bytes) -> bytes:
    """What torch.save writes, with these instructions; ``more`` are members, data/0 as data_0."""
    members = {"a/data.pkl": instructions, "a/version": b"3\n", "a/byteorder": b"little"}
    return archive(members | {f"a/{name.replace('_', '/', 1)}": content for name, content in more.items()})


def old(instructions: bytes, keys: bytes = b"\x80\x02]q\x00.", rest: bytes = b"") -> bytes:
    """What torch.save wrote before 1.6."""
    return MAGIC + instructions + keys + rest


def word(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def call(module: str, name: str, *args: str | int | bytes) -> bytes:
    """A pickle that calls module.name(*args); bytes stand for themselves."""
    written = [
        a if isinstance(a, bytes) else word(a) if isinstance(a, str) else b"J" + struct.pack("<i", a) for a in args
    ]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(written) + b"tR."


def remade(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return archive({name: change(name, file.read(name)) for name in file.namelist()})


def refused(path: Path, data: bytes | None = None) -> str:
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(WeightsError) as caught:
        read_foreign(path)
    error = caught.value
    assert str(path) in error.what
    assert error.fix
    assert "\n" not in str(error)
    for advice in ("weights_only", "safe_globals", "trust"):
        assert advice not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    return str(error).replace(str(path), "FILE")  # whose name may hold the words that are looked for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


# What is read


@pytest.mark.parametrize("zip_form", [True, False])
@pytest.mark.parametrize("key", ["", "state_dict", "model", "model_state_dict", "state_dict_ema", "net"])
def test_checkpoints_of_training_programs(path: Path, key: str, zip_form: bool) -> None:
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "params": [0, 1]}]}
    beside = {"epoch": 3, "best": torch.tensor(91.7), "optimizer": optimizer, "milestones": Counter([30, 60])}
    beside |= {"size": torch.Size([3, 4]), "seen": {1, 2}, "dtype": torch.float16, "device": torch.device("cpu")}
    value = {**beside, key: OrderedDict(small())} if key else OrderedDict(small())
    path.write_bytes(saved(value, _use_new_zipfile_serialization=zip_form))
    notes: list[str] = []
    state = read_foreign(path, notes)
    assert list(state) == list(small())
    assert all(torch.equal(state[name], value) and state[name].dtype == value.dtype for name, value in small().items())
    assert any("SHA-256" in note for note in notes)
    assert any(repr(key) in note for note in notes) == bool(key)


def test_a_network_is_read_whole(path: Path) -> None:
    conv = nn.Conv2d(3, 4, 3)
    conv.weight.data = conv.weight.data.contiguous(memory_format=torch.channels_last)
    model = nn.Sequential(conv, nn.BatchNorm2d(4))
    wrapped = nn.DataParallel(model)
    torch.save(wrapped.state_dict(), path)
    state = read_foreign(path)
    model.load_state_dict(state)
    assert all(value.is_contiguous() and not value.requires_grad for value in state.values())


def test_averaged_weights_come_first(path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "state_dict_ema": {"a": torch.ones(1)}}, path)
    assert read_foreign(path)["a"].item() == 1
    torch.save(
        {"model": {"a": torch.zeros(1)}, "model_ema": {"n_averaged": torch.tensor(3), "module.a": torch.ones(1)}}, path
    )
    assert {name: value.item() for name, value in read_foreign(path).items()} == {"a": 1}


WRAPPINGS = "module. _orig_mod. model. backbone. _orig_mod.module. module.model.backbone."


@pytest.mark.parametrize("prefix", WRAPPINGS.split())
def test_wrappings_are_taken_off(path: Path, prefix: str) -> None:
    torch.save({prefix + name: value for name, value in small().items()}, path)
    notes: list[str] = []
    assert list(read_foreign(path, notes)) == list(small())
    assert sum("taken off" in note for note in notes) == prefix.count(".")


def test_a_prefix_of_some_names_stays(path: Path) -> None:
    torch.save({"model.a": torch.zeros(1), "head.b": torch.zeros(1)}, path)
    assert set(read_foreign(path)) == {"model.a", "head.b"}


def test_names_are_mapped_by_table(path: Path) -> None:
    names = ["linear.weight", "layer1.0.shortcut.0.weight", "layer1.0.shortcut.1.running_var", "nonlinear.weight"]
    torch.save({f"module.{name}": torch.full((1,), float(i)) for i, name in enumerate(reversed(names))}, path)
    notes: list[str] = []
    state = read_foreign(path, notes)
    wanted = ["fc.weight", "layer1.0.downsample.0.weight", "layer1.0.downsample.1.running_var", "nonlinear.weight"]
    assert [state[name].item() for name in wanted] == [3, 2, 1, 0]
    assert "the names are those of kuangliu and akamaster: 'layer1.0.shortcut.1.running_var' is " in notes[-1]
    torch.save({"linear.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}, path)
    assert "two tensors for one name" in refused(path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(path: Path, dtype: torch.dtype) -> None:
    torch.save({"a": torch.tensor([1.5, -2.0], dtype=dtype), "n": torch.tensor(3)}, path)
    notes: list[str] = []
    state = read_foreign(path, notes)
    assert torch.equal(state["a"], torch.tensor([1.5, -2.0]))
    assert state["a"].dtype == torch.float32
    assert state["n"].dtype == torch.int64
    assert f"weights of {str(dtype)[6:]} became float32" in notes


def test_bare_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "m.safetensors"
    save_file({f"module.{name}": value.half() if value.ndim else value for name, value in small().items()}, path)
    notes: list[str] = []
    state = read_foreign(path, notes)
    assert torch.equal(state["conv1.weight"], small()["conv1.weight"])
    assert len(notes) == 3
    data = path.read_bytes()
    assert "truncated" in refused(path, data[:-1])
    assert "is empty" in refused(path, b"")
    assert "header of" in refused(path, (2**40).to_bytes(8, "little") + data[8:])
    nan = torch.tensor([float("nan")])
    save_file({"layer3.0.conv1.weight": nan}, path)
    assert "layer3.0.conv1.weight" in refused(path)


def test_model_files_are_read_and_checked(tmp_path: Path) -> None:
    golden = Path(__file__).parent / "golden" / "format1.safetensors"
    notes: list[str] = []
    assert "fc.weight" in read_foreign(golden, notes)
    assert notes == []
    data = bytearray(golden.read_bytes())
    data[-1] ^= 1
    assert "SHA-256" in refused(tmp_path / "m", bytes(data))


def test_odd_names_of_files(tmp_path: Path) -> None:
    path = tmp_path / "猫\udce9 \n.pth"
    torch.save(small(), tmp_path / "a")
    (tmp_path / "a").rename(path)
    assert set(read_foreign(path)) == set(small())


@pytest.mark.parametrize("name", ["resnet20-12fca82f", "resnet32-d509ac18", "resnet44-014dd654", "resnet56-4bfd9763"])
def test_published_checkpoints_need_no_mapping_by_hand(data_dir: Path, name: str) -> None:
    notes: list[str] = []
    state = read_foreign(data_dir / "cifar10-resnet-weights" / f"{name}.th", notes)
    assert {"conv1.weight", "layer3.0.bn2.running_var", "fc.weight", "fc.bias"} <= set(state)
    assert not [key for key in state if "module" in key or "linear" in key]
    assert any("'state_dict'" in note for note in notes)


# What runs nothing


def attacks(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Files each of which, unpickled, makes the canary, or would do something else that no weights do."""
    shell, code = f"touch {canary}", f"open({str(canary)!r}, 'w')"
    calls = {
        "os.system": call("os", "system", shell),
        "posix.system": call("posix", "system", shell),
        "nt.system": call("nt", "system", shell),
        "eval": call("builtins", "eval", code),
        "exec": call("builtins", "exec", code),
        "py2 eval": call("__builtin__", "eval", code),
        "open": call("builtins", "open", str(canary), "w"),
        "io.open": call("io", "open", str(canary), "w"),
        "getattr": call("builtins", "getattr", b"cos\nsystem\n", "__call__"),
        "import": call("builtins", "__import__", "antigravity"),
        "popen": call("subprocess", "getoutput", shell),
        "spawn": call("os", "popen", shell),
        "pip": call("pip", "main", b"](X\x04\x00\x00\x00helpe"),
        "resolve_name": call("pkgutil", "resolve_name", "os:system"),
        "timeit": call("timeit", "timeit", code, "pass"),
        "runstring": call("idlelib.run", "Executive.runcode", code),
        "pdb": call("pdb", "run", code),
        "profile": call("cProfile", "run", code),
        "compile": call("code", "InteractiveInterpreter.runcode", code),
        "runpy": call("runpy", "run_path", str(canary)),
        "ctypes": call("ctypes", "CDLL", "libc.so.6"),
        "torch.load": call("torch.serialization", "load", str(canary)),
        "jit.load": call("torch.jit", "load", str(canary)),
        "hub": call("torch.hub", "load", "a/b", "c"),
        "numpy": call("numpy", "load", str(canary)),
        "partial": call("functools", "partial", b"cos\nsystem\n", shell),
        "caller": call("operator", "methodcaller", "system", shell),
        "rmtree": call("shutil", "rmtree", str(canary)),
        "socket": call("socket", "create_connection", "localhost"),
        "fileio": call("torch._C", "PyTorchFileWriter", str(canary)),
        "bytearray": call("builtins", "bytearray", 2**31 - 1),
        "codecs": call("_codecs", "encode", "a", "idna"),
    }
    yield from ((f"zip {name}", zipped(content)) for name, content in calls.items())
    yield from ((f"old {name}", old(content)) for name, content in calls.items())
    system = calls["os.system"]
    yield "plain pickle", system
    yield "protocol 0", b"cos\nsystem\n(S'" + shell.encode() + b"'\ntR."
    yield "protocol 4", pickle.dumps(Evil(shell), 4)
    yield "protocol 5 in a zip", zipped(pickle.dumps({"a": Evil(shell)}, 5))
    yield "beside weights", saved({"state_dict": small(), "args": Evil(shell)})
    yield (
        "beside weights, old",
        saved({"state_dict": small(), "args": Evil(shell)}, _use_new_zipfile_serialization=False),
    )
    yield "in the list of keys", old(pickle.dumps({}, 2), system)
    yield "in the first pickle", system + MAGIC
    yield "inst", b"\x80\x02(X" + struct.pack("<I", len(shell)) + shell.encode() + b"ios\nsystem\n."
    yield "cut off", zipped(system[:-1])
    yield "nested zip", zipped(zipped(system))
    yield "zip in a member", zipped(system, data_0=zipped(system))
    yield "build", zipped(b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemscos\nsystem\nsb.")
    yield "storage of a name", zipped(b"\x80\x02(" + word("storage") + b"cos\nsystem\n" + word("0") + b"tQ.")
    yield (
        "torchscript",
        archive({"a/data.pkl": system, "a/constants.pkl": system, "a/code/__torch__.py": code.encode()}),
    )
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as file:
        for name in ("storages", "tensors", "pickle"):
            member = tarfile.TarInfo(name)
            member.size = len(system)
            file.addfile(member, io.BytesIO(system))
    yield "tar", tar.getvalue()


class Evil:
    """What runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return __import__("os").system, (self.command,)


def test_the_attacks_would_work(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    files = dict(attacks(canary))
    for name in ("os.system", "eval", "open", "popen"):
        found = pickle.loads(zipfile.ZipFile(io.BytesIO(files[f"zip {name}"])).read("a/data.pkl"))
        if isinstance(found, io.IOBase):
            found.close()
        assert canary.exists(), name
        canary.unlink()


def test_nothing_in_a_file_runs(tmp_path: Path) -> None:
    canary, before = tmp_path / "canary", set(sys.modules)
    tried = list(attacks(canary))
    assert len(tried) > 70
    for name, content in tried:
        said = refused(tmp_path / "weights.pth", content)
        assert not canary.exists(), name
        if name.startswith(("zip ", "old ")) and name != "zip in a member":
            assert "asks for" in said, name
    assert {"antigravity", "pip", "idlelib.run", "runpy"} & set(sys.modules) <= before


def test_the_message_names_what_was_asked_for(path: Path) -> None:
    assert "asks for posix.system" in refused(path, saved(Evil("true")))
    assert "asks for posix.system" in refused(path, pickle.dumps(Evil("true"), 4))
    assert "asks for os.system" in refused(path, zipped(call("os", "system", "true")))
    assert "a\\x1bb.c" in refused(path, zipped(b"\x80\x02ca\x1bb\nc\n."))


def test_whole_models(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    for how in (True, False):
        said = refused(path, saved(model, _use_new_zipfile_serialization=how))
        assert "whole pickled model" in said
        assert "model.state_dict()" in said
    assert "whole pickled model" in refused(path, saved({"epoch": 3, "model": model}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Sequential(nn.Linear(2, 2))), path)
    assert "TorchScript" in refused(path)


def test_no_room_unpickles() -> None:
    """The words stand nowhere in the package, nor does a call that runs text."""
    root = Path(resnetkit.__file__).parent
    for file in sorted(root.rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        for words in ("pickle.load", "weights_only=False", "weights_only = False", "allow_pickle=True", "yaml.load("):
            assert words not in text, f"{file.name}: {words}"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"exec", "eval", "compile", "__import__"}, f"{file.name}:{node.lineno}"
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func) == "torch.load"
            ):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("weights_only") == "True", f"{file.name}:{node.lineno}"


def test_old_libraries_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(small(), path)
    monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
    with pytest.raises(WeightsError, match=r"2\.9\.1.*CVE-2026-24747.*pip install --upgrade 'torch>=2\.10'"):
        read_foreign(path)
    monkeypatch.setattr(torch, "__version__", "2.10.0a0+git")
    assert read_foreign(path)
    monkeypatch.setattr(PIL, "__version__", "12.1.1")
    with pytest.raises(WeightsError, match=r"12\.1\.1.*CVE-2026-40192.*pip install --upgrade 'pillow>=12\.2'"):
        read_foreign(path)


# What is not more than it is


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_bombs(path: Path) -> None:
    """Small files that mean terabytes: refused at once, and without asking for the memory."""
    before, start = peak(), time.process_time()
    for how in (True, False):
        for shape in ((10**12,), (10**6, 10**6)):
            wide = torch.zeros(1).expand(shape)
            data = saved({"a": wide}, _use_new_zipfile_serialization=how)
            assert len(data) < 2000
            assert "means 4000000000000 bytes" in refused(path, data)
        many = {f"a{i}": torch.zeros(10_000).as_strided((10_000,), (1,)) for i in range(3)}
        shared = dict.fromkeys((f"b{i}" for i in range(9000)), many["a0"])
        refused(path, saved(shared, _use_new_zipfile_serialization=how))
        beside = {"a": torch.zeros(1).expand(16), "b": torch.zeros(16)}
        assert "a means 64 bytes, and the file has 4 for it" in refused(
            path, saved(beside, _use_new_zipfile_serialization=how)
        )
    real = saved({"a": torch.zeros(16)})
    grown = remade(real, lambda _, content: content.replace(b"K\x10t", b"J\x00\x00\x00\x7ft"))
    assert grown != real
    refused(path, grown)
    aged = saved({"a": torch.zeros(16)}, _use_new_zipfile_serialization=False)
    grown = aged.replace(b"K\x10Nt", b"J\x00\x00\x00\x7fNt")
    assert grown != aged
    refused(path, grown)
    assert peak() - before < 256 * 2**20
    assert time.process_time() - start < 10


def test_archives_that_are_not_what_torch_writes(path: Path) -> None:
    real = saved(small())
    with zipfile.ZipFile(io.BytesIO(real)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    assert "compressed member" in refused(path, archive(members, zipfile.ZIP_DEFLATED))
    bomb = archive({**members, "archive/data/0": b"\0" * 2**24}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**16
    assert "compressed member" in refused(path, bomb)
    assert "not a PyTorch checkpoint" in refused(path, archive({"a.npy": b"1"}))
    assert "not a PyTorch checkpoint" in refused(path, archive({}))
    assert "never writes" in refused(path, archive({**members, "archive/data/x": b"1"}))
    assert "two members" in refused(path, archive({**members, "archive/DATA/0": b"1"}))
    assert "two members" in refused(path, archive({**members, "b/data.pkl": b"1"}))
    assert "bytes of instructions" in refused(path, archive({"a/data.pkl": b"\x80\x02" + b"N" * (2**24 + 1)}))
    assert "truncated" in refused(path, real + b"\0")
    assert "truncated" in refused(path, real[:-2] + b"\1\0" + b"x")
    many = archive({**members, **{f"archive/{i:040}": b"" for i in range(90_000)}})
    assert "too many members" in refused(path, many)
    # The local header says encrypted as well as the list of members does.
    locked = bytearray(archive(members))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.find(sign) + at] |= 1
    assert "encrypted" in refused(path, bytes(locked))


def test_members_that_overlap(path: Path) -> None:
    """Ten names in the list of members for the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("a/data.pkl", pickle.dumps({}, 2))
        file.writestr("a/data/0", b"\0" * 100_000)
        for i in range(1, 10):
            again = zipfile.ZipInfo(f"a/data/{i}")
            again.file_size = again.compress_size = 100_000
            again.CRC = file.getinfo("a/data/0").CRC
            again.header_offset = file.getinfo("a/data/0").header_offset
            file.filelist.append(again)
    assert "overlap" in refused(path, stream.getvalue())


def test_a_flipped_bit_in_an_archive_is_noticed(path: Path) -> None:
    """Only where its CRC-32 was written: torch has a switch for it, and does not look at it."""
    data = bytearray(saved({"a": torch.zeros(1000)}))
    data[len(data) // 2] ^= 1
    assert "damaged" in refused(path, bytes(data))
    torch.serialization.set_crc32_options(False)
    try:
        path.write_bytes(saved(small()))
    finally:
        torch.serialization.set_crc32_options(True)
    assert set(read_foreign(path)) == set(small())


def nested(depth: int, kind: str) -> bytes:
    """Instructions for something that is ``depth`` deep."""
    match kind:
        case "tuple":
            inside = b"N" + b"\x85" * depth
        case "marked":
            inside = b"(" * depth + b"N" + b"t" * depth
        case "list":
            inside = b"]" * depth + b"a" * (depth - 1)
        case _:
            inside = (b"}" + word("a")) * depth + b"N" + b"s" * depth
    return b"\x80\x02" + inside + b"."


@pytest.mark.parametrize("kind", ["tuple", "marked", "list", "dict"])
def test_nesting(path: Path, kind: str) -> None:
    for depth in (100, 2000, 50_000):
        assert "nests more than 64" in refused(path, zipped(nested(depth, kind)))
        assert "nests more than 64" in refused(path, old(nested(depth, kind)))
    assert "nests" not in refused(path, zipped(nested(60, kind)))


def test_a_long_list_is_not_deep(path: Path) -> None:
    torch.save({"state_dict": small(), "losses": list(range(20_000)), "rates": {i: [i] for i in range(5000)}}, path)
    assert set(read_foreign(path)) == set(small())


def test_a_key_that_takes_for_ever_to_hash(path: Path) -> None:
    """Thirty pairs of the pair before: a hash of it visits a billion places."""
    pairs = b"N\x85q\x00" + b"".join(
        b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(30)
    )
    start = time.process_time()
    said = refused(path, zipped(b"\x80\x02}(" + pairs + b"h\x1eNtNs."))
    assert "far more than weights" in said
    assert time.process_time() - start < 2


def test_more_instructions_than_weights_need(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "MAX_STEPS", 10_000)
    assert "far more than weights" in refused(path, zipped(b"\x80\x02]" + b"Na" * 5000 + b"."))
    assert "far more" not in refused(path, zipped(b"\x80\x02]" + b"Na" * 4000 + b"."))


@pytest.mark.parametrize("zip_form", [True, False])
def test_layouts_and_dtypes(path: Path, zip_form: bool) -> None:
    def said(value: object) -> str:
        return refused(path, saved(value, _use_new_zipfile_serialization=zip_form))

    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2), (2,), check_invariants=True)
    assert "sparse" in said({"a": sparse})
    assert "without data" in said({"a": torch.zeros(2, device="meta")})
    assert "not allowed" in said({"a": torch.zeros(2, dtype=torch.complex64)})
    assert "complex" in said({"a": torch.zeros(2, dtype=torch.complex64)})
    assert "unusual dtype" in said({"a": torch.zeros(2, dtype=torch.uint16)})
    assert "unusual dtype" in said({"a": torch.zeros(2).to(torch.float8_e4m3fn)})
    assert "a dict, not weights" not in said({"a": {"b": torch.zeros(1)}})
    assert "a (dict)" in said({"a": {"b": torch.zeros(1)}})
    assert "b (int)" in said({"state_dict": {"a": torch.zeros(1), "b": 3}})
    assert "3 (Tensor)" in said({3: torch.zeros(1)})
    assert "holds a list" in said([torch.zeros(1)])
    assert "holds a Tensor" in said(torch.zeros(1))
    assert "holds nothing" in said({})
    assert "layer3.0.conv1.weight" in said({"layer3.0.conv1.weight": torch.tensor([1.0, float("inf")])})
    assert "too many dimensions (9)" in said({"a": torch.zeros((1,) * 9)})
    assert "too long" in said({"a" * 513: torch.zeros(1)})


def test_what_slips_past_the_instructions_is_caught_after(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two walls: with the first taken away, the tensors themselves are still refused."""
    monkeypatch.setattr(foreign, "check_instructions", lambda *_: None)
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.ones(2), (2,), check_invariants=True)
    assert "layout" in refused(path, saved({"a": sparse}))
    assert "dtype" in refused(path, saved({"a": torch.zeros(2, dtype=torch.complex64)}))
    assert "layout" in refused(path, saved({"a": torch.zeros(2, device="meta")}))
    assert "UnpicklingError" in refused(path, saved(Evil("true")))
    refused(path, saved(nn.Linear(2, 2)))


@pytest.mark.parametrize("zip_form", [True, False])
def test_truncated_and_fuzzed(path: Path, zip_form: bool) -> None:
    data = saved(small(), _use_new_zipfile_serialization=zip_form)
    for length in [*range(1, 40), *range(40, len(data), 37), len(data) - 1]:
        said = refused(path, data[:length])
        assert length < 4 or "truncated" in said or "not weights" in said, (length, said)
    dice = random.Random(3)
    for _ in range(500):
        changed = bytearray(data)
        for _ in range(dice.randrange(1, 4)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        path.write_bytes(changed)
        with contextlib.suppress(WeightsError):
            read_foreign(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!doctype html><title>404</title>", "HTML page, not a model file"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"weights", "holds no weights"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x80", "truncated"),
        (b"PK", "holds no weights"),
        (b"PK\x03\x04", "truncated"),
        (pickle.dumps({"a": [1.0]}, 2), "not a PyTorch checkpoint"),
        (pickle.dumps({"a": [1.0]}, 4), "FRAME"),
        (b"\0" * 600, "holds no weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_checkpoint(path: Path, content: bytes, says: str) -> None:
    assert says in refused(path, content)
