"""Residual networks, from a folder of images to a trained, measured, reusable model.

Each name is loaded when it is first asked for, so that ``import resnetkit`` and the command start without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnetkit.api import check as check
    from resnetkit.api import compare as compare
    from resnetkit.api import find_lr as find_lr
    from resnetkit.api import load as load
    from resnetkit.api import train as train
    from resnetkit.backbone import Backbone as Backbone
    from resnetkit.backbone import features as features
    from resnetkit.clips import watch as watch
    from resnetkit.create import create_model as create_model
    from resnetkit.create import list_models as list_models
    from resnetkit.deployed import load_export as load_export
    from resnetkit.errors import DataError as DataError
    from resnetkit.errors import DivergedError as DivergedError
    from resnetkit.errors import KitError as KitError
    from resnetkit.errors import ResourceError as ResourceError
    from resnetkit.errors import UsageError as UsageError
    from resnetkit.errors import WeightsError as WeightsError
    from resnetkit.explain.embedding import embed as embed
    from resnetkit.explain.verification import verify as verify
    from resnetkit.layout import lay_out as lay_out
    from resnetkit.model import BasicBlock as BasicBlock
    from resnetkit.model import Bottleneck as Bottleneck
    from resnetkit.model import ResNet as ResNet
    from resnetkit.plan import Plan as Plan
    from resnetkit.run import Run as Run
    from resnetkit.spec import Spec as Spec

__version__ = "0.1.0"

HOMES = {
    "Backbone": "backbone",
    "BasicBlock": "model",
    "Bottleneck": "model",
    "DataError": "errors",
    "DivergedError": "errors",
    "KitError": "errors",
    "Plan": "plan",
    "ResNet": "model",
    "ResourceError": "errors",
    "Run": "run",
    "Spec": "spec",
    "UsageError": "errors",
    "WeightsError": "errors",
    "compare": "api",
    "check": "api",
    "create_model": "create",
    "embed": "explain.embedding",
    "features": "backbone",
    "find_lr": "api",
    "lay_out": "layout",
    "list_models": "create",
    "load": "api",
    "load_export": "deployed",
    "train": "api",
    "verify": "explain.verification",
    "watch": "clips",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*HOMES, *(name for name in globals() if name.startswith("__"))})
