"""A trained network with all it needs to answer: class names, preprocessing, a machine to run on."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit import metrics, modelfile
from resnetkit.data.batches import examples
from resnetkit.data.decode import FORMAT_OF, MAX_PIXELS, decode
from resnetkit.data.lists import SUFFIXES as LISTS
from resnetkit.data.parts import Part, Source, subset
from resnetkit.data.sources import Columns, open_source
from resnetkit.data.split import Row, carve, groups_of, read_split
from resnetkit.data.survey import data_hash, digest_of
from resnetkit.engine.device import Machine, choose
from resnetkit.engine.evaluate import answer, at_once, forward, join
from resnetkit.errors import DataError, KitError, UsageError, WeightsError, plain, some
from resnetkit.examined import examined
from resnetkit.explain.embeddings import Embeddings, Features, fingerprint
from resnetkit.explain.explanation import Explanation, explain
from resnetkit.mirror import Ask, asking
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.run import fold_of
from resnetkit.slices import Looks
from resnetkit.targets import Exported, export
from resnetkit.tasks import TaskName
from resnetkit.weights import check, fill

Input = str | bytes | os.PathLike[str]  # a path or pattern, or the bytes of one picture


@dataclass(frozen=True)
class Prediction:
    """The answer to one picture: its likeliest classes, its tags or numbers, or why there are none."""

    path: str
    top: tuple[tuple[str, float], ...] = ()  # class or tag and probability, likeliest first; or number and value
    error: str | None = None
    task: TaskName = "classes"
    unknown: bool | None = None  # whether that is too unlikely for an answer; None where the model has no threshold
    mirror: bool = False  # whether this is the mean of those to the picture and to its mirror image

    def as_dict(self) -> dict[str, Any]:
        if self.error is not None:
            return {"path": self.path, "error": self.error}
        said: dict[str, Any] = {} if self.unknown is None else {"unknown": self.unknown}
        said |= {"mirror": True} if self.mirror else {}
        if self.task == "numbers":
            return {"path": self.path, "numbers": dict(self.top)}
        one, many = ("class", "top") if self.task == "classes" else ("tag", "tags")
        return {"path": self.path, **said, many: [{one: name, "probability": p} for name, p in self.top]}


class Classifier:
    """What load() returns. It answers in float32 unless told otherwise."""

    def __init__(self, card: Card, model: Network, machine: Machine, folder: Path | None = None) -> None:
        machine.prepare(model).eval()
        self.card, self.model, self.machine = card, model, machine
        self.folder = folder  # of its run, or wherever its file is

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    def predict(
        self,
        paths: Input | Iterable[Input],
        *,
        top: int | None = None,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        mirror: bool = False,
    ) -> list[Prediction]:
        """One Prediction for each input, in order: files, folders (all pictures below), patterns, or a picture's bytes.

        ``top`` likeliest classes are named, five if nothing is said; of tags those with a probability of at least a
        half, or ``top`` of them. With ``mirror`` probabilities are the mean of those of the picture and of its
        mirror image.
        What cannot be read becomes a Prediction with an error; nothing is left out or put in its place.
        Raises UsageError where ``top`` is no number of classes.
        """
        return list(self.predictions(paths, top=top, workers=workers, max_pixels=max_pixels, mirror=mirror))

    def predictions(
        self,
        paths: Input | Iterable[Input],
        *,
        top: int | None = None,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        mirror: bool = False,
    ) -> Iterator[Prediction]:
        """As predict, but each answer as soon as it is there."""
        ask = asking(self.card, mirror)
        if top is not None and (isinstance(top, bool) or not isinstance(top, int) or top < 1):
            raise UsageError(f"top is {top!r}, not a whole number of at least 1", "leave it out for 5")
        if top is not None and self.card.task == "numbers":
            raise UsageError("this model answers with numbers, of which none is likelier", "leave top out")
        for names, read in self._reading(paths, workers, max_pixels):
            yield from self._answer(names, read, top, ask)

    def embed(
        self, paths: Input | Iterable[Input], *, workers: int | None = None, max_pixels: int = MAX_PIXELS
    ) -> Embeddings:
        """What the head would see of each picture, in the order of ``paths``: files, folders, patterns, or bytes.

        What cannot be read is among its errors. Raises WeightsError for features that overflow.
        """
        network = Features(self.model)
        kept: list[str] = []
        found, errors = [np.empty((0, self.model.head_hidden_size), np.float32)], []
        for names, read in self._reading(paths, workers, max_pixels):
            errors += [(name, what) for name, what in zip(names, read, strict=True) if isinstance(what, str)]
            kept += [name for name, what in zip(names, read, strict=True) if not isinstance(what, str)]
            if images := [pixels for pixels in read if not isinstance(pixels, str)]:
                found.append(forward(network, np.stack(images), self.card.preprocess, self.machine))
        features, none = np.concatenate(found), ("",) * len(kept)
        if not np.isfinite(features).all():
            raise WeightsError(f"the features of this {self.card.model} are not finite", "use another model file")
        whose = fingerprint(self.model, self.card.preprocess)
        return Embeddings(tuple(kept), features, none, none, whose, tuple(errors))

    def _reading(
        self, paths: Input | Iterable[Input], workers: int | None, max_pixels: int
    ) -> Iterator[tuple[list[str], list[NDArray[np.uint8] | str]]]:
        """Names, and the pictures as the network takes them or why not, as many as are answered at a time."""
        inputs = expand([paths] if isinstance(paths, str | bytes | os.PathLike) else paths)
        with ThreadPoolExecutor(usual_workers(workers) or 1) as threads:
            while some_inputs := list(islice(inputs, at_once(self.card.preprocess))):
                read = list(threads.map(partial(self._read, max_pixels), some_inputs))
                yield [name for name, _ in some_inputs], read

    def _read(self, max_pixels: int, item: tuple[str, Path | bytes | str]) -> NDArray[np.uint8] | str:
        """The picture as the network takes it, or why not."""
        name, source = item
        if isinstance(source, str):
            return source
        try:
            picture = decode(source, name, channels=self.card.preprocess.channels, max_pixels=max_pixels)
            return self.card.preprocess.apply(picture.pixels)
        except KitError as error:
            return error.what

    def _answer(
        self, names: Sequence[str], read: Sequence[NDArray[np.uint8] | str], top: int | None, ask: Ask
    ) -> Iterator[Prediction]:
        images = [pixels for pixels in read if not isinstance(pixels, str)]
        answers: Iterator[tuple[tuple[str, float], ...]] = iter(())
        if images:
            logits = ask(self.model, np.stack(images), self.card.preprocess, self.machine)
            self._refuse_overflow(logits)
            answers = meant(logits, self.card, top)
        for name, pixels in zip(names, read, strict=True):
            if isinstance(pixels, str):
                yield Prediction(name, error=pixels, task=self.card.task)
            else:
                top_ones = next(answers)
                unknown = None if self.card.reject is None else top_ones[0][1] < self.card.reject.threshold
                yield Prediction(name, top_ones, task=self.card.task, unknown=unknown, mirror=ask is not forward)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Of each class, for pictures as the preprocessing leaves them: (n, h, w, c) to (n, classes)."""
        logits = forward(self.model, images, self.card.preprocess, self.machine)
        self._refuse_overflow(logits)
        return metrics.softmax(logits, self.card.temperature)

    def explain(
        self,
        path: Input,
        *,
        method: str = "gradcam",
        target: str | None = None,
        stage: int | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> Explanation:
        """Where in one picture, a file or its bytes, an answer comes from: the likeliest one, or that of ``target``.

        ``method`` is gradcam, layercam, integrated or occlusion; the first two look at the map of ``stage``, from 1, or
        without it at what the head sees. Raises DataError where the picture cannot be read, UsageError for what cannot
        be meant.
        """
        source, name = (path, "-") if isinstance(path, bytes) else (Path(path), os.fspath(path))
        picture = decode(source, name, channels=self.card.preprocess.channels, max_pixels=max_pixels).pixels
        return explain(self.card, self.model, self.machine, name, picture, method, target, stage)

    def export(self, *, to: str, out: str | os.PathLike[str]) -> Exported:
        """Write the model as another program takes it: ``to`` torchvision or timm.

        Raises UsageError for an ``out`` that is there and was not exported, WeightsError for a network that the other
        does not have.
        """
        return export(self.card, self.model.state_dict(), to=to, out=Path(out))

    def evaluate(
        self,
        data: str | os.PathLike[str],
        split: str | None = None,
        *,
        workers: int | None = None,
        max_pixels: int = MAX_PIXELS,
        columns: Columns | None = None,
        watch: Callable[[int, int], None] | None = None,
        mirror: bool = False,
    ) -> Any:
        """Every picture of one part of ``data``: ``split``, else test, else val.

        An Evaluation, or for a model of tags or numbers a TagEvaluation or a NumberEvaluation.

        ``columns`` says which column of a list holds what, where it is not as in training.
        ``mirror`` is as in predict. ``watch`` is told how many of how many pictures are done.
        Raises DataError where the part is not to be had, UsageError for what the model has no use for.
        """
        ask = asking(self.card, mirror)
        told = columns or self._columns()
        if told.task not in ("auto", self.card.task):
            raise UsageError(f"task is {told.task}, and the model says {self.card.task}", f"--task {self.card.task}")
        told = replace(told, task=self.card.task)
        try:
            source = open_source(str(data), max_pixels=max_pixels, classes=self.classes, columns=told)
        except DataError as error:
            numbered = not self.card.run and all(name.isdecimal() for name in self.classes)  # imported without names
            if "does not have" not in error.what or not numbered:
                raise
            raise DataError(error.what, "name the classes of the model when it is imported: --classes") from error
        if columns is not None and source.kind != "list" and not columns.asked() <= set(source.columns):
            raise UsageError(f"{plain(data)} is not a list, and has no such columns", "leave the columns out")
        if source.task != self.card.task:
            raise DataError(
                f"the labels of {plain(data)} are {source.task}, and the model says {self.card.task}",
                "give a list with such labels",
            )
        name, part = self._part(source, split)
        looks, part = Looks.at(part)
        pictures = examples(part, self.card.preprocess)
        parts, done = [], 0
        for some_answers in answer(self.model, pictures, self.machine, usual_workers(workers), ask):
            self._refuse_overflow(some_answers.logits)
            parts.append(some_answers)
            done += len(some_answers.labels) + len(some_answers.errors)
            if watch:
                watch(done, len(part.names))
        return examined(self.card, name, part, join(parts), source.notes, looks, mirror)

    def _refuse_overflow(self, logits: NDArray[np.float32]) -> None:
        """Weights can be finite and their answers not."""
        if not np.isfinite(logits / np.float32(self.card.temperature)).all():
            raise WeightsError(f"the answers of this {self.card.model} are not finite", "use another model file")

    def _part(self, source: Source, split: str | None) -> tuple[str, Part]:
        """Which pictures are scored, and under what name. Training pictures are never called validation."""
        parts, at = source.parts, plain(source.location)
        if split not in (None, "train", "val", "test"):
            raise UsageError(f"there is no split {split!r}", "split is train, val or test")
        whole = parts.get("all") or parts.get("train")
        carved = whole is not None and "val" not in parts and self._trained_on(source)
        has = {name for name in ("train", "val", "test") if name in parts} | ({"train", "val"} if carved else set())
        if "all" in parts and not carved:
            if split == "train":
                what = f"{at} is not the data this model was trained on"
                raise DataError(what + unread(parts["all"]), "leave --split out")
            if split == "val":
                what = f"{at} has no val part, and is not what the model was trained on"
                raise DataError(what + unread(parts["all"]), "leave --split out")
            return "test", self._unseen(source)
        wanted = split or next((name for name in ("test", "val") if name in has), None)
        if wanted is None or wanted not in has:
            lacks = f"no {wanted} part" if wanted else "neither a test nor a val part"
            raise DataError(f"{at} has {lacks}, only {some(sorted(has))}", f"--split {max(has)}" if has else "add one")
        if wanted in parts and not (carved and wanted == "train"):
            return wanted, parts[wanted]
        assert whole is not None
        if (column := self.card.run.get("group_column")) and whole.groups is None:
            raise DataError(
                f"{at} has no column {plain(column)}, by which the validation part was made",
                "give the list that column",
            )
        pattern, fold = self.card.run.get("group_pattern"), self.card.run.get("fold")
        train, val = carve(
            whole.names,
            whole.labels,
            source.classes,
            share=self.card.data["val_share"],
            seed=self.card.data["seed"],
            groups=groups_of(whole.names, pattern) if pattern else whole.groups,
            task=source.task,
            fold=fold_of(fold) if fold else None,
        )
        return wanted, subset(whole, train if wanted == "train" else val)

    def _unseen(self, source: Source) -> Part:
        """The pictures of a folder without parts, but for those that the run of this model learned from or chose by."""
        whole, at = source.parts["all"], plain(source.location)
        known = {row.digest for row in self._split() if row.part in ("train", "val")}
        fresh = [i for i in range(len(whole.names)) if not known or digest(whole, i) not in known]
        left_out = len(whole.names) - len(fresh)
        if not fresh:
            raise DataError(f"the model was trained with every picture of {at}", "give pictures that it has not seen")
        if left_out and not any(digest(whole, i) for i in fresh):
            raise DataError(
                f"the model was trained with every picture of {at} that can be read{unread(whole)}",
                "put those pictures there, or take them out, and the validation part is scored",
            )
        share = f"all but {left_out:,} pictures that it was trained with are" if left_out else "all of it is"
        source.notes.append(f"{at} has no parts and is not what the model was trained on: {share} the test part")
        return subset(whole, np.array(fresh))

    def _split(self) -> list[Row]:
        """Which pictures the model was trained with, where its run folder is at hand."""
        path = self.folder / "split.csv" if self.folder else None
        return read_split(path) if path and path.is_file() else []

    def _columns(self) -> Columns:
        """What the columns of the list were called that the model was trained with, if it was one."""
        names = {name: self.card.run.get(f"{name}_column") for name in ("image", "label", "part", "group")}
        return Columns(**names, task=self.card.task, separator=self.card.run.get("separator"), must=False)

    def _trained_on(self, source: Source) -> bool:
        """Whether this is the very data that the model's validation part was carved from."""
        about = self.card.data
        try:
            return about.get("val_share") is not None and about.get("hash") == data_hash(source)
        except DataError:  # a file that cannot be opened was not trained on
            return False


def load(path: str | os.PathLike[str], *, device: str = "auto", precision: str = "fp32") -> Classifier:
    """A model file, or the best network of a run folder, ready to answer. Raises WeightsError where it is damaged."""
    file = Path(path)
    if os.path.isdir(file):
        file = file / "best.safetensors"
        if not file.exists():
            raise UsageError(f"{plain(path)} is a folder without best.safetensors", "name a model file or a run folder")
    card, state = modelfile.load(file)
    check(card.plan, state, str(file))  # before room is made for whatever the plan says
    model = build(card.plan)
    fill(model, state, what=str(file))
    return Classifier(card, model, choose(device, precision), file.parent)


def digest(part: Part, i: int) -> str:
    """The hash of a picture's bytes; of one that cannot be read, which will be said later, nothing."""
    try:
        return digest_of(part.encoded(i))
    except DataError:
        return ""


def meant(logits: NDArray[np.float32], card: Card, top: int | None) -> Iterator[tuple[tuple[str, float], ...]]:
    """What logits say of each picture, in the terms of the card's task."""
    names = card.classes
    if card.task == "classes":
        yield from likeliest(logits, names, min(top or 5, len(names)), card.temperature)
    elif card.task == "tags":
        chances = metrics.sigmoid(logits)
        for row, order in zip(chances, metrics.ranking(logits, len(names)), strict=True):
            yield tuple((names[i], float(row[i])) for i in (order[:top] if top else order) if top or row[i] >= 0.5)
    else:
        for answers in metrics.scaled(logits, card.scale).tolist():
            yield tuple(zip(names, answers, strict=True))


def unread(part: Part) -> str:
    """``; 2 others cannot be read: a/1.png, a/2.png`` -- or nothing, where all pictures of a part can be."""
    lost = [name for i, name in enumerate(part.names) if not digest(part, i)]
    return f"; {len(lost):,} cannot be read: {some(lost, 3)}" if lost else ""


def likeliest(
    logits: NDArray[np.float32], classes: Sequence[str], top: int, temperature: float
) -> Iterator[tuple[tuple[str, float], ...]]:
    ranks, probabilities = metrics.ranking(logits, top), metrics.softmax(logits, temperature)
    for row, best in enumerate(ranks):
        yield tuple((classes[i], float(probabilities[row, i])) for i in best)


def expand(given: Iterable[Input]) -> Iterator[tuple[str, Path | bytes | str]]:
    """Names and what to read for each; a reason instead of a source where there is nothing to read."""
    for item in given:
        if isinstance(item, bytes):
            yield "-", item
            continue
        path = Path(item)
        name = os.fspath(item)
        if not name:
            yield name, "the path is empty"
        elif os.path.isdir(path):  # which says no, where Path would raise, to a name that is too long
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in FORMAT_OF and not p.name.startswith("."))
            yield from ((str(p), p) for p in inside)
            if not inside:
                yield name, "the folder holds no pictures"
        elif path.suffix.lower() in LISTS and os.path.isfile(path):
            yield name, f"{plain(name)} is a list: resnet eval takes lists, resnet predict paths, one a line by --from"
        elif not os.path.lexists(path) and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))
            yield from expand(matches)
            if not matches:
                yield name, "no file has such a name"
        else:
            yield name, path


def usual_workers(workers: int | None) -> int:
    """Threads that read pictures: what was asked for, else one a core, at most 8."""
    if workers is not None:
        return workers
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(cores, 8)
