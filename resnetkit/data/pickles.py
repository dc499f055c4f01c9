"""Pickled dicts of lists, words and arrays of numbers, as CIFAR's python version has them, read without being run.

A pickle is a program for a machine with a stack. Here is a machine that knows only the instructions those files need.
It calls nothing: what numpy's functions would build is put together from the bytes that are there, so that no file can
run code, nor take more memory than a few times its own size. Any other name or instruction ends the reading.
"""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pickletools import genops
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.errors import DataError, plain

STEPS = 1_000_000  # instructions; CIFAR-100's training file has a quarter of that
AGAIN = "download it again from where you trust"
OR_WRITE = f"{AGAIN}, or write lists, bytes and arrays of numbers alone, with pickle protocol 2 or above"
PLAIN = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"}
PLAIN |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}  # as Python 3 writes bytes
PLAIN |= {"INT", "LONG", "UNICODE"}  # in letters, as protocol 0 has them
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}


@dataclass(frozen=True)
class Name:
    """A function or class that the file asks for, which is never looked up."""

    text: str


@dataclass
class Stored:
    """An array; empty until the file fills it."""

    array: NDArray[Any] | None = None


@dataclass
class Number:
    """What an array is made of, such as ``u1``; its byte order comes later."""

    code: str
    order: str = "|"


def read_pickle(data: bytes, where: str) -> dict[str, Any]:
    """The dict that a file holds, its keys as text. Raises DataError naming ``where`` for everything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes, in text of a kind that is refused anyway
            found = follow(data, where)
        if not isinstance(found, dict):
            raise DataError(f"{where} holds no dict", AGAIN)
        keys = [key if isinstance(key, str) else bytes(key).decode("ascii") for key in found]
        if len(set(keys)) < len(keys):
            raise ValueError("a key is there twice")
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        fix = OR_WRITE if data.startswith(b"(") else AGAIN  # protocol 0 begins so, whose byte strings are not read
        raise DataError(f"{where} is truncated or damaged: it has {len(data):,} bytes", fix) from error
    return dict(zip(keys, found.values(), strict=True))


def follow(data: bytes, where: str) -> object:
    """What is left on the stack at the end; raises ValueError, LookupError or TypeError for what makes no sense."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[object, Any] = {}

    def above() -> list[Any]:
        """What was put on the stack since the last mark."""
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    for count, (step, value, _) in enumerate(genops(data)):
        if count > STEPS:
            raise DataError(f"{where} has more than {STEPS:,} instructions", AGAIN)
        match step.name:
            case "PROTO" | "FRAME":
                pass
            case name if name in PLAIN:
                stack.append(CONSTANTS.get(name, value))
            case "SHORT_BINSTRING" | "BINSTRING":  # bytes of Python 2, which genops shows as text
                stack.append(str(value).encode("latin-1"))
            case name if name in EMPTY:
                stack.append(EMPTY[name]())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(above()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                size = int(name[-1])
                stack[-size:] = [tuple(take(stack, size))]
            case "LIST":
                stack.append(above())
            case "DICT":
                items = above()
                stack.append({})
                fill(stack, items)
            case "APPEND":
                extend(stack, [stack.pop()])
            case "APPENDS":
                extend(stack, above())
            case "SETITEM":
                fill(stack, [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                fill(stack, above())
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[value])
            case "GLOBAL":
                stack.append(Name(str(value).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(
                    Name(f"{module if isinstance(module, str) else '?'}.{name if isinstance(name, str) else '?'}")
                )
            case "REDUCE":
                arguments, asked = stack.pop(), stack.pop()
                stack.append(made(asked, arguments, where))
            case "BUILD":
                state = stack.pop()
                complete(stack[-1], state)
            case "STOP":
                if len(stack) != 1 or marks:
                    raise ValueError("something is left over")
                return stack[0]
            case other:
                raise DataError(f"{where} holds an instruction that data sets do not need: {other}", OR_WRITE)
    raise ValueError("no end")


def take(stack: list[Any], size: int) -> list[Any]:
    if len(stack) < size:
        raise IndexError("the stack is empty")
    return stack[-size:]


def extend(stack: list[Any], items: list[Any]) -> None:
    if type(stack[-1]) is not list:
        raise TypeError("not a list")
    stack[-1].extend(items)


def fill(stack: list[Any], items: list[Any]) -> None:
    target = stack[-1]
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(target) is not dict or type(key) not in (str, bytes) or key in target:
            raise TypeError("not a dict of words, or a word twice")
        target[key] = value


def made(asked: object, arguments: object, where: str) -> object:
    """What a function would return, for those few that are known: numpy's, and the one that wraps bytes."""
    if not isinstance(asked, Name) or not isinstance(arguments, tuple):
        raise TypeError("no function")
    module, _, name = asked.text.rpartition(".")
    module = module.replace("numpy._core", "numpy.core")  # as numpy 2 calls it
    match f"{module}.{name}", arguments:
        case "numpy.core.multiarray._reconstruct", (Name("numpy.ndarray"), (0,), b"b" | "b"):
            return Stored()
        case "numpy.core.numeric._frombuffer", (
            bytes() | bytearray() as data,
            Number() as kind,
            tuple() as shape,
            str() as order,
        ):
            return Stored(array_of(data, kind, shape, order == "F"))
        case "numpy.dtype", (bytes() | str() as code, *_):
            return Number(code if isinstance(code, str) else code.decode("ascii"))
        case "_codecs.encode", (str() as text, "latin1"):  # bytes, where Python 3 writes for Python 2, ...
            return text.encode("latin-1")
        case "__builtin__.bytes" | "builtins.bytes", ():  # ... unless there are none
            return b""
    raise DataError(f"{where} asks for {plain(asked.text)}, which it does not need: it is not read", OR_WRITE)


def complete(target: object, state: object) -> None:
    """Give an array its shape, dtype and bytes, or a dtype its byte order."""
    match target, state:
        case Stored(array=None), (int(), tuple() as shape, Number() as kind, bool() as fortran, bytes() as data):
            target.array = array_of(data, kind, shape, fortran)
        case Number(), (int(), bytes() | str() as order, None, None, None, int(), int(), int()):
            target.order = order if isinstance(order, str) else order.decode("ascii")
        case _:
            raise TypeError("no such state")


def array_of(data: bytes | bytearray, kind: Number, shape: tuple[Any, ...], fortran: bool) -> NDArray[Any]:
    """Numbers (shape) over the bytes that are there, of which there must be as many as the shape says."""
    if not re.fullmatch(r"[iuf][1248]|b1", kind.code) or kind.order not in ("|", "<", ">", "="):
        raise ValueError("no numbers")
    if len(shape) > 4 or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError("no shape")
    dtype = np.dtype(kind.order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("another size than the shape says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
