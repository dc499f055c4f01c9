"""The runtimes that files are written for: how a graph becomes their file, and how such a file is asked."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from resnetkit.errors import ResourceError
from resnetkit.export import archive
from resnetkit.export.metadata import KEY
from resnetkit.export.reopened import open_program

Answers = dict[str, NDArray[np.float32]]
Ask = Callable[[NDArray[Any]], Answers]  # what goes in to what comes out, by name
TELEMETRY = "openvino_telemetry"
HINTS = {"fp32": "f32", "bf16": "bf16"}  # without one OpenVINO takes bfloat16 where the processor has it
FULL = {"INFERENCE_PRECISION_HINT": HINTS["fp32"]}


@dataclass(frozen=True)
class Runtime:
    """A program that files are for."""

    name: str
    suffixes: tuple[str, ...]  # of its files, the one that is named first
    save: Callable[[bytes, Path], None]  # the graph, an ONNX file or torch's program, as its file
    note: Callable[[Path, Mapping[str, str]], None]  # adds texts to the metadata of a file
    open: "Open"
    how: str  # a file is loaded in Python; {file} stands for it

    @property
    def says(self) -> str:
        from importlib.metadata import version

        return f"{self.name} {version(self.name)}"


class Open(Protocol):
    """A file, or the bytes of a graph, ready to run."""

    def __call__(
        self,
        model: Path | bytes,
        threads: int,
        until: str | None = None,
        precision: str = "fp32",
        *,
        quick: bool = False,
    ) -> Ask:
        """With so many threads, 0 for as many as the runtime likes, up to the value of a name, or to the end.

        ``quick`` opens sooner and answers later, where the runtime has that: for a picture or two.
        """


def missing(name: str, error: ImportError) -> ResourceError:
    return ResourceError(f"export needs {name}, which cannot be loaded: {error}", 'pip install "resnetkit[export]"')


def save_onnx(graph: bytes, path: Path) -> None:
    path.write_bytes(graph)


def note_onnx(path: Path, texts: Mapping[str, str]) -> None:
    """Texts go to the end of the file, and nothing of what is before them is touched."""
    from onnx import ModelProto, helper

    more = ModelProto()
    helper.set_model_props(more, dict(texts))
    with open(path, "ab") as file:
        file.write(more.SerializeToString(deterministic=True))


def open_onnx(
    model: Path | bytes, threads: int, until: str | None = None, precision: str = "fp32", *, quick: bool = False
) -> Ask:
    assert precision == "fp32"  # the only one it has on a CPU for a graph of such numbers
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", error) from error
    onnxruntime.disable_telemetry_events()  # which Windows has
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    if quick:  # as it was written: making it faster takes longer than a pass
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if until is not None:
        model = beginning(model, until)
    if isinstance(model, Path) and not str(model).isprintable():  # a name that is no text, which it does not take
        model = model.read_bytes()
    given_as: Any = model if isinstance(model, bytes) else str(model)
    session = onnxruntime.InferenceSession(given_as, options, providers=["CPUExecutionProvider"])
    (taken,) = (one.name for one in session.get_inputs())
    given = [one.name for one in session.get_outputs()]
    return lambda x: dict(zip(given, session.run(given, {taken: x}), strict=True))


def beginning(file: Path | bytes, until: str) -> bytes:
    """The part of a graph up to the value of a name, as a file of its own."""
    import onnx

    data = file if isinstance(file, bytes) else file.read_bytes()
    model = onnx.load_model_from_string(data)
    graph = model.graph
    last = next(i for i, node in enumerate(graph.node) if until in node.output)
    del graph.node[last + 1 :], graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(until, onnx.TensorProto.FLOAT, None))
    used = {name for node in graph.node for name in node.input}
    kept = [one for one in graph.initializer if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model.SerializeToString()


def save_openvino(graph: bytes, path: Path) -> None:
    serialize(loaded().Core().read_model(graph), path)


def serialize(model: Any, path: Path) -> None:
    """Write both parts. OSError where that fails, of which OpenVINO says only that it did."""
    try:
        loaded().serialize(model, path, path.with_suffix(".bin"))
    except RuntimeError as error:
        raise OSError("OpenVINO gives no reason, and the usual one is a full disk") from error


def note_openvino(path: Path, texts: Mapping[str, str]) -> None:
    model = loaded().Core().read_model(path)
    for name, text in texts.items():
        model.set_rt_info(text, [KEY, name])
    beside = path.with_name("noted.xml")
    serialize(model, beside)
    del model  # which holds the first pair open
    for suffix in (".bin", ".xml"):
        beside.with_suffix(suffix).replace(path.with_suffix(suffix))


def open_openvino(
    model: Path | bytes,
    threads: int,
    until: str | None = None,
    precision: str = "fp32",
    *,
    quick: bool = False,  # noqa: ARG001  it has no such way
) -> Ask:
    openvino = loaded()
    core = openvino.Core()
    graph = core.read_model(model)
    if until is not None:
        ends = [port for node in graph.get_ops() for port in node.outputs() if until in port.get_names()]
        graph = openvino.Model(ends[:1], graph.get_parameters())
    how = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": threads}
    ready = core.compile_model(graph, "CPU", how)
    given = [until] if until else [port.get_any_name() for port in ready.outputs]
    turn = Lock()

    def ask(x: NDArray[Any]) -> Answers:
        with turn:  # there is one place for answers, where another thread's would be written over these
            return {name: value.copy() for name, value in zip(given, ready([x]).values(), strict=True)}

    return ask


def loaded() -> Any:
    """OpenVINO without its telemetry, which would send word of the import to Google; without that package it cannot."""
    hidden = TELEMETRY not in sys.modules
    if hidden:
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's word for: not to be imported
    try:
        import openvino
    except ImportError as error:
        raise missing("openvino", error) from error
    finally:
        if hidden:
            del sys.modules[TELEMETRY]
    return openvino


RUNTIMES = {
    "onnx": Runtime("onnxruntime", (".onnx",), save_onnx, note_onnx, open_onnx, "onnxruntime.InferenceSession({file})"),
    "openvino": Runtime(
        "openvino",
        (".xml", ".bin"),
        save_openvino,
        note_openvino,
        open_openvino,
        "openvino.Core().compile_model({file}, 'CPU', " + f"{FULL})",
    ),
    "torch": Runtime(
        "torch",
        (archive.SUFFIX,),
        archive.save,
        archive.note,
        open_program,
        "torch.export.load({file}).module()",
    ),
}
