"""One look at every picture: what it is, whether it can be read, and a hash of it all."""

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from itertools import combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import kind_of
from resnetkit.data.labels import words_of
from resnetkit.data.parts import Part, PartName, Source, shown
from resnetkit.errors import DataError, plain, some

T = TypeVar("T")
SMALL = 64  # pixels; pictures of one size up to this are kept, all in one array
HELD = 8 << 30  # bytes that this array may take
CHUNK = 64  # pictures that a thread looks at in one go
MINORITY = 0.05  # share of the pictures below which a file format is named as odd


@dataclass(frozen=True)
class Survey:
    """What was seen. Pictures are in one row, part after part; ``rows`` says where each part stands."""

    rows: dict[PartName, slice]
    shapes: NDArray[np.int32]  # (n, 3) height, width, channels as stored; zeros where a picture cannot be read
    digests: tuple[str, ...]  # BLAKE2b-128 of the stored bytes, "" where they cannot be read
    formats: dict[str, int]  # pictures of each file format, the most frequent first
    bad: list[tuple[str, DataError]]  # pictures that cannot be read, and why
    notes: list[str]
    stack: NDArray[np.uint8] | None  # (n, height, width, channels) if all that can be read are small and of one size

    @property
    def readable(self) -> NDArray[np.bool_]:
        """(n,) which pictures can be read."""
        return self.shapes[:, 0] > 0


@dataclass(frozen=True)
class Seen:
    """What was seen of one picture."""

    shape: tuple[int, ...]
    digest: str
    format: str
    notes: tuple[str, ...] = ()
    error: DataError | None = None  # why it cannot be read


def survey(source: Source, workers: int, *, progress: Callable[[int, int], None] | None = None) -> Survey:
    """Decode every picture of the source once, in ``workers`` threads; ``progress`` hears (done, of how many)."""
    places = [(part, i) for part in source.parts.values() for i in range(len(part.names))]
    stop = threading.Event()
    stack = room_for(source, places)
    one_size = stack is not None

    def look(start: int) -> list[Seen]:
        nonlocal one_size
        seen = []
        for row in range(start, min(start + CHUNK, len(places))):
            if stop.is_set():
                break
            one, pixels = look_at(*places[row], source.arrays)
            if one_size and stack is not None and pixels is not None:
                if pixels.shape[:2] == stack.shape[1:3]:
                    stack[row] = pixels
                else:
                    one_size = False
            seen.append(one)
        return seen

    found: list[Seen] = []
    for seen in in_threads(look, range(0, len(places), CHUNK), workers, stop):
        found += seen
        if progress:
            progress(len(found), len(places))
    return summary(source, found, stack if one_size else None)


def in_threads(work: Callable[[int], T], items: Iterable[int], workers: int, stop: threading.Event) -> Iterator[T]:
    """``map`` by threads; when the caller leaves early they are told, and waited for."""
    if workers < 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(workers, "survey")
    try:
        yield from pool.map(work, items)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def room_for(source: Source, places: list[tuple[Part, int]]) -> NDArray[np.uint8] | None:
    """An empty array for all pictures, should they all be like the first that can be read."""
    first = next(filter(None, (shape_of(part, i) for part, i in places)), None)
    if first is None:
        return None
    height, width, channels = first
    shape = len(places), height, width, max(channels, source.channels)
    return np.empty(shape, np.uint8) if max(height, width) <= SMALL and np.prod(shape, dtype=float) <= HELD else None


def shape_of(part: Part, i: int) -> tuple[int, ...] | None:
    try:
        return part.read(i).pixels.shape
    except DataError:
        return None


def look_at(part: Part, i: int, arrays: bool) -> tuple[Seen, NDArray[np.uint8] | None]:
    try:
        data = part.encoded(i)
        picture = part.read(i)
    except DataError as error:
        return Seen((0, 0, 0), "", "", error=error), None
    kind = "array" if arrays else kind_of(data)
    return Seen(picture.pixels.shape, digest_of(data), kind, picture.notes), picture.pixels


def digest_of(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def stored_digest(part: Part, i: int) -> str:
    """The hash of a picture's bytes, decoded or not; nothing where they cannot be had."""
    try:
        return digest_of(part.encoded(i))
    except DataError:
        return ""


def summary(source: Source, seen: list[Seen], stack: NDArray[np.uint8] | None) -> Survey:
    rows: dict[PartName, slice] = {}
    names: list[str] = []
    for part in source.parts.values():
        rows[part.name] = slice(len(names), len(names) + len(part.names))
        names += shown(source, part)
    bad = [(name, one.error) for name, one in zip(names, seen, strict=True) if one.error]
    formats: dict[str, list[str]] = defaultdict(list)
    remarks: dict[str, list[str]] = defaultdict(list)
    for name, one in zip(names, seen, strict=True):
        if one.format:
            formats[one.format].append(name)
        for note in one.notes:
            remarks[note].append(name)
    by_count = dict(sorted(formats.items(), key=lambda item: -len(item[1])))
    notes = odd_formats(by_count)
    notes += [f"{some(where, 1)}: {note}" for note, where in list(remarks.items())[:20]]
    if len(remarks) > 20:
        notes.append(f"and {len(remarks) - 20} more remarks of that kind")
    digests = tuple(one.digest for one in seen)
    labels = [word for part in source.parts.values() for word in words_of(source.task, source.classes, part.labels)]
    notes += repeats(names, digests, labels, rows)
    shapes = np.array([one.shape for one in seen], np.int32).reshape(-1, 3)
    return Survey(rows, shapes, digests, {name: len(of) for name, of in by_count.items()}, bad, notes, stack)


def odd_formats(formats: dict[str, list[str]]) -> list[str]:
    """The pictures in a format that few have: often strays, such as a page saying that there is no picture."""
    if not formats:
        return []
    (main, usual), *others = formats.items()
    few = MINORITY * sum(map(len, formats.values()))
    return [
        f"{plain(names[0])}: {kind} among {len(usual):,} {main}"
        if len(names) == 1
        else f"{len(names)} {kind} among {len(usual):,} {main}: {some(names, 3)}"
        for kind, names in others
        if len(names) <= few
    ]


def repeats(names: list[str], digests: tuple[str, ...], classes: list[str], rows: dict[PartName, slice]) -> list[str]:
    """Pictures that are there more than once, byte for byte: in two classes, in two parts, or in one."""
    alike: dict[str, list[int]] = defaultdict(list)
    for i, digest in enumerate(digests):
        alike[digest].append(i)
    alike.pop("", None)  # those that cannot be read are not alike
    groups = [group for group in alike.values() if len(group) > 1]
    notes = []
    pairs = [(g[0], i) for g in groups if (i := next((i for i in g if classes[i] != classes[g[0]]), 0))]
    if pairs:
        notes.append(f"the same picture in two classes: {likes(names, pairs)}")
    for one, other in combinations(rows, 2):
        inside = [(part_of(group, rows[one]), part_of(group, rows[other])) for group in groups]
        pairs = [(i, first[0]) for first, second in inside if first for i in second]
        if pairs:
            size = rows[other].stop - rows[other].start
            many = "ALL" if len(pairs) == size else f"{len(pairs):,}"
            notes.append(f"the same picture in {other} and {one}, {many} of {size:,}: {likes(names, pairs)}")
    for part, where in rows.items():
        twice = [group for group in (part_of(group, where) for group in groups) if len(group) > 1]
        if twice:
            notes.append(f"the same picture twice in {part}: {likes(names, [(g[0], g[1]) for g in twice])}")
    return notes


def part_of(group: list[int], where: slice) -> list[int]:
    return [i for i in group if where.start <= i < where.stop]


def likes(names: list[str], pairs: list[tuple[int, int]]) -> str:
    return some([f"{names[a]} = {names[b]}" for a, b in pairs], 3)


def refuse_bad(seen: Survey, remedy: str = "") -> None:
    """Training and selection need every picture: raises DataError naming those that cannot be read.

    ``remedy`` is what else can be done than to mend them.
    """
    if not seen.bad:
        return
    errors = [error for _, error in seen.bad]
    if len(errors) == 1:
        raise DataError(f"one picture cannot be read: {errors[0].what}", errors[0].fix + remedy)
    reasons = some([error.what for error in errors], 3)
    raise DataError(f"{len(errors):,} pictures cannot be read: {reasons}", "replace or remove the files" + remedy)


def data_hash(source: Source, seen: Survey | None = None) -> str:
    """One hash over part, class, name and content of every picture, in whatever order and folder they are.

    Without a survey every picture's bytes are read. Of a picture that cannot be decoded the bytes count all the same,
    and of one whose bytes cannot be had that it is there.
    """
    rows = []
    for name, part in source.parts.items():
        known = seen.digests[seen.rows[name]] if seen else [""] * len(part.names)
        digests = [digest or stored_digest(part, i) for i, digest in enumerate(known)]
        labels = words_of(source.task, source.classes, part.labels)
        for path, label, digest in zip(part.names, labels, digests, strict=True):
            rows.append(json.dumps([name, label, path, digest]))
    return digest_of("\n".join(sorted(rows)).encode("ascii"))


def moments(images: Iterable[NDArray[np.uint8]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, 0..1, over batches (n, h, w, c) of pictures.

    Counted in whole numbers, so that neither order nor batches change the last bit. A channel that never
    varies gets the deviation of one grey level, so that it can be divided by.
    """
    counts: NDArray[np.int64] | None = None
    for batch in images:
        flat = batch.reshape(-1, batch.shape[-1])
        counts = np.zeros((flat.shape[1], 256), np.int64) if counts is None else counts
        for start in range(0, len(flat), 1 << 16):  # bincount is ten times faster on what stays in the cache
            for channel, row in zip(flat[start : start + (1 << 16)].T, counts, strict=True):
                row += np.bincount(channel, minlength=256)
    if counts is None or not counts.sum():
        raise DataError("there is no picture to measure", "add pictures to train")
    mean, std = [], []
    for row in counts.tolist():
        n, total = sum(row), sum(v * k for v, k in enumerate(row))
        square = sum(v * v * k for v, k in enumerate(row))
        mean.append(total / n / 255)
        std.append(max((n * square - total * total) ** 0.5 / n, 1.0) / 255)
    return tuple(mean), tuple(std)
