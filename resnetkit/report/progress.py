"""A run as it goes, for whoever watches: a bar on a terminal, plain lines elsewhere. All of it on stderr."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.progress import Task as BarTask
from rich.text import Text

from resnetkit.engine.maps import Looked
from resnetkit.engine.step import Tick
from resnetkit.engine.train import Epoch
from resnetkit.errors import plain
from resnetkit.settings import Settings
from resnetkit.spans import clock
from resnetkit.tasks import TaskName, judged_by
from resnetkit.training import Begin, Done, Event, Note

EVERY = 30.0  # seconds between plain lines within an epoch
MEMORY = 0.95  # how much of the running means stays from step to step


class Screen(Console):
    """A console that falls silent when nobody reads it any more: a run is worth more than its news."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Left(ProgressColumn):
    """Time left, from the rate of the last steps."""

    def render(self, task: BarTask) -> Text:
        seconds = task.fields.get("left")
        return Text("" if seconds is None else f"{clock(seconds)} left", style="cyan")


def watch_run(events: Iterable[Event]) -> Done:
    """Show what happens until the run is done."""
    console = Screen(stderr=True, highlight=False, soft_wrap=True)
    meter = Meter()
    done: Done | None = None
    with bar(console) as progress:
        task = None
        last = time.monotonic()
        for event in events:
            match event:
                case Note(text):
                    console.print(Text(f"note: {plain(text)}"))
                case Begin(job, folder, step):
                    for name, text in job.lines():
                        console.print(Text(f"{name:10s}{plain(text)}"))
                    where = f"from step {step} " if step else ""
                    console.print(Text(f"{'folder':10s}{plain(folder)} {where and f'({where.strip()})'}".rstrip()))
                    meter.start(step, job.settings)
                    if progress:
                        task = progress.add_task("", total=job.settings.steps, completed=step, text="")
                case Looked(count, looks, kept):
                    text = f"{count:,} of {looks:,} looks, {kept:,} of them kept from before"
                    if progress and task is not None:
                        progress.update(task, text=text)
                    elif time.monotonic() - last > EVERY:
                        last = time.monotonic()
                        console.print(Text(text))
                case Tick():
                    meter.take(event)
                    if progress and task is not None:
                        progress.update(task, completed=event.step, text=meter.text(), left=meter.left)
                    elif time.monotonic() - last > EVERY:
                        last = time.monotonic()
                        console.print(
                            Text(f"step {event.step}/{meter.steps}  {meter.text()}  {clock(meter.left)} left")
                        )
                case Epoch(row, best):
                    last = time.monotonic()
                    console.print(Text(epoch_line(row, best, meter)))
                case Done():
                    done = event
    assert done is not None  # whatever ends a run earlier raises
    return done


class Meter:
    """Running means over the last steps."""

    def __init__(self) -> None:
        self.loss = self.accuracy = self.seconds = 0.0
        self.pictures = self.step = self.steps = self.epoch_steps = 0
        self.weight = 0.0
        self.task: TaskName = "classes"
        self.last = time.monotonic()

    def start(self, step: int, settings: Settings) -> None:
        self.step, self.steps, self.epoch_steps = step, settings.steps, settings.epoch_steps
        self.task, self.last = settings.task, time.monotonic()

    def take(self, tick: Tick) -> None:
        now = time.monotonic()
        self.weight = MEMORY * self.weight + 1 - MEMORY
        share = (1 - MEMORY) / self.weight
        self.loss += (tick.loss - self.loss) * share
        self.accuracy += (tick.correct / tick.pictures - self.accuracy) * share
        self.seconds += (now - self.last - self.seconds) * share
        self.step, self.pictures, self.last = tick.step, tick.pictures, now

    @property
    def left(self) -> float:
        """Seconds, without the evaluations to come."""
        return (self.steps - self.step) * self.seconds

    def text(self) -> str:
        rate = self.pictures / self.seconds if self.seconds else 0.0
        epoch = self.step / self.epoch_steps if self.epoch_steps else 0.0
        right = f"accuracy {self.accuracy:.1%}  " if self.task == "classes" else ""
        return f"epoch {epoch:.1f}  loss {self.loss:.3f}  {right}{rate:,.0f} pictures/s"


def epoch_line(row: dict[str, int | float], best: bool, meter: Meter) -> str:
    epochs, task = -(-meter.steps // meter.epoch_steps), judged_by(row)
    when = f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}" if row["epoch"] else "head alone"
    learned = f"  accuracy {row['train_accuracy']:.2%}" if "train_accuracy" in row else ""
    return (
        f"{when}  train loss {row['train_loss']:.3f}{learned}   "
        f"val loss {row['val_loss']:.3f}  {task.says} {row[f'val_{task.judge}']:{task.shown}}"
        f"{'  best' if best else ''}"
    )


@contextmanager
def bar(console: Console) -> Iterator[Progress | None]:
    """A progress bar, or None where there is no terminal to draw it on."""
    if not console.is_terminal:
        yield None
        return
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[text]}"),
        Left(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield progress
