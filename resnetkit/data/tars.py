"""Pictures in WebDataset's tar files. Nothing is unpacked: headers say where each is, and it is read from there."""

import re
from collections import Counter
from collections.abc import Sequence
from os.path import isdir
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.arrays import check_words
from resnetkit.data.decode import MAX_BYTES, Picture, decode
from resnetkit.data.folders import census, entries
from resnetkit.data.lists import Columns, ordered
from resnetkit.data.members import AGAIN, read
from resnetkit.data.parts import ORDER, PART_NAMES, Part, PartName, Source, agree, left_out
from resnetkit.data.parts import ordered as in_order
from resnetkit.data.regular import LIST, open_regular, read_lines, read_whole
from resnetkit.data.shards import Sample, Shard, as_dict, read_shard
from resnetkit.errors import DataError, plain, some

FILE = re.compile(r".+\.(tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst|Z))", re.IGNORECASE)
NUMBER = re.compile(r"(.*?)(\d+)\.tar", re.IGNORECASE)
LISTS = ("classes.txt", "classnames.txt", "_info.json", "info.json")  # what may name the classes, beside the shards
WORDS = ("classes", "class_names", "classnames", "label_names")  # under which a JSON has the names of classes


def tar_files(root: Path) -> dict[PartName, list[Path]]:
    """The shards of each part, by their names or those of their folders; none where other folders are beside them."""
    if root.is_file():
        return {"all": [root]}
    folders = [Path(entry.path) for entry in entries(root) if isdir(entry.path)]
    if any(folder.name.lower() not in PART_NAMES for folder in folders):
        return {}
    files: dict[PartName, list[Path]] = {}
    words: dict[PartName, str] = {}
    for folder in folders or [root]:
        inside = entries(folder)
        if any(isdir(entry.path) for entry in inside):
            return {}
        for path in (Path(entry.path) for entry in inside if FILE.fullmatch(entry.name)):
            said = {word for word in re.findall("[a-z]+", path.name.lower()) if word in PART_NAMES}
            said |= {folder.name.lower()} if folders else set()
            meant = sorted({PART_NAMES[word] for word in said}) or ["all"]
            word = min(said, default="all")
            if len(meant) > 1 or words.setdefault(meant[0], word) != word:
                both = sorted(said) if len(meant) > 1 else [words[meant[0]], word]
                raise DataError(f"{plain(path)}: is it of {' or '.join(both)}?", "rename it, or use one of these words")
            files.setdefault(meant[0], []).append(path)
    lacking = [folder.name for folder in folders if PART_NAMES[folder.name.lower()] not in files]
    if files and lacking:
        raise DataError(f"{plain(root)}: there are no shards in {some(lacking)}", "write that part as shards too")
    if "all" in files and len(files) > 1:
        what = f"{plain(root)}: the part of {plain(files['all'][0].name)} is not clear"
        raise DataError(what, "have train, val or test in its name")
    return {part: files[part] for part in ORDER if part in files}


def open_tars(root: Path, classes: Sequence[str] | None, max_pixels: int, columns: Columns) -> Source:
    """Find every picture in the shards, and read its label; nothing is decoded yet."""
    location = plain(root)
    files = tar_files(root)
    known = class_names(root.parent if root.is_file() else root)
    shards = {part: [read_shard(path, columns) for path in paths] for part, paths in files.items()}
    samples = {part: [sample for shard in of for sample in shard.samples] for part, of in shards.items()}
    if len({type(sample.label) for of in samples.values() for sample in of}) > 1:
        raise DataError(f"{location} has numbers and words for labels", "write numbers everywhere, or words")
    found = {part: [named(sample, known) for sample in of] for part, of in samples.items()}
    names, labels = agree(location, found, classes, lambda of: in_order(of, known) if known else ordered(of))
    notes = [note for part, of in shards.items() for note in remarks(part, files[part], of)]
    notes += left_out(known, names) if classes is None else []
    parts = {part: as_part(part, of, labels[part], max_pixels) for part, of in samples.items()}
    asked = ("label_column",) if any(shard.worded for of in shards.values() for shard in of) else ()
    return Source(location, "tars", names, parts, False, notes, columns=asked)


def class_names(folder: Path) -> tuple[str, ...]:
    """The names of the classes in the order of their numbers, where a file beside the shards has them."""
    told: dict[str, list[Any]] = {}
    for path in (folder / name for name in LISTS):
        if path.suffix == ".txt" and path.exists():
            told[path.name] = list(read_lines(path))
        elif path.exists():
            found = as_dict(read_whole(path, LIST), plain(path))
            words = next((found[word] for word in WORDS if isinstance(found.get(word), list)), None)
            told |= {path.name: words} if words else {}
    if len(told) > 1:
        raise DataError(f"{plain(folder)}: {some(told)} each name the classes", "keep one of them")
    return next((check_words(plain(folder / name), words) for name, words in told.items()), ())


def named(sample: Sample, known: Sequence[str]) -> str:
    """What the class of a sample is called."""
    label = sample.label
    if isinstance(label, str) and (not known or label in known):
        return label
    if isinstance(label, int) and label >= 0 and (not known or label < len(known)):
        return known[label] if known else str(label)
    limit = f"there are {len(known)} classes: {some(known)}" if known else "labels begin at 0"
    raise DataError(
        f"{plain(sample.shard)}: {plain(sample.member.name)} has the label {plain(label)}, but {limit}",
        "mend the label, or the names of the classes",
    )


def remarks(part: PartName, paths: Sequence[Path], shards: Sequence[Shard]) -> list[str]:
    """What was passed by, and which shards seem to be missing."""
    passed = sum((shard.passed for shard in shards), Counter[str]())
    notes = [f"{part}: neither pictures nor labels, passed by: {census(passed)}"] if passed else []
    numbers: dict[str, set[int]] = {}
    for match in filter(None, (NUMBER.fullmatch(path.name) for path in paths)):
        numbers.setdefault(match[1], set()).add(int(match[2]))
    for name, of in numbers.items():
        if missing := max(of) - min(of) + 1 - len(of):
            notes.append(f"{part}: {missing} of the shards {plain(name)}{min(of)} to {max(of)} are not there")
    return notes


def as_part(part: PartName, samples: Sequence[Sample], labels: NDArray[np.int64], max_pixels: int) -> Part:
    names = tuple(f"{sample.shard.name}/{sample.member.name}" for sample in samples)

    def encoded(i: int) -> bytes:
        shard, member = samples[i].shard, samples[i].member
        shown = f"{plain(shard)}: {plain(member.name)}"
        if member.size > MAX_BYTES:
            raise DataError(f"{shown} has {member.size:,} bytes; {MAX_BYTES:,} are the limit", "make it smaller")
        try:
            with open_regular(shard) as file:
                data = read(file, member.start, member.size)
        except OSError as error:
            raise DataError(f"{shown} cannot be read: {error.strerror}", "copy the shard again") from error
        if len(data) < member.size:
            raise DataError(f"{shown} is cut off: the shard became shorter", AGAIN)
        return data

    def picture(i: int) -> Picture:
        return decode(encoded(i), names[i] if part == "all" else f"{part}/{names[i]}", max_pixels=max_pixels)

    return Part(part, names, labels, picture, encoded)
