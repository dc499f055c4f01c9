"""How a network that comes with weights learns: its head alone, the last stages too, or all of it."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from resnetkit.errors import UsageError
from resnetkit.plan import Plan
from resnetkit.run import Run
from resnetkit.spec import Sides
from resnetkit.walk import rows, stage_name

ModeName = Literal["none", "head", "stages", "full"]
ENOUGH_LOOKS = 2000  # of which a head learns: more views of few pictures bring it near
MOST_VIEWS = 8
LEAST_VIEWS = 4  # where stages learn, which have more to remember pictures by
FEW = 2000  # pictures, from which on all stages learn
LARGEST = 4 << 30  # bytes of maps that a run learns from, all of which are in memory

# What an optimizer or its pictures are told, which nobody asks where a head is solved.
STEPS = """epochs steps patience batch accumulate optimizer lr momentum nesterov weight_decay decay_all schedule warmup
    milestones plateau_epochs gamma layer_decay clip ema l1 dropout inner_dropout drop_path sampling freeze_norms pull
    teacher teacher_share teacher_temperature teacher_features""".split()
# What needs the pictures of each step, where maps of them are kept.
BATCHES = ("mixup", "cutmix", "repeats", "teacher")
# Of the rate from nothing. The head is there already, so that the first gradients are no noise.
GENTLE = {"none": 1.0, "head": 1.0, "stages": 1.0, "full": 0.3}
# Of the way from nothing: how much sooner a network is there.
SOONER = {"none": 1, "head": 1, "stages": 10, "full": 5}
LOOKS = """crop crop_scale flip policy policy_strength policy_count jitter hue cutout erase""".split()


@dataclass(frozen=True)
class Mode:
    """What learns, and of which looks."""

    name: ModeName = "none"
    frozen: int = 0  # stages that stay as they are
    views: int = 0  # looks at each picture that are kept
    reason: str = ""  # where it was for us to choose

    @property
    def keeps_maps(self) -> bool:
        return self.name == "stages"


NONE = Mode()


def room(plan: Plan, stages: int, pictures: int, size: Sides) -> int:
    """In how many views the maps of so many pictures behind so many stages may be kept, as float32 numbers."""
    prefix = f"{stage_name(plan.family, stages - 1)}."
    last = [row for row in rows(plan, size) if row.name.startswith(prefix) and len(row.shape) > 1][-1]
    return int(LARGEST // (4 * prod(last.shape) * pictures))


def mode_of(run: Run, given: frozenset[str], plan: Plan, pictures: int, size: Sides) -> Mode:
    """The mode that was asked for, or one that fits the data. Raises UsageError for settings that are idle in it.

    Also where the maps of ``pictures`` of that ``size`` would be too large.
    """
    stages = len(plan.stages)
    name, reason = run.finetune, ""
    if name == "auto":
        kept = all(getattr(run, setting) == getattr(Run, setting) for setting in BATCHES)  # a recipe may ask too
        few = pictures <= FEW and kept and stages > 1 and room(plan, stages - 1, pictures, size)
        name = "stages" if few or "frozen" in given else "full"
        reason = f"for {pictures:,} pictures" if kept else "each step needs the pictures themselves"
    if name == "stages" and stages < 2:
        raise UsageError("a network of one stage has none to freeze", "--finetune head or full")
    if run.frozen is not None and (name != "stages" or run.frozen >= stages):
        why = f"with --finetune {name} the stages that learn are settled"
        if name == "stages":
            why = f"the network has {stages} stages, one of which has to learn"
        raise UsageError(
            f"--frozen {run.frozen} cannot be: {why}", f"--frozen 1 to {stages - 1}, with --finetune stages"
        )
    asking = [setting for setting in BATCHES if getattr(run, setting) != getattr(Run, setting)]
    if name == "stages" and asking:
        what = f"--{asking[0]} would have no effect with --finetune stages: maps of whole pictures are kept"
        raise UsageError(what, "leave it out, or --finetune full")
    frozen = {"head": stages, "stages": run.frozen or stages - 1}.get(name, 0)
    views = max(LEAST_VIEWS if name == "stages" else 1, min(MOST_VIEWS, ENOUGH_LOOKS // pictures))
    most = room(plan, frozen, pictures, size) if name == "stages" else views
    if max(1, run.views or 1) > most:
        raise UsageError(
            f"maps of {pictures:,} pictures in {run.views or 1} views behind {frozen} stages take more than "
            f"{LARGEST / 2**30:g} GB",
            f"--views {most}" if most else "--finetune full",
        )
    views = run.views or min(views, most)
    idle = {
        "no step is taken where a head is solved": STEPS if name == "head" else (),
        "maps of whole pictures are kept": BATCHES if name != "full" else (),
        "each picture is looked at once, as it is": LOOKS if views == 1 and name == "head" else (),
    }
    for why, names in idle.items():
        for setting in names:
            if setting in given:
                raise UsageError(
                    f"--{setting.replace('_', '-')} would have no effect with --finetune {name}: {why}", "leave it out"
                )
    return Mode(name, frozen, views, reason)
