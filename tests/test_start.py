"""The package and the command start light: what needs no torch does not wait for it."""

import ast
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import environment

import resnetkit

HEAVY = {"torch", "numpy", "sklearn", "matplotlib", "PIL", "rich", "pyarrow", "safetensors"}
SPY = """
import atexit, json, sys
from resnetkit.cli import main
code = main(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "train --help-all",
        "models",
        "models --json",
        "describe resnet50",
        "describe resnet50 --json",
        "describe resnet1202 --mermaid",
    ],
)
def test_light_words_load_nothing_heavy(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPY, *words.split()], capture_output=True, text=True, env=environment({}), check=True
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    assert done.stdout
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        command = [sys.executable, "-m", "resnetkit", *words.split()]
        subprocess.run(command, stdout=subprocess.DEVNULL, env=environment({}), check=True)
        times.append(time.perf_counter() - begun)
    print(f"resnet {words}: {statistics.median(times):.3f} s, median of 3")  # shown by pytest -rP; never asserted


@pytest.mark.parametrize(
    "words", ["train d --epochs ten", "train d --gamma 0.5", "predict m", "eval m d --split x", "trian"]
)
def test_errors_of_usage_do_not_wait_for_torch(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPY, *words.split()], capture_output=True, text=True, env=environment({}), check=True
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 2
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()


def test_importing_the_package_loads_nothing() -> None:
    code = "import json, sys, resnetkit; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment({}), check=True)
    assert [name for name in json.loads(done.stdout) if name.startswith("resnetkit.")] == []


def test_every_public_name_is_found_and_typed() -> None:
    """The table that loads names, and the imports that editors and mypy read, say the same."""
    tree = ast.parse(Path(resnetkit.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "only `x as x` is a public name for mypy"
            seen[alias.name] = str(node.module).removeprefix("resnetkit.")
    assert seen == resnetkit.HOMES
    for name in resnetkit.HOMES:
        assert getattr(resnetkit, name) is not None
    assert set(resnetkit.HOMES) < set(dir(resnetkit))
    assert "__version__" in dir(resnetkit)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        resnetkit.creat_model  # noqa: B018
    assert not hasattr(resnetkit, "numpy")
