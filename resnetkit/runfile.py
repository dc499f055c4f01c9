"""A run as a file: run.json, written by every run and read by --run and --resume."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from resnetkit.documents import parse, read_text
from resnetkit.errors import UsageError, plain, some
from resnetkit.run import HINTS, Run, check, refuse_unknown, show

FORMAT = 1


def dumps(run: Run, given: Iterable[str]) -> str:
    """A run as JSON, with the names of the settings that somebody chose."""
    document = {"format": FORMAT, "settings": dataclasses.asdict(run), "given": sorted(given)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def loads(text: str, where: str = "run.json") -> tuple[Run, frozenset[str]]:
    """A run and what was given, from JSON. In a file without ``given`` every setting in it was."""
    fix = "compare it with a run.json that resnet train wrote"
    document = parse(text, where, fix)
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


def read_file(path: Path) -> tuple[Run, frozenset[str]]:
    """The run in a file; whatever cannot be read as one is a UsageError naming the file."""
    return loads(read_text(path, "a run.json", "name the run.json of a run folder"), plain(path))
