"""Every batch is a function of seed and step: of no thread, no stop, no other batch."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from samples import folder

from resnetkit.data.augment import Augment
from resnetkit.data.batches import Batch, bounds, steps_per_epoch, train_batches
from resnetkit.data.decode import Picture
from resnetkit.data.examples import Examples, eval_batches, examples
from resnetkit.data.order import epoch_order
from resnetkit.data.preprocess import Preprocess
from resnetkit.data.sources import open_source
from resnetkit.data.survey import survey
from resnetkit.errors import DataError

N = 21
SMALL = Preprocess(size=(8, 8), crop=1.0, mean=(0.1, 0.2, 0.3), std=(1.0,) * 3, channels=3)
PHOTO = Preprocess(size=(10, 12), mean=(0.1, 0.2, 0.3), std=(1.0,) * 3, channels=3)
CROPS = [Augment(crop="pad"), Augment(crop="none"), Augment(crop="resized")]
BEFORE = {  # what the first batches were when crop and mirror were all there was
    "fae393a03823f890": Augment(crop="pad"),
    "85bf5c904d873c04": Augment(crop="none"),
    "39b0c57cc2785738": Augment(crop="pad", flip=False),
}
RICH = [
    Augment(crop="pad", policy="randaugment", jitter=0.4, hue=0.1, cutout=0.25, erase=0.5),
    Augment(crop="resized", policy="trivialaugment", policy_count=1, jitter=0.4),
    Augment(crop="none", policy="augmix", policy_count=3, erase=0.5),
]


def pixels(i: int) -> NDArray[np.uint8]:
    return np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)


def made(stacked: bool = True, n: int = N, preprocess: Preprocess = SMALL) -> Examples:
    """Pictures that tell their number, in one array or to be read."""
    names, labels = [f"{i}.png" for i in range(n)], np.arange(n) % 3
    stack = np.stack([pixels(i) for i in range(n)]) if stacked and n else None
    return Examples(
        names=names, labels=labels, preprocess=preprocess, stack=stack, read=lambda i: Picture(pixels(i), ())
    )


def take(
    pictures: Examples,
    augment: Augment = CROPS[0],
    start: int = 0,
    stop: int = 12,
    workers: int = 0,
    batch: int = 4,
    seed: int = 0,
) -> list[Batch]:
    steps = train_batches(pictures, augment, seed=seed, batch=batch, start_step=start, stop_step=stop, workers=workers)
    return list(steps)


def same(one: list[Batch], other: list[Batch]) -> bool:
    assert len(one) == len(other) > 0
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one, other, strict=True)
        for name in ("index", "images", "labels")
    )


@given(st.integers(1, 300), st.integers(1, 100))
def test_bounds(n: int, batch: int) -> None:
    cuts = bounds(n, batch)
    assert [i for start, stop in cuts for i in range(start, stop)] == list(range(n))
    sizes = [stop - start for start, stop in cuts]
    assert all(size == batch for size in sizes[:-1])
    assert sizes[-1] <= batch + 1
    if batch > 1 and n > 1:
        assert min(sizes) > 1
    assert steps_per_epoch(n, batch) == len(cuts) == -(-n // batch) - (n % batch == 1 and n > batch > 1)


def test_bounds_by_example() -> None:
    assert bounds(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert bounds(9, 4) == [(0, 4), (4, 9)]
    assert bounds(3, 4) == [(0, 3)]
    assert bounds(5, 4) == [(0, 5)]
    assert bounds(1, 4) == [(0, 1)]
    assert bounds(2, 1) == [(0, 1), (1, 2)]
    assert bounds(0, 4) == []


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("augment", CROPS)
@pytest.mark.parametrize("preprocess", [SMALL, PHOTO, replace(SMALL, crop=0.5)])
def test_neither_workers_nor_stops_nor_stacks_change_a_batch(
    stacked: bool, augment: Augment, preprocess: Preprocess
) -> None:
    whole = take(made(True, preprocess=preprocess), augment)
    assert [len(batch.index) for batch in whole[:5]] == [4, 4, 4, 4, 5]
    assert all(batch.images.shape == (len(batch.index), *preprocess.size, 3) for batch in whole)
    pictures = made(stacked, preprocess=preprocess)
    for workers in (0, 1, 2, 4):
        assert same(take(pictures, augment, workers=workers), whole)
    for start in (1, 4, 5, 7):
        assert same(take(pictures, augment, start=start, workers=2), whole[start:])
    assert not same(take(pictures, augment, seed=1), whole)


@pytest.mark.parametrize("augment", RICH)
def test_neither_do_they_where_more_varies(augment: Augment) -> None:
    whole = take(made(), augment, stop=8)
    assert same(take(made(stacked=False), augment, stop=8, workers=3), whole)
    assert same(take(made(), augment, start=4, stop=8, workers=1), whole[4:])


@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 3))
def test_repeated_pictures_stand_side_by_side_as_in_other_samplers(n: int, repeats: int, epoch: int) -> None:
    """timm's RepeatAugSampler and torchvision's RASampler: each of a shuffled order ``repeats`` times, the first n."""
    labels = np.zeros(n, np.int64)
    places = epoch_order(labels, balanced=False, seed=1, epoch=epoch, repeats=repeats)
    plain = epoch_order(labels, balanced=False, seed=1, epoch=epoch)
    assert np.array_equal(places % n, np.repeat(plain, repeats)[:n])
    assert len(set(places.tolist())) == n, "each copy has a fate of its own"


def test_balanced_classes_stay_so_where_pictures_are_repeated() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 4])
    places = epoch_order(labels, balanced=True, seed=1, epoch=0, repeats=3)
    assert len(set(places.tolist())) == 94
    shown = np.bincount(labels[places[::3] % 94])
    assert np.ptp(shown) <= 1
    assert all(len(set((places[i : i + 3] % 94).tolist())) == 1 for i in range(0, 94, 3))


@pytest.mark.parametrize("workers", [0, 3])
def test_a_batch_has_each_picture_as_often_as_asked_for_and_varied(workers: int) -> None:
    pictures, augment = made(n=24), Augment(crop="pad", jitter=0.4)

    def some(start: int) -> list[Batch]:
        more = {"start_step": start, "stop_step": 8, "workers": workers, "repeats": 3}
        return list(train_batches(pictures, augment, seed=0, batch=6, **more))  # type: ignore[arg-type]

    batches = some(0)
    for batch in batches:
        values, counts = np.unique(batch.index, return_counts=True)
        assert counts.tolist() == [3, 3]
        assert np.array_equal(batch.labels, pictures.labels[batch.index])
        for value in values:
            assert len({image.tobytes() for image in batch.images[batch.index == value]}) == 3
    assert len(batches) == 8
    assert len({int(i) for batch in batches[:4] for i in batch.index}) == 8, "an epoch shows a third of them"
    assert {int(i) for b in batches[:4] for i in b.index} != {int(i) for b in batches[4:] for i in b.index}
    assert same(some(3), batches[3:])


@pytest.mark.parametrize("digest", BEFORE)
def test_batches_are_what_they_were(digest: str) -> None:
    found = blake2b(digest_size=8)
    for batch in take(made(), BEFORE[digest]):
        for array in (batch.index, batch.images, batch.labels):
            found.update(array.tobytes())
    assert found.hexdigest() == digest


@pytest.mark.parametrize("augment", [CROPS[0], *RICH])
def test_a_picture_is_varied_alike_in_any_batch(augment: Augment) -> None:
    by_picture = [
        {
            int(i): image
            for batch in take(made(), augment, batch=size, stop=steps_per_epoch(N, size))
            for i, image in zip(batch.index, batch.images, strict=True)
        }
        for size in (3, 21)
    ]
    assert all((by_picture[0][i] == by_picture[1][i]).all() for i in range(N))


def test_every_epoch_has_every_picture_once_in_another_order() -> None:
    steps = steps_per_epoch(N, 4)
    batches = take(made(), Augment(crop="none", flip=False), stop=3 * steps, workers=2)
    orders = [
        np.concatenate([batch.index for batch in batches[e * steps : (e + 1) * steps]]).tolist() for e in range(3)
    ]
    assert all(sorted(order) == list(range(N)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert sorted(orders[0]) != orders[0]
    for batch in batches:
        assert (batch.labels == batch.index % 3).all()
        assert all((image == pixels(int(i))).all() for i, image in zip(batch.index, batch.images, strict=True))


def test_epochs_vary_a_picture_differently() -> None:
    batches = take(made(), batch=N, stop=20)
    views = {batch.images[batch.index.tolist().index(0)].tobytes() for batch in batches}
    assert len(views) > 4


def test_training_pictures_are_those_of_evaluation_but_for_chance() -> None:
    pictures = made(preprocess=PHOTO)
    (batch,) = take(pictures, Augment(crop="none", flip=False), batch=N, stop=1)
    for i, image in zip(batch.index, batch.images, strict=True):
        assert (image == PHOTO.apply(pixels(int(i)))).all()
    boxed = replace(PHOTO, resize="letterbox", size=(8, 20))
    (batch,) = take(made(preprocess=boxed), Augment(crop="none"), batch=N, stop=1)
    assert (batch.images[:, :, :6] == np.rint(np.array(PHOTO.mean) * 255)).all()


def test_what_moves_in_has_the_mean_colour() -> None:
    (batch,) = take(made(), Augment(crop="pad", flip=False), batch=N, stop=1)
    mean = np.array([26, 51, 76])  # 0.1, 0.2 and 0.3 of 255
    rows = (batch.images == mean).all(-1).all(2).any(1)
    assert 5 < rows.sum() < N  # two shifts down of three


def test_a_stack_in_grey_for_a_network_in_colour() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    pictures = Examples(names=list("abcd"), labels=np.arange(4), preprocess=SMALL, stack=grey)
    for augment in (*CROPS, *RICH):
        (batch,) = take(pictures, augment, stop=1)
        assert batch.images.shape == (4, 8, 8, 3)
    ((_, images, _, _),) = eval_batches(pictures, batch=9, workers=0)
    assert (images == grey).all()


def test_batches_are_the_callers_own() -> None:
    pictures = made()
    assert pictures.stack is not None
    before = pictures.stack.copy()
    for augment in (*CROPS, *RICH):
        for batch in take(pictures, augment):
            batch.images[:] = 0
    for _, images, _, _ in eval_batches(pictures, batch=5, workers=2):
        images[:] = 0
    assert (pictures.stack == before).all()


def test_nothing_to_train_on() -> None:
    with pytest.raises(DataError, match="no pictures to train on"):
        take(made(n=0))
    assert list(eval_batches(made(n=0), batch=4, workers=2)) == []


def failing(at: set[int], n: int = N) -> Examples:
    def read(i: int) -> Picture:
        if i in at:
            raise DataError(f"{i}.png is damaged", "mend it")
        return Picture(pixels(i), ())

    return replace(made(n=n), stack=None, read=read)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("augment", CROPS)
def test_training_stops_at_a_picture_that_cannot_be_read(workers: int, augment: Augment) -> None:
    whole = take(made(stacked=False), augment)
    bad = int(whole[2].index[1])
    before = threading.active_count()
    batches = train_batches(failing({bad}), augment, seed=0, batch=4, start_step=0, stop_step=9, workers=workers)
    got = [next(batches), next(batches)]
    with pytest.raises(DataError, match=rf"^{bad}.png is damaged"):
        next(batches)
    assert same(got, whole[:2])
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_evaluation_lists_what_cannot_be_read(workers: int) -> None:
    found = list(eval_batches(failing({0, 6, 12, 13, 14, 15, 20}), batch=4, workers=workers))
    assert [index.tolist() for index, _, _, _ in found] == [
        [1, 2, 3],
        [4, 5, 7],
        [8, 9, 10, 11],
        [],
        [16, 17, 18, 19],
        [],
    ]
    assert [[i for i, _ in errors] for _, _, _, errors in found] == [[0], [6], [], [12, 13, 14, 15], [], [20]]
    assert found[0][3][0][1] == "0.png is damaged"
    for index, images, labels, _ in found:
        assert (labels == index % 3).all()
        assert images.shape == (len(index), 8, 8, 3)
        assert all((image == pixels(int(i))).all() for i, image in zip(index, images, strict=True))


def test_evaluation_of_a_stack() -> None:
    found = list(eval_batches(made(), batch=4, workers=2))
    assert [index.tolist() for index, _, _, _ in found] == [list(range(i, min(i + 4, N))) for i in range(0, N, 4)]
    assert (np.concatenate([images for _, images, _, _ in found]) == made().stack).all()


def endless(workers: int, read: Callable[[int], Picture] | None = None) -> Iterator[Batch]:
    pictures = replace(made(), stack=None) if read is None else replace(made(), stack=None, read=read)
    return train_batches(pictures, Augment(), seed=0, batch=4, start_step=0, stop_step=10**12, workers=workers)


def test_closing_or_dropping_ends_the_threads() -> None:
    before = threading.active_count()
    for end in ("close", "drop", "unused"):
        batches = endless(3)
        if end != "unused":
            next(batches)
            assert threading.active_count() > before
        if end == "close":
            batches.close()  # type: ignore[attr-defined]
        del batches
        gc.collect()
        assert threading.active_count() == before


def test_threads_are_a_few_batches_ahead_and_no_more() -> None:
    count, lock = 0, threading.Lock()

    def read(i: int) -> Picture:
        nonlocal count
        with lock:
            count += 1
        return Picture(pixels(i), ())

    batches = endless(2, read)
    for _ in range(3):
        next(batches)
    for _ in range(200):
        time.sleep(0.005)
        if count >= N:
            break
    time.sleep(0.05)
    assert count == N  # the three batches that were taken, and two more: an epoch
    batches.close()  # type: ignore[attr-defined]


def test_closing_does_not_wait_for_a_whole_batch() -> None:
    begun, count = threading.Event(), 0

    def read(i: int) -> Picture:
        nonlocal count
        count += 1
        if count > 100:
            begun.set()
            time.sleep(0.02)
        return Picture(pixels(i), ())

    pictures = replace(made(n=100), stack=None, read=read)
    batches = train_batches(pictures, Augment(), seed=0, batch=100, start_step=0, stop_step=9, workers=1)
    next(batches)
    assert begun.wait(5)
    batches.close()  # type: ignore[attr-defined]
    assert count < 150


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path, *(f"{kind}/{i}.png" for i in range(9) for kind in "ab")))
    part, seen = source.parts["all"], survey(source, 2)
    one, other = examples(part, SMALL), examples(part, SMALL, stack=seen.stack)
    assert (one.names, one.stack) == (part.names, None)
    for augment in CROPS:
        assert same(take(one, augment, workers=2), take(other, augment))
