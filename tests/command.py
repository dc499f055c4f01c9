"""The command as a user runs it: a process of its own, its exit code and what it wrote."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code, its answer, and what it said beside it."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def resnet(
    *words: str | os.PathLike[str],
    stdin: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 120,
) -> Result:
    """Run ``resnet`` with these words."""
    done = subprocess.run(
        [sys.executable, "-m", "resnetkit", *words],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=environment(env or {}),
        timeout=timeout,
        check=False,
    )
    out, err = (text.decode("utf-8", "surrogateescape").replace("\r\n", "\n") for text in (done.stdout, done.stderr))
    return Result(done.returncode, out, err)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours, with this package found from any folder, and streams as a terminal has them."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "", **more}


def refused(result: Result, code: int, *mentions: str) -> None:
    """The error contract: nothing on stdout, at most six lines on stderr, what is wrong and one thing to do."""
    assert result.code == code, result
    assert result.out == ""
    assert "Traceback" not in result.err
    lines = result.err.splitlines()
    assert 2 <= len(lines) <= 6, result.err
    what = next(i for i, line in enumerate(lines) if line.startswith("error: "))
    fix = next(i for i, line in enumerate(lines) if line.startswith("fix: "))
    assert what < fix
    assert len(lines[fix]) > len("fix: ")
    for mention in mentions:
        assert mention in result.err
