"""A model becomes a file for a runtime: drawn, tried beside its place, and moved there if it answers as it should."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from resnetkit.errors import LONGEST, KitError, ResourceError, UsageError, WeightsError, plain
from resnetkit.export.graph import Takes, drawing
from resnetkit.export.guard import paired, sealed
from resnetkit.export.int8 import Lowering
from resnetkit.export.metadata import PROOF, about, is_export
from resnetkit.export.parted import Parted
from resnetkit.export.proof import Proof, Prover
from resnetkit.export.runtimes import RUNTIMES, Runtime
from resnetkit.export.samples import Asked
from resnetkit.export.traced import traced
from resnetkit.files import hint, write_bytes
from resnetkit.modelfile import Card, canonical
from resnetkit.network import Network

DRAWN = {"torch": traced}  # where it is not a graph of ONNX that the file is made of


def write(
    card: Card,
    network: Network,
    to: str,
    out: Path,
    takes: Takes,
    asked: Callable[[], Sequence[Asked]],
    data: str | None,
    lower: tuple[float, Callable[[], Parted]] | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[str, Proof]:
    """Write a checked file for a runtime, and say how it is loaded. ``asked`` reads the pictures of ``data``.

    ``lower`` asks for one of 8 bits: how many points it may lose, and what finds the parts of ``data`` for it;
    ``tell`` hears how far that is.
    Raises UsageError for an ``out`` that cannot be meant, WeightsError for a file that does not answer as the network,
    which is not kept, ResourceError where a package or a place is missing.
    """
    runtime = RUNTIMES[to]
    check_out(out, runtime)
    network = deepcopy(network).float().cpu().eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch answers faster
    texts = about(card, network.state_dict(), takes)
    try:
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name[:100]}.") as folder:
            beside = Path(folder) / f"file{out.suffix}"
            pictures = asked()
            lowered = None
            if to in DRAWN:
                graph = DRAWN[to](card, network, takes, {})
            else:
                picture = drawing(card, network, takes)
                if lower:
                    max_drop, find = lower
                    work = Lowering(card, picture, takes, to, find(), Path(folder), torch.get_num_threads(), tell)
                    picture, lowered = work.lowered(max_drop)
                graph = picture.to_bytes({})
            runtime.save(graph, beside)
            if tell and data:
                tell(f"trying the file on {len(pictures):,} pictures")
            proof = Prover(beside, runtime, card, network, takes, lowered).prove(pictures, data and Path(data).name)
            runtime.note(beside, sealed(beside, texts | {PROOF: canonical(proof.as_dict())}))
            parts = [beside.with_suffix(suffix).read_bytes() for suffix in runtime.suffixes]
    except KitError:
        raise
    except OSError as error:
        raise ResourceError(f"{plain(out)} could not be written: {error.strerror or error}", hint(error)) from error
    except Exception as error:  # runtimes raise what they like
        what = f"the exported {card.model} cannot be run in {runtime.says}, and is not kept: {plain(error)[:LONGEST]}"
        fix = f"free some memory, install another version of {runtime.name}, or export to another runtime"
        raise WeightsError(what, fix) from error
    keep(out, runtime, parts)
    return runtime.how.replace("{file}", repr(str(out))), proof


def check_out(out: Path, runtime: Runtime) -> None:
    suffix, *others = runtime.suffixes
    if out.suffix != suffix:
        raise UsageError(f"{plain(out)} would be a {suffix} file", f"name it so: --out NAME{suffix}")
    there = [path for path in (out, *map(out.with_suffix, others)) if exists(path)]
    if there and not is_export(out):
        raise UsageError(f"{plain(there[0])} is there and is not an export", "name another file to write")
    for path in there[1:]:
        if path.is_symlink() or not path.is_file() or not paired(out):
            raise UsageError(f"{plain(path)} is there and is not part of {plain(out)}", "name another file to write")


def exists(path: Path) -> bool:
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def keep(out: Path, runtime: Runtime, parts: Sequence[bytes]) -> None:
    """Write every part, the named one last; where one cannot be written none is left."""
    try:
        for suffix, data in reversed(list(zip(runtime.suffixes, parts, strict=True))):
            write_bytes(out.with_suffix(suffix), data)
    except BaseException:
        if len(parts) > 1:
            for suffix in runtime.suffixes:
                out.with_suffix(suffix).unlink(missing_ok=True)
        raise
