"""What a run needs to go on: folders that are there whole or not at all, with the hash of every file."""

import json
import os
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from resnetkit.errors import ResourceError
from resnetkit.files import hint, sync_folder, write_bytes, write_json

FORMAT = 1
KEPT = 2  # the newest, and the one before it in case the newest is damaged later


@dataclass(frozen=True)
class Snapshot:
    """A state as plain values: tensors by name, and JSON for the rest."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save(folder: Path, snapshot: Snapshot) -> Path:
    """Keep ``snapshot`` as ``folder/step-000000123``; older ones go only once it stands."""
    step = snapshot.values["step"]
    target, beside = folder / f"step-{step:09d}", folder / f".step-{step:09d}.tmp"
    files = {
        "tensors.safetensors": safetensors.torch.save(
            {k: v.detach().cpu().contiguous() for k, v in snapshot.tensors.items()}
        ),
        "values.json": json.dumps(snapshot.values).encode(),
    }
    hashes = {name: sha256(data).hexdigest() for name, data in files.items()}
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        for name, data in files.items():
            write_bytes(beside / name, data)
        write_json(beside / "MANIFEST.json", {"format": FORMAT, "sha256": hashes})
        if target.exists():
            shutil.rmtree(target)
        os.replace(beside, target)
        sync_folder(folder)
    except OSError as error:
        raise ResourceError(f"{target} could not be written: {error.strerror or error}", hint(error)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for old in found(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def newest(folder: Path) -> tuple[Snapshot | None, list[str]]:
    """The newest snapshot that is whole, and a note for each damaged one, which moves to ``quarantine``."""
    notes: list[str] = []
    for path in found(folder):
        try:
            return load(path), notes
        except (OSError, ValueError, KeyError, TypeError, RecursionError, safetensors.SafetensorError) as error:
            aside = folder / "quarantine" / path.name
            aside.parent.mkdir(exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
            notes.append(f"{path.name} is damaged ({error}) and was put into {aside.parent}")
    return None, notes


def load(path: Path) -> Snapshot:
    """Raises ValueError (or what reading raises) where a file is not what it was when it was saved."""
    manifest = json.loads((path / "MANIFEST.json").read_bytes())
    if manifest["format"] != FORMAT:
        raise ValueError(f"it has format {manifest['format']}")
    data = {}
    for name, wanted in manifest["sha256"].items():
        data[name] = (path / name).read_bytes()
        if sha256(data[name]).hexdigest() != wanted:
            raise ValueError(f"{name} has changed")
    return Snapshot(safetensors.torch.load(data["tensors.safetensors"]), json.loads(data["values.json"]))


def found(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)
