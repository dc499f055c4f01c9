"""Fine-tuning in each mode, from nothing, and in the plain loop of a tutorial: accuracy and time on the same draws.

    python -m benchmarks.finetune DATA START --pictures 50 --draws 5 --modes scratch head stages full auto
    python -m benchmarks.finetune DATA START --pictures 200 --val 100 --modes head stages plain plain-frozen
    python -m benchmarks.finetune DATA START --val own --modes head plain plain-frozen

DATA has a train and a test part; of its train part so many pictures a class are drawn to learn from, and as many
others as --val says to validate with (without it a tenth of those drawn). With --val own all train and val pictures
are used as they are, the latter as test too where there is none, and draws differ by their seed alone. Seconds are of
the whole run in this process, from the first look at the data to the last file, without the test part, which is scored
afterwards. The plain loop is that of torchvision's transfer tutorial: eager float32, SGD, 15 epochs, an evaluation
after each, but for its pictures, which are decoded once; with plain-frozen only the head learns, and nothing is kept.
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnetkit import doctor, modelfile
from resnetkit.data.parts import Part
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.engine.device import keep_memory
from resnetkit.engine.train import Epoch
from resnetkit.mobilenets import build
from resnetkit.network import Network
from resnetkit.run import Run
from resnetkit.training import Done, training
from resnetkit.weights import fill, transfer

EPOCHS, BATCH = 15, 32
PARTS: tuple[Literal["train", "val"], ...] = ("train", "val")
# Of these the plain loops have the best one on the first draw.
RATES = {"plain": (0.01, 0.03, 0.1), "plain-frozen": (0.1, 0.3, 1.0)}
Curve = list[tuple[float, float]]  # seconds, and the validation accuracy reached by then


@dataclass(frozen=True)
class Result:
    """One run: seconds, the share of test pictures that it has right, and (seconds, validation accuracy) on its way."""

    seconds: float
    accuracy: float
    curve: Curve

    def reached(self, accuracy: float) -> float:
        """Seconds to a validation accuracy; infinite where it never got there."""
        return next((seconds for seconds, found in self.curve if found >= accuracy), math.inf)


def drawn(part: Part, classes: tuple[str, ...], wanted: list[str], count: int, skip: int, draw: int) -> list[int]:
    """``count`` pictures of each class, another choice for each draw."""
    order = np.random.default_rng([draw, 7]).permutation(len(part.labels))
    found: dict[int, list[int]] = defaultdict(list)
    for i in order.tolist():
        found[int(part.labels[i])].append(i)
    return [i for name in wanted for i in found[classes.index(name)][skip : skip + count]]


def write(part: Part, classes: tuple[str, ...], rows: list[int], folder: Path) -> None:
    """Pictures in class folders: files as they are, rows of arrays as PNG."""
    for i in rows:
        place = folder / classes[int(part.labels[i])]
        place.mkdir(parents=True, exist_ok=True)
        if suffix := Path(part.names[i]).suffix:
            (place / f"{i:06d}{suffix}").write_bytes(part.encoded(i))
            continue
        pixels = part.read(i).pixels
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(place / f"{i:06d}.png")


def ours(
    data: Path, start: str, mode: str, out: Path, more: dict[str, Any]
) -> tuple[Network, Preprocess, float, Curve]:
    """A run of `resnet train`."""
    settings: dict[str, Any] = {"data": str(data), "out": str(out), **more}
    if mode == "scratch":
        card, _ = modelfile.load(start)
        settings |= {"weights": "none", "model": card.model}
    else:
        settings |= {"weights": start, "finetune": mode}
    begun, curve = time.monotonic(), Curve()
    for event in training(Run(**settings), frozenset(settings)):
        if isinstance(event, Epoch):
            curve.append((time.monotonic() - begun, float(event.row["val_accuracy"])))
        if isinstance(event, Done):
            chosen = float(event.metrics["val_accuracy"])
    seconds = time.monotonic() - begun
    card, state = modelfile.load(out / "best.safetensors")
    model = build(card.plan)
    fill(model, state, what=str(out))
    return model, card.preprocess, seconds, [*curve, (seconds, chosen)]


def plain(
    data: Path, start: str, rate: float, frozen: bool, seed: int, size: int | None = None
) -> tuple[Network, Preprocess, float, Curve]:
    """A loop as tutorials have it, on the same pictures."""
    card, state = modelfile.load(start)
    torch.manual_seed(seed)
    begun, curve = time.monotonic(), Curve()
    source = open_source(str(data))
    seen = replace(card.preprocess, size=(size, size), crop=0.875) if size else card.preprocess
    sets = {name: tensors(source.parts[name], seen) for name in ("train", "val")}
    model = build(card.plan)
    model.reset_classifier(len(source.classes))
    transfer(model, state, old_classes=card.classes, new_classes=source.classes)
    if frozen:
        model.requires_grad_(False)
        model.get_classifier().requires_grad_(True)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=rate, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    images, labels = sets["train"]
    for _ in range(EPOCHS):
        model.train()
        order = torch.randperm(len(labels))
        for rows in order.split(BATCH):
            if len(rows) < 2:
                continue
            mirrored = torch.rand(len(rows)) < 0.5
            shown = torch.where(mirrored.view(-1, 1, 1, 1), images[rows].flip(3), images[rows])
            optimizer.zero_grad()
            cross_entropy(model(shown), labels[rows]).backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            share = right(model, *sets["val"])
        curve.append((time.monotonic() - begun, share))
    return model, seen, time.monotonic() - begun, curve


def tensors(part: Part, seen: Preprocess) -> tuple[Tensor, Tensor]:
    stack = np.stack([seen.apply(part.read(i).pixels) for i in range(len(part.labels))])
    images = torch.from_numpy(stack).permute(0, 3, 1, 2).contiguous().float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (seen.mean, seen.std))
    return (images - mean) / std, torch.from_numpy(np.asarray(part.labels))


@torch.no_grad()
def right(model: Network, images: Tensor, labels: Tensor) -> float:
    """The share of pictures that a network has right."""
    model.eval()
    parts = zip(images.split(250), labels.split(250), strict=True)
    return sum(int((model(x).argmax(1) == y).sum()) for x, y in parts) / len(labels)


def run(
    mode: str, data: Path, start: str, rate: float, more: dict[str, Any]
) -> tuple[Network, Preprocess, float, Curve]:
    if mode.startswith("plain"):
        return plain(data, start, rate, mode == "plain-frozen", more["seed"], more.get("size"))
    with tempfile.TemporaryDirectory() as folder:
        return ours(data, start, mode, Path(folder) / "run", more)


def interval(values: list[float]) -> str:
    """Mean of differences between pairs, and its interval of 95 %, by Student's t."""
    half = float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):+.2f} +-{half:.2f}"


def table(found: dict[str, list[Result]]) -> None:
    first, *_ = found
    peers = [mode for mode in found if mode == first or mode in RATES]
    print(f"{'mode':14}{'test':>8}{'sd':>7}{'seconds':>9}   against others: points, time; then time to its validation")
    for mode, results in found.items():
        shares = [100 * r.accuracy for r in results]
        line = f"{mode:14}{statistics.mean(shares):8.2f}{statistics.stdev(shares):7.2f}"
        line += f"{statistics.mean([r.seconds for r in results]):9.1f}"
        print(line, flush=True)
        for peer in peers if mode not in RATES else ():
            if peer == mode:
                continue
            pairs = list(zip(results, found[peer], strict=True))
            ratios = [b.seconds / a.seconds for a, b in pairs]
            equal = [b.reached(a.curve[-1][1]) / a.seconds for a, b in pairs]
            line = f"{'':38}   {peer}: {interval([100 * (a.accuracy - b.accuracy) for a, b in pairs])}"
            line += f"   {statistics.median(ratios):.1f}x ({min(ratios):.1f}-{max(ratios):.1f})"
            print(line + "   " + " ".join(f"{ratio:.1f}x" for ratio in equal), flush=True)


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("data")
    reader.add_argument("start", help="a model file or run folder to begin from")
    reader.add_argument("--classes", help="of the data, with commas (all)")
    reader.add_argument("--pictures", type=int, default=50, help="of each class, to learn from")
    reader.add_argument("--val", default="0", help="of each class, to validate with; 0 carves a tenth; or own")
    reader.add_argument("--draws", type=int, default=5)
    reader.add_argument(
        "--modes", nargs="+", default=["scratch", "head", "stages", "full"], help="the first is the peer"
    )
    reader.add_argument("--size", type=int)
    reader.add_argument("--budget", help="of auto")
    asked = reader.parse_args()
    keep_memory()
    start = f"{asked.start}/best.safetensors" if Path(asked.start).is_dir() else asked.start
    source = open_source(asked.data)
    wanted = asked.classes.split(",") if asked.classes else list(source.classes)
    test = source.parts.get("test", source.parts["val"] if asked.val == "own" else None)
    assert test is not None, f"{asked.data} has no test part"
    rows = [i for i in range(len(test.labels)) if source.classes[int(test.labels[i])] in wanted]
    names = sorted(wanted)
    labels = torch.tensor([names.index(source.classes[int(test.labels[i])]) for i in rows])
    shown: dict[Preprocess, Tensor] = {}
    found: dict[str, list[Result]] = {mode: [] for mode in asked.modes}
    rates = {mode: RATES[mode][0] for mode in asked.modes if mode in RATES}
    for draw in range(asked.draws):
        with tempfile.TemporaryDirectory() as folder:
            data, train = Path(folder) / "data", source.parts["train"]
            os.environ["RESNETKIT_CACHE"] = f"{folder}/cache"  # no maps of another draw are at hand
            if asked.val == "own":
                for name in PARTS:
                    whole = source.parts[name]
                    write(whole, source.classes, list(range(len(whole.labels))), data / name)
            for name, count, skip in (
                (("train", asked.pictures, 0), ("val", int(asked.val), asked.pictures)) if asked.val != "own" else ()
            ):
                write(train, source.classes, drawn(train, source.classes, wanted, count, skip, draw), data / name)
            for mode in rates if not draw else ():
                tries = {r: plain(data, start, r, mode == "plain-frozen", 0, asked.size)[3][-1][1] for r in RATES[mode]}
                rates[mode] = max(tries, key=lambda r: tries[r])
                print(f"rate of {mode}: {rates[mode]} of {tries}", flush=True)
            for mode in asked.modes:
                more: dict[str, Any] = {"seed": draw} | ({"size": asked.size} if asked.size else {})
                more |= {"budget": asked.budget} if asked.budget and mode == "auto" else {}
                model, seen, seconds, curve = run(mode, data, start, rates.get(mode, 0.0), more)
                if seen not in shown:
                    stack = np.stack([seen.apply(test.read(i).pixels) for i in rows])
                    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (seen.mean, seen.std))
                    shown[seen] = (torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 255 - mean) / std
                found[mode].append(Result(seconds, right(model, shown[seen], labels), curve))
                last = found[mode][-1]
                ends = f"{last.accuracy:.2%} in {seconds:.1f} s, validation {curve[-1][1]:.2%}"
                print(f"draw {draw} {mode}: {ends}, at best {max(v for _, v in curve):.2%}", flush=True)
    table(found)
    print(doctor.table(doctor.examine()))


if __name__ == "__main__":
    main()
