"""A trained network of torch with all it needs to answer: class names, preprocessing, a machine to run on."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit import modelfile
from resnetkit.answerer import Answerer
from resnetkit.answers import Heat, Pictures
from resnetkit.data.decode import MAX_PIXELS, decode
from resnetkit.data.lists import Columns
from resnetkit.engine.device import Machine, choose
from resnetkit.engine.evaluate import forward
from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.explain.embeddings import Embeddings, Features, fingerprint
from resnetkit.explain.explanation import Explanation, explain, heating
from resnetkit.export.graph import Takes
from resnetkit.export.int8 import TAKERS, asked_drop
from resnetkit.export.parted import parted
from resnetkit.export.samples import Asked
from resnetkit.export.taken import taken
from resnetkit.export.written import write
from resnetkit.fast.choice import LARGEST
from resnetkit.fast.compiled import Compiled
from resnetkit.fast.graphs import Graphs
from resnetkit.inputs import Input, path_of
from resnetkit.mobilenets import build
from resnetkit.modelfile import Card
from resnetkit.network import Network
from resnetkit.opening import is_exported
from resnetkit.targets import RUNTIMES, Exported, duties, export
from resnetkit.weights import check, fill

PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")


class Classifier(Answerer):
    """What load() returns. It answers in float32 unless told otherwise."""

    def __init__(self, card: Card, model: Network, machine: Machine, folder: Path | None = None) -> None:
        machine.prepare(model).eval()
        self.card, self.model, self.machine = card, model, machine
        self.folder = folder

    def ask(self, images: Pictures) -> NDArray[np.float32]:
        """Logits of pictures as the preprocessing leaves them: (n, h, w, c) to (n, classes)."""
        self.model.eval()
        return forward(self.model, np.asarray(images), self.card.preprocess, self.machine)

    @property
    def runs_on(self) -> str:
        return f"{self.machine.device}, {self.machine.precision}"

    def heat(self) -> Heat | None:
        """Grad-CAM over a picture; None for tags and numbers."""
        return heating(self.card, self.model, self.machine)

    def compiled(
        self,
        precision: str = "auto",
        *,
        batch: int | None = None,
        data: str | os.PathLike[str] | None = None,
        max_drop: float | None = None,
        columns: Columns | None = None,
    ) -> Compiled:
        """A copy that answers in the fastest way found on this machine: a runtime and a precision.

        Torch's fused operators, OpenVINO and onnxruntime, where they are installed, are timed on ``batch`` pictures at
        a time, as many as go through at once if nothing is said, and the choice is remembered by hardware, versions and
        network. ``precision`` "fp32" takes those whose logits are within 1e-4 of the largest, "bf16" and "fp16" those
        of that precision, whose ``runs_on`` says how far off they are; "auto" any that changes no probability by more
        than 0.01, nor a number by more than 0.01 of its deviation, with a margin of 4 on pictures that are tried.
        "int8" takes its scales from ``data`` and may lose ``max_drop`` points on val, as in export.
        Raises UsageError for another precision, ResourceError for one that is not to be had here.
        """
        if precision not in PRECISIONS:
            raise UsageError(f"precision is {plain(precision)}", f"use one of {', '.join(PRECISIONS)}")
        if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= LARGEST):
            raise UsageError(f"batch is {batch!r}, not a whole number from 1 to {LARGEST}", "leave it out")
        if data is not None and precision != "int8":
            raise UsageError("data are for the scales of int8", 'leave data out, or use precision="int8"')
        refuse_columns(columns, data)
        drop = asked_drop("onnx", precision if precision == "int8" else None, max_drop, data)
        if drop is not None:
            graphs = Graphs(self.card, self.model, lambda: parted(self.card, self.folder, path_of(data), columns), drop)
            return Compiled(self, precision, batch, graphs)
        choose(str(self.machine.device), precision)
        return Compiled(self, precision, batch)

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
        source, name = (path, "-") if isinstance(path, bytes) else (Path(path_of(path, "the picture")), os.fspath(path))
        picture = decode(source, name, channels=self.card.preprocess.channels, max_pixels=max_pixels).pixels
        return explain(self.card, self.model, self.machine, name, picture, method, target, stage)

    def export(
        self,
        *,
        to: str,
        out: str | os.PathLike[str],
        input: Takes | None = None,  # noqa: A002  the word of the command
        data: str | os.PathLike[str] | None = None,
        precision: str | None = None,
        max_drop: float | None = None,
        columns: Columns | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> Exported:
        """Write the model as another program takes it: ``to`` torchvision, timm, onnx, openvino or torch.

        For the last three the file takes pictures as they are, or with ``input`` "tensor" what the network takes,
        and is kept only if it answers as the model: about up to 200 pictures of ``data``, as evaluate chooses them, or
        about built-in ones. ``columns`` are those of a list of ``data``, as trained if nothing is said.
        ``precision`` is fp32 or int8, for which ``data`` give the scales, and which may lose ``max_drop`` points on
        val, 0.5 if nothing is said, of what the task is judged by; layers that cost more stay in float32. ``tell``
        hears how far that is, which may take minutes.
        Raises UsageError for an ``out`` that is there and was not exported, or a setting that ``to`` has no use for;
        WeightsError for a network that the other does not have, or a file that does not answer as it should;
        ResourceError where a package is missing.
        """
        refuse_columns(columns, data)
        if to not in RUNTIMES:
            given = (("input", input), ("data", data), ("precision", precision), ("max-drop", max_drop))
            for name, value in given:
                if value is not None:
                    what = f"{name} is {plain(value)}, and an export to {plain(to)} is weights alone"
                    takers = TAKERS if name in ("precision", "max-drop") else RUNTIMES
                    raise UsageError(what, f"leave --{name} out, or use --to {' or '.join(takers)}")
            return export(self.card, self.model.state_dict(), to=to, out=Path(out))
        if input not in (None, "picture", "tensor"):
            raise UsageError(f"input is {plain(input)}", "use picture or tensor")
        told = None if data is None else str(data)
        takes = input or "picture"
        drop = asked_drop(to, precision, max_drop, data)
        lower = None if drop is None else (drop, lambda: parted(self.card, self.folder, str(told), columns))
        notes = duties(self.card, answers=input != "tensor")

        def pictures() -> list[Asked]:
            return taken(self.card, self.folder, told, notes.append, columns)

        how, proof = write(self.card, self.model, to, Path(out), takes, pictures, told, lower, tell)
        notes += proof.int8.notes if proof.int8 else ()
        return Exported(Path(out), to, self.card.model, how, tuple(dict.fromkeys(notes)), proof.as_dict())


def refuse_columns(columns: Columns | None, data: object) -> None:
    """UsageError for what columns hold where there are no data."""
    if columns is not None and data is None:
        raise UsageError("columns are of data, and none are given", "leave them out, or give --data")


TAKE = "resnet predict, resnet eval and resnetkit.load_export"  # exported files
ModelOrPath = Classifier | str | os.PathLike[str]


def model_of(given: ModelOrPath) -> Classifier:
    """A model as it is, or what load() finds at its path. UsageError for what is neither."""
    return given if isinstance(given, Classifier) else load(given)


def load(path: str | os.PathLike[str], *, device: str = "auto", precision: str = "fp32") -> Classifier:
    """A model file, or the best network of a run folder, ready to answer. Raises WeightsError where it is damaged."""
    file = Path(path_of(path, "the model"))
    if is_exported(str(file)):
        what = f"{plain(path)} is a {file.suffix} file, and exported files answer and do nothing else"
        raise UsageError(what, f"use the model file it was made of; {TAKE} take those that resnet export wrote")
    if os.path.isdir(file):
        file = file / "best.safetensors"
        if not file.exists():
            raise UsageError(f"{plain(path)} is a folder without best.safetensors", "name a model file or a run folder")
    card, state = modelfile.load(file)
    check(card.plan, state, str(file))  # before room is made for whatever the plan says
    model = build(card.plan)
    fill(model, state, what=str(file))
    return Classifier(card, model, choose(device, precision), file.parent)
