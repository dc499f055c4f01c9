"""Where memory is short a batch goes through in parts, and the run is the one that was asked for in as many."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command import environment
from samples import write_digits
from test_learning import run_on, same, weights
from test_resume import RESULTS, differing, rewritten
from test_train import CPU, begin, settings
from torch import Tensor, nn

from resnetkit import cost
from resnetkit.answers import at_once
from resnetkit.engine import checkpoint, memory
from resnetkit.engine.state import State
from resnetkit.engine.step import Tick
from resnetkit.errors import ResourceError
from resnetkit.layout import lay_out
from resnetkit.model import ResNet
from resnetkit.network import Network
from resnetkit.run import Run
from resnetkit.training import Note, resuming, training
from resnetkit.walk import rows
from resnetkit.zoo import find


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize(("name", "size"), [("resnet20", 32), ("resnet18", 64), ("resnet50", 64)])
def test_what_a_step_keeps_is_computed_from_the_plan(name: str, size: int) -> None:
    """Against what autograd keeps. More is held for a while on the way back, which the other addend stands for."""
    plan = lay_out(find(name))
    model, kept = ResNet(plan), dict[int, int]()
    ours = {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage()
        if place.data_ptr() not in ours:
            kept[place.data_ptr()] = place.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        answer = model(torch.zeros(2, 3, size, size))
    maps = [row.activations for row in rows(plan, size) if row.kind == "conv"]
    wanted = cost.step_bytes(plan, size) - 4 * 6 * max(maps)
    assert sum(kept.values()) / 2 == pytest.approx(wanted, rel=0.15)
    assert answer.requires_grad
    assert cost.step_bytes(plan, size, 2) * 2 == cost.step_bytes(plan, size)


def short_of(most: int) -> Callable[[nn.Module, tuple[Tensor]], None]:
    """A limit of the machine, met in the middle of a pass: no more than ``most`` pictures at a time."""

    def refuse(_: nn.Module, given: tuple[Tensor]) -> None:
        if len(given[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return refuse


@pytest.mark.parametrize(("most", "parts"), [(16, 2), (9, 4), (1, 32)])
def test_a_step_that_does_not_fit_is_taken_in_parts_as_if_asked_for(most: int, parts: int) -> None:
    ends = []
    for changes in ({}, {"accumulate": parts}):
        decided = settings(steps=2, dropout=0.2, drop_path=0.2, **changes)
        state = begin(decided)
        if not changes:  # the norms before this have seen the whole batch by then
            state.model.get_submodule("layer2.1").register_forward_pre_hook(short_of(most))
        ends.append((run_on(state, decided, 2), weights(state)))
        assert state.parts == parts
    assert ends[0][0] == ends[1][0]
    assert same(ends[0][1], ends[1][1])


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ResourceError("out of memory", "fix"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_only_memory_is_taken_for_memory(error: Exception, told: bool) -> None:
    assert memory.is_short(error) == told
    decided = settings(steps=1)
    state, calls = begin(decided), list[int]()

    def once(*_: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise error

    state.model.register_forward_pre_hook(once)
    if told:
        run_on(state, decided, 1)
        assert state.parts == 2
    else:
        with pytest.raises(type(error)):
            run_on(state, decided, 1)
        assert len(calls) == 1


def test_where_not_even_a_picture_fits_the_run_ends_and_what_is_asked_for_is_obeyed() -> None:
    decided = settings(steps=1)
    state = begin(decided)
    state.model.register_forward_pre_hook(short_of(0))
    with pytest.raises(ResourceError, match="even with 1 picture at a time") as caught:
        run_on(state, decided, 1)
    assert caught.value.code == 5
    assert "--size" in caught.value.fix
    decided = settings(steps=1, accumulate=2)
    state = begin(decided)
    state.model.register_forward_pre_hook(short_of(8))
    with pytest.raises(torch.OutOfMemoryError):
        run_on(state, decided, 1)
    assert state.parts == 2


def allowing(monkeypatch: pytest.MonkeyPatch, room: int | None) -> None:
    monkeypatch.setattr(memory, "free", lambda _: room)


def test_the_fewest_parts_that_fit_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = settings(batch=64, model="resnet20", size=32)
    wanted = memory.need(decided, CPU, 2)
    for pictures, parts in ((64, 1), (63, 2), (32, 2), (31, 4), (7, 16), (1, 64)):
        allowing(monkeypatch, wanted.of(pictures))
        assert memory.parts_for(decided, CPU, 2) == parts
        assert memory.parts_for(settings(batch=64, accumulate=3), CPU, 2) == 3
    allowing(monkeypatch, None)
    assert memory.parts_for(decided, CPU, 2) == 1
    allowing(monkeypatch, wanted.of(1) - 1)
    with pytest.raises(ResourceError, match="even with 1 picture at a time: about") as caught:
        memory.parts_for(decided, CPU, 2)
    assert caught.value.fix == "a smaller --size, a smaller --batch or a smaller network"
    large = settings(batch=64, model="resnet20", size=2048)
    allowing(monkeypatch, memory.need(settings(batch=64, model="resnet20", size=512), CPU, 2).of(1))
    with pytest.raises(ResourceError, match="at 2048x2048") as caught:
        memory.parts_for(large, CPU, 2)
    assert caught.value.fix.startswith("--size 512, ")


def test_a_part_has_as_many_pictures_as_norms_need(monkeypatch: pytest.MonkeyPatch) -> None:
    decided = settings(batch=30, model="resnet18_cifar", size=8)
    assert memory.most_parts(decided) == 10
    wanted = memory.need(decided, CPU, 0)
    allowing(monkeypatch, wanted.of(3))
    assert memory.parts_for(decided, CPU, 0) == 10
    allowing(monkeypatch, wanted.of(3) - 1)
    with pytest.raises(ResourceError, match="even with 3 pictures"):
        memory.parts_for(decided, CPU, 0)


def test_more_pictures_numbers_and_threads_need_more() -> None:
    base = memory.need(settings(batch=32), CPU, 2)
    assert memory.need(settings(batch=64), CPU, 2).fixed > base.fixed
    assert memory.need(settings(batch=32, mixup=0.2), CPU, 2).fixed > base.fixed
    assert memory.need(settings(batch=32), CPU, 4).fixed > base.fixed
    assert memory.need(settings(batch=32), replace(CPU, precision="bf16"), 2).picture * 2 == base.picture


RUN: dict[str, Any] = {"model": "resnet20", "epochs": 3, "batch": 32, "save_every": 0.0, "device": "cpu", "workers": 0}


def test_parts_that_memory_asked_for_are_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is met at step 5, and gone when the run is resumed; the end is the same to the byte."""
    start = State.start

    def limited(model: Network, *rest: Any) -> State:
        state = start(model, *rest)

        def late(module: nn.Module, given: tuple[Tensor]) -> None:
            if module.training and state.step >= 4:
                short_of(16)(module, given)

        model.register_forward_pre_hook(late)
        return state

    names = ("straight", "resumed", "lossy", "free")
    straight, resumed, lossy, unlimited = (tmp_path / name for name in names)
    list(training(Run(data=str(data), out=str(unlimited), **RUN)))
    monkeypatch.setattr(State, "start", limited)
    events = list(training(Run(data=str(data), out=str(straight), **RUN)))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert [text for text in notes if text.startswith("memory is short: each batch of 32 goes through resnet20 in 2")]
    journal = [json.loads(line) for line in (straight / "journal.jsonl").read_text().splitlines()]
    assert [(e["step"], e["parts"]) for e in journal if e["event"] == "parts"] == [(5, 2)]
    for out in (resumed, lossy):
        with closing(training(Run(data=str(data), out=str(out), **{**RUN, "save_every": 1e4}))) as run:
            next(event for event in run if isinstance(event, Tick) and event.step == 8)
        path = checkpoint.found(out / "checkpoints")[0]
        assert path.name == "step-000000005", "kept at once"
    snapshot = checkpoint.load(path)
    assert snapshot.values.pop("parts") == 2
    rewritten(path, snapshot)
    monkeypatch.undo()
    for out in (resumed, lossy):
        list(resuming(out))
    assert differing(resumed, straight) == []
    assert "last.safetensors" in differing(lossy, straight)
    assert set(differing(unlimited, straight)) <= set(RESULTS)
    assert "last.safetensors" in differing(unlimited, straight)


def test_a_forecast_is_kept_from_before_the_first_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, straight, resumed = (tmp_path / name for name in ("asked", "straight", "resumed"))
    for out, parts in ((asked, 2), (straight, None), (resumed, None)):
        monkeypatch.setattr(memory, "fewest_parts", lambda *_: 2)
        run = training(Run(data=str(data), out=str(out), accumulate=parts, **{**RUN, "save_every": 1e4}))
        if out == resumed:
            with closing(run):
                next(event for event in run if isinstance(event, Tick))
            monkeypatch.undo()
            run = resuming(out)
        list(run)
    assert differing(straight, resumed) == []
    parts_of = [json.loads((out / "metrics.json").read_bytes()) for out in (asked, straight)]
    assert parts_of[0] == parts_of[1]


def test_limits_of_groups_are_read(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    for folder, limit, used in ((new / "a" / "b", "900", "500"), (new / "a", "max", "700"), (new, "2000", "1500")):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("max", limit), ("current", used), ("stat", "anon 1\ninactive_file 100")):
            (folder / f"memory.{name}").write_text(text + "\n")
    assert memory.group_rooms("0::/a/b\n", new) == [500, 600]
    (old / "memory" / "c").mkdir(parents=True)
    for name, text in (("limit_in_bytes", "1000"), ("usage_in_bytes", "400"), ("stat", "total_inactive_file 50")):
        (old / "memory" / "c" / f"memory.{name}").write_text(text + "\n")
    assert memory.group_rooms("4:cpu,memory:/c\n3:cpuset:/\n0::/\n", old) == [650]
    assert memory.group_rooms("0::/nowhere\n", tmp_path / "none") == []


@pytest.mark.skipif(sys.platform != "linux", reason="no other system says what is free")
def test_what_is_free_is_less_than_there_is_and_heeds_ulimit() -> None:
    here = memory.free(CPU)
    assert here is not None
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < here < total
    assert memory.free(replace(CPU, device=torch.device("cuda"))) is None


# A process under ulimit -v: this many bytes more than it holds once torch is there.
LIMITED = """
import json, resource, sys
from pathlib import Path
import matplotlib.pyplot, sklearn.datasets, torch
from resnetkit.engine import memory
from resnetkit.report import pictures
from resnetkit.run import Run
from resnetkit.training import Note, training
torch.set_num_threads(1)
torch.nn.functional.conv2d(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 3))
if sys.argv[3] == "blind":
    memory.free = lambda machine: None
now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[2]) * 2**20,) * 2)
for event in training(Run(**json.loads(sys.argv[1]))):
    if isinstance(event, Note):
        print(event.text)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is not kept elsewhere")
@pytest.mark.parametrize("way", ["forecast", "blind"])
def test_under_a_limit_of_the_system_a_run_goes_on_in_parts(tmp_path: Path, way: str) -> None:
    run = {"data": "digits", "model": "resnet20", "size": 32, "batch": 1024, "steps": 1, "workers": 0, "device": "cpu"}
    run |= {"precision": "fp32", "out": str(tmp_path / "run")}
    words = [sys.executable, "-c", LIMITED, json.dumps(run), "1400", way]
    done = subprocess.run(words, capture_output=True, text=True, env=environment({}), timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "memory is short: each batch of 1,024 goes through resnet20 in" in done.stdout
    journal = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    parts = [event["parts"] for event in journal if event["event"] == "parts"]
    assert parts
    assert parts[-1] in (2, 4, 8)
    assert (len(parts) == 1) or way == "blind"


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is not kept elsewhere")
def test_a_rehearsal_of_the_absurd_says_so(tmp_path: Path) -> None:
    words = [
        "train",
        "digits",
        "--model",
        "resnet50",
        "--size",
        "4096",
        "--weights",
        "none",
        "--workers",
        "0",
        "--dry-run",
    ]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-m", "resnetkit", *words],
        capture_output=True,
        text=True,
        env=environment({}),
        cwd=tmp_path,
        preexec_fn=limit,
        timeout=300,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    assert "error: memory is short for resnet50 at 4096x4096" in done.stderr
    assert "fix: --size " in done.stderr


def test_fewer_large_pictures_are_answered_at_a_time() -> None:
    seen = settings().preprocess
    sizes = {8: 250, 64: 250, 65: 32, 224: 32, 512: 32, 1024: 8, 4096: 1}
    assert {side: at_once(replace(seen, size=(side, side))) for side in sizes} == sizes
