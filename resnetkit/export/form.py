"""What the programs look like that we write for torch: every operator, name and number that one may hold.

torch.export.load believes its file: it looks operators up by name in all of torch, hands formulas to sympy, which
evaluates them as Python, compiles names and guards into a function, and unpickles whatever is said to be pickled
(torch 2.13.0: torch/_export/serde/serialize.py, torch/export/pt2_archive/_package.py). So nothing is handed to it that
does not have this form, in which there is nothing to run but the operators below, and nothing pickled.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from keyword import iskeyword
from math import isfinite, prod
from typing import Any

from resnetkit.export.metadata import BrokenError

Check = Callable[[Any], None]  # raises BrokenError
PICTURES, TENSOR = "pictures", "tensor"  # what goes in
LONGEST = 4000  # letters of a name or a formula
# Whole numbers, those of a picture's sides among them, and then tensors.
SCALARS = {f"_operator.{name}" for name in "add sub mul floordiv mod neg".split()}
SCALARS |= {"torch.sym_max", "torch.sym_min"}
TENSORS = {
    f"torch.ops.aten.{name}"
    for name in """
    __and__.Tensor abs.default adaptive_avg_pool2d.default add.Tensor add_.Tensor
    amax.default avg_pool2d.default batch_norm.default cat.default chunk.default clamp.default contiguous.default
    conv1d.default
    conv2d.default cumsum.default div.Tensor div.Tensor_mode expand.default flatten.using_ints floor.default ge.Scalar
    gelu.default group_norm.default gt.Scalar hardtanh_.default leaky_relu_.default linear.default lt.Scalar
    matmul.default max_pool2d.default mean.dim mul.Tensor new_ones.default ones_like.default pad.default
    permute.default relu.default relu_.default reshape.default rsqrt.default rsub.Scalar select.int sigmoid.default
    silu.default silu_.default slice.Tensor softmax.int sub.Tensor sum.dim_IntList sym_size.int to.dtype transpose.int
    unbind.int unsqueeze.default view.default view_as.default where.self zeros_like.default
    """.split()
}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,80}")
SYMBOL = re.compile(r"s[0-9]{1,9}")
# A formula as sympy spells it out: functions of symbols and whole numbers.
FORMULA = re.compile(
    r"(?:(?:Add|Mul|Max|Min|FloorDiv|Mod|PythonMod)\(|Symbol\('s[0-9]{1,9}', positive=True, integer=True\)"
    r"|Integer\(-?[0-9]{1,12}\)|, |\))*"
)
BYTES = {5: 8, 7: 4}  # of each number, in the kinds that weights have: int64 and float32, by torch's numbers for them
IN_SPEC = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": [{"type": "builtins.tuple", "context": "null",'
    ' "children_spec": [{"type": null, "context": null, "children_spec": []}]}, {"type": "builtins.dict", "context":'
    ' "[]", "children_spec": []}]}]'
)
LEAF = '{"type": null, "context": null, "children_spec": []}'
OUT_SPEC = re.compile(
    re.escape('[1, {"type": "builtins.dict", "context": "[')
    + r'(?:\\"(?:logits|probabilities|numbers)\\"(?:, )?)+'
    + re.escape(']", "children_spec": [')
    + rf"(?:{re.escape(LEAF)}(?:, )?)+"
    + re.escape("]}]")
)


def checked_program(program: Any) -> None:
    """Raises BrokenError for a program, as JSON has it, that is not of our form."""
    each(
        program,
        "a program",
        graph_module=checked_module,
        opset_version=lambda value: each(value, "a version", aten=whole),
        range_constraints=lambda value: every(value, SYMBOL, limits),
        schema_version=lambda value: each(value, "a version", major=whole, minor=whole),
        verifiers=lambda value: need(value == ["TRAINING"], "another verifier"),
        torch_version=lambda value: matches(value, VERSION),
    )


def checked_weights(config: Any, lengths: Mapping[str, int]) -> None:
    """Raises BrokenError for a table of weights that is not of our form; ``lengths`` are the bytes of each file."""

    def weight(value: Any) -> None:
        each(
            value,
            "a weight",
            path_name=lambda path: need(isinstance(path, str) and path in lengths, "a weight without a file"),
            is_param=flag,
            tensor_meta=meta,
        )
        about = value.get("tensor_meta") or {}
        sizes = [size.get("as_int", 0) for size in about.get("sizes") or ()]
        length = prod(sizes) * BYTES.get(about.get("dtype") or 0, 0)
        need(length == lengths.get(value.get("path_name"), 0) > 0, "a length that lies")

    need(isinstance(config, dict) and set(config) == {"config"}, "a table of other things")
    every(config["config"], PATH, weight)


def checked_module(value: Any) -> None:
    each(
        value,
        "a module",
        graph=checked_graph,
        signature=lambda held: each(
            held,
            "a signature",
            input_specs=listed(partial(union, parameter=given, buffer=given, user_input=user)),
            output_specs=listed(partial(union, user_output=user)),
        ),
        module_call_graph=called,
    )


def called(value: Any) -> None:
    """How the whole is called, and no part of it."""
    need(isinstance(value, list) and len(value) == 1, "several calls")

    def signature(held: Any) -> None:
        each(
            held,
            "a call",
            in_spec=lambda text: need(text == IN_SPEC, "other inputs"),
            out_spec=lambda text: matches(text, OUT_SPEC),
            forward_arg_names=lambda names: need(names in ([PICTURES], [TENSOR]), "other inputs"),
        )

    each(value[0], "a call", signature=signature)


def checked_graph(value: Any) -> None:
    each(
        value,
        "a graph",
        inputs=listed(partial(union, as_tensor=named)),
        outputs=listed(partial(union, as_tensor=named)),
        nodes=listed(checked_node),
        tensor_values=lambda held: every(held, NAME, meta),
        sym_int_values=lambda held: every(held, NAME, number),
    )


def checked_node(value: Any) -> None:
    each(
        value,
        "a node",
        target=lambda text: need(isinstance(text, str) and text in SCALARS | TENSORS, f"the operator {text!s:.80}"),
        inputs=listed(lambda held: each(held, "an input", name=name, arg=argument, kind=whole)),
        outputs=listed(partial(union, as_tensor=named, as_sym_int=named_number, as_tensors=listed(named))),
        name=name,
    )


def argument(value: Any) -> None:
    union(
        value,
        as_tensor=named,
        as_tensors=listed(named),
        as_sym_int=named_number,
        as_sym_ints=listed(named_number),
        as_int=whole,
        as_ints=listed(whole),
        as_float=real,
        as_bool=flag,
        as_scalar_type=whole,
        as_string=lambda text: need(text in ("floor", "none", "reflect"), "another word"),
        as_none=flag,
    )


def meta(value: Any) -> None:
    """What is known of a tensor beforehand."""
    each(
        value,
        "a tensor",
        dtype=whole,
        sizes=listed(number),
        strides=listed(number),
        storage_offset=number,
        device=lambda held: each(held, "a device", type=lambda text: need(text == "cpu", "another device")),
        layout=whole,
    )


def number(value: Any) -> None:
    """A whole number, or a formula for it."""
    formula = partial(
        each, what="a formula", expr_str=lambda text: matches(text, FORMULA), hint=partial(union, as_int=whole)
    )
    union(value, as_int=whole, as_expr=formula)


def given(value: Any) -> None:
    """A weight or a constant that goes in."""
    path = partial(matches, pattern=PATH)
    each(value, "an input", arg=named, parameter_name=path, buffer_name=path, persistent=flag)


def user(value: Any) -> None:
    each(value, "an input or output", arg=partial(union, as_tensor=named))


def limits(value: Any) -> None:
    each(value, "limits", min_val=whole, max_val=whole)


def named(value: Any) -> None:
    each(value, "a name", name=name)


def named_number(value: Any) -> None:
    union(value, as_name=name, as_int=whole)


def name(value: Any) -> None:
    matches(value, NAME)
    need(not iskeyword(value) and not value.startswith("__"), f"the name {value[:80]}")


def whole(value: Any) -> None:
    need(type(value) is int and abs(value) < 2**63, "what is no whole number")


def real(value: Any) -> None:
    need(type(value) is float and isfinite(value), "what is no number")


def flag(value: Any) -> None:
    need(type(value) is bool, "what is neither true nor false")


def matches(value: Any, pattern: re.Pattern[str]) -> None:
    good = isinstance(value, str) and len(value) <= LONGEST and pattern.fullmatch(value) is not None
    need(good, f"the words {value!s:.80}")


def each(value: Any, what: str, **checks: Check) -> None:
    """A dict in which every known field is as it should be, and others hold nothing."""
    need(isinstance(value, dict), f"{what} that is none")
    for name, held in value.items():
        if name in checks:
            if held is not None:
                checks[name](held)
        else:
            need(held in (None, False, "", [], {}), f"{name[:80]} in {what}")


def every(value: Any, names: re.Pattern[str], check: Check) -> None:
    """A dict of things by name."""
    need(isinstance(value, dict), "a table that is none")
    for name, held in value.items():
        matches(name, names)
        check(held)


def listed(check: Check) -> Check:
    """The check of a list of such things."""

    def all_of(value: Any) -> None:
        need(isinstance(value, list), "a list that is none")
        for one in value:
            check(one)

    return all_of


def union(value: Any, **checks: Check) -> None:
    """A dict of one field, which says what kind of thing it holds."""
    need(isinstance(value, dict) and len(value) == 1, "a value of no kind")
    ((kind, held),) = value.items()
    need(kind in checks, f"a value of the kind {kind[:80]}")
    checks[kind](held)


def need(good: bool, what: str) -> None:
    if not good:
        raise BrokenError(f"holds what no file of ours does: {what}")
