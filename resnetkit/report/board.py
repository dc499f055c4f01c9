"""What a run tells TensorBoard: an extra, written beside everything else and read by nothing here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnetkit.engine.step import Tick
from resnetkit.engine.train import Epoch
from resnetkit.errors import ResourceError, plain
from resnetkit.tasks import Task

PICTURES = ("confusion_matrix.png", "predictions.png")


def require() -> None:
    """ResourceError where TensorBoard's own writer is not to be had."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ResourceError(
            f"tensorboard cannot be imported: {plain(error)}",
            'pip install "resnetkit[tensorboard]", or leave --tensorboard out',
        ) from None


class Board:
    """The event file of one process; those of a run that was resumed lie side by side, and show as one."""

    def __init__(self, folder: Path, step: int, task: Task) -> None:
        """``step`` is the last one that counts: what was written of later ones is hidden, since it comes again."""
        self.task = task
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(folder, purge_step=step + 1 if step else 0)

    def begin(self, texts: Mapping[str, Any]) -> None:
        """The settings of a run, as a table."""
        rows = [f"| {name} | {plain(value)} |" for name, value in texts.items()]
        self.writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), 0)

    def take(self, event: Tick | Epoch) -> None:
        """A step or an epoch, as numbers."""
        if isinstance(event, Tick):
            named = {"loss": event.loss, "learning rate": event.lr, "gradient": event.gradient}
            if self.task.name == "classes":
                named["accuracy"] = event.correct / event.pictures
            values, step = {f"step/{name}": value for name, value in named.items()}, event.step
        else:
            row = event.row
            values = {f"epoch/{name}": row[name] for name in row if name.startswith(("train_", "val_"))}
            step = int(row["step"])
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Put everything into the file, so that a run killed from here on has lost nothing that counts."""
        self.writer.flush()

    def end(self, step: int, metrics: Mapping[str, Any], folder: Path) -> None:
        """The figures of the best network and the pictures of them; a run whose end is repeated replaces them."""
        after = step + 1  # beyond the last step, and so hidden when it comes again
        for name in (self.task.judge, "loss"):
            self.writer.add_scalar(f"best/{metrics['split']}_{name}", metrics[name], after)
        for file in (folder / name for name in PICTURES if (folder / name).exists()):
            with Image.open(file) as image:
                title = file.stem.replace("_", " ")
                self.writer.add_image(title, np.asarray(image.convert("RGB")), after, dataformats="HWC")


@contextmanager
def opened(folder: Path, step: int, task: Task, *, wanted: bool) -> Iterator[Board | None]:
    """A board, or None where none is wanted."""
    if not wanted:
        yield None
        return
    board = Board(folder, step, task)
    try:
        yield board
    finally:
        board.writer.close()
