"""torchvision and timm, which our networks are compared with.

torchvision's wheel is linked against the CUDA builds of torch; beside a CPU build its compiled library does not load,
and importing it fails with "operator torchvision::nms does not exist". Its models and transforms need no operator of
that library, only that their names are declared.
"""

import importlib
import importlib.util
import os
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch

KEPT: list[torch.library.Library] = []  # the declarations go when their library goes


def peer(name: str) -> ModuleType:
    """A module of torchvision or timm; where it is not installed the test is skipped, and fails in CI."""
    for package in ("torchvision", name.partition(".")[0]):
        if importlib.util.find_spec(package) is None:
            reason = f"{package} is not installed"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a peer warns of on import is not ours to mend
        try:
            importlib.import_module("torchvision")
        except RuntimeError as error:
            if KEPT or "torchvision::" not in str(error):
                raise
            declare_operators()
        return importlib.import_module(name)


def declare_operators() -> None:
    for module in [module for module in sys.modules if module.partition(".")[0] == "torchvision"]:
        del sys.modules[module]
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.submodule_search_locations
    text = (Path(spec.submodule_search_locations[0]) / "_meta_registrations.py").read_text(encoding="utf-8")
    names = {*re.findall(r'register_fake\("torchvision::(\w+)"', text), *re.findall(r'register_meta\("(\w+)"', text)}
    KEPT.append(torch.library.Library("torchvision", "DEF"))
    for name in sorted(names):
        KEPT[0].define(f"{name}(Tensor a) -> Tensor")
