"""The command: words in, answers on stdout, all else on stderr, and errors that say what to do."""

import atexit
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from types import FrameType
from typing import NoReturn, TextIO

from resnetkit import __version__, files
from resnetkit.errors import KitError, ResourceError, UsageError, nearest, plain
from resnetkit.flags import Parser
from resnetkit.run import show
from resnetkit.verbs.table import SYNONYMS, VERBS
from resnetkit.verbs.verb import say

AGAIN = "run it again"
RESUMED = {"train": "; what had begun goes on with resnet train --resume RUN"}


def terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM where nothing has to be finished first: a training run listens for itself once it takes steps."""
    raise Terminated("stopped by SIGTERM", AGAIN)


class Terminated(KitError):
    """Somebody ended the process before there was anything to save, or after all of it was."""

    code = 75


def run() -> NoReturn:
    """The command as a process of its own, which ends when it has answered: to take torch down takes half a second."""
    code = main()
    if threading.active_count() > 1:  # somebody still works, and Python waits for that
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001  what Python itself would call here, and has no other name for
    for stream in (sys.stdout, sys.stderr):
        let_go(stream)
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Act on a command line and return the exit code. Never raises."""
    steady_streams()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)
    words = list(sys.argv[1:] if argv is None else argv)
    ours, theirs = (words[: words.index("--")], words[words.index("--") :]) if "--" in words else (words, [])
    debug, out = "--debug" in ours, sys.stdout
    again = AGAIN + RESUMED.get(next(iter(ours), ""), "")
    try:
        with redirect_stdout(sys.stderr):  # what a library prints is no part of the answer
            code = act([word for word in ours if word != "--debug"], theirs, out)
        out.flush()
        return code
    except BrokenPipeError:  # the reader, such as head, has seen enough
        code = 0
    except KeyboardInterrupt:
        code = 130
        complain("stopped by Ctrl-C", again)
    except Exception as error:  # noqa: BLE001 - the one place where every error ends
        known = explained(error)
        code = known.code
        if debug:
            with suppress(OSError):
                traceback.print_exc()
        complain(known.what, again if isinstance(known, Terminated) else known.fix)
    for stream in (out, sys.stderr):
        let_go(stream)
    return code


def act(ours: list[str], theirs: list[str], out: TextIO) -> int:
    """``theirs`` are the words from ``--`` on, which are never flags."""
    if not ours or ours[0] in {"-h", "--help", "--help-all"}:
        say(out, overview())
        return 0
    name, *rest = ours
    if name == "--version":
        say(out, f"resnetkit {__version__}")
        return 0
    if name not in VERBS:
        close = (
            f"; did you mean {SYNONYMS[name]}?"
            if name in SYNONYMS
            else nearest(name, [*VERBS, "--help", "--version"], 1)
        )
        kind = "flag" if name.startswith("-") else "verb"
        raise UsageError(
            f"resnet has no {kind} {show(name)}{close}", f"the verbs are {', '.join(VERBS)}; see resnet --help"
        )
    verb, every = VERBS[name], "--help-all" in rest
    parser = Parser(name, verb.usage, verb.says, every=every)
    verb.flags(parser)
    if every or "-h" in rest or "--help" in rest:
        say(out, parser.format_help().rstrip())
        return 0
    return verb.act(parser.read([*rest, *theirs]), out)


def overview() -> str:
    lines = [f"  {name:<10}{verb.says}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: resnet VERB ...",
            "",
            "Residual networks, from a folder of images to a trained, measured, reusable model.",
            "",
            *lines,
            "",
            "resnet VERB --help shows the settings that people use, --help-all every one.",
            "--version says which resnetkit this is; --debug, anywhere, shows where an error came from.",
        ]
    )


def complain(what: str, fix: str) -> None:
    lines = [line for word, text in (("error", what), ("fix", fix)) if text for line in f"{word}: {text}".split("\n")]
    with suppress(OSError):
        print("\n".join(map(plain, lines)), file=sys.stderr)


def explained(error: Exception) -> KitError:
    """Any error as one that says what to do; what nobody foresaw is a bug of ours."""
    torch = sys.modules.get("torch")
    match error:
        case KitError():
            return error
        case MemoryError():
            memory = True
        case RuntimeError():
            memory = (torch and isinstance(error, torch.OutOfMemoryError)) or "allocate memory" in str(error)
        case ImportError(name=name) if not (name or "").startswith("resnetkit"):
            return ResourceError(
                f"a package does not import: {plain(error)}", "see what is missing with: resnet doctor"
            )
        case OSError():
            place = f"{plain(error.filename)}: " if error.filename is not None else ""
            return ResourceError(f"{place}{error.strerror or plain(error)}", files.hint(error))
        case _:
            memory = False
    if memory:
        return ResourceError("the memory is not enough", "try a smaller --batch, --size or network")
    name = type(error).__name__
    return KitError(
        f"a bug in resnet: {name}: {plain(error)[:500]}", "run it again with --debug and report what it prints"
    )


def steady_streams() -> None:
    """Whatever the three standard streams are, writing to them does not fail for a letter or a closed end."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the number, which else the next file that is opened would get
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def let_go(stream: TextIO) -> None:
    """Leave nothing in a stream that can no longer be written, which Python would try once more at its end."""
    try:
        stream.flush()
    except OSError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
