"""What a name such as ``hf:OWNER/NAME`` stands for on the Hugging Face Hub: parquet files of one revision.

What a server says is not trusted: names and revisions are looked at before anybody writes a file by them.
"""

import json
import os
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from threading import Thread
from types import ModuleType
from typing import TypeVar
from urllib.parse import quote

from resnetkit.data.parts import PART_NAMES
from resnetkit.errors import DataError, KitError, ResourceError, nearest, plain, some

T = TypeVar("T")
PREFIX = "hf:"
NAME = re.compile(r"hf:((?:\w[\w.-]*/)?\w[\w.-]*)(?:/(\w[\w.-]*))?(?:@([\w./-]+))?", re.ASCII)
LOOKS = re.compile(r"(?:hf:/+(?:datasets/)?|https?:/+[^/]+/datasets/)?(\w[\w.-]*/\w[\w.-]*)/?", re.ASCII)
CONVERTED = "refs/convert/parquet"  # the branch where the Hub keeps what it has made of data in other forms
COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS = 10.0  # until the Hub has answered what there is
MIRROR = "use another HF_ENDPOINT"
BY_HAND = "download it and name its folder"
AWAY = "mend the network, set HF_ENDPOINT to a mirror, or download the parquet files and name their folder"


@dataclass(frozen=True)
class Listing:
    """What a name stands for: files of one revision, and the folder in which the parquet reader finds them."""

    repo: str
    commit: str
    config: str
    folder: str
    files: dict[str, int]  # path in the repository: bytes

    @property
    def pinned(self) -> str:
        """The name that stands for the same files for ever."""
        return f"{PREFIX}{self.repo}{f'/{self.config}' if self.folder else ''}@{self.commit}"


@cache
def look_up(data: str) -> tuple[Listing, list[str]]:
    """What a name stands for now; where the Hub cannot be asked, what it stood for when it was fetched; and notes."""
    match = NAME.fullmatch(data)
    if not match:
        text = resembles(data) or "write hf:OWNER/NAME, hf:OWNER/NAME/CONFIG or hf:OWNER/NAME@REVISION"
        raise DataError(f"{plain(data)} is no name of a data set", text)
    library()
    before = read_saved(data)
    if before and COMMIT.fullmatch(match[3] or ""):
        return before, []
    try:
        return soon(lambda: ask(data, match[1], match[2], match[3])), []
    except KitError:
        raise
    except Exception as error:
        why = reason(error, data)
        if before and why.fix == AWAY:
            return before, [f"{why.what}; the files fetched before are used"]
        raise why from error


def soon(ask: Callable[[], T]) -> T:
    """An answer within SECONDS or TimeoutError, whatever waits: an address, a name server, or a drop at a time."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 (raised where the answer is waited for)
            answer.set_exception(error)

    Thread(target=work, daemon=True).start()
    return answer.result(SECONDS)


def ask(data: str, repo: str, config: str | None, revision: str | None) -> Listing:
    """The parquet files of a repository; where it has none, those that the Hub has made."""
    api = library().HfApi(library_name="resnetkit")
    for branch in (revision, CONVERTED) if revision is None else (revision,):
        info = api.dataset_info(repo, revision=branch, files_metadata=True, timeout=SECONDS)
        if not COMMIT.fullmatch(info.sha or ""):
            raise DataError(f"{data}: the server names no revision: {plain(info.sha)[:60]}", MIRROR)
        files = {one.rfilename: one.size for one in info.siblings or () if str(one.rfilename).endswith(".parquet")}
        for file, size in files.items():
            if not isinstance(size, int) or size < 0 or not is_inside(file):
                raise DataError(f"{data}: the server lists {plain(file)[:80]}, which is no file to fetch", MIRROR)
        if files:
            return choose(data, repo, config, info.sha, files)
    raise DataError(f"{data} has no parquet files" + (" at that revision" if revision else ""), BY_HAND)


def is_inside(file: str) -> bool:
    """Whether a path leads nowhere but down, on every system."""
    return all(part.strip(". ") and not re.search(r'[\\:*?"<>|\0-\x1f]', part) for part in file.split("/"))


def choose(data: str, repo: str, config: str | None, commit: str, files: dict[str, int]) -> Listing:
    """The files of one config: those in one folder, whose own folders may be named after parts."""
    folders: dict[str, dict[str, int]] = {}
    for file, size in sorted(files.items()):
        folder = PurePosixPath(file).parent
        folder = folder.parent if folder.name.removeprefix("partial-").lower() in PART_NAMES else folder
        folders.setdefault(str(folder).removeprefix("."), {})[file] = size
    configs = {"default" if folder in ("", "data") else folder: folder for folder in sorted(folders, reverse=True)}
    if config is None:
        config = "default" if "default" in configs else next(iter(configs))
        if config != "default" and len(configs) > 1:
            names = sorted(configs)
            raise DataError(f"{data} has several configs: {some(names, 20)}", f"write {PREFIX}{repo}/{names[0]}")
    if config not in configs:
        what = f"{data}: there is no config {config}, only {some(sorted(configs), 20)}"
        raise DataError(what + nearest(config, configs), "write one of these")
    chosen = folders[configs[config]]
    if any(PurePosixPath(file).parent.name.startswith("partial-") for file in chosen):
        raise DataError(f"{data}: the Hub has made parquet files of only a part of it", BY_HAND)
    return Listing(repo, commit, config, configs[config], chosen)


def library() -> ModuleType:
    """The Hub's own library, which brings cache, token and mirror: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it would ask for more than the data
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise ResourceError("data sets of the Hub need huggingface_hub", "pip install resnetkit[data]") from error
    return huggingface_hub


def reason(error: Exception, data: str) -> DataError:
    """What went wrong, and what to do about it."""
    hub = library()
    errors, end, repo = hub.errors, hub.constants.ENDPOINT, data.removeprefix(PREFIX).partition("@")[0]
    match error:
        case errors.GatedRepoError():
            return DataError(
                f"{data} is for those who accept its terms", f"do so at {end}/datasets/{repo}, and set HF_TOKEN"
            )
        case errors.RevisionNotFoundError() if CONVERTED not in str(error) and quote(CONVERTED, "") not in str(error):
            return DataError(f"{data}: there is no such revision", "leave @... out, or name another")
        case errors.RevisionNotFoundError():
            return DataError(f"{data} has no parquet files, and the Hub has made none", BY_HAND)
        case errors.RepositoryNotFoundError():
            return DataError(f"{data}: {end} has no such data set", "check the name; for a private one set HF_TOKEN")
        case errors.HFValidationError():
            return DataError(f"{data} is no name of a data set", "write hf:OWNER/NAME")
        case errors.OfflineModeIsEnabled():
            return DataError(f"{data} is not in the cache, and HF_HUB_OFFLINE is set", AWAY)
        case OSError(errno=28):
            return DataError(f"{data} cannot be fetched: the disk is full", "set HF_HOME elsewhere")
    said = "no answer came in time" if isinstance(error, TimeoutError) else plain(str(error).partition("\n")[0])
    return DataError(f"{data} cannot be had from {end}: {said or type(error).__name__}"[:300], AWAY)


def saved(data: str) -> Path:
    """Where it is noted what a name stood for."""
    return Path(library().constants.HF_ASSETS_CACHE) / "resnetkit" / f"{quote(data, '')}.json"


def read_saved(data: str) -> Listing | None:
    try:
        found = Listing(**json.loads(saved(data).read_bytes()))
        return found if all(map(is_inside, found.files)) and COMMIT.fullmatch(found.commit) else None
    except (OSError, ValueError, TypeError):
        return None


def resembles(text: str) -> str | None:
    """What to do about a path that is not there and looks like a data set of the Hub."""
    match = LOOKS.fullmatch(text)
    if not match or (match[1] == text and Path(text.partition("/")[0]).exists()):
        return None
    return f"check the path, or write {PREFIX}{match[1]} for the data set on the Hugging Face Hub"
