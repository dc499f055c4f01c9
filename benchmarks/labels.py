"""Labels that were swapped on purpose: how many of them are among the first suspects of `resnet check`.

    python -m benchmarks.labels DATA --part test --model resnet20.safetensors
    python -m benchmarks.labels DATA --folds 5 --draws 3

For each draw so many pictures of one part are taken, and some of them get the label of another class, each as likely.
What else is suspected counts as false, although some of it is wrong in the data itself, or looks like another class.
"""

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np

from resnetkit import api, doctor
from resnetkit.data.parts import Source, subset
from resnetkit.data.sources import open_source
from resnetkit.engine.device import choose
from resnetkit.inputs import usual_workers
from resnetkit.trouble.checkup import Trial, checkup
from resnetkit.trouble.features import Judge


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("data")
    reader.add_argument("--part", default="train")
    reader.add_argument("--model")
    reader.add_argument("--folds", type=int, default=5)
    reader.add_argument("--pictures", type=int, default=2000)
    reader.add_argument("--wrong", type=int, default=40)
    reader.add_argument("--first", type=int, default=60)
    reader.add_argument("--draws", type=int, default=7)
    asked = reader.parse_args()
    source, trial, found = open_source(asked.data), trial_of(asked.model, asked.folds), []
    for draw in range(asked.draws):
        drawn, swapped = planted(source, asked.part, asked.pictures, asked.wrong, draw)
        begun = time.monotonic()
        suspects = [f.rows[0] for f in checkup(drawn, (), usual_workers(None), trial=trial).of("label")]
        found.append(len(swapped & set(suspects[: asked.first])))
        print(f"draw {draw}: {found[-1]} of {asked.wrong} among the first {asked.first} of {len(suspects)} suspects, "
              f"{len(swapped & set(suspects))} among all, {time.monotonic() - begun:.0f} s", flush=True)  # fmt: skip
    print(f"mean {statistics.mean(found):.1f}, lowest {min(found)}, highest {max(found)} of {asked.wrong}, "
          f"{asked.draws} draws")  # fmt: skip
    print(doctor.table(doctor.examine()))


def trial_of(model: str | None, folds: int) -> Trial:
    if model is None:
        return Trial(choose(), folds)
    loaded = api.load(model)
    return Trial(Judge.of(loaded.model, loaded.machine, loaded.card.preprocess), folds)


def planted(source: Source, name: Any, pictures: int, wrong: int, draw: int) -> tuple[Source, set[int]]:
    """Some pictures of a part as a source of their own, and the rows of those whose label is not theirs."""
    rng = np.random.default_rng([draw, 77])
    whole, classes = source.parts[name], len(source.classes)
    part = subset(whole, rng.permutation(len(whole.names))[:pictures])
    rows, labels = rng.permutation(pictures)[:wrong], part.labels.copy()
    labels[rows] = (labels[rows] + rng.integers(1, classes, wrong)) % classes
    return replace(source, parts={"all": replace(part, name="all", labels=labels)}), set(rows.tolist())


if __name__ == "__main__":
    main()
