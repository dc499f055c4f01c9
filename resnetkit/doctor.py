"""What this machine offers: device, precision, threads, and which packages are here."""

import importlib.metadata
import os
import platform
import shutil
import sys
from typing import Any

import resnetkit
from resnetkit import mapstore
from resnetkit.errors import UsageError, plain

CORE = tuple("torch numpy pillow safetensors rich scikit-learn scipy threadpoolctl matplotlib filelock jinja2".split())
EXTRAS = {
    "data": ("pyarrow", "huggingface-hub"),
    "video": ("av",),
    "fonts": ("noto-cjk-sans-otc", "manimgx-fonts"),
    "tensorboard": ("tensorboard",),
    "sweep": ("optuna",),
    "export": ("onnx", "onnxruntime", "openvino"),
}  # what pip calls them: resnetkit[data]


def examine() -> dict[str, Any]:
    """Everything as plain values; ``problems`` holds what is wrong and what to do about it."""
    packages = {name: version(name) for name in (*CORE, *(name for names in EXTRAS.values() for name in names))}
    found, problems = machine()
    for name in CORE:
        if packages[name] is None:
            problems.append({"problem": f"the package {name} is missing", "fix": f"pip install {name}"})
    most = None
    try:
        most = mapstore.most()
    except UsageError as error:
        problems.append({"problem": error.what, "fix": error.fix})
    return {
        "resnetkit": resnetkit.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **found,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "packages": packages,
        "extras": {
            extra: {
                "present": all(packages[name] for name in names),
                "missing": [name for name in names if not packages[name]],
                "install": f'pip install "resnetkit[{extra}]"',
            }
            for extra, names in EXTRAS.items()
        },
        "maps": {"folder": str(mapstore.root()), "bytes": mapstore.size(mapstore.root()), "most": most},
        "problems": problems,
    }


def machine() -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What a run would use here; a torch that does not import is a problem and not the end."""
    nothing: dict[str, Any] = {"device": None, "devices": [], "hardware": None, "precision": None, "threads": None}
    try:
        from resnetkit.engine.device import available, choose
    except (ImportError, OSError) as error:
        fix = "pip install torch (on a computer without a GPU: --index-url https://download.pytorch.org/whl/cpu)"
        return nothing, [{"problem": f"torch cannot be imported: {plain(error)}", "fix": fix}]
    here = choose()
    devices, about = available(), here.fingerprint()
    problems = []
    if shutil.which("nvidia-smi") and not any(name.startswith("cuda") for name in devices):
        fix = "pip install torch without the cpu index, or update the driver"
        problems.append({"problem": "an NVIDIA driver is here, but this torch does not see a GPU", "fix": fix})
    found = {
        "device": str(here.device),
        "devices": devices,
        "hardware": about["device"] if here.device.type == "cuda" else about["processor"],
        "precision": here.precision,
        "threads": about["threads"],
    }
    return found, problems


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(report: dict[str, Any]) -> str:
    """The same for people."""
    versions = {name: found for name, found in report["packages"].items() if found}
    lines = [
        ("resnetkit", f"{report['resnetkit']} on Python {report['python']}, {report['system']}"),
        ("device", f"{report['device']} ({report['hardware']}); found: {', '.join(report['devices'])}"),
        ("precision", f"{report['precision']} to train, fp32 to evaluate and predict unless another way answers alike"),
        ("threads", f"{report['threads']} on {report['cores']} cores"),
        ("packages", ", ".join(f"{name} {found}" for name, found in versions.items())),
    ]
    if report["device"] is None:
        lines = [line for line in lines if line[0] not in ("device", "precision", "threads")]
    kept = report["maps"]
    most = "?" if kept["most"] is None else f"{kept['most'] / 2**30:g}"
    room = f"{kept['bytes'] / 2**20:,.0f} MB of at most {most} GB"
    lines.append(("maps", f"{room} in {kept['folder']}, which may be deleted"))
    for extra, about in report["extras"].items():
        text = "present" if about["present"] else f"missing {', '.join(about['missing'])}: {about['install']}"
        lines.append((f"extra {extra}", text))
    for problem in report["problems"]:
        lines += [("problem", problem["problem"]), ("fix", problem["fix"])]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in lines)
