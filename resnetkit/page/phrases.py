"""The words of a page in English and Chinese. A phrase is both; the page shows one."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup, escape

LANGUAGES = ("en", "zh")


@cache
def phrases() -> dict[str, dict[str, str]]:
    """Each phrase in each language."""
    found: dict[str, dict[str, str]] = json.loads((files("resnetkit") / "page" / "phrases.json").read_bytes())
    return found


@cache
def sayings() -> list[tuple[str, re.Pattern[str]]]:
    """What findings and notes say in words of ours: the phrase, and how its English looks."""
    found = []
    for key, texts in phrases().items():
        if key.startswith("says "):
            pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(texts["en"]))
            found.append((key, re.compile(pattern)))
    return found


def saying(words: str) -> Markup:
    """The phrase that these English words are, else the words as they are."""
    for key, pattern in sayings():
        if match := pattern.fullmatch(words):
            return phrase(key, **match.groupdict())
    return Markup("{}").format(words)


def phrase(key: str, /, **values: Any) -> Markup:
    """Both languages of a phrase as HTML, of which the page shows one.

    Names in it are escaped; values that are phrases may stand in it. Raises KeyError for one that there is not.
    """
    shown = {name: escape(value) if isinstance(value, str) else value for name, value in values.items()}
    texts = phrases()[key]
    return Markup("").join(
        Markup('<span lang="{}">{}</span>').format(language, Markup(texts[language]).format(**shown))  # noqa: S704
        for language in LANGUAGES
    )
