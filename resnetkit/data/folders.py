"""Pictures in class folders: DIR/train/ants/1.jpg with val and test beside train, or DIR/ants/1.jpg alone."""

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import FORMAT_OF, Picture, decode, read_file
from resnetkit.data.parts import ORDER, PART_NAMES, LoneClassError, Part, PartName, Source, agree
from resnetkit.errors import DataError, plain, some

CONVERTIBLE = frozenset({".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".raw", ".cr2", ".nef", ".dng"})
SYSTEM = frozenset({"thumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "lost+found", "__pycache__"})
LOOKALIKES = frozenset({"training", "testing", "tests", "trainset", "testset", "dev", "eval", "evaluation"})
DEPTH = 64  # folders inside a class folder
LAYOUT = "DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg, or DIR/CLASS/*.jpg alone"


@dataclass
class Walk:
    """A walk through one part: the pictures met, and what was passed by."""

    base: Path  # of the part
    names: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)  # class folders, with or without pictures
    loose: list[str] = field(default_factory=list)  # pictures beside the class folders
    skipped: Counter[str] = field(default_factory=Counter)  # files that are not pictures, by suffix
    notes: list[str] = field(default_factory=list)


def open_folder(root: Path, classes: Sequence[str] | None, max_pixels: int) -> Source:
    """Find every picture; nothing is decoded yet."""
    walks = {part: explore(Walk(folder)) for part, folder in part_folders(root).items()}
    if not any(walk.names for walk in walks.values()):
        raise DataError(*nothing(root, walks))
    source = walked(root, walks, {part: classes_of(walk) for part, walk in walks.items()}, classes, max_pixels)
    if "all" not in walks and (beside := strangers(root)):
        source.notes.append(f"not looked at, beside {' and '.join(walks)}: {some(beside)}")
    return source


def classes_of(walk: Walk) -> list[str]:
    return [name.partition("/")[0] for name in walk.names]


def walked(
    root: Path,
    walks: Mapping[PartName, Walk],
    found: Mapping[PartName, Sequence[str]],
    classes: Sequence[str] | None,
    max_pixels: int,
) -> Source:
    """The source that walks have found, ``found`` being the class of each picture that they met."""
    first = next((part for part in found if part in ("train", "all")), None)
    if classes is None and first is not None:
        walk, present = walks[first], set(found[first])
        hollow = [name for name in walk.folders if name not in present]
        if hollow:
            passed = f" ({census(walk.skipped)} passed by)" if walk.skipped else ""
            what = f"{plain(walk.base)}: there are no pictures of {some(hollow)}{passed}"
            raise DataError(what, "add pictures, or remove the folder")
        if len(present) == 1:
            raise LoneClassError(*single(root, walk.base, found[first][0]), found[first][0])
    names, labels = agree(plain(root), found, classes)
    parts = {part: as_part(part, walk, labels[part], max_pixels) for part, walk in walks.items()}
    notes = [note for walk in walks.values() for note in remarks(walk)]
    return Source(plain(root), "folder", names, parts, False, notes)


def part_folders(root: Path) -> dict[PartName, Path]:
    """The folders of the parts, whatever case their names have; the root itself where there are none."""
    folders: dict[PartName, Path] = {}
    for entry in entries(root):
        part = PART_NAMES.get(entry.name.lower())
        if part is None or not is_folder(entry):
            continue
        if part in folders:
            raise DataError(
                f"{plain(root)} has both {folders[part].name} and {entry.name}, which both mean {part}",
                "remove or rename one of them",
            )
        folders[part] = Path(entry.path)
    lookalikes = [name for name in strangers(root) if name.lower() in LOOKALIKES]
    if not folders and len(lookalikes) > 1:
        raise DataError(
            f"{plain(root)}: {some(lookalikes)} look like parts of a data set, not like classes",
            "rename them to train, val or test",
        )
    return {part: folders[part] for part in ORDER if part in folders} or {"all": root}


def strangers(root: Path) -> list[str]:
    """Folders that are no parts."""
    return [entry.name for entry in entries(root) if entry.name.lower() not in PART_NAMES and is_folder(entry)]


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, without hidden files and those of operating systems."""
    try:
        with os.scandir(folder) as found:
            kept = [entry for entry in found if entry.name[0] != "." and entry.name.lower() not in SYSTEM]
    except OSError as error:
        raise DataError(
            f"{plain(folder)} cannot be listed: {error.strerror}", "make the folder readable, or name another one"
        ) from error
    return sorted(kept, key=lambda entry: entry.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether this is a folder or leads to one; a link that leads nowhere could have been one: DataError."""
    if os.path.isdir(entry.path):
        return True
    if entry.is_symlink() and not os.path.exists(entry.path) and suffix_of(entry) not in FORMAT_OF:
        raise DataError(f"{plain(entry.path)} is a link that leads nowhere", "mend or remove the link")
    return False


def explore(walk: Walk) -> Walk:
    """Meet all pictures in the class folders of a part."""
    for entry in entries(walk.base):
        if is_folder(entry):
            walk.folders.append(entry.name)
            walk.names += pictures(walk, Path(entry.path), entry.name, entry.is_symlink())
        elif suffix_of(entry) in FORMAT_OF:
            walk.loose.append(entry.name)
    return walk


def pictures(walk: Walk, folder: Path, name: str, linked: bool) -> Iterator[str]:
    """The pictures under one class folder. Links to folders are not followed twice, so that every walk ends."""
    if name.count("/") > DEPTH:
        raise DataError(f"{plain(folder)} is more than {DEPTH} folders deep", "lay the pictures out as " + LAYOUT)
    for entry in entries(folder):
        place, suffix, link = f"{name}/{entry.name}", suffix_of(entry), entry.is_symlink()
        target = os.path.realpath(entry.path) if link else None
        try:
            mode = entry.stat().st_mode
        except OSError:  # a link that leads nowhere is a picture that cannot be read, and will be said to be one
            mode = stat.S_IFREG
        if stat.S_ISDIR(mode):
            if suffix in FORMAT_OF:
                walk.notes.append(f"{plain(place)} is a folder with the name of a picture, passed by")
            elif target and (linked or Path(os.path.realpath(folder)).is_relative_to(target)):
                walk.notes.append(f"{plain(place)} is a link to a folder that is not followed")
            else:
                yield from pictures(walk, Path(entry.path), place, linked or link)
        elif not stat.S_ISREG(mode):
            walk.notes.append(f"{plain(place)} is not a regular file, passed by")
        elif suffix in FORMAT_OF:
            yield place
        else:
            walk.skipped[plain(suffix) or "no suffix"] += 1


def suffix_of(entry: os.DirEntry[str]) -> str:
    return Path(entry.name).suffix.lower()


def as_part(part: PartName, walk: Walk, labels: NDArray[np.int64], max_pixels: int) -> Part:
    names = tuple(walk.names)
    shown = "" if part == "all" else f"{walk.base.name}/"

    def read(i: int) -> Picture:
        return decode(walk.base / names[i], shown + names[i], max_pixels=max_pixels)

    def encoded(i: int) -> bytes:
        return read_file(walk.base / names[i], shown + names[i])

    return Part(part, names, labels, read, encoded, folder=walk.base)


def remarks(walk: Walk) -> list[str]:
    where = plain(walk.base.name) or "."
    notes = [f"{where}/{note}" for note in walk.notes[:20]]
    if len(walk.notes) > 20:
        notes.append(f"{where}: {len(walk.notes) - 20} more links, folders or special files passed by")
    if walk.skipped:
        advice = "; convert those to JPEG or PNG to use them" if CONVERTIBLE & walk.skipped.keys() else ""
        notes.append(f"{where}: files that are not pictures passed by: {census(walk.skipped)}{advice}")
    if walk.loose:
        notes.append(f"{where}: pictures beside the class folders passed by: {some(walk.loose, 3)}")
    return notes


def census(skipped: Counter[str]) -> str:
    return some([f"{count} {suffix}" for suffix, count in skipped.most_common()])


def nothing(root: Path, walks: dict[PartName, Walk]) -> tuple[str, str]:
    """What to say where no class has a picture."""
    fix = f"lay the pictures out as {LAYOUT}"
    loose = [f"{walk.base.name}/{name}" for walk in walks.values() for name in walk.loose]
    if loose and "all" not in walks and (beside := strangers(root)):
        fix = f"if {some(sorted(walk.base.name for walk in walks.values()))} is a class as {some(beside, 2)}, rename it"
    if loose:
        return f"{plain(root)} has pictures but no class folders: {some(loose, 2)}", fix
    passed: Counter[str] = sum((walk.skipped for walk in walks.values()), Counter())
    return f"{plain(root)} has no pictures" + (f", only {census(passed)}" if passed else ""), fix


def single(root: Path, base: Path, only: str) -> tuple[str, str]:
    """One class is none; where the classes may stand one folder deeper, say so."""
    what = f"{plain(root)} has one class, {plain(only)}, and needs at least two"
    deeper = strangers(base / only) or [entry.name for entry in entries(base / only) if is_folder(entry)]
    if len(deeper) > 1:
        return what, f"if {some(deeper, 3)} are the classes, name {plain(base / only)} instead"
    return what, f"lay the pictures out as {LAYOUT}"
