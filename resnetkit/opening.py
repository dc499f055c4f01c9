"""An exported file on its way to an answer: one thread holds it against its seal, and another opens it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from resnetkit.errors import UsageError, WeightsError, plain
from resnetkit.export.guard import read, seal_of
from resnetkit.export.metadata import SEAL, WEIGHED, card_of, precision_of
from resnetkit.export.runtimes import RUNTIMES, Ask
from resnetkit.modelfile import canonical

SUFFIXES = {suffix: name for name, runtime in RUNTIMES.items() for suffix in runtime.suffixes}


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a file is meant that another runtime is for, by its name."""
    return Path(path).suffix.lower() in SUFFIXES


class Opening:
    """A file that a runtime is opening, with so many threads; 0 for as many as it likes. ``quick``: for few pictures.

    Raises WeightsError for a file that is no export, or whose form or metadata are not as they were written: before
    the runtime is given it. Its weights are numbers that no runtime acts on, and are held against the seal meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 0, *, quick: bool = False) -> None:
        self.file = Path(path)
        if not is_exported(path):
            what = f"{plain(path)} is not a file of {', '.join(SUFFIXES)}, which are what resnet export writes"
            raise UsageError(what, "use resnetkit.load for a model file or the folder of a run")
        self.runtime = RUNTIMES[SUFFIXES[self.file.suffix.lower()]]
        if self.file.suffix.lower() != self.runtime.suffixes[0]:
            named = plain(self.file.with_suffix(self.runtime.suffixes[0]))
            raise UsageError(f"{plain(path)} is a part of a model of {self.runtime.name}", f"name {named}")
        self.content = read(self.file)
        self.card, self.takes = card_of(self.content.texts, self.file)
        self.hold(SEAL, seal_of(self.content.texts, self.content.form))
        quick = quick and precision_of(self.content.texts) == "fp32"
        pool = ThreadPoolExecutor(2)
        self.future = pool.submit(self.runtime.open, self.file, threads, quick=quick)
        self.weighed = pool.submit(self.content.weighed)
        pool.shutdown(wait=False)

    def hold(self, name: str, found: str) -> None:
        if self.content.texts[name] != canonical(found):
            raise WeightsError(f"{plain(self.file)} is not as it was written: its SHA-256 is another", "export it anew")

    def opened(self) -> Ask:
        """What asks the runtime. Raises WeightsError for a file that was changed or cannot be run."""
        try:
            self.hold(WEIGHED, self.weighed.result())
        finally:
            self.future.exception()  # waits: a runtime may read the file for as long as it opens it
        try:
            return self.future.result()
        except RuntimeError as error:
            reason = plain(str(error).strip().splitlines()[-1])[:200]
            what = f"{self.runtime.says} cannot run {plain(self.file)}: {reason}"
            raise WeightsError(what, "export it anew") from error
