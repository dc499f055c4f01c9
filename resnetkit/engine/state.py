"""What a run is between two steps, and how it is saved and gone on with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from resnetkit.engine import average
from resnetkit.engine.checkpoint import Snapshot
from resnetkit.engine.device import Machine
from resnetkit.engine.history import Row, waits
from resnetkit.engine.noise import Noise
from resnetkit.engine.optim import optimizer
from resnetkit.engine.pull import Pull
from resnetkit.engine.teacher import Teacher
from resnetkit.network import Network
from resnetkit.settings import Settings


@dataclass
class State:
    """All that a run is between two steps: saved whole, restored whole."""

    model: Network
    begin_optimizer: Callable[[], torch.optim.Optimizer]
    scaler: torch.amp.GradScaler
    step: int = 0
    parts: int = 1  # in which a batch goes through the network
    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "correct": 0, "seen": 0})  # of this epoch
    history: list[Row] = field(default_factory=list)
    best: Row | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    average: Network | None = None  # of the weights, where the run keeps one
    noise: Noise | None = None
    pull: Pull | None = None  # to the weights as they are at the start, which a run that goes on starts from again
    teacher: Teacher | None = None  # who never changes

    @classmethod
    def start(cls, model: Network, settings: Settings, machine: Machine, teacher: Teacher | None = None) -> "State":
        machine.prepare(model)
        for _, step in model.steps()[: len(model.before) + settings.mode.frozen]:
            step.requires_grad_(not settings.mode.frozen)
        mean = average.begin(model) if settings.run.ema is not None else None
        run = settings.run
        noise = Noise(model, settings) if run.dropout or run.inner_dropout or run.drop_path else None
        parts = settings.run.accumulate or 1
        pull = Pull(model, settings) if run.pull else None
        if teacher:
            machine.prepare(teacher.model)
        return cls(
            model,
            lambda: optimizer(model, settings),
            machine.scaler(),
            parts=parts,
            average=mean,
            noise=noise,
            pull=pull,
            teacher=teacher,
        )

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Begun where the first step needs it: torch.optim takes a second to load, and a solved head takes no step."""
        return self.begin_optimizer()

    @property
    def judged(self) -> Network:
        """The network that is evaluated and kept."""
        return self.model if self.average is None else self.average

    def snapshot(self) -> Snapshot:
        moments = self.optimizer.state_dict()["state"] if self.step else {}
        return Snapshot(
            tensors={
                **{f"model.{name}": value for name, value in self.model.state_dict().items()},
                **{f"best.{name}": value for name, value in self.best_weights.items()},
                **{f"average.{name}": v for name, v in (self.average.state_dict() if self.average else {}).items()},
                **{
                    f"optimizer.{i}.{name}": v
                    for i, part in moments.items()
                    for name, v in part.items()
                    if v is not None
                },
            },
            values={
                "step": self.step,
                "parts": self.parts,
                "sums": self.sums,
                "history": self.history,
                "best": self.best,
                "scaler": self.scaler.state_dict(),
            },
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of an equal run."""
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}, "average": {}}
        for name, tensor in snapshot.tensors.items():
            kind, _, rest = name.partition(".")
            parts[kind][rest] = tensor
        self.model.load_state_dict(parts["model"])
        self.best_weights = parts["best"]
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        if snapshot.values["step"]:
            put_moments(self.optimizer, parts["optimizer"])
        values = snapshot.values
        self.step, self.sums, self.history, self.best = (values[k] for k in ("step", "sums", "history", "best"))
        self.parts = values.get("parts", self.parts)  # checkpoints from before it was kept have none
        if values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])

    def unscored(self, settings: Settings) -> bool:
        """Whether an epoch (or the run) has ended whose row is not written."""
        ended = self.step > 0 and (self.step % settings.epoch_steps == 0 or self.step == settings.steps)
        return ended and (not self.history or self.history[-1]["step"] < self.step)

    def over(self, settings: Settings) -> bool:
        """Whether the run has all its steps, or has waited for a better epoch as long as it may."""
        patience = settings.run.patience
        tired = patience is not None and bool(self.history) and waits(self.history)[-1] >= patience
        return tired or self.step == settings.steps


def put_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """What an equal optimizer kept, by the number of the weight and its own name for it."""
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        index, _, rest = name.partition(".")
        moments.setdefault(int(index), {})[rest] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    for weight, kept in optimizer.state.items():  # in the layout of the weights, as before
        kept |= {n: torch.empty_like(weight).copy_(v) for n, v in kept.items() if v.shape == weight.shape}
