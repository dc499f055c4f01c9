"""What is told on stderr while pictures are counted and files are fetched."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from resnetkit import download
from resnetkit.data import hub, sources
from resnetkit.data.known import TABLE
from resnetkit.errors import plain

Watch = Callable[[int, int], None]  # hears (done, of how many)


def counting(what: str) -> Watch:
    """A watch for work that counts pictures: one line on a terminal that rewrites itself, silence elsewhere."""
    begun = time.monotonic()

    def watch(done: int, of: int) -> None:
        if not sys.stderr.isatty() or time.monotonic() - begun < 1:
            return
        end = "\r" if done < of else "\r\033[K"
        sys.stderr.write(f"{what} {done:,} of {of:,} pictures{end}")
        sys.stderr.flush()

    return watch


def fetch(data: str) -> None:
    """Have a data set with a name at hand; where it has to be fetched, say from whom and how far it is.

    One of the Hub is only announced: it is fetched when it is opened.
    """
    if text := hub.announce(data):
        sys.stderr.write(f"note: {plain(text)}\n")
    known = TABLE.get(data)
    sources.fetch(data, fetching(f"fetching {data}: {known.title}; licence: {known.licence}" if known else ""))


def fetching(title: str = "") -> download.Watch:
    """A watch for files that come over the network: the ``title`` once, each file once, and how far it is."""
    told: set[str] = set()

    def watch(name: str, done: int, of: int) -> None:
        lines = [title] if title and not told else []
        lines += [] if name in told else [f"fetching {name}, {of:,} bytes"]
        told.add(name)
        news = "".join(f"{line}\n" for line in lines)
        if sys.stderr.isatty():
            news += f"{done:,} of {of:,} bytes" + ("\r" if done < of else "\r\033[K")
        with suppress(OSError):  # nobody reads it any more: the file is worth more than its news
            sys.stderr.write(news)
            sys.stderr.flush()

    return watch
