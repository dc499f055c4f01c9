"""The instructions of a checkpoint, walked through without being followed.

A pickle is a program. Before torch reads one, this room looks at which functions it names, how deep and how large
what it builds would be. Archives are measured from their directory before anything in them is unpacked.
"""

import os
import re
from collections.abc import Iterable
from io import BytesIO
from pickletools import genops, markobject
from typing import BinaryIO
from zipfile import ZIP_STORED, ZipFile

from resnetkit.errors import WeightsError, plain, some

MAX_PICKLE = 16 * 2**20  # bytes of instructions: a thousandth of this is usual
MAX_STEPS = 1_000_000  # instructions
MAX_NODES = 5_000_000  # of what is built, where a part that is used twice counts twice
MAX_DEPTH = 64
MAGIC = 0x1950A86A20F9469CFC6C  # the first thing in a torch.save of before 1.6, followed by four more pickles
DIRECTORY = 8 * 2**20  # bytes of a zip archive's list of members

# The instructions that torch.save writes; torch's reader of weights knows no others.
STEPS = set(
    """
    PROTO STOP MARK GLOBAL REDUCE BUILD NEWOBJ BINPERSID APPEND APPENDS SETITEM SETITEMS TUPLE TUPLE1 TUPLE2 TUPLE3
    NONE NEWTRUE NEWFALSE EMPTY_TUPLE EMPTY_LIST EMPTY_DICT EMPTY_SET BININT BININT1 BININT2 BINFLOAT LONG1
    BINUNICODE SHORT_BINSTRING BINGET LONG_BINGET BINPUT LONG_BINPUT
    """.split()
)
EXTENDS = {"BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS"}
# What checkpoints name: how tensors are put together, and what optimizers and schedulers keep beside them.
GLOBALS = set(
    """
    collections.OrderedDict collections.Counter builtins.set __builtin__.set torch.Size torch.device
    torch._utils._rebuild_tensor torch._utils._rebuild_tensor_v2 torch._utils._rebuild_parameter
    torch.DoubleStorage torch.FloatStorage torch.HalfStorage torch.BFloat16Storage torch.LongStorage
    torch.IntStorage torch.ShortStorage torch.CharStorage torch.ByteStorage torch.BoolStorage
    torch.float64 torch.float32 torch.float16 torch.bfloat16 torch.int64
    """.split()
)
# What they may name and we have no use for, in words.
UNFIT = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without data (meta)",
    "torch._utils._rebuild_wrapper_subclass": "a tensor of a class of its own",
    "torch._utils._rebuild_tensor_v3": "a tensor of an unusual dtype",
    "torch.ComplexFloatStorage": "complex numbers",
    "torch.ComplexDoubleStorage": "complex numbers",
    "torch.QInt8Storage": "quantized numbers",
    "torch.QUInt8Storage": "quantized numbers",
    "torch.QInt32Storage": "quantized numbers",
}

AGAIN = "copy or download it again"
SAVE = "where it was made, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"


def check_instructions(file: BinaryIO, size: int, what: str) -> None:
    """WeightsError for a checkpoint that is more than weights, or more than its size allows."""
    first = file.read(2)
    file.seek(0)
    if first == b"PK":
        walk_pickles(BytesIO(open_archive(file, size, what)), 1, what)
    elif first[:1] == b"\x80":
        walk_pickles(BytesIO(file.read(MAX_PICKLE)), 5, what)
    else:
        raise WeightsError(f"{what} is a tar archive, as torch.save wrote before version 0.1.10", SAVE)


def open_archive(file: BinaryIO, size: int, what: str) -> bytes:
    """The instructions in a zip archive, whose members must be what torch.save writes: stored plainly, end to end."""
    check_tail(file, what)
    with ZipFile(file) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        insides = [name.partition("/")[2] for name in names]  # torch.save puts all in one folder of any name
        if any(name == "constants.pkl" or name.startswith("code/") for name in insides):
            raise WeightsError(f"{what} is a TorchScript program, not weights: it is not loaded", SAVE)
        if "data.pkl" not in insides:
            raise WeightsError(f"{what} is a zip archive, but not a PyTorch checkpoint", "name a .pth file")
        if len({name.lower() for name in names}) != len(names) or insides.count("data.pkl") != 1:
            raise WeightsError(f"{what} has two members of one name", AGAIN)
        for member, inside in zip(members, insides, strict=True):
            name = plain(member.filename)
            if member.flag_bits & 1:
                raise WeightsError(f"{what} is encrypted: {name}", SAVE)
            if member.compress_type != ZIP_STORED or member.file_size != member.compress_size:
                packed = f"{member.compress_size} bytes that say they are {member.file_size}"
                raise WeightsError(
                    f"{what} has a compressed member, as torch.save never writes: {name}, {packed}", SAVE
                )
            if inside.startswith("data/") and not re.fullmatch(r"data/[0-9]{1,9}", inside):
                raise WeightsError(f"{what} has a member that torch.save never writes: {name}", SAVE)
        if sum(member.file_size for member in members) > size:
            raise WeightsError(f"{what} has members that overlap", AGAIN)
        for member in members:
            if member.CRC:  # zero where whoever saved it switched the sums off
                with archive.open(member) as stream:
                    while stream.read(2**20):
                        pass
        pickle = members[insides.index("data.pkl")]
        if not pickle.CRC:
            del pickle.CRC  # zipfile compares nothing then
        if pickle.file_size > MAX_PICKLE:
            raise WeightsError(f"{what} has {pickle.file_size} bytes of instructions", SAVE)
        return archive.read(pickle)


def check_tail(file: BinaryIO, what: str) -> None:
    """The end of an archive must be its end, so that torch reads the same list of members; and that list short."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 98))
    tail = file.read().rjust(98, b"\0")
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise WeightsError(f"{what} is truncated: it has {end} bytes and not the end of its archive", AGAIN)
    sizes = [int.from_bytes(tail[-10:-6], "little")]
    if tail[:4] == b"PK\x06\x06":  # the same for archives above 4 GB
        sizes.append(int.from_bytes(tail[40:48], "little"))
    if max(sizes) > DIRECTORY:
        raise WeightsError(f"{what} has too many members", SAVE)


def walk_pickles(stream: BytesIO, count: int, what: str) -> None:
    """Look through some pickles, one after another; WeightsError unless they only put weights together."""
    named: list[str] = []
    try:
        for i in range(count):
            first = walk(stream, named, what)
            if count > 1 and i == 0 and first != MAGIC and not named:
                raise WeightsError(f"{what} is a pickle, but not a PyTorch checkpoint", SAVE)
            if named:
                break
    except (ValueError, LookupError, OverflowError):
        if not named:
            raise
    refuse_globals(named, what)


def walk(stream: BytesIO, named: list[str], what: str) -> object:
    """Follow the shape of one pickle and nothing else. Adds the names that weights do not need to ``named``.

    Everything on the stack is stood for by how deep and how large it is. Returns the first number or word.
    """
    stack: list[tuple[int, int]] = []
    marks: list[int] = []
    memo: dict[object, tuple[int, int]] = {}
    nodes, words, first, odd = 0, ["", ""], None, ""
    for count, (step, value, _) in enumerate(genops(stream)):
        if step.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            name = str(value).replace(" ", ".") if value else ".".join(words)
            if name not in GLOBALS and name not in named:
                named.append(name)
        if isinstance(value, str):
            words = [words[1], value]
        if count > MAX_STEPS:
            raise WeightsError(f"{what} holds far more than weights", SAVE)
        odd = odd or ("" if step.name in STEPS else step.name)
        if odd:  # it will be refused: only the names in the rest of it are of interest
            continue
        first = value if first is None and step.name != "PROTO" else first
        if "PUT" in step.name:
            memo[value] = stack[-1]
            continue
        if step.name == "MARK":
            marks.append(len(stack))
            continue
        taken: list[tuple[int, int]] = []
        below = len(step.stack_before)
        if markobject in step.stack_before:
            below = step.stack_before.index(markobject)
            mark = marks.pop()
            taken = stack[mark:]
            del stack[mark:]
        base = stack[len(stack) - below :]
        del stack[len(stack) - below :]
        if "GET" in step.name:
            result = memo[value]
        elif step.name in EXTENDS:
            result = (max(base[0][0], 1 + deepest(base[1:] + taken)), sum(n for _, n in base + taken))
        else:
            result = (1 + deepest(base + taken), 1 + sum(n for _, n in base + taken))
        stack.extend([result] * len(step.stack_after))
        nodes += result[1] if "GET" in step.name else 1
        if result[0] > MAX_DEPTH:
            raise WeightsError(f"{what} nests more than {MAX_DEPTH} deep", SAVE)
        if nodes > MAX_NODES:
            raise WeightsError(f"{what} holds far more than weights", SAVE)
    if odd and not named:
        raise WeightsError(f"{what} holds an instruction that torch.save does not write: {odd}", SAVE)
    return first


def deepest(parts: Iterable[tuple[int, int]]) -> int:
    return max((depth for depth, _ in parts), default=0)


def refuse_globals(named: list[str], what: str) -> None:
    """WeightsError for names in a pickle that weights do not need, in the words of what it seems to be."""
    if not named:
        return
    if any(name.startswith("torch.nn.modules.") for name in named):
        raise WeightsError(f"{what} is a whole pickled model, which is a program ({some(named, 2)})", SAVE)
    if named[0] in UNFIT:
        raise WeightsError(f"{what} holds {UNFIT[named[0]]}, and a layout or dtype that is not allowed", SAVE)
    raise WeightsError(f"{what} is not weights alone: it asks for {some(named)}", SAVE)
