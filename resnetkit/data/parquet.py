"""Pictures in parquet files as Hugging Face lays them out: a column of encoded pictures and one of labels."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.data.decode import Picture, decode
from resnetkit.data.lists import Columns
from resnetkit.data.parts import ORDER, PART_NAMES, Part, PartName, Source, agree, left_out, ordered
from resnetkit.data.regular import open_regular
from resnetkit.errors import DataError, ResourceError, nearest, plain, some

FILE = re.compile(r"(?:(train|val|valid|validation|test)(?:[-_.].*)?|.*)\.parquet", re.IGNORECASE)
SHARD = re.compile(r"(\d+)-of-(\d+)")
LIMIT = 16 << 30  # bytes of pictures that are held in memory
IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")
ROWS = 512  # that are unpacked at a time: a small file can hold the same picture very often


def parquet_files(root: Path) -> dict[PartName, list[Path]]:
    """The files of each part, in the folder, or in its ``data``, or in folders of the parts; one file alone is all."""
    if root.is_file():
        return {"all": [root]}
    paths: list[Path] = []
    for folder in (root, root / "data"):
        inside = [path for path in sorted(folder.glob("*/*.parquet")) if path.parent.name.lower() in PART_NAMES]
        paths = paths or [*sorted(folder.glob("*.parquet")), *inside]
    files: dict[PartName, list[Path]] = {}
    words: dict[PartName, str] = {}
    for path in paths:
        word = part_word(path.relative_to(root)) or "all"
        part = PART_NAMES.get(word, "all")
        if words.setdefault(part, word) != word:
            raise DataError(f"{plain(root)} has files for both {words[part]} and {word}", "remove one of them")
        files.setdefault(part, []).append(path)
    if "all" in files and len(files) > 1:
        raise DataError(
            f"{plain(root)}: the part of {plain(files['all'][0].name)} is not clear",
            "begin its name with train-, validation- or test-",
        )
    return {part: files[part] for part in ORDER if part in files}


def part_word(path: PurePath) -> str:
    """What says the part of a file: the beginning of its name, or its folder; nothing where neither does."""
    match = FILE.fullmatch(path.name)
    folder = path.parent.name.lower()
    return match[1].lower() if match and match[1] else folder if folder in PART_NAMES else ""


def open_parquet(root: Path, classes: Sequence[str] | None, max_pixels: int, columns: Columns) -> Source:
    """Read the columns of every file into memory, still encoded; nothing is decoded yet."""
    location = plain(root)
    tables: dict[PartName, list[Table]] = {}
    files = parquet_files(root)
    check_room(root, sum(path.stat().st_size for paths in files.values() for path in paths))
    for part, paths in files.items():
        complete(paths)
        tables[part] = [read_table(path, columns) for path in paths]
    test = tables.get("test", [])
    hidden = any(table.names for table in test) and not any(table.classes for table in test)
    notes = ["test has no labels, only -1, and is passed by"] if hidden and tables.pop("test") else []
    for part, read in tables.items():
        for path, table in zip(files[part], read, strict=True):
            if table.names and not table.classes:
                raise DataError(f"{plain(path)} has no labels, only -1", "label its pictures, or leave it out")
    found = {part: [name for table in tables[part] for name in table.classes] for part in tables}
    known = dict.fromkeys(name for part in ("train", "all") for table in tables.get(part, []) for name in table.known)
    names, labels = agree(location, found, classes, lambda present: ordered(present, list(known)))
    notes += left_out(known, names) if classes is None else []
    parts = {part: as_part(part, tables[part], labels[part], max_pixels) for part in tables}
    return Source(location, "parquet", names, parts, False, notes, columns=("image_column", "label_column"))


@dataclass(frozen=True)
class Table:
    """One file: its pictures as they are stored, and what they show."""

    pictures: Any  # pyarrow.ChunkedArray of binary, without nulls
    names: Sequence[str | None]
    classes: list[str]  # of each picture; none where all labels are -1, which Hugging Face writes for hidden ones
    known: tuple[str, ...]  # the classes that the file's schema tells of, () if it tells of none


def read_table(path: Path, columns: Columns) -> Table:
    """One file's columns; a row that lacks a picture or a label that can be is named by its number."""
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ResourceError(f"{plain(path)} needs pyarrow to be read", "pip install resnetkit[data]") from error
    try:
        with open_regular(path), pq.ParquetFile(path) as file:  # a pipe would wait for ever
            schema = file.schema_arrow
            features = features_of(path, schema.metadata)
            columns = columns.within(schema.names)
            image = column(path, schema.names, columns.image, IMAGES, features, "Image")
            label = column(path, schema.names, columns.label, LABELS, features, "ClassLabel")
            known = class_names(path, features.get(label))
            pieces, held = [], 0
            for piece in file.iter_batches(ROWS, columns=[image, label]):
                pieces.append(piece)
                held += piece.nbytes
                check_room(path, held)
            table = pa.Table.from_batches(pieces) if pieces else file.read([image, label])
        pictures, names = table[image], [None] * table.num_rows
        if pa.types.is_struct(pictures.type):
            fields = [pictures.type.field(i).name for i in range(pictures.type.num_fields)]
            if "bytes" not in fields:
                raise DataError(f"{plain(path)} has no column bytes, only {some(fields)}", "store encoded pictures")
            if "path" in fields:
                names = pc.struct_field(pictures, "path").to_pylist()
            pictures = pc.struct_field(pictures, "bytes")
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise DataError(
            f"{plain(path)} is not a parquet file that can be read: {first_line(error)}", "download it again"
        ) from error
    if not (pa.types.is_binary(pictures.type) or pa.types.is_large_binary(pictures.type)):
        raise DataError(
            f"{plain(path)}: the column {image} holds {pictures.type}, not pictures", "store encoded pictures"
        )
    if not pa.types.is_integer(table[label].type):
        raise DataError(f"{plain(path)}: the column {label} holds {table[label].type}", "store labels as whole numbers")
    for name, values in ((image, pictures), (label, table[label])):
        if values.null_count:
            row = values.is_null().index(True).as_py()
            raise DataError(f"{plain(path)}: row {row} has no {name}", "complete that row, or leave it out")
    labels = table[label].to_pylist()
    if labels and set(labels) == {-1}:
        return Table(pictures, names, [], known)
    for row, number in enumerate(labels):
        if number < 0 or (known and number >= len(known)):
            count = f"there are {len(known)} classes" if known else "labels begin at 0"
            raise DataError(
                f"{plain(path)}: row {row} has the label {number}, but {count}", "mend that row, or leave it out"
            )
    return Table(pictures, names, [known[n] if known else str(n) for n in labels], known)


def check_room(path: Path, held: int) -> None:
    if held > LIMIT:
        raise ResourceError(
            f"{plain(path)} holds {held:,} bytes or more; {LIMIT:,} bytes of pictures are kept in memory",
            "unpack them into class folders",
        )


def column(
    path: Path, names: Sequence[str], asked: str | None, usual: Sequence[str], features: dict[str, Any], kind: str
) -> str:
    """The column that is asked for, or has a usual name, or else is the only one of its kind."""
    flag = f"--{usual[0]}-column"
    if asked is not None:
        if asked in names:
            return asked
        what = f"{plain(path)} has no column {plain(asked)}{nearest(asked, names)}"
        raise DataError(what, f"choose from {some(names, 20)}")
    told = [name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == kind]
    likely = [name for name in usual if name in names] or [name for name in told if name in names]
    if len(likely) > 1:
        both = " and ".join(map(plain, likely))
        raise DataError(f"{plain(path)}: {both} could each be the {usual[0]}", f"{flag} {plain(likely[0])}")
    if not likely:
        raise DataError(f"{plain(path)} has no column {usual[0]}, only {some(names)}", f"{flag} with one of these")
    return likely[0]


def features_of(path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """What Hugging Face writes into the schema about each column; nothing where it has not."""
    text = (metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        return dict(json.loads(text)["info"]["features"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{plain(path)}: the class names in its schema cannot be read", "write the file again"
        ) from error


def class_names(path: Path, feature: object) -> tuple[str, ...]:
    """The names of the classes, where a column has any."""
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    if not isinstance(names, list) or not all(isinstance(n, str) and n for n in names) or len(set(names)) != len(names):
        raise DataError(f"{plain(path)}: the class names in its schema are not different words", "write the file again")
    return tuple(names)


def complete(paths: Sequence[Path]) -> None:
    """A part in numbered pieces needs all of them."""
    pieces = max((int(match[2]) for path in paths if (match := SHARD.search(path.name))), default=0)
    missing = pieces - len(paths)
    if missing > 0:
        raise DataError(
            f"{plain(paths[0].parent)} lacks {missing} of the pieces of {plain(paths[0].name)}", "download the rest"
        )


def first_line(error: Exception) -> str:
    return plain((str(error).splitlines() or [type(error).__name__])[0])


def as_part(part: PartName, tables: Sequence[Table], labels: NDArray[np.int64], max_pixels: int) -> Part:
    starts = np.cumsum([0, *(len(table.names) for table in tables)])
    paths = [name for table in tables for name in table.names]
    width = len(str(len(paths) - 1))
    if all(paths) and len(set(paths)) == len(paths):
        names = tuple(str(path) for path in paths)
    else:
        names = tuple(f"{i:0{width}d}" for i in range(len(paths)))

    def encoded(i: int) -> bytes:
        piece = int(np.searchsorted(starts, i, side="right")) - 1
        return bytes(tables[piece].pictures[i - int(starts[piece])].as_py())

    def read(i: int) -> Picture:
        return decode(encoded(i), names[i] if part == "all" else f"{part}/{names[i]}", max_pixels=max_pixels)

    return Part(part, names, labels, read, encoded)
