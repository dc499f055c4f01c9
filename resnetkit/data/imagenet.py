"""ImageNet and Tiny ImageNet as they are unpacked: class folders to train on, and a heap of pictures with a list.

The classes are WordNet numbers. Where a file says what they mean, a class is called by its number and its first word,
n01440764 tench: two classes of ImageNet are both cranes, and the number is what other tools know. A model that has such
names is at home with folders that bear the number alone, and the other way round (``parts.agree``).
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from resnetkit.data.decode import FORMAT_OF
from resnetkit.data.folders import Walk, classes_of, entries, explore, is_folder, part_folders, suffix_of, walked
from resnetkit.data.parts import WNID, PartName, Source
from resnetkit.data.regular import read_lines
from resnetkit.errors import DataError, plain, some

KAGGLE = "ILSVRC/Data/CLS-LOC"  # where Kaggle's download has the pictures
DEVKITS = (".", "devkit/data", "ILSVRC2012_devkit_t12/data", "ILSVRC/devkit/data")
SOLUTION = "LOC_val_solution.csv"  # Kaggle's: name, then the number of the class and a box
LISTS = ("val_annotations.txt", "val_labels.txt", "val.txt")  # lines of a name and a class
TRUTH = "ILSVRC2012_validation_ground_truth.txt"  # line i is of picture i
MAP = "map_clsloc.txt"  # WordNet number, ILSVRC number, word
WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", MAP, "words.txt")  # WordNet number, words
SYNSETS = ("synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt")  # whose line i is class i in val.txt, from 0


def is_imagenet(root: Path) -> bool:
    """Whether val or test is a heap of pictures, and there is ImageNet's train or a list of labels beside it."""
    folders = part_folders(base_of(root))
    if not any(heap(folder) for part, folder in folders.items() if part in ("val", "test")):
        return False
    train = folders.get("train")
    return find_list(places(root)) is not None or (
        train is not None and any(WNID.match(entry.name) for entry in entries(train))
    )


def base_of(root: Path) -> Path:
    return root / KAGGLE if (root / KAGGLE).is_dir() else root


def places(root: Path) -> list[Path]:
    """Where lists may be: beside the pictures, with the data set, or in its development kit."""
    val = part_folders(base_of(root)).get("val")
    found = [*([val] if val else []), base_of(root), *(root / kit for kit in DEVKITS)]
    return list(dict.fromkeys(found))


def heap(folder: Path) -> list[str]:
    """The pictures of a folder that has no class folders, only itself or its ``images``; [] where it has classes."""
    folders = [entry.name for entry in entries(folder) if is_folder(entry)]
    if folders and folders != ["images"]:
        return []
    above = "images/" if folders else ""
    return [above + entry.name for entry in entries(folder / above) if suffix_of(entry) in FORMAT_OF]


def open_imagenet(root: Path, classes: Sequence[str] | None, max_pixels: int) -> Source:
    """Find every picture, and look the heap of val up in its list; a test part without labels is passed by."""
    walks: dict[PartName, Walk] = {}
    found: dict[PartName, list[str]] = {}
    notes = []
    at = places(root)
    for part, folder in part_folders(base_of(root)).items():
        names = heap(folder) if part in ("val", "test") else []
        if names and part == "test":
            notes.append(f"{plain(folder)} has no labels and is not looked at")
        elif names:
            walks[part], found[part] = Walk(folder, names), look_up(folder, names, at, notes)
        else:
            walks[part] = explore(Walk(folder))
            found[part] = classes_of(walks[part])
    source = walked(root, walks, found, classes, max_pixels)
    words = meanings(at) if classes is None else {}
    called = tuple(f"{name} {words[name]}" if name in words else name for name in source.classes)
    return replace(source, classes=called, notes=[*source.notes, *notes])


def find_list(at: Sequence[Path]) -> Path | None:
    return first_of((SOLUTION, *LISTS, TRUTH), at)


def first_of(names: Sequence[str], at: Sequence[Path]) -> Path | None:
    return next((place / name for name in names for place in at if (place / name).is_file()), None)


def look_up(val: Path, names: Sequence[str], at: Sequence[Path], notes: list[str]) -> list[str]:
    """The class of each picture, from the first list there is. Raises DataError where it lacks some of them."""
    path = find_list(at)
    if path is None:
        raise DataError(
            f"{plain(val)} holds pictures without class folders, and no list says what they show",
            f"put {SOLUTION}, {LISTS[0]} or {TRUTH} into {plain(at[-len(DEVKITS)])}",
        )
    labels = ground_truth(path, names, at) if path.name == TRUTH else listed(path, at)
    keys = [key if (key := PurePosixPath(name).name) in labels else PurePosixPath(key).stem for name in names]
    missing = [name for name, key in zip(names, keys, strict=True) if key not in labels]
    if missing:
        raise DataError(
            f"{plain(path)} does not say what {some(missing, 3)} shows", "complete the list, or remove the pictures"
        )
    if len(labels) > len(names):
        notes.append(
            f"{plain(path.name)} names {len(labels):,} pictures, of which {plain(val.name)} has {len(names):,}"
        )
    return [labels[key] for key in keys]


def listed(path: Path, at: Sequence[Path]) -> dict[str, str]:
    """The class of each name in a list of lines, which may also be those of Kaggle's table."""
    labels: dict[str, str] = {}
    lines = read_lines(path)
    table = path.name == SOLUTION
    order: list[str] = []
    for number, line in enumerate(lines[table:], 1 + table):
        cells = next(csv.reader([line])) if table else line.split("\t" if "\t" in line else None)
        name, label = (PurePosixPath(cells[0]).name, (cells[1].split() or [""])[0]) if len(cells) > 1 else ("", "")
        if label.isdecimal():
            order = order or [line.split()[0] for line in read_lines(synsets(path, at))]
            label = order[int(label)] if len(label) < 9 and int(label) < len(order) else ""
        if not name or not label or name in labels:
            what = "names a picture twice" if name in labels else "is not a name and a class"
            raise DataError(f"{plain(path)}: line {number} {what}", "mend that line, or download the list again")
        labels[name] = label
    return labels


def synsets(path: Path, at: Sequence[Path]) -> Path:
    """The list whose lines are the numbers of Caffe's val.txt."""
    found = first_of(SYNSETS, at)
    if found is None:
        raise DataError(
            f"{plain(path)} gives classes as numbers, and nothing says whose", f"put {SYNSETS[0]} beside it"
        )
    return found


def ground_truth(path: Path, names: Sequence[str], at: Sequence[Path]) -> dict[str, str]:
    """The class of each picture by the number in its name. ILSVRC's numbers are in no order that other lists have."""
    key = first_of((MAP,), at)
    if key is None:
        other = first_of(SYNSETS, at)
        beside = f" ({other.name} counts otherwise)" if other else ""
        raise DataError(
            f"{plain(path)} gives classes as ILSVRC numbers, and there is no {MAP} to tell what they mean{beside}",
            f"put {MAP} of the development kit beside it, or use {SOLUTION}",
        )
    meaning = {cells[1]: cells[0] for line in read_lines(key) if len(cells := line.split()) > 1}
    lines = read_lines(path)
    labels = {}
    for name in names:
        stem = PurePosixPath(name).stem
        digits = re.search(r"[0-9]{1,9}$", stem)
        place = int(digits[0]) if digits else 0
        if not 1 <= place <= len(lines) or lines[place - 1] not in meaning:
            raise DataError(f"{plain(path)} does not say what {plain(name)} shows", "download list and pictures again")
        labels[stem] = meaning[lines[place - 1]]
    return labels


def meanings(at: Sequence[Path]) -> dict[str, str]:
    """The first word for each WordNet number, from the first file there is that has them."""
    path = first_of(WORDS, at)
    found = {}
    for line in read_lines(path) if path else ():
        match = re.fullmatch(r"(n\d{8})\s+(?:\d+\s+)?([^,]+).*", line)
        if match:
            found[match[1]] = match[2].strip().replace("_", " ")
    return found
