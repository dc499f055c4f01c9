"""Fonts for the letters that names are written in: those of this machine, then those of the extra ``fonts``."""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from matplotlib.font_manager import FontEntry, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font

from resnetkit.errors import plain
from resnetkit.report.tables import cut

OURS = "DejaVu Sans"  # which comes with matplotlib and draws Latin, Greek, Cyrillic, Arabic, Hebrew and much else
EXTRA = ("noto_cjk_sans_otc", "manimgx_fonts")  # packages that hold font files: Noto Sans CJK, and Noto for 20 scripts
# Fonts whose letters are boxes, nothing, or pictures that are not drawn here.
BLANK = ("lastresort", "adobeblank", "adobenotdef", "applecoloremoji")
# Fonts with Chinese letters, the better first, on Linux, Windows and macOS. They are tried before all others.
CHINESE = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "Noto Sans CJK JP",
    "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei", "SimSun",
    "PingFang SC", "Hiragino Sans GB", "Heiti SC", "STHeiti", "Arial Unicode MS",
)  # fmt: skip
NAMED = "resnetkit:"  # what the families begin with that are made here
SELECTORS = {chr(n) for n in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))}  # which shape of a letter, or colour
JOINERS = "\u200c\u200d"  # they say whether neighbours join, in Persian and in the scripts of India
APART = "\u200e"  # left-to-right mark: what stands on its two sides keeps its order


class Face(NamedTuple):
    """One font of a file."""

    file: str
    number: int = 0  # in a collection


def labelled(names: Sequence[str], widest: int = 28) -> tuple[list[str], list[str]]:
    """What to write for each name, its number where no font has its letters; and the fonts to write with."""
    shown = [cut(spelt(name), widest) for name in names]
    families, missing = fonts(set("".join(shown)))
    return [f"#{i}" if missing & set(name) else directed(name) for i, name in enumerate(shown)], families


def spelt(name: str) -> str:
    """Fit for one line: as in ``plain``, but joiners act, and what chooses among shapes of a letter is left out."""
    return "".join(c if c in JOINERS else plain(c) for c in name if c not in SELECTORS)


def directed(name: str) -> str:
    """A name that is read from the right, set apart, so that an arrow or a number beside it stays where it is."""
    backward = any(unicodedata.bidirectional(c) in ("R", "AL") for c in name)
    return f"{APART}{name}{APART}" if backward else name


def note(names: Sequence[str]) -> list[str]:
    """What to say where pictures show numbers in place of names, and what to do; nothing where they do not."""
    count = sum(label == f"#{i}" != name for i, (label, name) in enumerate(zip(labelled(names)[0], names, strict=True)))
    if not count:
        return []
    there = all(map(find_spec, EXTRA))
    fix = "install a font that has them" if there else 'pip install "resnetkit[fonts]" brings some'
    return [f"{count} of {len(names)} classes are numbers in the pictures: no font here has their letters; {fix}"]


def fonts(letters: set[str]) -> tuple[list[str], set[str]]:
    """Families that hold the letters between them, as few as can be, and the letters that none of them holds.

    The first font that holds all that is missing is taken; where none does, the one that holds most of it, and so on.
    """
    families, missing = [OURS], letters - letters_of(Face(fontManager.findfont(OURS)))
    faces: list[Face] = []
    for face in installed() if missing else ():
        faces.append(face)
        if missing <= held(face, missing):
            return [*families, family_of(face)], set()
    while missing and (best := max(faces, key=lambda face: len(held(face, missing)), default=None)):
        found = held(best, missing)
        if not found:
            break
        families.append(family_of(best))
        missing = missing - found
    return families, missing


def held(face: Face, letters: set[str]) -> set[str]:
    """Those of the letters that a font draws; some list letters for which they hold no outline."""
    there = letters & letters_of(face)
    if not there:
        return there
    font = FT2Font(face.file, face_index=face.number)
    return {c for c in there if c.isspace() or c in JOINERS or has_outline(font, c)}


def has_outline(font: FT2Font, letter: str) -> bool:
    font.load_char(ord(letter))
    return len(font.get_path()[0]) > 0


def installed() -> Iterator[Face]:
    """The fonts of this machine, those for Chinese first; then newer ones than matplotlib's list; then the extra's."""
    listed: dict[Face, tuple[str, bool]] = {}
    for font in fontManager.ttflist:
        if not font.name.startswith(NAMED):  # of several names the first is the proper one
            listed.setdefault(Face(str(font.fname), font.index), (font.name, str(font.weight) in ("400", "normal")))
    known = {face.file for face in listed}
    for faces in (
        listed,
        {face: about for file in sorted(set(findSystemFonts()) - known) for face, about in described(file).items()},
        {face: about for file in packaged() for face, about in described(file).items()},
    ):
        rank = {face: CHINESE.index(name) if name in CHINESE else len(CHINESE) for face, (name, _) in faces.items()}
        drawing = [face for face, (name, _) in faces.items() if not name.lower().replace(" ", "").startswith(BLANK)]
        yield from sorted(drawing, key=lambda face: (rank[face], not faces[face][1], face))


def packaged() -> Iterator[str]:
    """The font files of the extra ``fonts``, found without loading its packages."""
    for name in EXTRA:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(str(path) for path in Path(folder).glob("*.[to]t[fc]"))


def described(file: str) -> dict[Face, tuple[str, bool]]:
    """The fonts of a file, each with its family, and whether it is of the plain sort."""
    try:
        count = FT2Font(file).num_faces
        fonts = [FT2Font(file, face_index=index) for index in range(count)]
    except (OSError, RuntimeError):
        return {}
    return {
        Face(file, index): (font.family_name, font.style_name in ("Regular", "Book"))
        for index, font in enumerate(fonts)
    }


@cache
def letters_of(face: Face) -> frozenset[str]:
    """The letters a font can draw at every size; none, if it cannot be read."""
    try:
        font = FT2Font(face.file, face_index=face.number)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


@cache
def family_of(face: Face) -> str:
    """A family of this very font: looked up by its own name it might be another weight or not in the list yet."""
    family = f"{NAMED} {face.file} {face.number}"
    entry = FontEntry(fname=face.file, index=face.number, name=family, style="normal", weight=400, size="scalable")
    fontManager.ttflist.append(entry)
    return family
