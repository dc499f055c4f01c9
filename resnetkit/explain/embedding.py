"""The features of every picture of a data set, with its label and its part."""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from resnetkit.answers import join
from resnetkit.classifier import Classifier, ModelOrPath, model_of
from resnetkit.data.decode import FORMAT_OF, MAX_PIXELS
from resnetkit.data.examples import examples
from resnetkit.data.lists import columns_given
from resnetkit.data.parts import Part, Source, shown
from resnetkit.data.sources import Columns, open_source, open_strange
from resnetkit.engine.evaluate import answer
from resnetkit.errors import DataError, UsageError, WeightsError, plain
from resnetkit.explain.embeddings import Embeddings, Features, fingerprint
from resnetkit.inputs import path_of, usual_workers
from resnetkit.scored import columns_of, told_of


def embed(
    model: ModelOrPath,
    data: str | os.PathLike[str],
    *,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    columns: Columns = Columns(),  # noqa: B008 (a frozen value)
    watch: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """The features of ``data``: whatever can be trained on, of any classes, or a folder with pictures alone.

    ``model`` is one, or its path; what it remembers of the columns of a list is used where ``columns`` is silent.
    ``watch`` is told how many of how many pictures are done. Raises DataError where there are no pictures, WeightsError
    for features that overflow.
    """
    model, path, workers, columns = model_of(model), path_of(data), usual_workers(workers), columns_given(columns)
    if is_bare(path):
        return model.embed(path, workers=workers, max_pixels=max_pixels)
    source = opened(model, path, columns, max_pixels)
    count, done = sum(len(part.names) for part in source.parts.values()), 0
    names, labels, parts, found, errors = [], [], [], [], []
    for part in source.parts.values():
        rows = []
        pictures = examples(part, model.card.preprocess)
        for some_rows in answer(Features(model.model), pictures, model.machine, workers):
            rows.append(some_rows)
            done += len(some_rows.index) + len(some_rows.errors)
            if watch:
                watch(done, count)
        whole = join(rows)
        found += [whole.logits] if len(whole.logits) else []
        called = shown(source, part)
        names += [called[i] for i in whole.index]
        labels += [label_of(source, part, int(i)) for i in whole.index]
        parts += ["" if part.name == "all" else part.name] * len(whole.index)
        errors += [(called[i], why) for i, why in whole.errors]
    if not found:
        raise DataError(f"{plain(data)} has no picture that can be read", "give pictures")
    features = np.concatenate(found)
    if not np.isfinite(features).all():
        raise WeightsError(f"the features of this {model.card.model} are not finite", "use another model file")
    network = fingerprint(model.model, model.card.preprocess)
    return Embeddings(tuple(names), features, tuple(labels), tuple(parts), network, tuple(errors))


def opened(model: Classifier, data: str, columns: Columns, max_pixels: int) -> Source:
    """The data as what the model learned from, where its labels are such; else as what it looks like by itself."""
    told = replace(columns, known=columns_of(model.card))
    if model.card.task != "classes" and columns.task == "auto" and columns.label is None:
        mine = told_of(model.card, columns)
        with suppress(DataError, UsageError):
            return open_source(data, max_pixels=max_pixels, classes=model.classes, columns=mine)
    return open_strange(data, told, max_pixels, lone=True)[0]


def is_bare(data: str | os.PathLike[str]) -> bool:
    """Whether this is a folder that holds pictures, and no folders that could be classes."""
    if not os.path.isdir(data):
        return False
    inside = [path for path in Path(data).iterdir() if not path.name.startswith(".")]
    return any(path.suffix.lower() in FORMAT_OF for path in inside) and not any(path.is_dir() for path in inside)


def label_of(source: Source, part: Part, i: int) -> str:
    """The label of one picture in words; tags and numbers with semicolons between them."""
    label = part.labels[i]
    if source.task == "classes":
        return source.classes[int(label)]
    if source.task == "tags":
        return ";".join(name for name, has in zip(source.classes, label, strict=True) if has)
    return ";".join(f"{number:g}" for number in label)
