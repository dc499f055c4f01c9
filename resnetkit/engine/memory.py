"""Memory: how much is free, how much a step takes, and in how many parts a batch goes through the network for it."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnetkit import cost
from resnetkit.engine.device import DTYPES, Machine
from resnetkit.errors import ResourceError
from resnetkit.settings import Settings

ROOM = 0.9  # of what is free: others need some too
COPIES = 8  # of the weights: gradient, two moments, running mean, best epoch, and what is being saved
SHORT = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc", "bad allocation")


@dataclass(frozen=True)
class Need:
    """Bytes that training takes beside the network itself: about as many, rather more than fewer."""

    fixed: int  # in however many parts: copies of the weights, and the batch as pictures
    picture: int  # more for each picture of a part

    def of(self, pictures: int) -> int:
        """Bytes where ``pictures`` go through the network at a time."""
        return self.fixed + pictures * self.picture


def need(settings: Settings, machine: Machine, workers: int) -> Need:
    run, seen, weights = settings.run, settings.preprocess, cost.totals(settings.plan).parameters
    numbers = 4 if run.mixup or run.cutmix else 1  # float32 copies of a batch
    pixels = settings.batch * seen.size[0] * seen.size[1] * seen.channels
    width = DTYPES[machine.precision].itemsize
    told, taught = 0, 0
    if settings.teacher:
        plan, size = settings.teacher.plan, settings.teacher.preprocess.size
        told = cost.totals(plan).parameters * 4
        taught = cost.pass_bytes(plan, size, width) + 4 * 4 * plan.channels * size[0] * size[1]
    return Need(
        fixed=weights * 4 * (COPIES + (run.pull > 0)) + pixels * (workers + 2 + 4 * numbers) + told,
        picture=cost.step_bytes(settings.plan, seen.size, width) + taught,
    )


def parts_for(settings: Settings, machine: Machine, workers: int) -> int:
    """In how many parts a batch goes through the network: as many as asked for, else the fewest that fit."""
    return settings.run.accumulate or fewest_parts(settings, machine, workers)


def fewest_parts(settings: Settings, machine: Machine, workers: int) -> int:
    """1, 2, 4 and so on, the first that fits. ResourceError where none does.

    Only a CPU is asked, whose system ends a process that takes too much; of a GPU the first steps show it.
    """
    room, parts = free(machine), 1
    if room is None:
        return parts
    wanted, most = need(settings, machine, workers), most_parts(settings)
    while wanted.of(-(-settings.batch // parts)) > room:
        if parts == most:
            reason = f": about {gigabytes(wanted.of(-(-settings.batch // parts)))}, and {gigabytes(room)} may be taken"
            raise none_fits(settings, reason, fitting_size(settings, machine, workers, room))
        parts = min(2 * parts, most)
    return parts


def most_parts(settings: Settings) -> int:
    """A part has at least one picture; where the last map has one point, two, or its norm would have nothing to do."""
    one_point = not settings.freeze_norms and all(side <= settings.plan.reduction for side in settings.preprocess.size)
    return max(1, settings.batch // 3) if one_point else settings.batch


def parted(settings: Settings, parts: int) -> str:
    """What to say where a batch goes through in parts that nobody asked for."""
    return (
        f"memory is short: each batch of {settings.batch:,} goes through {settings.model} in {parts:,} parts; batch "
        f"and learning rate stay, norms see a part at a time (--accumulate {parts} repeats it elsewhere)"
    )


def none_fits(settings: Settings, reason: str = "", size: int | None = None) -> ResourceError:
    """What is wrong where the smallest part is too large; ``size`` is one that would not be."""
    height, width = settings.preprocess.size
    few = -(-settings.batch // most_parts(settings))
    return ResourceError(
        f"memory is short for {settings.model} at {height}x{width} with batches of {settings.batch:,}, even with {few} "
        f"picture{'s' * (few > 1)} at a time{reason}",
        (f"--size {size}, " if size else "a smaller --size, ") + "a smaller --batch or a smaller network",
    )


def fitting_size(settings: Settings, machine: Machine, workers: int, room: int) -> int | None:
    """The first half, quarter and so on of the size at which the smallest part fits."""
    side, few = max(settings.preprocess.size) // 2, -(-settings.batch // most_parts(settings))
    while side >= 32:
        smaller = replace(settings, preprocess=replace(settings.preprocess, size=(side, side)))
        if need(smaller, machine, workers).of(few) <= room:
            return side
        side //= 2
    return None


def is_short(error: BaseException) -> bool:
    """Whether memory was refused: on a GPU by its own error, on a CPU by one that only its words tell."""
    told = type(error) is RuntimeError and any(words in str(error).lower() for words in SHORT)
    return told or isinstance(error, torch.OutOfMemoryError | MemoryError)


def free(machine: Machine) -> int | None:
    """Bytes that a run on this CPU may still take; None where the system does not say, or the device has its own."""
    if machine.device.type != "cpu" or sys.platform != "linux":
        return None
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    rooms = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    rooms += group_rooms(Path("/proc/self/cgroup").read_text(encoding="utf-8"), Path("/sys/fs/cgroup"))
    rooms += address_room()
    return int(min(rooms) * ROOM) if rooms else None


def group_rooms(groups: str, mount: Path) -> list[int]:
    """What control groups, such as those of containers, leave: of each limit the part that is not in use.

    ``groups`` is the text of /proc/self/cgroup; files that were read and can be dropped are not in use.
    """
    rooms = []
    for line in groups.splitlines():
        _, kinds, name = line.split(":", 2)
        if kinds == "":  # the second version
            top, limit, used = mount, "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            top, limit, used = mount / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        inner = top / name.lstrip("/")
        for folder in [inner, *(above for above in inner.parents if above == top or top in above.parents)]:
            try:
                most, now = (int((folder / file).read_text()) for file in (limit, used))
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                rooms.append(max(0, most - now + int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))))
            except (OSError, ValueError):  # not there, or "max", which is none
                continue
    return rooms


def address_room() -> list[int]:
    """What ulimit -v leaves, where it is set."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY:
        return []
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    return [max(0, most - now)]


def gigabytes(count: int) -> str:
    return f"{count / 2**30:.2g} GiB" if count < 10 * 2**30 else f"{count / 2**30:,.0f} GiB"
