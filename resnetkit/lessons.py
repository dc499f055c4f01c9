"""Before the first step of fine-tuning: maps of the pictures, and the head that is solved on what they end in."""

import time
from collections.abc import Generator, Mapping

import torch
from torch import Tensor

from resnetkit import mapstore
from resnetkit.answers import at_once
from resnetkit.engine.device import Machine
from resnetkit.engine.losses import loss_of, targets_of
from resnetkit.engine.maps import Frozen, Lessons, Looked, maps_of
from resnetkit.engine.solve import Features, Problem, Tried, tried
from resnetkit.engine.state import State
from resnetkit.engine.step import hits
from resnetkit.engine.stop import Stop
from resnetkit.job import Job
from resnetkit.sights import Sight, sights
from resnetkit.weights import put


def begin(job: Job, state: State, stop: Stop, *, has_head: bool) -> Generator[Looked | str, None, Lessons | None]:
    """All that comes before the first step: maps, if the run learns from them, and the head, if it has none yet.

    Gives the maps that the head was solved on. None where a stop came first, or where there is nothing to do.
    """
    mode, stages = job.settings.mode, len(job.settings.plan.stages)
    if mode.name == "none" or (has_head and not mode.freezes):
        return None
    found = yield from look(job, state, mode.frozen if mode.keeps_maps else stages, stop)
    if found is not None and not has_head:
        yield solve_head(job, state, found)
    return found


def look(job: Job, state: State, stages: int, stop: Stop) -> Generator[Looked | str, None, Lessons | None]:
    """The maps of all pictures to learn from and to choose by, behind ``stages`` stages. None where a stop came first.

    Those of the validation part are in float32, as evaluation is.
    """
    settings, found, begun = job.settings, [], time.monotonic()
    exact = Machine(job.machine.device, "fp32")
    for part, machine, views in (("train", job.machine, settings.mode.views), ("val", exact, 1)):
        frozen = Frozen(state.model, stages, machine)
        kept = mapstore.store(frozen.key(job.sets[part]))
        maps = yield from maps_of(
            frozen,
            job.sets[part],
            [row.digest for row in job.split if row.part == part],
            settings.augment,
            kept,
            views=views,
            seed=settings.run.seed,
            workers=job.workers,
            stop=stop,
        )
        if maps is None:
            return None
        yield from kept.notes
        yield from mapstore.bound(keep=kept.folder)
        found.append(maps)
    train, val = found
    size = sum(maps.numel() * maps.element_size() for maps in found) / 2**20
    what = "features" if stages == len(settings.plan.stages) else "maps"
    yield (
        f"{what} of {train.shape[1]:,} pictures to learn from, "
        f"{train.shape[0]} looks each, and of {len(val[0]):,} others: {time.monotonic() - begun:.1f} s, {size:,.1f} MB"
    )
    return Lessons(stages, train, val[0])


def solve_head(job: Job, state: State, lessons: Lessons) -> str:
    """Give the network the best linear head for its features, and say which. ``state.sums`` has what it reached."""
    settings, begun = job.settings, time.monotonic()
    objective = loss_of(settings, torch.device("cpu"))
    known = {part: torch.from_numpy(targets_of(job.sets[part].labels, settings)) for part in ("train", "val")}
    weights = job.sets["train"].weights
    counts = None if weights is None else torch.from_numpy(weights)
    views = ends(job, Frozen(state.model, lessons.stages, job.machine), lessons.train)
    val = ends(job, Frozen(state.model, lessons.stages, Machine(job.machine.device, "fp32")), lessons.val[None])
    found, problems = {}, {}
    for sight in sights(settings.plan):
        train, unseen = Features(sight.seen(views), known["train"], counts), Features(sight.seen(val), known["val"])
        problems[sight] = Problem.of(train, objective, len(settings.classes))
        found[sight] = min(tried(problems[sight], unseen, settings.run.seed), key=lambda one: one.unseen)
    widest, *others = found
    sight = next((one for one in others if found[one].surely_better(found[widest])), widest)
    solved = problems[sight].head(found[sight].strength, found[sight].place)
    best = sight.told(solved, settings.plan.features)
    head = state.model.get_classifier(name_only=True)
    for network in (state.model, state.judged):
        put(network, {f"{head}.weight": best.weight, f"{head}.bias": best.bias})
    n = len(known["train"])
    right = hits(best(views[0]), known["train"], settings.task)
    state.sums = {"loss": problems[sight].loss(solved) * n, "correct": right, "seen": n}
    return said(found, sight, time.monotonic() - begun)


def ends(job: Job, frozen: Frozen, maps: Tensor) -> Tensor:
    """Features (views, n, features) of maps (views, n, ...), which they are already behind all stages."""
    if frozen.all:
        return maps
    parts, device = maps.flatten(0, 1).split(at_once(job.settings.preprocess)), frozen.machine.device
    return torch.cat([frozen.ends(part.to(device), frozen.stages).cpu() for part in parts]).unflatten(0, maps.shape[:2])


def said(found: Mapping[Sight, Tried], chosen: Sight, seconds: float) -> str:
    losses = ", ".join(f"{tried.unseen:.3f} with {sight.name}" for sight, tried in found.items())
    return (
        f"head solved in {seconds:.1f} s on {chosen.name}, strength {found[chosen].strength:.2g}; "
        f"loss on pictures that it had not seen: {losses}"
    )
