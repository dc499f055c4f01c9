"""How often promises hold where the truth is known: intervals, temperatures, thresholds, comparisons.

python -m benchmarks.simulations [TIMES]          TIMES of each, 1,000 if nothing is said: about ten minutes on a core
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import test_calibration  # noqa: E402
import test_compare  # noqa: E402
import test_rejection  # noqa: E402
from test_intervals import FIGURES, NOMINAL, population, truth  # noqa: E402

from resnetkit.calibration import temperature  # noqa: E402
from resnetkit.intervals import of_classes  # noqa: E402
from resnetkit.pairs import Pairs, winner  # noqa: E402
from resnetkit.rejection import kept, threshold  # noqa: E402


def main(times: int) -> None:
    for what, of, share in (*intervals(times), *groups(times), *temperatures(times), *promises(times), *pairs(times)):
        print(f"| {what} | {of:,} | {share:.1%} |", flush=True)


def intervals(times: int) -> Iterator[tuple[str, int, float]]:
    joint = population()
    true = truth(joint)
    for n in (100, 250, 1000):
        rng, held = np.random.default_rng(n), dict.fromkeys(FIGURES, 0)
        for _ in range(times):
            cells = rng.choice(joint.size, n, p=joint.ravel())
            spans = of_classes(cells // 4, cells % 4, rng.exponential(1, n), 4, level=NOMINAL)
            for name in FIGURES:
                held[name] += spans[name].low <= true[name] <= spans[name].high
        yield from ((f"90 % interval of {name}, {n:,} pictures", times, held[name] / times) for name in FIGURES)


def groups(times: int) -> Iterator[tuple[str, int, float]]:
    for cameras in (8, 24, 60):
        rng, held = np.random.default_rng(cameras), 0
        names = [f"camera {i // 20}" for i in range(20 * cameras)]
        for _ in range(times):
            right = rng.random(20 * cameras) < np.repeat(rng.beta(4, 1, cameras), 20)
            labels = rng.integers(0, 2, 20 * cameras)
            said = np.where(right, labels, 1 - labels)
            spans = of_classes(labels, said, np.ones(len(labels)), 2, groups=names, level=NOMINAL)
            held += spans["accuracy"].low <= 0.8 <= spans["accuracy"].high
        yield f"90 % interval of accuracy, {cameras} groups of 20 pictures", times, held / times


def temperatures(times: int) -> Iterator[tuple[str, int, float]]:
    changed = sum(temperature(*test_calibration.answers(seed, 150)) != 1 for seed in range(times))
    yield "another temperature than 1 for sound probabilities, 150 pictures", times, changed / times


def promises(times: int) -> Iterator[tuple[str, int, float]]:
    """Judged on 200,000 other pictures, nearly all there are; one promise in twenty may be broken."""
    unseen = test_rejection.answers(10**6, 200_000)
    for risk in (0.06, 0.08, 0.1):
        found = [threshold(*test_rejection.answers(seed, 2000), risk) for seed in range(times)]
        made = [one for one in found if one is not None]
        broken = sum(kept(*unseen, one)["risk"] > risk for one in made)
        yield f"risk of {risk:.0%} promised on 2,000 pictures and broken", len(made), broken / max(1, len(made))


def pairs(times: int) -> Iterator[tuple[str, int, float]]:
    for n in (200, 2000, 10_000):
        alike = [Pairs.of(*test_compare.two(seed, n, 0.9, 0.9)) for seed in range(times)]
        called = sum(winner(pair, None, grouped=False) is None for pair in alike)
        yield f"equal networks of which neither is called better, {n:,} pictures", times, called / times
    apart = [Pairs.of(*test_compare.two(seed, 10_000, 0.9, 0.88)) for seed in range(times)]
    found = sum(winner(pair, None, grouped=False) == "a" for pair in apart)
    yield "a difference of 2 points found, 10,000 pictures", times, found / times


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
