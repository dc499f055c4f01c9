"""A file in whole numbers of 8 bits: which layers stay in float32 is decided on val, and confirmed once on test."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit import likeness
from resnetkit.answers import join
from resnetkit.data.parts import Part
from resnetkit.deployed import Deployed
from resnetkit.errors import DataError, UsageError, WeightsError, plain
from resnetkit.export.calibrating import showing, watched
from resnetkit.export.graph import LOGITS, TENSOR, Drawing, Takes
from resnetkit.export.nodes import Nodes, Value
from resnetkit.export.parted import Parted, evenly, left_out
from resnetkit.export.quantizing import Graph, Layer, Seen, quantized
from resnetkit.export.runtimes import RUNTIMES, Ask
from resnetkit.inputs import usual_workers
from resnetkit.modelfile import Card
from resnetkit.tasks import TASKS

PICTURES = 300  # that scales come from
RANKED = 32  # of them, that layers are ranked by
POINTS = 2**18  # of pictures that go through at a time while their maps are looked at
DROP = 0.5  # points that may be lost if nothing else is said
MOST_DROP = 10.0
PRECISIONS = ("fp32", "int8")
TAKERS = ("onnx", "openvino")  # of files of int8
DIGITS = 9  # of a drop: a computer adds a little to the difference of two shares


@dataclass(frozen=True)
class Scored:
    """The figure that the task is judged by, on one part."""

    pictures: int
    float32: float
    int8: float
    drop: float  # points: hundredths


@dataclass(frozen=True)
class Lowered:
    """How a file of 8 bits was made, and what it costs."""

    figure: str  # that the task is judged by, in words
    max_drop: float  # points
    scales_from: str  # train or val
    pictures: int  # that the scales come from
    layers: int  # convolutions, sums and the head
    float32: tuple[str, ...]  # those that stay so, the one first that disturbed most
    val: Scored
    test: Scored | None
    notes: tuple[str, ...]


def asked_drop(to: str, precision: str | None, max_drop: object, data: object) -> float | None:
    """How many points a file of 8 bits may lose; None for one of float32. UsageError for what cannot be meant."""
    if precision not in (None, *PRECISIONS):
        raise UsageError(f"precision is {plain(precision)}", f"use {' or '.join(PRECISIONS)}")
    if precision != "int8":
        if max_drop is not None:
            raise UsageError("max-drop is about files of int8", "leave max-drop out, or use the precision int8")
        return None
    if to not in TAKERS:
        raise UsageError(f"{plain(to)} takes no file of int8", f"use --to {' or '.join(TAKERS)}")
    if data is None:
        raise UsageError("int8 takes pictures to choose its scales by", "give some as data, with --data DATA")
    if max_drop is None:
        return DROP
    if isinstance(max_drop, bool) or not isinstance(max_drop, (int, float)) or not 0 <= max_drop <= MOST_DROP:
        raise UsageError(f"max-drop is {plain(max_drop)}", f"use points from 0 to {MOST_DROP:g}, such as {DROP}")
    return float(max_drop)


class Lowering:
    """A drawing on its way to 8 bits in a runtime; files are tried in ``folder``, and ``tell`` hears what is tried."""

    def __init__(
        self,
        card: Card,
        drawing: Drawing,
        takes: Takes,
        to: str,
        parted: Parted,
        folder: Path,
        threads: int,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.tell = tell or (lambda _: None)
        self.card, self.drawing, self.takes, self.parted = card, drawing, takes, parted
        self.runtime, self.folder, self.threads = RUNTIMES[to], folder, threads
        self.ends = to == "onnx"  # onnxruntime puts on whole numbers what also ends as such
        self.graph = Graph(drawing.g, TENSOR, LOGITS)
        self.alone = self.graph.alone()
        self.layers = self.graph.layers()
        self.files = 0
        self.unread: dict[str, None] = {}  # what to say of pictures that could not be read, each once
        self.every = {node.output for node in self.graph.nodes}

    def lowered(self, max_drop: float) -> tuple[Drawing, Lowered]:
        """The drawing with as much on 8 bits as val allows. Raises WeightsError where nothing helps."""
        self.tell(f"int8: what float32 makes of val, {len(self.parted.val.names):,} pictures")
        wanted = self.figure(self.drawing, self.parted.val)[0]  # which refuses answers that are not finite
        tensors = self.tensors()
        self.seen = self.calibrated(tensors)
        left, val = self.chosen(wanted, max_drop, tensors)
        drawing = self.drawn(left)
        if self.parted.test:
            self.tell(f"int8: confirming it on test, {len(self.parted.test.names):,} pictures")
        test = self.scored(drawing, self.parted.test, None) if self.parted.test else None
        notes = (*self.parted.notes, *self.unread)
        if self.card.reject:
            notes += ("the threshold was chosen by answers of float32; its promise is not measured for those of int8",)
        figure = TASKS[self.card.task].says
        if test and test.drop > max_drop:
            notes += (f"on test int8 loses {test.drop:.2f} points of {figure}, more than the {max_drop:g} of val",)
        says = tuple(layer.says for layer in left)
        count, where = sum(map(len, tensors)), self.parted.scales_from
        return drawing, Lowered(figure, max_drop, where, count, len(self.layers), says, val, test, notes)

    def tensors(self) -> list[NDArray[np.float32]]:
        """The pictures that scales come from, as the network takes them, in batches."""
        seen, part, found, missed = self.card.preprocess, self.parted.scales, list[NDArray[np.uint8]](), list[int]()
        for i in evenly(part, PICTURES):
            try:
                found.append(seen.apply(part.read(i).pixels))
            except DataError:
                missed.append(i)
        self.unread |= dict.fromkeys(left_out(self.parted.scales_from, part, missed))
        if not found:
            raise DataError(f"no picture of {self.parted.scales_from} can be read", "give other data")
        batch = max(1, min(50, POINTS // (seen.size[0] * seen.size[1])))
        return [seen.normalize(np.stack(found[i : i + batch])) for i in range(0, len(found), batch)]

    def calibrated(self, tensors: Sequence[NDArray[np.float32]]) -> Seen:
        names = self.graph.rounded(set(), self.ends)
        plain_graph = quantized(self.alone, Seen({}, {}), self.every, ends=self.ends)
        return watched(self.opened(showing(self.network(plain_graph), names)), names, tensors)

    def chosen(
        self, wanted: float, max_drop: float, tensors: Sequence[NDArray[np.float32]]
    ) -> tuple[list[Layer], Scored]:
        """The layers that stay in float32: as few of those that disturb most as keep val within ``max_drop``."""
        val = self.tried([], wanted)
        if val.drop <= max_drop:
            return [], val
        self.tell(f"int8: ranking {len(self.layers)} layers by what each disturbs")
        order = self.ranked(tensors)
        few, many = 0, 1
        while (val := self.tried(order[:many], wanted)).drop > max_drop:
            if many >= len(order) - 1:
                what = f"{self.card.model} loses {val.drop:.2f} points of {TASKS[self.card.task].says} on val in int8"
                more = f"even with {many} of {len(order)} layers in float32, where {max_drop:g} are allowed"
                raise WeightsError(f"{what}, {more}; it is not kept", "allow more with --max-drop, or leave it float32")
            few, many = many, min(2 * many, len(order) - 1)
        while many - few > 1:
            middle = (few + many) // 2
            tried = self.tried(order[:middle], wanted)
            if tried.drop <= max_drop:
                many, val = middle, tried
            else:
                few = middle
        return order[:many], val

    def tried(self, left: Sequence[Layer], wanted: float) -> Scored:
        """Val with these layers in float32."""
        found = self.scored(self.drawn(left), self.parted.val, wanted)
        lost = f"{abs(found.drop):.2f} points {'less' if found.drop >= 0 else 'more'} on val"
        self.tell(f"int8: {len(self.layers) - len(left)} of {len(self.layers)} layers in 8 bits, {lost}")
        return found

    def ranked(self, tensors: Sequence[NDArray[np.float32]]) -> list[Layer]:
        """The layers in the order of how far logits go from those of float32 where each alone is in 8 bits."""
        some = np.concatenate(tensors)
        some = some[np.unique(np.linspace(0, len(some) - 1, RANKED).astype(int))]
        wanted = self.logits(self.every, some)
        errors = {
            one.output: float(((self.logits(self.every - {one.output}, some) - wanted) ** 2).mean())
            for one in self.layers
        }
        return sorted(self.layers, key=lambda one: -errors[one.output])

    def logits(self, left: set[str], tensors: NDArray[np.float32]) -> NDArray[np.float64]:
        graph = quantized(self.alone, self.seen, left, ends=self.ends)
        return self.opened(self.network(graph))(tensors)[LOGITS].astype(np.float64)

    def drawn(self, left: Sequence[Layer]) -> Drawing:
        g = quantized(self.graph, self.seen, {one.output for one in left}, ends=self.ends)
        return Drawing(g, self.drawing.inputs, self.drawing.outputs)

    def network(self, g: Nodes) -> bytes:
        """What takes tensors and gives logits, as an ONNX file."""
        tensor: Value = (TENSOR, np.float32, ("n", self.card.preprocess.channels, *self.card.preprocess.size))
        return g.to_bytes([tensor], [(LOGITS, np.float32, ("n", len(self.card.classes)))], {})

    def scored(self, drawing: Drawing, part: Part, wanted: float | None) -> Scored:
        """``wanted`` is the figure of float32, where it is known."""
        float32 = self.figure(self.drawing, part)[0] if wanted is None else wanted
        int8, count = self.figure(drawing, part)
        return Scored(count, float32, int8, round(100 * (float32 - int8), DIGITS))

    def figure(self, drawing: Drawing, part: Part) -> tuple[float, int]:
        """What the task is judged by, of the file of a drawing, and of how many pictures."""
        ask = self.opened(drawing.to_bytes({}))
        file = Deployed(self.card, self.takes, ask, self.runtime, self.folder)
        answers = join(file.answers(part, file.ask, usual_workers(None)))
        file.refuse_overflow(answers.logits)
        if not len(answers.labels):
            raise DataError("no picture of val or of test can be read", "give other data")
        said = "val" if part is self.parted.val else "test"
        self.unread |= dict.fromkeys(left_out(said, part, [i for i, _ in answers.errors]))
        return likeness.figure(self.card, answers.logits, answers.labels), len(answers.labels)

    def opened(self, graph: bytes) -> Ask:
        for file in self.folder.glob("try*"):
            with suppress(OSError):  # Windows keeps what is open
                file.unlink()
        self.files += 1
        path = self.folder / f"try{self.files}{self.runtime.suffixes[0]}"
        self.runtime.save(graph, path)
        return self.runtime.open(path, self.threads, None)
