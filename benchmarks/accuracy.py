"""Accuracy over seeds: trains the same run several times and prints mean, spread and time.

    python -m benchmarks.accuracy --seeds 0 1 2 DATA --model resnet20 --epochs 15

Every word after the seeds goes to `resnet train`. The test part is scored once a run, by the epoch that was best on
validation.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from resnetkit import doctor


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked, words = reader.parse_known_args()
    accuracies, seconds = [], []
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            begun = time.monotonic()
            command = [sys.executable, "-m", "resnetkit", "train", *words, "--seed", str(seed), "--out", str(out)]
            subprocess.run(command, check=True, capture_output=True)
            seconds.append(time.monotonic() - begun)
            metrics = json.loads((out / "metrics.json").read_bytes())
        accuracies.append(metrics["accuracy"])
        print(f"seed {seed}: {metrics['split']} {metrics['accuracy']:.4%} ({metrics['correct']}/{metrics['n']}), "
              f"best epoch {metrics['epoch']}, {seconds[-1]:.0f} s", flush=True)  # fmt: skip
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    print(f"resnet train {' '.join(words)}")
    print(f"mean {statistics.mean(accuracies):.4%}, standard deviation {spread:.4%}, lowest {min(accuracies):.4%}, "
          f"{len(accuracies)} seeds, {min(seconds):.0f}-{max(seconds):.0f} s a run")  # fmt: skip
    print(doctor.table(doctor.examine()))


if __name__ == "__main__":
    main()
