"""Answers a second beside the runtimes as one drives them by hand, and torchvision and timm as one finds them.

All have the same weights. Peers are handed float32 tensors, normalised beforehand; ours is handed bytes and normalises
them itself. Ways take turns, ratios are of medians over all passes of a run, and beside each stands how far its logits
are from torchvision's in float32. With --isa avx2 torch and OpenVINO leave AVX-512 and AMX alone, as on a laptop;
onnxruntime has no such switch and is left out.

    python -m benchmarks.inference [--network resnet50] [--batch 1 32] [--rounds 7] [--isa avx2] [--compile]
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers import peer

from benchmarks.parity import lively
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import choose
from resnetkit.export.graph import drawn
from resnetkit.export.runtimes import loaded
from resnetkit.fast.bench import Speed, speed, turned
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.ways import FUSED, Way, opened, ways
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.zoo import find

Run = Callable[[Any], NDArray[np.float32]]
SEEN = Preprocess(size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
ISA = {"avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--isa", choices=list(ISA))
    parser.add_argument("--compile", action="store_true", help="timm by torch.compile too, which takes a minute each")
    asked = parser.parse_args()
    if asked.isa and any(os.environ.get(name) != value for name, value in ISA[asked.isa].items()):
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.inference", *sys.argv[1:]], os.environ | ISA[asked.isa]
        )
    plan = with_io(lay_out(find(asked.network)), classes=1000, channels=3)
    torch.manual_seed(0)
    network = build(plan).eval()
    lively(network)
    card = Card(model=asked.network, plan=plan, classes=tuple(map(str, range(1000))), preprocess=SEEN)
    print(
        f"{asked.network} at 224, torch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), "
        f"{torch.get_num_threads()} threads, {asked.rounds} rounds" + (f", {asked.isa}" if asked.isa else "")
    )
    for batch in asked.batch:
        measured(card, network, batch, asked)
    return 0


def measured(card: Card, network: Any, batch: int, asked: argparse.Namespace) -> None:
    images = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8)
    tensor = SEEN.normalize(images)
    found: dict[str, tuple[Run, Any]] = {}
    with TemporaryDirectory() as folder:
        for name, run in peers(card, network, Path(folder), asked):
            found[name] = run, tensor
        for name, run in ours(card, network, batch, with_onnxruntime=asked.isa is None):
            found[name] = run, images
        wanted, turns, apart = None, {name: [] for name in found}, {}
        for name, (run, x) in found.items():
            answers = run(x)
            wanted = answers if wanted is None else wanted
            apart[name] = float(np.abs(answers - wanted).max() / np.abs(wanted).max())
        for _ in range(asked.rounds):
            for name, (run, x) in found.items():
                turns[name].append(turned(run, x))
    told(batch, {name: speed(batch, some) for name, some in turns.items()}, apart)


def peers(card: Card, network: Any, folder: Path, asked: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """What others offer, each with its best flags too."""
    theirs = getattr(peer("torchvision.models"), card.model)().eval()
    theirs.load_state_dict(network.state_dict())
    yield "torchvision eager fp32", partial(torched, theirs, torch.float32, torch.contiguous_format)
    last = getattr(peer("torchvision.models"), card.model)().eval().to(memory_format=torch.channels_last)
    last.load_state_dict(network.state_dict())
    yield "torchvision eager fp32, channels last", partial(torched, last, torch.float32, torch.channels_last)
    low = getattr(peer("torchvision.models"), card.model)().eval()
    low.load_state_dict(network.state_dict())
    low = low.to(torch.bfloat16, memory_format=torch.channels_last)
    yield "torchvision eager bf16, channels last", partial(torched, low, torch.bfloat16, torch.channels_last)
    if asked.compile:
        import torch._inductor.config as inductor

        inductor.freezing = True
        for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            torch.compiler.reset()
            timms = peer("timm").create_model(card.model).eval()
            timms.load_state_dict(network.state_dict())
            timms = timms.to(kind, memory_format=torch.channels_last)
            yield f"timm compiled {name}", partial(torched, torch.compile(timms), kind, torch.channels_last)
    file = folder / "network.onnx"
    file.write_bytes(drawn(card, network, "tensor", {}))
    openvino, threads = loaded(), torch.get_num_threads()
    kinds = {"fp32": "f32"} if asked.isa else {"fp32": "f32", "bf16": "bf16"}
    for name, kind in kinds.items():
        how = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        model = openvino.Core().compile_model(str(file), "CPU", how)
        yield f"openvino {name} by hand, one stream", lambda x, model=model: model([x])[0]
        how |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(threads)}
        model = openvino.Core().compile_model(str(file), "CPU", how)
        yield f"openvino {name} by hand, {threads} streams", partial(streamed, openvino.AsyncInferQueue(model, threads))
    if not asked.isa:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        yield "onnxruntime fp32 by hand", lambda x: session.run(None, {"tensor": x})[0]


def torched(
    network: Any, dtype: torch.dtype, layout: torch.memory_format, x: NDArray[np.float32]
) -> NDArray[np.float32]:
    with torch.inference_mode():
        out: NDArray[np.float32] = network(torch.from_numpy(x).to(dtype, memory_format=layout)).float().numpy()
    return out


def streamed(queue: Any, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """A batch in as many parts as there are streams, at once."""
    parts = np.array_split(x, min(len(queue), len(x)))
    found: list[Any] = [None] * len(parts)

    def keep(request: Any, place: int) -> None:
        found[place] = request.get_output_tensor(0).data.copy()

    queue.set_callback(keep)
    for i, part in enumerate(parts):
        queue.start_async({0: part}, i)
    queue.wait_all()
    return np.concatenate(found)


def ours(card: Card, network: Any, batch: int, *, with_onnxruntime: bool) -> Iterator[tuple[str, Run]]:
    """Every way, as ``compiled`` would run it."""

    machine = choose("cpu", "fp32")
    some = ways(machine, batch)
    if not any(way.precision == "bf16" for way in some):
        some = [*some, Way(FUSED, "bf16")]
    for way in some:
        if with_onnxruntime or way == Way(FUSED, way.precision) or (way.runtime, way.precision) == ("openvino", "fp32"):
            yield f"ours: {way}", opened(way, card, network, machine, Graphs(card, network))


def told(batch: int, speeds: dict[str, Speed], apart: dict[str, float]) -> None:
    first = next(iter(speeds.values()))
    print(f"\nbatch {batch}: ms of a pass (p50, p99, medians of turns), pictures a second, ratio to the first, change")
    for name, one in speeds.items():
        spread = f"{1000 * one.low:.1f}-{1000 * one.high:.1f}"
        print(
            f"{name:40} {1000 * one.p50:8.2f} {1000 * one.p99:8.2f} {spread:>15} {one.per_second:8.1f} "
            f"{first.p50 / one.p50:6.2f}x {apart[name]:.1e}",
            flush=True,
        )
    for kind in ("fp32", "bf16", "int8"):
        mine = {name: one.p50 for name, one in speeds.items() if name.startswith("ours") and kind in name}
        others = {name: one.p50 for name, one in speeds.items() if not name.startswith("ours") and kind in name}
        if mine and others:
            best, rival = min(mine, key=mine.__getitem__), min(others, key=others.__getitem__)
            print(f"{kind}: {best} at {others[rival] / mine[best]:.2f}x the speed of {rival}")


if __name__ == "__main__":
    sys.exit(main())
