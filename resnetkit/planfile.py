"""Plans as JSON has them, and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from reprlib import repr as brief
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from resnetkit.plan import Plan
from resnetkit.sound import Place


def to_json(plan: Plan) -> dict[str, Any]:
    """The plan as objects, lists, numbers and words.

    What came to the format later is left out where it says nothing new, so that equal networks give equal files.
    """
    found = trimmed(asdict(plan), plan)
    assert isinstance(found, dict)
    return found


def trimmed(value: Any, part: Any) -> Any:
    if is_dataclass(part):
        return {
            field.name: trimmed(value[field.name], getattr(part, field.name))
            for field in fields(part)
            if not field.metadata or getattr(part, field.name) != field.default
        }
    if isinstance(part, tuple):
        return [trimmed(*pair) for pair in zip(value, part, strict=True)]
    return value


def from_json(value: object) -> Plan:
    """The plan that ``to_json`` wrote; ValueError names the first place that is wrong."""
    plan = read(value, Plan, Place("plan"))
    assert isinstance(plan, Plan)
    return plan


def read(value: object, kind: Any, place: Place) -> Any:
    """``value`` as ``kind`` has it: objects become dataclasses and lists tuples; what is neither is checked later."""
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return read_object(value, kind, place)
    options = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) in (Union, UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        listed = [one for one in options if get_origin(one) is tuple] if isinstance(value, list | tuple) else []
        whole = [one for one in options if is_dataclass(one)]
        return read(value, (listed or whole or [object])[0], place)
    if get_origin(kind) is tuple:
        place.need(isinstance(value, list | tuple), "", "must be a list, not", value)
        assert isinstance(value, list | tuple)
        return tuple(read(item, options[0], place / f"[{i}]") for i, item in enumerate(value))
    return value


@cache
def hints_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def read_object(value: object, kind: type, place: Place) -> Any:
    """An object that has every field of ``kind`` that it must have, and no other."""
    place.need(isinstance(value, Mapping), "", "must be an object, not", value)
    assert isinstance(value, Mapping)
    hints = hints_of(kind)
    known = fields(kind)
    for field in known:
        place.need(field.name in value or bool(field.metadata), "", f"has no {field.name!r}")
    names = {field.name for field in known}
    for name in value:
        place.need(name in names, "", f"has an entry {brief(name)} that this version does not know")
    return kind(**{name: read(item, hints[name], place / f".{name}") for name, item in value.items()})
