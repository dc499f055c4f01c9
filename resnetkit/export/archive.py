"""A .pt2 file of torch: a zip of weights as plain bytes, a program in JSON, and texts. Walked here without torch."""

import json
import re
from collections.abc import Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from resnetkit.export.form import checked_program, checked_weights
from resnetkit.export.metadata import BrokenError

SUFFIX = ".pt2"
PROGRAM, TABLE = "models/model.json", "data/weights/model_weights_config.json"
WEIGHTS, EXTRA = "data/weights/", "extra/"
# What stands in members of which there is one: None for anything, which is looked at elsewhere.
FIXED: Mapping[str, bytes | None] = {
    PROGRAM: None,
    TABLE: None,
    "data/constants/model_constants_config.json": b'{"config": {}}',
    "data/sample_inputs/model.pt": b"",  # a pickle, were there any
    "archive_format": b"pt2",
    "archive_version": b"0",
    "byteorder": b"little",
    ".data/version": None,
    ".data/serialization_id": None,
}
OTHERS = re.compile(r"data/weights/weight_[0-9]{1,6}|extra/[a-z_0-9]{1,60}")
MOST = 20_000  # members


def members(data: bytes) -> dict[str, bytes]:
    """What a file holds, by name without the folder that all of it is in.

    Raises BrokenError for members that no file of ours has, for those that are packed or share their bytes, and for
    what is no zip.
    """
    try:
        with ZipFile(BytesIO(data)) as file:
            found = file.infolist()
            stored = all(one.compress_type == ZIP_STORED and not one.flag_bits & 1 for one in found)
            if not stored or sum(one.file_size for one in found) > len(data) or len(found) > MOST:
                raise BrokenError("is packed, and no file of ours is")
            read = [(one.filename.partition("/")[2], file.read(one)) for one in found]
    except (BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, OverflowError) as error:
        if isinstance(error, BrokenError):
            raise
        raise BrokenError("is no file of torch, or is damaged") from None
    held = dict(read)
    if len(held) != len(read):
        raise BrokenError("has two members of one name")
    for name, content in held.items():
        fixed = FIXED.get(name)
        if not (name in FIXED or OTHERS.fullmatch(name)) or (fixed is not None and content != fixed):
            raise BrokenError(f"holds what no file of ours does: {name[:80]!a}")
    if missing := sorted(FIXED.keys() - held.keys()):
        raise BrokenError(f"has no {missing[0]}")
    return held


def summary(data: bytes) -> tuple[dict[str, str], str, list[memoryview]]:
    """The texts in a file, a SHA-256 over the rest but its weights, and those, by name; each with its name in the sum.

    Raises BrokenError for what is not of our form.
    """
    held = members(data)
    checked(held)
    total = sha256()
    weights = [name for name in sorted(held) if OTHERS.fullmatch(name) and name.startswith(WEIGHTS)]
    for name in sorted(held):
        if not name.startswith(EXTRA):
            total.update(f"{name} {len(held[name])} ".encode() + (b"" if name in weights else held[name]))
    try:
        texts = {name.removeprefix(EXTRA): held[name].decode() for name in held if name.startswith(EXTRA)}
    except UnicodeDecodeError:
        raise BrokenError("has metadata that are no text") from None
    return texts, total.hexdigest(), [memoryview(held[name]) for name in weights]


def checked(held: Mapping[str, bytes]) -> tuple[Any, Any]:
    """The program and the table of weights. Raises BrokenError for what is not of our form."""
    try:
        program, table = (json.loads(held[name]) for name in (PROGRAM, TABLE))
    except (ValueError, RecursionError):
        raise BrokenError("is damaged: its program is no JSON") from None
    checked_program(program)
    lengths = {name.removeprefix(WEIGHTS): len(content) for name, content in held.items() if name.startswith(WEIGHTS)}
    checked_weights(table, lengths)
    return program, table


def cleaned(data: bytes) -> BytesIO:
    """The same file written anew of what was checked, so that nothing else is there for torch to find.

    Raises BrokenError for what is not of our form.
    """
    held = members(data)
    program, table = checked(held)
    anew = {PROGRAM: json.dumps(program).encode(), TABLE: json.dumps(table).encode()}
    out = BytesIO()
    with ZipFile(out, "w") as file:
        for name, content in held.items():
            if not name.startswith(EXTRA):
                file.writestr(ZipInfo(f"model/{name}"), anew.get(name, content))
    out.seek(0)
    return out


def save(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def note(path: Path, texts: Mapping[str, str]) -> None:
    """Texts become members behind the others, where torch.export.load finds its ``extra_files``."""
    with ZipFile(path, "a") as file:
        folder = file.namelist()[0].partition("/")[0]
        for name, text in texts.items():
            file.writestr(ZipInfo(f"{folder}/{EXTRA}{name}"), text)
