"""Settings that could do nothing in a run, refused: what the run alone tells."""

import os
from collections.abc import Collection

from resnetkit.errors import UsageError
from resnetkit.published import refuse_idle_unpinned
from resnetkit.run import Run
from resnetkit.spec import Spec
from resnetkit.specfile import find, title

GIVEN = "the weights are given"
UNTUNED = ("none", "trivialaugment")  # policies without strength or count
TUNING = ("allow_partial", "freeze_norms", "pull", "finetune", "frozen", "views", "head_cells")
TEACHING = ("teacher_share", "teacher_temperature", "teacher_features")  # how a teacher is heard


def refuse_idle(run: Run, given: Collection[str]) -> None:
    """A setting that was given and can change nothing in this run is an error, never silence."""
    idle = {
        f"the schedule is {run.schedule}": {"multistep": ("plateau_epochs",), "plateau": ("milestones",)}.get(
            run.schedule, ("milestones", "plateau_epochs", "gamma")
        ),
        f"the optimizer is {run.optimizer}": {
            "sgd": (),
            "muon": (),
            "rmsprop": ("nesterov",),
            "lars": ("nesterov",),
        }.get(run.optimizer, ("momentum", "nesterov")),
        f"the loss is {run.loss}": ("focal_gamma",) if run.loss != "focal" else (),
        f"fold {run.fold} says how much validates": ("val_share",) if run.fold is not None else (),
        "labels are not tags": ("separator",) if run.task in ("classes", "numbers") else (),
        f"a patience of {run.patience} ends the run before": ("plateau_epochs", "schedule")
        if run.schedule == "plateau" and run.patience is not None and run.patience <= run.plateau_epochs
        else (),
        "there is no momentum": ("nesterov",) if run.momentum == 0 and run.nesterov else (),
        f"the random crop is {run.crop}": ("crop_scale",) if run.crop in ("pad", "none") else (),
        "there are no weights to begin with": TUNING if run.weights == "none" else (),
        "weights that were not named fit whole": ("allow_partial",) if run.weights == "auto" else (),
        GIVEN: ("zero_init", "init") if run.weights not in ("none", "auto") else (),
        "there is no weight decay": ("decay_all",) if run.weight_decay == 0 else (),
        "there is no teacher": TEACHING if run.teacher is None else (),
        "no share of the loss is the teacher's": ("teacher_temperature",) if run.teacher_share == 0 else (),
        "all of the loss is the teacher's": ("smoothing", "focal_gamma")
        if run.teacher and run.teacher_share == 1
        else (),
        f"the policy is {run.policy}": ("policy_strength", "policy_count") if run.policy in UNTUNED else (),
        f"{title(run.model)} has no shortcuts": ("zero_init", "drop_path") if not branches(run.model) else (),
    }
    for why, names in idle.items():
        for name in names:
            if name in given:
                raise UsageError(f"--{name.replace('_', '-')} would have no effect: {why}", "leave it out")
    if run.teacher is not None and run.teacher_share == run.teacher_features == 0:
        what = "the teacher would have no effect: teacher_share and teacher_features are both 0"
        raise UsageError(what, "leave the teacher out, or give one of the two")
    if not os.path.lexists(run.weights):
        refuse_idle_unpinned(run.weights, run.allow_unpinned)
    elif run.allow_unpinned:
        raise UsageError("--allow-unpinned would have no effect: the weights are a file", "leave it out")
    if run.class_weights == run.sampling == "balanced":
        raise UsageError("class_weights and sampling both make up for rare classes", "give one of the two")


def branches(model: str) -> bool:
    """Whether the network adds branches to shortcuts."""
    spec = find(model)
    return spec.shortcut != "none" if isinstance(spec, Spec) else spec.family == "mobilenetv2"
