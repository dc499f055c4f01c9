"""Networks by name, or from a JSON file that says the fields of a Spec."""

from dataclasses import fields, replace
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from resnetkit import zoo
from resnetkit.documents import parse, read_text
from resnetkit.errors import UsageError, nearest, plain
from resnetkit.mobile import Mobile
from resnetkit.spec import Spec

SUFFIX = ".json"
LIKE = "like"  # the name of a network that the other entries change
FIX = 'write one JSON object, such as {"like": "resnet50", "attention": "se"}'


def find(model: str) -> Spec | Mobile:
    """The network called ``model``, or the one that a file ``model`` of JSON says; UsageError where there is none."""
    return read_spec(Path(model)) if model.endswith(SUFFIX) else zoo.find(model)


def title(model: str) -> str:
    """What a network is called: one from a file by the name of the file."""
    return Path(model).stem if model.endswith(SUFFIX) else model


def read_spec(path: Path) -> Spec | Mobile:
    """Fields of a Spec, or of a Mobile, by name; those that are left out are as in the network that it is like."""
    what = plain(path)
    about = parse(read_text(path, "a network.json", FIX), what, FIX)
    if not isinstance(about, dict):
        raise UsageError(f"{what} holds {brief(about)}", FIX)
    base = base_of(about, what)
    known = [field.name for field in fields(base)]
    for name in about:
        if name not in known and name != LIKE:
            fix = f"the entries are {', '.join([LIKE, *known])}"
            raise UsageError(f"{what} says {brief(name)}, which no network has{nearest(name, known)}", fix)
    try:
        return replace(base, **{name: frozen(value) for name, value in about.items() if name != LIKE})
    except UsageError as error:
        raise UsageError(f"{what}: {error.what}", error.fix) from None


def base_of(about: dict[str, Any], what: str) -> Spec | Mobile:
    """The network that the file changes."""
    if LIKE not in about:
        return Mobile() if "family" in about else Spec()
    if not isinstance(about[LIKE], str):
        raise UsageError(f"{what}: {LIKE} is {brief(about[LIKE])}", "give it the name of a network")
    return zoo.find(about[LIKE])


def frozen(value: Any) -> Any:
    return tuple(map(frozen, value)) if isinstance(value, list) else value
