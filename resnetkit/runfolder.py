"""The folder of a run: claimed before anything is written, every file in it whole at any moment."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from resnetkit import files
from resnetkit.errors import ResourceError, UsageError, plain

RUNS = Path("runs")


class RunFolder:
    """``runs/<name>`` or the folder that was asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: str | None, name: str) -> "RunFolder":
        """A new folder: ``out``, or the next free number under runs/."""
        check_out(out)
        try:
            if out is not None:
                Path(out).mkdir(parents=True, exist_ok=True)
                return cls(Path(out))
            for number in range(1, 1_000_000):
                path = RUNS / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir(parents=True)
                    return cls(path)
                except FileExistsError:
                    continue
        except OSError as error:
            raise ResourceError(
                f"the folder {plain(error.filename)} could not be made: {error.strerror}", files.hint(error)
            ) from error
        raise ResourceError(f"{RUNS} holds a million runs called {name}", "choose another folder with --out")

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """The folder of a run that was begun."""
        folder = cls(Path(path))
        if not os.path.isdir(folder.path):
            raise UsageError(f"{plain(path)} is not a folder", "name the folder of a run, such as runs/resnet18")
        if not os.path.isfile(folder.settings):
            raise UsageError(f"{plain(path)} holds no run: it has no run.json", "name the folder that --out named")
        return folder

    @property
    def settings(self) -> Path:
        return self.path / "run.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def quarantine(self) -> Path:
        """Where damaged checkpoints are put."""
        return self.checkpoints / "quarantine"

    @property
    def start(self) -> Path:
        """The network as it began, where it began from somebody's weights."""
        return self.path / "start.safetensors"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process at a time trains into a folder."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another process is training into {plain(self.path)}", "wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise ResourceError(f"{plain(self.path)} cannot be locked: {error.strerror}", files.hint(error)) from error
        try:
            yield
        finally:
            lock.release()

    def status(self, status: str, **more: Any) -> None:
        """What the run is doing, for other programs: running, done, stopped or failed."""
        files.write_json(self.path / "status.json", {"status": status, "time": now(), "pid": os.getpid(), **more})

    def read_status(self) -> str:
        try:
            return str(json.loads((self.path / "status.json").read_bytes())["status"])
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown"

    def journal(self, event: str, **more: Any) -> None:
        """One line of JSON for what happened; the journal only grows."""
        line = json.dumps({"time": now(), "event": event, **more}, ensure_ascii=True)
        with open(self.path / "journal.jsonl", "a", encoding="utf-8") as file:
            file.write(line + "\n")


def check_out(out: str | None) -> None:
    """Refuse a folder that is not empty, before any work is done. What is in it stays as it is."""
    if out is None:
        return
    if not out:
        raise UsageError("--out is empty", "name a folder, or leave --out out")
    path = Path(out)
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise UsageError(f"--out {plain(out)} is not a folder", "choose another folder")
    names = {entry.name for entry in path.iterdir()} - {".lock"}
    if "run.json" in names:
        raise UsageError(
            f"--out {plain(out)} holds a run already", f"resnet train --resume {plain(out)}, or choose another --out"
        )
    if {"metrics.json", "predictions.csv"} <= names:
        raise UsageError(f"--out {plain(out)} holds an evaluation already", "name another folder with --out")
    if "bench.json" in names:
        raise UsageError(f"--out {plain(out)} holds measurements already", "name another folder with --out")
    if names:
        raise UsageError(
            f"--out {plain(out)} holds files that are not of a run, such as {plain(min(names))}",
            "choose a new or an empty folder",
        )


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
