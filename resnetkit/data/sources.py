"""Where pictures come from: a folder, a list, files of many pictures, the Hub, or the digits always at hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resnetkit.data import hub
from resnetkit.data.cache import bring
from resnetkit.data.cifar import VERSIONS, files_of, open_cifar, versions_in
from resnetkit.data.decode import FORMAT_OF, MAX_PIXELS
from resnetkit.data.digits import open_digits
from resnetkit.data.flowers import open_flowers
from resnetkit.data.folders import LAYOUT, entries, open_folder
from resnetkit.data.idx import FILE as IDX_FILE
from resnetkit.data.idx import open_idx
from resnetkit.data.imagenet import is_imagenet, open_imagenet
from resnetkit.data.known import TABLE, Known
from resnetkit.data.listing import PREFIX, resembles
from resnetkit.data.lists import SUFFIXES as LISTS
from resnetkit.data.lists import Columns, list_files, open_list
from resnetkit.data.npz import npz_files, open_npz
from resnetkit.data.parquet import open_parquet, parquet_files
from resnetkit.data.parts import LoneClassError, Part, PartName, Source, StrangeClassError, wnid
from resnetkit.data.tars import FILE as TAR_FILE
from resnetkit.data.tars import open_tars, tar_files
from resnetkit.download import Watch
from resnetkit.errors import DataError, nearest, plain

__all__ = ["KNOWN", "Columns", "Part", "PartName", "Source", "fetch", "open_source", "open_strange"]

KNOWN = ("digits", *TABLE)  # data sets with a name of their own


def open_source(
    data: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    classes: Sequence[str] | None = None,
    columns: Columns = Columns(),  # noqa: B008 (a frozen value)
) -> Source:
    """Find the pictures and their labels; none is decoded yet.

    The classes are those of train, in order, or the ones given, such as a model's: then train is not needed.
    """
    if data == "digits":
        source = open_digits(classes)
        if Path("digits").exists():
            source.notes.append("digits is the data set of that name; write ./digits for the folder")
        return source
    if is_fetched(str(data)):
        return open_known(TABLE[str(data)], classes, max_pixels)
    path = Path(data)
    try:
        if not path.exists() and str(data).startswith(PREFIX):
            files, notes = hub.fetch(str(data))
            source = open_parquet(files, classes, max_pixels, columns)
            return replace(source, location=str(data), notes=[*notes, *source.notes])
        if not path.exists():
            raise DataError(*missing(path))
        if path.is_file():
            return open_file(path, classes, max_pixels, columns)
        if not path.is_dir():
            raise DataError(f"{plain(path)} is neither a file nor a folder", f"lay the pictures out as {LAYOUT}")
        return open_directory(path, classes, max_pixels, columns)
    except OSError as error:
        raise DataError(f"{plain(path)} cannot be read: {error.strerror}", "name a folder that can be read") from error


def open_strange(
    data: str, columns: Columns, max_pixels: int = MAX_PIXELS, *, lone: bool = False
) -> tuple[Source, tuple[str, ...]]:
    """As open_source, for what is looked at and not learned: with the classes that train lacks, which are named apart.

    With ``lone`` one class is enough.
    """
    strange: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    while True:
        try:
            return open_source(data, classes=classes, columns=columns, max_pixels=max_pixels), strange
        except LoneClassError as error:
            if not lone or not error.only:
                raise
            classes = (error.only,)
        except StrangeClassError as error:
            if not error.extra or set(error.extra) <= set(strange):
                raise
            strange += error.extra
            classes = (*error.known, *error.extra)


def fetch(data: str, watch: Watch | None = None) -> None:
    """Have a data set with a name at hand; ``watch`` hears how its files come. All other data is at hand already."""
    if is_fetched(data):
        bring(TABLE[data], watch)


def is_fetched(data: str) -> bool:
    """Whether a word names a data set that is fetched, and not a folder that is here."""
    return data in TABLE and not Path(data).exists()


def open_known(known: Known, classes: Sequence[str] | None, max_pixels: int) -> Source:
    """A data set from the cache, which is fetched where it is not there."""
    folder = bring(known)
    root = folder / known.root
    if not root.is_dir():
        raise DataError(f"{plain(folder)} has no {known.root}", "remove that folder, so that it is fetched again")
    match known.reader:
        case "idx":
            plainly = classes is not None and not {*classes} & {*known.classes}  # as a model of the bare files has them
            return open_idx(root, classes, () if plainly else known.classes)
        case "cifar":
            return open_directory(root, classes, max_pixels, Columns())
        case "flowers":
            return open_flowers(folder, root, classes, max_pixels)
    source = open_folder(root, classes, max_pixels)
    called = {wnid(name): name for name in known.classes} if classes is None else {}
    return replace(source, classes=tuple(called.get(name, name) for name in source.classes))


def open_directory(path: Path, classes: Sequence[str] | None, max_pixels: int, columns: Columns) -> Source:
    cifar, tars = versions_in(path), bool(tar_files(path))
    kinds = {
        "IDX": any(IDX_FILE.fullmatch(entry.name) for entry in path.iterdir()),
        "parquet": bool(parquet_files(path)),
        "npz": bool(npz_files(path)),
        **{version.title: True for version in cifar},
        "lists of pictures": bool(list_files(path)) and not is_imagenet(path),
        "tar files": tars,
        "a train folder": (path / "train").is_dir() and not tars,
    }
    there = [name for name, found in kinds.items() if found]
    if len(there) > 1:
        raise DataError(f"{plain(path)} holds {' and '.join(there)}", "keep one of them there")
    if kinds["IDX"]:
        return open_idx(path, classes)
    if kinds["parquet"]:
        return open_parquet(path, classes, max_pixels, columns)
    if kinds["npz"]:
        return open_npz(path, classes)
    if cifar:
        return open_cifar(path, cifar[0], classes)
    if tars:
        return open_tars(path, classes, max_pixels, columns)
    if kinds["lists of pictures"]:
        return open_list(path, classes, max_pixels, columns)
    return open_imagenet(path, classes, max_pixels) if is_imagenet(path) else open_folder(path, classes, max_pixels)


def open_file(path: Path, classes: Sequence[str] | None, max_pixels: int, columns: Columns) -> Source:
    suffix = path.suffix.lower()
    if suffix in LISTS:
        return open_list(path, classes, max_pixels, columns)
    if suffix == ".parquet":
        return open_parquet(path, classes, max_pixels, columns)
    if TAR_FILE.fullmatch(path.name):
        return open_tars(path, classes, max_pixels, columns)
    if suffix == ".npz":
        return open_npz(path, classes)
    if IDX_FILE.fullmatch(path.name) or any(
        path.name in files for v in VERSIONS for files in files_of(v, {path.name}).values()
    ):
        fix = f"name the folder instead: {plain(path.parent)}"
    elif suffix in FORMAT_OF:
        fix = f"name the folder that holds the classes: {LAYOUT}"
    elif suffix == ".npy":
        fix = "save pictures and labels as one file: numpy.savez('data.npz', images=..., labels=...)"
    elif suffix in (".zip", ".gz", ".7z", ".rar"):
        fix = "unpack it and name the folder"
    else:
        fix = f"name a folder: {LAYOUT}"
    raise DataError(f"{plain(path)} is a file, not a folder of pictures", fix)


def missing(path: Path) -> tuple[str, str]:
    """What is missing, and the nearest that is there."""
    here = next(parent for parent in [*path.parents, Path("/")] if parent.exists())
    gone = path.relative_to(here).parts[0] if path.is_relative_to(here) else path.name
    try:
        names = [plain(entry.name) for entry in entries(here) if entry.is_dir()]
    except (DataError, OSError):
        names = []
    known = KNOWN if len(path.parts) == 1 else ()
    if known and path.name.lower() in KNOWN:
        return f"{plain(path)} does not exist", f"write {path.name.lower()} for the data set of that name"
    what = f"{plain(path)} does not exist; {plain(here.absolute())} does, but has no {plain(gone)}"
    return what + nearest(plain(gone), [*known, *names]), resembles(str(path)) or "check the path"
