"""The fastest way to run a network here that answers as it should: tried, timed, and remembered."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from resnetkit import cost, likeness
from resnetkit.engine.device import Machine
from resnetkit.engine.evaluate import forward
from resnetkit.engine.memory import free
from resnetkit.errors import ResourceError, WeightsError
from resnetkit.export.proof import limit
from resnetkit.export.samples import samples
from resnetkit.fast.graphs import Graphs
from resnetkit.fast.remembered import keep, key_of, recall
from resnetkit.fast.ways import FUSED, Run, Way, opened, ways
from resnetkit.modelfile import Card
from resnetkit.network import Network

TOLERANCE = 0.01  # of a probability, or of the deviation of a number: what "auto" may change
MARGIN = 4  # by which the pictures that are tried have to be better, since there are worse ones
WORK = 4e10  # multiply-adds of a pass that is timed, or that is asked of sample pictures
ENOUGH = 0.3  # seconds that one way is timed for, and at least so many passes
ROUNDS = 2
LARGEST = 4096  # pictures at a time
HOPELESS = 2.5  # times as slow as the best so far: not timed further
LONG = 1.0  # seconds of a pass that says enough by itself
LOSING = 1.3  # times as slow as float32 in torch: such a precision is not tried in other runtimes
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """A way, ready to run."""

    way: Way
    run: Run
    seconds: float  # of one batch, when it was measured
    apart: float  # largest difference of what the sample pictures were answered, to torch in float32
    pictures: int  # of those


class Chooser:
    """One network on one machine, with what every way is held against."""

    def __init__(
        self,
        card: Card,
        network: Network,
        machine: Machine,
        graphs: Graphs | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.card, self.network, self.machine = card, network, machine
        self.graphs, self.tell = graphs or Graphs(card, network), tell  # which hears what takes a while
        self.most = pass_of(card)
        seen = [card.preprocess.apply(one) for some in samples(card.preprocess.size) for one in some]
        self.seen = np.stack(seen[-self.most :])  # of which the last are digits, and the first noise
        full = Machine(machine.device, "fp32")
        self.wanted: Logits = forward(network, self.seen, card.preprocess, full)

    def choose(self, precision: str, batch: int) -> Found:
        """The fastest way of a precision for so many pictures at a time; of "auto" that of any within TOLERANCE.

        Raises WeightsError where no way answers as it should, ResourceError for more pictures than memory has room for.
        """
        refuse_large(self.card, batch, self.machine)
        some = self.asked(precision, batch)
        versions, threads = sorted({way.says for way in some}), torch.get_num_threads()
        plan, sides = repr(self.card.plan), self.card.preprocess.size
        key = key_of("way", str(self.machine.device), precision, batch, versions, threads, plan, sides)
        if (known := recall(key)) is not None:
            for way in some:
                if str(way) == known.get("way") and (found := self.tried(way, precision, None)):
                    return found
        if self.tell:
            self.tell(f"finding the fastest way to run this {self.card.model} here, which is remembered")
        images = np.random.default_rng(0).integers(0, 256, (min(batch, self.most), *self.seen.shape[1:]), np.uint8)
        best: Found | None = None
        times: dict[str, float] = {}
        full = str(Way(FUSED, "fp32"))
        for way in some:
            low = str(Way(FUSED, way.precision))
            if str(way) != low and times.get(low, 0) > LOSING * times.get(full, np.inf):
                continue
            found = self.tried(way, precision, partial(seconds, images, best.seconds if best else np.inf))
            if found is None:
                continue
            times[str(way)] = found.seconds
            if best is None or found.seconds < best.seconds:
                best = found
        if best is None:
            what = f"no way to run this {self.card.model} in {precision} answers as torch does in float32"
            raise WeightsError(what, "use it as it is: precision fp32")
        keep(key, {"network": self.card.model, "batch": batch, "way": str(best.way), "seconds": times})
        return best

    def asked(self, precision: str, batch: int) -> list[Way]:
        """The ways of a precision, which torch always has."""
        every = ways(self.machine, batch, int8=precision == "int8")
        if precision == "auto":
            return every
        found = [way for way in every if way.precision == precision]
        if not found and precision == "int8":
            raise ResourceError("no runtime for int8 is here", 'pip install "resnetkit[export]"')
        return found or [Way(FUSED, precision)]

    def tried(self, way: Way, precision: str, timing: Callable[[Run], float] | None) -> Found | None:
        """A way that runs and answers as it should, or None. What does not run here is not the user's trouble.

        But for int8, where it says that the pictures, or the points that may be lost, are not enough.
        """
        try:
            run = opened(way, self.card, self.network, self.machine, self.graphs)
            answers = run(self.seen)
        except Exception:
            if way.precision == "int8":
                raise
            return None
        far = likeness.apart(self.card, answers, self.wanted)
        if not self.good(way, precision, answers, far):
            return None
        return Found(way, run, timing(run) if timing else np.nan, far, len(self.seen))

    def good(self, way: Way, precision: str, answers: Logits, far: float) -> bool:
        if not np.isfinite(answers).all():
            return False
        if way.precision == "fp32":
            return float(np.abs(answers - self.wanted).max()) <= limit(self.wanted)
        return precision != "auto" or far <= TOLERANCE / MARGIN


def refuse_large(card: Card, batch: int, machine: Machine) -> None:
    """ResourceError where so many pictures at a time would end the process, as far as the system says."""
    room, takes = free(machine), batch * cost.pass_bytes(card.plan, card.preprocess.size)
    if room is not None and takes > room:
        what = f"{batch:,} pictures at a time take {takes / 2**30:,.1f} GiB, and {room / 2**30:,.1f} are free"
        raise ResourceError(what, "take fewer at a time")


def pass_of(card: Card) -> int:
    """How many pictures a way is tried on at a time."""
    return max(4, int(WORK / cost.totals(card.plan, card.preprocess.size).macs))


def seconds(images: NDArray[np.uint8], best: float, run: Run) -> float:
    """The median time of one batch."""

    def once() -> float:
        start = time.perf_counter()
        run(images)
        return time.perf_counter() - start

    if (first := once()) > LONG:
        return first
    times: list[float] = []  # without the first, in which it made itself ready
    while len(times) < ROUNDS or (sum(times) < ENOUGH and len(times) < 100):
        times.append(once())
        if times[-1] > HOPELESS * best:
            break
    return median(times)
