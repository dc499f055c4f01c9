"""Export every network of the zoo for every runtime and hold the files against torch, on photographs.

python -m benchmarks.parity                        every network, at its own size, on all 150 photographs (hours)
python -m benchmarks.parity --size 64 --every 3    pictures of 64 pixels at most, and a third of them
python -m benchmarks.parity --to onnx,openvino     without files of torch, which take longest
python -m benchmarks.parity resnet50 wrn_16_4      these alone

The photographs are data/imagenet-samples, or those of RESNETKIT_TEST_DATA. Weights are drawn, and the head so
that photographs are told apart. Writes benchmarks/parity.csv.
"""

import argparse
import csv
import os
import sys
import time
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from resnetkit.data.decode import decode
from resnetkit.data.preprocess import Preprocess
from resnetkit.errors import WeightsError
from resnetkit.export.proof import Asked, Proof
from resnetkit.export.runtimes import RUNTIMES
from resnetkit.export.written import write
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.plan import with_io
from resnetkit.units import each
from resnetkit.zoo import ZOO, find

OUT = Path(__file__).with_name("parity.csv")
CLASSES = 10
KNOWING = 24  # photographs that the head is drawn by


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--size", type=int)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--to", default=",".join(RUNTIMES))
    asked = parser.parse_args()
    folder = Path(os.environ.get("RESNETKIT_TEST_DATA", "data")) / "imagenet-samples"
    paths = sorted(folder.glob("*.JPEG"))[:: asked.every]
    photographs: list[Asked] = [(path.name, decode(path, path.name, channels=3).pixels[None], None) for path in paths]
    wrong = 0
    with OUT.open("w", encoding="utf-8", newline="") as file, TemporaryDirectory() as beside:
        table = csv.writer(file)
        table.writerow(["network", "size", "seconds", "megabytes", *(field.name for field in fields(Proof))])
        for name in asked.networks or ZOO:
            if find(name).ndim != 2:
                print(f"{name:28} is not for pictures, and no model file holds it")
                continue
            for to in asked.to.split(","):
                line, good = tried(name, to, asked.size, photographs, Path(beside))
                wrong += not good
                table.writerow(line)
                print(f"{name:28} {to:9}", *(f"{x:.3g}" if isinstance(x, float) else x for x in line[1:]), flush=True)
                file.flush()
    print(f"{wrong} differ; see {OUT}")
    return 1 if wrong else 0


def tried(name: str, to: str, size: int | None, photographs: list[Asked], beside: Path) -> tuple[list[object], bool]:
    """A row of the table, and whether the file was good."""
    plan = with_io(lay_out(find(name)), classes=CLASSES, channels=3)
    sides = tuple(min(side, size or side) for side in each(plan.size, 2))
    seen = Preprocess(size=(sides[0], sides[1]), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
    card = Card(model=name, plan=plan, classes=tuple("abcdefghij"), preprocess=seen)
    torch.manual_seed(0)
    network = build(plan)
    learn(network, seen, photographs[:KNOWING])
    out = beside / f"file{RUNTIMES[to].suffixes[0]}"
    start = time.perf_counter()
    try:
        _, proof = write(card, network, to, out, "picture", lambda: photographs, "photographs")
    except WeightsError as error:
        return [name, sides[0], time.perf_counter() - start, None, error.what], False
    bytes_ = sum(out.with_suffix(suffix).stat().st_size for suffix in RUNTIMES[to].suffixes)
    line = [name, sides[0], time.perf_counter() - start, bytes_ / 1e6]
    return [*line, *proof.as_dict().values()], proof.same == 1


@torch.no_grad()
def lively(network: nn.Module) -> None:
    """Norms that do something."""
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.2)
        elif tensor.ndim == 1 and not name.endswith("num_batches_tracked"):
            tensor.uniform_(0.1, 0.5)  # larger ones make deep networks chaotic, in torch too


@torch.no_grad()
def learn(network: Network, seen: Preprocess, photographs: list[Asked]) -> None:
    """Norms that do something, and a head that tells photographs apart."""
    lively(network)
    x = torch.from_numpy(seen.normalize(np.stack([seen.apply(one[0]) for _, one, _ in photographs])))
    network.eval()
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    head = network.get_classifier()
    assert isinstance(head, nn.Linear)
    head.weight.copy_(torch.randn(head.weight.shape) * 10 / features.norm(dim=1).mean())
    head.bias.copy_(-0.9 * head.weight @ features.mean(0))  # not the whole mean, or rounding would be much of the rest


if __name__ == "__main__":
    sys.exit(main())
