"""Data sets of the Hugging Face Hub, fetched once into the Hub's own cache."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from resnetkit.data.listing import MIRROR, PREFIX, SECONDS, Listing, library, look_up, reason, saved
from resnetkit.data.parquet import check_room
from resnetkit.errors import DataError, KitError, ResourceError, plain
from resnetkit.files import write_text

HASH = re.compile(r"[0-9A-Za-z-]{1,128}")  # becomes the name of a file


def announce(data: str) -> str | None:
    """What is about to be fetched, if anything: to be said before a long wait."""
    if not data.startswith(PREFIX) or os.path.exists(data):
        return None
    listing, _ = look_up(data)
    if not (missing := uncached(listing)):
        return None
    return f"fetching {size_of(listing, missing)}, of {listing.pinned} from {library().constants.ENDPOINT}"


def fetch(data: str) -> tuple[Path, list[str]]:
    """The folder of the parquet files that a name stands for, fetched where they are not in the cache; and notes.

    Raises DataError for a name that stands for nothing, or when the Hub cannot be reached and was not before.
    """
    hub = library()
    listing, notes = look_up(data)
    check_room(Path(data), sum(listing.files.values()))
    missing = uncached(listing)
    need, at = sum(listing.files[file] for file in missing), Path(hub.constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(folder for folder in [at, *at.parents] if folder.exists())).free
    if need > free:
        raise ResourceError(f"{data} takes {need:,} bytes, and {plain(at)} has {free:,} left", "set HF_HOME elsewhere")
    where: dict[str, Any] = {"repo_type": "dataset", "revision": listing.commit}
    loud = hub.logging.get_verbosity()
    hub.logging.set_verbosity_error()  # each try that fails would be a line of its own
    try:
        for file in missing:
            check_answer(data, listing, file)
        paths = [hub.hf_hub_download(listing.repo, file, **where) for file in listing.files]
    except KitError:
        raise
    except Exception as error:
        raise reason(error, data) from error
    finally:
        hub.logging.set_verbosity(loud)
    with suppress(KitError, OSError):  # a cache that cannot be written to is good enough for now
        saved(data).parent.mkdir(parents=True, exist_ok=True)
        write_text(saved(data), json.dumps(asdict(listing)))
    first = next(iter(listing.files))
    folder = Path(paths[0]).parents[first.count("/")] / listing.folder
    return folder, [*notes, f"{data} is {size_of(listing, listing.files)}; {listing.pinned} will stay the same"]


def size_of(listing: Listing, files: Iterable[str]) -> str:
    sizes = [listing.files[file] for file in files]
    return f"{len(sizes)} parquet file{'s' * (len(sizes) != 1)}, {sum(sizes) / 1e6:,.1f} MB"


def uncached(listing: Listing) -> Sequence[str]:
    where: dict[str, Any] = {"repo_type": "dataset", "revision": listing.commit}
    found = {file: library().try_to_load_from_cache(listing.repo, file, **where) for file in listing.files}
    return [file for file, path in found.items() if not isinstance(path, str)]


def check_answer(data: str, listing: Listing, file: str) -> None:
    """The hash that the server gives becomes a file's name in the cache, which may lead nowhere else."""
    hub = library()
    url = hub.hf_hub_url(
        listing.repo, file, repo_type="dataset", revision=listing.commit, endpoint=hub.constants.ENDPOINT
    )
    found = hub.get_hf_file_metadata(url, timeout=SECONDS)
    if found.commit_hash != listing.commit or not HASH.fullmatch(found.etag or ""):
        raise DataError(f"{data}: the server says {plain(found.etag)[:60]} of {plain(file)}, which is no hash", MIRROR)
    if found.size != listing.files[file]:
        raise DataError(f"{data}: {plain(file)} has {found.size} bytes, not {listing.files[file]} as listed", MIRROR)
