"""Imports point one way: a room may use the rooms before it, never the ones after, and none hides in a function."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

import resnetkit

ROOT = Path(resnetkit.__file__).parent

# The reading order. A new file is a new name here.
ROOMS = """
    errors files download caching dice tasks spans
    documents spec sound units checks plan mobile layout zoo published specfile planfile walk pyramid cost describe
    aliases run effect runfile recipes layers attention init blocks recompute network dropping model mobilenets
    onednn fused backbone smoothing
    data.headers data.decode data.containers data.video data.preprocess data.parts data.groups data.labels
    data.regular data.tar data.archives data.arrays data.pickles
    data.folders data.imagenet data.lists data.idx data.parquet data.listing data.hub data.npz data.cifar data.digits
    data.members data.shards data.tars data.flowers data.known data.cache data.sources
    data.split data.survey data.skipped
    data.examples data.boxes data.erase data.operations data.jitter data.policies data.augment data.order data.batches
    inputs answers
    metrics reject intervals calibration pairs rejection slices
    kinds safetensor modelfile likeness export.metadata instructions dialects foreign pretrained weights create
    assumptions prediction mirror scored
    targets finetuning settings idle resolve
    mapstore engine.device engine.memory engine.stop engine.history engine.schedule engine.adam engine.trust engine.muon
    engine.optim engine.losses engine.average engine.noise engine.mix engine.checkpoint engine.pull engine.teacher
    engine.state
    engine.step engine.evaluate engine.maps engine.solve engine.train engine.lrfinder
    evaluation tagging measuring examined examining answerer export.form export.archive export.guard
    export.reopened export.runtimes opening deployed
    trouble.suspects trouble.finding trouble.prints trouble.twins trouble.looks trouble.classes trouble.labels
    trouble.features trouble.learned trouble.checkup trouble.cleaned trouble.brief
    report.waiting report.tables report.fonts report.pictures report.scatter report.reliability report.rates
    report.results report.board report.findings
    explain.maps explain.explanation explain.written explain.embeddings explain.pairs
    runfolder sweep study
    export.nodes export.resizing export.modules export.graph export.seeing export.traced export.quantizing
    export.calibrating export.samples export.parted export.taken export.int8 export.proof export.written
    fast.remembered fast.graphs fast.streams fast.replayed fast.ways fast.choice fast.compiled fast.bench
    classifier explain.sanity explain.embedding explain.verification
    fast.weigh fast.measured report.pareto loading comparison promise clips report.clips
    origin division telling job
    page.phrases page.chart page.thumbs page.page page.verdict page.course page.figures page.mistakes page.trouble
    page.story page.runs
    forecast budget sights lessons rates training trials
    report.progress
    api doctor flags arguments
    verbs.verb verbs.training verbs.sweeping verbs.rates verbs.answering verbs.checking verbs.comparing
    verbs.explaining verbs.embedding verbs.networks verbs.exporting verbs.benching verbs.weights verbs.table cli
""".split()
RANK = {room: rank for rank, room in enumerate(ROOMS)}
LOBBIES = [
    "data.__init__",
    "engine.__init__",
    "explain.__init__",
    "export.__init__",
    "fast.__init__",
    "page.__init__",
    "report.__init__",
    "trouble.__init__",
]
LOBBIES += ["verbs.__init__"]
DOORS = ["__init__", "__main__"]  # of the package and the command

# What may be imported inside a function, and why. Everything else stands at the top of its file.
LATE = {
    "run": {"resnetkit.specfile"},  # the words of a command are read without the networks
    # Each verb loads what it needs, so that help is there at once.
    "verbs.training": {"resnetkit"},
    "verbs.sweeping": {"resnetkit"},
    "verbs.rates": {"resnetkit"},
    "verbs.answering": {"resnetkit"},
    "verbs.comparing": {"resnetkit"},
    "verbs.explaining": {"resnetkit"},
    "verbs.embedding": {"resnetkit"},
    "verbs.checking": {"resnetkit"},
    "verbs.networks": {"resnetkit"},
    "verbs.exporting": {"resnetkit"},
    "verbs.benching": {"resnetkit"},
    "verbs.weights": {"resnetkit"},
    "verbs.table": {"import_module()"},
    "data.digits": {"sklearn"},  # two seconds for one built-in data set
    "data.flowers": {"scipy"},  # which reads the labels of that one data set
    "data.parquet": {"pyarrow"},  # an extra
    "data.video": {"av"},  # an extra
    "data.listing": {"huggingface_hub"},  # likewise
    "doctor": {"resnetkit.engine.device", "torch"},  # it must answer where torch is broken
    "explain.embeddings": {"pyarrow"},  # an extra
    "export.nodes": {"onnx"},  # an extra
    "export.reopened": {"torch"},  # only for files of torch
    "export.calibrating": {"onnx"},  # likewise
    "export.runtimes": {"onnx", "onnxruntime", "openvino", "importlib.metadata"},  # likewise; mail headers, 12 ms
    "engine.device": {"resource"},  # Windows has none
    "engine.memory": {"resource"},
    "mapstore": {"safetensors", "torch"},  # how much it holds is known without them
    "safetensor": {"safetensors", "torch"},  # the card of a model is read without them
    "trials": {"resnetkit.report.pictures"},
    "study": {"optuna"},  # an extra
    "report.board": {"torch.utils.tensorboard"},  # an extra
    "page.page": {"jinja2"},  # loads where a page is written
    "loading": {"resnetkit.classifier", "resnetkit.fast.compiled"},  # exported files do without torch
    "fast.weigh": {
        "resource",
        "resnetkit.classifier",
        "resnetkit.fast.graphs",
        "resnetkit.fast.ways",
        "torch",
    },  # its memory would count
    "answerer": {"resnetkit.examining"},  # predictions come without scipy
    "report.results": {
        "resnetkit.report.fonts",
        "resnetkit.report.pictures",
        "resnetkit.report.rates",
        "resnetkit.report.reliability",
        "resnetkit.report.scatter",
    },  # matplotlib loads where something is drawn
}
# Rooms of the standard library alone, and rooms that do without torch all the same.
PURE = "errors files tasks spans documents spec sound units checks plan mobile layout zoo published".split()
PURE += "specfile planfile walk pyramid cost describe aliases run effect runfile recipes flags arguments cli".split()
PURE += [room for room in ROOMS if room.startswith("verbs.")]
NO_TORCH = [
    *PURE,
    "caching",
    "mapstore",
    "dice",
    "smoothing",
    *(room for room in ROOMS if room.startswith("data.")),
    "kinds",
    "safetensor",
    "modelfile",
    "export.metadata",
    "export.form",
    "export.archive",
    "export.guard",
    "export.reopened",
    "export.runtimes",
    "deployed",
    "metrics",
    "settings",
    "idle",
    "reject",
    "intervals",
    "calibration",
    "pairs",
    "rejection",
    "slices",
    "resolve",
    "runfolder",
    "inputs",
    "answers",
    "prediction",
    "mirror",
    "scored",
    "evaluation",
    "tagging",
    "measuring",
    "examined",
    "answerer",
    "examining",
]

Place = Literal["top", "inside", "typing"]


@cache
def files() -> dict[str, Path]:
    found = (path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))
    return {".".join(path.parts): (ROOT / path).with_suffix(".py") for path in found}


@cache
def imports(room: str) -> list[tuple[str, Place]]:
    return list(imports_of(files()[room]))


def imports_of(path: Path) -> Iterator[tuple[str, Place]]:
    """Every module that a file imports, by its whole name, and where: at the top, in a function, or for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place: dict[int, Place] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            place |= {id(child): "typing" for part in node.body for child in ast.walk(part)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            place |= {id(child): "inside" for child in ast.walk(node)}
    for node in ast.walk(tree):
        where = place.get(id(node), "top")
        match node:
            case ast.Import(names=names):
                yield from ((name.name, where) for name in names)
            case ast.ImportFrom(level=0, module=str(module), names=names):
                for name in names:
                    whole = f"{module}.{name.name}"
                    yield (whole if room_of(whole) in RANK else module), where
            case ast.ImportFrom():
                pytest.fail(f"{path.name} imports by dots: write the whole name")
            case ast.Call(func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module")):
                yield "import_module()", "inside"


def is_ours(module: str) -> bool:
    return module.partition(".")[0] == "resnetkit"


def room_of(module: str) -> str:
    """The room that a module is; the package itself, which is asked only for its version, is none."""
    return module.removeprefix("resnetkit").removeprefix(".")


def is_late(room: str, module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LATE.get(room, ()))


def test_the_list_is_whole() -> None:
    assert sorted(files()) == sorted([*ROOMS, *LOBBIES, *DOORS])


@pytest.mark.parametrize("lobby", LOBBIES)
def test_lobbies_import_nothing(lobby: str) -> None:
    assert not imports(lobby), "a room is named by its own name, so that naming one loads no other"


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_back(room: str) -> None:
    for module, _ in imports(room):
        if is_ours(module) and (other := room_of(module)):
            assert other in RANK, f"{room} uses {module}, which is no room"
            assert RANK[other] < RANK[room], f"{room} uses {other}, which comes after it"


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_hides(room: str) -> None:
    hidden = {module for module, where in imports(room) if where == "inside"}
    assert {module for module in hidden if not is_late(room, module)} == set()


@cache
def reach(room: str) -> set[str]:
    """The foreign packages that importing a room loads, through the rooms that it imports."""
    found: set[str] = set()
    for module, where in imports(room):
        if where == "top" and is_ours(module):
            found |= reach(room_of(module)) if room_of(module) else set()
        elif where == "top":
            found.add(module.partition(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("room", PURE)
def test_rooms_of_the_standard_library(room: str) -> None:
    assert reach(room) == set()


@pytest.mark.parametrize("room", NO_TORCH)
def test_rooms_without_torch(room: str) -> None:
    assert not reach(room) & {"torch", "matplotlib", "sklearn", "pyarrow", "rich", "huggingface_hub"}


def test_answering_loads_nothing_that_draws() -> None:
    assert not reach("api") & {"matplotlib", "sklearn", "pyarrow"}


def test_pure_rooms_load_nothing_heavy() -> None:
    """The same, seen from outside, with the package's own ``__init__`` in it."""
    rooms = ", ".join(f"resnetkit.{room}" for room in PURE)
    heavy = {"torch", "numpy", "sklearn", "matplotlib", "PIL", "rich", "safetensors"}
    code = f"import sys, {rooms}; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
