"""Whole numbers of 8 bits beside the runtimes' own quantizers, driven by hand: speed, and answers on photographs.

All have the weights of one resnet50, whose head tells photographs apart. Each quantizer has its scales from the same
64 photographs: onnxruntime's quantize_static (QDQ, a scale for each channel), NNCF's quantize for OpenVINO, and ours.
Same answers are counted on the other photographs, against float32; none of them is told of by labels.

    python -m benchmarks.inference_int8 [--batch 1 32] [--rounds 5]      (pip install nncf for that row)
"""

import argparse
import os
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.inference import SEEN, Run, streamed, told
from benchmarks.parity import learn
from resnetkit.data.decode import decode
from resnetkit.data.parts import Part
from resnetkit.engine.device import choose
from resnetkit.export.graph import drawn
from resnetkit.export.parted import Parted
from resnetkit.export.runtimes import loaded
from resnetkit.fast.bench import speed, turned
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.ways import Way, opened, ways
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.plan import with_io
from resnetkit.zoo import find

NETWORK = "resnet50"
CLASSES = 10
SCALES = 64  # photographs that scales come from


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    folder = Path(os.environ.get("RESNETKIT_TEST_DATA", "data")) / "imagenet-samples"
    paths = sorted(folder.glob("*.JPEG"))
    plan = with_io(lay_out(find(NETWORK)), classes=CLASSES, channels=3)
    torch.manual_seed(0)
    network = build(plan).eval()
    learn(network, SEEN, [(path.name, decode(path, path.name, channels=3).pixels[None], None) for path in paths[:24]])
    card = Card(model=NETWORK, plan=plan, classes=tuple("abcdefghij"), preprocess=SEEN)
    seen = np.stack([SEEN.apply(decode(path, path.name, channels=3).pixels) for path in paths])
    print(f"{NETWORK} at 224, torch {torch.__version__}, {torch.get_num_threads()} threads, {asked.rounds} rounds")
    machine = choose("cpu", "fp32")
    first = opened(Way("onnxruntime", "fp32"), card, network, machine, Graphs(card, network))
    wanted = np.concatenate([first(seen[i : i + 32]) for i in range(0, len(seen), 32)])
    parts = Parted(part(paths[:SCALES], wanted), "train", part(paths[SCALES:], wanted[SCALES:]), None, ())
    with TemporaryDirectory() as beside:
        found: dict[str, tuple[Run, bool]] = {"ours: onnxruntime fp32": (first, False)}
        for name, run in by_hand(card, network, seen[:SCALES], Path(beside)):
            found[name] = run, True
        graphs = Graphs(card, network, lambda: parts, max_drop=10.0)
        for way in ways(machine, max(asked.batch), int8=True):
            if way.precision == "int8":
                found[f"ours: {way}"] = opened(way, card, network, machine, graphs), False
        for name, (run, tensor) in found.items():
            some = [SEEN.normalize(one) if tensor else one for one in np.split(seen[SCALES:], 2)]
            same = np.concatenate([run(one) for one in some]).argmax(1) == wanted[SCALES:].argmax(1)
            print(f"{name:40} {same.mean():7.2%} of {len(same)} photographs as float32")
        for batch in asked.batch:
            clocked(found, batch, asked.rounds)
    return 0


def part(paths: list[Path], logits: NDArray[np.float32]) -> Part:
    """Photographs, each labelled as float32 answers."""
    names = tuple(path.name for path in paths)
    read = [partial(decode, path, path.name, channels=3) for path in paths]
    labels = logits[: len(paths)].argmax(1)
    return Part("val", names, labels, lambda i: read[i](), lambda i: paths[i].read_bytes())


def by_hand(card: Card, network: Any, seen: NDArray[np.uint8], folder: Path) -> Iterator[tuple[str, Run]]:
    import onnxruntime
    from onnxruntime import quantization

    file, whole = folder / "network.onnx", folder / "whole.onnx"
    file.write_bytes(drawn(card, network, "tensor", {}))
    tensors = SEEN.normalize(seen)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(tensors)

        def get_next(self) -> dict[str, Any] | None:
            one = next(self.rest, None)
            return None if one is None else {"tensor": one[None]}

    kind = quantization.QuantType.QUInt8  # of maps: with signed ones, its default, it took three times as long here
    quantization.quantize_static(file, whole, Reader(), per_channel=True, activation_type=kind)
    options, threads = onnxruntime.SessionOptions(), torch.get_num_threads()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(whole), options, providers=["CPUExecutionProvider"])
    yield "onnxruntime int8 by hand", lambda x: session.run(None, {"tensor": x})[0]
    if find_spec("nncf"):
        import nncf

        data = nncf.Dataset(list(tensors), lambda one: one[None])
        model = nncf.quantize(loaded().Core().read_model(file), data, subset_size=len(tensors))
        how: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        one = loaded().Core().compile_model(model, "CPU", how)
        yield "openvino int8 by hand (NNCF), one stream", lambda x: one([x])[0]
        how |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(threads)}
        many = loaded().AsyncInferQueue(loaded().Core().compile_model(model, "CPU", how), threads)
        yield f"openvino int8 by hand (NNCF), {threads} streams", partial(streamed, many)


def clocked(found: dict[str, tuple[Run, bool]], batch: int, rounds: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (batch, *SEEN.size, 3), np.uint8)
    tensor = SEEN.normalize(images)
    turns: dict[str, list[list[float]]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, (run, given) in found.items():
            turns[name].append(turned(run, tensor if given else images))
    told(batch, {name: speed(batch, some) for name, some in turns.items()}, dict.fromkeys(found, 0.0))


if __name__ == "__main__":
    sys.exit(main())
