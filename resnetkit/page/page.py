"""One page for people: a title, a verdict and sections, in a file that needs no connection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from resnetkit import files
from resnetkit.errors import UsageError, plain
from resnetkit.page.phrases import phrase
from resnetkit.page.thumbs import Thumbs

OURS = '<meta name="generator" content="resnetkit">'  # without which a file is not replaced by a page
HEAD = 1000  # letters of a page in which that stands


@dataclass(frozen=True)
class Section:
    """A part of a page: the name of its template in this folder, and what it shows."""

    template: str
    shown: Mapping[str, Any]


@dataclass(frozen=True)
class Page:
    """What stands on a page. Pictures are named by their keys in ``thumbs``."""

    title: str
    verdict: Sequence[Markup]
    sections: Sequence[Section]
    thumbs: Thumbs


def write_page(path: Path, page: Page) -> None:
    """Write it. A page of ours that is there is replaced; see refuse()."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    refuse(path)
    environment = Environment(
        loader=PackageLoader("resnetkit", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("page.html")
    files.write_text(path, template.render(t=phrase, page=page, ours=Markup(OURS)))  # noqa: S704


def refuse(path: Path) -> None:
    """UsageError where a file is there that is no page of ours, or where none can be: a page ends in .html or .htm."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{plain(path)} is no name of a page", "name a file that ends in .html")
    files.check_target(path)
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{plain(path.parent)} is not a folder", "name a file in a folder that exists")
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as file:
            if OURS not in file.read(HEAD):
                raise UsageError(f"{plain(path)} is there and is no page of resnet", "name another file")
