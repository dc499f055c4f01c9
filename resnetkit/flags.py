"""The words of a command line: a flag for each field of ``Run``, read by one rule, and errors that say what to type."""

import argparse
import re
import typing
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from resnetkit.aliases import meant
from resnetkit.errors import UsageError, nearest
from resnetkit.run import HINTS, Run, check, kind_of, notes, show, spell

COMMON = (
    "model",
    "epochs",
    "budget",
    "batch",
    "lr",
    "size",
    "weights",
    "finetune",
    "device",
    "workers",
    "seed",
    "out",
)  # what --help shows
PLACEHOLDERS = {
    "model": "NAME",
    "budget": "TIME",
    "out": "DIR",
    "weights": "FILE|NAME",
    "teacher": "FILE|RUN",
    "device": "NAME",
    "milestones": "X,X",
}
DECIMAL = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)
NUMBER = re.compile(r"-\.?\d.*", re.DOTALL)  # a negative number is a value, not a flag


class Parser(argparse.ArgumentParser):
    """One verb's words. Values stay texts; what is wrong is a UsageError, not an exit."""

    def __init__(self, verb: str, usage: str, says: str, *, every: bool = False) -> None:
        super().__init__(
            prog=f"resnet {verb}",
            usage=f"resnet {verb} {usage}",
            description=f"{says[:1].upper()}{says[1:]}.",
            epilog="--help-all shows every setting; --debug shows where an error came from.",
            allow_abbrev=False,
            add_help=False,
        )
        self.verb, self.words = verb, usage
        self.every = every  # help names every flag, not only the common ones
        self.takes_value = {
            "--help": False,
            "--help-all": False,
            "--debug": False,
        }  # flags, and whether a value follows
        self.many: dict[str, re.Pattern[str]] = {}  # flags that take several values, and what a further one looks like
        self.places: list[str] = []  # words that stand without a flag

    def word(self, name: str, says: str, count: Literal["one", "maybe", "any"] = "one") -> None:
        """A word known by its place, as in ``eval MODEL DATA``."""
        self.places.append(name)
        nargs = {"one": None, "maybe": "?", "any": "*"}[count]
        self.add_argument(name, metavar=name.upper(), help=escaped(says), nargs=nargs)

    def flag(self, name: str, says: str, value: str = "", *, many: re.Pattern[str] | None = None) -> None:
        """``--name VALUE``, or a switch where no ``value`` is named.

        ``many``: further values may follow, if they look like this; they reach argparse as one, with commas.
        """
        if many:
            self.many[f"--{name}"] = many
        if value:
            self.add_argument(f"--{name}", metavar=value, help=escaped(says))
        else:
            self.add_argument(f"--{name}", action="store_true", help=escaped(says))
        self.takes_value[f"--{name}"] = bool(value)

    def settings(self, names: Iterable[str]) -> None:
        """A flag for each of these fields of Run, with the field's own words and default. Only given ones are kept."""
        says = notes(Run)
        for name in names:
            flag, switch = f"--{dashed(name)}", kind_of(name)[0] is bool
            text = escaped(f"{says.get(name, '')} [{spell(getattr(Run, name), name)}]")
            shown = text if self.every or name in COMMON else argparse.SUPPRESS
            if switch:
                action = argparse.BooleanOptionalAction
                self.add_argument(flag, dest=name, help=shown, default=argparse.SUPPRESS, action=action)
                self.takes_value[f"--no-{dashed(name)}"] = False
            else:
                self.add_argument(flag, dest=name, help=shown, default=argparse.SUPPRESS, metavar=placeholder(name))
            self.takes_value[flag] = not switch
            if typing.get_origin(kind_of(name)[0]) is tuple:
                self.many[flag] = DECIMAL

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The words as a namespace. What follows ``--`` is never a flag; before it, flags may stand anywhere."""
        cut = words.index("--") if "--" in words else len(words)
        flags: list[str] = []
        places: list[str] = []
        waiting, further = "", None  # a flag whose value comes next; what a further value would look like
        for word in words[:cut]:
            if further and is_value(word) and further.fullmatch(word):
                flags[-1] += f",{word}"
                continue
            further = self.many.get(waiting) if "," not in word else None
            if waiting and is_value(word):
                flags.append(f"{waiting}={word}")
                waiting = ""
            elif waiting:
                break
            elif not is_value(word):
                waiting = self.flag_in(word)
                flags += [] if waiting else [word]
            else:
                self.refuse_key_value(word)
                places.append(word)
        if waiting:
            raise UsageError(f"{waiting} needs a value", self.see())
        self.refuse_twice(flags)
        places += words[cut + 1 :]
        return self.parse_args([*flags, *(["--", *places] if places else [])])

    def refuse_twice(self, flags: Sequence[str]) -> None:
        """UsageError where a flag is given two values, one of which would be dropped without a word."""
        found: dict[str, str] = {}
        for flag in flags:
            name = flag.partition("=")[0]
            other = found.setdefault(f"--{name.removeprefix('--no-')}" if name.startswith("--no-") else name, flag)
            if other != flag:
                raise UsageError(f"{show(other)} and {show(flag)} cannot both hold", "give that flag once")

    def flag_in(self, word: str) -> str:
        """The flag in ``word`` if its value has to follow; UsageError where this verb has no such flag."""
        name, given, _ = word.partition("=")
        if name not in self.takes_value:
            raise UsageError(f"resnet {self.verb} has no flag {show(name)}{self.instead(name)}", self.see())
        return name if self.takes_value[name] and not given else ""

    def instead(self, name: str) -> str:
        """What somebody may have meant who typed the flag ``name``."""
        ours = self.meant(name)
        if ours in self.places:
            return f"; {ours.upper()} stands without a flag"
        return f"; did you mean {ours}?" if ours else nearest(name, self.takes_value, likeness=0.65)  # dashes are alike

    def refuse_key_value(self, word: str) -> None:
        name, sign, value = word.partition("=")
        ours = self.meant(name) if sign else None
        if ours is None or Path(word).exists():
            return
        written = f"{show(word)} is written as name=value"
        if ours in self.places:
            raise UsageError(written, f"write {value} alone: resnet {self.verb} {self.words}")
        raise UsageError(written, f"write {ours} {value}" if self.takes_value[ours] else f"write {ours}")

    def meant(self, name: str) -> str | None:
        """The flag, or the word known by its place, that another tool calls ``name``."""
        flags = {flag.removeprefix("--").replace("-", "_"): flag for flag in self.takes_value}
        ours = meant(name, [*flags, *self.places])
        return flags.get(ours, ours) if ours else None

    def see(self) -> str:
        return f"see every flag with: resnet {self.verb} --help-all"

    def error(self, message: str) -> NoReturn:
        """What argparse found wrong, in our words."""
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            raise UsageError(f"resnet {self.verb} needs {missing}", f"write: resnet {self.verb} {self.words}")
        extra = message.removeprefix("unrecognized arguments: ")
        if extra != message:
            raise UsageError(f"one word too many: {extra}", f"write: resnet {self.verb} {self.words}")
        message = message.removeprefix("argument ").replace(": ignored explicit argument", " takes no value; it has")
        raise UsageError(message, self.see())


def is_value(word: str) -> bool:
    """Whether a word is no flag: a negative number is none, nor is the dash for stdin."""
    return not word.startswith("-") or word == "-" or NUMBER.fullmatch(word) is not None


def dashed(name: str) -> str:
    return name.replace("_", "-")


def escaped(text: str) -> str:
    return text.replace("%", "%%")  # which argparse would fill in


def placeholder(name: str) -> str:
    kind, _ = kind_of(name)
    if typing.get_origin(kind) is Literal:
        return "|".join(typing.get_args(kind))
    return PLACEHOLDERS.get(name, {int: "N", float: "X"}.get(kind, "TEXT"))


def given(asked: argparse.Namespace, names: Container[str] = HINTS) -> dict[str, Any]:
    """The settings of Run that stand on the command line, as values; ``names`` are those that a verb means so."""
    return {n: value_of(n, text) for n, text in vars(asked).items() if n in names and text is not None}


def value_of(name: str, text: str | bool) -> Any:
    """What a flag's text means: ``ten`` for ``--epochs`` is an error that names the flag and what it takes."""
    kind, optional = kind_of(name)
    if optional and text in {"auto", "none"}:
        return None
    value: Any = text
    try:
        if kind is int or kind is float:
            value = kind(text)
        elif typing.get_origin(kind) is tuple:
            value = tuple(map(float, str(text).split(",")))
    except ValueError:
        pass  # check says what is wrong with the text as it stands
    return check(name, value, f"--{dashed(name)}")
