"""A .pt2 file asked by torch, once nothing is in it but what our own files hold."""

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnetkit.errors import WeightsError, plain
from resnetkit.export.archive import cleaned
from resnetkit.export.metadata import BrokenError

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

Answers = dict[str, NDArray[np.float32]]
AGAIN = "export it anew with resnet export"


def open_program(
    model: Path | bytes,
    threads: int,
    until: str | None = None,
    precision: str = "fp32",
    *,
    quick: bool = False,  # noqa: ARG001  torch has no such way
) -> Callable[[NDArray[Any]], Answers]:
    """What goes in to what comes out, or to the value of the name ``until``; ``threads`` are those of all of torch.

    Raises WeightsError for a file that is not of our form, before torch sees it, or that torch cannot read.
    """
    import torch

    assert precision == "fp32"  # as the program was traced
    data, path = (model, "the program") if isinstance(model, bytes) else (model.read_bytes(), model)
    if threads:
        torch.set_num_threads(threads)
    try:
        program = loaded(cleaned(data))
        module: Any = program.module() if until is None else beginning(program, until)
    except BrokenError as error:
        raise WeightsError(f"{plain(path)} {error}", AGAIN) from None
    except Exception as error:  # torch raises what it likes
        reason = plain(str(error).strip().partition("\n")[0])[:200]
        raise WeightsError(f"torch {torch.__version__} cannot read {plain(path)}: {reason}", AGAIN) from error

    @torch.inference_mode()
    def ask(x: NDArray[Any]) -> Answers:
        try:
            found = module(torch.from_numpy(np.require(x, requirements=["C", "W"])))
        except RuntimeError as error:
            reason = plain(str(error).strip().partition("\n")[0])[:200]
            raise WeightsError(f"{plain(path)} cannot be run: {reason}", AGAIN) from error
        return {until: found.numpy()} if until else {name: value.numpy() for name, value in found.items()}

    return ask


def loaded(data: BytesIO) -> "ExportedProgram":
    """What torch makes of a file, without the tracebacks that it writes to its log on the way."""
    import torch

    log = logging.getLogger("torch.export")
    before, log.disabled = log.disabled, True
    try:
        return torch.export.load(data)
    finally:
        log.disabled = before


def beginning(program: "ExportedProgram", until: str) -> "GraphModule":
    """The part of a program up to the value of a name."""
    from torch.fx.graph import CodeGen

    module: GraphModule = program.module()
    nodes = list(module.graph.nodes)
    (last,) = (i for i, node in enumerate(nodes) if node.name == until)
    nodes[-1].args = (nodes[last],)
    for node in reversed(nodes[last + 1 : -1]):  # some of which write over what they take, and so are never dead
        module.graph.erase_node(node)
    module.graph.set_codegen(CodeGen())  # without the names of what comes out
    module.graph.eliminate_dead_code()
    module.recompile()
    return module
