"""What an exported file says of itself: everything that our model file says beside its weights, and how it was checked.

Texts by name, each of them JSON, in the metadata of ONNX, in ``rt_info`` of OpenVINO and in ``extra`` of torch's file.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import resnetkit
from resnetkit.errors import WeightsError, plain
from resnetkit.modelfile import Card, canonical, card_from_json, to_json
from resnetkit.safetensor import need, open_regular, reason, serialize, strict_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
MARK = "exported_by"  # a file that has it may be replaced by another export
PROOF = "proof"
WEIGHED = "numbers_sha256"  # over the numbers of its constants
SEAL = "sha256"  # over all of a file but those and itself
KEY = "resnetkit"  # that the texts of an OpenVINO file stand under
TAIL = 16 << 20  # bytes at the end of a file, where its metadata are


class BrokenError(ValueError):
    """A file that is not what it should be; the message says where."""


def about(card: Card, state: "Mapping[str, Tensor]", takes: str) -> dict[str, str]:
    """The texts of a file, but for its proof. ``takes`` is "picture" or "tensor"."""
    says = to_json(card) | {
        "task": card.task,
        "format": FORMAT,
        "input": takes,
        "weights_sha256": sha256(serialize(state, {})).hexdigest(),
        MARK: f"resnetkit {resnetkit.__version__}",
    }
    return {name: canonical(value) for name, value in sorted(says.items())}


def card_of(texts: Mapping[str, str], path: Path) -> tuple[Card, str]:
    """What the texts of a file say of its model, and what it takes. Raises WeightsError naming the file."""
    if MARK not in texts:
        raise WeightsError(
            f"{plain(path)} does not say what its pictures are to be like, nor what its answers mean",
            "use a file that resnet export wrote",
        )
    try:
        says = {name: strict_json(text) for name, text in texts.items()}
        need(says.pop("format") == FORMAT, "format", f"must be {FORMAT}")
        takes = says.pop("input")
        need(takes in ("picture", "tensor"), "input", "must be picture or tensor")
        for name in ("weights_sha256", MARK, PROOF, WEIGHED, SEAL):
            says.pop(name)
        if says["task"] == "classes":
            del says["task"]
        return card_from_json(says), str(takes)
    except Exception as error:  # noqa: BLE001  whatever nonsense stands there, the file is what is wrong
        what = f"the metadata of {plain(path)} are damaged: {plain(reason(error))}"
        raise WeightsError(what, "export it anew") from None


def precision_of(texts: Mapping[str, str]) -> str:
    """fp32, or int8 where the proof of a file says so."""
    try:
        proof = strict_json(texts[PROOF])
    except ValueError:
        return "fp32"
    return "int8" if isinstance(proof, dict) and proof.get("precision") == "int8" else "fp32"


def is_export(path: Path) -> bool:
    """Whether a file bears our mark; False for what is no regular file or cannot be read."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            tail = file.read()
    except (WeightsError, OSError):
        return False
    # ONNX: the texts come last, each as its name and its value; OpenVINO: an element of that name.
    onnx = MARK.encode() + rb"\x12.\"resnetkit [^\"]*\""
    torch = rb"extra/" + MARK.encode() + rb"\"resnetkit [^\"]*\""  # a member of a zip that is stored as it is
    openvino = rb"<" + MARK.encode() + rb" value=\"&quot;resnetkit [^\"]*&quot;\""
    return re.search(rb"|".join((onnx, openvino, torch)), tail, re.DOTALL) is not None
