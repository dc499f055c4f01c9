"""Weights that others wrote, read without running anything that is in them.

torch reads pickles with ``weights_only=True``, and there is no other way here; before it does, their instructions are
walked through, and after it the tensors are looked at again.
"""

import os
import re
import warnings
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import PIL
import torch
from torch import Tensor

from resnetkit.dialects import strip, to_ours
from resnetkit.errors import WeightsError, plain, some
from resnetkit.instructions import AGAIN, SAVE, check_instructions
from resnetkit.kinds import is_pytorch
from resnetkit.modelfile import load
from resnetkit.safetensor import (
    KEY,
    MAX_NAME,
    MAX_NDIM,
    MAX_TENSORS,
    check_numbers,
    open_regular,
    read_header,
    refuse_strangers,
    tensors_of,
)

DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
DTYPES |= {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool}

# Where training programs keep the weights, the ones to use first: averaged weights are what their authors evaluate.
WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net")


def read_foreign(path: str | Path, notes: list[str] | None = None) -> dict[str, Tensor]:
    """The weights in a PyTorch checkpoint, a bare safetensors file or a model file, under our names.

    The tensors are dense, on the CPU, and theirs alone; those of floating point are float32. What was changed on the
    way is said in ``notes``, a sentence each. Raises WeightsError naming the file for whatever is not such a file.
    """
    path = Path(path)
    notes = [] if notes is None else notes
    check_floors()
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(512)
        file.seek(0)
        if head[8:9] == b"{":
            state = read_safetensors(file, path, notes)
        elif is_pytorch(head):
            state = read_checkpoint(file, size, path, notes)
        else:
            refuse_strangers(head, path)
            raise WeightsError(f"{plain(path)} holds no weights", "name a .pth or .safetensors file")
    return to_ours(strip(to_float32(state, notes), notes), notes, what=plain(path))


def check_floors() -> None:
    """Older versions of what reads files have holes that a file can use."""
    if version(torch.__version__) < (2, 10):
        raise WeightsError(
            f"torch {torch.__version__} can be made to run code by a file of weights (CVE-2026-24747)",
            "upgrade: pip install --upgrade 'torch>=2.10'",
        )
    if version(PIL.__version__) < (12, 2):
        raise WeightsError(
            f"Pillow {PIL.__version__} can be broken by a picture (CVE-2026-40192)",
            "upgrade: pip install --upgrade 'pillow>=12.2'",
        )


def version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def read_safetensors(file: BinaryIO, path: Path, notes: list[str]) -> dict[str, Tensor]:
    if KEY in read_header(file, path).metadata:
        return load(path)[1]
    notes.append("there is no SHA-256 in the file to check it against")
    file.seek(0)
    return tensors_of(file.read(), path)


def read_checkpoint(file: BinaryIO, size: int, path: Path, notes: list[str]) -> dict[str, Tensor]:
    """The tensors of a torch.save, whatever it was wrapped in."""
    what = plain(path)
    try:
        check_instructions(file, size, what)
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old forms, which are no news to whoever has such a file
            found = torch.load(file, map_location="cpu", weights_only=True)
        notes.append("there is no SHA-256 in the file to check it against")
        state = unwrap(found, what, notes)
        check_tensors(state, size, what)
    except WeightsError:
        raise
    except Exception as error:  # noqa: BLE001  a file can make torch's reader raise anything
        # Not torch's own words: they may advise what this room never does.
        fix = AGAIN if cut_short(error) else SAVE
        kind = "is truncated or damaged" if cut_short(error) else f"cannot be read as weights ({type(error).__name__})"
        raise WeightsError(f"{what} {kind}: it has {size} bytes", fix) from None
    return state


def cut_short(error: Exception) -> bool:
    words = ("unexpected EOF", "exhausted", "central directory", "not enough data", "remain", "no newline found")
    return isinstance(error, EOFError | BadZipFile) or any(word in str(error) for word in words)


def unwrap(found: object, what: str, notes: list[str]) -> dict[str, Tensor]:
    """The dict of tensors in a checkpoint."""
    for _ in range(4):
        if not isinstance(found, dict):
            break
        inner = {key: value for key, value in dict.items(found) if key in WRAPPERS and isinstance(value, dict)}
        if not inner:
            break
        key = min(inner, key=WRAPPERS.index)
        notes.append(f"the weights are those under {key!r}")
        found = inner[key]
    if not isinstance(found, dict):
        raise WeightsError(f"{what} holds a {type(found).__name__}, not weights by name", SAVE)
    state = dict(dict.items(found))  # not its own items(): a pickle may have put something in their place
    state.pop("n_averaged", None)  # a count that torch's averaged models keep among their weights
    strange = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if strange or not state:
        kinds = some((f"{key} ({type(state[key]).__name__})" for key in strange), 3) or "nothing"
        raise WeightsError(f"{what} holds {kinds} where weights by name should be", SAVE)
    return state


def check_tensors(state: dict[str, Tensor], size: int, what: str) -> None:
    """WeightsError for tensors that are not plain numbers, or that mean more bytes than the file has."""
    if len(state) > MAX_TENSORS:
        raise WeightsError(f"{what} holds {len(state)} tensors, and {MAX_TENSORS} are allowed", SAVE)
    total = 0
    for name, tensor in state.items():
        which = f"{what}: {plain(name[:MAX_NAME])}"
        if len(name) > MAX_NAME or tensor.ndim > MAX_NDIM:
            raise WeightsError(f"{which} has a name too long or too many dimensions ({tensor.ndim})", SAVE)
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise WeightsError(f"{which} has a layout that is not allowed: {tensor.layout} on {tensor.device}", SAVE)
        if tensor.dtype not in DTYPES:
            raise WeightsError(f"{which} has a dtype that is not allowed: {tensor.dtype}", SAVE)
        held, meant = tensor.untyped_storage().nbytes(), tensor.numel() * tensor.element_size()
        total += meant
        if meant > held or total > size:
            raise WeightsError(f"{which} means {meant} bytes, and the file has {min(held, size)} for it", SAVE)
    for name, tensor in state.items():
        check_numbers(name, tensor, what)


def to_float32(state: dict[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Dense copies, so that nothing keeps hold of a larger storage."""
    others = sorted({str(t.dtype)[6:] for t in state.values() if t.is_floating_point() and t.dtype != torch.float32})
    if others:
        notes.append(f"weights of {some(others)} became float32")
    return {
        name: t.detach()
        .to(torch.float32 if t.is_floating_point() else t.dtype)
        .clone(memory_format=torch.contiguous_format)
        for name, t in state.items()
    }
