"""What was measured on this machine, kept from one process to the next."""

import json
import platform
import sys
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from resnetkit.caching import cache_folder
from resnetkit.errors import KitError
from resnetkit.files import write_json
from resnetkit.modelfile import canonical

FILE = "fastest.json"
MOST = 500  # measurements that are kept, the latest


def key_of(*about: Any) -> str:
    """A name for what a measurement is of."""
    return sha256(canonical([hardware(), *about]).encode()).hexdigest()[:24]


@cache
def hardware() -> list[str]:
    """The processor, as far as it says what it is."""
    told: list[str] = []
    if sys.platform == "linux":
        with suppress(OSError):
            lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
            told = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return [platform.system(), platform.machine(), platform.processor(), *told]


def recall(key: str) -> dict[str, Any] | None:
    """What was kept under a key; None where there is nothing, or nothing that can be read."""
    found = known().get(key)
    return found if isinstance(found, dict) else None


def keep(key: str, what: dict[str, Any]) -> None:
    """Keep it, where that can be written: it is only time that is lost else."""
    with suppress(KitError, OSError):
        every = {name: value for name, value in known().items() if name != key} | {key: what}
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, dict(list(every.items())[-MOST:]))


def known() -> dict[str, Any]:
    with suppress(KitError, OSError, ValueError, RecursionError):
        found = json.loads((cache_folder() / FILE).read_text("utf-8"))
        if isinstance(found, dict):
            return found
    return {}
