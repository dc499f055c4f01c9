"""A run as a file: run.json, written by every run and read by --run and --resume."""

import dataclasses
import json
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resnetkit.errors import UsageError, plain, some
from resnetkit.run import HINTS, Run, check, refuse_unknown, show

FORMAT = 1
LARGEST_FILE = 1 << 20  # bytes of a run.json; ours have three thousand


def dumps(run: Run, given: Iterable[str]) -> str:
    """A run as JSON, with the names of the settings that somebody chose."""
    document = {"format": FORMAT, "settings": dataclasses.asdict(run), "given": sorted(given)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def loads(text: str, where: str = "run.json") -> tuple[Run, frozenset[str]]:
    """A run and what was given, from JSON. In a file without ``given`` every setting in it was."""
    fix = "compare it with a run.json that resnet train wrote"
    try:
        document = json.loads(text, object_pairs_hook=without_twins, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not proper JSON: {plain(error)[:200] or 'it is too deep'}", fix) from None
    if not isinstance(document, dict) or not isinstance(document.get("settings"), dict):
        raise UsageError(f'{where} has no "settings"', fix)
    if document.get("format") != FORMAT:
        raise UsageError(
            f'{where} has "format" {show(document.get("format"))}; this resnetkit reads {FORMAT}',
            "use the resnetkit that wrote it, or a newer one",
        )
    if extra := document.keys() - {"format", "settings", "given"}:
        raise UsageError(
            f"{where} has unknown entries: {some(sorted(extra))}", "remove them, or move settings to settings"
        )
    settings, given = document["settings"], document.get("given", list(document["settings"]))
    refuse_unknown(settings, f"{where}: ")
    if not isinstance(given, list) or not all(isinstance(name, str) and name in HINTS for name in given):
        raise UsageError(f'{where}: "given" is not a list of settings', fix)
    return Run(**{n: check(n, value, f"{where}: {n}") for n, value in settings.items()}), frozenset(given)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{some({show(n) for n in names if names.count(n) > 1})} stands there twice")
    return seen


def refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def read_file(path: Path) -> tuple[Run, frozenset[str]]:
    """The run in a file; whatever cannot be read as one is a UsageError naming the file."""
    where = plain(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UsageError(f"{where} is a folder, not a run.json", f"name the file, such as {where}/run.json")
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise UsageError(f"{where} is not a run.json", "name the run.json of a run folder")
        return loads(path.read_bytes().decode("utf-8-sig"), where)
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not text", "name the run.json of a run folder") from None
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror}", "name the run.json of a run folder") from None
