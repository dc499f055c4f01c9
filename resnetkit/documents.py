"""Texts and JSON files that people write or change: read whole and once, or refused in one line that names them."""

import codecs
import json
import stat
from contextlib import suppress
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from resnetkit.errors import UsageError, plain, some

LARGEST_FILE = 1 << 20  # bytes; those that we write have three thousand


def read_text(path: Path, kind: str, fix: str) -> str:
    """The text of a file such as a run.json, which ``kind`` names; UsageError for whatever is none."""
    where = plain(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            inside = kind.rsplit(maxsplit=1)[-1]
            raise UsageError(f"{where} is a folder, not {kind}", f"name the file, such as {where}/{inside}")
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise UsageError(f"{where} is not {kind}", fix)
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not text", fix) from None
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror}", fix) from None


def decoded(data: bytes) -> str | None:
    """UTF-8 with or without its mark, UTF-16 with it as Excel writes it, or else GB 18030, which holds GBK.

    None for what is no text.
    """
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "gb18030"):
        with suppress(UnicodeDecodeError):
            if "\0" not in (text := data.decode(encoding)):
                return text
    return None


def parse(text: str, where: str, fix: str) -> Any:
    """A JSON document in which nothing stands twice and every number is one."""
    try:
        return json.loads(text, object_pairs_hook=without_twins, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not proper JSON: {plain(error)[:200] or 'it is too deep'}", fix) from None


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen = dict(pairs)
    if len(seen) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{some({brief(n) for n in names if names.count(n) > 1})} stands there twice")
    return seen


def refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number")
