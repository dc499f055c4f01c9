"""Explanations as files: the picture under its heat, and the bare maps, under names that nobody else has."""

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from resnetkit.errors import ResourceError, UsageError, plain
from resnetkit.explain.explanation import Explanation
from resnetkit.files import hint, write_bytes

KEY = "resnetkit"  # under which a file says what it explains
SMALL, LARGE = 224, 1600  # pixels along the longer side: smaller overlays are enlarged, larger ones reduced
LONGEST = 80  # letters of a picture's name that are kept


def make_folder(out: Path) -> None:
    """The folder that is written into; UsageError where it is something else, ResourceError where it cannot be made."""
    if os.path.lexists(out) and not out.is_dir():
        raise UsageError(f"{plain(out)} is not a folder", "name another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"the folder {plain(out)} could not be made: {error.strerror}", hint(error)) from error


def write(out: Path, explained: Explanation, network: str, *, maps: bool = False) -> list[Path]:
    """Write NAME.METHOD.png into ``out``, and with ``maps`` NAME.METHOD.npz beside it; ``network`` is its fingerprint.

    A file that is there is replaced only where it is the same explanation; else the next free number is added.
    The npz holds ``heat`` (height, width) on the picture and ``seen`` (h, w) on what the network saw.
    """
    about = json.dumps(identity(explained, network), sort_keys=True, ensure_ascii=True)
    stem = plain(Path(explained.path).stem if explained.path != "-" else "picture").replace("/", "_")[:LONGEST]
    number = 1
    while True:
        name = f"{stem}.{explained.method}{'' if number == 1 else f'-{number}'}"
        paths = [out / f"{name}.png", out / f"{name}.npz"]
        if all(not os.path.lexists(path) or written_about(path) == about for path in paths):
            break
        number += 1
    write_bytes(paths[0], png(explained, about))
    if maps:
        data = io.BytesIO()
        np.savez_compressed(data, heat=explained.heat, seen=explained.seen, resnetkit=np.array(about))
        write_bytes(paths[1], data.getbuffer())
    return paths if maps else paths[:1]


def identity(explained: Explanation, network: str) -> dict[str, Any]:
    """What makes two explanations the same: of another network, picture, answer or way it is another."""
    path = "-" if explained.path == "-" else os.path.abspath(explained.path)
    return {"path": path, "name": explained.name, "method": explained.method, "stage": explained.stage} | {
        "network": network
    }


def written_about(path: Path) -> str | None:
    """What a file that is there explains; None where it is not one of ours."""
    try:
        if path.is_symlink() or not path.is_file():
            return None
        if path.suffix == ".npz":
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as found:
                return str(found[KEY])
        with PngImagePlugin.PngImageFile(path) as image:
            return image.text.get(KEY)
    except (OSError, ValueError, KeyError, TypeError, SyntaxError, EOFError, zipfile.BadZipFile):
        return None


def png(explained: Explanation, about: str) -> bytes:
    """The overlay, at a size that can be looked at."""
    image = Image.fromarray(explained.overlay())
    longer = max(image.size)
    if longer * 2 <= SMALL:  # pixels stay squares
        image = image.resize(
            (image.width * (SMALL // longer), image.height * (SMALL // longer)), Image.Resampling.NEAREST
        )
    elif longer > LARGE:
        image.thumbnail((LARGE, LARGE))
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, about)
    out = io.BytesIO()
    image.save(out, "png", pnginfo=info)
    return out.getvalue()
