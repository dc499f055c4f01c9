"""How a network that comes with weights learns: its head alone, the last stages too, or all of it."""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from resnetkit.errors import UsageError
from resnetkit.plan import Plan
from resnetkit.run import Run
from resnetkit.spec import Sides
from resnetkit.units import Taps
from resnetkit.walk import map_shape

ModeName = Literal["none", "head", "stages", "full"]
ENOUGH_LOOKS = 2000  # of which a head learns: more views of few pictures bring it near
MOST_VIEWS = 4
LEAST_VIEWS = 4  # where stages learn, which have more to remember pictures by
VERY_FEW = 1000  # pictures, up to which a head alone mostly does as well as all stages that learn
FEW = 2000  # pictures, from which on all stages learn
LARGEST = 4 << 30  # bytes of maps that a run learns from, all of which are in memory
CELLS = (4, 2, 1)  # along each side of each map that the head sees, of which those are taken that fit
MOST_FEATURES = 4096  # that a head is solved on
MOST_ASKED = 4 * MOST_FEATURES  # where somebody says how many cells
MOST_BYTES = 1 << 30  # of features, several copies of which are in memory while it is solved

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
ALIVE = {*STEPS, *BATCHES, "frozen"}  # settings that ask for steps
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
        """Whether steps are taken behind the stages that stay, on maps in place of pictures."""
        return self.name == "stages"

    @property
    def freezes(self) -> bool:
        """Whether maps stay true to the end of the run."""
        return self.name in ("head", "stages")


NONE = Mode()


def room(plan: Plan, stages: int, pictures: int, size: Sides) -> int:
    """In how many views the maps of so many pictures behind so many stages may be kept, as float32 numbers."""
    return int(LARGEST // (4 * prod(map_shape(plan, stages, size)) * pictures))


def tapped(run: Run, plan: Plan, mode: Mode, pictures: int) -> Plan:
    """The network with a head that sees the maps of all stages, or of those behind the ones that stay as they are.

    Raises UsageError where a number of cells was asked for that cannot be.
    """
    plan = replace(plan, taps=None)
    if mode.name == "none" or (run.head_cells is None and mode.name != "head") or run.head_cells == 0:
        return plan
    if run.head_cells is not None and not plan.ndim:
        raise UsageError("--head-cells is for maps, and this network is of vectors", "leave it out, or --head-cells 0")
    first = max(0, mode.frozen - 1) if mode.keeps_maps else 0
    for cells in (run.head_cells,) if run.head_cells else CELLS if plan.ndim else ():
        found = replace(plan, taps=Taps(first, cells))
        size = 4 * found.features * pictures * max(1, mode.views)
        if found.features <= (MOST_ASKED if run.head_cells else MOST_FEATURES) and size <= MOST_BYTES:
            return found
    if run.head_cells:
        if found.features > MOST_ASKED:
            what = f"a head of {found.features:,} numbers, of which at most {MOST_ASKED:,} are"
            raise UsageError(f"--head-cells {run.head_cells} is {what}", "fewer cells, or leave it out")
        what = f"{found.features:,} features of {pictures:,} pictures take more than {MOST_BYTES / 2**30:g} GB"
        raise UsageError(f"--head-cells {run.head_cells} cannot be: {what}", "fewer cells, or --head-cells 0")
    return plan


def mode_of(run: Run, given: frozenset[str], plan: Plan, pictures: int, size: Sides) -> Mode:
    """The mode that was asked for, or one that fits the data. Raises UsageError for settings that are idle in it.

    Also where the maps of ``pictures`` of that ``size`` would be too large.
    """
    stages, name, reason = len(plan.stages), run.finetune, ""
    if name == "auto":
        name, reason = suited(run, given, plan, pictures, size)
    refuse_stages(run, name, stages)
    frozen = {"head": stages, "stages": run.frozen or stages - 1}.get(name, 0)
    views = looks(run, name, pictures, room(plan, frozen, pictures, size) if name == "stages" else None)
    refuse_idle(run, given, name, views)
    return Mode(name, frozen, views, reason)


def suited(
    run: Run, given: frozenset[str], plan: Plan, pictures: int, size: Sides
) -> tuple[Literal["head", "stages", "full"], str]:
    """What learns where nobody says, and why: the cheapest that does as well as the others on so many pictures."""
    asking = {one for one in ALIVE if one in given or getattr(run, one) != getattr(Run, one)}  # a recipe gives nothing
    if pictures <= VERY_FEW and not asking:
        return "head", f"for {pictures:,} pictures; --finetune full takes far longer, and is seldom better"
    if asking.intersection(BATCHES):
        return "full", "each step needs the pictures themselves"
    reason, last = f"for {pictures:,} pictures", len(plan.stages) - 1
    if pictures <= VERY_FEW:
        reason = f"{min(asking).replace('_', '-')} asks for steps"
    few = pictures <= FEW and last and room(plan, last, pictures, size)
    return "stages" if few or "frozen" in given else "full", reason


def refuse_stages(run: Run, name: str, stages: int) -> None:
    """UsageError where stages cannot stay, or what is asked for needs all to learn."""
    if name == "stages" and stages < 2:
        raise UsageError("a network of one stage has none to freeze", "--finetune head or full")
    if run.frozen is not None and (name != "stages" or run.frozen >= stages):
        why = f"with --finetune {name} the stages that learn are settled"
        if name == "stages":
            why = f"the network has {stages} stages, one of which has to learn"
        raise UsageError(
            f"--frozen {run.frozen} cannot be: {why}", f"--frozen 1 to {stages - 1}, with --finetune stages"
        )
    mixing = [setting for setting in BATCHES if getattr(run, setting) != getattr(Run, setting)]
    if name == "stages" and mixing:
        what = f"--{mixing[0]} would have no effect with --finetune stages: maps of whole pictures are kept"
        raise UsageError(what, "leave it out, or --finetune full")


def looks(run: Run, name: str, pictures: int, most: int | None) -> int:
    """At each picture, of which at most so many fit. Raises UsageError where not even one does, or those asked for."""
    if most is not None and max(1, run.views or 1) > most:
        raise UsageError(
            f"maps of {pictures:,} pictures in {run.views or 1} views take more than {LARGEST / 2**30:g} GB",
            f"--views {most}" if most else "--finetune full",
        )
    least = LEAST_VIEWS if name == "stages" else 1
    usual = max(least, min(MOST_VIEWS, ENOUGH_LOOKS // pictures))
    return run.views or (usual if most is None else min(usual, most))


def refuse_idle(run: Run, given: frozenset[str], name: str, views: int) -> None:
    """UsageError for a setting that was given, or came with a recipe, and could do nothing in a mode."""
    for setting in STEPS if name == "head" else ():
        if setting not in given and getattr(run, setting) != getattr(Run, setting):
            what = f"{setting} {getattr(run, setting)} of the recipe would have no effect with --finetune head"
            raise UsageError(f"{what}: no step is taken", "leave the recipe out, or --finetune stages or full")
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
