"""Networks by name, from a JSON file that says the fields of a Spec, or from such JSON itself."""

import json
import re
from ast import literal_eval
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from resnetkit import zoo
from resnetkit.documents import parse, read_text
from resnetkit.errors import UsageError, nearest, plain
from resnetkit.mobile import Mobile
from resnetkit.spec import Spec

SUFFIX = ".json"
LIKE, NAME = "like", "name"  # the network that the other entries change, and what the new one is called
WORD = re.compile(r"\w[\w .+-]{0,99}")  # it names the folder of a run
LONGEST = 60  # letters of a value in an error
# What Python writes in another way than JSON: texts, and these words. No sentence of a Spec has other parentheses.
PYTHON = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\b(?:None|True|False|a tuple)\b|\(|,?\)")
JSON = {"None": "null", "True": "true", "False": "false", "a tuple": "a list", "(": "[", ")": "]", ",)": "]"}
FIX = 'write one JSON object, such as {"like": "resnet50", "attention": "se"}'


def find(model: str) -> Spec | Mobile:
    """The network called ``model``, or the one that a file of JSON, or JSON itself, says; UsageError for none."""
    if not is_own(model):
        return zoo.find(model)
    about, what = read(model)
    spec = spec_of(about, what)
    refuse_namesake(str(about.get(NAME, named_after(model))), spec, what)
    return spec


def refuse_namesake(name: str, spec: Spec | Mobile, what: str) -> None:
    """UsageError for a name of the zoo on another network; classes, channels and size may be others."""
    known = zoo.ZOO.get(name)
    if known is not None and body(known) != body(spec):
        raise UsageError(f"{what} calls {name} what is another network", f'give it another "{NAME}"')


def body(spec: Spec | Mobile) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if name not in ("channels", "classes", "size")}


def is_own(model: str) -> bool:
    """Whether somebody says a network instead of naming one."""
    return model.endswith(SUFFIX) or model.startswith("{")


def title(model: str) -> str:
    """What a network is called: one from a file by the name of the file."""
    if not is_own(model):
        return model
    return str(read(model)[0].get(NAME, named_after(model)))


def says(model: str, field: str) -> Any:
    """What JSON itself says of a field; None where it leaves that open, and of a network that is named."""
    return read(model)[0].get(field) if is_own(model) else None


def named_after(model: str) -> str:
    """The name of the file, where it can be one of a network."""
    stem = Path(model).stem if model.endswith(SUFFIX) else ""
    return stem if WORD.fullmatch(stem) else "network"


def settled(model: str) -> str:
    """The same network without the file that says it, which may change or go: JSON in one line."""
    if not model.endswith(SUFFIX):
        return model
    about, _ = read(model)
    find(model)
    return json.dumps({NAME: title(model), **about})


def read(model: str) -> tuple[dict[str, Any], str]:
    """The entries that a file or JSON itself has, and how it is called in errors."""
    what = plain(model) if model.endswith(SUFFIX) else "the network"
    text = read_text(Path(model), "a network.json", "check the path") if model.endswith(SUFFIX) else model
    about = parse(text, what, FIX)
    if not isinstance(about, dict):
        raise UsageError(f"{what} holds {shown(about)}", FIX)
    name = about.get(NAME, "a name")
    if not isinstance(name, str) or not WORD.fullmatch(name):
        raise UsageError(f"{what}: {NAME} is {shown(name)}", "give it letters, digits, spaces and . _ -, 100 at most")
    return about, what


def spec_of(about: dict[str, Any], what: str) -> Spec | Mobile:
    """Fields of a Spec, or of a Mobile, by name; those that are left out are as in the network that it is like."""
    base = base_of(about, what)
    known = [field.name for field in fields(base)]
    for name in about:
        if name not in (*known, LIKE, NAME):
            fix = f"the entries are {', '.join([LIKE, NAME, *known])}"
            raise UsageError(f"{what} says {shown(name)}, which this network has not{nearest(name, known)}", fix)
    try:
        return replace(base, **{name: frozen(about[name]) for name in known if name in about})
    except UsageError as error:
        raise UsageError(f"{what}: {as_json(error.what)}", as_json(error.fix)) from None


def base_of(about: dict[str, Any], what: str) -> Spec | Mobile:
    """The network that the entries change."""
    if LIKE not in about:
        return Mobile() if "family" in about else Spec()
    if not isinstance(about[LIKE], str):
        raise UsageError(f"{what}: {LIKE} is {shown(about[LIKE])}", "give it the name of a network")
    if about[LIKE].endswith(SUFFIX):
        said = f"{what}: {LIKE} takes a name, not a file: {shown(about[LIKE])}"
        raise UsageError(said, "write the entries of that file here, and the name that it is like")
    try:
        return zoo.find(about[LIKE])
    except UsageError as error:
        raise UsageError(f"{what}: {error.what}", error.fix) from None


def frozen(value: Any) -> Any:
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def shown(value: object) -> str:
    """A value as the file has it, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def as_json(text: str) -> str:
    """A sentence about a Spec, which shows values as Python writes them, with the same values as JSON has them."""
    return PYTHON.sub(written, text)


def written(found: re.Match[str]) -> str:
    return JSON.get(found[0]) or json.dumps(literal_eval(found[0]), ensure_ascii=False)
