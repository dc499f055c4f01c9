"""One photograph from a cold start: resnet predict beside a script with torch and torchvision, a process each time.

All have the same weights of a resnet50 at 224. The script is what people write: import, build, load, transform, ask.
Processes take turns; the first of each is not counted, so that files are in the system's cache for all.

    python -m benchmarks.cold PHOTOGRAPH [--rounds 9] [--python PYTHON]

``--python`` is one where resnetkit is installed as users have it: an editable install costs 30 ms of each start.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from resnetkit.classifier import Classifier
from resnetkit.data.preprocess import Preprocess
from resnetkit.engine.device import choose
from resnetkit.layout import lay_out
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card, save
from resnetkit.plan import with_io
from resnetkit.zoo import find

TESTS = Path(__file__).parent.parent / "tests"
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[3])
import torch
from peers import peer
models, transforms = peer("torchvision.models"), peer("torchvision.transforms")
from PIL import Image
net = models.resnet50(num_classes=10)
net.load_state_dict(torch.load(sys.argv[1]))
net.eval()
norm = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), norm])
with torch.inference_mode():
    p = net(prepare(Image.open(sys.argv[2]).convert("RGB"))[None]).softmax(1)[0]
print("abcdefghij"[int(p.argmax())], f"{p.max():.2%}")
"""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("photograph")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--python", default=sys.executable)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        commands = made(Path(folder), asked.python, asked.photograph)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(asked.rounds + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                if turn:
                    times[name].append(time.perf_counter() - start)
                else:
                    print(
                        f"{name:28} {' '.join(done.stdout.split()[-2 if name == 'torch and torchvision' else 1 :][:2])}"
                    )
    first = median(times["torch and torchvision"])
    for name, some in times.items():
        print(f"{name:28} {median(some):.3f} s ({min(some):.3f}-{max(some):.3f})  {first / median(some):.2f}x")
    return 0


def made(folder: Path, python: str, photograph: str) -> dict[str, list[str]]:
    """The files, and the command of each."""
    plan = with_io(lay_out(find("resnet50")), classes=10, channels=3)
    torch.manual_seed(0)
    network = build(plan).eval()
    with torch.no_grad():
        network.get_classifier().weight.mul_(50)  # type: ignore[operator]  # so that answers differ
    seen = Preprocess(size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels=3)
    card = Card(model="resnet50", plan=plan, classes=tuple("abcdefghij"), preprocess=seen)
    save(folder / "m.safetensors", network.state_dict(), card)
    torch.save(network.state_dict(), folder / "m.pth")
    model = Classifier(card, network, choose("cpu", "fp32"))
    model.export(to="onnx", out=folder / "m.onnx")
    model.export(to="openvino", out=folder / "m.xml")
    predict = [python, "-m", "resnetkit", "predict"]
    return {
        "torch and torchvision": [sys.executable, "-c", SCRIPT, str(folder / "m.pth"), photograph, str(TESTS)],
        "m.onnx": [*predict, str(folder / "m.onnx"), photograph],
        "m.xml": [*predict, str(folder / "m.xml"), photograph],
        "m.safetensors": [*predict, str(folder / "m.safetensors"), photograph],
    }


if __name__ == "__main__":
    sys.exit(main())
